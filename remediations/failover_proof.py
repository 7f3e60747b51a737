"""Was this Redis failed over? What `redis.failover` and `redis.failback` wait for, and how they prove it afterwards.

Compared are the figures of right before (`failover_preconditions.figures`, kept in the intent, so this works after a
crash of Andon too) with a new look. Done means all of: the replica is primary; the epoch has grown (without Sentinels:
the history got a new id, as every promotion gives it); the new primary's offset is not below the old one's (nothing
that was acknowledged before is missing); nobody else is called primary; the old primary follows it, read-only, its
link up; and a write to the key `andon:canary` arrives there.

Can that have come about without us? Yes: had the primary died, the Sentinels would have promoted the same replica by
themselves, and the epoch would have grown just so. It counts as done all the same: this state is what the step wants,
doing it again would move the primary back, and a failover that had lost writes shows by an offset below the recorded
one. What it cannot tell is a request that is still on its way; the epoch is in what is told, so a later change shows.
An old epoch, or another primary, proves nothing: the request may still arrive, so then a person decides.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from remediations.kit import (
    JsonText,
    NotSent,
    ReadBack,
    RedisLook,
    RedisTarget,
    Rejected,
    TargetError,
    Unknown,
    canonical,
)

CANARY = "andon:canary"  # a key that nobody else uses; its allow line is "SET andon:canary"
CANARY_SECONDS = 3_600  # it goes by itself
SETTLE_SECONDS = 12.0  # Sentinel's own time-out of a coordinated failover is its failover-timeout, often 10 s or less
LOOK_BACK_SECONDS = 1.6  # a read-back has 3 s in all; after an interruption the servers may be settling just now
ARRIVE_SECONDS = 0.8  # for the canary to reach the old primary: one way over a link that is up
POLL_SECONDS = 0.05  # how often servers are looked at; no server tells when a failover is over


@dataclass(frozen=True, slots=True)
class Seen:
    """A look compared with before: `missing` is what still speaks against it being done; "" for nothing."""

    missing: str
    moved: bool = False
    after: dict[str, object] = field(default_factory=dict)


def compare(look: RedisLook, before: dict[str, object]) -> Seen:
    """What became of the failover that `before` was recorded for."""
    old, new = str(before["primary"]), look.primary
    after: dict[str, object] = {"primary": new.address, "epoch": look.epoch, "history": new.replid}
    if new.address not in _fit(before) or new.role != "primary":
        kind = "still" if new.address == old else "neither the old one nor a wanted one:"
        return Seen(f"the primary is {kind} {new.address} (epoch {look.epoch})", after=after)
    return Seen(_missing(look, before, old), moved=True, after=after)


def _missing(look: RedisLook, before: dict[str, object], old: str) -> str:
    """What is not as a finished failover leaves it, though the wanted server is primary."""
    new, epoch, offset = look.primary, _int(before["epoch"]), _int(before["offset"])
    follower = next((node for node in look.replicas if node.address == old), None)
    if look.sentinels and look.epoch <= epoch:
        return f"the Sentinels' epoch is {look.epoch}, not above {epoch}"
    if not look.sentinels and new.replid == before["history"]:
        return f"{new.address} has the history {new.replid[:8]} of before; a promotion gives a new one"
    if new.offset < offset:
        return f"{new.address} is at offset {new.offset}, below {offset} of the old primary: writes are lost"
    if look.claims and look.claims != (new.address,):
        return f"{' and '.join(look.claims)} are called primary"
    if follower is None or follower.error:
        return f"the old primary {old} is not back as a replica{f': {follower.error}' if follower else ''}"
    if follower.role != "replica" or follower.of != new.address or not follower.link_up:
        return f"the old primary {old} does not follow {new.address} yet"
    if not follower.read_only:
        return f"the old primary {old} is not read-only"
    return ""


async def settle(target: RedisTarget, before: dict[str, object], seconds: float) -> Seen:
    """Look until nothing is missing, or the time is over; the last look counts."""
    seen = Seen("nothing could be seen")
    try:
        async with asyncio.timeout(seconds):
            while seen.missing or not seen.moved:
                try:
                    seen = compare(await target.look(), before)
                except TargetError as error:  # in the midst of it no primary answers
                    seen = Seen(f"the servers cannot be seen: {error}")
                if seen.missing:
                    await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        pass
    return seen


async def announce(target: RedisTarget, channel: str, primary: str) -> None:
    """Tell whoever listens where the primary is now; for systems that nobody else tells (no Sentinels).

    Unknown when that did not go out: the look afterwards then proves the failover itself, and this reason is told.
    """
    try:
        await target.send("PUBLISH", channel, canonical({"primary": primary}))
    except TargetError as error:
        raise Unknown(f"failed over, but {channel} was not told the new address: {error}") from error


async def read_back(target: RedisTarget, recorded: JsonText, token: str) -> ReadBack:
    """The proof, with its figures. `token`: a value that the canary never had before.

    None: it moved, but whether writes land and arrive could not be told.
    """
    before = json.loads(recorded)
    seen = await settle(target, before, LOOK_BACK_SECONDS)
    if seen.missing:
        return ReadBack(canonical(seen.after), False if seen.after else None, seen.missing)
    new, old = seen.after["primary"], str(before["primary"])
    told = f"{new} is primary, epoch {before['epoch']} → {seen.after['epoch']}; {old} follows it, read-only"
    try:
        await target.send("SET", CANARY, token, "EX", str(CANARY_SECONDS))
    except Rejected as error:
        return ReadBack(canonical(seen.after), False, f"{told}; but it takes no writes: {error}")
    except TargetError as error:
        kind = "no write was tried" if isinstance(error, NotSent) else "a write had no answer"
        return ReadBack(canonical(seen.after), None, f"{told}; {kind}: {error}")
    arrived = await _arrives(target, old, token)
    after = canonical({**seen.after, "canary": "arrived" if arrived else "not arrived"})
    if not arrived:
        return ReadBack(after, False, f"{told}; but a write to it did not arrive there in {ARRIVE_SECONDS:g} s")
    return ReadBack(after, True, f"{told}; a write to the new primary arrived there")


async def _arrives(target: RedisTarget, at: str, value: str) -> bool:
    """Whether the canary comes through to the old primary. Stronger than WAIT: the very value is read there."""
    try:
        async with asyncio.timeout(ARRIVE_SECONDS):
            while True:
                if await target.read("GET", CANARY, at=at) == value:
                    return True
                await asyncio.sleep(POLL_SECONDS)
    except (TargetError, TimeoutError):
        return False


def _fit(before: dict[str, object]) -> list[object]:
    fit = before["fit"]
    return fit if isinstance(fit, list) else []


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
