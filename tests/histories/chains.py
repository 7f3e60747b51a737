"""Audit chains with the records they led to: taken from real stores, and replayed through the machines of this build.

A link of a chain holds every event with what was decided about it, so the chain alone is enough to do it all again:
decode each event, fold it, and compare decision, effects, status and hash; at its end stands the record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis

from bot.adapters import codec
from bot.adapters.redis_keys import ShardKeys
from bot.adapters.redis_reads import parse_link
from bot.adapters.seal import Sealer
from bot.core.audit import GENESIS, AuditEntry, link
from bot.core.effects import RaiseAlert, Tell
from bot.core.events import Addressed, Event
from bot.core.incident import Incident
from bot.engine.explain import body, effect_line, event_line
from bot.engine.fold import fold_one
from bot.engine.ports import Record


@dataclass(frozen=True, slots=True)
class Chain:
    """One aggregate's whole history. `record` is its last version as stored; `links` are (hash, body)."""

    scenario: str
    aggregate: str
    record: str
    links: tuple[tuple[str, str], ...]

    def line(self) -> str:
        """As a line of a file."""
        return _compact(asdict(self))

    @classmethod
    def of(cls, line: str) -> Chain:
        """From a line of a file."""
        told = json.loads(line)
        return cls(told["scenario"], told["aggregate"], told["record"], tuple((h, b) for h, b in told["links"]))


def taken_from(url: str, key: bytes, scenario: str, shard: str) -> Iterator[Chain]:
    """Every chain in a store that is whole from its first link on."""
    keys = ShardKeys.of("andon", shard)
    with Redis.from_url(url) as server:
        for name in sorted(member.decode() for member in server.smembers(keys.aggregates)):
            ver, head, sealed = server.hmget(keys.record(name), "ver", "head", "rec")
            record = Sealer(key).open(keys.record_context(name, int(ver), head.decode()), sealed)
            entries: list[AuditEntry] = [parse_link(row) for row in server.lrange(keys.audit(name), 0, -1)]
            if entries and entries[0].seq == 1:
                yield Chain(scenario, name, record.decode(), tuple((entry.hash, entry.body) for entry in entries))


def replay(chain: Chain, schema: int) -> list[str]:
    """What this build does otherwise than the one that wrote the chain, in words; empty when nothing."""
    final = codec.decode_record(chain.record.encode())
    record, previous = _beginning(final), GENESIS
    problems: list[str] = []
    for seq, (digest, told) in enumerate(chain.links, start=1):
        if link(previous, seq, told).hash != digest:
            return [*problems, f"link {seq}: its text does not give its hash"]
        previous = digest
        record, text = _fold(record, told, schema)
        if text != told and without_additions(json.loads(text), json.loads(told)) != json.loads(told):
            return [*problems, f"link {seq} reads\n  {told}\nand now\n  {text}"]
    now, then = codec.encode_record(record).decode().partition(" ")[2], chain.record.partition(" ")[2]
    if without_additions(json.loads(now), json.loads(then)) != json.loads(then):
        problems.append(f"the record was\n  {then}\nand is now\n  {now}")
    return problems


def accepted(chain: Chain, schema: int) -> Chain:
    """The chain with what this build decides instead, on purpose; what was stored keeps its shape."""
    record, previous = _beginning(codec.decode_record(chain.record.encode())), GENESIS
    links: list[tuple[str, str]] = []
    for seq, (_, told) in enumerate(chain.links, start=1):
        record, text = _fold(record, told, schema)
        now, then = json.loads(text), json.loads(told)
        for line, before in zip(now["events"], then["events"], strict=True):
            line["event"] = before["event"]
        made = link(previous, seq, _compact(now))
        links.append((made.hash, made.body))
        previous = made.hash
    number, _, then = chain.record.partition(" ")
    now = without_additions(json.loads(codec.encode_record(record).partition(b" ")[2]), json.loads(then))
    return Chain(chain.scenario, chain.aggregate, f"{number} {_compact(now)}", tuple(links))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _beginning(final: Record) -> Record:
    """The record before its first link, as `bot.engine.fold` makes it."""
    if isinstance(final, Incident):
        return Incident(id=final.id, key=final.key, system=final.system, group=final.group)
    return type(final)(id=final.id, system=final.system)


def _fold(record: Record, told: str, schema: int) -> tuple[Record, str]:
    """The record after what one link tells, and the link's text as this build would write it."""
    link_body = json.loads(told)
    events: list[str] = []
    effects: list[str] = []
    for line in link_body["events"]:
        event = _event(line["event"], schema)
        transition = fold_one(record, event, link_body["at"])
        record = transition.record
        events.append(event_line(codec.event_text(event), transition.decision))
        effects += [effect_line(each) for each in transition.effects if not isinstance(each, Tell | RaiseAlert)]
    return record, body(record, link_body["at"], events, effects)


def _event(told: Any, schema: int) -> Event:
    """An event of an audit link, read as the queue's entries are."""
    entry = codec.decode_entry(
        b"%d " % schema + _compact({"kind": "addressed", "to": "x", "event": told}).encode()
    )  # fmt: skip
    assert isinstance(entry, Addressed)
    return entry.event


def without_additions(now: Any, then: Any) -> Any:
    """`now` without the fields that later versions added, wherever `then` has an object at the same place."""
    if isinstance(now, dict) and isinstance(then, dict):
        return {name: without_additions(value, then[name]) for name, value in now.items() if name in then}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return [without_additions(one, other) for one, other in zip(now, then, strict=True)]
    return now
