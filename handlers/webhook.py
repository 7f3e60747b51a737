"""What webhooks that speak Alertmanager's language have in common: alerts, their times, and what to keep of a bad body.

`handlers.alertmanager` and `handlers.grafana` each make one `Reader` of it; `handlers.routing` splits its `Webhook`.

The schemas are written for pydantic-core, which builds `Alert` itself: it is the hot path of every storm, and a Python
constructor call per alert would cost as much as all the parsing. Only a body it refuses is read a second time, alert by
alert, so that one bad alert does not take the good ones with it (law 1).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypedDict

from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from bot.core.alert import ANDON, Alert
from bot.core.words import Millis
from bot.errors import InputError
from handlers.bounds import check_json_shape

MAX_LABELS: Final = 64  # far above any sane label set; bounds what one alert costs in a record
MAX_NAME: Final = 256
MAX_VALUE: Final = 4_096  # a label is an identifier; a longer one is a mistake
MAX_LABEL_TEXT: Final = 8_192  # characters of all names and values: a record holds 1,000 alerts and is written whole
MAX_ANNOTATION: Final = 2_048  # characters kept of an annotation: it is for reading, and a record holds 1,000 alerts
MAX_NOTES: Final = 8_192  # characters kept of all annotations of an alert
MAX_GROUP_KEY: Final = 16_384  # it holds the group's labels
MAX_TIME: Final = 64
MAX_TIMES: Final = 4_096  # times remembered: alerts of a group share theirs, and a snapshot repeats all of them
MAX_RAW: Final = 16_384  # bytes kept of a bad alert, for a person to read; a good one has about 600

NOTE: Final = "andon_note"  # the annotation by which Andon says what it did to an alert

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_YEAR_ONE: Final = "0001-01-01T"  # Go's zero time, whatever its offset: "no such time"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedAlert:
    """One alert of a webhook that cannot be read. `field` is its path in the body, `raw` what was sent, as JSON."""

    field: str
    problem: str
    raw: bytes


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
    source: str = "alertmanager"
    refused: tuple[RefusedAlert, ...] = ()


class _Payload(TypedDict):
    """What a validator makes of a body."""

    groupKey: str
    truncatedAlerts: int
    receiver: str
    alerts: tuple[Alert, ...]


class Reader:
    """Reads the bodies of one source. `prefix` begins the ids of its webhooks; `version` is the one it reads."""

    def __init__(self, *, source: str, prefix: str, version: str, alert: CoreSchema) -> None:
        self._source = source
        self._prefix = prefix
        self._whole: Callable[[bytes], _Payload] = SchemaValidator(_payload_schema(version, alert)).validate_json
        self._outline: Callable[[bytes], Any] = SchemaValidator(_payload_schema(version, cs.any_schema())).validate_json
        self._one: Callable[[bytes], Alert] = SchemaValidator(alert).validate_json

    def parse(self, body: bytes) -> Webhook:
        """The body as alerts, all of them. Raises InputError naming the field (413 when too large)."""
        check_json_shape(body)
        try:
            return self._webhook(body, self._whole(body))
        except ValidationError as error:
            raise first_problem(error) from None  # the validator's own text repeats the payload

    def salvage(self, body: bytes) -> Webhook:
        """The body as those alerts that can be read, and the others apart. Raises as `parse` when none can."""
        check_json_shape(body)
        try:
            return self._webhook(body, self._whole(body))
        except ValidationError as error:
            problem = first_problem(error)
        try:
            outline = self._outline(body)
        except ValidationError:
            raise problem from None
        good: list[Alert] = []
        refused: list[RefusedAlert] = []
        for index, raw in enumerate(outline["alerts"]):
            text = json.dumps(raw, ensure_ascii=False).encode("utf-8", "surrogatepass")
            try:
                good.append(self._one(text))
            except ValidationError as error:
                one = first_problem(error, f"alerts[{index}]")
                refused.append(RefusedAlert(field=one.field, problem=one.message, raw=text[:MAX_RAW]))
        if not good:
            raise problem
        return replace(self._webhook(body, outline | {"alerts": tuple(good)}), refused=tuple(refused))

    def _webhook(self, body: bytes, payload: _Payload) -> Webhook:
        receiver, alerts = payload["receiver"], payload["alerts"]
        if any(map(_is_untidy, alerts)):
            alerts = tuple([tidied(alert) for alert in alerts])
        return Webhook(
            id=self._prefix + hashlib.sha256(body).hexdigest()[:20],
            receiver=_unquoted(receiver) if "\\" in receiver else receiver,
            group_key=payload["groupKey"],
            alerts=alerts,
            truncated=payload["truncatedAlerts"],
            source=self._source,
        )


@lru_cache(maxsize=MAX_TIMES)
def time_ms(text: str) -> Millis | None:
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


def _starts_at(text: str) -> Millis:
    at = time_ms(text)
    if at is None:
        raise ValueError("must be later than the year 1")
    return at


def _of_sane_size(labels: dict[str, str]) -> dict[str, str]:
    if sum(map(len, labels.values())) + sum(map(len, labels)) > MAX_LABEL_TEXT:
        raise ValueError(f"hold more than {MAX_LABEL_TEXT} characters together")
    return labels


def alert_fields() -> dict[str, CoreSchema]:
    """The fields of one alert as sent, by their names in JSON."""
    name = cs.str_schema(min_length=1, max_length=MAX_NAME)
    time = cs.str_schema(max_length=MAX_TIME)
    notes = cs.dict_schema(name, cs.str_schema(), max_length=MAX_LABELS)
    return {
        "fingerprint": cs.str_schema(min_length=1, max_length=48),
        "status": cs.literal_schema(["firing", "resolved"]),
        "labels": cs.no_info_after_validator_function(
            _of_sane_size, cs.dict_schema(name, cs.str_schema(max_length=MAX_VALUE), max_length=MAX_LABELS)
        ),
        "startsAt": cs.no_info_after_validator_function(_starts_at, time),
        "endsAt": cs.with_default_schema(cs.no_info_after_validator_function(time_ms, time), default=None),
        "annotations": cs.with_default_schema(notes, default_factory=dict),
        "generatorURL": cs.with_default_schema(cs.str_schema(max_length=8_192), default=""),
    }


def alert_schema(source: str, sent: dict[str, CoreSchema]) -> CoreSchema:
    """`alert_fields` straight into `Alert`, without a Python call. The receiver is kept once, on the webhook."""
    names = {"startsAt": "starts_at", "endsAt": "ends_at", "generatorURL": "generator_url"}
    arguments = [cs.dataclass_field(names.get(key, key), schema, validation_alias=key) for key, schema in sent.items()]
    for key, constant in (("source", source), ("receiver", "")):
        arguments.append(cs.dataclass_field(key, cs.with_default_schema(cs.any_schema(), default=constant), init=False))
    order = [field.name for field in fields(Alert)]
    arguments.sort(key=lambda argument: order.index(argument["name"]))
    return cs.dataclass_schema(
        Alert, cs.dataclass_args_schema("Alert", arguments), order, slots=True, frozen=True, cls_name="Alert"
    )


def _payload_schema(version: str, alert: CoreSchema) -> CoreSchema:
    """The whole body."""
    made: dict[str, CoreSchema] = {
        "version": cs.literal_schema([version]),
        "groupKey": cs.str_schema(max_length=MAX_GROUP_KEY),
        "truncatedAlerts": cs.with_default_schema(cs.int_schema(ge=0, le=2**31), default=0),
        "receiver": cs.str_schema(min_length=1, max_length=512),
        "alerts": cs.tuple_variable_schema(alert),
    }
    return cs.typed_dict_schema({key: cs.typed_dict_field(schema) for key, schema in made.items()})


def first_problem(error: ValidationError, path: str = "") -> InputError:
    """The validator's first complaint, as a field path (below `path`) and a sentence."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    for part in first["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":  # the validator's mark for "the key itself is wrong"
            path += f".{part[:100]}" if path else part[:100]
    return InputError(path or "body", message)


