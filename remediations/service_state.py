"""How a service that depends on a Redis stands, and where it belongs; used by `service.restart`."""

from __future__ import annotations

import asyncio

from remediations.kit import ActionContext, Millis, Unfit

HEALTH_SECONDS = 7.0  # for a restarted service to become healthy; the runbook's own waits are 5 s
POLL_SECONDS = 0.2  # between looks at a service that is starting


async def primary(context: ActionContext, store: str) -> str | Unfit:
    """The address that services belong on. Raises TargetError when no primary answers."""
    look = await context.targets.redis(context.system, store).look()
    others = sorted(set(look.claims) - {look.primary.address})
    if others:
        return Unfit(
            f"{look.primary.address} and {', '.join(others)} are both called primary of {store}: a split brain"
        )
    return look.primary.address


async def state(context: ActionContext, now: Millis) -> tuple[str, str, str]:
    """Its health and its Redis, "" where unread, and then why."""
    read = context.targets.read_field
    readings = [await read(context.system, context.component, field, now) for field in ("health", "redis")]
    health, redis = ("" if one.error or one.value is None else str(one.value)[:100] for one in readings)
    return health, redis, next((one.error for one in readings if one.error), "")


async def until_healthy(context: ActionContext, address: str, seconds: float) -> None:
    """Return when the service is healthy on `address`, or when its time is over; `read_back` tells which."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while (waited := clock() - began) < seconds:
        now = context.clock() if context.clock is not None else context.now + int(waited * 1_000)
        health, redis, _ = await state(context, now)
        if (health, redis) == ("healthy", address):
            return
        await asyncio.sleep(POLL_SECONDS)
