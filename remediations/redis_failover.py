"""`redis.failover`: move the primary to its replica without losing a write (trading-core runbook, row T3).

Run by the engine's step activity. It is coordinated or not done at all: `SENTINEL FAILOVER … COORDINATED` where the
Sentinels know it, else, without Sentinels, the server's own FAILOVER: both stop writes, wait until the replica has
every one of them, and only then change roles. What must hold is in `failover_preconditions`, the proof in
`failover_proof`. Delivery `once`: a second request would move the primary back. Never home: that is `redis.failback`.
"""

from __future__ import annotations

import json
from typing import Annotated

from remediations.failover_preconditions import (
    SAMPLES,
    as_approved,
    by_hand,
    candidates,
    doubts,
    figures,
    instead,
    load,
    refusal,
    unmeasured,
)
from remediations.failover_proof import SETTLE_SECONDS, announce, needed, read_back, settle
from remediations.kit import (
    ActionContext,
    ActionSpec,
    AlreadySo,
    CannotTell,
    Entry,
    Field,
    Inspection,
    JsonText,
    NotSent,
    Params,
    Proceed,
    ReadBack,
    Text,
    Unfit,
    Unknown,
    canonical,
    parse,
)

PINS = ("primary", "epoch", "fit")  # not which of two fit replicas is ahead: that changes with every write
SLOW_US = 5_000  # trading-core runbook: "Redis Latency > 5ms p99"
SEND_MS = 15_000  # the request, and SETTLE_SECONDS until all roles have changed

SPEC = ActionSpec(
    name="redis.failover",
    summary="Make the replica of a Redis its primary, coordinated, so that no acknowledged write is lost.",
    delivery="once",
    risk="safe",
    direction="neutral",
    role="store",
    pins=PINS,
    undo="redis.failback",
    source="T3",
    send_ms=SEND_MS,
)


class FailoverParams(Params):
    """Why, and from which latency on a server counts as slow."""

    reason: Annotated[Text, Field(description="Kept in the audit.")]
    slow_us: Annotated[int, Field(ge=10, le=10_000_000, description="p99 of a PING from here, microseconds.")] = SLOW_US
    announce: Annotated[
        str, Field(pattern=r"^[^\s*?\[\]\x00-\x1f\x7f]{0,200}$", description="A channel that is told the new address.")
    ] = ""


class RedisFailover:
    """The action. Made anew for each run, it keeps until the read-back that its own request was taken and done."""

    home = False  # whether it goes to the home address; redis.failback does

    def __init__(self) -> None:
        self._done = False

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """Look at every server and Sentinel, measure, and judge."""
        asked = parse(FailoverParams, arguments)
        target = context.targets.redis(context.system, context.component)
        look = await target.look(samples=SAMPLES)
        if self.home and look.claims in ((), (look.home,)) and look.primary.address == look.home:
            return AlreadySo(canonical({"primary": look.home, "epoch": look.epoch}), f"{look.home} is primary already")
        found = candidates(look, asked.slow_us, home=self.home)
        if isinstance(found, str):
            return Unfit(found, canonical({"primary": look.primary.address, "epoch": look.epoch}))
        now, to = load(str(await target.read("INFO"))), found[0]
        shown = figures(look, found, now)
        before = canonical(shown)
        why = refusal(look, found, asked.slow_us, now)
        if why:
            return Unfit(f"{why}{instead(target, look, to)}", before)
        if unmeasured(look, found):
            return CannotTell(f"the latency of {unmeasured(look, found)} cannot be measured")
        return Proceed(
            before=before,
            wanted=canonical({"primary": shown["replica"]}),
            arguments=canonical(asked.model_dump()),
            by_hand=by_hand(target, look, to),
            ask=doubts(look, to, asked.slow_us, now),
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """Ask for it, if all is as it was approved; returns when the roles have changed. Unknown: not yet by then."""
        before, asked = json.loads(proceed.before), parse(FailoverParams, proceed.arguments)
        target = context.targets.redis(context.system, context.component)
        look = await target.look()
        found = as_approved(look, candidates(look, asked.slow_us, home=self.home), before)
        if isinstance(found, str):
            raise NotSent(found)
        why = refusal(look, found, asked.slow_us, load(str(await target.read("INFO"))))
        if why:
            raise NotSent(why)
        await target.fail_over(look, found[0].address)
        seen = await settle(target, before, SETTLE_SECONDS)
        if seen.missing:
            raise Unknown(f"accepted, but after {SETTLE_SECONDS:g} s {seen.missing}")
        self._done = True
        if asked.announce:
            await announce(target, asked.announce, str(seen.after["primary"]))

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Prove it by roles, epoch, offset and a write; see `failover_proof` for what proves what."""
        target = context.targets.redis(context.system, context.component)
        return await read_back(target, proceed.before, f"{context.intent} {context.now}", ours=self._done)


ENTRY = Entry(
    spec=SPEC, params=FailoverParams, action=RedisFailover,
    example={"reason": "Redis p99 above 5 ms"}, needs=lambda asked: needed(parse(FailoverParams, asked).announce),
    refuses={
        "the replica is down": "replica … is down: …",
        "the replica is stale": "replica … is stale: its link to the primary is down, and it is 900 bytes behind",
        "the replica lags": "replica … is 1999000 bytes behind; at most 1048576 are caught up with in time",
        "the replica is slow itself": "replica … is slow itself: p99 7000 us, the limit is 5000 us",
        "its data could not be kept": "replica … cannot keep its data: the last background save failed",
        "two primaries": "split brain: … and … are both called primary",
        "Sentinels are missing": "only 1 of 3 Sentinels answer and agree on the primary; …",
        "only a plain failover": "…; by hand, at that risk: …",
        "no replica is to be primary": "… has replica-priority 0: it is never to become primary",
        "the replica is at home": "the only replica is at …, where this Redis is at home: …",
    },
)  # fmt: skip
