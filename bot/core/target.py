"""The target's record: a component that is acted on, or the system's own `*`. Folded by `target_machine`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from bot.core.events import IntentDeclared, SlotRequested
from bot.core.plan import Plan
from bot.core.record import Timer
from bot.core.words import AggregateId, JsonText, Millis, Severity

QUEUE: Final = "queue"  # the timer at which whoever waits for the target is looked at again
MAX_QUEUE = 64  # waiting plans per target; beyond it a request is denied, so a storm cannot grow the record
MAX_LOOSE = 64  # such intents kept: more than can be under way at once
MAX_RECALLED = 256  # more at once, and people look before anything goes on; each is about 600 bytes of the record
RECALLED_MS: Millis = 24 * 3_600_000  # how old one may be to be told: no step runs longer
REMEMBERED_MS: Millis = 2 * RECALLED_MS  # the same by its date: a clock that was a day off must cost none
MAX_SPENT = 256  # approvals remembered as used: an approval lives minutes, and 256 are more than people give in hours
MAX_RECENT = 256  # remembered action times per target, enough for any sane budget window


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Who may act now, under which fence, and the intent declared under it."""

    incident: AggregateId
    step: str
    fence: int
    severity: Severity
    granted_at: Millis
    intent: IntentDeclared | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifying:
    """An effect under observation: lesser plans wait until it ends."""

    incident: AggregateId
    severity: Severity
    until: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """An action in force for a time; when it is up people are asked, and nothing is undone by itself.

    `undo` is the action that takes it back, "" where the catalogue has none; `plan` is how it is ordered when the time
    is up, and `errand` the incident in which people are asked about it. `left`: the state as the action left it.
    """

    incident: AggregateId
    since: Millis
    until: Millis
    for_ms: Millis
    undo: str = ""
    asked: int = 0  # how often its end was asked about; where that is a page, since it was renewed
    plan: Plan | None = None
    left: JsonText = "{}"
    errand: AggregateId = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Automation off: by whom, why, and until when (None: until lifted)."""

    by: str
    reason: str
    since: Millis
    until: Millis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """Who armed a policy, and when."""

    by: str
    at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """The store has forgotten what it acknowledged to a replica, and that has not been put right yet."""

    since: Millis
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A component's queue of plans, fence, cool-downs and freeze; on `target:*` also arming and the action budget."""

    kind: Literal["target"] = "target"
    id: AggregateId
    system: str
    fence: int = 0
    slot: Slot | None = None
    queue: tuple[SlotRequested, ...] = ()
    verifying: Verifying | None = None
    freeze: Freeze | None = None
    leases: dict[str, Lease] = field(default_factory=dict)  # action -> how long it is meant to stay in force
    last_run: dict[str, Millis] = field(default_factory=dict)  # action -> when it last took effect, for cool-downs
    recent: tuple[Millis, ...] = ()  # on `*`: when automatic actions were declared, for the budget
    charged: tuple[str, ...] = ()  # on `*`: the intents that the newest of `recent` are of
    tripped_at: Millis | None = None  # on `*`: automation only suggests since then
    armed: dict[str, Armed] = field(default_factory=dict)  # on `*`
    disarmed: dict[str, Armed] = field(default_factory=dict)  # on `*`: by a person; configuration cannot arm these
    loose: tuple[IntentDeclared, ...] = ()  # newest intents without a slot: given up unknown; on `*`, of no component
    recalled: tuple[IntentDeclared, ...] = ()  # those that only a journal remembered, for three days
    spent: tuple[str, ...] = ()  # on `*`: newest approvals that an intent has used up; none is used twice
    heard: tuple[str, ...] = ()  # ids of people's newest requests, so that a copy changes nothing again
    doubts: dict[str, Doubt] = field(default_factory=dict)  # on `*`: by replica; nothing is sent while there is one
    timers: dict[str, Timer] = field(default_factory=dict)
    counter: int = 0
