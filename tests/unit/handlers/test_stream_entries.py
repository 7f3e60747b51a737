"""Entries of foreign streams: whose time counts, what is kept, and which alert an entry is. Nothing raises."""

from __future__ import annotations

import json

import pytest

from handlers.streams import MAX_VALUE, stream_entry

AT = 1_700_000_000_123
ID = f"{AT}-7"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1700000001", 1_700_000_001_000),
        ("1700000001.5", 1_700_000_001_500),
        ("1700000001500", 1_700_000_001_500),
        ("2023-11-14T22:13:21.500Z", 1_700_000_001_500),
        ("", AT),
        ("yesterday", AT),
        ("-5", AT),
        ("9" * 20, AT),
        ("nan", AT),
    ],
)
def test_an_entry_has_its_own_time_or_that_of_its_id(text: str, at: int):
    """Seconds, milliseconds or RFC 3339; what is no time leaves the time at which the server took the entry."""
    assert stream_entry(ID, {"ts": text}, frozenset(), at_field="ts").at == at
    assert stream_entry(ID, {"ts": text}, frozenset()).at == AT


def test_an_entry_cannot_pass_for_andon_s_own_alarm():
    """Its fingerprint is made from its labels, so without Andon's own label it is another alert."""
    sent = {"labels": {"alertname": "AndonSourceSilent", "andon": "self"}, "status": "resolved"}
    entry = stream_entry("1-0", {"a": json.dumps(sent)}, set(), alerts_in="a")
    told = json.loads(entry.alert)
    assert told["labels"] == {"alertname": "AndonSourceSilent"}
    assert "taken off" in told["annotations"]["andon_note"]


def test_only_wanted_fields_are_kept_and_long_values_cut():
    """What no rule looks at is not stored."""
    entry = stream_entry(ID, {"model": "x" * 999, "secret": "s"}, frozenset({"model"}))
    assert entry.fields == (("model", "x" * MAX_VALUE),)


def test_an_alert_in_an_entry():
    """As Alertmanager writes it; what it does not say is firing, and dated by the entry."""
    sent = {"labels": {"alertname": "GateFailed", "severity": "critical"}, "annotations": {"summary": "s"}}
    told = json.loads(stream_entry(ID, {"alert": json.dumps(sent)}, frozenset(), alerts_in="alert").alert)
    assert told["labels"] == sent["labels"]
    assert (told["status"], told["starts_at"], told["ends_at"]) == ("firing", AT, None)
    over = sent | {"status": "resolved", "startsAt": "2023-11-14T22:13:20Z", "unknown": 1}
    told = json.loads(stream_entry(ID, {"alert": json.dumps(over)}, frozenset(), alerts_in="alert").alert)
    assert (told["status"], told["starts_at"], told["ends_at"]) == ("resolved", 1_700_000_000_000, AT)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "has no field alert"),
        ({"alert": "{"}, "alert"),
        ({"alert": "[]"}, "alert"),
        ({"alert": '{"labels": {"severity": "critical"}}'}, "alertname: is missing"),
        ({"alert": '{"labels": {"alertname": "A"}, "startsAt": "soon"}'}, "startsAt: must be an RFC 3339 time"),
        ({"alert": '{"labels": {"alertname": NaN}}'}, "NaN"),
        ({"alert": "[" * 99 + "]" * 99}, "nests deeper"),
        ({"alert": '"\ud800"'}, "alert"),
        ({"alert": r'{"labels": {"alertname": "\ud800"}}'}, "alert"),
    ],
)
def test_what_is_no_alert_says_why(fields: dict[str, str], problem: str):
    """It is counted and told, never raised and never passed over."""
    entry = stream_entry(ID, fields, frozenset(), alerts_in="alert")
    assert entry.alert == ""
    assert problem in entry.problem
