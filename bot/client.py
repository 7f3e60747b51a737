"""The other end of the operators' API: what the CLI (and any script) uses to talk to a running Andon.

One object a conversation: `async with connect(place) as api: await api.get("/status")`. Over the unix socket the kernel
says who you are; over TCP your token does. Every command carries an idempotency key, so that repeating one whose answer
was lost is harmless.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from bot.errors import AndonError, Refused

TIMEOUT_SECONDS: Final = 30.0  # verifying every chain of a large store is the slowest question
CONNECT_SECONDS: Final = 3.0
MAX_TOLD: Final = 500  # characters shown of an answer that is not Andon's


class UnreachableError(AndonError):
    """Nobody answers where Andon should be."""

    fix = "start it with `andon serve`, or say where it is: ANDON_SOCKET, or ANDON_API_URL with ANDON_API_TOKEN"


class UnavailableError(UnreachableError):
    """Andon answers, and its store does not."""

    fix = "the store must come back first; `andon kill-switch` works without it"


class BadRequestError(AndonError):
    """Andon says that the request itself is wrong; `field` names the part."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class DeclinedError(Refused):
    """Andon understood and said no; `fix` says what would help."""

    def __init__(self, message: str, fix: str, status: int) -> None:
        super().__init__(message)
        self.fix = fix
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where Andon is: the path of its socket, or a URL with a token."""

    socket: Path | None = None
    url: str = ""
    token: str = field(default="", repr=False)

    def __str__(self) -> str:
        return self.url or str(self.socket)


class Api:
    """An open conversation. Made by `connect`. Paths are below ``/api/v1``."""

    def __init__(self, session: aiohttp.ClientSession, place: Place) -> None:
        self._session = session
        self._place = place

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Ask something. Raises UnreachableError, BadRequestError or DeclinedError."""
        return await self._request("GET", path, params=query)

    async def text(self, path: str, **query: str | int) -> dict[str, Any]:
        """Ask something whose answer is words, not JSON: ``{"text": …}``. Raises as `get` does."""
        return await self._request("GET", path, params=query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> dict[str, Any]:
        """Order something. `key`: the same for the same order; made up where none is given."""
        headers = {"Idempotency-Key": key or secrets.token_hex(12)}
        return await self._request("POST", path, json=dict(body or {}), headers=headers)

    async def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            async with self._session.request(method, f"/api/v1{path}", allow_redirects=False, **options) as response:
                body = await _answer(response)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"no Andon answers at {self._place}: {_reason(error)}") from error
        if status < 400:
            return body
        message, where = str(body.get("error", "")), str(body.get("field", ""))
        if status == 503:
            raise UnavailableError(message or "Andon cannot answer now")
        if where and status != 409:
            raise BadRequestError(message, where)
        raise DeclinedError(message or f"HTTP {status}", str(body.get("fix", "")), status)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__


async def _answer(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The JSON object in an answer, or its Markdown as `text`; whatever else came back is an error, cut short."""
    if response.content_type == "text/markdown" and response.status < 400:
        return {"text": await response.text()}
    try:
        body = await response.json()
    except (aiohttp.ContentTypeError, ValueError, RecursionError):
        text = (await response.text(errors="replace"))[:MAX_TOLD]
        return {"error": f"HTTP {response.status}, and not from Andon: {text}"}
    return body if isinstance(body, dict) else {"error": f"HTTP {response.status} with an answer that is no object"}


@asynccontextmanager
async def connect(place: Place) -> AsyncIterator[Api]:
    """Talk to Andon at `place`. Nothing is sent before the first question."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
    headers = {"Authorization": f"Bearer {place.token}"} if place.token else {}
    if place.url:
        session = aiohttp.ClientSession(place.url.rstrip("/"), headers=headers, timeout=timeout)
    else:
        connector = aiohttp.UnixConnector(path=str(place.socket))
        session = aiohttp.ClientSession("http://andon", connector=connector, headers=headers, timeout=timeout)
    async with session:
        yield Api(session, place)
