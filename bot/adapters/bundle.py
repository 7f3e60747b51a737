"""One incident in one file, with everything that proves it: made by a running Andon, verified by anybody, anywhere.

`make` is called by `bot.adapters.bundling` for `andon audit export INCIDENT`, `verify` by `andon audit verify-bundle`,
which needs neither store nor configuration. Pure. A bundle is JSON: `parts`, the SHA-256 of each (`digests`), the
public key of the replica that made it, and its signature over the digests. What the parts are:

about        which incident, under which policy (by hash), how far its chain goes, who made the bundle when
record       the incident as stored
chain        its audit chain, whole
targets      of the chains of the components it acted on: the links that name it, each with those that follow it up to
             the next link that was signed
checkpoints  the signed lines that say what those chains were, as they were written
summary      the report, for people
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from bot.adapters.signing import holds
from bot.core import audit
from bot.core.audit import AuditEntry
from bot.core.checkpoint import Signed, Told, contradicted, parse, to_sign
from bot.errors import InputError

FORMAT: Final = "andon bundle 1"
PARTS: Final = ("about", "record", "chain", "targets", "checkpoints", "summary")
MAX_BYTES: Final = 256 * 1024 * 1024  # of a file that is verified; an incident with 10,000 links has about 10 MB
MAX_NAMED: Final = 50  # problems told

Json: TypeAlias = dict[str, Any]
_Places: TypeAlias = dict[tuple[str, str], list[Told]]


@dataclass(slots=True)
class BundleVerdict:
    """What verification found. `facts` are sentences about what was proven, and what was not."""

    about: Json = field(default_factory=dict)
    key: str = ""
    summary: str = ""
    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def make(parts: Mapping[str, Any], *, key: str, sign: Callable[[bytes], str]) -> Json:
    """The bundle of these parts. `text` writes it."""
    digests = {name: _digest(parts[name]) for name in PARTS}
    return {"format": FORMAT, "parts": dict(parts), "digests": digests, "key": key,
            "signature": sign(_signed(digests, key))}  # fmt: skip


def text(bundle: Json) -> str:
    """The file, the only way to write this bundle."""
    return json.dumps(bundle, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def verify(data: bytes, key: str = "") -> BundleVerdict:
    """Everything about a file that claims to be a bundle. `key`: the public key it should be signed with.

    InputError when the file is no bundle at all, so that there is nothing to verify.
    """
    bundle = _read(data)
    verdict = BundleVerdict(key=bundle["key"])
    if text(bundle).encode("utf-8", "surrogatepass") != data:
        verdict.problems.append("the file is not as Andon wrote it: it was formatted anew, or something was added")
    parts = bundle["parts"]
    for name in PARTS:
        if _digest(parts[name]) != bundle["digests"].get(name):
            verdict.problems.append(f"the part {name!r} is not what was signed: it was changed")
    if set(parts) != set(PARTS) or set(bundle["digests"]) != set(PARTS):
        verdict.problems.append("it has other parts than a bundle has: something was added")
    if key and key != bundle["key"]:
        verdict.problems.append(f"it is signed with {bundle['key']}, not with {key}")
    if not holds(bundle["key"], _signed(bundle["digests"], bundle["key"]), bundle["signature"]):
        verdict.problems.append("the signature does not hold: digests, key or signature were changed")
    try:
        _judge(verdict, parts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        verdict.problems.append(
            f"its parts do not have the shape of a bundle's ({type(error).__name__}: {error})"[:300]
        )
    del verdict.problems[MAX_NAMED:]
    return verdict


def _judge(verdict: BundleVerdict, parts: Json) -> None:
    """What the parts say about each other."""
    about, record = parts["about"], parts["record"]["record"]
    verdict.about, verdict.summary = about, str(parts["summary"])
    chain = [AuditEntry(**entry) for entry in parts["chain"]]
    verdict.problems += [f"chain: {each}" for each in audit.verify(chain, about["head"], about["version"])]
    plan = record.get("plan") or {}
    for name, told, stored in (
        ("incident", about["incident"], record["id"]),
        ("system", about["system"], record["system"]),
        ("policy_hash", about["policy_hash"], plan.get("policy_hash", "")),
    ):
        if told != stored:
            verdict.problems.append(f"about: {name} is {told!r}, but the record says {stored!r}")
    places = _said(verdict, parts["checkpoints"])
    told = places.get((about["system"], about["incident"]), [])
    hashes = [(entry.seq, entry.hash) for entry in chain]
    for each in contradicted(told, hashes):
        verdict.problems.append(f"chain: entry {each.version} is not the one that checkpoint {each.checkpoint} saw")
    covered = max((each.version for each in told), default=0)
    verdict.facts.append(f"the chain of {about['incident']} is whole: {len(chain)} entries")
    verdict.facts.append(
        f"entries 1 to {covered} were signed at the time, in {len(told)} checkpoints"
        if covered
        else "no checkpoint had signed any of it when the bundle was made: only the bundle itself is signed"
    )
    if 0 < covered < len(chain):
        verdict.facts.append(f"entries {covered + 1} to {len(chain)} were not signed yet when the bundle was made")
    for target in parts["targets"]:
        _excerpt(verdict, target, places.get((about["system"], target["aggregate"]), []))


def _said(verdict: BundleVerdict, lines: Sequence[str]) -> _Places:
    """What the checkpoints in it say, by aggregate. Each must be signed; several keys may have signed some."""
    places: _Places = {}
    keys = set()
    for number, line in enumerate(lines, start=1):
        found: Signed | None = parse(line.encode())
        if found is None or not holds(found.checkpoint.key, to_sign(found.checkpoint), found.signature):
            verdict.problems.append(f"checkpoints: line {number} does not carry its key's signature: it was changed")
            continue
        stated = found.checkpoint
        keys.add(stated.key)
        for each in stated.saw:
            told = Told(each.version, each.head, stated.seq, stated.key)
            places.setdefault((each.shard, each.aggregate), []).append(told)
    for other in sorted(keys - {verdict.key}):
        verdict.facts.append(f"some checkpoints are signed with another key, {other}: compare it too")
    return places


def _excerpt(verdict: BundleVerdict, target: Json, told: Sequence[Told]) -> None:
    """Links of another chain: each its own text's, each run whole and ending in one that was signed."""
    name = target["aggregate"]
    entries = [AuditEntry(**entry) for entry in target["entries"]]
    signed = {(each.version, each.head) for each in told}
    anchored = 0
    for entry, after in zip(entries, [*entries[1:], None], strict=True):
        if audit.link(entry.previous, entry.seq, entry.body) != entry:
            verdict.problems.append(f"{name}: entry {entry.seq} was edited: its text does not give its hash")
        follows = after is not None and after.seq == entry.seq + 1
        if follows and after is not None and after.previous != entry.hash:
            verdict.problems.append(f"{name}: entry {after.seq} does not follow entry {entry.seq}")
        if not follows and (entry.seq, entry.hash) in signed:
            anchored += 1
    for each in told:
        mine = next((entry for entry in entries if entry.seq == each.version), None)
        if mine is not None and mine.hash != each.head:
            verdict.problems.append(
                f"{name}: entry {each.version} is not the one that checkpoint {each.checkpoint} saw"
            )
    runs = sum(1 for one, two in zip(entries, [*entries[1:], None], strict=True) if not two or two.seq != one.seq + 1)
    verdict.facts.append(
        f"{name}: {len(entries)} entries in {runs} excerpts, {anchored} of which end in a signed one; that none was "
        "left out is not proven"
    )


def _read(data: bytes) -> Json:
    """The file as a bundle. InputError when it is none."""
    if len(data) > MAX_BYTES:
        raise InputError("FILE", f"is larger than {MAX_BYTES} bytes, so it is no bundle")
    try:
        bundle = json.loads(data)
        fits = bundle["format"] == FORMAT and all(
            (isinstance(bundle["parts"], dict), isinstance(bundle["digests"], dict), isinstance(bundle["key"], str),
             isinstance(bundle["signature"], str), all(name in bundle["parts"] for name in PARTS))
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            "FILE", "is no bundle of Andon's, or was damaged so that it cannot be read any more"
        ) from error
    if not fits:
        raise InputError("FILE", f"is no bundle that this Andon reads ({FORMAT}): a part of it is missing or changed")
    found: Json = bundle
    return found


def _digest(part: object) -> str:
    whole = json.dumps(part, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def _signed(digests: Mapping[str, object], key: str) -> bytes:
    body = json.dumps({"digests": dict(digests), "key": key}, separators=(",", ":"), sort_keys=True)
    return f"{FORMAT}\n{body}".encode()
