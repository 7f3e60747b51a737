"""Somebody can write to Andon's store, and has not its key: nothing acts by it, nothing dies of it, and people hear.

Every key of `bot/adapters/redis_keys.py` is replaced, emptied, taken away and filled with what was genuine once, while
`andon serve` runs on it and while it does not. What was genuine once is taken from where such a person would find it:
the server's own append-only file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bot.client import BadRequestError, DeclinedError, UnavailableError
from bot.sandbox.children import Unmet, until
from tests.faults.planted import ONE, OTHER, PlantedHouse, open_planted_house

SAYS = 45.0  # seconds until it is told: the store is looked after every ten, timers are missed at the second look
LISTS = (
    "inbox", "outbox", "timers", "keys", "aggregates", "incidents", "open", "sequence", "acknowledged",
    "record:target:*", "record:target:desk",
)  # fmt: skip


@pytest.fixture
async def house() -> AsyncIterator[PlantedHouse]:
    """Both systems have acted once; in one of them somebody is asked, and a page is an hour away."""
    async with open_planted_house() as made:
        await made.acts("first")
        await made.acts("other-first", OTHER)
        for name, case in (("Ask", "asked"), ("Wait", "waiting")):
            assert await made.alert(name, case) == 200
        await made.question("asked")
        await made.incident("waiting")
        yield made


async def told(house: PlantedHouse, *words: str) -> None:
    """Return once a page, an alarm or a dead letter holds all of these words."""

    async def look() -> bool:
        return any(all(word in line for word in words) for line in house.said())

    await until(f"people are told of {words}", look, within=SAYS)


def rewound(house: PlantedHouse, shard: str = ONE) -> Iterator[tuple[bytes, ...]]:
    """Every write to the shard, oldest first, as the append-only file has it."""
    place = f"andon:{{{shard}}}:".encode()
    for file in sorted((house.folder / "servers").rglob("*.incr.aof")):
        for command in commands(file):
            if len(command) > 1 and command[1].startswith(place):
                yield command


def commands(file: Path) -> Iterator[tuple[bytes, ...]]:
    """What an append-only file holds: arrays of bulk strings, https://valkey.io/topics/protocol/."""
    data, at = file.read_bytes(), 0
    while at < len(data) and data[at : at + 1] == b"*":
        end = data.index(b"\r\n", at)
        count, at = int(data[at + 1 : end]), end + 2
        words = []
        for _ in range(count):
            end = data.index(b"\r\n", at)
            size = int(data[at + 1 : end])
            words.append(data[end + 2 : end + 2 + size])
            at = end + 4 + size
        yield tuple(words)
        while data[at : at + 1] == b"#":  # a timestamp
            at = data.index(b"\r\n", at) + 2


async def versions(house: PlantedHouse, name: str) -> list[tuple[bytes, ...]]:
    """Every triple (version, head, sealed record) that this record ever had, oldest first."""
    place = house.key(f"record:{name}").encode()
    found = [words for words in rewound(house) if words[0].upper() == b"HSET" and words[1] == place]
    return [words[2:] for words in found]


# --- while it runs ---------------------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
async def test_a_key_of_another_kind_stops_its_own_system_only(house: PlantedHouse) -> None:
    """Wrong types and huge values, key after key: the other system acts, people are told, and it goes on afterwards."""
    for number, name in enumerate(LISTS):
        kept = await house.copy(house.key(name))
        assert kept
        await plant(house, name, number)
        for alert, case in (("Work", f"planted-{number}"), ("Ask", f"planted-ask-{number}")):
            assert await house.alert(alert, case) in (200, 503)
        await house.acts(f"beside-{number}", OTHER)
        assert house.andon.running
        await house.put_back(kept)
        await goes_on(house, f"after-{number}")  # a count put back a little too low is a loss, and is put right first
    house.mark()
    for number, name in enumerate(LISTS):
        await plant(house, name, number + 1)
    await told(house, "the store of trading-core", house.key("inbox"), "more")
    await house.acts("beside-all", OTHER)
    assert set(house.ledger().values()) == {1}
    assert not any("ask" in case for case in house.ledger())


async def plant(house: PlantedHouse, name: str, number: int) -> None:
    """A list, or three megabytes of text, in place of what is there."""
    place = house.key(name)
    if number % 2:
        await house.raw.set(place, b"9" * 3_000_000)
    else:
        await house.raw.pipeline(transaction=True).delete(place).rpush(place, "planted").execute()


