"""Cron lines: what passes means the same to people and to the scheduler; what they read differently is refused."""

from __future__ import annotations

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


PARTS = st.sampled_from([
    "*", "*/2", "*/31", "0", "1", "5", "7", "12", "31", "59", "1-5", "5-1", "1-9/3", "2/7", "1,2", "mon", "mon-fri",
    "sat,sun", "feb", "feb-apr", "x",
])  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(PARTS, min_size=5, max_size=5).map(" ".join))
def test_whatever_passes_the_scheduler_takes(line: str) -> None:
    """Nothing that `andon check` lets through fails at start, or never rings."""
    try:
        cron.check(line)
    except UnclearError:
        return
    trigger = CronTrigger.from_crontab(line, timezone="UTC")
    read = [str(field) for field in trigger.fields if field.name in {"minute", "hour", "day", "month", "day_of_week"}]
    assert len(read) == 5


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_zones_that_exist_pass(zone: str) -> None:
    """By their names in the time zone database."""
    cron.check_zone(zone)


@pytest.mark.parametrize("zone", ["", "America", "Amerika/New_York", "../etc/passwd", "/etc/localtime", "EST5EDT\0"])
def test_zones_that_do_not_exist_are_refused(zone: str) -> None:
    """Also what looks like a path."""
    with pytest.raises(UnclearError, match="no time zone named"):
        cron.check_zone(zone)
