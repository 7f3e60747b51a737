"""Silences that people order: which alerts one would silence now, and the silence itself, in every Alertmanager.

A part of the desk, used by the Slack listeners. A silence says nothing about health: Andon resolves no incident
because its alert is silent (law 13), and it begins and ends in Alertmanager, with who asked for it and why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from bot.adapters.desk import MAX_WORDS, MIN_MS, Order, must_act
from bot.adapters.http_services import Services
from bot.core.ids import digest
from bot.core.words import Millis
from bot.engine.standing import View
from bot.errors import InputError, SourceError
from handlers.alertmanager_silences import Condition, HeldSilence
from policies import matchers
from policies.durations import spell
from policies.problems import UnclearError

MAX_SILENCE_MS: Final[Millis] = 24 * 3_600_000  # what is silent for longer is forgotten; such a rule is to be changed
MARK: Final = 8  # characters of an order's digest: enough to know it again for a day
MAX_MATCHERS: Final = 20  # a silence that needs more is two silences


class Silencer(Protocol):
    """One Alertmanager. Implemented by `alertmanager_api.AlertmanagerApi`."""

    @property
    def name(self) -> str: ...

    async def look(self) -> View:
        """What it holds now. Raises SourceError."""
        ...

    async def silences(self) -> tuple[HeldSilence, ...]:
        """The silences in force. Raises SourceError."""
        ...

    async def silence(self, conditions: Sequence[Condition], *, for_ms: Millis, by: str, comment: str) -> str:
        """Silence what meets all of these, from now on; the silence's id. Raises SourceError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A silence as a person asks for it: matchers in Alertmanager's own syntax, how long, and why."""

    matchers: tuple[str, ...]
    for_ms: Millis
    comment: str


class Silences:
    """Takes orders of silences. `silencers` are the Alertmanagers in force now."""

    def __init__(self, services: Services, silencers: Callable[[], Sequence[Silencer]]) -> None:
        self._services = services
        self._silencers = silencers
        self._one_by_one = asyncio.Lock()  # a doubled delivery comes at the same moment

    def must_be_possible(self) -> None:
        """Raises InputError where there is nothing to silence."""
        self._asked()

    async def would(self, order: Order, wish: Wish) -> list[str]:
        """The alerts of now that it would silence, each in a line. Changes nothing. Raises InputError, SourceError."""
        must_act(self._services, order.person)
        judged, asked = _judged(wish), self._asked()
        views = await asyncio.gather(*(each.look() for each in asked))
        found: dict[str, str] = {}
        for view in views:
            for fingerprint, held in view.held.items():
                if all(matcher.matches(held.alert.labels) for matcher in judged):
                    found[fingerprint] = _line(held.alert.labels)
        return sorted(found.values())

    async def silence(self, order: Order, wish: Wish) -> str:
        """Do it, in each Alertmanager; what came of it in words. Raises InputError, and SourceError when none did it.

        The order stands in the silence's comment, so one that is told twice finds its silence there. Told to two
        replicas at the same moment, it is two silences that end together.
        """
        must_act(self._services, order.person)
        judged, asked = _judged(wish), self._asked()
        conditions = [Condition(matcher.name, matcher.operator, matcher.value) for matcher in judged]
        comment = f"{wish.comment.strip()} ({order.via or 'andon'}, {digest(order.id)[:MARK]})"

        async def one(silencer: Silencer) -> str:
            held = await silencer.silences()
            there = next((each.id for each in held if each.comment == comment), "")
            return there or await silencer.silence(conditions, for_ms=wish.for_ms, by=order.person, comment=comment)

        async with self._one_by_one:
            came = await asyncio.gather(*(one(each) for each in asked), return_exceptions=True)
        done, failed = [], []
        for each, outcome in zip(asked, came, strict=True):
            if isinstance(outcome, str):
                done.append(f"{each.name} ({outcome})")
            elif isinstance(outcome, SourceError):
                failed.append(f"{each.name}: {outcome}")
            else:
                raise outcome
        if not done:
            raise SourceError(f"nothing was silenced: {'; '.join(failed)}")
        what = f"{', '.join(map(str, judged))} for {spell(wish.for_ms)}"
        told = f"silenced {what} in {', '.join(done)}"
        return f"{told}; not in {'; '.join(failed)}" if failed else told

    async def in_force(self) -> list[str]:
        """What is silent now, each silence in a line, and which Alertmanagers cannot be asked."""
        found: dict[tuple[tuple[str, ...], Millis], str] = {}
        away: list[str] = []
        asked = list(self._silencers())
        came = await asyncio.gather(*(each.silences() for each in asked), return_exceptions=True)
        for silencer, held in zip(asked, came, strict=True):
            if isinstance(held, SourceError):
                away.append(f"Alertmanager {silencer.name} cannot be asked: {held}")
                continue
            if isinstance(held, BaseException):
                raise held
            for each in held:
                minutes = max(0, each.ends_at - self._services.clock.now()) // 60_000
                line = f"{', '.join(each.matchers)} by {each.by}, ends in {spell(minutes * 60_000)}: {each.comment}"
                found[each.matchers, each.ends_at] = line
        return [*found.values(), *away]

    def _asked(self) -> list[Silencer]:
        found = list(self._silencers())
        if not found:
            raise InputError("silence", "andon.yaml names no Alertmanager (alertmanagers:), so nothing can be silenced")
        return found


def _judged(wish: Wish) -> tuple[matchers.Matcher, ...]:
    """The matchers, read. Raises InputError: without a matcher that needs a label, everything would be silent."""
    if not MIN_MS <= wish.for_ms <= MAX_SILENCE_MS:
        raise InputError("for", f"is between {spell(MIN_MS)} and {spell(MAX_SILENCE_MS)}")
    if not wish.comment.strip() or len(wish.comment) > MAX_WORDS:
        raise InputError("comment", f"say why, in at most {MAX_WORDS} characters: it stays in Alertmanager")
    if len(wish.matchers) > MAX_MATCHERS:
        raise InputError("matchers", f"are {len(wish.matchers)}; at most {MAX_MATCHERS} fit one silence")
    try:
        judged = tuple(matchers.parse(text) for text in wish.matchers)
    except UnclearError as error:
        raise InputError("matchers", str(error)) from error
    if all(matcher.accepts("") for matcher in judged):
        raise InputError("matchers", 'would match every alert there is; name a label, like alertname="VaRBreach"')
    return judged


def _line(labels: dict[str, str]) -> str:
    """An alert in a line: its name, then its labels."""
    rest = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "alertname")
    return f"{labels.get('alertname', '(unnamed)')} {rest}".strip()
