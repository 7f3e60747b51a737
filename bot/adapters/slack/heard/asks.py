"""What `/andon …` can be asked, typed: made by `grammar`, answered by `commands`.

An incident is the first letters of its id. What a verb can also ask for in a form is None or "" here when it was left
out. Who asks, and whether they may, is none of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bot.core.words import Millis


@dataclass(frozen=True, slots=True)
class Place:
    """SYSTEM, SYSTEM/COMPONENT, or everywhere ("" and "")."""

    system: str = ""
    component: str = ""


@dataclass(frozen=True, slots=True)
class Help:
    """What is understood; of one verb where it is named."""

    verb: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """Is it well, what may act, what is frozen, what waits."""


@dataclass(frozen=True, slots=True)
class Incidents:
    """What is open."""

    system: str = ""


@dataclass(frozen=True, slots=True)
class Show:
    """One incident."""

    incident: str


@dataclass(frozen=True, slots=True)
class Report:
    """The account of one incident."""

    incident: str


@dataclass(frozen=True, slots=True)
class Ack:
    """I have seen it."""

    incident: str


@dataclass(frozen=True, slots=True)
class Take:
    """I have it."""

    incident: str


@dataclass(frozen=True, slots=True)
class Approve:
    """Let me say yes: shows what is asked, with the button. `alone`: by breaking the glass."""

    incident: str
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Deny:
    """No, and why; without a reason, a form asks for it."""

    incident: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Escalate:
    """More people, now."""

    incident: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Resolve:
    """It is over. `force`: although alerts still fire."""

    incident: str
    note: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """The ladder waits; without a time, a form asks for it."""

    incident: str
    for_ms: Millis | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """An action by hand; without one, a form asks for all of it. `place` None: not named."""

    action: str = ""
    place: Place | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that are not to be told for a while; what is left out, a form asks for."""

    matchers: tuple[str, ...] = ()
    for_ms: Millis | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Freeze:
    """Automation off; without a place or a reason, a form asks for it."""

    place: Place | None = None
    reason: str = ""
    for_ms: Millis | None = None


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """Automation on again; without a place, a form asks which."""

    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """A policy may act; without one, a form asks which."""

    policy: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Disarm:
    """A policy only watches; without one, a form asks which."""

    policy: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Reload:
    """Look at the configuration files now."""


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """Stop every action at once; `look`: only say how the switch stands."""

    reason: str = ""
    look: bool = False


@dataclass(frozen=True, slots=True)
class Oncall:
    """Who answers when a service is paged."""

    service: str = ""


@dataclass(frozen=True, slots=True)
class Handoff:
    """A summary for whoever takes the shift over."""


Ask: TypeAlias = (
    Help | Status | Incidents | Show | Report | Ack | Take | Approve | Deny | Escalate | Resolve | Hold | Run | Silence
    | Freeze | Unfreeze | Arm | Disarm | Reload | KillSwitch | Oncall | Handoff
)  # fmt: skip
