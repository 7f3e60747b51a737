"""One call of the Web API: its arguments however they came, its refusal by Slack's name, and the record of it.

Made by `web_api`, read by the methods (`api_chat`, `api_places`, `api_views`, `api_files`), by tests and the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bot.core.words import Millis


class Refused(Exception):
    """`{"ok": false, "error": name}`, with whatever else Slack says there."""

    def __init__(self, name: str, **extra: Any) -> None:
        super().__init__(name)
        self.name = name
        self.extra = extra


def invalid(problems: list[str], error: str = "invalid_blocks") -> Refused:
    """What Slack answers to blocks or views that it does not take."""
    return Refused(error, errors=problems, response_metadata={"messages": [f"[ERROR] {each}" for each in problems]})


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked for, when (world's clock), and how it ended: `error` "" is ok, "lost" is done but unanswered."""

    at: Millis
    method: str
    args: Mapping[str, Any]
    error: str = ""
    ts: str = ""  # of the message that it posted or changed


class Args:
    """Arguments of a call: from the query, a form or JSON, which Slack all takes."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def text(self, name: str, default: str = "") -> str:
        """As text; "" when it is not there."""
        value = self.values.get(name)
        return default if value is None else str(value)

    def need(self, name: str, error: str = "invalid_arguments") -> str:
        """As text that must be there."""
        value = self.text(name)
        if not value:
            raise Refused(error, response_metadata={"messages": [f"[ERROR] missing required field: {name}"]})
        return value

    def flag(self, name: str) -> bool:
        """As a truth: JSON's, or the 1 and 0 that the SDK makes of it."""
        return self.text(name).lower() in ("1", "true")

    def number(self, name: str, default: int) -> int:
        """As a whole number."""
        try:
            return int(self.text(name) or default)
        except ValueError:
            raise Refused("invalid_arguments") from None

    def decoded(self, name: str, error: str) -> Any:
        """A structure: as it is in JSON, or JSON inside a form's field. None when it is not there."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value else None
        except ValueError:
            raise Refused(error) from None


async def read(request: web.Request) -> Args:
    """All arguments of a request. Raises Refused for JSON that is none."""
    values: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            raise Refused("invalid_json") from None
        if not isinstance(body, dict):
            raise Refused("json_not_object")
        values.update(body)
    elif request.can_read_body:
        values.update(await request.post())
    return Args(values)


def token_of(request: web.Request, args: Args) -> str:
    """The bearer token, or the argument of that name; it is taken out, so that no record keeps it."""
    given = str(args.values.pop("token", ""))
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else given
