"""Cards of hostile incidents: Slack takes each of them, and nothing that came from a label is live in any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bot.adapters.slack.board import digest, timeline
from bot.adapters.slack.board.shelf import Line
from bot.adapters.slack.board.sights import Brief, StormSight
from bot.adapters.slack.cards import decision_card, incident_card, text
from bot.adapters.slack.cards.decision_card import Extras
from bot.adapters.slack.cards.decision_ending import Ending
from bot.adapters.slack.cards.incident_card import CardView
from bot.adapters.slack.cards.shapes import Message
from bot.core.approval import Vote
from bot.sandbox.slack.limits import problems
from tests.unit.adapters.slack_hostile import NOW, SEVERITIES, STATUSES, Hostile

SEEDS = (1, 2, 3, 4)  # 2,500 messages each
CARDS, QUESTIONS, ENDED, THREADS, DIGESTS = 750, 250, 1_125, 250, 125
TOKEN = re.compile(r"<[^>]*>?")
OURS = re.compile(
    r"<!date\^\d+\^[a-z_{}() ]+\|[\d: Z-]+>|<https://(?:runbooks|grafana|slack|pager)\.example/[^<>|]*\|[^<>|]*>"
)
LINKS = re.compile(r"https://(?:runbooks|grafana|slack|pager)\.example/")


def faults(message: Message) -> Iterator[str]:
    """What Slack would refuse, and what would be live."""
    yield from problems(list(message.blocks))
    if not 0 < len(message.text) <= 4_000:
        yield f"a text of {len(message.text)} characters"
    yield from _live(message.text)
    for part in _parts(message.blocks):
        words = part["text"]
        if part["type"] == "plain_text":
            yield from TOKEN.findall(words)
            yield from ["it draws emoji"] if part["emoji"] else []
        else:
            yield from _live(words)
            yield from [] if part["verbatim"] is True else ["Slack would look for links in it"]


def _live(words: str) -> Iterator[str]:
    yield from (token for token in TOKEN.findall(words) if not OURS.fullmatch(token))
    yield from re.findall(r"[\x00-\x09\x0b-\x1f\u202e\u200b]", words)


def _parts(part: Any) -> Iterator[dict[str, Any]]:
    """Every text object; and every address is one of ours."""
    if isinstance(part, dict):
        assert LINKS.match(part.get("url", "https://slack.example/"))
        if part.get("type") in ("mrkdwn", "plain_text"):
            yield part
        for value in part.values():
            if isinstance(value, dict | list | tuple):
                yield from _parts(value)
    elif isinstance(part, list | tuple):
        for each in part:
            yield from _parts(each)


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_thousand_hostile_cards_are_within_limits_and_mention_nobody(seed: int) -> None:
    """Labels, annotations, findings, reasons and people's own words: harmless in every place of every message."""
    made = 0
    for message in _messages(Hostile(seed)):
        found = list(faults(message))
        assert found == [], f"message {made}: {found[:3]}"
        made += 1
    assert made * len(SEEDS) == 10_000


def _messages(hostile: Hostile) -> Iterator[Message]:
    text_of, pick = hostile.text, hostile.chance.choice
    for _ in range(CARDS):
        incident = hostile.incident()
        view = CardView(
            incident=incident, shard=text_of(), dashboard=pick(("", "https://grafana.example/d/1", "ftp://x")),
            pages=dict.fromkeys(incident.paged, "https://pager.example/1"),
            decision=pick(("", "https://slack.example/p1")), readings=hostile.readings(),
            parent_card="https://slack.example/p2",
        )  # fmt: skip
        yield incident_card.render(view, pick((NOW, text.TIMELESS)))
    for _ in range(QUESTIONS):
        extras = Extras(
            chart=pick(("", "F012345678")), chart_says=text_of(), card="https://slack.example/p1", runbook="https://runbooks.example/x",
            outcomes=tuple(text_of() for _ in range(hostile.many(6))), editable=True, holdable=True,
        )  # fmt: skip
        yield decision_card.render(hostile.question(), extras, NOW)
    kept = "{}"
    for number in range(ENDED):
        if number % 5 == 0:
            kept = decision_card.kept(hostile.question())
        vote = Vote(by=text_of(), at=NOW, verdict=pick(("approve", "deny")), reason=text_of())
        kind = pick(("approved", "denied", "expired", "void"))
        yield decision_card.closed(
            pick((kept, kept, "{}", "[1]")),
            Ending(kind=kind, words=text_of(), at=pick((None, NOW)), votes=(vote,) * pick((0, 1, 9)), became=text_of()),
        )
    yield from _threads(hostile)
    for _ in range(DIGESTS):
        yield _digest(hostile)


def _threads(hostile: Hostile) -> Iterator[Message]:
    text_of, pick = hostile.text, hostile.chance.choice
    topics = tuple(timeline.TOPICS)
    old = timeline.facts(hostile.incident())
    for _ in range(THREADS):
        lines = [
            timeline.line(
                Line(id="1", shard="s", incident="inc-1", channel="", topic=pick(topics), text=text_of(), at=NOW)
            )
            for _ in range(hostile.many(25))
        ]
        new = timeline.facts(hostile.incident()) if pick((True, False, False)) else old
        lines += timeline.told(old, new)
        message, used = timeline.thread(lines, pick(("", "https://slack.example/p1")))
        assert used >= min(1, len(lines))
        old = new
        yield message


def _digest(hostile: Hostile) -> Message:
    pick = hostile.chance.choice
    members = tuple(
        Brief(
            shard=hostile.text(), incident="inc-abcdefghijklmnop", version=1, channel="C1", policy=hostile.text(),
            severity=pick(SEVERITIES), status=pick(STATUSES), opened_at=NOW, ended=pick((True, False)), closed=False,
            question=pick(("", "dec-1")), look="", question_look="", facts="{}",
            what=hostile.text(),
        )
        for _ in range(hostile.many(30))
    )  # fmt: skip
    sight = StormSight(channel="C1", began=NOW, on=pick((True, False)), members=members)
    return digest.render(sight, NOW)


def test_a_fault_would_be_found() -> None:
    """The judge of the test above is no fool: a mention, a foreign link, a control character and a limit are seen."""
    good = incident_card.render(CardView(incident=Hostile(1).incident(), shard="s"), NOW)
    assert list(faults(good)) == []
    for bad in ("<!here>", "<https://evil.example|ok>", "<@U0001>", "\u202e", "x" * 4_001, "a <b", ""):
        assert list(faults(replace(good, text=bad)))
    loud = json.loads(json.dumps(good.blocks).replace('"verbatim": true', '"verbatim": false'))
    assert list(faults(replace(good, blocks=tuple(loud))))
