"""What a person typed into a modal, as typed values, or what is wrong with it, field by field.

Made by `modals.read`; `listeners` takes them to the desk, or hands `FieldErrors.reply` back to Slack, which shows each
sentence under its field and keeps what was typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bot.adapters.slack.cards.shapes import Ref
from bot.core.ids import digest
from bot.core.words import Millis


@dataclass(frozen=True, slots=True)
class FieldErrors:
    """What is wrong, by the field's block_id, each in one sentence for its reader."""

    problems: Mapping[str, str]

    @property
    def reply(self) -> dict[str, Any]:
        """As the answer to a view_submission."""
        return {"response_action": "errors", "errors": dict(self.problems)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DenyForm:
    """No, and why."""

    ref: Ref
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AloneForm:
    """Yes, alone, by breaking the glass; it pages everybody."""

    ref: Ref
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditForm:
    """A safer value instead of the proposed one."""

    ref: Ref
    arguments: Mapping[str, float]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldForm:
    """The ladder's own actions wait. `confirmed`: the person has seen which."""

    ref: Ref
    for_ms: Millis
    reason: str
    confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalateForm:
    """More people, now."""

    ref: Ref
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveForm:
    """The matter is closed; `force`: although alerts still fire."""

    ref: Ref
    note: str
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeForm:
    """Automation off. `system` "" is every one, `component` "" all of it; without `for_ms`, until lifted.

    `confirmed`: the person has seen what it would stop.
    """

    system: str
    component: str
    reason: str
    for_ms: Millis | None
    confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfreezeForm:
    """Automation on again, there. `seen`: the mark of the freeze that was chosen from the list.

    `shown`: the marks of all that the page before it has shown; None while it was not shown.
    """

    system: str
    component: str
    seen: str = ""
    shown: tuple[str, ...] | None = None


def mark(why: str) -> str:
    """Tells one freeze from the next at the same place, by whose it is and why."""
    return digest(why)[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmForm:
    """A policy may act from now on (`on`), or only watch. `seen`: the mark of what was shown before."""

    system: str
    policy: str
    on: bool
    seen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceForm:
    """Alerts that are not to be told for a while. `confirmed`: the person has seen which."""

    matchers: tuple[str, ...]
    for_ms: Millis
    comment: str
    confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChoice:
    """Which action, on what. Its fields come next; `given` are those that were typed already."""

    system: str
    component: str
    action: str
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunForm:
    """An action with its arguments. `confirmed`: the person has seen what it would do."""

    system: str
    component: str
    action: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    confirmed: bool = False


Form: TypeAlias = (
    DenyForm | AloneForm | EditForm | HoldForm | EscalateForm | ResolveForm | FreezeForm | UnfreezeForm | ArmForm
    | SilenceForm | RunChoice | RunForm
)  # fmt: skip
