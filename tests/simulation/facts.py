"""What the oracle judges from: every ledger of a run in one value, and the audit chains for what they explain.

`gather(world)` reads a run that has settled; the unit tests make bad ones by hand. Nothing here judges.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bot.core.audit import is_bounded, verify
from bot.core.events import Budget
from bot.core.incident import Incident
from bot.core.target import Target
from bot.core.words import AggregateId, Millis
from tests.simulation import policies_floor, troubles
from tests.simulation.components import Arrival
from tests.simulation.people import Deed
from tests.simulation.senders import Firing

if TYPE_CHECKING:
    from tests.simulation.floor import Paged
    from tests.simulation.servers import Heard
    from tests.simulation.trace import Note
    from tests.simulation.world import World

SLOW_MS: Millis = 12_000  # from looking at people and policies to the first byte: two looks of 3 s, 5 s to declare


AFTER_MS: Millis = 65_000  # how long a trouble may show: what a dead replica had in hand is taken up after 55 s
READ_MS: Millis = 3_500  # at the most, of what is read before a decision: the bound is 3 s
SLOWING = (troubles.Network, troubles.StoreAway, troubles.FollowerAway, troubles.Failover)
INTENT = "journal an intent "
UNHEARD = ("reply lost", "answered too late")  # as the wire notes it
DISK_MS: Millis = 5  # the way of an intent to the disk
QUICK_MS: Millis = 1_000  # the same, where nothing is wrong: some milliseconds, and a retry or two


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event in an aggregate's audit chain, with what was decided. `at` is by the clock of whoever wrote it."""

    aggregate: AggregateId
    at: Millis
    kind: str
    decision: str
    event: Mapping[str, Any]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of one run. Times are true milliseconds since it began."""

    ends: Millis = 0
    budget: Budget = field(default_factory=lambda: Budget(limit=8, within_ms=30_000))
    troubles: Sequence[tuple[Millis, Millis]] = ()  # from when until when something was wrong
    slow: Sequence[tuple[Millis, Millis]] = ()  # when answers may have been late
    pauses: Sequence[tuple[Millis, Millis]] = ()  # when a process stood still
    now: Millis = 0
    arrivals: Sequence[Arrival] = ()  # at every component, by arrival
    paged: Sequence[Paged] = ()
    deeds: Sequence[Deed] = ()
    firings: Sequence[Firing] = ()
    heard: Sequence[Heard] = ()  # of alerts, by whatever pass took it in, in that order
    adopted: Sequence[tuple[Millis, str, str]] = ()  # when, replica ("": all), variant
    poisoned: Sequence[Millis] = ()
    posted: Sequence[tuple[Millis, AggregateId, str]] = ()  # when chat was told of which incident, and about what
    signs: Sequence[Millis] = ()  # when a sign of life was accepted
    dead: Sequence[tuple[str, str]] = ()  # id and reason of what was set aside
    lines: Sequence[Line] = ()
    explained: frozenset[str] = frozenset()  # ids of the effects that the chains name
    incidents: Mapping[AggregateId, Incident] = field(default_factory=dict)
    targets: Mapping[AggregateId, Target] = field(default_factory=dict)
    chain_problems: Sequence[str] = ()
    left: tuple[int, int] = (0, 0)  # in the inbox, in the outbox
    journalled: Mapping[tuple[str, str], Sequence[Millis]] = field(default_factory=dict)  # by replica and intent
    unheard: Mapping[str, int] = field(default_factory=dict)  # what arrived, and how often its sender had no answer
    forgotten: Sequence[Millis] = ()  # failovers that lost what had been answered
    offsets: Sequence[tuple[Millis, str, Millis]] = ()  # when, which replica's clock went how far off

    def looked(self, sent_at: Millis) -> Millis:
        """Since when at the latest a send's target, people and policies had been looked at."""
        slow = any(at <= sent_at and until >= sent_at - SLOW_MS for at, until in self.troubles)
        return sent_at - (SLOW_MS if slow else QUICK_MS)

    def decided(self, send: Arrival) -> Millis:
        """When people and policies were looked at last: as the intent went to the disk, however slow all else was."""
        known = [at for at in self.journalled.get((send.replica, send.key), ()) if at <= send.sent_at]
        return max(known) - DISK_MS if known else self.looked(send.sent_at)

    def read_since(self, send: Arrival) -> Millis:
        """Since when at the latest its target and its evidence had been read: once more for each attempt."""
        decided = self.decided(send)
        slow = any(at <= decided and end >= decided - READ_MS for at, end in self.slow)
        since = decided - (READ_MS if slow else 300)
        return min([since, *(at - READ_MS for at, end in self.pauses if at <= decided and end >= since)])

    @property
    def parked(self) -> list[tuple[Millis, AggregateId]]:
        """When chat was told that which incident waits for a person."""
        return [(at, incident) for at, incident, topic in self.posted if topic == "parked"]

    def is_calm(self, since: Millis, until: Millis) -> bool:
        """Whether nothing was wrong between the two."""
        return not any(at <= until and end >= since for at, end in self.troubles)

    def surely(self, risk: str, since: Millis, until: Millis) -> frozenset[str]:
        """Everybody who might decide on such steps by every configuration in force between the two."""
        return frozenset.intersection(
            *(
                frozenset(policies_floor.house(variant).people.approvers(policies_floor.SHARD, risk))  # type: ignore[arg-type]
                for variant in self.in_force(since, until)
            )
        )

    def sends(self) -> list[Arrival]:
        """What Andon sent, by the time it left."""
        return sorted((a for a in self.arrivals if a.effect != "by hand"), key=lambda a: (a.sent_at, a.at))

    def in_force(self, since: Millis, until: Millis) -> frozenset[str]:
        """Every variant that was in force in some replica at some time between the two."""
        holds: dict[str, str] = {"": "base"}
        found: set[str] = set()
        for at, replica, variant in sorted(self.adopted, key=lambda each: each[0]):
            if at > until:
                break
            if at > since:
                found.update(holds.values())
            if not replica:
                holds = {"": variant}
            holds[replica] = variant
        return frozenset(found | set(holds.values()))

    def able(self, risk: str, since: Millis, until: Millis) -> frozenset[str]:
        """Everybody who might decide on such steps by some configuration in force between the two."""
        return frozenset(
            person
            for variant in self.in_force(since, until)
            for person in policies_floor.house(variant).people.approvers(policies_floor.SHARD, risk)  # type: ignore[arg-type]
        )

    def astray(self, since: Millis, until: Millis) -> Millis:
        """How far the replicas' clocks were apart between the two, by the furthest: so early may be on time."""
        now: dict[str, Millis] = {}
        seen: list[Millis] = [0]
        for at, replica, offset in sorted(self.offsets, key=lambda each: each[0]):
            if at > until:
                break
            if at > since:
                seen.extend(now.values())
            now[replica] = offset
        seen.extend(now.values())
        return max(seen) - min(seen)

    def forgot(self, since: Millis) -> bool:
        """Whether a failover lost, after this time, something that had been answered."""
        return any(at >= since for at in self.forgotten)

    def outcomes(self, key: str) -> list[str]:
        """What the chains say became of an intent, by the kinds of its step's reports."""
        return [line.kind for line in self.lines if line.kind.startswith("step_") and line.event.get("intent") == key]


