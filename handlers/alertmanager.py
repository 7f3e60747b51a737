"""Alertmanager's webhook, version 4: the raw body becomes normalised alerts, or one error that names a field.

`bot.adapters.http_ingress` calls `parse` with the raw bytes; `handlers.routing` then splits the result by shard.
Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config

Laws of this payload:

* Unknown keys are ignored: newer versions add some (`notification_reason`, `routeLabels`).
* The group's own `status` is never read. With `max_alerts` it is computed after alerts were cut off, so a group may
  be called resolved while an alert that was left out still fires. What counts is each alert's status, and `truncated`.
* `receiver` comes regex-quoted (`chat\\.ops`), `generatorURL` may be empty, a firing alert ends in the year 1.
* Times carry up to nine fractional digits and any offset; they are floored to exact milliseconds.

The schema is written for pydantic-core, which builds `Alert` itself: it is the hot path of every storm, and a Python
constructor call per alert would cost as much as all the parsing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypedDict

from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from bot.core.alert import Alert
from bot.core.words import Millis
from bot.errors import InputError
from handlers.bounds import check_json_shape

SOURCE: Final = "alertmanager"

MAX_LABELS: Final = 64  # far above any sane label set; bounds what one alert costs in a record
MAX_NAME: Final = 256
MAX_VALUE: Final = 4_096  # a label is an identifier; a longer one is a mistake
MAX_ANNOTATION: Final = 2_048  # characters kept of an annotation: it is for reading, and a record holds 1,000 alerts
MAX_GROUP_KEY: Final = 16_384  # it holds the group's labels
MAX_TIME: Final = 64
MAX_TIMES: Final = 4_096  # times remembered: alerts of a group share theirs, and a snapshot repeats all of them

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_YEAR_ONE: Final = "0001-01-01T"  # Go's zero time, whatever its offset: "no such time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One notification. `id` is the same for the same body; HA peers may send the same alerts under different ids.

    The group is (`receiver`, `group_key`): the key alone omits the receiver. `truncated` counts alerts left out.
    """

    id: str
    receiver: str
    group_key: str
    alerts: tuple[Alert, ...]
    truncated: int = 0


class _Payload(TypedDict):
    """What the validator makes of a body."""

    groupKey: str
    truncatedAlerts: int
    receiver: str
    alerts: tuple[Alert, ...]


def parse(body: bytes) -> Webhook:
    """The body of `POST /webhooks/alertmanager` as alerts. Raises InputError naming the field (413 when too large)."""
    check_json_shape(body)
    try:
        payload = _validate_json(body)
    except ValidationError as error:
        raise _first_problem(error) from None  # the validator's own text repeats the payload
    receiver, alerts = payload["receiver"], payload["alerts"]
    if any(map(_is_untidy, alerts)):
        alerts = tuple([_tidied(alert) for alert in alerts])
    return Webhook(
        id="am-" + hashlib.sha256(body).hexdigest()[:20],
        receiver=_unquoted(receiver) if "\\" in receiver else receiver,
        group_key=payload["groupKey"],
        alerts=alerts,
        truncated=payload["truncatedAlerts"],
    )


def _starts_at(text: str) -> Millis:
    at = _ends_at(text)
    if at is None:
        raise ValueError("must be later than the year 1")
    return at


@lru_cache(maxsize=MAX_TIMES)
def _ends_at(text: str) -> Millis | None:
    """Milliseconds since the epoch, floored; None for the zero time. ValueError for what is not RFC 3339.

    Aware subtraction never overflows, unlike `astimezone` near the year 1; digits after the sixth cannot change a
    floored millisecond, so it does no harm that `fromisoformat` drops them.
    """
    if text.startswith(_YEAR_ONE):
        return None
    if not _RFC3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 time")
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
    except ValueError as error:
        raise ValueError(f"is no time: {error}") from None  # the 31st of February, hour 25, offset +24:00


def _tidied(alert: Alert) -> Alert:
    """Without the end a sender may give a firing alert, and without text beyond what anybody reads."""
    notes = {
        name: text if len(text) <= MAX_ANNOTATION else text[: MAX_ANNOTATION - 1] + "…"
        for name, text in alert.annotations.items()
    }
    return replace(alert, annotations=notes, ends_at=alert.ends_at if alert.status == "resolved" else None)


def _is_untidy(alert: Alert) -> bool:
    """Rare, so it is looked for at the price of a comparison."""
    if alert.ends_at is not None and alert.status == "firing":
        return True
    return max(map(len, alert.annotations.values()), default=0) > MAX_ANNOTATION


def _unquoted(receiver: str) -> str:
    """Go's regexp.QuoteMeta taken back: every backslash stands before a character that means itself.

    https://pkg.go.dev/regexp#QuoteMeta
    """
    return "\\".join([part.replace("\\", "") for part in receiver.split("\\\\")])


def _alert_schema() -> CoreSchema:
    """One element of `alerts`, straight into `Alert`. The receiver is kept once, on the webhook."""
    name = cs.str_schema(min_length=1, max_length=MAX_NAME)
    labels = cs.dict_schema(name, cs.str_schema(max_length=MAX_VALUE), max_length=MAX_LABELS)
    notes = cs.dict_schema(name, cs.str_schema(), max_length=MAX_LABELS)
    time = cs.str_schema(max_length=MAX_TIME)
    ends = cs.no_info_after_validator_function(_ends_at, time)
    made: dict[str, tuple[CoreSchema, str]] = {
        "fingerprint": (cs.str_schema(min_length=1, max_length=64), "fingerprint"),
        "status": (cs.literal_schema(["firing", "resolved"]), "status"),
        "labels": (labels, "labels"),
        "starts_at": (cs.no_info_after_validator_function(_starts_at, time), "startsAt"),
        "ends_at": (cs.with_default_schema(ends, default=None), "endsAt"),
        "annotations": (cs.with_default_schema(notes, default_factory=dict), "annotations"),
        "generator_url": (cs.with_default_schema(cs.str_schema(max_length=8_192), default=""), "generatorURL"),
    }
    arguments = [cs.dataclass_field(key, schema, validation_alias=alias) for key, (schema, alias) in made.items()]
    for key, constant in (("source", SOURCE), ("receiver", "")):
        arguments.append(cs.dataclass_field(key, cs.with_default_schema(cs.any_schema(), default=constant), init=False))
    order = [field.name for field in fields(Alert)]
    arguments.sort(key=lambda argument: order.index(argument["name"]))
    return cs.dataclass_schema(
        Alert, cs.dataclass_args_schema("Alert", arguments), order, slots=True, frozen=True, cls_name="Alert"
    )


def _payload_schema() -> CoreSchema:
    """The whole body."""
    made: dict[str, CoreSchema] = {
        "version": cs.literal_schema(["4"]),
        "groupKey": cs.str_schema(max_length=MAX_GROUP_KEY),
        "truncatedAlerts": cs.with_default_schema(cs.int_schema(ge=0, le=2**31), default=0),
        "receiver": cs.str_schema(min_length=1, max_length=512),
        "alerts": cs.tuple_variable_schema(_alert_schema()),
    }
    return cs.typed_dict_schema({key: cs.typed_dict_field(schema) for key, schema in made.items()})


_validate_json: Final[Callable[[bytes], _Payload]] = SchemaValidator(_payload_schema()).validate_json


def _first_problem(error: ValidationError) -> InputError:
    """The validator's first complaint, as a field path and a sentence."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    path = ""
    for part in first["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":  # the validator's mark for "the key itself is wrong"
            path += f".{part[:100]}" if path else part[:100]
    return InputError(path or "body", message)
