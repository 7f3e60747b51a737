"""May this step be sent now? Guard, policies, approvals and people, weighed on what was just read.

Asked by `bot.engine.activity` between reading and sending. The rules themselves are pure and live in `policies`
(`expressions`, `guardrails`, `approvals`); here they are given this run's evidence, the policies in force and the
people of this moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.core.alert import Alert
from bot.core.approval import Terms, Vote
from bot.core.effects import RunStep
from bot.core.events import Budget
from bot.core.orders import BY_LEASE
from bot.core.plan import Plan
from bot.core.reading import Reading
from bot.core.words import JsonText, risk_rank
from bot.engine.action_ports import EvidenceReader, Proceed, Targets, Toolbox
from bot.engine.engine import Engine
from bot.engine.ports import Chat, Journal
from bot.engine.standing import Standing
from handlers.alertmanager import SOURCE
from policies import approvals, expressions, guardrails, rendering
from policies.people import PeopleDocument

MAX_LOOKED_AT = 100  # open incidents of a system; in a storm of more the newest count


class Standings(Protocol):
    """Asks the source of these alerts how they stand right now; bounded in time, never raises."""

    async def __call__(self, shard: str, alerts: Sequence[Alert]) -> Standing: ...


class Membership(Protocol):
    """What the place where people work says of them now."""

    def complete(self, people: PeopleDocument) -> PeopleDocument:
        """The same, with the members of its user groups in the rosters."""
        ...

    async def unfit(self, votes: Sequence[Vote]) -> Mapping[str, str]:
        """Whose votes came through an account that does not count now, and why; bounded in time, never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Hands:
    """What an activity works with."""

    engine: Engine
    toolbox: Toolbox
    targets: Targets
    evidence: EvidenceReader
    journal: Journal
    chat: Chat
    budget: Budget
    standing: Standings | None = None  # how alerts stand at their source; None: there is nobody to ask
    membership: Membership | None = None  # None: people.yaml knows everybody by itself

    @property
    def people(self) -> PeopleDocument:
        """Who may decide what, at this moment."""
        people = self.engine.book.people
        return people if self.membership is None else self.membership.complete(people)


@dataclass(frozen=True, slots=True)
class Guarded:
    """The guard holds, or (`blind`) nobody can tell whether it does."""

    why: str
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Fails:
    """The guard does not hold."""

    why: str


