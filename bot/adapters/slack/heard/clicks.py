"""What a button does: an order at the desk, or a modal that asks for the rest.

A card is edited by `board` when something changed; an answer that one person sees is nobody's to edit. So what came of
a click there is told in its place, with the incident as it is now: its old buttons do not outlive the click.

Called by `listeners` once it is known who clicked. Every button carries which question it was shown for (`Ref`), so an
old one decides nothing: the machine says what became of it. Limits and laws are the desk's and the machine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bot.adapters import http_cards
from bot.adapters.desk import Desk
from bot.adapters.http_cards import Card
from bot.adapters.http_lookup import Found, find_incident
from bot.adapters.http_services import Services
from bot.adapters.slack.cards.phrases import plain_step
from bot.adapters.slack.cards.shapes import Ref, Verb
from bot.adapters.slack.cards.text import escape
from bot.adapters.slack.heard import editing
from bot.adapters.slack.heard.copies import Copies
from bot.adapters.slack.heard.freezes import before_lifting, frozen
from bot.adapters.slack.heard.members import Known
from bot.adapters.slack.heard.person import Answer, Deed, Show, Tell, said, told
from bot.adapters.slack.pages import lift_modals, modals
from bot.adapters.slack.pages.forms import UnfreezeForm
from bot.core.incident_end import next_call
from bot.errors import InputError

_PLACE: Final = "|"  # between system and component


class Clicks:
    """Answers buttons."""

    def __init__(self, services: Services, desk: Desk, copies: Copies) -> None:
        self._services = services
        self._desk = desk
        self._copies = copies

    async def clicked(self, who: Known, verb: Verb, value: str, deed: Deed) -> Answer:
        """Do what the button says. Raises what the desk raises."""
        match verb:
            case "freeze":
                return Show(modals.freeze(self._services.shards, self._services.components(), value or _PLACE))
            case "unfreeze" if not value:
                return Show(lift_modals.choose(await frozen(self._services)))
            case "unfreeze":
                system, _, component = value.partition(_PLACE)
                form = UnfreezeForm(system=system, component=component)
                return await before_lifting(self._services, deed.order(who), form)
            case "run" | "silence" | "refresh" | "show":
                return None  # `listeners` has the others answer these
        ref = Ref.read(value)
        match verb:
            case "ack":
                return await self._told(who, ref, deed, said(await self._desk.ack(deed.order(who), ref.incident)))
            case "take":
                return await self._told(who, ref, deed, said(await self._desk.take(deed.order(who), ref.incident)))
            case "approve":
                return await self._approve(who, ref, deed)
            case _:
                return await self._modal(who, verb, ref, deed)

    async def _told(self, who: Known, ref: Ref, deed: Deed, words: str) -> Tell:
        """What came of it; in an answer that only they see, in its place."""
        if not deed.alone:
            return told(words)
        return await self._copies.anew(ref.incident, who.person, escape(words))

    async def _approve(self, who: Known, ref: Ref, deed: Deed) -> Answer:
        """A yes; from somebody who may only break the glass, first the question why."""
        _, card = await self._asked(who, ref)
        if card is not None and card["you"]["not_approve"] and card["you"]["may_break_glass"]:
            return Show(modals.alone(ref, plain_step(card), card["silence"]), ref.incident)
        outcomes = await self._desk.vote(
            deed.order(who), ref.incident, "approve", approval=ref.approval, digest=ref.digest
        )
        return await self._told(who, ref, deed, said(outcomes))

    async def _modal(self, who: Known, verb: Verb, ref: Ref, deed: Deed) -> Answer:
        """What asks for the rest; for a question that is over, how it ended."""
        found, card = await self._asked(who, ref)
        incident = found.incident
        match verb:
            case "deny" | "edit" if card is None:
                over = f"Not done: this decision is over: {incident.since(ref.approval)}"
                return await self._told(who, ref, deed, over)
            case "hold":
                return Show(modals.hold(ref), ref.incident)
            case "escalate":
                called = next_call(incident, incident.plan)[0].service if incident.plan is not None else ""
                return Show(modals.escalate(ref, called), ref.incident)
            case "resolve":
                return Show(modals.resolve(ref, len(incident.firing)), ref.incident)
        if card is None or verb not in ("deny", "edit"):
            raise InputError("action_id", "is not a button of Andon's")
        form = modals.deny(ref, plain_step(card)) if verb == "deny" else self._edit(ref, found, card)
        return Show(form, ref.incident)

    def _edit(self, ref: Ref, found: Found, card: Card) -> Mapping[str, Any]:
        bounds = editing.bounds(self._services, found.shard, card["component"], card["arguments"])
        if not bounds:
            raise InputError(
                "edit", "changes nothing: no figure of this step has a safer value; approve, deny or take over"
            )
        return modals.edit(ref, plain_step(card), bounds)

    async def _asked(self, who: Known, ref: Ref) -> tuple[Found, Card | None]:
        """The incident, and the question that the button was shown for if it still waits."""
        found = await find_incident(self._services, ref.incident)
        card = http_cards.card(self._services, found.shard, found.incident, who.person)
        if card is None or (card["approval"], card["digest"]) != (ref.approval, ref.digest):
            return found, None
        return found, card
