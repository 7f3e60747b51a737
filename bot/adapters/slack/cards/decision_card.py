"""The decision card: all that a person must see before they say yes or no, and afterwards who said what. Pure.

Rendered from what `bot.adapters.http_cards` says about a pending question (the same that CLI and API tell), and posted
by `board` into the incident's thread, shown in the channel too. It is edited in place as people vote. Once the question
is over it is rendered by `closed`, without buttons, from what was `kept` of it and from the audit (`decision_ending`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bot.adapters.slack.cards.blocks import actions, button, confirm, context, header, message, picture, section
from bot.adapters.slack.cards.decision_ending import Ending
from bot.adapters.slack.cards.phrases import change_words, reading_line
from bot.adapters.slack.cards.shapes import Block, Message, Ref
from bot.adapters.slack.cards.text import bold, clip, clock, code, coming, escape, joined, link, moment, short
from bot.core.words import JsonText, Millis
from bot.engine import figures

Json: TypeAlias = Mapping[str, Any]

MAX_WHY: Final = 700  # characters
MAX_NAMES: Final = 400  # of a list of people
MAX_NAME: Final = 80
MAX_SHORT: Final = 240
MAX_CONDITION: Final = 500
MAX_PART: Final = 1_500
MAX_READINGS: Final = 8
MAX_FINDINGS: Final = 4
MAX_OUTCOMES: Final = 5  # of this policy, newest first
MAX_CHANGES_KEPT: Final = 8
_HASH_SHOWN: Final = 12  # characters of a policy's hash: enough to tell two apart by eye

EXPOSURE: Final[Mapping[str, str]] = {
    "lowers": "lowers exposure",
    "neutral": "leaves exposure as it is",
    "raises": "RAISES exposure",
}
DELIVERY: Final[Mapping[str, str]] = {
    "absolute": "asks for a state: sent twice, it is still that state",
    "keyed": "sent with a key: the target takes it once",
    "once": "sent once and never again",
}
_ENDED: Final[Mapping[str, tuple[str, str]]] = {
    "approved": ("🟢", "APPROVED"),
    "denied": ("🔴", "DENIED"),
    "expired": ("⚪", "NOBODY DECIDED IN TIME"),
    "void": ("⚪", "NO LONGER ASKED"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What the question itself does not hold.

    `chart`: id of a picture uploaded to Slack, `chart_says` the same in words. `outcomes`: what this policy's last
    actions came to, newest first. `card`: link to the incident's card. `editable`: a safer value may be asked for
    instead. `holdable`: the ladder has an action ahead that a person may hold back.
    """

    chart: str = ""
    chart_says: str = ""
    outcomes: tuple[str, ...] = ()
    card: str = ""
    runbook: str = ""
    editable: bool = False
    holdable: bool = False


def render(card: Json, extras: Extras, now: Millis) -> Message:
    """The question, with its buttons; whoever may not decide is told so at the click."""
    blocks = [
        header(f"🟣 DECIDE · {_what(card)} · {card['risk']}"),
        section(joined(_asked(card), MAX_PART), fields=[*_fields(card)]),
    ]
    evidence = joined(_evidence(card, now), MAX_PART)
    blocks += [section(f"*Evidence*\n{evidence}")] if evidence else []
    blocks += [picture(extras.chart, extras.chart_says)] if extras.chart else []
    if extras.outcomes:
        last = joined((short(each, MAX_SHORT) for each in extras.outcomes[:MAX_OUTCOMES]), MAX_PART)
        blocks.append(section(f"*What this policy's last actions came to*\n{last}"))
    blocks.append(context(joined(_small_print(card, extras), MAX_PART, gap="  ·  ")))
    return message(notice(card), [*blocks, actions([*_buttons(card, extras)])])


def notice(card: Json) -> str:
    """One line for notifications and screen readers."""
    changed = change_words(figures.intended(card["before"], card["wanted"]))
    what = f"{escape(_what(card))}{f' ({changed})' if changed else ''}"
    return f"🟣 A person must decide: {what}. {short(card['why'], MAX_SHORT)} ({escape(card['incident'])})"


def kept(card: Json) -> JsonText:
    """What the board keeps of a question, so that its card can be closed when the record no longer has it."""
    changes = figures.intended(card["before"], card["wanted"])[:MAX_CHANGES_KEPT]
    told = {
        name: str(card[name])[:MAX_WHY] for name in ("incident", "approval", "digest", "action", "component", "risk")
    }
    told |= {name: str(card[name])[:MAX_WHY] for name in ("system", "policy", "severity", "why")}
    return json.dumps(
        told
        | {
            "asked_at": card["asked_at"],
            "expires_at": card["expires_at"],
            "quorum": card["quorum"],
            "changes": [[each.name[:MAX_NAME], (each.was or "?")[:MAX_NAME], each.now[:MAX_NAME]] for each in changes],
        },
        sort_keys=True,
        separators=(",", ":"),
    )


def closed(text: JsonText, ending: Ending) -> Message:
    """The same card when its question is over: who decided, and nothing to press. `text` is what was `kept` of it."""
    card = {"action": "?", "component": ""} | figures.parsed(text)
    mark, word = _ENDED[ending.kind]
    changes = tuple(figures.Change(*each) for each in card.get("changes", ()))
    lines = [
        *_said(ending),
        f"It was about: {change_words(changes)}" if changes else "",
        short(card.get("why", ""), MAX_WHY),
    ]
    where = f"{escape(card.get('system', ''))} / {escape(card.get('policy', ''))}"
    small = (f"{moment(ending.at)}" if ending.at else "", where, code(card.get("incident", "")))
    notice = f"{mark} {word}: {escape(_what(card))}. {clip(' '.join(_said(ending)), MAX_SHORT)}"
    blocks = [header(f"{mark} {word} · {_what(card)}"), section(joined(lines, MAX_PART))]
    return message(notice, [*blocks, context(joined(small, MAX_PART, gap="  ·  "))])


