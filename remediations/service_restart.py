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
from remediations.service_state import HEALTH_SECONDS, same, state, store, until_healthy

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
            look = await store(context, asked.store)
        except TargetError as error:
            return CannotTell(f"which address {context.component} belongs on cannot be told: {error}")
        if isinstance(look, Unfit):
            return look
        if len(target.programs) != 1:
            return Unfit(f"{context.component} allows {len(target.programs)} programs, and only one can be its restart")
        program, address = target.programs[0], look.primary.address
        stands = await state(context, context.now, look)
        before = canonical({"health": stands.health, "redis": stands.redis, "primary": address})
        if stands.well:
            return AlreadySo(before, f"{context.component} is healthy on {address} already")
        frozen = _Frozen(store=asked.store, reason=asked.reason, program=program, address=address)
        return Proceed(
            before=before,
            wanted=canonical({"health": "healthy", "redis": address}),
            arguments=canonical(frozen.model_dump(mode="json")),
            by_hand=target.by_hand(program, [context.component, address]),
            ask=stands.doubt(context.component, address),
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """Run the program, if it is still needed and the primary is still the same; then wait for the service."""
        frozen = parse(_Frozen, proceed.arguments)
        try:
            look = await store(context, frozen.store)
        except TargetError as error:
            raise NotSent(str(error)) from error
        if isinstance(look, Unfit):
            raise NotSent(look.why)
        if look.primary.address != frozen.address:
            raise NotSent(f"the primary is {look.primary.address} now, not {frozen.address}")
        stands = await state(context, context.now, look)
        if stands.well:
            raise NotSent(f"{context.component} became healthy on {stands.redis} meanwhile")
        if not proceed.ask and (doubt := stands.doubt(context.component, frozen.address)):
            raise NotSent(f"meanwhile {doubt}")
        target = context.targets.program(context.system, context.component)
        reply = await target.run(frozen.program, [context.component, frozen.address], seconds=RUN_SECONDS)
        if reply.code != 0:
            said = " ".join(reply.output.split())[-300:] or "nothing"
            raise Unknown(f"{frozen.program} ended with {reply.code} and wrote {said}; the restart may be half done")
        await until_healthy(context, frozen.address, self._health_seconds)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Whether it is healthy there now."""
        address = parse(_Frozen, proceed.arguments).address
        stands = await state(context, context.now)
        if stands.problem:
            return ReadBack("{}", None, stands.problem)
        there = await same(stands.redis, address)
        why = f"{context.component} is {stands.health} on {stands.redis}"
        if stands.health == "healthy" and there is None:
            return ReadBack("{}", None, f"{why}, and whether that is {address} cannot be told")
        after = canonical({"health": stands.health, "redis": stands.redis})
        return ReadBack(after, stands.health == "healthy" and there, why)


ENTRY = Entry(
    spec=SPEC,
    params=ServiceRestartParams,
    action=ServiceRestart,
    example={"store": "redis", "reason": "redis was failed over"},
    refuses={"two servers are called primary": "… are both called primary of redis: a split brain"},
)