def tidied(alert: Alert) -> Alert:
    """Without the end a sender may give a firing alert, without text beyond what anybody reads, and without the label
    by which Andon's own alarms are told: an alert from outside cannot pass for one."""
    notes, left = {}, MAX_NOTES
    for name, text in alert.annotations.items():
        room = max(1, min(MAX_ANNOTATION, left))
        notes[name] = text if len(text) <= room else text[: room - 1] + "…"
        left -= len(name) + len(notes[name])
    labels, more = foreign_labels(alert.labels)
    ends_at = alert.ends_at if alert.status == "resolved" else None
    return replace(alert, labels=labels, annotations=notes | more, ends_at=ends_at)


def foreign_labels(labels: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The labels of an alert from outside without Andon's own one, and the annotation that says so, if any."""
    if ANDON not in labels:
        return labels, {}
    note = f"its label {ANDON}={labels[ANDON][:MAX_NAME]!r} was taken off: only Andon's own alarms carry it"
    return {name: value for name, value in labels.items() if name != ANDON}, {NOTE: note}


def _is_untidy(alert: Alert) -> bool:
    """Rare, so it is looked for at the price of a comparison."""
    if ANDON in alert.labels or (alert.ends_at is not None and alert.status == "firing"):
        return True
    return sum(map(len, alert.annotations.values())) > MAX_ANNOTATION  # perhaps; `tidied` looks at each


def _unquoted(receiver: str) -> str:
    """Go's regexp.QuoteMeta taken back: every backslash stands before a character that means itself.

    https://pkg.go.dev/regexp#QuoteMeta
    """
    return "\\".join([part.replace("\\", "") for part in receiver.split("\\\\")])
