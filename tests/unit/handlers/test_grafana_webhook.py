"""Grafana's webhook: what differs from Alertmanager's; and, for both, what is kept of a body with bad alerts in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.errors import InputError
from handlers import alertmanager, grafana
from handlers.routing import Route, split
from handlers.webhook import MAX_ANNOTATION, MAX_RAW
from tests.unit.handlers.test_alertmanager_webhook import alert as am_alert
from tests.unit.handlers.test_alertmanager_webhook import body as am_body


def alert(**changes: Any) -> dict[str, Any]:
    """One element of `alerts`, as Grafana 11 sends it."""
    return {
        "status": "firing",
        "labels": {"alertname": "VaRBreach", "grafana_folder": "risk", "severity": "critical"},
        "annotations": {"summary": "VaR above 1.8"},
        "startsAt": "2025-01-17T12:00:00.123456+02:00",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://grafana.example/alerting/grafana/x/view?orgId=1",
        "fingerprint": "c6eadffa33fcdf37",
        "silenceURL": "https://grafana.example/alerting/silence/new",
        "dashboardURL": "",
        "panelURL": "",
        "values": {"B": 2.4, "C": 1},
        "valueString": "[ var='B' labels={symbol=BTC-USD} value=2.4 ]",
    } | changes


def body(*alerts: dict[str, Any], **changes: Any) -> bytes:
    """A whole notification."""
    payload = {
        "receiver": "andon",
        "status": "firing",
        "orgId": 1,
        "alerts": list(alerts) or [alert()],
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "https://grafana.example/",
        "version": "1",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "title": "[FIRING:1] VaRBreach",
        "state": "alerting",
        "message": "**Firing**",
    } | changes
    return json.dumps(payload).encode()


def test_an_alert_of_grafana_says_so_and_keeps_its_figures() -> None:
    """Its offset is honoured, its source shows, its values can be read beside the annotations."""
    webhook = grafana.salvage(body())
    assert (webhook.source, webhook.receiver, webhook.refused) == ("grafana", "andon", ())
    assert webhook.id.startswith("gf-")
    [told] = webhook.alerts
    assert (told.source, told.starts_at, told.ends_at) == ("grafana", 1_737_108_000_123, None)
    assert told.annotations == {
        "summary": "VaR above 1.8",
        "values": '{"B": 2.4, "C": 1}',
        "valueString": "[ var='B' labels={symbol=BTC-USD} value=2.4 ]",
    }


def test_the_inbox_entry_says_who_told() -> None:
    """What the engine and the anti-entropy read is the entry's source, so it must not be called Alertmanager's."""
    [entry] = split(grafana.salvage(body()), [Route(system="s")], 7).values()
    assert entry.source == "grafana"


def test_the_same_body_has_the_same_ids() -> None:
    """A replay is a copy: same webhook, same fingerprint, same firing."""
    assert grafana.salvage(body()) == grafana.salvage(body())


def test_the_same_labels_from_alertmanager_are_another_alert() -> None:
    """Grafana's end must not end what Alertmanager still sees firing."""
    theirs = alertmanager.parse(am_body(am_alert(fingerprint="c6eadffa33fcdf37")))
    assert grafana.salvage(body()).alerts[0].fingerprint != theirs.alerts[0].fingerprint


@pytest.mark.parametrize("values", [None, {}, "2.4", 5, [1]])
def test_figures_that_are_none_are_left_out(values: Any) -> None:
    """`values` may be null, and nothing but a mapping is figures; an alert is not lost over them."""
    [told] = grafana.salvage(body(alert(values=values, valueString=None))).alerts
    assert told.annotations == {"summary": "VaR above 1.8"}


def test_figures_without_end_are_cut() -> None:
    """As any annotation."""
    [told] = grafana.salvage(body(alert(valueString="x" * 10_000))).alerts
    assert len(told.annotations["valueString"]) == MAX_ANNOTATION


def test_an_annotation_of_the_rule_goes_before_grafana_s_figures() -> None:
    """The rule's author chose that name."""
    [told] = grafana.salvage(body(alert(annotations={"values": "see panel"}))).alerts
    assert told.annotations["values"] == "see panel"


def test_alertmanager_s_body_is_not_grafana_s() -> None:
    """A URL mixed up in a configuration shows at once, by the field that tells the two apart."""
    with pytest.raises(InputError) as caught:
        grafana.salvage(am_body())
    assert caught.value.field == "version"
    with pytest.raises(InputError) as caught:
        alertmanager.salvage(body())
    assert caught.value.field == "version"


def test_good_alerts_are_kept_beside_bad_ones() -> None:
    """Each bad one is set apart with its place in the body, what is wrong, and what was sent."""
    bad = am_alert(labels={"severity": 5})
    late = am_alert(startsAt="tomorrow")
    webhook = alertmanager.salvage(am_body(am_alert(), bad, am_alert(fingerprint="2"), late, receiver=r"chat\.ops"))
    assert [told.fingerprint for told in webhook.alerts] == ["b9a1c0de00000001", "2"]
    assert webhook.receiver == "chat.ops"
    assert [(refused.field, refused.problem) for refused in webhook.refused] == [
        ("alerts[1].labels.severity", "Input should be a valid string"),
        ("alerts[3].startsAt", "must be an RFC 3339 time"),
    ]
    assert json.loads(webhook.refused[0].raw) == bad


def test_a_bad_alert_without_good_ones_is_refused_as_ever() -> None:
    """Nothing can be kept, so nothing is promised; the first problem is named."""
    with pytest.raises(InputError) as caught:
        alertmanager.salvage(am_body(am_alert(startsAt="x"), am_alert(labels=None)))
    assert caught.value.field == "alerts[0].startsAt"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", am_body(receiver=5), am_body(alerts="x"), b'{"alerts":[{}]}'])
def test_a_body_that_cannot_be_read_is_refused_whole(raw: bytes) -> None:
    """There is no alert to keep."""
    with pytest.raises(InputError):
        alertmanager.salvage(raw)


@pytest.mark.parametrize("odd", [None, 5, [], "x", {}, {"labels": {"a": 1e999}}, {"x": "y" * 50_000}])
def test_whatever_stands_among_the_alerts_harms_none(odd: Any) -> None:
    """Anything JSON can say; what is kept of it is bounded."""
    raw = am_body(am_alert(), am_alert()).replace(b"Infinity", b"1e999")
    text = json.dumps(odd).replace("Infinity", "1e999").encode()
    webhook = alertmanager.salvage(raw.replace(b'"alerts": [', b'"alerts": [' + text + b", "))
    assert len(webhook.alerts) == 2
    assert len(webhook.refused) == 1
    assert len(webhook.refused[0].raw) <= MAX_RAW
