"""Alertmanager's webhook: every trap of its payload, every bound, and no body that makes the parser misbehave."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InputError
from handlers.alertmanager import MAX_ANNOTATION, MAX_LABELS, parse
from handlers.bounds import MAX_BODY, MAX_DEPTH, check_json_shape
from handlers.webhook import MAX_NOTES, NOTE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def alert(**changes: Any) -> dict[str, Any]:
    """One element of `alerts`, as Alertmanager 0.25 sends it."""
    return {
        "status": "firing",
        "labels": {"alertname": "VaRBreach", "severity": "critical"},
        "annotations": {"summary": "VaR above 1.8"},
        "startsAt": "2025-01-17T10:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "b9a1c0de00000001",
    } | changes


def body(*alerts: dict[str, Any], **changes: Any) -> bytes:
    """A whole notification."""
    payload = {
        "version": "4",
        "groupKey": '{}:{alertname="VaRBreach"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "trading-core",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts) or [alert()],
    } | changes
    return json.dumps(payload).encode()


def problem(raw: bytes) -> tuple[str, int]:
    """The field an invalid body is refused for, and the status."""
    with pytest.raises(InputError) as caught:
        parse(raw)
    assert len(caught.value.message) < 300
    return caught.value.field, caught.value.status


def test_a_group_called_resolved_with_alerts_cut_off_closes_nothing() -> None:
    """`max_alerts` cuts before `status` is computed: only each alert's own status is believed, and the cut shows."""
    webhook = parse(body(alert(status="resolved", endsAt="2025-01-17T11:00:00Z"), status="resolved", truncatedAlerts=1))
    assert [a.status for a in webhook.alerts] == ["resolved"]
    assert webhook.truncated == 1
    assert not hasattr(webhook, "status")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (r"chat\.ops", "chat.ops"),
        (r"a\+b\(c\)\[d\]\{2\}\^\$\|\?\*", "a+b(c)[d]{2}^$|?*"),
        (r"back\\slash\\\.", r"back\slash\."),
        ("plain-name_1", "plain-name_1"),
    ],
)
def test_the_receiver_is_unquoted(sent: str, meant: str) -> None:
    """Alertmanager sends the receiver regex-quoted; routes name it as its configuration does."""
    assert parse(body(receiver=sent)).receiver == meant


def test_what_newer_versions_add_is_ignored() -> None:
    """Unknown keys at every level, also ones named like our own fields, change nothing."""
    plain = parse(body())
    more = parse(
        body(alert(source="x", receiver="y", starts_at=1, imageURL=""), notification_reason="new", routeLabels={})
    )
    assert more.alerts == plain.alerts


def test_a_firing_alert_has_no_end() -> None:
    """The year 1 is no time; nor is any other end believed while the alert fires."""
    for ends in ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "2030-01-01T00:00:00Z"):
        assert parse(body(alert(endsAt=ends))).alerts[0].ends_at is None


def test_a_resolved_alert_keeps_its_end() -> None:
    """And has none when the sender gives none."""
    ended = parse(body(alert(status="resolved", endsAt="2025-01-17T11:00:00.0009999Z"))).alerts[0]
    assert ended.ends_at == 1_737_111_600_000
    assert parse(body(alert(status="resolved"))).alerts[0].ends_at is None


