"""Keeps a door usable while somebody leans on it: how many connections there may be, and how much is said of nonsense.

`http_app` makes one for each application. A connection past the bound is closed before a byte of it is read: each costs
a file descriptor, and the same process needs some for its store and for the systems it protects. Whoever sends what is
not HTTP gets aiohttp's 400 and, instead of a traceback in the log for every try, one line a minute.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError

log = structlog.get_logger(__name__)

MAX_CONNECTIONS: Final = 320  # a door; both full leave a third of the usual 1,024 descriptors to the house itself
SHUTDOWN_SECONDS: Final = 10.0  # for requests under way: twice what one durable write may take
IDLE_SECONDS: Final = 75.0  # a connection kept open by Alertmanager between two notifications, or one that says nothing
TELL_EVERY_SECONDS: Final = 60.0  # between two lines about the same nuisance
MAX_PROBLEM: Final = 200  # characters of what aiohttp says about it; it quotes what was sent


class Doorman(web.AppRunner):
    """Serves one application. `limit`: connections at a time; `idle_seconds`: how long one may say nothing whole."""

    def __init__(
        self, app: web.Application, *, limit: int = MAX_CONNECTIONS, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        super().__init__(
            app,
            access_log=None,  # counters tell it; a line per webhook would be most of the cost of a webhook
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=idle_seconds,
            auto_decompress=False,  # `http_body` refuses what is compressed; nothing may grow before it is measured
            logger=_Murmur(),
        )
        self._limit = limit
        self._due = _Due()

    @property
    def server(self) -> Callable[[], asyncio.BaseProtocol] | None:  # type: ignore[override]  # sites only call it
        """What a site calls for each new connection."""
        server = super().server
        if server is None:
            return None

        def admit() -> asyncio.BaseProtocol:
            if len(server.connections) < self._limit:
                return server()
            if self._due():
                log.error("door_full", connections=self._limit, fix="see who connects, and keep them away")
            return _Closed()

        return admit


class _Closed(asyncio.Protocol):
    """A connection that is not taken."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class _Due:
    """Whether something was not told within TELL_EVERY_SECONDS."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + TELL_EVERY_SECONDS
        return True


class _Murmur(logging.Logger):
    """aiohttp's own logger of a door, with what strangers can provoke told briefly and seldom."""

    def __init__(self) -> None:
        super().__init__("aiohttp.server")
        self._due = _Due()

    def handle(self, record: logging.LogRecord) -> None:
        """What is no HTTP becomes a line; everything else goes where it always went."""
        error: Any = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            if self._due():
                log.warning("not_http", **_told(record.args), problem=error.message[:MAX_PROBLEM])
            return
        usual = logging.getLogger(self.name)
        if usual.isEnabledFor(record.levelno):
            usual.handle(record)


def _told(arguments: object) -> dict[str, str]:
    """Who sent it: the only argument of aiohttp's message."""
    return {"remote": str(arguments[0])} if isinstance(arguments, tuple) and arguments else {}
