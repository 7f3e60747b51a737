"""How fast Andon goes in Slack, and when a channel is in a storm: pure, at the edges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.adapters.slack.board.jobs import Scene, jobs
from bot.adapters.slack.board.shelf import Line, Placed
from bot.adapters.slack.board.sights import Brief
from bot.adapters.slack.board.storm import Storm, weather
from bot.adapters.slack.line.pacing import BUDGETS, LEAST_WAIT_S, LONGEST_WAIT_S, MESSAGE_GAP_S, POST, UPDATE, Pace


def test_a_channel_takes_the_next_message_a_second_after_the_last_call_ended() -> None:
    """Slack had it at some time before its answer: counted from there, two are never closer than a second."""
    pace = Pace()
    pace.take(POST, "C1", 10.0)
    assert pace.wait(UPDATE, "C1", 10.0) == pytest.approx(MESSAGE_GAP_S)
    assert pace.wait(POST, "C2", 10.0) == 0.0
    pace.done("C1", 12.0)
    assert pace.wait(POST, "C1", 12.5) == pytest.approx(MESSAGE_GAP_S - 0.5)
    assert pace.wait(POST, "C1", 12.0 + MESSAGE_GAP_S) == 0.0


def test_edits_keep_below_what_slack_allows_in_a_minute() -> None:
    """In no minute more than tier 3 has, however many channels want one."""
    pace, now, sent = Pace(), 0.0, []
    while now < 300:
        channel = f"C{len(sent)}"
        if (wait := pace.wait(UPDATE, channel, now)) > 0:
            now += wait
            continue
        pace.take(UPDATE, channel, now)
        sent.append(now)
    assert max(sum(1 for at in sent if start <= at < start + 60) for start in sent) <= 50
    assert len(sent) >= BUDGETS[UPDATE].per_minute * 5


def test_a_retry_after_is_kept_for_its_method_and_nonsense_is_bounded() -> None:
    """A 429 of edits stops no posts; a header of a week stops nothing for a week."""
    pace = Pace()
    pace.throttled(UPDATE, 30.0, 100.0)
    assert pace.wait(UPDATE, "C1", 110.0) == 20.0
    assert pace.wait(POST, "C1", 110.0) == 0.0
    pace.throttled(POST, -5.0, 100.0)
    assert pace.wait(POST, "C1", 100.0) == LEAST_WAIT_S
    pace.throttled(POST, 1e9, 100.0)
    assert pace.wait(POST, "C1", 100.0) == LONGEST_WAIT_S


def brief(number: int, opened_at: int, *, status: str = "open", question: str = "") -> Brief:
    return Brief(
        shard="s", incident=f"inc-{number:03}", version=1, channel="C1", policy="p", severity="critical", status=status,
        opened_at=opened_at, ended=status == "resolved", closed=False, question=question, look="", question_look="",
        facts="",
    )  # fmt: skip


def judged(briefs: list[Brief], now: int, digest: Placed | None = None, *carded: int) -> Storm | None:
    has = {f"inc-{number:03}" for number in carded}
    return weather("C1", briefs, lambda one: one.incident in has, digest, now, cards=3, within_ms=60_000)


def test_a_storm_begins_with_one_more_than_the_channel_can_bear() -> None:
    """Three within a minute are fair weather, four are a storm; who has a card or a question keeps it."""
    four = [brief(n, 100_000 + n * 1_000, question="q" if n == 2 else "") for n in range(4)]
    assert judged(four[:3], 104_000) is None
    assert judged(four, 160_001) is None
    storm = judged(four, 104_000, None, 0)
    assert storm is not None
    assert (storm.on, storm.fresh, storm.over, storm.began) == (True, True, False, 100_000)
    assert {one for _, one in storm.held} == {"inc-001", "inc-003"}


def test_a_storm_that_is_over_leaves_cards_to_the_open_and_the_digest_to_the_rest() -> None:
    """And what opens later is none of it."""
    four = [brief(n, 100_000 + n, status="resolved" if n < 2 else "open") for n in range(4)]
    digest = Placed(name="digest:C1", ts="1.1", facts='{"began":100000,"until":100003}')
    later = brief(9, 400_000)
    storm = judged([*four, later], 400_000, digest)
    assert storm is not None
    assert (storm.on, storm.over, len(storm.members)) == (False, False, 4)
    assert {one for _, one in storm.held} == {"inc-000", "inc-001"}
    done = judged([*four, later], 400_000, digest, 2, 3)
    assert done is not None
    assert done.over


def test_another_storm_has_a_digest_of_its_own() -> None:
    """The old one stays as it is; one that flickers goes on in the same digest."""
    old = Placed(name="digest:C1", ts="1.1", facts='{"began":100000,"until":100003}', over=True)
    again = [brief(n, 500_000 + n) for n in range(4)]
    storm = judged(again, 501_000, old)
    assert storm is not None
    assert (storm.fresh, storm.began) == (True, 500_000)
    flickering = judged([brief(n, 100_001 + n) for n in range(4)], 101_000, replace(old, over=False))
    assert flickering is not None
    assert (flickering.fresh, flickering.began) == (False, 100_000)


def test_words_about_an_incident_not_read_yet_wait_and_those_about_nobody_do_not() -> None:
    """Where a line belongs is not guessed: below its card, or, when there is no such incident, in the channel."""
    line = Line(id="m1", shard="s", incident="inc-001", channel="", topic="acted", text="words", at=1, delivery="1")

    def found(pending: bool) -> list[str]:
        scene = Scene(
            briefs={}, places={}, lines=[line], storms={}, home="C1", channel_of=lambda line: "C1", due=lambda name: 0,
            pending=lambda subject: pending, digest_looks={}, tells=lambda brief, card: False,
        )  # fmt: skip
        return [job.name for job in jobs(scene)]

    assert found(True) == []
    assert found(False) == ["words:m1"]
