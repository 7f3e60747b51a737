"""Connections to Slack, one session for each of its hosts: the Web API's, and those below it that its answers name.

Uploads go to `files.slack.com`, answers to `hooks.slack.com`; whatever else an address in a payload says, it is not
Slack's. Used by `api` and `speaking`. https://docs.slack.dev/reference/methods/files.getUploadURLExternal
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import aiohttp

from bot.adapters import outgoing
from policies.destinations import Destination, parsed, plain_host

CONNECT_SECONDS: Final = 3.0
MAX_CONNECTIONS: Final = 16  # calls under way at once, to one host
MAX_HOSTS: Final = 8  # that have a session; Slack has three


class Ways:
    """Sessions by host, made inside the running loop. `close` after use."""

    def __init__(
        self, url: str, *, seconds: float, allow_private: bool = False, lookup: outgoing.Lookup | None = None
    ) -> None:
        """`url`: the Web API's. `seconds`: one call. `lookup`: asks for addresses instead of the system."""
        self._url = url
        self._seconds = seconds
        self._allow_private = allow_private
        self._lookup = lookup
        self._home = Destination.of(url, allow_private=allow_private)  # ValueError where it names no host
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    @property
    def home(self) -> aiohttp.ClientSession:
        """To the Web API."""
        return self._session(self._home)

    def to(self, url: str) -> aiohttp.ClientSession | None:
        """To an address that came from Slack; None when it leads elsewhere."""
        try:
            parts, own = urlsplit(url), urlsplit(self._url)
            host = plain_host(parts.hostname or "")
            same = (parts.scheme, parts.username, parts.password) == (own.scheme, None, None)
        except ValueError:
            return None
        below = host.endswith(f".{self._home.host}") and parsed(self._home.host) is None
        if not same or not (host == self._home.host or below):
            return None
        known = host in self._sessions or len(self._sessions) < MAX_HOSTS
        return self._session(Destination(host, self._allow_private)) if known else None

    def _session(self, to: Destination) -> aiohttp.ClientSession:
        if to.host not in self._sessions:
            self._sessions[to.host] = outgoing.session(
                to, total_seconds=self._seconds, connect_seconds=CONNECT_SECONDS, limit=MAX_CONNECTIONS,
                lookup=self._lookup,
            )  # fmt: skip
        return self._sessions[to.host]

    async def close(self) -> None:
        """Close the connections."""
        for session in self._sessions.values():
            await session.close()
