"""What the HTTP doors need from the rest of the house, as one Protocol; `bot.app` implements it.

Everything behind it is reached only through these names, so the doors know neither the engine nor any configuration
file. Methods, not fields, where the answer may differ from one call to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from prometheus_client import CollectorRegistry

from bot.core.events import Event
from bot.core.plan import Plan
from bot.core.record import Decision
from bot.core.words import AggregateId
from bot.engine.action_ports import Component, Inspection
from bot.engine.audit_verification import Witnesses
from bot.engine.ports import Archive, Clock, Store
from handlers.routing import Route
from policies.people import PeopleDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Someone who may post webhooks. `secret` is the bearer token, or ``user:password`` for basic."""

    name: str
    scheme: Literal["bearer", "basic"]
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonToken:
    """The token one person shows over TCP. `person` is an id in people.yaml."""

    person: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `/readyz`: what was looked at, whether it is well, and what was seen."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What came of looking at the configuration files. `restart`: what of them waits for a restart."""

    ok: bool
    summary: str
    changes: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Services(Protocol):
    """The rest of the house, as the doors see it."""

    @property
    def store(self) -> Store: ...

    @property
    def archive(self) -> Archive:
        """Where closed incidents are once they have left the store."""
        ...

    @property
    def witnesses(self) -> Witnesses:
        """What was signed of the audit."""
        ...

    @property
    def clock(self) -> Clock: ...

    @property
    def registry(self) -> CollectorRegistry:
        """Where the doors add their counters, and what `/metrics` shows."""
        ...

    @property
    def replica(self) -> str:
        """This replica's name."""
        ...

    @property
    def shards(self) -> Sequence[str]:
        """Every shard: the configured systems and `unrouted`."""
        ...

    @property
    def routes(self) -> Sequence[Route]:
        """`routes:` of andon.yaml, compiled, in order."""
        ...

    @property
    def sources(self) -> Sequence[Source]:
        """Who may post webhooks; empty: anybody on this machine, and nobody else."""
        ...

    @property
    def tokens(self) -> Sequence[PersonToken]:
        """Who may use the operators' API with a token."""
        ...

    def person_of(self, uid: int) -> str | None:
        """The id in people.yaml of the person with this operating-system uid."""
        ...

    def roster(self) -> PeopleDocument:
        """people.yaml as it is in force now: who may decide what."""
        ...

    def order_plan(self, system: str, action: str, component: str, arguments: Mapping[str, Any], reason: str) -> Plan:
        """One action as a plan of its own, for a person who orders it. Raises InputError with what is wrong."""
        ...

    async def inspect(self, system: str, plan: Plan) -> Inspection:
        """What the plan's one step would change now. Reads the target, changes nothing, never raises."""
        ...

    def policies(self) -> Sequence[Plan]:
        """Every policy in force, catch-alls included or not, in any order."""
        ...

    def policy_fingerprint(self) -> str:
        """Names exactly the set of policies in force; "" when none are loaded."""
        ...

    def components(self) -> Sequence[Component]:
        """Every component of every system."""
        ...

    def checks(self) -> Sequence[Check]:
        """What else must be well for this replica to be ready: the engine's own loops."""
        ...

    async def reload(self) -> Reloaded:
        """Look at the configuration files now. What is wrong with them is in the answer; nothing is raised."""
        ...

    async def tell(self, shard: str, to: AggregateId, event: Event) -> Decision:
        """Fold one event into one aggregate and commit it. StoreUnavailable when it cannot be made durable."""
        ...
