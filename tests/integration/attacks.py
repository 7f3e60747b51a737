"""What somebody hostile sends to the doors: requests by name, each as the packets it goes out in.

Fired at an in-process door (`test_hostile_door`) and at a running `andon serve` (`tests/acceptance/test_people`). Each
must be refused with a 4xx or a closed connection, and change nothing.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

from tests.integration.raw_http import framed, get, post

Packets = tuple[bytes, ...]

MANY = 20_000  # opening brackets: far past any parser's depth
UNCLOSED = 1_000  # opening brackets that nothing closes: past a parser's depth, and a small body
ORDERED = ("arm", "disarm", "freeze", "unfreeze", "run", "fire")
BOMB = 8_388_608  # bytes in a few thousand: eight times what a body may have
DIGITS = b"9" * 5_000  # past what Python turns into a number without being asked twice
PERSON_LABEL = "\u0130"  # a letter whose small form is two: `lower()` makes the text longer


def at_webhooks(path: str, good: bytes, token: str) -> dict[str, Packets]:
    """Requests to a webhook door by somebody who has its token, or nearly. `good` is a body that would be taken."""
    return {
        **_framing(path, good, token),
        **_bodies(path, good, token),
        **_strangers(path, good, token),
        **_lines(path, good, token),
    }


def _framing(path: str, good: bytes, token: str) -> dict[str, Packets]:
    """Where a message ends: two readings of it are how requests are smuggled past a proxy."""
    size = b"Content-Length: %d\r\n" % len(good)
    chunked = b"Transfer-Encoding: chunked\r\n"

    def one(framing: bytes, rest: bytes = good) -> Packets:
        return (framed(path, framing, rest, token=token),)

    return {
        "both framings": one(size + chunked, b"0\r\n\r\n"),
        "both framings, other order": one(chunked + size, b"0\r\n\r\n"),
        "two lengths": one(size + b"Content-Length: 0\r\n"),
        "negative length": one(b"Content-Length: -1\r\n"),
        "signed length": one(b"Content-Length: +%d\r\n" % len(good)),
        "length in hex": one(b"Content-Length: 0x10\r\n"),
        "length beyond 64 bits": one(b"Content-Length: %s\r\n" % DIGITS[:30]),
        "length of a gigabyte": one(b"Content-Length: 1073741824\r\n", b""),
        "length with a space before the colon": one(b"Content-Length : %d\r\n" % len(good)),
        "chunked twice": one(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
        "chunked, then identity": one(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
        "chunked in a disguise": one(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
        "a chunk of no size": one(chunked, b"ZZ\r\nabc\r\n0\r\n\r\n"),
        "a negative chunk": one(chunked, b"-5\r\nabc\r\n0\r\n\r\n"),
        "a chunk beyond 64 bits": one(chunked, b"f" * 40 + b"\r\nabc\r\n"),
        "a chunk longer than it says": one(chunked, b"1\r\nabc\r\n0\r\n\r\n"),
        "a bad chunk later": (framed(path, chunked, b"3\r\nabc\r\n", token=token), b"ZZ\r\n"),
        "chunks without end": (framed(path, chunked, b"", token=token), *[b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 20),
        "bare line feeds": one(size.replace(b"\r\n", b"\n")),
        "a folded header": one(size + b"X-A: b\r\n c\r\n"),
        "NUL in a header": one(size + b"X-A: b\0c\r\n"),
        "CR in a header": one(size + b"X-A: b\rc\r\n"),
        "a header without a name": one(size + b": b\r\n"),
        "a header of 20 kB": one(size + b"X-A: " + b"x" * 20_000 + b"\r\n"),
        "a thousand headers": one(size + b"".join(b"X-%d: 1\r\n" % n for n in range(1_000))),
    }


def _bodies(path: str, good: bytes, token: str) -> dict[str, Packets]:
    """Bodies that are no notification."""

    def one(body: bytes, headers: bytes = b"") -> Packets:
        return (post(path, body, headers=headers, token=token),)

    inside = good.rstrip()[:-1]
    bodies = {
        "empty": b"",
        "null": b"null",
        "a list": b"[]",
        "a number": b"1",
        "a string": b'"x"',
        "half": good[:-9],
        "twice": good + good,
        "form": b"payload=%7B%7D",
        "xml": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>",
        "deep lists": inside + b',"x":' + b"[" * MANY + b"]" * MANY + b"}",
        "deep objects": inside + b',"x":' + b'{"a":' * MANY + b"1" + b"}" * MANY + b"}",
        "unclosed lists": b"[" * MANY,
        "unclosed objects": b'{"a":' * MANY,
        "NaN": inside + b',"x":NaN}',
        "Infinity": inside + b',"x":-Infinity}',
        "digits": inside + b',"x":' + DIGITS + b"}",
        "exponent": good.replace(b'"truncatedAlerts": 0', b'"truncatedAlerts": 1e999'),
        "not UTF-8": good.replace(b"VaRBreach", b"VaR\xff\xfe"),
        "overlong": good.replace(b"VaRBreach", b"\xc0\xaf"),
        "half a pair": good.replace(b"VaRBreach", rb"\ud800"),
        "half a pair raw": good.replace(b"VaRBreach", b"\xed\xa0\x80"),
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-32": good.decode().encode("utf-32"),
        "a BOM": b"\xef\xbb\xbf" + good,
        "NULs": b"\0" * 1_000,
        "a raw control": good.replace(b"VaRBreach", b"VaR\n"),
        "a comment": b"/* */" + good,
        "a label that is a list": good.replace(b'"critical"', b'["critical"]'),
        "a label of 8 kB": good.replace(b'"critical"', b'"' + b"x" * 8_192 + b'"'),
        "two MiB": inside + b',"x":"' + b"x" * 2_097_152 + b'"}',
    }
    bomb = zlib.compress(b" " * BOMB)
    packed = {
        "gzip": ("gzip", gzip.compress(good)),
        "gzip that is none": ("gzip", good),
        "gzip cut short": ("gzip", gzip.compress(good)[:40]),
        "a gzip bomb": ("gzip", gzip.compress(b" " * BOMB)),
        "a deflate bomb": ("deflate", bomb),
        "packed twice": ("gzip, gzip", gzip.compress(gzip.compress(good))),
        "brotli": ("br", b"\x0b\x02\x80abc\x03"),
        "an encoding nobody knows": ("rot13", good),
    }
    return {f"body: {name}": one(body) for name, body in bodies.items()} | {
        f"packed: {name}": one(body, f"Content-Encoding: {how}\r\n".encode()) for name, (how, body) in packed.items()
    }


def _strangers(path: str, good: bytes, token: str) -> dict[str, Packets]:
    """Good bodies from somebody without the right credentials."""
    right = b"Authorization: Bearer " + token.encode() + b"\r\n"
    tokens: dict[str, bytes] = {
        "nobody": b"",
        "half a token": token[:-1].encode(),
        "a longer token": token.encode() + b"x",
        "a token in capitals": token.upper().encode(),
        "bytes for a token": b"\xff\xfe",
        "a token of 7 kB": b"x" * 7_000,
        "a list of tokens": b"a, " + token.encode(),
    }
    knocks = {f"stranger: {name}": (post(path, good, token=sent),) for name, sent in tokens.items()}
    knocks["stranger: the wrong one first"] = (post(path, good, headers=b"Authorization: Bearer x\r\n" + right),)
    knocks["stranger: two tokens, the wrong one first, in other letters"] = (
        post(path, good, headers=b"authorization: Bearer x\r\n" + right),
    )
    knocks["stranger: the token in the path"] = (post(f"{path}?token={token}", good),)
    knocks["stranger: a cookie"] = (post(path, good, headers=b"Cookie: token=" + token.encode() + b"\r\n"),)
    return knocks


def _lines(path: str, good: bytes, token: str) -> dict[str, Packets]:
    """Request lines that lead elsewhere, or nowhere."""
    paths: dict[str, bytes] = {
        "bytes": b"/webhooks/\xff",
        "percent": b"/webhooks/%ff%ed%a0%80",
        "NUL": path.encode() + b"%00",
        "line ends": b"/webhooks/%0d%0aX-Evil:%201",
        "dots": b"/static/../webhooks/../../etc/passwd",
        "encoded dots": b"/webhooks/..%2f..%2fetc%2fpasswd",
        "double slash": b"//webhooks//alertmanager",
        "long": b"/" + b"a" * 9_000,
        "star": b"*",
        "no address": b"http://[::/",
        "the API": b"/api/v1/arm",
    }
    lines = {f"path: {name}": (post(where, good, token=token),) for name, where in paths.items()}
    lines["a GET"] = (get(path, token=token),)
    lines["TLS"] = (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60,)
    lines["HTTP/2"] = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",)
    lines["another method"] = (b"P\xffST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n",)
    lines["a version of the future"] = (b"POST " + path.encode() + b" HTTP/9.9\r\nHost: x\r\n\r\n",)
    lines["no host"] = (b"POST " + path.encode() + b" HTTP/1.1\r\nContent-Length: 0\r\n\r\n",)
    lines["CONNECT"] = (b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n",)
    return lines


ORDER: dict[str, Any] = {
    "action": "risk.reduce_kelly",
    "system": "trading-core",
    "arguments": {"kelly_fraction": 0.1},
    "reason": "drill",
}


def at_api(token: str, incident: str, good: dict[str, str]) -> dict[str, Packets]:
    """Requests to the operators' API by a known person, or nearly. `good`: the vote that would count, from the card."""
    return {**_orders(token), **_votes(token, incident, good), **_questions(token), **_unknown(token, incident, good)}


