"""What a modal asks for, done: its form is read, taken to the desk, and answered in its place.

Called by `listeners` once it is known who sent it. A form with something wrong stays open and says what, field by
field; an order that is refused says why in the modal's place; what would act or let something act is shown first
(`run`, `arm`, `unfreeze`, `silence`), and so is what a freeze, a hold or a disarming would stop.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.adapters import http_cards
from bot.adapters.desk import Desk, Order, Outcome
from bot.adapters.desk_runs import Runs, Wanted
from bot.adapters.desk_silences import Silences, Wish
from bot.adapters.http_cards import Card
from bot.adapters.http_lookup import find_incident
from bot.adapters.http_services import Services
from bot.adapters.slack.heard import editing
from bot.adapters.slack.heard.arming import before_arming, before_disarming, is_as_shown
from bot.adapters.slack.heard.freezes import before_lifting, must_be_as_chosen, seen_as_shown, stopped_anew
from bot.adapters.slack.heard.members import Known
from bot.adapters.slack.heard.person import Answer, Deed, Errors, Show, changed, problem, refused, said, told
from bot.adapters.slack.heard.stopping import before_stopping
from bot.adapters.slack.pages import forms, modals, run_modals
from bot.core.action import Catalogue
from bot.errors import AndonError, InputError

_DONE: Final = "Andon"


class Submissions:
    """Answers modals."""

    def __init__(self, services: Services, desk: Desk, runs: Runs, silences: Silences, catalogue: Catalogue) -> None:
        self._services = services
        self._desk = desk
        self._runs = runs
        self._silences = silences
        self._catalogue = catalogue

    async def submitted(
        self, who: Known, callback: str, metadata: str, values: Mapping[str, Any], deed: Deed
    ) -> Answer:
        """Do what the modal says. Raises what the desk raises."""
        form = modals.read(callback, metadata, values)
        match form:
            case forms.FieldErrors(problems=problems):
                return Errors(problems)
            case forms.RunChoice():
                return self._fields(form)
            case forms.RunForm():
                return await self._run(who, form, deed)
            case forms.SilenceForm():
                return await self._silence(who, form, deed)
            case forms.EditForm():
                return await self._edit(who, form, deed)
            case forms.UnfreezeForm():
                return await self._unfreeze(deed.order(who), form)
        page = await self._first(deed.order(who), form)
        if page is not None:
            return page
        return _answer(await self._outcomes(who, form, deed))

    async def _first(self, order: Order, form: forms.Form) -> Show | None:
        """What is to be seen before it is done; None once it was seen, and is still as it was."""
        services = self._services
        match form:
            case forms.ArmForm(on=True) if not await is_as_shown(services, form):
                return await before_arming(services, order, form.policy, form.system)
            case forms.ArmForm(on=False) if not await is_as_shown(services, form):
                return await before_disarming(services, order, form)
            case forms.FreezeForm(confirmed=False) | forms.HoldForm(confirmed=False):
                return await before_stopping(services, order, form)
        return None

    async def _outcomes(self, who: Known, form: forms.Form, deed: Deed) -> list[Outcome]:
        order, desk = deed.order(who), self._desk
        match form:
            case forms.DenyForm(ref=ref, reason=reason):
                return await desk.vote(
                    order, ref.incident, "deny", approval=ref.approval, digest=ref.digest, reason=reason
                )
            case forms.AloneForm(ref=ref, reason=reason):
                return await desk.vote(
                    order, ref.incident, "approve", approval=ref.approval, digest=ref.digest, reason=reason,
                    break_glass=True,
                )  # fmt: skip
            case forms.HoldForm(ref=ref, for_ms=for_ms, reason=reason):
                return await desk.hold(order, ref.incident, for_ms, reason=reason)
            case forms.EscalateForm(ref=ref, reason=reason):
                return await desk.escalate(order, ref.incident, reason=reason)
            case forms.ResolveForm(ref=ref, note=note, force=force):
                return await desk.resolve(order, ref.incident, note=note, force=force)
            case forms.FreezeForm(system=system, component=component, reason=reason, for_ms=for_freeze):
                return await desk.freeze(order, system=system, component=component, reason=reason, for_ms=for_freeze)
            case forms.ArmForm(system=system, policy=policy, on=on):
                return await (desk.arm if on else desk.disarm)(order, policy, system=system)
            case _:
                raise InputError("form", "is none that can be sent")

    async def _unfreeze(self, order: Order, form: forms.UnfreezeForm) -> Answer:
        """Nothing that they have not seen: not what came before the button, nor what comes while it is done."""
        seen = await seen_as_shown(self._services, form)
        if not seen:
            await must_be_as_chosen(self._services, form)
            return await before_lifting(self._services, order, form)
        outcomes = await self._desk.unfreeze(order, system=form.system, component=form.component, seen=seen)
        if stopped_anew(outcomes):
            return await before_lifting(self._services, order, form, said(outcomes))
        return _answer(outcomes)

    # --- orders of actions ------------------------------------------------------------------------------------------

    def _fields(self, choice: forms.RunChoice) -> Answer:
        spec = self._catalogue.spec(choice.action)
        if spec is None:
            raise InputError("action", f"there is no action {choice.action[:100]!r}; `/andon help run` lists them")
        return Show(run_modals.fields(choice, spec, self._catalogue.params_schema(choice.action), choice.given))

    async def _run(self, who: Known, form: forms.RunForm, deed: Deed) -> Answer:
        """First what it would do, then, once confirmed, the order."""
        order = deed.order(who)
        wanted = Wanted(
            action=form.action, system=form.system, component=form.component, arguments=form.arguments,
            reason=form.reason,
        )  # fmt: skip
        if not form.confirmed:
            return Show(run_modals.preview(form, await self._runs.preview(order, wanted)))
        incident, outcomes = await self._runs.run(order, wanted)
        words = f"{said(outcomes)} ({incident})"
        return Show(modals.told("Not done", words)) if refused(outcomes) else Show(modals.told(_DONE, words))

    async def _edit(self, who: Known, form: forms.EditForm, deed: Deed) -> Answer:
        """A safer value: ordered in this person's name, and the question it replaces is answered with no.

        It is as risky as what it replaces: where that needs more people than one, so does this.
        """
        ref, order = form.ref, deed.order(who)
        found = await find_incident(self._services, ref.incident)
        placed = await self._runs.placed(order, found.shard)
        if placed:
            return Show(modals.told(_DONE, f"It was ordered already ({placed})."))
        card = http_cards.card(self._services, found.shard, found.incident, who.person)
        if card is None or (card["approval"], card["digest"]) != (ref.approval, ref.digest):
            raise InputError("decision", "is over; its card says who decided, or what is asked now")
        if card["you"]["not_deny"] or card["you"]["not_approve"]:
            return Show(modals.told("Not done", card["you"]["not_approve"] or card["you"]["not_deny"]))
        self._must_be_safer(found.shard, card, form.arguments)
        wanted = Wanted(
            action=card["action"], system=found.shard, component=card["component"],
            arguments={**json.loads(card["arguments"]), **form.arguments}, reason=form.reason,
            least_risk=card["risk"],
        )  # fmt: skip
        incident, outcomes = await self._runs.run(order, wanted)
        if refused(outcomes):
            return Show(modals.told("Not done", said(outcomes)))
        instead = ", ".join(f"{name} {value:g}" for name, value in sorted(form.arguments.items()))
        try:
            no = said(await self._desk.vote(
                Deed(id=f"{deed.id}/no", team=deed.team, user=deed.user).order(who), ref.incident, "deny",
                approval=ref.approval, digest=ref.digest, reason=f"instead {instead} was ordered ({incident})",
            ))  # fmt: skip
        except AndonError as error:  # the order stands; whoever sent it must not take it for refused
            no = f"The question it replaces still waits, deny it on its card: {problem(error)}"
        return Show(modals.told(_DONE, f"{said(outcomes)} ({incident}). {no}"))

    def _must_be_safer(self, shard: str, card: Card, arguments: Mapping[str, float]) -> None:
        """Each figure within the bounds of now, whatever the form was opened with, and one less than proposed.

        Raises InputError.
        """
        bounds = {
            each.name: each for each in editing.bounds(self._services, shard, card["component"], card["arguments"])
        }
        for name, value in arguments.items():
            bound = bounds.get(name)
            if bound is None or not bound.least <= value <= bound.most:
                raise InputError(name, f"cannot be {value:g} here; ask for a safer value on the card again")
        if not any(value < bounds[name].most for name, value in arguments.items()):
            raise InputError("arguments", "are not safer than what is asked; approve that instead")

    async def _silence(self, who: Known, form: forms.SilenceForm, deed: Deed) -> Answer:
        wish = Wish(matchers=form.matchers, for_ms=form.for_ms, comment=form.comment)
        if not form.confirmed:
            return Show(modals.silence_confirm(form, await self._silences.would(deed.order(who), wish)))
        return Show(modals.told(_DONE, await self._silences.silence(deed.order(who), wish)))


def _answer(outcomes: Sequence[Outcome]) -> Answer:
    """A form that closes says: done."""
    words = said(outcomes)
    if refused(outcomes):
        return Show(modals.told("Not done", words))
    return told(words) if changed(outcomes) else Show(modals.told(_DONE, words))
