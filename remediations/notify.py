"""`notify`: say one thing in the incident's channel.

Run by the engine's step activity without a component, so without slot or fence. The words go through the context's
`say`, which the dispatcher ties to the chat port; they are data there, never markup. Said at most once (delivery
`once`): a doubled message misleads less than a lost one harms, but an unanswered post is still shown to a person.
"""

from __future__ import annotations

from typing import Annotated

from remediations.kit import (
    ActionContext,
    ActionSpec,
    DeliveryError,
    DeliveryUncertain,
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

SPEC = ActionSpec(
    name="notify",
    summary="Say one thing in the incident's channel.",
    delivery="once",
    risk="safe",
    direction="neutral",
)


class NotifyParams(Params):
    """What to say."""

    message: Annotated[Text, Field(description="Plain words; `${labels.x}` is filled in.")]


class Notify:
    """The action; it keeps nothing between calls."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """There is nothing to look at but whether anybody listens."""
        asked = parse(NotifyParams, arguments)
        if context.say is None:
            return Unfit("no chat is connected")
        return Proceed(before="{}", wanted=canonical({"said": asked.message}), arguments=canonical(asked.model_dump()))

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """Post it. Raises NotSent when chat did not take it, Unknown when it may have."""
        if context.say is None:
            raise NotSent("no chat is connected")
        try:
            await context.say(parse(NotifyParams, proceed.arguments).message)
        except DeliveryUncertain as error:
            raise Unknown(f"chat may have taken the message: {error}") from error
        except DeliveryError as error:
            raise NotSent(f"chat did not take the message: {error}") from error

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Chat is not read back; that it took the message is all there is."""
        return ReadBack("{}", None, "said; chat is not read back")


ENTRY = Entry(spec=SPEC, params=NotifyParams, action=Notify, example={"message": "VaR breach on BTC-USD"})