@pytest.mark.timeout(300)
async def test_forged_bytes_in_every_queue_and_record_are_set_aside(house: PlantedHouse) -> None:
    """Unsealed entries, those of another queue or system, foreign fields, pointers and records of others: no effect."""
    asked, waiting = [(await house.incident(case))["id"] for case in ("asked", "waiting")]
    step = next(words[-1] for words in rewound(house) if words[0].upper() == b"XADD" and b'"run_step"' in words[-1])
    event = next(words[-1] for words in rewound(house) if words[0].upper() == b"XADD" and b":inbox" in words[1])
    house.mark()
    inbox, outbox = house.key("inbox"), house.key("outbox")
    for place, fields in (
        (inbox, {"e": b"forged"}), (inbox, {"e": step}), (inbox, {"x": event}), (inbox, {"e": event, "more": b"1"}),
        (outbox, {"e": b"\xff" * 64}), (outbox, {"e": event}), (outbox, {"e": step[:16] + b"{}"}), (outbox, {"e": b""}),
        (house.key("outbox", OTHER), {"e": step}), (house.key("inbox", OTHER), {"e": event}),
        (outbox, {"e": step.replace(b'"fence":', b'"fence":9')}), (inbox, {"e": b"[" * 1_000_000}),
    ):  # fmt: skip
        await house.raw.xadd(place, fields)
    await told(house, "inbox", "set aside")
    await told(house, "outbox", "set aside")
    record = await house.raw.hgetall(house.key(f"record:{asked}"))
    yes = record[b"rec"].replace(b'"granted":null', b'"granted":{}').replace(b'"awaiting_approval"', b'"acting"')
    for changed in ({b"rec": yes}, {b"rec": b"{}"}, {b"ver": b"999"}, {b"head": b"0" * 64}, {b"rec": b"9" * 2_000_000}):
        await house.raw.hset(house.key(f"record:{asked}"), mapping=record | changed)
        with pytest.raises((DeclinedError, BadRequestError, UnavailableError)):
            await house.ask("POST", f"/incidents/{asked}/ack", {})
    other = await house.raw.hgetall(house.key(f"record:{waiting}"))
    await house.raw.hset(house.key(f"record:{asked}"), mapping=other)
    await told(house, asked, "does not open")
    await house.raw.hset(house.key(f"record:{asked}"), mapping=record)
    pointers = await house.raw.hgetall(house.key("keys"))
    one, two = list(pointers)[:2]
    await house.raw.hset(house.key("keys"), mapping={one: pointers[two], two: pointers[one]})
    for name, case in (("Work", "first"), ("Ask", "asked"), ("Wait", "waiting")):
        await house.alert(name, case)
    await house.raw.hset(house.key("keys"), mapping=pointers)
    await house.acts("after")
    assert house.ledger()["first"] == 1
    assert house.ledger()["asked"] == 0
    assert set(house.ledger().values()) == {1}
    assert house.andon.running


@pytest.mark.timeout(300)
async def test_timers_that_somebody_moved_ring_at_their_time(house: PlantedHouse) -> None:
    """Set to now: no rung is climbed. Taken away or put off: set again, and told. Made up: set aside."""
    timers = house.key("timers")
    before = dict(await house.raw.zrange(timers, 0, -1, withscores=True))
    rungs = {member: due for member, due in before.items() if b"|rung:" in member}
    assert rungs
    house.mark()
    await house.raw.zadd(timers, dict.fromkeys(before, 1))
    await house.raw.zadd(timers, {b"\xff": 1, b"inc-nobody|rung:0|token": 1, b"nonsense": 1})

    def dues(found: dict[bytes, float]) -> list[tuple[bytes, float]]:
        return sorted((member.rpartition(b"|")[0], due) for member, due in found.items())

    async def again() -> bool:
        return dues(dict(await house.raw.zrange(timers, 0, -1, withscores=True))) == dues(before)

    await until("every timer is set for its own time again", again, within=SAYS)
    assert not [line for line in house.lines() if line.get("event") == "PAGE" and line["service"] == "demo-pager"]
    await house.raw.delete(timers)
    await told(house, "timers of trading-core were missing")
    await until("every timer is set again", again, within=SAYS)
    set_again = dict(await house.raw.zrange(timers, 0, -1, withscores=True))
    await house.raw.zadd(timers, {member: due + 9e9 for member, due in set_again.items()})
    await until("every timer is moved back", again, within=SAYS)
    assert await house.raw.xlen(house.key("dead")) == 2


