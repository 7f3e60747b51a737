"""`redis.command`: one write of a fixed kind to one key of a component's Redis, for what has no action of its own yet.

Run by the engine's step activity. Two fences: the verb stands in `redis_verbs` (writes of one key to an absolute value,
nothing else), and the verb with its key stands in the component's `allow:` list, which the connector enforces. What it
means to the trading system is unknown here, hence delivery `once`, risk `risky`, neutral direction.

Left out on purpose: what runs code (EVAL, FCALL), administers (CONFIG, REPLICAOF, SHUTDOWN, ACL …), empties (FLUSH*),
waits (BLPOP, XREAD BLOCK), moves or takes several keys (RENAME, COPY, MSET, SORT … STORE: the allow line names one key
only), and what is relative (INCR, APPEND, LPUSH, XADD: a second one adds to the first). An expiry that is over already
would delete the key under another name, so a time to live is one second at least, and SET takes no moment (EXAT).
"""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import AfterValidator

from remediations.kit import (
    ActionContext,
    ActionSpec,
    CannotTell,
    Entry,
    Field,
    Inspection,
    JsonText,
    NotSent,
    Params,
    Proceed,
    ReadBack,
    RedisTarget,
    TargetError,
    Text,
    Unfit,
    canonical,
    parse,
)
from remediations.redis_verbs import MAX_ARGUMENTS, MAX_SHOWN, Verb, verbs, why_not

SPEC = ActionSpec(
    name="redis.command",
    summary="Write one key of a component's Redis, by a verb of a fixed list that the component allows.",
    delivery="once",
    risk="risky",
    direction="neutral",
    role="store",
    pins=("now",),
)


def _sendable(command: list[str]) -> list[str]:
    if why := why_not(command):
        raise ValueError(why)
    return command


class RedisCommandParams(Params):
    """The verb and its arguments as a list; nothing is split or interpreted."""

    command: Annotated[
        list[Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00-\x1f\x7f]*$")]],
        Field(min_length=2, max_length=1 + MAX_ARGUMENTS, description='Verb, key, the rest: ["HSET", "limits", …].'),
        AfterValidator(_sendable),
    ]
    reason: Annotated[Text, Field(description="Kept in the audit.")]


class RedisCommand:
    """The action; it keeps nothing between calls."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """Whether the component allows it, and what is there now."""
        asked = parse(RedisCommandParams, arguments)
        verb, *rest = asked.command
        try:
            target = context.targets.redis(context.system, context.component)
        except TargetError as error:
            return Unfit(str(error))
        if not target.allows(verb, *rest):
            return Unfit(f"{verb} {rest[0]} is not in the allow list of {context.component}")
        try:
            now = await _read(target, verbs()[verb], rest)
        except TargetError as error:
            return CannotTell(f"what is at {rest[0]!r} now cannot be read: {error}")
        before, wanted = canonical({"now": now}), canonical({"command": " ".join(asked.command)[:MAX_SHOWN]})
        return Proceed(before, wanted, canonical(asked.model_dump()), by_hand=target.by_hand(*asked.command))

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """The command, if what it replaces is still what was shown. Returning means that the server took it."""
        verb, *rest = parse(RedisCommandParams, proceed.arguments).command
        target, shown = context.targets.redis(context.system, context.component), json.loads(proceed.before)["now"]
        try:
            if (now := await _read(target, verbs()[verb], rest)) != shown:
                raise NotSent(f"what is at {rest[0]!r} changed meanwhile from {shown!r} to {now!r}")
        except TargetError as error:
            raise NotSent(str(error)) from error
        await target.send(verb, *rest)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """What is there now. It proves nothing: anybody may have written the same, or something else since."""
        verb, *rest = parse(RedisCommandParams, proceed.arguments).command
        now = await _read(context.targets.redis(context.system, context.component), verbs()[verb], rest)
        return ReadBack(canonical({"now": now}), None, f"{verbs()[verb].reads} {rest[0]} tells {now!r} now")


async def _read(target: RedisTarget, verb: Verb, rest: list[str]) -> str:
    """What the verb would change, as text for a card."""
    value = await target.read(verb.reads, *rest[: 2 if verb.with_field else 1])
    if verb.reads == "TTL" and isinstance(value, int):  # a pin must not tick
        return {-2: "nothing", -1: "no expiry"}.get(value, "an expiry")
    return "nothing" if value is None else str(value)[:MAX_SHOWN]


def _needs(arguments: JsonText) -> tuple[str, ...]:
    verb, key, *_ = parse(RedisCommandParams, arguments).command
    return (f"{verb} {key}",)


ENTRY = Entry(
    spec=SPEC,
    params=RedisCommandParams,
    action=RedisCommand,
    example={"command": ["HSET", "metrics:limits", "max_position", "0"], "reason": "the limit service is down"},
    refuses={
        "the component does not allow it": "HSET metrics:limits is not in the allow list of …",
        "it holds something else": "what is at 'metrics:limits' now cannot be read: WRONGTYPE …",
    },
    needs=_needs,
)
