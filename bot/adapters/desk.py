"""The desk: what people may ask of Andon, the same from every side.

The operators' API (`http_commands`, `http_decisions`) and the Slack listeners parse what was said, settle who said it,
and hand it here as an `Order` with typed arguments; the answer is what each machine decided, with its reason. Every
order becomes events, folded and committed by the engine before the answer. What cannot be found raises InputError,
whoever may not act Unwelcome. Orders of actions by hand are in `desk_runs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from bot.adapters.http_cards import strict
from bot.adapters.http_errors import Unwelcome
from bot.adapters.http_lookup import Found, find_incident, the_component, the_policy, the_shard
from bot.adapters.http_services import Services
from bot.core.events import Event
from bot.core.incident import Incident
from bot.core.orders import (
    ApprovalVoted,
    LeaseEnded,
    LeaseRenewed,
    OperatorAcked,
    OperatorEscalated,
    OperatorHeld,
    OperatorResolved,
    OperatorTook,
    PolicyArmed,
    PolicyDisarmed,
    TargetFrozen,
    TargetUnfrozen,
)
from bot.core.record import Decision, Denied
from bot.core.words import SYSTEM_TARGET, AggregateId, Millis, target_id
from bot.errors import InputError, StoreError
from policies import approvals
from policies.durations import spell
from policies.people import VIEWER

Outcome: TypeAlias = tuple[str, AggregateId, Decision]  # the shard, the aggregate that was told, what it decided
Verdict: TypeAlias = Literal["approve", "deny"]

MAX_WORDS: Final = 500  # characters of a reason or a note; it is kept for ever and shown on cards
MAX_HOLD_MS: Final = 24 * 3_600_000  # a ladder held longer than a day is a policy to be changed
MAX_FREEZE_MS: Final = 30 * 86_400_000  # a freeze longer than a month is a policy to be disarmed
MIN_MS: Final = 1_000  # nothing a person asks for is over sooner than they could see it


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who asks, and under which id: an order with an id that was seen is the same order, and changes nothing again.

    `person` is an id in people.yaml; `via` where they said it (``slack:T1/U1``), "" for the API.
    """

    person: str
    id: str
    via: str = ""


def must_act(services: Services, person: str) -> None:
    """Raises Unwelcome for somebody who may look and not act."""
    known = services.roster().by_id(person)
    if known is not None and VIEWER in known.roles:
        raise Unwelcome(f"{person} has the role {VIEWER}: may look, not act", fix="ask an operator to do it")


