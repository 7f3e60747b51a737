"""The thread below a card, which is the timeline: the engine's lines, and what the record says besides. Pure.

The engine says most of it itself (`PostMessage`: opened, acted, asked, decided, taken, escalated, resolved …). What no
line tells - who has seen it, whom it paged, what a diagnosis found, how grave it is now - is told by comparing the
facts shown last with those of now. Called by `board` through `drawing`, in this order: `told`, `line`, then `thread`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bot.adapters.slack.board.shelf import Line
from bot.adapters.slack.cards.blocks import MAX_SECTION, context, message, section
from bot.adapters.slack.cards.phrases import what_fires
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.cards.text import MAX_FALLBACK, bold, clip, clock, escape, length, link, moment, short
from bot.core.effects import Topic
from bot.core.incident import AGAIN, Incident
from bot.core.words import JsonText
from bot.engine.figures import parsed

MAX_LINES: Final = 40  # sections of one message; a message takes 50 blocks
MAX_TOLD: Final = 12  # lines because of one difference in the facts
MAX_FINDING: Final = 600  # characters
MAX_FACT: Final = 200

# A mark and a word for what kind of thing is said; the words after it are the engine's own.
TOPICS: Final[Mapping[Topic, tuple[str, str]]] = {
    "opened": ("🔴", "Opened"),
    "acted": ("🟠", "Done"),
    "verified": ("🟢", "Effect seen"),
    "shadowed": ("○", "Only watched"),
    "parked": ("🟣", "Needs a person"),
    "mitigated": ("🔵", "Mitigated"),
    "resolved": ("🟢", "Resolved"),
    "reopened": ("🔴", "Again"),
    "automation": ("⚪", "Automation"),
    "notified": ("⚪", "Notice"),
    "asked": ("🟣", "A person must decide"),
    "decided": ("⚪", "Decision"),
    "escalated": ("🔴", "Escalated"),
    "taken": ("⚪", "In hand"),
}


def line(said: Line) -> str:
    """One line of the engine's: when, what kind of thing, and its words."""
    mark, word = TOPICS[said.topic]
    return clip(f"{clock(said.at)} {mark} *{word}*: {escape(said.text)}", MAX_SECTION)


def facts(incident: Incident) -> JsonText:
    """What the thread tells about that no line of the engine's tells, as canonical JSON."""
    asked = incident.approval
    kept = {
        "episode": incident.episode,
        "severity": incident.severity,
        "acked": incident.acknowledged_by[:MAX_FACT],
        "acked_at": incident.acknowledged_at,
        "paged": sorted(service[:MAX_FACT] for service in incident.paged),
        "frozen": incident.frozen,
        "held_until": incident.held_until,
        "alerts": len(incident.firing) + incident.untracked,
        "findings": {name[:MAX_FACT]: text[:MAX_FINDING] for name, text in sorted(incident.findings.items())},
        "status": incident.status if incident.status in ("closed", "verifying") else "",
        "asked": asked.id if asked is not None else "",
    }
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def told(before: JsonText, after: JsonText) -> tuple[str, ...]:
    """What to say because the facts changed, a line each; nothing about the first facts, which the card shows.

    Without a time where none is known: when it was noticed is not when it happened.
    """
    old, new = parsed(before), parsed(after)
    if not old:
        return ()
    return tuple(clip(words, MAX_SECTION) for words in [*_news(old, new)][:MAX_TOLD])


def _news(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    again = old.get("episode") != new.get("episode")  # what the last episode knew is no news of this one
    if new.get("severity") != old.get("severity"):
        yield f"🔴 *Severity*: {escape(old.get('severity'))} → {bold(new.get('severity'))}"
    for name, text in sorted((new.get("findings") or {}).items()):
        if again or (old.get("findings") or {}).get(name) != text:
            yield f"⚪ *Found* by {escape(name)}: {short(text, MAX_FINDING)}"
    if new.get("acked") and (again or new["acked"] != old.get("acked")):
        at = new.get("acked_at")
        yield f"⚪ *Seen* by {bold(new['acked'])}{f' at {clock(at)}' if isinstance(at, int) else ''}; paging stops"
    was, is_now = set(old.get("paged") or ()), set(new.get("paged") or ())
    for service in sorted(is_now - was):
        yield f"🔴 *Paged* {bold(service.partition(AGAIN)[0])}"
    if was - is_now:
        gone = sorted({service.partition(AGAIN)[0] for service in was - is_now})
        yield f"⚪ *Pages taken back*: {short(', '.join(gone), MAX_FACT)}"
    if new.get("frozen") and not old.get("frozen"):
        yield "⚪ *Frozen*: automation is off for its target"
    if new.get("held_until", 0) > old.get("held_until", 0):
        yield f"⚪ *Held*: the ladder's own actions wait until {moment(new['held_until'])}"
    if new.get("status") == "verifying" and old.get("status") != "verifying":
        yield "🟠 *Watching* whether the action has its effect"
    if new.get("status") == "closed" and old.get("status") != "closed":
        yield "⚪ *Closed*"


def elsewhere(incident: Incident) -> str:
    """For the channel that its policy names, and that did not take its card. True however it goes on."""
    of = f" of {bold(incident.plan.policy)}" if incident.plan is not None else ""
    return (
        f"🔴 {bold(what_fires(incident))}, an incident{of} ({escape(incident.id)}): this channel took no messages for "
        "a while, so its card, its thread and its decisions are in another one."
    )


def thread(words: Sequence[str], card: str = "") -> tuple[Message, int]:
    """As many lines as fit one message, at least the first, and how many that is; `card`: link to their card."""
    room = MAX_FALLBACK - (length(card) + 80 if card else 0)
    kept: list[str] = []
    for each in words[:MAX_LINES]:
        room -= length(each) + 1
        if kept and room < 0:
            break
        kept.append(each)
    blocks = [section(each) for each in kept] or [section("")]
    if card:
        blocks.append(context(link(card, "The incident's card")))
    return message("\n".join(kept), blocks), len(kept)
