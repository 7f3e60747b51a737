"""`redis.publish`: one message on a channel of a component's Redis (trading-core runbook, "Hot-Reload Procedure").

Run by the engine's step activity. The connector lets only channels out that the component's `allow:` list names. What
the listeners do with a message is theirs: `param.reload` makes a live service take other risk parameters. So it is
`risky` (one approver) although publishing itself changes nothing in the Redis, and `once`: most listeners act on every
message. A message that nobody hears is lost without an error, so listeners are counted before, and the server's own
count of receivers is told afterwards: none means that it was not done.
"""

from __future__ import annotations

from typing import Annotated

from remediations.kit import (
    ActionContext,
    ActionSpec,
    CannotTell,
    Entry,
    Field,
    Inspection,
    JsonText,
    JsonValue,
    Params,
    Proceed,
    ReadBack,
    RedisTarget,
    Rejected,
    TargetError,
    Text,
    Unfit,
    canonical,
    parse,
)

SPEC = ActionSpec(
    name="redis.publish",
    summary="Publish one message on an allowed channel of a component's Redis; refused where nobody listens.",
    delivery="once",
    risk="risky",
    direction="neutral",
    role="store",
    source="T4",
)


class RedisPublishParams(Params):
    """The channel exactly as in the component's `allow:` list, and the message: text, or an object sent as JSON."""

    channel: Annotated[str, Field(pattern=r"^[^\s*?\[\]\x00-\x1f\x7f]{1,200}$", description="As in `allow:`.")]
    message: Annotated[Text | dict[str, JsonValue], Field(description="Text, or an object that is sent as JSON.")]


class RedisPublish:
    """The action. Made anew for each run, it keeps how many received its message until the read-back tells it."""

    def __init__(self) -> None:
        self._received: int | None = None

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """How many listen now; patterns (PSUBSCRIBE) may match or not, so they only keep a zero from being sure."""
        asked = parse(RedisPublishParams, arguments)
        try:
            target = context.targets.redis(context.system, context.component)
        except TargetError as error:
            return Unfit(str(error))
        try:
            listening, patterns = await _listeners(target, asked.channel)
        except TargetError as error:
            return CannotTell(f"who listens on {asked.channel} cannot be read: {error}")
        if not listening and not patterns:
            return Unfit(f"nobody listens on {asked.channel} (0 subscribers), so the message would be lost")
        return Proceed(
            before=canonical({"subscribers": listening, "patterns": patterns}),
            wanted=canonical({"message": f"{asked.channel} {_text(asked)}"}),
            arguments=canonical(asked.model_dump(mode="json")),
            by_hand=target.by_hand("PUBLISH", asked.channel, _text(asked)),
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """Publish. Rejected: the server took it, and had nobody to give it to."""
        asked = parse(RedisPublishParams, proceed.arguments)
        target = context.targets.redis(context.system, context.component)
        received = await target.send("PUBLISH", asked.channel, _text(asked))
        self._received = received if isinstance(received, int) else None
        if self._received == 0:
            raise Rejected(f"nobody received it: {asked.channel} had lost its last subscriber")

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """A message leaves no trace, so nothing is ever proved by this; only how many heard it is told."""
        if self._received is None:
            return ReadBack("{}", None, "a message leaves no trace in a Redis, so nobody can tell whether it went out")
        return ReadBack(canonical({"received": self._received}), None, f"{self._received} subscribers received it")


async def _listeners(target: RedisTarget, channel: str) -> tuple[int, int]:
    """Subscribers of the channel, and patterns that anybody subscribed to; both on the primary only."""
    named, patterns = await target.read("PUBSUB", "NUMSUB", channel), await target.read("PUBSUB", "NUMPAT")
    count = named[1] if isinstance(named, list) and len(named) == 2 else None
    if not isinstance(count, int) or not isinstance(patterns, int):
        raise Rejected(f"PUBSUB answers {str(named)[:80]}")
    return count, patterns


def _text(asked: RedisPublishParams) -> str:
    """The message as it leaves."""
    return asked.message if isinstance(asked.message, str) else canonical(asked.message)


ENTRY = Entry(
    spec=SPEC,
    params=RedisPublishParams,
    action=RedisPublish,
    example={"channel": "param.reload", "message": {"component": "risk_harmoniser", "config_path": "risk_params.yml"}},
    refuses={"nobody listens": "nobody listens on param.reload (0 subscribers), so the message would be lost"},
    needs=lambda arguments: (f"PUBLISH {parse(RedisPublishParams, arguments).channel}",),
)
