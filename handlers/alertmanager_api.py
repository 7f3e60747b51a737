"""What Alertmanager's API says it holds: `GET /api/v2/alerts` and `/api/v2/status`, from bytes to values. Pure.

Called by `bot.adapters.alertmanager_api`; what follows from it is decided in `bot.engine.standing`.
Format: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml

Other than in a webhook, `endsAt` lies in the future for an alert that fires (when it ends unless it is told again), and
an alert that has ended is not listed at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from bot.core.alert import Alert
from bot.core.words import Millis
from handlers.alertmanager import SOURCE
from handlers.webhook import MAX_TIME, alert_fields, first_problem, tidied, time_ms

MAX_NAMES: Final = 1_000  # receivers of one alert, or silences and alerts that mute it


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAlert:
    """A firing alert as Alertmanager holds it. `muted_by`: what silences or inhibits it, in words; "" for nothing.

    `settled` is false for one that was just taken in and not yet routed. `updated_at`: when it was last told.
    """

    alert: Alert
    receivers: tuple[str, ...]
    muted_by: str
    settled: bool
    updated_at: Millis


class _Uptime(TypedDict):
    uptime: Millis


@dataclass(frozen=True, slots=True)
class Listed:
    """What an answer lists. `unread`: fingerprints of alerts that are there and cannot be read, and `problem` why."""

    alerts: tuple[HeldAlert, ...]
    unread: frozenset[str] = frozenset()
    problem: str = ""


def read_alerts(body: bytes) -> Listed:
    """Every alert in the answer; an odd one among them is known by its fingerprint at least, so it is not missing.

    Raises InputError naming the field where that is not so, or where none can be read: of half an answer nothing can be
    concluded.
    """
    try:
        return Listed(_alerts(body))
    except ValidationError as error:
        problem = first_problem(error)
    try:
        outline = _outline(body)
    except ValidationError:
        raise problem from None
    good: list[HeldAlert] = []
    unread: set[str] = set()
    for raw in outline:
        try:
            good.append(_alert(raw))
        except ValidationError:
            unread.add(raw["fingerprint"])
    if not good:
        raise problem
    return Listed(tuple(good), frozenset(unread), str(problem))


def read_started_at(body: bytes) -> Millis:
    """Since when this Alertmanager runs (its `uptime` is a time, not a duration). Raises InputError."""
    try:
        return _status(body)["uptime"]
    except ValidationError as error:
        raise first_problem(error) from None


def _held(sent: dict[str, Any]) -> HeldAlert:
    status = sent["status"]
    muting = [
        (len(status[key]), word)
        for key, word in (("silencedBy", "silence"), ("inhibitedBy", "inhibition"), ("mutedBy", "mute timing"))
    ]
    muted_by = " and ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in muting if count)
    alert = Alert(
        fingerprint=sent["fingerprint"],
        status="firing",
        labels=sent["labels"],
        starts_at=sent["startsAt"],
        annotations=sent["annotations"],
        generator_url=sent["generatorURL"],
        source=SOURCE,
    )
    return HeldAlert(
        alert=tidied(alert),
        receivers=tuple(receiver["name"] for receiver in sent["receivers"]),
        muted_by=muted_by or ("being suppressed" if status["state"] == "suppressed" else ""),
        settled=status["state"] != "unprocessed",
        updated_at=sent["updatedAt"],
    )


def _held_schema() -> CoreSchema:
    texts = cs.with_default_schema(cs.list_schema(cs.str_schema(), max_length=MAX_NAMES), default_factory=list)
    sent = alert_fields()
    del sent["status"], sent["endsAt"]
    status = {
        "state": cs.literal_schema(["active", "suppressed", "unprocessed"]),
        "silencedBy": texts,
        "inhibitedBy": texts,
        "mutedBy": texts,
    }
    receiver = cs.typed_dict_schema({"name": cs.typed_dict_field(cs.str_schema())})
    sent |= {
        "status": _record(status),
        "receivers": cs.list_schema(receiver, max_length=MAX_NAMES),
        "updatedAt": _time_schema(),
    }
    return cs.no_info_after_validator_function(_held, _record(sent))


def _record(fields: Mapping[str, CoreSchema]) -> CoreSchema:
    return cs.typed_dict_schema(
        {key: cs.typed_dict_field(schema, required=schema["type"] != "default") for key, schema in fields.items()}
    )


def _time_schema() -> CoreSchema:
    return cs.no_info_after_validator_function(_time, cs.str_schema(max_length=MAX_TIME))


def _time(text: str) -> Millis:
    return time_ms(text) or 0


_alerts: Final[Callable[[bytes], tuple[HeldAlert, ...]]] = SchemaValidator(
    cs.tuple_variable_schema(_held_schema())
).validate_json
_alert: Final[Callable[[Any], HeldAlert]] = SchemaValidator(_held_schema()).validate_python
_outline: Final[Callable[[bytes], list[dict[str, Any]]]] = SchemaValidator(
    cs.list_schema(
        cs.typed_dict_schema(
            {"fingerprint": cs.typed_dict_field(alert_fields()["fingerprint"])}, extra_behavior="allow"
        )
    )
).validate_json
_status: Final[Callable[[bytes], _Uptime]] = SchemaValidator(_record({"uptime": _time_schema()})).validate_json
