"""What the sandbox's HTTP handlers make of a request's body, and how they say no.

A refusal is a 4xx with `{"error", "field"}`: 400 for what is no sense, 404 for what is not there, 409 for what this
floor cannot do now.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from aiohttp import web

_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost):([1-9][0-9]{0,4})")


async def json_object(request: web.Request) -> dict[str, object]:
    """The body, which must be a JSON object."""
    try:
        body = json.loads(await request.text())
    except ValueError:
        raise refusal("body", "not JSON") from None
    if not isinstance(body, dict):
        raise refusal("body", "not a JSON object")
    return body


async def json_or_nothing(request: web.Request) -> dict[str, object]:
    """The same, where the runbook calls without a body."""
    return await json_object(request) if await request.text() else {}


def number(body: dict[str, object], name: str, *, low: float, high: float, default: float | None = None) -> float:
    """A number within bounds."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise refusal(name, f"a number from {low:g} to {high:g} is needed")
    return float(value)


def sentence(body: dict[str, object], name: str, *, needed: bool = False) -> str:
    """Text, "" where none is given and none is needed."""
    value = body.get(name, "")
    if not isinstance(value, str):
        raise refusal(name, "text, or nothing")
    if needed and not value.strip():
        raise refusal(name, "a sentence saying why is needed" if name == "reason" else "text is needed")
    return value


def one_of(body: dict[str, object], name: str, words: Iterable[str], *, default: str = "") -> str:
    """One of several words."""
    known = tuple(words)
    value = body.get(name, default)
    if value not in known:
        raise refusal(name, f"one of {', '.join(known)}")
    return str(value)


def address(body: dict[str, object], name: str) -> str:
    """A `host:port` of this machine: the sandbox talks to nobody else."""
    value = body.get(name)
    found = _LOOPBACK.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[1]) > 65_535:
        raise refusal(name, "host:port on loopback is needed, such as 127.0.0.1:6379")
    return str(value)


def refusal(field: str, message: str) -> web.HTTPBadRequest:
    """400, with the field that is wrong."""
    return web.HTTPBadRequest(text=_body(field, message), content_type="application/json")


def not_here(field: str, message: str) -> web.HTTPNotFound:
    """404."""
    return web.HTTPNotFound(text=_body(field, message), content_type="application/json")


def not_now(field: str, message: str) -> web.HTTPConflict:
    """409: understood, and this floor cannot do it."""
    return web.HTTPConflict(text=_body(field, message), content_type="application/json")


def _body(field: str, message: str) -> str:
    return json.dumps({"error": f"{field}: {message}", "field": field})
