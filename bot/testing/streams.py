"""Foreign streams in memory: the twin of `bot.adapters.foreign_streams`, for what happens to real ones too.

`add` writes an entry, `trim` and `delete` take away, `vanish` removes the stream, `fall_back` is a failover to a
replica that lagged, `down` makes the server unreachable. Implements `bot.engine.streams.ForeignStreams`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.engine.stream_views import BEGINNING, StreamView, place
from bot.errors import NotSent
from policies.sources import StreamSource


@dataclass(slots=True)
class _Stream:
    entries: dict[str, dict[str, str]] = field(default_factory=dict)
    last: str = BEGINNING
    added: int = 0


class MemoryStreams:
    """Streams by key."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._arrived = asyncio.Event()
        self.down = False

    def add(self, key: str, fields: Mapping[str, str], entry_id: str) -> str:
        """XADD with an id of the caller's."""
        stream = self._streams.setdefault(key, _Stream())
        if place(entry_id) <= place(stream.last):
            raise AssertionError(f"{entry_id} is not later than {stream.last}")
        stream.entries[entry_id] = dict(fields)
        stream.last = entry_id
        stream.added += 1
        self._arrived.set()
        self._arrived = asyncio.Event()
        return entry_id

    def trim(self, key: str, keep: int) -> None:
        """XTRIM MAXLEN."""
        stream = self._streams[key]
        for entry_id in list(stream.entries)[: len(stream.entries) - keep]:
            del stream.entries[entry_id]

    def delete(self, key: str, entry_id: str) -> None:
        """XDEL."""
        del self._streams[key].entries[entry_id]

    def vanish(self, key: str) -> None:
        """DEL, or its time to live ended."""
        self._streams.pop(key, None)

    def fall_back(self, key: str, entries: int) -> None:
        """The newest entries were never there: a replica took over that had not received them."""
        stream = self._streams[key]
        for entry_id in list(stream.entries)[len(stream.entries) - entries :]:
            del stream.entries[entry_id]
        stream.last = list(stream.entries)[-1]
        stream.added -= entries

    async def view(self, source: StreamSource, after: str, count: int) -> StreamView:
        """The stream and its first `count` entries after this id."""
        stream = self._find(source.key)
        if stream is None:
            return StreamView()
        later = [(name, dict(fields)) for name, fields in stream.entries.items() if place(name) > place(after)]
        return StreamView(
            exists=True,
            first=next(iter(stream.entries), ""),
            last=stream.last,
            length=len(stream.entries),
            added=stream.added,
            entries=tuple(later[:count]),
        )

    async def wait(self, source: StreamSource, after: str, block_ms: int) -> None:
        """Return once there are entries after this id, or after `block_ms`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + block_ms / 1_000
        try:
            async with asyncio.timeout_at(deadline):
                while not (await self.view(source, after, 1)).entries:
                    await self._arrived.wait()
        except TimeoutError:
            return

    def _find(self, key: str) -> _Stream | None:
        if self.down:
            raise NotSent("redis cannot be read: ConnectionError")
        return self._streams.get(key)
