"""`service.restart`: restart a service that depends on a Redis, on the address of the current primary.

Run by the engine's step activity after a failover, one step per service, each gated on the health of the one before
(trading-core runbook, "Restart Sequence"). A service that is healthy on the current primary is left alone, so it can be
asked for again and again. The component (`connector: command`) allows one program, which gets two arguments: the
component's name and host:port. Its `read:` entries `health` ("healthy", "starting" …) and `redis` (host:port) tell how
it stands; after the program has ended, a while is given to it to become healthy.

It is safe because nothing that works is touched: it acts on a service that is not healthy on the Redis it belongs on.
"""

from __future__ import annotations

from typing import Annotated

from remediations.kit import (
    ActionContext,
    ActionSpec,
    AlreadySo,
    CannotTell,
    Entry,
    Field,
    Inspection,
    NotSent,
    Params,
    Proceed,
    ReadBack,
    TargetError,
    Text,
    Unfit,
    Unknown,
    canonical,
    parse,
)
from remediations.service_state import HEALTH_SECONDS, primary, state, until_healthy

RUN_SECONDS = 8.0  # for the program; with HEALTH_SECONDS and its end by force, below what one send may take

SPEC = ActionSpec(
    name="service.restart",
    summary="Restart a service on the current primary of its Redis, unless it is healthy there already.",
    delivery="absolute",
    risk="safe",
    direction="neutral",
    role="service",
    pins=("primary",),
    source="T3",
    send_ms=20_000,
)


class ServiceRestartParams(Params):
    """The Redis that the service belongs on, and why."""

    store: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100, description="The Redis component.")]
    reason: Annotated[Text, Field(description="Kept in the record.")]


class _Frozen(ServiceRestartParams):
    """What an intent records."""

    program: str
    address: str


class ServiceRestart:
    """The action; it keeps nothing between calls."""

    def __init__(self, health_seconds: float = HEALTH_SECONDS) -> None:
        self._health_seconds = health_seconds

    async def inspect(self, context: ActionContext, arguments: str) -> Inspection:
        """Find the primary, and how the service stands."""
        asked = parse(ServiceRestartParams, arguments)
        try:
            target = context.targets.program(context.system, context.component)
            address = await primary(context, asked.store)
        except TargetError as error:
            return CannotTell(f"which address {context.component} belongs on cannot be told: {error}")
        if isinstance(address, Unfit):
            return address
        if len(target.programs) != 1:
            return Unfit(f"{context.component} allows {len(target.programs)} programs, and only one can be its restart")
        program = target.programs[0]
        health, redis, problem = await state(context, context.now)
        before = canonical({"health": health, "redis": redis, "primary": address})
        if (health, redis) == ("healthy", address):
            return AlreadySo(before, f"{context.component} is healthy on {address} already")
        ask = f"its health cannot be read ({problem})" if problem else ""
        if health == "starting":
            ask = f"{context.component} is starting already, on {redis}; a restart would begin anew"
        frozen = _Frozen(store=asked.store, reason=asked.reason, program=program, address=address)
        return Proceed(
            before=before,
            wanted=canonical({"health": "healthy", "redis": address}),
            arguments=canonical(frozen.model_dump(mode="json")),
            by_hand=target.by_hand(program, [context.component, address]),
            ask=ask,
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """Run the program, if it is still needed and the primary is still the same; then wait for the service."""
        frozen = parse(_Frozen, proceed.arguments)
        try:
            now = await primary(context, frozen.store)
        except TargetError as error:
            raise NotSent(str(error)) from error
        if now != frozen.address:
            raise NotSent(now.why if isinstance(now, Unfit) else f"the primary is {now} now, not {frozen.address}")
        health, redis, _ = await state(context, context.now)
        if (health, redis) == ("healthy", frozen.address):
            raise NotSent(f"{context.component} became healthy on {frozen.address} meanwhile")
        target = context.targets.program(context.system, context.component)
        reply = await target.run(frozen.program, [context.component, frozen.address], seconds=RUN_SECONDS)
        if reply.code != 0:
            said = " ".join(reply.output.split())[-300:] or "nothing"
            raise Unknown(f"{frozen.program} ended with {reply.code} and wrote {said}; the restart may be half done")
        await until_healthy(context, frozen.address, self._health_seconds)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Whether it is healthy there now."""
        address = parse(_Frozen, proceed.arguments).address
        health, redis, problem = await state(context, context.now)
        if problem:
            return ReadBack("{}", None, problem)
        after = canonical({"health": health, "redis": redis})
        why = f"{context.component} is {health} on {redis}"
        return ReadBack(after, (health, redis) == ("healthy", address), why)


ENTRY = Entry(
    spec=SPEC,
    params=ServiceRestartParams,
    action=ServiceRestart,
    example={"store": "redis", "reason": "redis was failed over"},
    refuses={"two servers are called primary": "… are both called primary of redis: a split brain"},
)