def _orders(token: str) -> dict[str, Packets]:
    def one(where: str, body: bytes, headers: bytes = b"") -> Packets:
        return (post(f"/api/v1/{where}", body, headers=headers, token=token),)

    run = json.dumps(ORDER).encode()
    kelly = run.replace(b"0.1", b"%s")
    arguments = {
        "infinite": b"1e999",
        "gigantic": DIGITS,
        "nearly gigantic": DIGITS[:4_000],
        "NaN": b"NaN",
        "text": b'"0.1"',
        "true": b"true",
        "NUL": rb'"\u0000"',
        "half a pair": rb'"\ud800"',
        "an object": b"{}",
        "below zero": b"-0.1",
        "deep": b"[" * MANY + b"]" * MANY,
    }
    changed: dict[str, dict[str, Any]] = {
        "an unknown key": {"sudo": True},
        "no such action": {"action": "os.system"},
        "an action of bytes": {"action": "\0"},
        "an action that is a list": {"action": ["trading.halt"]},
        "no such system": {"system": "../trading-core"},
        "a long system": {"system": "x" * 100_000},
        "a component with a path": {"component": "../risk-engine"},
        "an argument nobody knows": {"arguments": {"k" * 100_000: 1}},
        "escapes as a reason": {"reason": "a\x1b[31m\0"},
        "dry_run as text": {"dry_run": "false"},
    }
    orders = {f"order: {name}": one("run", kelly % sent) for name, sent in arguments.items()}
    orders |= {f"order: {name}": one("run", json.dumps(ORDER | change).encode()) for name, change in changed.items()}
    twice = b'{"reason":"x","system":"trading-core","system":""}'
    return orders | {
        "order: the same key twice": one("freeze", twice),
        "order: the same key twice, inside": one("run", run.replace(b"0.1", b'0.1,"kelly_fraction":0.9')),
        "order: the same key twice, escaped": one(
            "freeze", b'{"reason":"x","system":"trading-core","s\\u0079stem":""}'
        ),
        "order: packed": one("freeze", gzip.compress(b'{"reason":"x"}'), b"Content-Encoding: gzip\r\n"),
        "order: packed badly": one("freeze", b"nonsense", b"Content-Encoding: gzip\r\n"),
        "order: UTF-16": one("freeze", '{"reason":"x"}'.encode("utf-16")),
        "order: a list": one("freeze", b"[]"),
        **{f"order: {where} in unclosed lists": one(where, b"[" * UNCLOSED) for where in ORDERED},
        "order: unclosed objects": one("freeze", b'{"reason":' * UNCLOSED),
        "order: unclosed lists inside": one("freeze", b'{"reason":"x","system":' + b"[" * UNCLOSED),
        "order: null": one("freeze", b"null"),
        "order: no reason": one("freeze", b""),
        "order: for ever": one("freeze", b'{"reason":"x","for_ms":%s}' % DIGITS[:4_000]),
        "order: for half a moment": one("freeze", b'{"reason":"x","for_ms":1e3}'),
        "order: a key of bytes": one("freeze", b'{"reason":"x"}', b"Idempotency-Key: a\xffbcdefgh\r\n"),
        "order: a key with a path": one("freeze", b'{"reason":"x"}', b"Idempotency-Key: ../../../../etc\r\n"),
        "order: a bad chunk later": (
            framed("/api/v1/freeze", b"Transfer-Encoding: chunked\r\n", b'3\r\n{"r\r\n', token=token),
            b"ZZ\r\n",
        ),
        "order: arm by bytes": one("arm", rb'{"policy":"\u0000"}'),
        "order: arm everything": one("arm", b'{"policy":"*"}'),
        "alert: no labels": one("fire", b"{}"),
        "alert: a label without a name": one("fire", b'{"labels":{"alertname":"x","":"y"}}'),
        "alert: half a pair": one("fire", rb'{"labels":{"alertname":"\ud800"}}'),
        "alert: labels of 20 kB": one(
            "fire", json.dumps({"labels": {f"l{n}": "x" * 2_000 for n in range(10)}}).encode()
        ),
        "alert: before time": one("fire", b'{"labels":{"alertname":"x"},"starts_at":"0001-01-01T00:00:00Z"}'),
        "alert: no time": one("fire", b'{"labels":{"alertname":"x"},"starts_at":"2026-02-31T00:00:00Z"}'),
    }


