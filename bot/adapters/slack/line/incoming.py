"""What comes from Slack, judged before anything else reads it: a payload that Slack never sends goes no further.

Called by `door` (HTTP) and `socket_line` (Socket Mode) with whatever was sent. What goes on to slack-bolt and to the
listeners holds only the fields named here, each of the type it has with Slack, so that neither ever meets a list where
an object is due. Pure. https://docs.slack.dev/interactivity/handling-user-interaction and
https://docs.slack.dev/apis/events-api
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from bot.adapters.slack.pages.inputs import MAX_METADATA
from bot.errors import InputError

MAX_NAME: Final = 255  # characters of an id; Slack's own limit for those that an app chooses
MAX_URL: Final = 3_000
MAX_ACTIONS: Final = 25  # of one click; Slack sends one
MAX_FIELDS: Final = 100  # blocks of a modal, and elements of one of them
MAX_TOLD: Final = 120  # characters of somebody's text in a log line or an answer


class PayloadError(InputError):
    """Slack sends no such thing; `field` names what is wrong. Nothing was done, and none of it goes any further."""


@dataclass(frozen=True, slots=True)
class Unheard:
    """Slack may well send it, but nobody here listens to it: to be acknowledged, and that is all."""

    kind: str


def _whole(text: object) -> object:
    """A text that can be kept: half a surrogate pair, which JSON can write, becomes a question mark."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text


_Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]
_Name = Annotated[str, StringConstraints(max_length=MAX_NAME)]
_Url = Annotated[str, StringConstraints(max_length=MAX_URL)]
_Text = Annotated[str, BeforeValidator(_whole)]  # whoever reads it says how long it may be, and tells the person


class _Part(BaseModel):
    """A part of a payload. What is null in it counts as absent."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Account(_Part):
    id: _Id
    team_id: _Name | None = None


class _Place(_Part):
    """A workspace or a channel."""

    id: _Id


class _Container(_Part):
    """What was clicked in."""

    message_ts: _Name | None = None
    view_id: _Name | None = None
    channel_id: _Name | None = None
    thread_ts: _Name | None = None
    is_ephemeral: bool | None = None


class _Option(_Part):
    value: _Text


class _Action(_Part):
    type: _Id
    action_id: _Id
    action_ts: _Id  # tells one click from the next
    block_id: _Name | None = None
    value: _Text | None = None
    url: _Url | None = None
    selected_option: _Option | None = None


class _Click(_Part):
    type: Literal["block_actions"]
    user: _Account
    team: _Place | None = None
    container: _Container
    actions: Annotated[list[_Action], Field(min_length=1, max_length=MAX_ACTIONS)]
    trigger_id: _Name | None = None
    response_url: _Url | None = None


class _Entry(_Part):
    """What stands in one field of a modal."""

    value: _Text | None = None
    selected_option: _Option | None = None
    selected_options: Annotated[list[_Option], Field(max_length=MAX_FIELDS)] | None = None


_Block = Annotated[dict[_Name, _Entry], Field(max_length=MAX_FIELDS)]


class _State(_Part):
    values: Annotated[dict[_Name, _Block], Field(max_length=MAX_FIELDS)] | None = None


class _View(_Part):
    id: _Id
    hash: _Id  # tells one submission from the next
    type: Annotated[str, BeforeValidator(lambda _: "modal")] = "modal"  # slack-bolt looks at it, and nobody else
    callback_id: _Id
    private_metadata: Annotated[str, StringConstraints(max_length=MAX_METADATA)] | None = None
    state: _State | None = None


class _Submission(_Part):
    type: Literal["view_submission"]
    user: _Account
    team: _Place | None = None
    view: _View


class _Command(_Part):
    command: _Id
    text: _Text | None = None
    team_id: _Id
    user_id: _Id
    trigger_id: _Id  # tells one command from the next
    channel_id: _Name | None = None
    response_url: _Url | None = None


class _Said(_Part):
    """The message that a shortcut was used on."""

    ts: _Id
    thread_ts: _Name | None = None


class _Shortcut(_Part):
    type: Literal["message_action"]
    callback_id: _Id
    user: _Account
    team: _Place | None = None
    trigger_id: _Id
    channel: _Place
    message: _Said
    response_url: _Url | None = None


class _Edit(_Part):
    """Whoever edits a message that mentions an app tells the app anew, with an `event_id` of its own.

    https://github.com/slack-go/slack/pull/1256
    """

    user: _Name | None = None
    ts: _Name | None = None


class _Event(_Part):
    type: Literal["app_mention", "app_home_opened"]
    user: _Id | None = None
    bot_id: _Name | None = None
    team: _Name | None = None
    user_team: _Name | None = None
    channel: _Name | None = None
    ts: _Name | None = None
    thread_ts: _Name | None = None
    edited: _Edit | None = None
    text: _Text | None = None

    @model_validator(mode="after")
    def _somebody(self) -> _Event:
        if self.user is None and not self.bot_id:
            raise ValueError("names nobody in user")
        return self


class _Installation(_Part):
    """Of Andon, where the event came to."""

    team_id: _Name | None = None


class _Told(_Part):
    type: Literal["event_callback"]
    team_id: _Id
    authorizations: list[_Installation] | None = None
    event_id: _Id  # the same when it is told again
    event: _Event


_KINDS: Final[Mapping[str, type[_Part]]] = {
    "block_actions": _Click,
    "view_submission": _Submission,
    "message_action": _Shortcut,
    "event_callback": _Told,
}
_EVENTS: Final = frozenset({"app_mention", "app_home_opened"})


def read(payload: object) -> dict[str, Any] | Unheard:
    """The payload with what Andon reads of it, and nothing else. Raises PayloadError."""
    if not isinstance(payload, dict):
        raise PayloadError("payload", "is not an object")
    kind = payload.get("type")
    if kind is None and "command" in payload:
        return _judged(_Command, payload)
    if not isinstance(kind, str):
        raise PayloadError("type", "is missing" if kind is None else "is not a text")
    if kind not in _KINDS:
        return Unheard(printable(kind))
    if kind == "event_callback":
        event = payload.get("event")
        named = event.get("type") if isinstance(event, dict) else None
        if isinstance(named, str) and named not in _EVENTS:
            return Unheard(printable(f"{kind} {named}"))
    return _judged(_KINDS[kind], payload)


def _judged(model: type[_Part], payload: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return model.model_validate(payload).model_dump(exclude_none=True)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(map(str, wrong["loc"])) or "payload"
    raise PayloadError(printable(field), printable(wrong["msg"]))


def printable(text: str) -> str:
    """Somebody's text, fit for a log line: short, and nothing in it that a terminal obeys."""
    return "".join(c if c.isprintable() else "·" for c in text[:MAX_TOLD])
