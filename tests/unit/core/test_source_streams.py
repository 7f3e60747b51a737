"""A foreign stream's source: what counts, what fires, and what changes nothing when it is told again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import source_machine
from bot.core.alert import Alert
from bot.core.effects import RaiseAlert
from bot.core.events import TimerFired
from bot.core.record import Applied, Decision, Ignored
from bot.core.source import MAX_COUNT, MAX_WINDOWS, Source
from bot.core.source_events import StreamEntry, StreamRead, StreamRule
from bot.core.source_streams import MAX_FUTURE_MS, UNKNOWN_MS

NOW = 1_700_000_000_000
MINUTE = 60_000
RULE = StreamRule(name="ExcessiveModelSwitching", count=100, within_ms=5 * MINUTE, labels=(("severity", "warning"),))


class Listener:
    """A source, a clock, and everything it raised."""

    def __init__(self, *rules: StreamRule) -> None:
        self.rules = rules or (RULE,)
        self.source = Source(id="source:stream:switches", system="trading-core")
        self.now = NOW
        self.alerts: list[Alert] = []
        self.decisions: list[Decision] = []
        self.stream = "redis/model.switch.log"
        self._read = 0

    def read(self, *entries: StreamEntry, gap: str = "", position: str | None = None) -> Decision:
        before = self.source.position if position is None else position
        self._read += 1
        after = entries[-1].id if entries else f"{self._read}-0"
        return self.tell(
            StreamRead(
                id=f"read/{before}/{after}", at=self.now, stream=self.stream, position=before, next_position=after,
                entries=entries, rules=self.rules, gap=gap,
            )
        )  # fmt: skip

    def look(self, *, caught_up: bool = True) -> Decision:
        """A look that found nothing to read."""
        at = self.source.position
        return self.tell(
            StreamRead(
                id=f"look/{self.now}", at=self.now, stream=self.stream, position=at, next_position=at,
                rules=self.rules, caught_up=caught_up,
            )
        )  # fmt: skip

    def tell(self, event) -> Decision:
        transition = source_machine.step(self.source, event, self.now)
        self.source = transition.record
        self.alerts += [effect.alert for effect in transition.effects if isinstance(effect, RaiseAlert)]
        self.decisions.append(transition.decision)
        return transition.decision

    def wait(self, duration: int) -> None:
        until = self.now + duration
        while due := [(t.due, name, t.token) for name, t in self.source.timers.items() if t.due <= until]:
            self.now, name, token = min(due)
            self.tell(TimerFired(id=token, at=self.now, name=name, token=token))
        self.now = until

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(alert.name, alert.status) for alert in self.alerts]


def entry(at: int, number: int = 0, **fields: str) -> StreamEntry:
    return StreamEntry(id=f"{at}-{number}", at=at, fields=tuple(fields.items()))


def burst(count: int, start: int = NOW, step: int = 1_000) -> list[StreamEntry]:
    return [entry(start + n * step) for n in range(count)]


def test_a_hundred_within_five_minutes_is_no_alert_and_one_more_is():
    """The boundary is exact: 100 switches say nothing, the 101st fires, dated by itself."""
    listener = Listener()
    listener.read(*burst(100))
    assert listener.told == []
    listener.now = NOW + 100_000
    listener.read(entry(NOW + 100_000))
    (alert,) = listener.alerts
    assert (alert.name, alert.status, alert.starts_at) == ("ExcessiveModelSwitching", "firing", NOW + 100_000)
    assert alert.labels == {"alertname": "ExcessiveModelSwitching", "stream": "switches", "severity": "warning"}
    assert alert.source == "stream:switches"


@pytest.mark.parametrize(("last", "fires"), [(5 * MINUTE - 1, True), (5 * MINUTE, False)])
def test_the_window_ends_without_its_far_edge(last: int, fires: bool):
    """The 101st counts with the first only when less than five minutes lie between them."""
    listener = Listener()
    listener.read(*burst(100, step=1))
    listener.now += last
    listener.read(entry(NOW + last))
    assert bool(listener.alerts) is fires


def test_it_fires_once_however_long_the_burst_goes_on():
    """Entries 102 to 300 of the same burst raise nothing more."""
    listener = Listener()
    for one in burst(300, step=500):
        listener.read(one)
    assert listener.told == [("ExcessiveModelSwitching", "firing")]


def test_it_is_over_when_nothing_more_comes():
    """After the burst, silence: the alert ends when the entries that decide have left, not before and not never."""
    listener = Listener()
    listener.now = NOW + 100_000
    listener.read(*burst(101))
    listener.read(entry(NOW + 100_500))
    left = listener.source.windows[next(iter(listener.source.windows))].falls_at
    assert left == listener.now + 5 * MINUTE - 99_500  # the second entry's turn to leave
    listener.wait(5 * MINUTE - 99_500 - 1)
    listener.look()
    assert len(listener.alerts) == 1
    listener.wait(1)
    listener.look()
    assert listener.told == [("ExcessiveModelSwitching", "firing"), ("ExcessiveModelSwitching", "resolved")]
    assert listener.alerts[0].fingerprint == listener.alerts[1].fingerprint
    assert listener.alerts[0].starts_at == listener.alerts[1].starts_at
    assert listener.source.raised == {}


def test_time_alone_ends_nothing():
    """Nobody could read the stream, or not to its end yet: what fires goes on until a look finds nothing more."""
    listener = Listener()
    listener.read(*burst(101))
    listener.wait(60 * MINUTE)
    assert isinstance(listener.look(caught_up=False), Ignored)
    assert listener.told == [("ExcessiveModelSwitching", "firing")]
    listener.look()
    assert listener.told[-1][1] == "resolved"


def test_it_is_over_when_later_entries_push_the_burst_out_and_fires_anew_later():
    """A second burst is a second firing, with a later start, or the incident would take it for a copy."""
    listener = Listener()
    listener.read(*burst(101))
    listener.now += 10 * MINUTE
    listener.read(entry(listener.now))
    assert listener.told[-1][1] == "resolved"
    listener.read(*burst(100, start=listener.now + 1))
    assert [status for _, status in listener.told] == ["firing", "resolved", "firing"]
    assert listener.alerts[2].starts_at > listener.alerts[0].starts_at


def test_a_batch_counts_once_whoever_tells_it_again():
    """A replay, a second replica, a restart: read from where the last batch ended, or it changes nothing."""
    listener = Listener()
    sixty, forty = burst(60), burst(40, start=NOW + 60_000)
    listener.read(*sixty)
    stored = listener.source
    assert isinstance(listener.read(*sixty, position=""), Ignored)
    assert listener.source == stored
    listener.read(*forty)
    assert isinstance(listener.read(*forty, position=sixty[-1].id), Ignored)
    assert listener.alerts == []
    listener.read(entry(NOW + 100_000))
    assert len(listener.alerts) == 1


def test_what_comes_too_late_does_not_count_and_what_comes_in_disorder_does():
    """An entry inside the window counts wherever it belongs; one that had left before it came does not, and is told."""
    listener = Listener()
    listener.now = NOW + 100_000
    listener.read(*burst(99, start=NOW, step=1_000))
    late = listener.read(entry(NOW + 98_000 - 5 * MINUTE))
    assert isinstance(late, Applied)
    assert "1 too late to count" in late.why
    listener.read(entry(NOW + 500, 1))
    assert listener.alerts == []
    listener.read(entry(NOW + 98_000 - 5 * MINUTE + 1, 2))
    assert listener.told == [("ExcessiveModelSwitching", "firing")]


def test_an_entry_from_the_future_counts_as_of_now():
    """A wrong clock over there neither empties the window nor holds it full."""
    listener = Listener()
    listener.read(*burst(100, start=NOW - 100_000))
    told = listener.read(entry(NOW + MAX_FUTURE_MS + 86_400_000))
    assert isinstance(told, Applied)
    assert "1 dated in the future, counted as of now" in told.why
    assert listener.alerts[0].starts_at == NOW
    listener.wait(6 * MINUTE)
    listener.look()
    assert listener.told[-1][1] == "resolved"


def test_only_matching_entries_count_each_series_for_itself():
    """`where` chooses entries, `by` counts them apart and names the series in the alert's labels."""
    rule = StreamRule(name="GateFailed", count=1, within_ms=MINUTE, where=(("decision", "FAIL"),), by=("gate",))
    listener = Listener(rule)
    listener.read(
        entry(NOW, decision="PASS", gate="a"), entry(NOW + 1, decision="FAIL", gate="a"),
        entry(NOW + 2, decision="PASS", gate="a"), entry(NOW + 3, decision="FAIL", gate="b"),
    )  # fmt: skip
    assert listener.alerts == []
    listener.read(entry(NOW + 4, decision="FAIL", gate="b"))
    (alert,) = listener.alerts
    assert alert.labels["gate"] == "b"