class Desk:
    """Takes orders. `incident` is always the first letters of an id, or all of it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    # --- about one incident -----------------------------------------------------------------------------------------

    async def ack(self, order: Order, incident: str) -> list[Outcome]:
        """I have seen it: paging stops."""
        found = await self._found(order, incident)
        return await self._about(found, OperatorAcked(id=order.id, at=self._now(), by=order.person))

    async def take(self, order: Order, incident: str) -> list[Outcome]:
        """I have it: automation stands down on it, what it asked is void."""
        found = await self._found(order, incident)
        return await self._about(found, OperatorTook(id=order.id, at=self._now(), by=order.person))

    async def resolve(self, order: Order, incident: str, *, note: str = "", force: bool = False) -> list[Outcome]:
        """It is over. `force` also dismisses alerts that still fire."""
        _worded("note", note)
        found = await self._found(order, incident)
        event = OperatorResolved(id=order.id, at=self._now(), by=order.person, note=note, force=force)
        return await self._about(found, event)

    async def escalate(self, order: Order, incident: str, *, reason: str = "") -> list[Outcome]:
        """Call more people now."""
        _worded("reason", reason)
        found = await self._found(order, incident)
        return await self._about(found, OperatorEscalated(id=order.id, at=self._now(), by=order.person, reason=reason))

    async def hold(self, order: Order, incident: str, for_ms: Millis, *, reason: str = "") -> list[Outcome]:
        """Hold the ladder's own actions back for a while."""
        _worded("reason", reason)
        _lasting(for_ms, MAX_HOLD_MS)
        found = await self._found(order, incident)
        event = OperatorHeld(id=order.id, at=self._now(), by=order.person, for_ms=for_ms, reason=reason)
        return await self._about(found, event)

    async def vote(
        self, order: Order, incident: str, verdict: Verdict, *, approval: str, digest: str, reason: str = "",
        break_glass: bool = False,
    ) -> list[Outcome]:  # fmt: skip
        """Yes or no to the question `approval`, as it was shown: `digest`.

        Whether this person may is looked up now; the answer travels in the event, so a refused click is folded, audited
        and told like any other (law 5).
        """
        _worded("reason", reason)
        found = await self._found(order, incident)
        refusal = self.refusal(
            found.shard, found.incident, order.person, verdict, reason=reason, break_glass=break_glass
        )
        event = ApprovalVoted(
            id=order.id, at=self._now(), by=order.person, approval=approval, digest=digest, verdict=verdict,
            reason=reason, break_glass=break_glass, refusal=refusal, via=order.via,
        )  # fmt: skip
        return await self._about(found, event)

    def refusal(
        self, shard: str, incident: Incident, person: str, verdict: Verdict, *, reason: str = "",
        break_glass: bool = False,
    ) -> str:  # fmt: skip
        """Why this person may not say this, "" when they may, or when nothing is asked (the machine says that)."""
        asked, plan = incident.approval or incident.granted, incident.plan
        if asked is None or plan is None:
            return ""
        step = strict(plan.steps[incident.cursor], asked.terms)
        return approvals.refusal(
            self._services.roster(), shard, step, person, asked.terms.requesters,
            break_glass=break_glass, reason=reason, deny=verdict == "deny",
        )  # fmt: skip

    # --- about automation -------------------------------------------------------------------------------------------

    async def freeze(
        self, order: Order, *, system: str = "", component: str = "", reason: str, for_ms: Millis | None = None
    ) -> list[Outcome]:
        """Automation off: everywhere, on one system, or on one component of it; until lifted or for a while."""
        _worded("reason", reason)
        if not reason:
            raise InputError("reason", "say why: whoever wants to lift the freeze will ask")
        if for_ms is not None:
            _lasting(for_ms, MAX_FREEZE_MS)
        now = self._now()
        until = None if for_ms is None else now + for_ms
        event = TargetFrozen(id=order.id, at=now, by=order.person, reason=reason, until=until)
        return await self._broadcast(order, system, component, event)

    async def unfreeze(
        self, order: Order, *, system: str = "", component: str = "", seen: Sequence[str] = ()
    ) -> list[Outcome]:
        """Lift a freeze. What was denied meanwhile does not start by itself.

        `seen`: marks (`bot.core.lifts`) of what this person was shown; nothing else is lifted. Empty: all there is.
        """
        event = TargetUnfrozen(id=order.id, at=self._now(), by=order.person, seen=tuple(seen))
        return await self._broadcast(order, system, component, event)

    async def lease(
        self, order: Order, *, system: str, component: str, action: str, for_ms: Millis | None
    ) -> list[Outcome]:
        """What an action did stays for another `for_ms`; None: nobody is asked about it any more."""
        event: Event
        if for_ms is None:
            event = LeaseEnded(id=order.id, at=self._now(), by=order.person, action=action)
        else:
            _lasting(for_ms, MAX_FREEZE_MS)
            event = LeaseRenewed(id=order.id, at=self._now(), by=order.person, action=action, for_ms=for_ms)
        return await self._broadcast(order, system, component, event)

    async def arm(self, order: Order, policy: str, *, system: str = "") -> list[Outcome]:
        """Let a policy act."""
        plan = the_policy(self._services, policy, system)
        event = PolicyArmed(id=order.id, at=self._now(), by=order.person, policy=plan.policy)
        return [await self._tell(order, plan.system, SYSTEM_TARGET, event)]

    async def disarm(self, order: Order, policy: str, *, system: str = "") -> list[Outcome]:
        """Let a policy only watch."""
        plan = the_policy(self._services, policy, system)
        event = PolicyDisarmed(id=order.id, at=self._now(), by=order.person, policy=plan.policy)
        return [await self._tell(order, plan.system, SYSTEM_TARGET, event)]

    # --- how it is told ---------------------------------------------------------------------------------------------

    def _now(self) -> Millis:
        return self._services.clock.now()

    async def _found(self, order: Order, incident: str) -> Found:
        must_act(self._services, order.person)
        return await find_incident(self._services, incident)

    async def _about(self, found: Found, event: Event) -> list[Outcome]:
        incident = found.incident.id
        return [(found.shard, incident, await self._services.tell(found.shard, incident, event))]

    async def _tell(self, order: Order, shard: str, to: AggregateId, event: Event) -> Outcome:
        must_act(self._services, order.person)
        return shard, to, await self._services.tell(shard, to, event)

    async def _broadcast(self, order: Order, system: str, component: str, event: Event) -> list[Outcome]:
        """To one component, to one system's automation, or to that of every system."""
        if component and not system:
            raise InputError("system", "name the system the component belongs to")
        if not component:
            shards = [the_shard(self._services, system)] if system else list(self._services.shards)
            return await self._everywhere(order, shards, event)
        shard = the_shard(self._services, system)
        to = target_id(the_component(self._services, shard, component))
        return [await self._tell(order, shard, to, event)]

    async def _everywhere(self, order: Order, shards: Sequence[str], event: Event) -> list[Outcome]:
        """Where one system's part cannot be written, the others' is, and both are told. Raises where none could be."""
        outcomes: list[Outcome] = []
        problems: list[StoreError] = []
        for shard in shards:
            try:
                outcomes.append(await self._tell(order, shard, SYSTEM_TARGET, event))
            except StoreError as error:
                problems.append(error)
                outcomes.append((shard, SYSTEM_TARGET, Denied(f"not done: {error}")))
        if len(problems) == len(shards):
            raise problems[0]
        return outcomes


def _worded(field: str, text: str) -> None:
    """Raises InputError for words that are longer than what is kept."""
    if len(text) > MAX_WORDS:
        raise InputError(field, f"is {len(text)} characters long; at most {MAX_WORDS} are kept")


def _lasting(for_ms: Millis, most: Millis) -> None:
    """Raises InputError for a time that is no time, or longer than a person may ask for here."""
    if not MIN_MS <= for_ms <= most:
        raise InputError("for", f"is between {spell(MIN_MS)} and {spell(most)}")
