"""What is rendered for Slack, and what its buttons carry: the words that all modules of this room share.

Rendered by `incident_card`, `decision_card`, `digest`, `home`, `modals`; sent by `board` and `api`; read back by
`listeners`. Limits: https://docs.slack.dev/reference/block-kit
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from bot.core.words import AggregateId
from bot.errors import InputError

Block: TypeAlias = dict[str, Any]

# What a button, a menu or a modal asks for. `action_id` and `callback_id` are "andon:" and one of these.
Verb: TypeAlias = Literal[
    "ack", "take", "approve", "deny", "edit", "hold", "escalate", "resolve", "show", "freeze", "unfreeze", "run",
    "silence", "arm", "disarm", "refresh",
]  # fmt: skip
PREFIX: Final = "andon:"
VERBS: Final[frozenset[str]] = frozenset(get_args(Verb))
MAX_VALUE: Final = 2_000  # characters of a button's value


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `text` is what notifications and screen readers say (at most 4,000 characters, escaped)."""

    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Ref:
    """What a button is about. `approval` and `digest` bind a decision to the question that was shown."""

    incident: AggregateId
    approval: str = ""
    digest: str = ""

    @property
    def text(self) -> str:
        """As a button's value."""
        return f"{self.incident}|{self.approval}|{self.digest}"

    @classmethod
    def read(cls, text: str) -> Ref:
        """From a button's value. Raises InputError when it is none of ours."""
        parts = text.split("|")
        if len(parts) != 3 or not parts[0] or len(text) > MAX_VALUE:
            raise InputError("value", "is not a button of Andon's; open the card again and use it there")
        return cls(*parts)


def action_id(verb: Verb, place: str = "") -> str:
    """`andon:approve`, or `andon:approve:home` where one view has several buttons of one verb."""
    return f"{PREFIX}{verb}:{place}" if place else f"{PREFIX}{verb}"


def verb_of(action: str) -> Verb:
    """The verb of an `action_id` or a `callback_id`. Raises InputError when it is none of ours."""
    verb = action.removeprefix(PREFIX).partition(":")[0]
    if not action.startswith(PREFIX) or verb not in VERBS:
        raise InputError("action_id", "is not a button of Andon's")
    return verb  # type: ignore[return-value]  # one of VERBS, as just seen