@given(
    st.datetimes(min_value=datetime(2, 1, 2), max_value=datetime(9999, 12, 30)),
    st.integers(0, 999_999_999),
    st.integers(1, 9),
    st.integers(-23 * 60, 23 * 60),
)
def test_times_are_exact_to_the_millisecond(moment: datetime, nanos: int, digits: int, offset: int) -> None:
    """Any number of fractional digits, any offset, any year: floored, never overflowing, never rounded up."""
    fraction = f"{nanos:09}"[:digits]
    zone = timezone(timedelta(minutes=offset))
    sign = "-" if offset < 0 else "+"
    text = f"{moment:%H:%M:%S}.{fraction}{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    text = f"{moment.year:04}-{moment:%m-%d}T{text}"
    whole = moment.replace(microsecond=0, tzinfo=zone) - EPOCH
    expected = whole // timedelta(seconds=1) * 1_000 + int(f"{fraction:0<9}") // 1_000_000
    assert parse(body(alert(startsAt=text))).alerts[0].starts_at == expected


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-30T00:00:00Z", "2025-01-17T24:01:00Z", "2025-01-17T10:00:60Z", "2025-01-17 10:00:00Z", "2025-01-17",
        "20250117T100000Z", "2025-01-17T10:00:00", "2025-W03-5T10:00:00Z", "0000-01-01T00:00:00Z", "1737108000", "",
        "0001-01-01T00:00:00Z", "2025-01-17T10:00:00+24:00", "２025-01-17T10:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    """Only RFC 3339 with a zone counts, and a firing without a beginning has no identity."""
    assert problem(body(alert(), alert(startsAt=text))) == ("alerts[1].startsAt", 400)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (body(version="1"), "version"),
        (body(receiver=""), "receiver"),
        (body(receiver=None), "receiver"),
        (body(truncatedAlerts=-1), "truncatedAlerts"),
        (body(truncatedAlerts="many"), "truncatedAlerts"),
        (body(alerts={}), "alerts"),
        (body(alerts=[1]), "alerts[0]"),
        (body(alert(), alert(), alert(), alert(labels={"severity": 5})), "alerts[3].labels.severity"),
        (body(alert(labels=None)), "alerts[0].labels"),
        (body(alert(labels={"": "x"})), "alerts[0].labels."),
        (body(alert(labels={f"l{n}": "x" for n in range(MAX_LABELS + 1)})), "alerts[0].labels"),
        (body(alert(labels={"a": "x" * 4_097})), "alerts[0].labels.a"),
        (body(alert(labels={f"l{n}": "x" * 2_000 for n in range(5)})), "alerts[0].labels"),
        (body(alert(labels={"n" * 257: "x"})), "alerts[0].labels." + "n" * 100),
        (body(alert(annotations={f"l{n}": "x" for n in range(MAX_LABELS + 1)})), "alerts[0].annotations"),
        (body(alert(status="pending")), "alerts[0].status"),
        (body(alert(fingerprint="")), "alerts[0].fingerprint"),
        (body(alert(fingerprint="f" * 65)), "alerts[0].fingerprint"),
        (body(alert(generatorURL="u" * 8_193)), "alerts[0].generatorURL"),
        (body(alert(endsAt="soon")), "alerts[0].endsAt"),
        (body(groupKey="k" * 16_385), "groupKey"),
        (b"", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"{", "body"),
        (b"payload=%7B%7D", "body"),
        (body()[:-1], "body"),
        (body() + b"x", "body"),
        (b"\xef\xbb\xbf" + body(), "body"),
        (body().decode().encode("utf-16"), "body"),
        (body().replace(b"VaRBreach", b"VaR\xff"), "body"),
        (body().replace(b"VaRBreach", b"\\ud800"), "body"),
        (body()[:-1] + b', "x": NaN}', "body"),
        (body()[:-1] + b', "x": [-Infinity]}', "body"),
        (body()[:-1] + b', "x": ' + b"9" * 5_000 + b"}", "body"),
    ],
)
def test_what_can_never_succeed_is_refused_with_the_field(raw: bytes, field: str) -> None:
    """A 400 tells the sender's keeper where to look."""
    assert problem(raw) == (field, 400)


def test_a_missing_key_is_named() -> None:
    """What every version sends must be there."""
    for key in ("version", "groupKey", "receiver", "alerts"):
        payload = json.loads(body())
        del payload[key]
        assert problem(json.dumps(payload).encode()) == (key, 400)
    for key in ("status", "labels", "startsAt", "fingerprint"):
        one = alert()
        del one[key]
        assert problem(body(one)) == (f"alerts[0].{key}", 400)


def test_words_that_look_like_numbers_are_just_words() -> None:
    """NaN and Infinity inside strings, with every kind of escape around them, are data."""
    labels = {"alertname": 'NaN "Infinity" \\', "N": "\\\\\\", "I": "{[NaN"}
    assert parse(body(alert(labels=labels))).alerts[0].labels == labels


def test_long_annotations_are_cut_not_refused() -> None:
    """No alert is lost because somebody wrote a novel into its description."""
    notes = {"summary": "s", "description": "x" * 100_000}
    kept = parse(body(alert(annotations=notes))).alerts[0].annotations
    assert kept["summary"] == "s"
    assert len(kept["description"]) == MAX_ANNOTATION
    assert kept["description"].endswith("…")