async def gather(world: World) -> Facts:
    """Read everything. Called once, after the run has settled."""
    floor, store, steps = world.floor, world.servers.truth, world.script.steps
    shard, notes = floor.shards[0], world.trace.notes()
    lines, explained, problems = [], set[str](), []
    incidents, targets = {}, {}
    for aggregate in await store.aggregates(shard):
        stored = (await store.load(shard, [aggregate]))[aggregate]
        chain = await store.audit(shard, aggregate)
        found = verify(chain, stored.head, stored.version, bounded=is_bounded(aggregate))
        problems += [f"{aggregate}: {text}" for text in found]
        if isinstance(stored.record, Incident):
            incidents[aggregate] = stored.record
        elif isinstance(stored.record, Target):
            targets[aggregate] = stored.record
        for entry in chain:
            body = json.loads(entry.body)
            lines.extend(_lines(aggregate, body))
            explained.update(effect["id"] for effect in body["effects"])
    return Facts(
        ends=world.script.ends,
        budget=floor.budget,
        troubles=[(step.at, step.until + AFTER_MS) for step in steps if step.is_trouble],
        slow=[(step.at, step.until) for step in steps if isinstance(step, SLOWING)],
        pauses=[(step.at, step.until) for step in steps if isinstance(step, troubles.Paused)],
        now=world.now,
        arrivals=sorted((a for m in floor.machines.values() for a in m.ledger), key=lambda a: a.at),
        paged=floor.pager.ledger,
        deeds=floor.desk.deeds,
        firings=floor.sender.firings,
        heard=world.servers.heard,
        adopted=floor.adopted,
        poisoned=floor.poisoned,
        posted=[(at, message.incident, message.topic) for at, message in floor.chat.ledger],
        signs=floor.sender.signs,
        dead=[(name, reason) for name, reason, _ in await store.dead_letters(shard, 1_000)],
        lines=lines,
        explained=frozenset(explained),
        incidents=incidents,
        targets=targets,
        chain_problems=problems,
        left=await store.lag(shard),
        journalled=_journalled(notes),
        unheard=Counter(note.more for note in notes if note.what in UNHEARD),
        forgotten=_forgotten(notes),
        offsets=_offsets(notes),
    )


def _journalled(notes: Sequence[Note]) -> Mapping[tuple[str, str], Sequence[Millis]]:
    """When each replica's disk took which intent."""
    found: dict[tuple[str, str], list[Millis]] = {}
    for note in notes:
        if note.what.startswith(INTENT) and not note.more:
            found.setdefault((note.who, note.what.removeprefix(INTENT)), []).append(int(note.at * 1_000))
    return found


def _forgotten(notes: Sequence[Note]) -> list[Millis]:
    """When failovers lost something."""
    told = [note for note in notes if (note.who, note.what) == ("servers", "failover")]
    return [int(note.at * 1_000) for note in told if not note.more.startswith("0 ")]


def _offsets(notes: Sequence[Note]) -> list[tuple[Millis, str, Millis]]:
    """How far each replica's clock was off, from when on; all are right again when everything is mended."""
    found: list[tuple[Millis, str, Millis]] = []
    off: dict[str, Millis] = {}
    for note in notes:
        if note.what == "clock jumps":
            off[note.who] = off.get(note.who, 0) + int(float(note.more.removesuffix(" s")) * 1_000)
            found.append((int(note.at * 1_000), note.who, off[note.who]))
        elif note.what == "is mended":
            found += [(int(note.at * 1_000), who, 0) for who in off]
            off = {}
    return found


def _lines(aggregate: AggregateId, body: Mapping[str, Any]) -> Iterator[Line]:
    for told in body["events"]:
        event = told["event"]
        yield Line(
            aggregate=aggregate, at=body["at"], kind=event["kind"], decision=told["decision"], event=event,
            why=told["why"],
        )  # fmt: skip