class Judge:
    """The judge of one run of one step."""

    def __init__(self, hands: Hands, shard: str, effect: RunStep) -> None:
        self._hands = hands
        self._shard = shard
        self._effect = effect
        self._step = effect.step
        self._unfit: Mapping[str, str] = {}  # who said yes and does not count any more, and why

    def render(self, arguments: JsonText) -> JsonText:
        """The arguments with the alerts' labels filled in. Raises RenderError."""
        alerts = self._effect.alerts
        return rendering.render(arguments, rendering.label_values(alerts), rendering.annotation_values(alerts))

    def guard(self, readings: Sequence[Reading]) -> Guarded | Fails:
        """The step's guard on fresh evidence."""
        step = self._step
        if not step.guard:
            return Guarded("no guard is asked for")
        verdict = expressions.weigh(step.guard, readings, rendering.shared_labels(self._effect.alerts))
        if verdict.holds is True:
            return Guarded(verdict.why)
        if verdict.holds is False:
            return Fails(verdict.why)
        if step.on_no_evidence == "act" and step.direction == "lowers":
            return Guarded(f"no evidence ({verdict.why}), and the policy says to act without it")
        return Guarded(f"the evidence cannot be told: {verdict.why}", blind=True)

    async def standing(self) -> Standing:
        """How the alerts stand at their source, asked before whatever is risky (law 13)."""
        asks, effect = self._hands.standing, self._effect
        bound = bool(effect.ordered_by) or effect.committed  # it goes on, whatever the alerts say
        if asks is None or bound or risk_rank(self._step.risk) < risk_rank("risky"):
            return Standing("unknown", "nobody was asked")
        found = await asks(self._shard, self._effect.alerts)
        if found.kind == "gone" and any(alert.source != SOURCE for alert in self._effect.alerts):
            return Standing("unknown", "another source's alerts still count")
        return found

    async def look_at_voters(self) -> None:
        """Ask once more who of those that said yes, or ordered it, still counts; before anything is weighed."""
        effect, membership = self._effect, self._hands.membership
        if membership is None:
            return
        votes = effect.approval.votes if effect.approval is not None else ()
        if effect.ordered_via:
            votes = (*votes, Vote(by=effect.ordered_by, at=0, verdict="approve", via=effect.ordered_via))
        self._unfit = await membership.unfit(votes) if votes else {}

    async def firing(self) -> tuple[Alert, ...]:
        """For an action that was ordered: what fires now in open incidents whose plan acts on its component.

        Whoever ordered it knows no alert of its own; what it would undo may still be needed.
        """
        if not self._effect.ordered_by or not self._step.component:
            return ()
        lines = await self._hands.engine.store.incidents(self._shard, closed=False, limit=MAX_LOOKED_AT)
        return tuple(
            alert
            for line in lines
            if line.incident.plan is not None and not line.incident.ordered_by
            if any(step.component == self._step.component for step in line.incident.plan.steps)
            for alert in line.incident.firing
        )

    def authorise(
        self, inspection: Proceed, guard: Guarded, arguments: JsonText, standing: Standing
    ) -> guardrails.Authorisation:
        """Laws 4 and 5, against the pinned and the current policy and the people of this moment."""
        effect, people = self._effect, self._hands.people
        if effect.approval is not None:
            asked = self._asked(inspection, guard, arguments)
            return approvals.redeem(effect.approval, asked, people, self._unfit)
        if guard.blind:
            return guardrails.Ask(guard.why)
        if inspection.ask:
            return guardrails.Ask(inspection.ask)
        if standing.kind == "silenced":
            return guardrails.Ask(standing.why)
        if effect.ordered_by == BY_LEASE:
            return guardrails.Ask("its lease is over, and taking it back needs a person's yes")
        if effect.ordered_by:
            gone = self._unfit.get(effect.ordered_by, "")
            if gone:
                return guardrails.Ask(f"since it was ordered, {gone}")
            return approvals.carried(people, self._shard, self._step, effect.ordered_by)
        hands_on = self._changed_by_hand(inspection)
        if hands_on:
            return guardrails.Ask(hands_on)
        if effect.disposition != "act" and effect.why:
            return guardrails.Ask(effect.why)
        current = self._current()
        return guardrails.authorise(
            effect.plan, self._step, current, arguments, self._rendered_by(current), effect.disposition,
            self._hands.engine.clock.now(),
        )  # fmt: skip

    def terms(self, inspection: Proceed, guard: Guarded, arguments: JsonText) -> Terms | None:
        """What a yes would be bound to; None where nobody may say yes blindly: only to what lowers exposure."""
        if guard.blind and self._step.direction != "lowers":
            return None
        people = self._hands.people
        asked = self._asked(inspection, guard, arguments)
        return approvals.terms(asked, people, wanted=inspection.wanted, by_hand=inspection.by_hand)

    def _changed_by_hand(self, inspection: Proceed) -> str:
        """What somebody changed since this episode's last action on the component, or "" (law 8)."""
        left, now = json.loads(self._effect.left), json.loads(inspection.before)
        names = [name for name in left if name in now and left[name] != now[name]]
        changed = ", ".join(f"{name} from {left[name]} to {now[name]}" for name in names)
        return f"somebody changed {changed} since Andon acted; automation stands down" if changed else ""

    def _asked(self, inspection: Proceed, guard: Guarded, arguments: JsonText) -> approvals.Asked:
        """The step as it stands now, for people to say yes to."""
        effect, current = self._effect, self._current()
        spec = self._hands.toolbox.spec(self._step.action)
        return approvals.Asked(
            system=self._shard, incident=effect.incident, episode=effect.episode, plan=effect.plan, step=self._step,
            current=current, arguments=arguments, arguments_current=self._rendered_by(current),
            pins=approvals.pinned(inspection.before, spec.pins if spec is not None else ()), blind=guard.blind,
            ask=inspection.ask,
            requesters=effect.requesters, now=self._hands.engine.clock.now(),
        )  # fmt: skip

    def _current(self) -> Plan | None:
        """The policy as it is in force; an order is its own."""
        plan = self._effect.plan
        return plan if self._effect.ordered_by else self._hands.engine.book.current(self._shard, plan.policy)

    def _rendered_by(self, current: Plan | None) -> JsonText | None:
        """The step's arguments as the policy in force gives them; None where it does not."""
        twin = guardrails.counterpart(self._step, current)
        try:
            return self.render(twin.arguments) if twin is not None else None
        except rendering.RenderError:
            return None
