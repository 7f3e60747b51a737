"""The buttons below an entry of a list: what this person may do about an incident, or about its question. Pure.

Used by `home` and `answers`; the cards have their own. Every click is judged again at the desk.
"""

from __future__ import annotations

from bot.adapters.http_cards import Card
from bot.adapters.slack.cards import lines
from bot.adapters.slack.cards.blocks import actions, button, confirm, context
from bot.adapters.slack.cards.incident_card import holdable
from bot.adapters.slack.cards.shapes import Block, Ref
from bot.adapters.slack.cards.text import escape
from bot.core.incident import Incident


def deciding(card: Card, place: str, *, editable: bool = False) -> Block:
    """Yes and no, as far as this person may say them; where neither, why. `editable`: a safer value can be asked."""
    ref, you = Ref(card["incident"], card["approval"], card["digest"]), card["you"]
    buttons: list[Block] = []
    if not you["not_approve"]:
        sure = confirm("Approve?", f"{escape(card['action'])}: {lines.changed(card)}", "Approve", "Not yet")
        buttons.append(button("Approve", "approve", ref, place=place, style="primary", confirm=sure))
        buttons += [button("A safer value …", "edit", ref, place=place)] if editable else []
    elif you["may_break_glass"]:
        buttons.append(button("Approve alone …", "approve", ref, place=place, style="danger"))
    if not you["not_deny"]:
        buttons.append(button("Deny …", "deny", ref, place=place))
    return actions(buttons) if buttons else context(f"you may not decide this: {escape(you['not_approve'])}")


def ordering(incident: Incident, place: str) -> Block:
    """What anybody who may act can do about it."""
    ref = Ref(incident.id)
    buttons = [] if incident.acknowledged_by else [button("I see it", "ack", ref, place=place)]
    buttons += [] if incident.taken_by else [button("I have it", "take", ref, place=place)]
    buttons += [button("Hold …", "hold", ref, place=place)] if holdable(incident) else []
    buttons.append(button("More people …", "escalate", ref, place=place))
    return actions([*buttons, button("Resolve …", "resolve", ref, place=place)])
