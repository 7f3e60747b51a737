"""`/andon …` typed: read by `grammar`, done at the desk, answered in words or with the form that asks for the rest.

Called by `listeners` for commands and mentions once it is known who speaks. A yes is never typed: `approve` shows the
decision and its button, so nobody approves what they have not seen; `run`, `arm`, `unfreeze` and `silence` show first
what they would do. What stops something (`freeze`, `hold`, `disarm`) is done at once when it is typed whole.
Wrong input is answered with what to type instead; what else goes wrong is raised, and told by `listeners`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.adapters import http_cards
from bot.adapters.desk import Desk, Order, Outcome, must_act
from bot.adapters.desk_kill import KillLever
from bot.adapters.desk_runs import Runs, Wanted
from bot.adapters.desk_silences import Silences, Wish
from bot.adapters.http_lookup import find_incident, the_shard
from bot.adapters.http_services import Services
from bot.adapters.slack.board.outcomes import Outcomes
from bot.adapters.slack.cards import answers, decision_card
from bot.adapters.slack.cards.phrases import plain_step
from bot.adapters.slack.cards.shapes import Ref
from bot.adapters.slack.heard import asks, editing, grammar
from bot.adapters.slack.heard.arming import before_arming
from bot.adapters.slack.heard.enquiries import Enquiries
from bot.adapters.slack.heard.freezes import before_lifting, frozen
from bot.adapters.slack.heard.person import Show, Tell, told
from bot.adapters.slack.pages import arm_modals, lift_modals, modals, run_modals
from bot.adapters.slack.pages.forms import RunChoice, RunForm, SilenceForm, UnfreezeForm
from bot.core.action import ActionSpec, Catalogue
from bot.errors import InputError
from policies.problems import UnclearError, did_you_mean

LOOK_SECONDS: Final = 1.5  # a form can be opened for 3 s; a target that answers later is looked at from the form


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Everything that commands are done with."""

    services: Services
    desk: Desk
    runs: Runs
    silences: Silences
    kill: KillLever
    catalogue: Catalogue
    enquiries: Enquiries
    outcomes: Outcomes


