"""What is to be done in Slack next: everything that does not look as it should, in the order people need it.

Asked by `board` at every round, done by `showing`. Pure: from briefs, places, lines and weather. Decisions go first,
then a storm's digest, then new cards (oldest first), then cards that changed (longest unchanged first), then words,
then where a card stands that is not in its own channel.
Nothing is queued: what is not done now is found again at the next round, as it looks then.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from bot.adapters.slack.board.shelf import (
    Line,
    Placed,
    card_name,
    digest_name,
    incident_of,
    pointer_name,
    question_name,
    thread_name,
)
from bot.adapters.slack.board.shelf import words_name as words_name
from bot.adapters.slack.board.sights import Brief
from bot.adapters.slack.board.storm import Storm
from bot.adapters.slack.line.pacing import POST, UPDATE
from bot.core.words import AggregateId, JsonText, Millis

Kind: TypeAlias = Literal[
    "question", "question_edit", "question_end", "digest", "card", "edit", "thread", "words", "pointer"
]
Subject: TypeAlias = tuple[str, AggregateId]

DECISION: Final = 0
DIGEST: Final = 1
CARD: Final = 2
EDIT: Final = 3
WORDS: Final = 4
POINTER: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One message to post or edit. `lines` are what it says; `due`: not before (ms)."""

    kind: Kind
    name: str
    channel: str
    method: str
    rank: tuple[int, int]
    subject: Subject = ("", "")
    due: Millis = 0
    lines: tuple[Line, ...] = ()
    storm: Storm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything there is to show. `home` is the default channel's id; `channel_of` gives a line's."""

    briefs: Mapping[Subject, Brief]
    places: Mapping[str, Placed]
    lines: Sequence[Line]
    storms: Mapping[str, Storm]
    home: str
    channel_of: Callable[[Line], str]
    due: Callable[[str], Millis]
    pending: Callable[[Subject], bool]
    digest_looks: Mapping[str, str]  # by channel
    tells: Callable[[Brief, Placed], bool]  # whether the thread has something to say that no line says


def jobs(scene: Scene) -> list[Job]:
    """All there is to do, most urgent first."""
    threads, elsewhere = _sorted_lines(scene)
    held = {subject: storm for storm in scene.storms.values() for subject in storm.held}
    found: list[Job] = []
    for subject, brief in scene.briefs.items():
        if subject not in held:
            found += _about(scene, subject, brief, threads.get(subject, ()))
    for storm in scene.storms.values():
        found += _digest(scene, storm)
        found += _below_digest(scene, storm)
    found += _ended_questions(scene)
    found += _words(scene, elsewhere)
    found += _unfinished(scene, {job.name for job in found})
    return sorted(found, key=lambda job: job.rank)


def _sorted_lines(scene: Scene) -> tuple[dict[Subject, tuple[Line, ...]], list[Line]]:
    """Lines for cards' threads, by incident, and those for other places."""
    threads: dict[Subject, list[Line]] = defaultdict(list)
    elsewhere: list[Line] = []
    for line in scene.lines:
        brief = scene.briefs.get((line.shard, line.incident))
        if scene.pending((line.shard, line.incident)):
            continue  # where it belongs is known at the next round
        if brief is None or (line.channel and scene.channel_of(line) != brief.channel):
            elsewhere.append(line)
        else:
            threads[(line.shard, line.incident)].append(line)
    return {subject: tuple(lines) for subject, lines in threads.items()}, elsewhere


def _about(scene: Scene, subject: Subject, brief: Brief, lines: tuple[Line, ...]) -> Iterable[Job]:
    name = card_name(*subject)
    placed = scene.places.get(name)
    if placed is None or not placed.ts:
        if brief.closed and not lines:
            return
        rank = (DECISION, 0) if brief.question else (CARD, brief.opened_at)
        yield Job(
            kind="card", name=name, channel=brief.channel, method=POST, rank=rank, subject=subject, due=scene.due(name)
        )
        return
    if placed.look != brief.look or not brief.look:
        yield Job(
            kind="edit", name=name, channel=placed.channel, method=UPDATE, rank=(EDIT, placed.shown_at), subject=subject
        )
    if brief.question:
        yield from _question(scene, subject, brief, placed)
    if lines or (brief.facts and scene.tells(brief, placed)):
        thread = thread_name(*subject)
        at = lines[0].at if lines else placed.shown_at
        yield Job(
            kind="thread", name=thread, channel=placed.channel, method=POST, rank=(WORDS, at), subject=subject,
            due=scene.due(thread), lines=lines,
        )  # fmt: skip
    yield from _pointer(scene, subject, brief, placed)


