"""The doors between the dispatcher, the actions and the trading systems, as narrow Protocols.

`remediations/` implements `Action` and `Diagnosis` and uses the rest; `bot/adapters` implements the connectors, and
`bot/testing` their twins. Every call is bounded in time and raises errors of `bot.errors` only. The engine's other
doors are in `bot.engine.ports`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from bot.core.action import ActionSpec
from bot.core.alert import Alert
from bot.core.plan import EvidenceDecl
from bot.core.reading import Reading
from bot.core.words import JsonText, Millis
from bot.engine.connector_ports import ProcessTarget, ProgramTarget, RedisTarget

# --- trading systems ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An HTTP answer, its body bounded by the connector."""

    status: int
    body: bytes


class HttpTarget(Protocol):
    """One component's HTTP API, restricted to the requests its allowlist names. Timeouts, reads retried, breaker.

    `read` may be retried; `send` never is: one call, at most one request. Errors: NotSent, Rejected, Unknown.
    """

    async def read(self, path: str) -> HttpReply: ...

    async def send(self, method: str, path: str, body: JsonText, *, idempotency_key: str, fence: int) -> HttpReply: ...

    def allows(self, method: str, path: str) -> bool:
        """Whether the component's `allow` list names this request: `inspect` refuses what would not leave."""
        ...

    def by_hand(self, method: str, path: str, body: JsonText) -> str:
        """The command line with which a person sends the same request; credentials are named, never shown."""
        ...


@dataclass(frozen=True, slots=True)
class ReadPoint:
    """Where a field of a component's state can be read: an HTTP path with a JSON path, or a Redis hash field.

    `at_field` is where the time of the value stands, "" for what is read live; older than `max_age_ms` is no state.
    """

    kind: Literal["http", "redis_hash"]
    path: str
    field: str
    component: str
    at_field: str = ""
    max_age_ms: Millis = 10_000


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a trading system, as targets.yaml lists it."""

    system: str
    name: str
    role: str
    reads: Mapping[str, ReadPoint]
    floors: Mapping[str, float]


class Targets(Protocol):
    """Connectors to the components of the trading systems. Lookups raise TargetError when not configured."""

    def component(self, system: str, name: str) -> Component: ...

    def http(self, system: str, name: str) -> HttpTarget: ...

    def redis(self, system: str, name: str) -> RedisTarget: ...

    def program(self, system: str, name: str) -> ProgramTarget: ...

    def process(self, system: str, name: str) -> ProcessTarget: ...

    async def read_field(self, system: str, name: str, field: str, now: Millis) -> Reading:
        """A field of the component's own state, through its `read:` entry in targets.yaml. Never raises: an error is
        in the reading (also when the component has no such entry, and when the value is stale at `now`)."""
        ...


class EvidenceReader(Protocol):
    """Reads declared evidence. Never raises: what could not be read comes back as a reading with an error."""

    async def read(
        self, system: str, declared: Mapping[str, EvidenceDecl], alerts: Sequence[Alert], now: Millis
    ) -> tuple[Reading, ...]:
        """One reading per declaration; stale ones carry an error that says how old they are."""
        ...


# --- actions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What an action may use while it runs: its place, its deadline, and the connectors.

    `left` is the component's state as Andon's last action of this matter left it ("{}": it has not acted): where it
    differs from what is found now, somebody else has had a hand in it.
    """

    system: str
    component: str
    targets: Targets
    now: Millis
    intent: str = ""
    fence: int = 0
    left: JsonText = "{}"
    alerts: tuple[Alert, ...] = ()
    declared: Mapping[str, EvidenceDecl] = field(default_factory=dict)  # the plan's evidence, for diagnoses
    evidence: EvidenceReader | None = None  # how a diagnosis reads; None: it can only look at the alerts
    clock: Callable[[], Millis] | None = None  # the time as it goes on, for whoever waits; None: real time since `now`
    say: Callable[[str], Awaitable[str]] | None = None  # posts to the incident's channel; DeliveryError when not taken


@dataclass(frozen=True, slots=True)
class Proceed:
    """The action has something to do: from `before` to `wanted` (canonical JSON objects), with these pins.

    `ask`: why a person must say yes to this even where the policy may act by itself; "" when nothing speaks for that.
    """

    before: JsonText
    wanted: JsonText
    arguments: JsonText  # absolute, frozen in the intent
    restore: JsonText = "{}"
    by_hand: str = ""  # the command with which a person does the same without Andon
    ask: str = ""


@dataclass(frozen=True, slots=True)
class AlreadySo:
    """The target is as wanted already: no slot, no budget, no request."""

    before: JsonText
    why: str


@dataclass(frozen=True, slots=True)
class CannotTell:
    """The target's state cannot be read, so a person must decide (`why`)."""

    why: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """The action must not be done here (`why`): a precondition does not hold."""

    why: str
    before: JsonText = "{}"


Inspection: TypeAlias = Proceed | AlreadySo | CannotTell | Unfit


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What the target looks like afterwards; `as_wanted` None: it could not be read."""

    after: JsonText
    as_wanted: bool | None
    why: str = ""


class Action(Protocol):
    """One action, as the dispatcher runs it. One file each in `remediations/`."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """Read the target and say what would change. No effect."""
        ...

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """Do it: at most one request. Raises NotSent, Rejected or Unknown; returning means the target accepted it."""
        ...

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Read the target again and compare with what was wanted.

        Called when the target accepted it (then it verifies) and when nobody knows (then it probes): an action of
        delivery `once` may say as_wanted=True only when what it sees can have come from nothing else. After a restart
        of Andon only `before` and `arguments` of the proceed are known, as the intent recorded them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What a diagnosis found: one sentence, its likely cause and the fix the runbook suggests, and the figures.

    `cause` and `fix` are "" where the figures point to none; `detail` is canonical JSON.
    """

    summary: str
    detail: JsonText = "{}"
    cause: str = ""
    fix: str = ""


class Diagnosis(Protocol):
    """One read-only look at a system; bounded in time and output by the dispatcher."""

    async def look(self, context: ActionContext) -> Finding: ...


class Toolbox(Protocol):
    """The implementations behind the catalogue's names, and their declarations."""

    def spec(self, action: str) -> ActionSpec | None: ...

    def action(self, name: str) -> Action | None: ...

    def diagnosis(self, name: str) -> Diagnosis | None: ...