def test_many_long_annotations_are_cut_as_one() -> None:
    """Each of them may be within its bound, and all together still be megabytes in a record of 1,000 alerts."""
    notes = {f"note{n}": "x" * MAX_ANNOTATION for n in range(MAX_LABELS)}
    kept = parse(body(alert(annotations=notes))).alerts[0].annotations
    assert list(kept) == list(notes), "none of them vanishes"
    assert sum(map(len, kept.values())) <= MAX_NOTES + MAX_LABELS
    assert kept["note0"] == notes["note0"]
    assert kept["note63"] == "…"


def test_the_label_of_andon_s_own_alarms_is_taken_off_with_a_note() -> None:
    """Nobody outside can make an alert that passes for one of Andon's; the alert itself is not lost."""
    [told] = parse(body(alert(labels={"alertname": "AndonStreamUnreachable", "andon": "self"}))).alerts
    assert told.labels == {"alertname": "AndonStreamUnreachable"}
    assert "andon='self'" in told.annotations[NOTE]


def test_the_size_is_bounded() -> None:
    """A body over 1 MiB is 413, whatever is in it; one just below is parsed."""
    padding = MAX_BODY - len(body(padding=""))
    assert len(parse(body(padding="x" * padding)).alerts) == 1
    assert problem(body(padding="x" * (padding + 1))) == ("body", 413)


@given(st.integers(1, 60), st.sampled_from(["[]", "{}"]), st.booleans())
def test_the_depth_is_bounded_exactly(depth: int, kind: str, wide: bool) -> None:
    """33 levels are refused, 32 are not, for either bracket, beside however many shallow neighbours."""
    opening, closing = ("[", "]") if kind == "[]" else ('{"a":', "}")
    nested = opening * (depth - 1) + "1" + closing * (depth - 1)
    raw = body()[:-1] + f', "x": {nested}, "y": {"[" + "[{}]," * 2_000 + "1]" if wide else 1}}}'.encode()
    if depth <= MAX_DEPTH:
        assert parse(raw).alerts
    else:
        assert problem(raw) == ("body", 400)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_honest_json_passes_the_shape_check(value: object) -> None:
    """No text in a string, whatever its quotes, brackets and backslashes, is taken for structure."""
    for ascii_only in (True, False):
        check_json_shape(json.dumps(value, ensure_ascii=ascii_only).encode(errors="replace"))


@given(json_values, st.integers(MAX_DEPTH + 1, 200))
def test_no_text_hides_depth(value: object, depth: int) -> None:
    """What is too deep is found behind any strings."""
    raw = (
        b"["
        + json.dumps(value).encode()
        + b","
        + b"[" * depth
        + b"]" * depth
        + b","
        + json.dumps(value).encode()
        + b"]"
    )
    with pytest.raises(InputError, match="deeper"):
        check_json_shape(raw)


@pytest.mark.parametrize("kind", ["[", '{"a":', '[{"a":', '["x",'])
def test_brackets_that_nothing_closes_are_as_deep_as_others(kind: str) -> None:
    """A parser goes as deep for them, before it can say that they are unbalanced."""
    for many in (kind * 1_000, kind * 1_000 + "]" * 20, "[]" * 3 + kind * 40 + '"'):
        with pytest.raises(InputError, match="deeper"):
            check_json_shape(many.encode())
    check_json_shape((kind * (MAX_DEPTH // 2)).encode())  # a few are the parser's to name


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda t: t.encode(errors="surrogatepass")))
def test_no_body_makes_the_parser_raise_anything_else(raw: bytes) -> None:
    """Whatever arrives is alerts or an InputError with a 4xx."""
    assert 400 <= _status(raw)[1] < 500 or parse(raw).id


@given(st.lists(st.sampled_from([*alert(), "labels.a", "x"]), max_size=3), json_values)
def test_no_value_in_any_place_makes_it_either(places: list[str], value: object) -> None:
    """A well-formed notification with anything in any field is alerts or an InputError that names a field."""
    one = alert()
    for place in places:
        one[place] = value
    assert _status(body(one))[0].startswith(("alerts[0].", "body", "none"))


def _status(raw: bytes) -> tuple[str, int]:
    """The field and status a body is refused for; ("none", 0) when it is taken. Anything else is raised."""
    try:
        parse(raw)
    except InputError as error:
        return error.field, error.status
    return "none", 0


def test_the_same_body_has_the_same_id() -> None:
    """A repeated notification repeats its id; another group's differs."""
    assert parse(body()).id == parse(body()).id
    assert parse(body()).id != parse(body(groupKey="{}:{}")).id