def _votes(token: str, incident: str, good: dict[str, str]) -> dict[str, Packets]:
    """Approvals that were never given."""
    path = f"/api/v1/incidents/{incident}/approve"

    def one(body: dict[str, Any], where: str = path) -> Packets:
        return (post(where, json.dumps(body).encode(), token=token),)

    return {
        "vote: another digest": one(good | {"digest": good["digest"][::-1]}),
        "vote: half a digest": one(good | {"digest": good["digest"][:-1]}),
        "vote: no digest": one({"approval": good["approval"]}),
        "vote: another question": one(good | {"approval": good["approval"] + "x"}),
        "vote: in somebody's name": one(good | {"by": "demo-second"}),
        "vote: with its own refusal": one(good | {"refusal": ""}),
        "vote: another's incident": one(good, "/api/v1/incidents/inc-aaaaaaaaaa/approve"),
        "vote: break-glass as a word": one(good | {"break_glass": "yes"}),
        "vote: unclosed lists": (post(path, b"[" * UNCLOSED, token=token),),
        "escalate in unclosed lists": (post(f"/api/v1/incidents/{incident}/escalate", b"[" * UNCLOSED, token=token),),
        "vote: the digest twice": (post(path, json.dumps(good).encode()[:-1] + b',"digest":"x"}', token=token),),
    }


