"""One entry of a foreign Redis stream becomes a `StreamEntry`: its event time, what rules look at, the alert it is.

Called by `bot.engine.streams` for every entry read; `bot.core.source_streams` counts the result. Nothing here raises:
an entry that should be an alert and is none says why in `problem`, and an event time that cannot be read is that of
the entry's id, which the foreign server gave it.

An entry's alert is a JSON object as in Alertmanager's webhook: `labels` (with `alertname`), and optionally `status`
("firing"), `annotations`, `startsAt` (the entry's time), `endsAt`, `generatorURL`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from functools import cache
from typing import Any, Final

from pydantic_core import SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from bot.core.source_events import StreamEntry
from bot.core.words import JsonText, Millis
from bot.errors import InputError
from handlers.bounds import check_json_shape
from handlers.webhook import MAX_ANNOTATION, alert_fields, first_problem, foreign_labels, time_ms

MAX_VALUE: Final = 256  # characters kept of a field's value: it is compared, and becomes a label of the alert
MAX_PROBLEM: Final = 200  # characters of what is wrong with an entry
MILLISECONDS_FROM: Final = 1e11  # larger numbers are milliseconds: as seconds, this one is the year 5138
LATEST_MS: Final = 4e12  # the year 2096: beyond it a number is no time

_ID: Final = re.compile(r"(\d{1,20})-\d{1,20}\Z", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,20}(?:\.\d{1,20})?\Z", re.ASCII)


def stream_entry(
    name: str, fields: Mapping[str, str], wanted: Set[str], *, at_field: str = "", alerts_in: str = ""
) -> StreamEntry:
    """The entry with this id (`name`). `wanted`: the fields to keep; `at_field`, `alerts_in` as in `StreamSource`."""
    at = _event_time(fields.get(at_field, "")) if at_field else None
    if at is None:
        at = _id_time(name)
    kept = tuple((key, value[:MAX_VALUE]) for key, value in sorted(fields.items()) if key in wanted)
    alert, problem = _alert(fields.get(alerts_in), alerts_in, at) if alerts_in else ("", "")
    return StreamEntry(id=name, at=at, fields=kept, alert=alert, problem=problem[:MAX_PROBLEM])


def _id_time(name: str) -> Millis:
    found = _ID.match(name)
    return min(int(found[1]), int(LATEST_MS)) if found else 0


def _event_time(text: str) -> Millis | None:
    """Epoch seconds or milliseconds, or RFC 3339; None for anything else."""
    text = text.strip()
    if _NUMBER.match(text):
        number = float(text)
        in_ms = number if number >= MILLISECONDS_FROM else number * 1_000
        return int(in_ms) if 0 < in_ms <= LATEST_MS else None
    try:
        return time_ms(text)
    except ValueError:
        return None


def _alert(text: str | None, field: str, at: Millis) -> tuple[JsonText, str]:
    """The alert as canonical JSON, or "" and what is wrong."""
    if text is None:
        return "", f"it has no field {field}"
    try:
        check_json_shape(text.encode(errors="replace"))
        sent: dict[str, Any] = _validator().validate_json(text)
    except ValidationError as error:
        return "", str(first_problem(error, field))
    except InputError as error:
        return "", str(error)
    if not sent["labels"].get("alertname"):
        return "", f"{field}.labels.alertname: is missing"
    ended = sent["status"] == "resolved"
    labels, more = foreign_labels(sent["labels"])
    told = {
        "labels": labels,
        "annotations": {name: note[:MAX_ANNOTATION] for name, note in sent["annotations"].items()} | more,
        "status": sent["status"],
        "starts_at": at if sent["startsAt"] is None else sent["startsAt"],
        "ends_at": (sent["endsAt"] or at) if ended else None,
        "generator_url": sent["generatorURL"],
    }
    return json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":")), ""


@cache
def _validator() -> SchemaValidator:
    optional: dict[str, Any] = {"status": "firing", "startsAt": None}
    made = {}
    for key, schema in alert_fields().items():
        if key == "fingerprint":
            continue  # ours is made from the labels, as for every source
        made[key] = cs.typed_dict_field(
            cs.with_default_schema(schema, default=optional[key]) if key in optional else schema
        )
    return SchemaValidator(cs.typed_dict_schema(made))
