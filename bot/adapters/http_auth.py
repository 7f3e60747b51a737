"""Who is calling: senders of webhooks by shared secret, people by the socket they come through or by their token.

Used by `http_ingress` (sources) and `http_api` (people). Secrets are compared in constant time, all of them every time,
so neither a near miss nor its place in the list shows.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from bot.adapters.http_errors import Unwelcome
from bot.adapters.http_services import PersonToken, Services, Source
from bot.errors import ConfigError
from policies.andon import is_loopback

ANONYMOUS = "local"  # the name of whoever posts to a loopback address that asks for no credentials
_PEERCRED = struct.Struct("3i")  # pid, uid, gid: unix(7)


def require_authentication(host: str, sources: Sequence[Source]) -> None:
    """Raises ConfigError when anybody on a network could post alerts."""
    if sources or is_loopback(host):
        return
    raise ConfigError(
        f"webhooks on {host or 'every address'} would be open to the whole network; give `listen.auth` in andon.yaml a "
        "bearer or basic credential, or listen on 127.0.0.1"
    )


class SourceGate:
    """Lets senders of webhooks in."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)
        self._whole = [(_header(source), source.name) for source in sources]

    def admit(self, header: str | None, origin: str | None = None) -> str:
        """The sender's name, from its `Authorization` header. Raises Unwelcome (401; 403 for a web page).

        Where loopback is trusted without credentials, any page in a browser on this machine could post an alert;
        browsers say so in `Origin`, and no Alertmanager sends one.
        """
        if not self._sources:
            if origin is not None:
                raise Unwelcome(
                    "webhooks from web pages are refused",
                    fix="give listen.auth in andon.yaml a credential, and send it",
                )
            return ANONYMOUS
        found = ""
        for sent, name in self._whole:  # as nearly everybody writes it; taking the header apart costs more
            if hmac.compare_digest((header or "").encode("utf-8", "surrogateescape"), sent):
                found = name
        if found:
            return found
        scheme, given = _credentials(header)
        for source in self._sources:
            same = hmac.compare_digest(given, source.secret)
            if same and scheme == source.scheme:
                found = source.name
        if not found:
            raise Unwelcome(
                "these credentials are not known",
                fix="send the bearer token or user and password that andon.yaml names under listen.auth",
                status=401,
                scheme='Bearer realm="andon"',
            )
        return found


def _header(source: Source) -> bytes:
    if source.scheme == "bearer":
        return b"Bearer " + source.secret
    return b"Basic " + base64.b64encode(source.secret)


def _credentials(header: str | None) -> tuple[str, bytes]:
    """(scheme in lower case, token or ``user:password``); empty when the header is none we read."""
    scheme, _, rest = (header or "").partition(" ")
    scheme, given = scheme.lower(), rest.strip().encode("utf-8", "surrogateescape")
    if scheme == "basic":
        try:
            given = base64.b64decode(given, validate=True)
        except binascii.Error:
            given = b""
    return scheme, given


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `person` is "" for somebody on this machine whom people.yaml does not know."""

    person: str
    uid: int | None = None

    def must_be_known(self) -> str:
        """The person's id. Raises Unwelcome (403) with what to add to people.yaml."""
        if self.person:
            return self.person
        raise Unwelcome(
            f"uid {self.uid} is nobody in people.yaml, so it may look but not act",
            fix=f"add `os_uid: {self.uid}` to your entry in people.yaml; it counts as soon as the file is saved",
        )


def identify(request: web.Request, services: Services) -> Caller:
    """Who sent this request to the operators' API. Raises Unwelcome (401) for a stranger over TCP."""
    header = request.headers.get("Authorization")
    if header is not None:
        return Caller(_person_with(header, services.tokens))
    uid = peer_uid(request)
    if uid is None:
        raise Unwelcome(
            "the operators' API over TCP asks for your own token",
            fix="send `Authorization: Bearer …`, or use the unix socket on the machine Andon runs on",
            status=401,
            scheme='Bearer realm="andon"',
        )
    return Caller(services.person_of(uid) or "", uid)


def _person_with(header: str, tokens: Sequence[PersonToken]) -> str:
    scheme, given = _credentials(header)
    found = ""
    for token in tokens:
        if hmac.compare_digest(given, token.secret) and scheme == "bearer":
            found = token.person
    if not found:
        raise Unwelcome(
            "this token belongs to nobody",
            fix="ask whoever keeps people.yaml for the token behind your api_token",
            status=401,
            scheme='Bearer realm="andon"',
        )
    return found


def peer_uid(request: web.Request) -> int | None:
    """The uid of the process at the other end of a unix socket, as the kernel has it; None over TCP.

    Works on asyncio's and uvloop's sockets. Where the system has no SO_PEERCRED, nobody is known by the socket.
    """
    transport = request.transport
    connection = None if transport is None else transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
    _pid, uid, _gid = _PEERCRED.unpack(raw)
    return int(uid)