class Commands:
    """Answers what is typed."""

    def __init__(self, counter: Counter) -> None:
        self._at = counter

    async def answer(self, order: Order, text: str) -> Tell | Show:
        """Do what the text says. Raises what the desk raises."""
        try:
            command = grammar.read(text)
        except UnclearError as error:
            return Tell(answers.wrong(error.message, error.fix))
        except InputError as error:
            return Tell(answers.wrong(str(error), "/andon help lists what Andon understands"))
        try:
            message = await self._at.enquiries.answer(command.ask, order.person, aloud=command.aloud)
            found = Tell(message, command.aloud) if message is not None else await self._do(order, command.ask)
        except (InputError, UnclearError) as error:
            return Tell(answers.wrong(str(error), f"type it like: /andon {grammar.VERBS[command.verb].usage}"))
        aloud = command.aloud and not isinstance(command.ask, asks.Approve)  # nobody would take its buttons away again
        return Tell(found.message, aloud) if isinstance(found, Tell) else found

    async def _do(self, order: Order, ask: asks.Ask) -> Tell | Show:
        """Whatever changes something, or leads to it. Raises Unwelcome for whoever may only look."""
        must_act(self._at.services, order.person)
        match ask:
            case asks.Approve() | asks.Deny():
                return await self._decide(order, ask)
            case asks.Run():
                return await self._run(order, ask)
            case asks.Silence():
                return await self._silence(order, ask)
            case asks.KillSwitch(look=True):
                position = self._at.kill.position()
                return told(f"ENGAGED: {position.why}" if position.engaged else "The kill switch is not engaged.")
            case asks.KillSwitch(reason=reason):
                return told(await self._at.kill.engage(order, reason))
            case asks.Reload():
                return await self._reload()
            case asks.Freeze() | asks.Unfreeze() | asks.Arm() | asks.Disarm():
                return await self._automation(order, ask)
            case _:
                return await self._incident(order, ask)

    # --- about one incident -----------------------------------------------------------------------------------------

    async def _incident(self, order: Order, ask: asks.Ask) -> Tell | Show:
        desk = self._at.desk
        match ask:
            case asks.Ack(incident=incident):
                return _came("I have seen it", await desk.ack(order, incident))
            case asks.Take(incident=incident):
                return _came("I have it", await desk.take(order, incident))
            case asks.Escalate(incident=incident, reason=reason):
                return _came("more people", await desk.escalate(order, incident, reason=reason))
            case asks.Resolve(incident=incident, note=note, force=force):
                return _came("resolve", await desk.resolve(order, incident, note=note, force=force))
            case asks.Hold(incident=incident, for_ms=None, reason=reason):
                found = await find_incident(self._at.services, incident)
                return Show(modals.hold(Ref(found.incident.id), reason))
            case asks.Hold(incident=incident, for_ms=int(for_ms), reason=reason):
                return _came("hold the ladder", await desk.hold(order, incident, for_ms, reason=reason))
            case _:
                raise InputError("command", "is none that Andon can do here")

    async def _decide(self, order: Order, ask: asks.Approve | asks.Deny) -> Tell | Show:
        """The question with its buttons; a no with a reason is said at once, for it lets nothing happen."""
        found = await find_incident(self._at.services, ask.incident)
        incident = found.incident
        card = http_cards.card(self._at.services, found.shard, incident, order.person)
        if card is None:
            why = f"nothing waits for a decision on {incident.id}: {incident.since()}"
            return Tell(answers.wrong(why, "/andon status lists what waits"))
        ref = Ref(incident.id, card["approval"], card["digest"])
        match ask:
            case asks.Deny(reason=""):
                return Show(modals.deny(ref, plain_step(card)))
            case asks.Deny(reason=reason):
                outcomes = await self._at.desk.vote(
                    order, incident.id, "deny", approval=ref.approval, digest=ref.digest, reason=reason
                )
                return _came(f"no to {plain_step(card)}", outcomes)
            case asks.Approve(alone=True) if not card["you"]["may_break_glass"]:
                able = card["break_glass"] or "nobody"
                return Tell(answers.wrong(f"you may not decide this alone; {able} may break the glass here"))
            case asks.Approve(alone=True):
                return Show(modals.alone(ref, plain_step(card), card["silence"]))
            case _:
                plan = incident.plan
                extras = decision_card.Extras(
                    outcomes=await self._at.outcomes.of(found.shard, plan.policy, incident.id) if plan else (),
                    runbook=plan.runbook if plan is not None else "",
                    editable=editing.is_editable(self._at.services, incident),
                )
                return Tell(decision_card.render(card, extras, self._at.services.clock.now()))

    # --- about automation -------------------------------------------------------------------------------------------

    async def _automation(self, order: Order, ask: asks.Freeze | asks.Unfreeze | asks.Arm | asks.Disarm) -> Tell | Show:
        services, desk = self._at.services, self._at.desk
        match ask:
            case asks.Freeze(place=place, reason=reason, for_ms=for_ms):
                if place is None or not reason:
                    where = f"{place.system}|{place.component}" if place is not None else "|"
                    if place is not None and place.system:
                        the_shard(services, place.system)
                    return Show(modals.freeze(services.shards, services.components(), where, for_ms))
                outcomes = await desk.freeze(
                    order, system=place.system, component=place.component, reason=reason, for_ms=for_ms
                )
                return _came(f"freeze {_where(place)}", outcomes)
            case asks.Unfreeze(place=None):
                return Show(lift_modals.choose(await frozen(services)))
            case asks.Unfreeze(place=asks.Place() as place):
                form = UnfreezeForm(system=place.system, component=place.component)
                return await before_lifting(services, order, form)
            case asks.Arm(policy=""):
                return Show(arm_modals.choose(services.policies(), on=True))
            case asks.Disarm(policy=""):
                return Show(arm_modals.choose(services.policies(), on=False))
            case asks.Arm(policy=policy, system=system):
                return await before_arming(services, order, policy, system)
            case asks.Disarm(policy=policy, system=system):
                return _came(f"disarm {policy}", await desk.disarm(order, policy, system=system))
        raise InputError("command", "is none that Andon can do here")

    async def _reload(self) -> Tell:
        found = await self._at.services.reload()
        if not found.ok:
            listed = "; ".join(found.problems[:5])
            return Tell(answers.wrong(f"{found.summary}: {listed}", "andon check names file and line of all of it"))
        waits = f" These wait for a restart: {', '.join(found.restart)}." if found.restart else ""
        return told(f"{found.summary}.{''.join(f' {each}.' for each in found.changes)}{waits}")

    # --- what is shown before it is done ----------------------------------------------------------------------------

    async def _run(self, order: Order, ask: asks.Run) -> Show:
        """What it would do now, with the button; with something missing, its fields; without a place, where it can."""
        services = self._at.services
        if not ask.action or ask.place is None:
            specs = [self._spec(ask.action)] if ask.action else self._specs()
            given = {**ask.arguments, **({"reason": ask.reason} if ask.reason else {})}
            return Show(run_modals.choose(specs, services.components(), services.shards, given))
        spec = self._spec(ask.action)
        shard = the_shard(services, ask.place.system)
        choice = RunChoice(system=shard, component=ask.place.component, action=ask.action)
        asking = Show(
            run_modals.fields(
                choice, spec, self._at.catalogue.params_schema(ask.action), {**ask.arguments, "reason": ask.reason}
            )
        )
        wanted = Wanted(
            action=ask.action, system=shard, component=ask.place.component, arguments=ask.arguments, reason=ask.reason
        )
        if not ask.reason:
            return asking
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                seen = await self._at.runs.preview(order, wanted)
        except TimeoutError:
            return asking
        except InputError:
            if ask.arguments:
                raise
            return asking
        form = RunForm(
            system=shard, component=ask.place.component, action=ask.action, arguments=ask.arguments, reason=ask.reason
        )
        return Show(run_modals.preview(form, seen))

    def _specs(self) -> Sequence[ActionSpec]:
        found = (self._at.catalogue.spec(name) for name in self._at.catalogue.names())
        return [spec for spec in found if spec is not None]

    def _spec(self, action: str) -> ActionSpec:
        spec = self._at.catalogue.spec(action)
        if spec is None:
            names = self._at.catalogue.names()
            raise InputError("action", did_you_mean(action, names, f"there are: {', '.join(names)}"))
        return spec

    async def _silence(self, order: Order, ask: asks.Silence) -> Show:
        """Which alerts would be silent, with the button; with something missing, the form."""
        self._at.silences.must_be_possible()
        for_ms = modals.SILENCES[2] if ask.for_ms is None else ask.for_ms
        asking = Show(modals.silence(ask.matchers, for_ms, ask.comment))
        if not ask.matchers or ask.for_ms is None or not ask.comment:
            return asking
        wish = Wish(matchers=ask.matchers, for_ms=for_ms, comment=ask.comment)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                alerts = await self._at.silences.would(order, wish)
        except TimeoutError:
            return asking
        return Show(
            modals.silence_confirm(SilenceForm(matchers=ask.matchers, for_ms=for_ms, comment=ask.comment), alerts)
        )


def _came(said: str, outcomes: Sequence[Outcome]) -> Tell:
    return Tell(answers.outcomes(said, outcomes))


def _where(place: asks.Place) -> str:
    return "everything" if not place.system else "/".join(filter(None, (place.system, place.component)))