@pytest.mark.timeout(300)
async def test_an_older_state_put_back_makes_no_yes_good_again(house: PlantedHouse) -> None:
    """Approved, ordered, done; then the incident, the desk and `*` are put back to before, and the very effect that ran
    is added once more, all of it sealed by Andon itself. Nothing is ordered twice; people are told which record it was.
    """
    incident = await approved(house)
    await replay(house, incident)
    await told(house, "version", "was seen")
    await house.acts("beside", OTHER)
    await goes_on(house)
    assert house.ledger()["asked"] == 1


@pytest.mark.timeout(300)
async def test_an_older_state_put_back_while_it_is_down_makes_no_yes_good_again(house: PlantedHouse) -> None:
    """The same before a start: the journal on this machine knows under which fence was sent last."""
    incident = await approved(house)
    await house.andon.end()
    house.mark()
    await replay(house, incident)
    await house.serve()
    await told(house, "target:desk at fence", "before what the journal saw")
    await goes_on(house)
    assert house.ledger()["asked"] == 1


async def approved(house: PlantedHouse) -> str:
    """Somebody says yes, and it is ordered; the incident's id."""
    decision = await house.question("asked")
    incident: str = (await house.incident("asked"))["id"]
    yes = {"approval": decision["approval"], "digest": decision["digest"]}
    await house.ask("POST", f"/incidents/{incident}/approve", yes)
    await house.ran("asked")
    await house.incident("asked", "mitigated")
    return incident


async def replay(house: PlantedHouse, incident: str) -> None:
    """Put the records back to the moment before the order was sent, and add the effect that sends it."""
    added = [words[-1] for words in rewound(house) if words[0].upper() == b"XADD" and b'"run_step"' in words[-1]]
    step = [each for each in added if incident.encode() in each]
    pipe = house.raw.pipeline(transaction=True)
    for name in ("target:*", "target:desk", incident):
        pipe.hset(house.key(f"record:{name}"), mapping=dict(_pairs(await _before_intent(house, name))))
    pipe.xadd(house.key("outbox"), {"e": step[-1]})
    await pipe.execute()


async def _before_intent(house: PlantedHouse, name: str) -> tuple[bytes, ...]:
    """The newest triple without the intent that sent the order."""
    found = await versions(house, name)
    if name == "target:*":
        return [each for each in found if b'"spent":[]' in each[-1]][-1]
    if name == "target:desk":
        held = [each for each in found if b'"slot":{' in each[-1] and b'"intent":null' in each[-1]]
        return held[-1]
    return [each for each in found if b'"status":"acting"' in each[-1]][-1]


def _pairs(words: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
    return zip(words[::2], words[1::2], strict=True)


async def goes_on(house: PlantedHouse, name: str = "again") -> None:
    """Return once the system acts again: it compared the journal with the store, and said so."""

    tried: list[str] = []

    async def acted() -> bool:
        case = f"{name}-{len(tried)}"
        tried.append(case)
        with suppress(OSError, TimeoutError, Unmet):
            await house.alert("Work", case)
            await house.ran(case, within=5.0)
            return True
        return False

    await until("it acts again", acted, within=2 * SAYS)
    await house.incident(tried[-1], "mitigated")  # at rest: a copy taken now is of a component that nobody holds


@pytest.mark.timeout(300)
async def test_what_was_taken_away_is_missed(house: PlantedHouse) -> None:
    """Records deleted, lists emptied: nothing acts on what is left, and people hear what is gone."""
    asked = (await house.incident("asked"))["id"]
    await looked_after(house)
    house.mark()
    await house.raw.delete(house.key(f"record:{asked}"))
    await told(house, f"{asked} is gone")
    house.mark()
    await house.raw.delete(house.key("record:target:*"))
    assert await house.alert("Work", "unarmed") == 200
    await told(house, "target:*", "is gone")
    await house.acts("beside", OTHER)
    assert house.ledger()["unarmed"] == 0
    assert house.andon.running


async def looked_after(house: PlantedHouse) -> None:
    """Return once every record was looked at: a timer that is taken away is set again in the same round."""
    timers = house.key("timers")
    before = await house.raw.zcard(timers)
    await house.raw.zpopmax(timers)

    async def whole() -> bool:
        return bool(await house.raw.zcard(timers) == before)

    await until("a round of custody", whole, within=SAYS)
