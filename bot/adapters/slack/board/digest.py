"""The digest: one message in a channel for all the incidents of a storm, edited in place. Pure.

In a storm only what waits for a decision gets a card of its own (`storm`); all others stand here, counted by how they
stand and by policy, the gravest by name. When the storm is over, what is still open gets cards, and this message says
so. Called by `board` through `drawing`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from bot.adapters.slack.board.sights import Brief, StormSight
from bot.adapters.slack.cards.blocks import context, header, message, section
from bot.adapters.slack.cards.incident_card import STATES
from bot.adapters.slack.cards.phrases import MAX_FIRES
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.cards.text import bold, clock, code, escape, joined, moment, short
from bot.core.words import Millis, severity_rank

MAX_LISTED: Final = 20  # incidents by name, gravest first; `/andon incidents` lists all
MAX_POLICIES: Final = 8
MAX_NAME: Final = 80
MAX_PART: Final = 2_800
# In this order: what a person must do comes first.
_ORDER: Final = (
    "awaiting_approval", "parked", "acting", "verifying", "diagnosing", "open", "mitigated", "resolved", "closed",
)  # fmt: skip


def render(sight: StormSight, now: Millis) -> Message:
    """The digest as it is to be shown; it shows no countdown, so `now` changes nothing."""
    members, live = sight.members, [brief for brief in sight.members if not brief.ended]
    count = f"{len(members)} incident{'s' if len(members) != 1 else ''}"
    mark, head = ("🔴", "STORM") if sight.on else ("🟢", "storm over") if not live else ("🟠", "storm over, some open")
    notice = f"{mark} {head}: {count} opened here, {len(live)} still open"
    blocks = [header(f"{mark} {head} · {count}"), section(_standing(sight, len(live)), fields=[*_counts(members)])]
    gravest = joined(_lines(sight, live), MAX_PART, hidden=max(0, len(live) - MAX_LISTED))
    blocks += [section(f"*Still open, the gravest first*\n{gravest}")] if gravest else []
    hint = "/andon incidents"
    blocks.append(context(f"all of them: {code(hint)}  ·  what waits for a decision has a card of its own"))
    return message(notice, blocks)


def _standing(sight: StormSight, live: int) -> str:
    since = f"More incidents than fit the channel open since {moment(sight.began)}."
    waiting = sum(1 for brief in sight.members if brief.question)
    decide = f" *{waiting} wait for a decision*: see the cards below." if waiting else ""
    if sight.on:
        return f"{since} They stand here together until it calms down; Andon goes on acting on each of them.{decide}"
    after = "Each that is still open gets its own card now." if live else "None is open any more."
    return f"They opened within a short time from {moment(sight.began)} on. {after}{decide}"


def _counts(members: Sequence[Brief]) -> Iterator[str]:
    states = Counter(brief.status for brief in members)
    ordered = sorted(states.items(), key=lambda each: _ORDER.index(each[0]) if each[0] in _ORDER else len(_ORDER))
    yield "*How they stand*\n" + joined((f"{count} {_state(status)}" for status, count in ordered), MAX_PART)
    grave = Counter(brief.severity for brief in members)
    told = sorted(grave.items(), key=lambda each: -severity_rank(each[0]))
    yield "*How grave*\n" + joined((f"{count} {severity}" for severity, count in told), MAX_PART)
    policies = Counter(brief.policy for brief in members).most_common()
    most = sorted(policies, key=lambda each: (-each[1], each[0]))
    yield "*By policy*\n" + joined((f"{n} {short(name, MAX_NAME)}" for name, n in most), MAX_PART, most=MAX_POLICIES)


def _state(status: str) -> str:
    mark, words = next((told for name, told in STATES.items() if name == status), ("", escape(status)))
    return f"{mark} {words}"


def _lines(sight: StormSight, live: Sequence[Brief]) -> Iterator[str]:
    ordered = sorted(live, key=lambda b: (not b.question, -severity_rank(b.severity), b.opened_at, b.incident))
    for brief in ordered[:MAX_LISTED]:
        own = ", has a card" if brief.incident in sight.carded else ""
        what = f"{brief.severity} {bold(brief.policy, MAX_NAME)} on {short(brief.shard, MAX_NAME)}"
        fires = f": {short(brief.what, MAX_FIRES)}" if brief.what else ""
        yield f"{_state(brief.status)}: {what}{fires} since {clock(brief.opened_at)} {code(brief.incident)}{own}"