def _questions(token: str) -> dict[str, Packets]:
    asked = {
        "limit of digits": b"/api/v1/incidents?limit=000000001" + DIGITS,
        "limit behind zeros": b"/api/v1/incidents?limit=00000000099999",
        "limit in other digits": b"/api/v1/incidents?limit=%D9%A1",
        "limit below zero": b"/api/v1/incidents?limit=-1",
        "system of bytes": b"/api/v1/incidents?system=%ff%00%ed%a0%80",
        "raw bytes": b"/api/v1/incidents?system=\xff",
        "incident of bytes": b"/api/v1/incidents/%ff%ed%a0%80",
        "incident with a path": b"/api/v1/incidents/..%2f..%2fetc",
        "incident that grows": f"/api/v1/incidents/{PERSON_LABEL}nc-".encode("ascii", "backslashreplace"),
        "incident with NUL": b"/api/v1/incidents/%00",
        "a glob": b"/api/v1/incidents/inc-*",
        "a report in PHP": b"/api/v1/incidents/inc-aaaaaaaaaa/report?format=php",
        "an audit with a path": b"/api/v1/audit/trading-core/..%2f..%2f..%2fetc%2fpasswd",
        "an audit of another key": b"/api/v1/audit/trading-core%7D:x/target:*",
    }
    return {f"question: {name}": (get(path, token=token),) for name, path in asked.items()}


def _unknown(token: str, incident: str, good: dict[str, str]) -> dict[str, Packets]:
    """Honest words by nobody."""
    vote = json.dumps(good).encode()
    path = f"/api/v1/incidents/{incident}/approve"
    return {
        "nobody approves": (post(path, vote),),
        "half a token approves": (post(path, vote, token=token[:-1]),),
        "bytes approve": (post(path, vote, token=b"\xff\xfe"),),
        "basic approves": (post(path, vote, headers=b"Authorization: Basic " + token.encode() + b"\r\n"),),
        "nobody looks": (get("/api/v1/incidents"),),
        "nobody reads the audit": (get("/api/v1/audit/verify"),),
        "nobody asks for the API": (get("/api/v1/openapi.json"),),
    }
