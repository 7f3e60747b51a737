"""Schedules and watches: a fire counts once, a missed one is told, and silence is noticed."""

from __future__ import annotations

from bot.core import source_machine
from bot.core.alert import Alert
from bot.core.effects import RaiseAlert
from bot.core.events import TimerFired
from bot.core.record import Applied, Decision, Ignored
from bot.core.source import Source
from bot.core.source_events import ScheduleDue, SchedulePlanned, SignOfLife, StreamRead, WatchExpected

NOW = 1_700_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
YEAR = 365 * 24 * HOUR
CRON = "30 6 * * mon-fri America/New_York"


class Told:
    """A source of any kind, a clock, and everything it raised."""

    def __init__(self, name: str) -> None:
        self.source = Source(id=name, system="trading-core")
        self.now = NOW
        self.alerts: list[Alert] = []

    def tell(self, event) -> Decision:
        transition = source_machine.step(self.source, event, self.now)
        self.source = transition.record
        self.alerts += [effect.alert for effect in transition.effects if isinstance(effect, RaiseAlert)]
        return transition.decision

    def wait(self, duration: int, *, away: bool = False) -> None:
        """Let time pass; `away`: timers are noticed only at its end, as after an outage."""
        until = self.now + duration
        while due := [(t.due, name, t.token) for name, t in self.source.timers.items() if t.due <= until]:
            self.now, name, token = min(due)
            self.now = until if away else self.now
            self.tell(TimerFired(id=token, at=self.now, name=name, token=token))
        self.now = until

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(alert.name, alert.status) for alert in self.alerts]


class Cron(Told):
    def __init__(self) -> None:
        super().__init__("source:schedule:open")
        self.tell(SchedulePlanned(id="planned", at=NOW, cron=CRON))

    def due(self, due: int, *, skipped: int = 0) -> Decision:
        return self.tell(
            ScheduleDue(
                id=f"due/{due}", at=self.now, due=due, grace_ms=5 * MINUTE, lasts_ms=HOUR, skipped=skipped,
                labels=(("alertname", "MarketOpenCheck"), ("severity", "info")), when="Tue 06:30 America/New_York",
            )
        )  # fmt: skip


class Dog(Told):
    def __init__(self) -> None:
        super().__init__("source:watch:watchdog")

    def expect(self, within: int = 5 * MINUTE) -> Decision:
        return self.tell(WatchExpected(id=f"expected/{self.now}", at=self.now, within_ms=within))

    def bark(self) -> Decision:
        return self.tell(SignOfLife(id=f"life/{self.now}", at=self.now))


# --- schedules -----------------------------------------------------------------------------------------------------


def test_a_fire_is_raised_once_dated_by_when_it_was_due():
    """Every replica tells it; the first counts."""
    cron = Cron()
    cron.wait(HOUR)
    assert isinstance(cron.due(NOW + HOUR), Applied)
    assert isinstance(cron.due(NOW + HOUR), Ignored)
    (alert,) = cron.alerts
    assert (alert.name, alert.starts_at) == ("MarketOpenCheck", NOW + HOUR)
    assert alert.labels["schedule"] == "open"
    assert alert.source == "schedule:open"


def test_a_fire_ends_by_itself_so_that_the_next_is_a_new_one():
    """The alert lasts as long as it was told to, and the next fire is a firing of its own."""
    cron = Cron()
    cron.wait(HOUR)
    cron.due(cron.now)
    cron.wait(HOUR)
    assert cron.told[-1] == ("MarketOpenCheck", "resolved")
    cron.wait(22 * HOUR)
    cron.due(cron.now)
    assert [status for _, status in cron.told] == ["firing", "resolved", "firing"]


def test_within_the_grace_it_still_runs_and_past_it_a_person_is_told():
    """A fire that is later than its grace is never run late: trading has moved on."""
    cron = Cron()
    cron.wait(HOUR)
    cron.due(cron.now - 5 * MINUTE)
    assert cron.told == [("MarketOpenCheck", "firing")]
    cron = Cron()
    cron.wait(HOUR)
    decision = cron.due(cron.now - 5 * MINUTE - 1)
    assert isinstance(decision, Applied)
    assert "missed" in decision.why
    (alert,) = cron.alerts
    assert (alert.name, alert.severity) == ("AndonScheduleMissed", "critical")
    assert "open should have run at Tue 06:30 America/New_York" in alert.annotations["summary"]


def test_a_missed_fire_is_over_with_the_next_one_on_time():
    """Also fires that passed before one that runs are told, with their number."""
    cron = Cron()
    cron.wait(24 * HOUR)
    cron.due(cron.now - HOUR, skipped=3)
    assert "and 3 before it" in cron.alerts[-1].annotations["summary"]
    cron.wait(24 * HOUR)
    cron.due(cron.now, skipped=2)
    assert [name for name, _ in cron.told] == ["AndonScheduleMissed", "AndonScheduleMissed", "MarketOpenCheck"]
    assert "2 runs of schedule open" in cron.alerts[1].annotations["summary"]
    cron.wait(24 * HOUR)
    cron.due(cron.now)
    assert ("AndonScheduleMissed", "resolved") in cron.told