def _said(ending: Ending) -> Iterator[str]:
    """Who said what, and what that meant."""
    for vote in ending.votes:
        word = "said yes" if vote.verdict == "approve" else "said *no*"
        glass = " alone, breaking the glass" if vote.break_glass else ""
        why = f": {short(vote.reason, MAX_SHORT)}" if vote.reason else ""
        yield f"{bold(vote.by, MAX_NAME)} {word}{glass} at {clock(vote.at)}{why}"
    if ending.kind == "expired":
        yield "Nobody decided in time. Nothing was sent; the next people were called."
    if ending.kind == "void":
        yield "There is nothing to decide any more, and nothing was sent for it."
    if ending.words and ending.kind != "denied":
        yield short(ending.words, MAX_WHY)
    if ending.became:
        yield f"*It came to*: {short(ending.became, MAX_WHY)}"


def _what(card: Json) -> str:
    """The action and the component it acts on."""
    action = str(card["action"])[:MAX_NAME]
    return f"{action} on {str(card['component'])[:MAX_NAME]}" if card["component"] else action


def _asked(card: Json) -> Iterator[str]:
    """What would change, and why it is asked."""
    changed = change_words(figures.intended(card["before"], card["wanted"]), gap="\n")
    yield changed or "*What it changes cannot be read beforehand.*"
    yield short(card["why"], MAX_WHY)
    for name, found in sorted(card["findings"].items())[:MAX_FINDINGS]:
        yield f"{bold(name, MAX_NAME)}: {short(found, MAX_SHORT)}"


def _fields(card: Json) -> Iterator[str]:
    yield f"*Risk*\n{escape(card['risk'])}, {EXPOSURE.get(card['direction'], escape(card['direction']))}"
    yield f"*How it is sent*\n{DELIVERY.get(card['delivery'], escape(card['delivery']))}"
    yield f"*Votes*\n{joined(_votes(card), MAX_NAMES)}"
    able = ", ".join(card["may_still_vote"])
    yield f"*Who may still say yes*\n{short(able, MAX_NAMES) if able else '*nobody*'}"
    yield f"*If nobody decides*\n{coming(card['expires_at'])}: {short(card['silence'], MAX_SHORT)}"
    if card["break_glass"]:
        alone = bold(card["break_glass"], MAX_NAME)
        yield f"*Alone*\n{alone} may decide: Approve asks for the reason, and everybody is paged"


def _votes(card: Json) -> Iterator[str]:
    for vote in card["votes"]:
        glass = ", breaking the glass" if vote.get("break_glass") else ""
        yield f"{bold(vote['by'], MAX_NAME)} said yes at {clock(vote['at'])}{glass}"
    yield f"{card['missing']} of {card['quorum']} still must say yes"


def _evidence(card: Json, now: Millis) -> Iterator[str]:
    for found in card["readings"][:MAX_READINGS]:
        yield reading_line(
            found["name"], found["value"], found["taken_at"], found["source"], found["error"], now
        )  # fmt: skip
    if card["guard"]:
        told = "*could not be told*" if card["guard_untold"] else "held when this was asked; it is weighed again"
        yield f"guard {code(card['guard'], MAX_CONDITION)}: {told}"
    if card["verify"]:
        yield f"afterwards it waits for {code(card['verify'], MAX_CONDITION)}"


def _small_print(card: Json, extras: Extras) -> Iterator[str]:
    changed = ", *changed since the incident opened*" if card["policy_changed"] else ""
    version = code(card["policy_hash"][:_HASH_SHOWN])
    yield f"{escape(card['system'])} / {bold(card['policy'], MAX_NAME)} {version}{changed}"
    arguments = figures.parsed(card["arguments"])
    if arguments:
        said = ", ".join(f"{name}={figures.plain(value)}" for name, value in sorted(arguments.items()))
        yield f"arguments: {short(said, MAX_SHORT)}"
    if card["requesters"]:
        yield f"asked for by {short(', '.join(card['requesters']), MAX_SHORT)}, who may not approve it"
    if card["by_hand"]:
        yield f"by hand: {code(card['by_hand'], MAX_SHORT)}"
    yield link(extras.card, str(card["incident"])[:MAX_NAME])
    if extras.runbook:
        yield link(extras.runbook, "Runbook")


def _buttons(card: Json, extras: Extras) -> Iterator[Block]:
    ref = Ref(card["incident"], card["approval"], card["digest"])
    changed = change_words(figures.intended(card["before"], card["wanted"]))
    sure = confirm(
        "Say yes?", f"{escape(_what(card))}\n{changed or 'what it changes cannot be read beforehand'}", "Approve", "No"
    )
    yield button("Approve", "approve", ref, style="primary", confirm=sure)
    yield button("Deny…", "deny", ref, style="danger")
    if extras.editable:
        yield button("A safer value…", "edit", ref)
    yield button("I have it", "take", ref)
    if extras.holdable:
        yield button("Hold the ladder's action…", "hold", ref)