def test_too_many_series_are_counted_as_dropped_and_told_once():
    """A field with endless values costs bounded memory, and a person hears of it; idle series make room."""
    listener = Listener(StreamRule(name="Many", count=5, within_ms=MINUTE, by=("user",)))
    listener.read(*(entry(NOW + n, user=f"u{n}") for n in range(MAX_WINDOWS + 10)))
    listener.read(entry(NOW + 99, user="one-more"))
    assert len(listener.source.windows) == MAX_WINDOWS
    assert listener.source.dropped == 11
    assert listener.told == [("AndonStreamTooManySeries", "firing")]
    assert listener.alerts[0].severity == "critical"
    listener.now += 2 * MINUTE
    listener.read(entry(NOW + 2 * MINUTE, user="u1"), entry(NOW + 2 * MINUTE + 1, user="new"))
    assert len(listener.source.windows) == 2
    assert listener.source.dropped == 11


def test_a_gap_is_told_and_only_a_person_ends_that():
    """What trimming took before it was read is an alert of its own, with the words of the reader."""
    listener = Listener()
    listener.read(gap="about 12 entries were trimmed before they were read")
    (alert,) = listener.alerts
    assert (alert.name, alert.severity, alert.labels["andon"]) == ("AndonStreamGap", "warning", "self")
    assert "about 12 entries" in alert.annotations["summary"]
    listener.wait(60 * MINUTE)
    assert len(listener.alerts) == 1