def _pointer(scene: Scene, subject: Subject, brief: Brief, card: Placed) -> Iterable[Job]:
    """Its channel refused when the card was posted, and may take something now: who reads there learns of it once.

    Where the card stands elsewhere since, posted anew, what points to its old place goes.
    """
    name = pointer_name(*subject)
    placed, channel = scene.places.get(name, Placed(name=name)), brief.channel
    todo = channel not in ("", scene.home, card.channel) and not brief.ended
    if placed.ts:
        todo, channel = placed.facts != pointed_at(card), placed.channel
    elif placed.posting is not None and placed.channel == card.channel:  # it may stand there
        todo, channel = True, placed.channel
    if todo:
        yield Job(
            kind="pointer", name=name, channel=channel, method=POST,
            rank=(POINTER, brief.opened_at), subject=subject, due=scene.due(name),
        )  # fmt: skip


def pointed_at(card: Placed) -> JsonText:
    """What a pointer remembers: where the card stood that it names."""
    return json.dumps([card.channel, card.ts])


def _question(scene: Scene, subject: Subject, brief: Brief, card: Placed) -> Iterable[Job]:
    name = question_name(*subject, brief.question)
    placed = scene.places.get(name)
    if placed is None or not placed.ts:
        yield Job(
            kind="question", name=name, channel=card.channel, method=POST, rank=(DECISION, 1), subject=subject,
            due=scene.due(name),
        )  # fmt: skip
    elif placed.look != brief.question_look:
        yield Job(
            kind="question_edit", name=name, channel=placed.channel, method=UPDATE, rank=(DECISION, placed.shown_at),
            subject=subject,
        )  # fmt: skip


def _ended_questions(scene: Scene) -> Iterable[Job]:
    """Decision cards whose question is asked no more: their buttons go first of all."""
    for name, placed in scene.places.items():
        subject = incident_of(name)
        if subject is None or not name.startswith("question:") or placed.over:
            continue
        brief = scene.briefs.get(subject)
        if brief is not None and name == question_name(*subject, brief.question):
            continue
        if placed.look.partition("@")[2] != ended_look(brief, "").partition("@")[2]:
            card = scene.places.get(card_name(*subject))  # a place that did not open tells no channel; it is its card's
            yield Job(
                kind="question_end", name=name, channel=placed.channel or (card.channel if card is not None else ""),
                method=UPDATE if placed.ts else POST,
                rank=(DECISION, 0), subject=subject, due=scene.due(name),
            )  # fmt: skip


def ended_look(brief: Brief | None, look: str) -> str:
    """What the place of an ended question remembers: how it looks, and of which version of the record."""
    return f"{look}@{brief.version if brief is not None else 'gone'}"


def _digest(scene: Scene, storm: Storm) -> Iterable[Job]:
    name = digest_name(storm.channel)
    placed = scene.places.get(name)
    if placed is None or not placed.ts or storm.fresh:
        if storm.on:
            yield Job(
                kind="digest", name=name, channel=storm.channel, method=POST, rank=(DIGEST, storm.began),
                due=scene.due(name), storm=storm,
            )  # fmt: skip
    elif placed.look != scene.digest_looks.get(storm.channel) or placed.over != storm.over:
        yield Job(
            kind="digest", name=name, channel=storm.channel, method=UPDATE, rank=(EDIT, placed.shown_at), storm=storm
        )


def _below_digest(scene: Scene, storm: Storm) -> Iterable[Job]:
    """What was said of incidents that never got a card: below the digest that stood for them, when it is calm again."""
    placed = scene.places.get(digest_name(storm.channel))
    if storm.on or storm.fresh or placed is None or not placed.ts:
        return
    lines = tuple(
        replace(line, text=f"{line.incident}: {line.text}")
        for line in scene.lines
        if (line.shard, line.incident) in storm.held and (not line.channel or scene.channel_of(line) == storm.channel)
    )
    if lines:
        yield _said(scene, storm.channel, lines, storm)


def _words(scene: Scene, lines: Sequence[Line]) -> Iterable[Job]:
    """Lines for other channels than their card's, and of what has no card: as messages, several of one kind joined."""
    groups: dict[tuple[str, Subject], list[Line]] = defaultdict(list)
    for line in lines:
        groups[(scene.channel_of(line), (line.shard, line.incident))].append(line)
    for (channel, _), those in groups.items():
        yield _said(scene, channel, tuple(those), None)


def _said(scene: Scene, channel: str, lines: tuple[Line, ...], storm: Storm | None) -> Job:
    name = words_name(lines[0].id)
    return Job(
        kind="words", name=name, channel=channel, method=POST, rank=(WORDS, lines[0].at), due=scene.due(name),
        subject=(lines[0].shard, lines[0].incident), lines=lines, storm=storm,
    )  # fmt: skip


def _unfinished(scene: Scene, known: set[str]) -> Iterable[Job]:
    """What was being said when somebody stopped: looked for, and noted as said."""
    for name, placed in scene.places.items():
        kind = name.partition(":")[0]
        if kind in ("thread", "words") and name not in known:
            yield Job(
                kind="thread" if kind == "thread" else "words", name=name, channel=placed.channel or scene.home,
                method=POST, rank=(WORDS, placed.shown_at), subject=incident_of(name) or ("", ""), due=scene.due(name),
            )  # fmt: skip
