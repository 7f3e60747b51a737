"""The shelf on Redis or Valkey: what the board remembers of Slack outlives the process and is one for all replicas.

Implements `shelf.Shelf`; made by the composition root with a line of its own to the store. Lines and places are sealed
like everything Andon keeps; a place is bound to its name and revision. Keys: the table in `bot.adapters.redis_keys`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter, ValidationError

from bot.adapters.redis_keys import FIELD, SlackKeys
from bot.adapters.redis_link import COMMAND_TIMEOUT_S, MAX_BLOCK_MS, Argument, RedisLink
from bot.adapters.seal import Sealer
from bot.adapters.slack.board.shelf import MAX_LINES, REMEMBERED_MS, Line, Placed, Posting, clipped
from bot.core.words import Millis
from bot.engine.ports import Clock
from bot.errors import RecordForged

PER_READ: Final = 200  # places per step of HSCAN, about 100 kB: no one reply stalls the server
_SCRIPTS: Final = ("shelf_lead", "shelf_put", "shelf_say")

log = structlog.get_logger(__name__)


class RedisShelf:
    """One replica's hand on the shelf. `close` after use."""

    def __init__(self, link: RedisLink, sealer: Sealer, clock: Clock, *, prefix: str = "andon") -> None:
        self._link = link
        self._sealer = sealer
        self._clock = clock
        self._keys = SlackKeys.of(prefix)
        folder = Path(__file__).with_name("lua")
        self._scripts = {name: (folder / f"{name}.lua").read_bytes() for name in _SCRIPTS}

    async def close(self) -> None:
        """Give back every connection."""
        await self._link.close()

    # --- who leads --------------------------------------------------------------------------------------------------

    async def lead(self, replica: str, ttl_ms: Millis) -> bool:
        return bool(await self._run("shelf_lead", [self._keys.leader], replica, ttl_ms))

    async def resign(self, replica: str) -> None:
        await self._run("shelf_lead", [self._keys.leader], replica, 0)

    # --- what may look different ------------------------------------------------------------------------------------

    async def nudge(self, names: Sequence[str]) -> None:
        if names:
            scored = [part for name in names for part in (self._clock.now(), name)]
            await self._ask("nudge", b"ZADD", self._keys.nudged, b"NX", *scored)

    async def nudged(self, limit: int, block_ms: Millis) -> list[str]:
        taken = await self._ask("nudged", b"ZPOPMIN", self._keys.nudged, limit)
        if not taken and block_ms > 0:
            seconds = min(block_ms, MAX_BLOCK_MS) / 1000
            async with self._link.bounded("nudged", seconds + COMMAND_TIMEOUT_S):
                first = await self._link.wait_for(b"BZPOPMIN", self._keys.nudged, seconds)
            if first:
                taken = [first[1], first[2], *await self._ask("nudged", b"ZPOPMIN", self._keys.nudged, limit)]
        return [name.decode("utf-8", "replace") for name in taken[::2]]

    # --- what is to be said -----------------------------------------------------------------------------------------

    async def say(self, line: Line) -> bool:
        now = self._clock.now()
        sealed = self._sealer.seal(self._keys.lines, _encoded(clipped(line)))
        keys = [self._keys.known, self._keys.lines]
        kept = int(await self._run("shelf_say", keys, line.id, now, now - REMEMBERED_MS, MAX_LINES, sealed))
        if kept > 1:
            log.error("slack_lines_dropped", lines=kept - 1, waiting=MAX_LINES, fix="the audit has them all")
        return kept > 0

    async def lines(self, limit: int, after: str = "") -> list[Line]:
        since = f"({after}" if after else "-"
        rows = await self._ask("lines", b"XRANGE", self._keys.lines, since, b"+", b"COUNT", limit)
        found, forged = [], []
        for delivery, fields in rows:
            try:
                body = self._sealer.open(self._keys.lines, dict(zip(fields[::2], fields[1::2], strict=True))[FIELD])
                found.append(replace(_lines().validate_json(body), delivery=delivery.decode()))
            except (RecordForged, KeyError, ValidationError) as error:
                log.error("shelf_line_forged", delivery=delivery.decode(), problem=type(error).__name__)
                forged.append(delivery.decode())
        await self.said(forged)
        return found

    async def said(self, deliveries: Sequence[str]) -> None:
        if deliveries:
            await self._ask("said", b"XDEL", self._keys.lines, *deliveries)

    # --- where messages stand ---------------------------------------------------------------------------------------

    async def place(self, name: str) -> Placed | None:
        value = await self._ask("place", b"HGET", self._keys.places, name)
        return None if value is None else self._opened(name, value)

    async def places(self) -> Mapping[str, Placed]:
        found: dict[str, Placed] = {}
        cursor = b"0"
        while True:
            cursor, row = await self._ask("places", b"HSCAN", self._keys.places, cursor, b"COUNT", PER_READ)
            for key, value in zip(row[::2], row[1::2], strict=True):
                name = key.decode("utf-8", "replace")
                found[name] = self._opened(name, value)
            if cursor == b"0":
                return found

    async def put(self, placed: Placed) -> Placed | None:
        kept = replace(placed, revision=placed.revision + 1)
        sealed = self._sealer.seal(self._context(kept.name, kept.revision), _encoded(kept))
        value = b"%d %b" % (kept.revision, sealed)
        done = await self._run("shelf_put", [self._keys.places], placed.name, placed.revision, value)
        return kept if done else None

    async def drop(self, names: Sequence[str]) -> None:
        if names:
            await self._ask("drop", b"HDEL", self._keys.places, *names)

    def _opened(self, name: str, value: bytes) -> Placed:
        """What does not open is a message that must be looked for: it may stand in Slack all the same."""
        number, _, sealed = value.partition(b" ")
        revision = int(number) if number.isdigit() and len(number) < 16 else 0
        try:
            placed: Placed = _places().validate_json(self._sealer.open(self._context(name, revision), sealed))
        except (RecordForged, ValidationError) as error:
            log.error("shelf_place_forged", name=name, problem=type(error).__name__)
            return Placed(name=name, posting=Posting(nonce="", at=0), revision=revision)
        return placed

    def _context(self, name: str, revision: int) -> bytes:
        return b"%b|%b|%d" % (self._keys.places, name.encode(), revision)

    # --- the line ---------------------------------------------------------------------------------------------------

    async def _run(self, script: str, keys: Sequence[bytes], *arguments: Argument) -> Any:
        return await self._ask(script, b"EVAL", self._scripts[script], len(keys), *keys, *arguments)

    async def _ask(self, doing: str, *command: Argument) -> Any:
        async with self._link.bounded(f"slack shelf: {doing}"):
            return await self._link.ask(*command)


def _encoded(kept: Line | Placed) -> bytes:
    return json.dumps(asdict(kept), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@cache
def _lines() -> TypeAdapter[Line]:
    return TypeAdapter(Line)


@cache
def _places() -> TypeAdapter[Placed]:
    return TypeAdapter(Placed)
