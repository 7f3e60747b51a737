"""One component's HTTP API: implements `action_ports.HttpTarget`, and knows what became of every request.

Made by `bot.adapters.connectors`. Only requests in the component's allow list leave, to the component's own host
(`bot.adapters.outgoing`); answers are bounded. What an error proves is the heart of it:

    before the connection stood (refused, no such host, TLS failed, breaker open)  NotSent: no byte of the request left
    answer 4xx                                                                     Rejected: the target did not do it
    anything else after that (silence, reset, 5xx, 3xx, a torn answer)             Unknown: it may have been done

Every send opens a connection of its own: a kept-alive one that the target closes in the same moment would turn a
request that never arrived into an Unknown. aiohttp itself repeats a PUT or DELETE once when its connection breaks, even
a fresh one; a second connection for the same request is therefore refused (`_opening`).
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace

import aiohttp
from pydantic import SecretStr
from yarl import URL

from bot.adapters import outgoing
from bot.adapters.connectors_breaker import Breaker
from bot.core.words import JsonText
from bot.engine.action_ports import HttpReply
from bot.errors import NotSent, Rejected, Unknown
from policies.destinations import Destination

CONNECT_SECONDS = 1.0  # to a trading system's own network; slower than that is down
SEND_SECONDS = 4.0  # one send, answer included; below the activity's 5 s, so the error here names the cause
READ_ATTEMPT_SECONDS = 0.9  # one attempt of a read, so that a second one fits into the reader's 2 s
MAX_ANSWER = 1_048_576  # bytes of an answer; a status document is a few kilobytes, a Prometheus vector some hundred
MAX_CONNECTIONS = 16  # of reads, per component
MAX_QUOTED = 200  # characters of a refusal shown to a person
MAX_SEARCHED = 65_536  # bytes of it that are searched for our credentials first

_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)  # all that a request can end in


class HttpConnector:
    """A component behind HTTP. Sessions open on first use and stay until `close`."""

    def __init__(
        self,
        component: str,
        url: str,
        *,
        allow: Iterable[str],
        breaker: Breaker,
        credentials: SecretStr | None = None,
        username: str = "",
        send_seconds: float = SEND_SECONDS,
        killed: Callable[[], str] = lambda: "",
        allow_private: bool = False,
    ) -> None:
        """`killed`: who stopped every action and why, or ""; asked right before each send.

        ValueError when the address names no host. `allow_private`: see `policies.destinations`.
        """
        self._to = Destination.of(url, allow_private=allow_private)
        self.component = component
        self._killed = killed
        self._send_seconds = send_seconds
        self._base = url.rstrip("/")
        self._allow = frozenset(allow)
        self._patterns = tuple(line.split("/") for line in self._allow if line.startswith("GET ") and "*" in line)
        self._breaker = breaker
        self._headers = _headers(credentials, username)
        self._hidden = _forms(credentials, self._headers)
        self._reading: aiohttp.ClientSession | None = None
        self._sending: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        for session in (self._reading, self._sending):
            if session is not None:
                await session.close()

    async def read(self, path: str) -> HttpReply:
        """GET an allowed path; retried. Returns 2xx answers only; raises NotSent, Rejected or Unknown."""
        if not self._may_read(path):
            raise NotSent(f"GET {path} is not in the allow list of {self.component}")
        return await self.get(path)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> HttpReply:
        """GET any path of ours (not from a policy: that goes through `read`), retried."""
        if self._reading is None:
            self._reading = self._session(READ_ATTEMPT_SECONDS)
        session = self._reading
        url = self._url(path).with_query(query) if query else self._url(path)
        return await self._breaker.read(lambda: self._request(session, "GET", url, f"GET {path}"))

    async def send(self, method: str, path: str, body: JsonText, *, idempotency_key: str, fence: int) -> HttpReply:
        """One allowed request, never repeated. Returns when the target answered 2xx; raises otherwise (see above)."""
        line = f"{method} {path}"
        if not self.allows(method, path):
            raise NotSent(f"{line} is not in the allow list of {self.component}")
        if why := self._killed():
            raise NotSent(why)
        if self._sending is None:
            self._sending = self._session(self._send_seconds, force_close=True)
        session, url = self._sending, self._url(path)
        headers = {"Idempotency-Key": idempotency_key, "X-Fence": str(fence)}
        if body:
            headers["Content-Type"] = "application/json"
        return await self._breaker.once(lambda: self._request(session, method, url, line, body=body, headers=headers))

    def allows(self, method: str, path: str) -> bool:
        """Whether the `allow` list names this request."""
        return f"{method} {path}" in self._allow

    def by_hand(self, method: str, path: str, body: JsonText) -> str:
        """The command line with which a person sends the same request; credentials are named, never shown."""
        words = ["curl", "-fsS", "-X", method, self._base + path]
        if body:
            words += ["-H", "Content-Type: application/json", "-d", body]
        line = " ".join(map(shlex.quote, words))
        return f'{line} -H "Authorization: $CREDENTIAL"' if "Authorization" in self._headers else line

    def _session(self, total_seconds: float, *, force_close: bool = False) -> aiohttp.ClientSession:
        """A session to this component alone, that notes when a connection stands."""
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(_opening)
        trace.on_connection_create_end.append(_opened)
        trace.on_connection_reuseconn.append(_connected)
        return outgoing.session(
            self._to, total_seconds=total_seconds, connect_seconds=CONNECT_SECONDS, limit=MAX_CONNECTIONS,
            headers=self._headers, force_close=force_close, traces=[trace],
        )  # fmt: skip

    async def _request(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        line: str,
        *,
        body: JsonText = "",
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """One request, and what its end proves."""
        seen = SimpleNamespace(opened=False, connected=False)
        try:
            async with session.request(
                method, url, data=body.encode() or None, headers=headers, allow_redirects=False, trace_request_ctx=seen
            ) as response:
                status, answer = response.status, await _bounded(response)
        except _FAILURES as error:
            if not seen.connected:
                raise NotSent(f"{self.component} cannot be reached: {_words(error)}") from error
            raise Unknown(f"{self.component} got {line} and did not answer: {_words(error)}") from error
        if 200 <= status < 300:
            if len(answer) > MAX_ANSWER and method == "GET":
                raise Rejected(f"{self.component} answered {line} with more than {MAX_ANSWER} bytes")
            return HttpReply(status, answer[:MAX_ANSWER])
        said = f"{self.component} answered {status} to {line}{_quoted(answer, self._hidden)}"
        if 400 <= status < 500:
            raise Rejected(said)
        raise Unknown(said)

    def _may_read(self, path: str) -> bool:
        """Named by the allow list; there, a `*` as a whole segment of a GET stands for any one segment."""
        line = f"GET {path}"
        if line in self._allow:
            return True
        parts = line.split("/")
        return any(
            len(parts) == len(pattern) and all(_fits(*pair) for pair in zip(pattern, parts, strict=True))
            for pattern in self._patterns
        )

    def _url(self, path: str) -> URL:
        """The address, exactly as written. Raises NotSent for a path that could mean another."""
        if not path.startswith("/") or not path.isprintable() or any(c in path for c in " ?#\\"):
            raise NotSent(f"{path!r} is not a plain path")
        return URL(self._base + path, encoded=True)


def _fits(want: str, have: str) -> bool:
    """One segment of an allowed path against one that is asked for."""
    return want == have or (want == "*" and have not in ("", ".", ".."))


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body, or its first MAX_ANSWER + 1 bytes."""
    answer = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        answer += chunk
        if len(answer) > MAX_ANSWER:
            response.close()
            break
    return bytes(answer[: MAX_ANSWER + 1])


