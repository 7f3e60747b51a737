"""Cron lines: what passes means the same to people and to the scheduler; what they read differently is refused."""

from __future__ import annotations

from datetime import datetime

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import cron
from policies.problems import UnclearError


@pytest.mark.parametrize(
    "line",
    [
        "* * * * *", "*/5 * * * *", "30 6 * * mon-fri", "0 0 29 feb *", "0 12 1,15 * *", "5/15 8-18/2 * jan-mar *",
        "0 0 31 jan,feb *", "59 23 31 12 *", "0 0 * * SUN", "0 0 * 1-6/2 mon,wed,fri",
    ],
)  # fmt: skip
def test_lines_as_people_write_them_pass(line: str) -> None:
    """Lists, ranges, steps and names; the scheduler takes them too."""
    cron.check(line)
    CronTrigger.from_crontab(line, timezone="UTC")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "is not minute, hour, day, month and weekday"),
        ("@daily", "is not minute, hour"),
        ("0 0 * * * *", "is not minute, hour"),
        ("60 * * * *", "minute '60' is not from 0 to 59"),
        ("* 24 * * *", "hour '24' is not from 0 to 23"),
        ("* * 0 * *", "day '0' is not from 1 to 31"),
        ("* * * 13 *", "month '13' is not from 1 to 12"),
        ("* * * * 1", "count weekdays differently"),
        ("* * * * 0-4", "count weekdays differently"),
        ("* * * * funday", "no such weekday"),
        ("* * * * fri-mon", "ends before it begins"),
        ("* * * * mon-fri/2", "steps through names"),
        ("* * * jan-jun/2 *", "steps through names"),
        ("0 0 * jan-3 *", "mixes a name and a number"),
        ("0 6 1 1-mar *", "mixes a name and a number"),
        ("0 0 * 3-dec/3 *", "mixes a name and a number"),
        ("5-1 * * * *", "ends before it begins"),
        ("*/0 * * * *", "every 0 is not a step"),
        ("*/60 * * * *", "every 60 is not a step"),
        ("* * last * *", "day 'last' is not from 1 to 31"),
        ("* * 2nd-mon * *", "day '2nd' is not"),
        ("* * L * *", "day 'L' is not"),
        ("1,,2 * * * *", "'' is not a minute"),
        ("-1 * * * *", "'-1' is not a minute"),
        ("٣ * * * *", "is not a minute"),
        ("0 0 30 feb *", "never comes"),
        ("0 0 31 apr,jun *", "never comes"),
        ("0 0 13 * fri", "cron means either"),
    ],
)
def test_what_is_wrong_or_means_two_things_is_refused(line: str, message: str) -> None:
    """A schedule that the desk and the scheduler read differently would ring on the wrong day."""
    with pytest.raises(UnclearError) as found:
        cron.check(line)
    assert message in found.value.message
    assert found.value.fix


def test_a_range_over_the_end_is_told_how_to_be_written() -> None:
    """Friday to Monday is two ranges, and so is 22 to 4 o'clock; what is proposed passes."""
    for line in ("0 0 * * fri-mon", "0 22-4 * * *"):
        with pytest.raises(UnclearError) as found:
            cron.check(line)
        given = line.split()[1] if "22" in line else line.split()[4]
        cron.check(line.replace(given, found.value.fix.removeprefix("write ")))


NAMES = ["mon", "WED", "fri", "jan", "feb", "Apr", "dec", "x"]
VALUES = st.one_of(st.integers(0, 60).map(str), st.integers(0, 12).map("{:02}".format), st.sampled_from(NAMES))
SPANS = st.one_of(st.just("*"), VALUES, st.builds("{}-{}".format, VALUES, VALUES))
PARTS = st.one_of(SPANS, st.builds("{}/{}".format, SPANS, st.integers(0, 31)))
FIELDS = st.one_of(st.just("*"), st.lists(PARTS, min_size=1, max_size=2).map(",".join))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 4), st.lists(FIELDS, min_size=20, max_size=20))
def test_whatever_passes_the_scheduler_reads_as_the_same_times(place: int, texts: list[str]) -> None:
    """Nothing that `andon check` lets through fails at start, or rings at another time than it was checked for."""
    for text in texts:
        line = " ".join(["*"] * place + [text] + ["*"] * (4 - place))
        try:
            checked = cron.check(line)
        except UnclearError:
            continue
        assert _scheduled(line) == checked, line


def _scheduled(line: str) -> tuple[set[int], ...]:
    """The values at which each field of the scheduler's trigger stands still."""
    fields = {field.name: field for field in CronTrigger.from_crontab(line, timezone="UTC").fields}
    moments = {
        "minute": [datetime(2024, 1, 1, 0, minute) for minute in range(60)],
        "hour": [datetime(2024, 1, 1, hour) for hour in range(24)],
        "day": [datetime(2024, 1, day) for day in range(1, 32)],
        "month": [datetime(2024, month, 1) for month in range(1, 13)],
        "day_of_week": [datetime(2024, 1, day) for day in range(1, 8)],
    }
    return tuple(
        {fields[name].get_value(at) for at in ats if fields[name].get_next_value(at) == fields[name].get_value(at)}
        for name, ats in moments.items()
    )


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_zones_that_exist_pass(zone: str) -> None:
    """By their names in the time zone database."""
    cron.check_zone(zone)


@pytest.mark.parametrize("zone", ["", "America", "Amerika/New_York", "../etc/passwd", "/etc/localtime", "EST5EDT\0"])
def test_zones_that_do_not_exist_are_refused(zone: str) -> None:
    """Also what looks like a path."""
    with pytest.raises(UnclearError, match="no time zone named"):
        cron.check_zone(zone)
