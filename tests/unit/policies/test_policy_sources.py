"""Streams, schedules and watches: resolved into the book, told apart, and part of its fingerprint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.core.alert import Alert
from bot.core.source_events import StreamRule
from policies import lint_sources
from policies.book import PolicyBook
from policies.loader import Loaded
from policies.sources import Schedule, ScheduleDoc, StreamSource

Load = Callable[..., Loaded]
MakeAlert = Callable[..., Alert]

HEAD = "system: trading-core\ncatch_all: {page: {service: desk}, severity: info}\n"
STREAM = f"""{HEAD}streams:
  - name: switches
    stream: model.switch.log
    rules:
      - alertname: ExcessiveModelSwitching
        more_than: 100
        within: 5m
        where: {{kind: switch}}
        by: [symbol]
        labels: {{team: quant}}
"""
CLOCK = f"""{HEAD}schedules:
  - {{name: daily, cron: 30 6 * * mon-fri, zone: America/New_York, labels: {{alertname: DailyCheck}}}}
"""
WATCH = """systems: [trading-core]
watches: [{name: w, match: ['alertname="Watchdog"', 'team!="x"'], system: trading-core}]
"""


def book_of(loaded: Loaded) -> PolicyBook:
    assert [str(p) for p in loaded.problems] == []
    assert loaded.book is not None
    return loaded.book


def test_a_stream_is_resolved(load_text: Load) -> None:
    """The only store where no component is named, and everything the alert will carry."""
    rule = StreamRule(
        name="ExcessiveModelSwitching", count=100, within_ms=300_000, where=(("kind", "switch"),), by=("symbol",),
        labels=(("alertname", "ExcessiveModelSwitching"), ("severity", "warning"), ("team", "quant")),
    )  # fmt: skip
    assert book_of(load_text(STREAM)).streams == (
        StreamSource(name="switches", system="trading-core", component="redis", key="model.switch.log", rules=(rule,)),
    )


def test_a_stream_of_alerts_needs_no_rules(load_text: Load) -> None:
    """Its entries are alerts already; the component may be another Redis."""
    text = (
        "system: trading-core\nstreams: [{name: s, stream: alerts, component: cache, alerts_in: data, at_field: t}]\n"
    )
    (stream,) = book_of(load_text(text)).streams
    assert (stream.component, stream.alerts_in, stream.at_field, stream.rules) == ("cache", "data", "t", ())


def test_a_schedule_is_resolved(load_text: Load) -> None:
    """Five minutes of grace, and no more severe than it says."""
    assert book_of(load_text(CLOCK)).schedules == (
        Schedule(
            name="daily", system="trading-core", cron="30 6 * * mon-fri", zone="America/New_York", grace_ms=300_000,
            labels=(("alertname", "DailyCheck"), ("severity", "info")),
        ),
    )  # fmt: skip


def test_a_stream_and_a_schedule_may_share_a_name(load_text: Load) -> None:
    """Their records are named apart."""
    text = STREAM + CLOCK.removeprefix(HEAD).replace("daily", "switches")
    book = book_of(load_text(text))
    assert [source.name for source in (*book.streams, *book.schedules)] == ["switches", "switches"]


def test_a_watch_takes_its_alert_and_no_other(load_text: Load, alert: MakeAlert) -> None:
    """All its matchers, in its system only."""
    book = book_of(load_text("system: trading-core\n", andon=WATCH))
    (watch,) = book.watches
    assert (watch.name, watch.within_ms) == ("w", 300_000)
    assert book.watch("trading-core", alert(alertname="Watchdog")) == "source:watch:w"
    assert book.watch("trading-core", alert(alertname="Watchdog", team="x")) == ""
    assert book.watch("trading-core", alert(alertname="Other")) == ""
    assert book.watch("unrouted", alert(alertname="Watchdog")) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"policies": STREAM.replace("100", "101")},
        {"policies": STREAM.replace("model.switch.log", "other.log")},
        {"policies": STREAM + CLOCK.removeprefix(HEAD)},
        {"andon": WATCH.replace("Watchdog", "Heartbeat")},
        {"andon": WATCH.replace("system: trading-core}", "within: 9m, system: trading-core}")},
        {"people": "people: [{id: a}]\n"},
        {"people": "people: [{id: a}, {id: b}]\nrosters: {approvers: [{risk: risky, people: [b]}]}\n"},
    ],
)
def test_the_fingerprint_covers_everything_that_a_reload_swaps(load_text: Load, change: dict[str, str]) -> None:
    """A reload that changes a count, a person or a watch is not mistaken for one that changed nothing."""
    given = {"policies": STREAM, "andon": WATCH, "people": "people: [{id: a}, {id: b}]\n"}

    def fingerprint(files: dict[str, str]) -> str:
        return book_of(load_text(files["policies"], andon=files["andon"], people=files["people"])).fingerprint

    assert fingerprint(given) == fingerprint(dict(given))
    assert fingerprint(given | change) != fingerprint(given)


def test_the_book_knows_the_people(load_text: Load) -> None:
    """Who may decide is swapped together with what they decide about."""
    assert book_of(load_text(STREAM)).people.approvers("trading-core", "critical") == ("demo-oncall", "demo-approver")


@pytest.mark.parametrize(
    ("policy", "heard"),
    [
        ("match: ['alertname=\"ExcessiveModelSwitching\"']", True),
        ("match: ['alertname=\"ExcessiveModelSwitching\"', 'symbol=\"BTC-USD\"']", True),
        ("match: ['stream=\"switches\"', 'severity=\"warning\"']", True),
        ("match: ['alertname=\"ExcessiveModelSwitching\"', 'severity=\"critical\"']", False),
        ("match: ['alertname=\"ExcessiveModelSwitching\"', 'team=\"risk\"']", False),
    ],
)
def test_an_alert_of_our_own_reaches_somebody(load_text: Load, policy: str, heard: bool) -> None:
    """A count that fires into the void looks like a quiet day; what `by` counts apart may have any value."""
    text = STREAM.replace(", severity: info", "") + f"labels: [symbol]\npolicies: [{{name: p, {policy}}}]\n"
    problems = load_text(text).problems
    assert ["no policy takes" in p.message for p in problems] == [True] * (not heard)


def test_a_critical_alert_of_our_own_needs_no_policy(load_text: Load) -> None:
    """The catch-all pages it."""
    text = STREAM.replace(", severity: info", "").replace("team: quant", "severity: page")
    assert load_text(text).problems == ()


@pytest.mark.parametrize(
    ("line", "often"),
    [("* * * * *", True), ("*/5 9-16 * * mon-fri", False), ("0,58 * * * *", True), ("58,0 7 * * *", False),
     ("30 6 * * mon-fri", False), ("0 * * * *", False)],
)  # fmt: skip
def test_a_schedule_that_comes_too_often_is_refused(line: str, often: bool) -> None:
    """Its next fire would fall into the hold of the one before, and its plan would not run again."""
    document = ScheduleDoc.model_validate(
        {"name": "look", "cron": line, "zone": "UTC", "labels": {"alertname": "Look"}}
    )
    assert any("more often than every" in message for _, message, _ in lint_sources.schedule(document)) is often
