"""Alertmanager's webhook, version 4: the raw body becomes normalised alerts, or one error that names a field.

`bot.adapters.http_ingress` calls `parse` with the raw bytes; `handlers.routing` then splits the result by shard.
Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config

Laws of this payload:

* Unknown keys are ignored: newer versions add some (`notification_reason`, `routeLabels`).
* The group's own `status` is never read. With `max_alerts` it is computed after alerts were cut off, so a group may
  be called resolved while an alert that was left out still fires. What counts is each alert's status, and `truncated`.
* `receiver` comes regex-quoted (`chat\\.ops`), `generatorURL` may be empty, a firing alert ends in the year 1.
* Times carry up to nine fractional digits and any offset; they are floored to exact milliseconds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, NotRequired

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses the older one of typing before Python 3.12

from bot.core.alert import Alert
from bot.core.words import Millis
from bot.errors import InputError
from handlers.bounds import check_json_shape

SOURCE: Final = "alertmanager"

MAX_LABELS: Final = 64  # far above any sane label set; bounds what one alert costs in a record
MAX_ANNOTATION: Final = 2_048  # characters kept of an annotation: it is for reading, and a record holds 1,000 alerts

_Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Value = Annotated[str, StringConstraints(max_length=4_096)]  # a label is an identifier; longer ones are a mistake
_Time = Annotated[str, StringConstraints(max_length=64)]
_Url = Annotated[str, StringConstraints(max_length=8_192)]


class _Alert(TypedDict):
    status: Literal["firing", "resolved"]
    labels: Annotated[dict[_Name, _Value], Field(max_length=MAX_LABELS)]
    annotations: NotRequired[Annotated[dict[_Name, str], Field(max_length=MAX_LABELS)]]
    startsAt: _Time
    endsAt: NotRequired[_Time]
    generatorURL: NotRequired[_Url]
    fingerprint: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class _Webhook(TypedDict):
    version: Literal["4"]
    groupKey: Annotated[str, StringConstraints(max_length=16_384)]  # holds the group's labels, hence long
    truncatedAlerts: NotRequired[Annotated[int, Field(ge=0, le=2**31)]]
    receiver: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    alerts: list[_Alert]


# The adapter's own method adds a Python call per webhook to this one.
_validate_json: Final[Callable[[bytes], _Webhook]] = TypeAdapter(_Webhook).validator.validate_json

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


def parse(body: bytes) -> Webhook:
    """The body of `POST /webhooks/alertmanager` as alerts. Raises InputError naming the field (413 when too large)."""
    check_json_shape(body)
    try:
        payload = _validate_json(body)
    except ValidationError as error:
        raise _first_problem(error) from None  # the validator's own text repeats the payload
    receiver = payload["receiver"]
    if "\\" in receiver:
        receiver = _unquoted(receiver)
    return Webhook(
        id=f"am-{hashlib.sha256(body).hexdigest()[:20]}",
        receiver=receiver,
        group_key=payload["groupKey"],
        alerts=tuple([_alert(index, item, receiver) for index, item in enumerate(payload["alerts"])]),
        truncated=payload.get("truncatedAlerts", 0),
    )


def _alert(index: int, item: _Alert, receiver: str) -> Alert:
    """One element of `alerts`, its times as milliseconds."""
    starts_at = _millis(item["startsAt"])
    if starts_at is None:
        raise InputError(f"alerts[{index}].startsAt", "must be an RFC 3339 time later than the year 1")
    status = item["status"]
    ends_at = None
    if status == "resolved" and (text := item.get("endsAt", "")) and not text.startswith(_YEAR_ONE):
        ends_at = _millis(text)
        if ends_at is None:
            raise InputError(f"alerts[{index}].endsAt", "must be an RFC 3339 time")
    annotations = item.get("annotations") or {}
    if annotations and max(map(len, annotations.values())) > MAX_ANNOTATION:
        annotations = {name: _shortened(value) for name, value in annotations.items()}
    return Alert(
        fingerprint=item["fingerprint"],
        status=status,
        labels=item["labels"],
        starts_at=starts_at,
        ends_at=ends_at,
        annotations=annotations,
        generator_url=item.get("generatorURL", ""),
        source=SOURCE,
        receiver=receiver,
    )


def _millis(text: str) -> Millis | None:
    """Milliseconds since the epoch, floored; None for the zero time and for what is not RFC 3339.

    Aware subtraction never overflows, unlike `astimezone` near the year 1; digits after the sixth cannot change a
    floored millisecond, so it does no harm that `fromisoformat` drops them.
    """
    if text.startswith(_YEAR_ONE) or not _RFC3339.fullmatch(text):
        return None
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
    except ValueError:  # the 31st of February, hour 25, offset +24:00
        return None


def _unquoted(receiver: str) -> str:
    """Go's regexp.QuoteMeta taken back: every backslash stands before a character that means itself.

    https://pkg.go.dev/regexp#QuoteMeta
    """
    return "\\".join([part.replace("\\", "") for part in receiver.split("\\\\")])


def _shortened(text: str) -> str:
    """At most MAX_ANNOTATION characters; what is cut ends in an ellipsis."""
    return text if len(text) <= MAX_ANNOTATION else text[: MAX_ANNOTATION - 1] + "…"


def _first_problem(error: ValidationError) -> InputError:
    """The validator's first complaint, as a field path and a sentence."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return InputError("body", first["msg"])
    path = ""
    for part in first["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":  # the validator's mark for "the key itself is wrong"
            path += f".{part[:100]}" if path else part[:100]
    return InputError(path or "body", first["msg"])
