"""One Alertmanager's API: implements `bot.engine.standing.AlertSource`, and `bot.adapters.desk_silences.Silencer`.

Made by `bot.house` for every entry of `alertmanagers:` in andon.yaml; asked by `bot.engine.antientropy`. All it ever
writes there is a silence that a person orders. It asks its own host only (`bot.adapters.outgoing`), and answers are
bounded. How old things are is measured by the answer's own `Date`, so neither a wrong clock here nor a scaled one makes
a fresh Alertmanager look old.
API: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import structlog
from pydantic import SecretStr
from yarl import URL

from bot.adapters import outgoing
from bot.core.words import Millis
from bot.engine.standing import View
from bot.errors import InputError, SourceError
from handlers.alertmanager_api import HeldAlert, read_alerts, read_started_at
from handlers.alertmanager_silences import Condition, HeldSilence, read_id, read_refusal, read_silences, request
from policies.destinations import Destination

LOOK_SECONDS: Final = 3.0  # both questions; a risky action waits for it, and slower than that is no answer
CONNECT_SECONDS: Final = 1.0
MAX_CONNECTIONS: Final = 4  # two questions, and those of a risky action meanwhile
MAX_ANSWER: Final = 16_777_216  # bytes; some 20,000 alerts, beyond which comparing them one by one helps nobody
EVERY_MS: Final = 60_000
# All of them: what is left out of the answer would look as if it had ended.
EVERYTHING: Final = {"active": "true", "silenced": "true", "inhibited": "true", "unprocessed": "true"}

log = structlog.get_logger(__name__)

_FAILURES: Final = (aiohttp.ClientError, OSError, ValueError)  # all that a request can end in, but for its time


class AlertmanagerApi:
    """One Alertmanager. The session opens on first use and stays until `close`."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        credentials: SecretStr | None = None,
        receiver: str = "",
        every_ms: Millis = EVERY_MS,
        look_seconds: float = LOOK_SECONDS,
        allow_private: bool = False,
    ) -> None:
        """`credentials`: a bearer token, or ``user:password`` for basic authentication."""
        self._to = Destination.of(url, allow_private=allow_private)
        self.name = name
        self.receiver = receiver
        self.every_ms = every_ms
        self._base = URL(url.rstrip("/"))
        self._headers = _headers(credentials)
        self._look_seconds = look_seconds
        self._session: aiohttp.ClientSession | None = None

    async def look(self) -> View:
        """Everything it holds now, and whether that can be complete. Raises SourceError."""
        (alerts, now), (status, _) = await asyncio.gather(
            self._get("/api/v2/alerts", EVERYTHING), self._get("/api/v2/status", {})
        )
        try:
            listed = read_alerts(alerts)
            started_at = read_started_at(status)
        except InputError as error:
            raise SourceError(f"its answer cannot be read ({error})") from error
        held: dict[str, HeldAlert] = {one.alert.fingerprint: one for one in listed.alerts}
        if listed.unread:
            log.warning("alerts_left_out", alertmanager=self.name, count=len(listed.unread), problem=listed.problem)
        newest = max((one.updated_at for one in held.values()), default=None)
        return View(
            held=held,
            uptime_ms=max(0, now - started_at),
            fed_ms=None if newest is None else max(0, now - newest),
            unread=listed.unread,
        )

    async def silences(self) -> tuple[HeldSilence, ...]:
        """The silences in force. Raises SourceError."""
        body, _ = await self._get("/api/v2/silences", {})
        try:
            return read_silences(body)
        except InputError as error:
            raise SourceError(f"its silences cannot be read ({error})") from error

    async def silence(self, conditions: Sequence[Condition], *, for_ms: Millis, by: str, comment: str) -> str:
        """Silence what meets all of these, from now on by its own clock; the silence's id.

        Raises SourceError; after one, a look at `silences` tells whether it came into force all the same.
        """
        _, now = await self._get("/api/v2/status", {})
        sent = request(conditions, starts_at=now, for_ms=for_ms, by=by, comment=comment)
        status, body = await self._post("/api/v2/silences", sent)
        if status != 200:
            raise SourceError(f"it refused the silence: {read_refusal(body)}")
        try:
            return read_id(body)
        except InputError as error:
            raise SourceError(f"its answer to a silence cannot be read ({error})") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _get(self, path: str, query: Mapping[str, str]) -> tuple[bytes, Millis]:
        """A 200's body, and the time it was written by the clock of whoever wrote it."""
        status, body, date = await self._ask("GET", path, params=query)
        if status != 200:
            raise SourceError(f"it answered {status} to {path}")
        return body, _written_at(date)

    async def _post(self, path: str, sent: bytes) -> tuple[int, bytes]:
        """The answer to a request that changes something; sent once."""
        status, body, _ = await self._ask("POST", path, data=sent, headers={"Content-Type": "application/json"})
        return status, body

    async def _ask(self, method: str, path: str, **how: Any) -> tuple[int, bytes, str]:
        """Status, body and date of one answer. Raises SourceError."""
        address = self._base.joinpath(path.lstrip("/"))
        try:
            async with self._opened().request(method, address, allow_redirects=False, **how) as answer:
                body = bytearray()
                async for chunk in answer.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise SourceError(f"its answer to {path} is larger than {MAX_ANSWER} bytes")
                return answer.status, bytes(body), answer.headers.get("Date", "")
        except TimeoutError:
            raise SourceError(f"it did not answer {path} within {self._look_seconds:g} s") from None
        except _FAILURES as error:
            raise SourceError(f"it cannot be asked for {path}: {str(error) or type(error).__name__}") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = outgoing.session(
                self._to, total_seconds=self._look_seconds, connect_seconds=CONNECT_SECONDS, limit=MAX_CONNECTIONS,
                headers=self._headers,
            )  # fmt: skip
        return self._session


def _written_at(date: str) -> Millis:
    """An HTTP date as milliseconds; SourceError without one, for then nothing here has an age."""
    try:
        return int(parsedate_to_datetime(date).timestamp() * 1000)
    except (ValueError, TypeError, IndexError):
        raise SourceError("its answer has no usable Date, so nothing in it has an age") from None


def _headers(credentials: SecretStr | None) -> dict[str, str]:
    headers = {"Accept": "application/json"}
    if credentials is None:
        return headers
    secret = credentials.get_secret_value()
    if ":" in secret:
        return headers | {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}
    return headers | {"Authorization": f"Bearer {secret}"}
