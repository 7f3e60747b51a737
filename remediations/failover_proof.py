"""Was this Redis failed over? What `redis.failover` and `redis.failback` wait for, and how they prove it afterwards.

Compared are the figures of right before (`failover_preconditions.figures`, kept in the intent, so this works after a
crash of Andon too) with a new look. Done means all of: the replica is primary; the epoch has grown (without Sentinels:
the history got a new id, as every promotion gives it); it took over no earlier than at the old primary's offset of
before; nobody else is called primary; the old primary follows it, read-only, its link up; and a write to the key
`andon:canary` arrives there.

That is enough where the server took our own request, and the roles changed under our eyes. After an interruption, or
without an answer, it is not: a plain SENTINEL FAILOVER by somebody else, or by the Sentinels when the primary had died,
looks the same, and all that the old primary acknowledged between the promotion and its own demotion is gone (60,330 of
71,272 writes in a trial). Then the replication histories must prove that nothing is missing (`doubt`): the new primary
and the old one both continue the history of before, and left it at the very same offset, with the old primary the same
process all along. A coordinated handover always leaves them so, for it stops writes first. After a plain failover the
old primary has bytes of its own, so it copies everything and forgets its former history; had it none, nothing is lost.
Also, they continue only the last history, so this was the only change of primary since. Without that proof the answer
is None, in words: somebody must compare. A request still on its way cannot be told; an old epoch, or another primary,
proves nothing: the request may still arrive, so then a person decides.
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


def needed(channel: str) -> tuple[str, ...]:
    """The allow lines of a failover: the request itself, the write that proves it, and the channel that is told."""
    return ("FAILOVER", f"SET {CANARY}", *((f"PUBLISH {channel}",) if channel else ()))


@dataclass(frozen=True, slots=True)
class Seen:
    """A look compared with before: `missing` is what still speaks against it being done; "" for nothing."""

    missing: str
    moved: bool = False
    doubt: str = ""  # why writes may be lost though nothing is missing; "" when the histories prove that none is
    after: dict[str, object] = field(default_factory=dict)


def compare(look: RedisLook, before: dict[str, object]) -> Seen:
    """What became of the failover that `before` was recorded for."""
    old, new = str(before["primary"]), look.primary
    after: dict[str, object] = {"primary": new.address, "epoch": look.epoch, "history": new.replid}
    if new.address not in _fit(before) or new.role != "primary":
        kind = "still" if new.address == old else "neither the old one nor a wanted one:"
        return Seen(f"the primary is {kind} {new.address} (epoch {look.epoch})", after=after)
    return Seen(_missing(look, before, old), moved=True, doubt=doubt(look, before), after=after)


def doubt(look: RedisLook, before: dict[str, object]) -> str:
    """Why the replication histories do not prove that the handover lost nothing; "" when they do."""
    old, new, history = str(before["primary"]), look.primary, str(before["history"])
    follower = next((node for node in look.replicas if node.address == old), None)
    if not history or new.former != history:
        return f"{new.address} does not continue the history that {old} had, {history[:8] or 'which is unknown'}"
    if follower is None or follower.error:
        return f"the history of {old} cannot be seen"
    if not follower.run_id or follower.run_id != before.get("run_id"):
        return f"{old} was started anew since"
    if follower.former != history:
        return f"{old} had to copy everything from {new.address}, so it held what {new.address} did not have"
    if follower.former_until != new.former_until:
        return f"{new.address} took over at offset {new.former_until}, and {old} gave up at {follower.former_until}"
    return ""


def _missing(look: RedisLook, before: dict[str, object], old: str) -> str:
    """What is not as a finished failover leaves it, though the wanted server is primary."""
    new, epoch, offset = look.primary, _int(before["epoch"]), _int(before["offset"])
    began = new.former_until - 1 if new.former and new.former == before["history"] else new.offset
    follower = next((node for node in look.replicas if node.address == old), None)
    if look.sentinels and look.epoch <= epoch:
        return f"the Sentinels' epoch is {look.epoch}, not above {epoch}"
    if not look.sentinels and new.replid == before["history"]:
        return f"{new.address} has the history {new.replid[:8]} of before; a promotion gives a new one"
    if began < offset:
        return f"{new.address} took over at offset {began}, below {offset} of the old primary: writes are lost"
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


async def read_back(target: RedisTarget, recorded: JsonText, token: str, *, ours: bool) -> ReadBack:
    """The proof, with its figures. `token`: a value that the canary never had before.

    `ours`: our own request was taken, and the roles changed right after. None: it moved, but nothing proves that no
    write is lost, or whether writes land and arrive could not be told.
    """
    before = json.loads(recorded)
    seen = await settle(target, before, LOOK_BACK_SECONDS)
    if seen.missing:
        return ReadBack(canonical(seen.after), False if seen.after else None, seen.missing)
    new, old = seen.after["primary"], str(before["primary"])
    epochs = f"epoch {before['epoch']} → {seen.after['epoch']}"
    if seen.doubt and not ours:
        why = f"it moved to {new}, {epochs}, and nothing shows by whom; writes may be lost: {seen.doubt}. "
        return ReadBack(canonical(seen.after), None, f"{why}Compare what was acknowledged with what {new} holds")
    told = f"{new} is primary, {epochs}; {old} follows it, read-only"
    told += (
        f"; the histories do not show that nothing is lost: {seen.doubt}" if seen.doubt else ", with not a byte lost"
    )
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
