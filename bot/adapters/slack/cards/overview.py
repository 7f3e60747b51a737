"""All of it at one moment, as one person sees it: what the Home tab and the answers to `/andon status` are made of.

Read from the store by `look`, for `home` and `answers` to render. Called by `listeners` and `commands`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.adapters import http_cards
from bot.adapters.http_lookup import targets_of
from bot.adapters.http_services import Check, Services
from bot.core import system_machine
from bot.core.incident import Incident
from bot.core.intents import Budget
from bot.core.plan import Plan
from bot.core.system_machine import SystemState
from bot.core.target import Freeze, Target
from bot.core.words import SYSTEM_TARGET, AggregateId, Millis
from policies.people import VIEWER, PeopleDocument

MAX_OPEN: Final = 500  # open incidents looked at per system; in such a storm nobody reads the rest in a list
MAX_RECENT: Final = 200  # incidents of the last shift looked through per system


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemNow:
    """One trading system. `open` newest first; `targets` only those that were ever touched."""

    name: str
    open: tuple[Incident, ...] = ()
    targets: dict[AggregateId, Target] = field(default_factory=dict)
    inbox: int = 0
    outbox: int = 0

    @property
    def state(self) -> SystemState:
        """What its automation does now."""
        own = self.targets.get(SYSTEM_TARGET)
        return "active" if own is None else system_machine.state_of(own)

    @property
    def frozen(self) -> list[tuple[str, Freeze]]:
        """(`SYSTEM|COMPONENT`, freeze) of all that is frozen here; the system's own first."""
        return [
            (f"{self.name}|{'' if key == SYSTEM_TARGET else key.removeprefix('target:')}", target.freeze)
            for key, target in sorted(self.targets.items())
            if target.freeze is not None
        ]

    def used(self, budget: Budget, now: Millis) -> int:
        """Automatic actions that count against the budget now."""
        own = self.targets.get(SYSTEM_TARGET)
        return 0 if own is None else sum(at > now - budget.within_ms for at in own.recent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything at `now`. `person` is whom it is shown to, "" for nobody known. `decisions`: soonest to end first."""

    now: Millis
    person: str
    replica: str
    people: PeopleDocument
    budget: Budget
    checks: tuple[Check, ...] = ()
    systems: tuple[SystemNow, ...] = ()
    plans: tuple[Plan, ...] = ()
    decisions: tuple[http_cards.Card, ...] = ()

    @property
    def incidents(self) -> list[Incident]:
        """All that is open: what waits for a decision first, then the gravest, then the newest."""
        every = [incident for system in self.systems for incident in system.open]
        return sorted(every, key=lambda i: (i.approval is None, _GRAVITY[i.severity], -i.opened_at))

    @property
    def may_act(self) -> bool:
        """Whether this person may do more than look."""
        known = self.people.by_id(self.person)
        return known is not None and VIEWER not in known.roles

    def armed(self, plan: Plan) -> str:
        """Who armed a policy; "" where it only watches."""
        for system in self.systems:
            own = system.targets.get(SYSTEM_TARGET)
            if system.name == plan.system and own is not None and plan.policy in own.armed:
                return own.armed[plan.policy].by
        return ""


_GRAVITY: Final = {"critical": 0, "error": 1, "warning": 2, "info": 3}


async def look(services: Services, person: str, budget: Budget) -> Overview:
    """Read all of it. Raises StoreUnavailable when the store does not answer."""
    systems = [await _system(services, shard) for shard in services.shards]
    cards = [
        card
        for system in systems
        for incident in system.open
        if (card := http_cards.card(services, system.name, incident, person)) is not None
    ]
    return Overview(
        now=services.clock.now(),
        person=person,
        replica=services.replica,
        people=services.roster(),
        budget=budget,
        checks=tuple(services.checks()),
        systems=tuple(systems),
        plans=tuple(sorted(services.policies(), key=lambda plan: (plan.system, plan.policy))),
        decisions=tuple(sorted(cards, key=lambda card: int(card["expires_at"]))),
    )


async def recent(services: Services, since: Millis) -> Sequence[Incident]:
    """Incidents that something happened to since then, newest first: for whoever takes the shift over."""
    found = [
        line.incident
        for shard in services.shards
        for line in await services.store.incidents(shard, closed=True, limit=MAX_RECENT)
        if max(_moments(line.incident)) >= since
    ]
    return sorted(found, key=lambda incident: incident.opened_at, reverse=True)


def _moments(incident: Incident) -> list[Millis]:
    ended = [at for at in (incident.mitigated_at, incident.resolved_at, incident.closed_at) if at is not None]
    return [incident.opened_at, incident.episode_at, *ended, *(result.at for result in incident.results)]


async def _system(services: Services, shard: str) -> SystemNow:
    inbox, outbox = await services.store.lag(shard)
    lines = await services.store.incidents(shard, closed=False, limit=MAX_OPEN)
    return SystemNow(
        name=shard,
        open=tuple(line.incident for line in lines),
        targets=await targets_of(services, shard),
        inbox=inbox,
        outbox=outbox,
    )
