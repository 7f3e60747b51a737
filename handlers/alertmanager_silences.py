"""Silences as Alertmanager's API tells and takes them: `GET` and `POST /api/v2/silences`. Pure.

Called by `bot.adapters.alertmanager_api` for the silences people order (`bot.adapters.desk_silences`).
Format: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from bot.core.words import Millis
from bot.errors import InputError
from handlers.webhook import MAX_TIME, time_ms

MAX_SILENCES: Final = 1_000  # read of one answer; nobody keeps that many in force on purpose
_TRUE: Final = frozenset({"=", "=~"})


class Condition(NamedTuple):
    """One matcher. `operator` is one of Alertmanager's four."""

    name: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSilence:
    """A silence in force. `matchers` as they are written, like ``alertname="VaRBreach"``."""

    id: str
    matchers: tuple[str, ...]
    ends_at: Millis
    by: str
    comment: str


def request(matchers: Sequence[Condition], *, starts_at: Millis, for_ms: Millis, by: str, comment: str) -> bytes:
    """The body that asks for a silence."""
    conditions = [
        {"name": m.name, "value": m.value, "isRegex": "~" in m.operator, "isEqual": m.operator in _TRUE}
        for m in matchers
    ]
    body = {
        "matchers": conditions,
        "startsAt": _rfc3339(starts_at),
        "endsAt": _rfc3339(starts_at + for_ms),
        "createdBy": by,
        "comment": comment,
    }
    return json.dumps(body, ensure_ascii=False).encode()


def read_id(body: bytes) -> str:
    """The silence's id, from the answer to a request. Raises InputError."""
    found = _json(body)
    name = found.get("silenceID") if isinstance(found, dict) else None
    if not isinstance(name, str) or not name:
        raise InputError("silenceID", "is not in the answer")
    return name


def read_refusal(body: bytes) -> str:
    """Why a request was refused, as Alertmanager says it: a JSON string, or an object with a message."""
    try:
        found = _json(body)
    except InputError:
        return body[:300].decode("utf-8", "replace")
    told = found.get("message") if isinstance(found, dict) else found
    return str(told)[:300]


def read_silences(body: bytes) -> tuple[HeldSilence, ...]:
    """Those in force, soonest to end first. Raises InputError for an answer that is none of Alertmanager's."""
    found = _json(body)
    if not isinstance(found, list):
        raise InputError("silences", "is no list")
    held = [_silence(each) for each in found[:MAX_SILENCES] if _state(each) == "active"]
    return tuple(sorted(held, key=lambda silence: silence.ends_at))


def _state(sent: Any) -> str:
    status = sent.get("status") if isinstance(sent, dict) else None
    return str(status.get("state")) if isinstance(status, dict) else ""


def _silence(sent: dict[str, Any]) -> HeldSilence:
    try:
        ends = str(sent["endsAt"])
        return HeldSilence(
            id=str(sent["id"]),
            matchers=tuple(_matcher(each) for each in sent["matchers"]),
            ends_at=time_ms(ends[:MAX_TIME]) or 0,
            by=str(sent.get("createdBy", "")),
            comment=str(sent.get("comment", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("silences", f"one of them cannot be read ({type(error).__name__})") from None


def _matcher(sent: dict[str, Any]) -> str:
    operator = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}
    told = operator[bool(sent.get("isEqual", True)), bool(sent["isRegex"])]
    return f'{sent["name"]}{told}"{sent["value"]}"'


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:  # the second: brackets by the thousand
        raise InputError("answer", "is not JSON") from error


def _rfc3339(at: Millis) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")