def test_another_cron_line_begins_anew():
    """Fires that the new line would have had before it was written were not missed by anybody."""
    cron = Cron()
    cron.wait(24 * HOUR)
    assert isinstance(cron.tell(SchedulePlanned(id="again", at=cron.now, cron=CRON)), Ignored)
    cron.tell(SchedulePlanned(id="changed", at=cron.now, cron="0 * * * * UTC"))
    assert isinstance(cron.due(NOW + HOUR), Ignored)
    cron.due(cron.now + 1)
    cron.tell(SchedulePlanned(id="gone", at=cron.now, cron=""))
    assert cron.told[-1] == ("MarketOpenCheck", "resolved")
    assert cron.source.timers == {}


# --- watches -------------------------------------------------------------------------------------------------------


def test_silence_is_an_alert_and_the_next_sign_of_life_ends_it():
    """Critical, naming the watch, what it means and what to check."""
    dog = Dog()
    dog.expect()
    dog.wait(4 * MINUTE)
    dog.bark()
    dog.wait(5 * MINUTE - 1)
    assert dog.alerts == []
    dog.wait(1)
    (alert,) = dog.alerts
    assert (alert.name, alert.severity, alert.labels["watch"]) == ("AndonSourceSilent", "critical", "watchdog")
    assert "alerts may not reach Andon" in alert.annotations["summary"]
    dog.wait(HOUR)
    assert len(dog.alerts) == 1
    dog.bark()
    assert dog.told == [("AndonSourceSilent", "firing"), ("AndonSourceSilent", "resolved")]


def test_a_bot_that_starts_again_and_again_still_notices():
    """Expecting the same again moves nothing."""
    dog = Dog()
    dog.expect()
    for _ in range(4):
        dog.wait(MINUTE)
        assert isinstance(dog.expect(), Ignored)
    dog.wait(MINUTE)
    assert dog.told == [("AndonSourceSilent", "firing")]


def test_after_an_outage_of_andon_one_fresh_time_is_given_and_only_one():
    """Andon was down when the time ran out, so it proves nothing; a second time it does."""
    dog = Dog()
    dog.expect()
    dog.wait(2 * HOUR, away=True)
    assert dog.alerts == []
    dog.wait(2 * HOUR, away=True)
    assert dog.told == [("AndonSourceSilent", "firing")]


def test_a_shorter_time_counts_from_the_last_sign_of_life():
    """A reload that tightens the watch does not begin anew; zero ends it and what fires."""
    dog = Dog()
    dog.expect()
    dog.wait(2 * MINUTE)
    dog.bark()
    dog.wait(2 * MINUTE)
    dog.expect(3 * MINUTE)
    dog.wait(MINUTE)
    assert dog.told == [("AndonSourceSilent", "firing")]
    dog.expect(0)
    assert dog.told[-1] == ("AndonSourceSilent", "resolved")
    assert dog.source.timers == {}
    assert isinstance(dog.bark(), Ignored)


def test_an_old_sign_of_life_proves_nothing():
    """What lay in the inbox for an hour does not end a silence."""
    dog = Dog()
    dog.expect()
    dog.wait(HOUR)
    assert isinstance(dog.tell(SignOfLife(id="old", at=NOW + MINUTE)), Ignored)
    assert dog.told == [("AndonSourceSilent", "firing")]


def test_a_clock_that_jumped_ahead_and_back_leaves_no_watch_deaf():
    """A sign of life came while the clock was a year ahead: the next one, or the next start, waits from now on."""
    for heal in (Dog.bark, Dog.expect, lambda dog: dog.expect(4 * MINUTE)):
        dog = Dog()
        dog.expect()
        dog.now += YEAR
        dog.bark()
        dog.now = NOW + MINUTE
        assert isinstance(heal(dog), Applied)
        dog.wait(5 * MINUTE)
        assert dog.told == [("AndonSourceSilent", "firing")]


def test_a_watch_whose_fresh_time_was_given_by_a_clock_ahead_is_heard_again():
    """Its timer ran out during the jump and was armed a year away; no sign ever comes, saying it again is enough."""
    dog = Dog()
    dog.expect()
    dog.wait(YEAR, away=True)
    dog.now = NOW + MINUTE
    dog.expect()
    dog.wait(5 * MINUTE)
    assert dog.told == [("AndonSourceSilent", "firing")]


def test_a_clock_that_jumped_ahead_and_back_leaves_no_schedule_deaf():
    """A fire of next year was taken: planned again, it fires from now on. A replica's second ahead changes nothing."""
    cron = Cron()
    cron.now += YEAR
    cron.due(cron.now)
    cron.now = NOW + HOUR
    assert isinstance(cron.tell(SchedulePlanned(id="again", at=cron.now, cron=CRON)), Applied)
    cron.now += HOUR
    assert isinstance(cron.due(cron.now), Applied)
    cron.now -= 1_000
    assert isinstance(cron.tell(SchedulePlanned(id="third", at=cron.now, cron=CRON)), Ignored)
    assert isinstance(cron.due(cron.now + 1_000), Ignored)


def test_what_is_not_listed_is_ignored_with_a_reason():
    """An event for another kind of source, or an old timer, changes nothing."""
    dog = Dog()
    decision = dog.tell(StreamRead(id="x", at=NOW, stream="s", position="", next_position="1-0"))
    assert decision == Ignored("stream_read means nothing to source:watch:watchdog")
    assert isinstance(dog.tell(TimerFired(id="t", at=NOW, name="silence", token="old")), Ignored)
