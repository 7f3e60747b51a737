"""Looks where the configured hosts lead before anything is sent there: a refusal is told of before the first incident.

`bot.house` runs `DestinationLook` beside the engine: at start, after each reload and every ten minutes it resolves
every host that Andon calls by HTTP and judges the answer as `bot.adapters.outgoing` would. `andon check --probe` asks
the same of the files (`bot.checking`). A name that is not answered says nothing either way: whoever calls it says so.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import ResolveResult

from bot.adapters.outgoing import Lookup, NotThereError, fit
from bot.engine.alarms import Alarms
from policies.andon import UNROUTED
from policies.called_hosts import AT_START, Place
from policies.destinations import parsed

ALARM: Final = "AndonDestinationRefused"
LOOK_SECONDS: Final = 600.0  # a name's owner may change where it leads; nothing tells of that


@dataclass(frozen=True, slots=True)
class Found:
    """Where a place leads. `problem` "": it may be called; None: its name was not answered."""

    place: Place
    problem: str | None
    fix: str = ""


async def look(listed: Sequence[Place], lookup: Lookup | None = None) -> list[Found]:
    """Resolve and judge each. One name at a time: a DNS that hangs holds one thread up, not those others need."""
    ask = lookup or aiohttp.ThreadedResolver().resolve
    answers: dict[str, list[ResolveResult]] = {}
    for host in dict.fromkeys(place.to.host for place in listed if parsed(place.to.host) is None):
        try:
            answers[host] = await ask(host, 0, socket.AF_UNSPEC)
        except (OSError, UnicodeError):  # the latter: a name that cannot be put to DNS
            answers[host] = []
    return [_judged(place, answers.get(place.to.host)) for place in listed]


def _judged(place: Place, answer: Sequence[ResolveResult] | None) -> Found:
    """None: the host is a number, and as it is written the lint has judged it."""
    try:
        return Found(place, "" if answer is None or fit(place.to, answer) else None)
    except NotThereError as refused:
        return Found(place, refused.why, refused.fix)


class DestinationLook:
    """Keeps the alarm about each place what the last answer says. `listed` gives the places in force."""

    def __init__(
        self, listed: Callable[[], Sequence[Place]], alarms: Alarms, shards: Sequence[str], lookup: Lookup | None = None
    ) -> None:
        self._listed, self._alarms, self._shards, self._lookup = listed, alarms, shards, lookup
        self._refused: set[tuple[str, str]] = set()  # (shard, setting)
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """The configuration is another one: look now."""
        self._poked.set()

    async def run(self) -> None:
        """Look, and wait for the next reason to, until cancelled."""
        while True:
            self._poked.clear()
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._poked.wait()

    async def look(self) -> None:
        """One round. What is not answered stays as it was said; what is configured no more is over."""
        gone = set(self._refused)
        for found in await look(self._listed(), self._lookup):
            place = found.place
            key = (place.system if place.system in self._shards else UNROUTED, place.setting)
            gone.discard(key)
            if found.problem:
                self._refused.add(key)
                restart = ", and restart Andon" if place.setting in AT_START else ""
                summary = f"{place.setting} is not called: {found.problem}; {found.fix} in {place.file}{restart}"
                await self._alarms.raise_(key[0], ALARM, summary, labels=(("setting", place.setting),))
            elif found.problem is not None:
                await self._over(key)
        for key in gone:
            await self._over(key)

    async def _over(self, key: tuple[str, str]) -> None:
        self._refused.discard(key)
        await self._alarms.clear(key[0], ALARM, (("setting", key[1]),))