def test_entries_that_are_alerts_are_raised_as_they_are_and_unreadable_ones_told():
    """A stream of alerts: each is raised with its own labels and time; what is no alert is not passed over."""
    listener = Listener(RULE)
    told = {
        "labels": {"alertname": "GateFailed", "severity": "critical"}, "annotations": {}, "status": "firing",
        "starts_at": NOW - 5, "ends_at": None, "generator_url": "",
    }  # fmt: skip
    good = replace(entry(NOW), alert=json.dumps(told))
    listener.read(good, replace(entry(NOW + 1), problem="is not JSON"))
    first, second = listener.alerts
    assert (first.name, first.starts_at, first.source) == ("GateFailed", NOW - 5, "stream:switches")
    assert second.name == "AndonStreamUnreadable"
    assert "is not JSON" in second.annotations["summary"]


def test_a_rule_that_a_reload_took_away_falls_in_its_time_and_is_forgotten():
    """Its firing alert ends when its window falls, and what it remembered makes room; another rule's window stays."""
    other = replace(RULE, name="Other", count=1_000)
    listener = Listener(RULE, other)
    listener.read(*burst(101))
    listener.rules = (other,)
    listener.wait(6 * MINUTE)
    listener.look()
    assert listener.told == [("ExcessiveModelSwitching", "firing"), ("ExcessiveModelSwitching", "resolved")]
    listener.wait(UNKNOWN_MS)
    listener.read(entry(listener.now))
    assert {window.rule for window in listener.source.windows.values()} == {"Other"}


def test_a_replica_with_an_older_book_neither_forgets_nor_ends_what_it_does_not_know():
    """Two replicas, one of them not reloaded yet: the new rule counts on across its batches, and fires once."""
    other = replace(RULE, name="Other", count=5)
    listener = Listener()
    for number in range(60):
        listener.rules = (RULE, other) if number % 3 else (RULE,)
        listener.read(entry(NOW + number))
    assert listener.told == [("Other", "firing")]


def test_another_stream_under_the_same_name_begins_anew():
    """What was counted in the old stream does not count in the new one, and its position means nothing there."""
    listener = Listener()
    listener.read(*burst(100, step=1))
    listener.stream = "redis/other.log"
    assert isinstance(listener.read(entry(NOW + 100)), Ignored)
    listener.read(entry(NOW + 101), position="")
    assert listener.alerts == []
    assert sum(many for window in listener.source.windows.values() for _, many in window.times) == 1


def test_changed_labels_end_the_old_alert_and_raise_the_new():
    """An alert is ended under the labels it was raised with, or it would fire for ever."""
    listener = Listener()
    listener.read(*burst(101))
    listener.rules = (replace(RULE, labels=(("severity", "critical"),)),)
    listener.read(entry(NOW + 102_000))
    assert [(alert.severity, alert.status) for alert in listener.alerts] == [
        ("warning", "firing"), ("warning", "resolved"), ("critical", "firing"),
    ]  # fmt: skip


def test_memory_is_bounded_by_the_count_alone():
    """A flood of a million entries an hour keeps no more times than the count and one."""
    listener = Listener(replace(RULE, count=MAX_COUNT + 500))
    for start in range(0, 5_000, 500):
        listener.read(*burst(500, start=NOW + start, step=1))
    (window,) = listener.source.windows.values()
    assert sum(many for _, many in window.times) == MAX_COUNT + 1
    assert listener.told == [("ExcessiveModelSwitching", "firing")]


@given(
    offsets=st.lists(st.integers(0, 60), min_size=1, max_size=60),
    count=st.integers(0, 6),
    within=st.integers(1, 20),
    batch=st.integers(1, 7),
)
def test_the_count_agrees_with_counting_everything(offsets: list[int], count: int, within: int, batch: int):
    """Against the obvious count over all entries ever seen, in any order and any batches: the same firings."""
    listener = Listener(replace(RULE, count=count, within_ms=within))
    seen: list[int] = []
    expected: list[str] = []
    for offset in offsets:
        if not (seen and offset <= max(seen) - within):
            seen.append(offset)
        exceeded = len([at for at in seen if at > max(seen) - within]) > count
        if exceeded != (expected[-1:] == ["firing"]):
            expected.append("firing" if exceeded else "resolved")
    entries = [entry(NOW + offset, number) for number, offset in enumerate(offsets)]
    for start in range(0, len(entries), batch):
        listener.read(*entries[start : start + batch])
    assert [status for _, status in listener.told] == expected