class _AskedTwiceError(aiohttp.ClientError):
    """aiohttp was about to repeat a request by itself."""

    def __init__(self) -> None:
        super().__init__("the connection broke")


async def _opening(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    """A new connection is about to be made for a request: only the first may be."""
    if context.trace_request_ctx.opened:
        raise _AskedTwiceError


async def _opened(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    """A new connection stands, TLS included: from here on bytes may leave."""
    context.trace_request_ctx.opened = context.trace_request_ctx.connected = True


async def _connected(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    """A kept-alive connection is used again (reads only): from here on bytes may leave."""
    context.trace_request_ctx.connected = True


def _headers(credentials: SecretStr | None, username: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    if credentials is not None and username:
        pair = f"{username}:{credentials.get_secret_value()}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    elif credentials is not None:
        headers["Authorization"] = f"Bearer {credentials.get_secret_value()}"
    return headers


def _words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in text[:MAX_QUOTED])


def _forms(credentials: SecretStr | None, headers: Mapping[str, str]) -> tuple[str, ...]:
    """All that a target may send back of what it was sent and nobody else may see; the longest first."""
    if credentials is None:
        return ()
    plain = {credentials.get_secret_value(), headers["Authorization"].partition(" ")[2]}
    return tuple(sorted({*plain, *(json.dumps(each)[1:-1] for each in plain)}, key=len, reverse=True))


def _quoted(answer: bytes, hidden: Iterable[str]) -> str:
    """The beginning of an answer for a person, without the credentials that some servers repeat in it."""
    text = answer[:MAX_SEARCHED].decode(errors="replace")
    for secret in hidden:
        text = text.replace(secret, "***")
    text = " ".join(text[: MAX_QUOTED * 2].split())
    text = "".join(c if c.isprintable() else " " for c in text)[:MAX_QUOTED]
    return f": {text}" if text else ""
