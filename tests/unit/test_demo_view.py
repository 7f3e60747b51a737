"""The demo's picture: what it must say, at the width of an ordinary terminal, without any terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bot.cli import app
from bot.demo import faults
from bot.demo.plain import is_over
from bot.demo.view import HISTORY, Card, Floor, Moment, Scene, Waiting, countdown, plain, render, sparkline
from bot.errors import InputError

SCENE = Scene(
    now=100_000,
    scale=15.0,
    alerts_by="sandbox",
    bot="running",
    frozen=False,
    kelly_before=0.25,
    kelly=0.25,
    var={"BTC-USD": (1.1, 2.4), "ETH-USD": (0.95,)},
    effects=0,
    requests=0,
)
CARD = Card(
    id="inc-abcdefghij",
    policy="var-breach",
    status="verifying",
    why="waiting for evidence.var < 1.6",
    symbols=("BTC-USD",),
    due={"verify": 165_000, "rung:0": 190_000},
    rungs={"rung:0": "rung 1: page pm (critical), unless mitigated"},
    timeline=tuple(Moment(at * 1_000, f"sentence {at}") for at in range(30)),
)


def _drawn(scene: Scene) -> list[str]:
    console = Console(width=80, height=24, record=True, file=io.StringIO())
    console.print(render(scene))
    return console.export_text().splitlines()


def test_the_scaled_clock_and_who_posts_alerts_are_said_plainly() -> None:
    """Nobody may take the demo's minutes for real ones, or the sandbox for an Alertmanager."""
    text = "\n".join(_drawn(SCENE))
    assert "CLOCK ×15: 1 s here is 15 s there" in text
    assert "no Alertmanager runs here" in text
    assert "press v" in text


def test_an_incident_shows_before_and_after_why_countdowns_and_its_newest_sentences() -> None:
    """The heart of the picture; old sentences give way to new ones, and timers speak plain words."""
    lines = _drawn(replace(SCENE, kelly=0.1, effects=1, requests=1, cards=(CARD,)))
    text = "\n".join(lines)
    assert "0.25 → 0.1" in text
    assert "1 effect, 1 request" in text
    assert "waiting for evidence.var < 1.6" in text
    assert "1m05s  verification gives up" in text
    assert "1m30s  rung 1: page pm (critical)" in text
    assert "sentence 29" in text
    assert "sentence 3 " not in text
    assert len(lines) <= 32


def test_a_question_is_in_sight_with_its_countdown_and_the_command_to_type() -> None:
    """What would change, who may say yes, when silence ends it, and what to type or press."""
    question = Waiting(
        incident="inc-abcdefghij", approval="dec-1", digest="d", action="trading.halt", change="trading  on → off",
        votes=0, quorum=1, may=("demo-approver",), expires_at=165_000, silence="nothing is sent and cro is paged",
    )  # fmt: skip
    lines = _drawn(replace(SCENE, cards=(CARD,), waiting=(question,), socket="/tmp/d/andon.sock", trading=False))
    text = "\n".join(lines)
    assert "trading.halt  trading  on → off" in text
    assert "0 of 1 yes; may: demo-approver" in " ".join(text.split())
    assert "1m05s left; then nothing is sent and cro is paged" in text
    assert "andon approve inc-abcdefghij, or press a" in text
    assert "TRADING HALTED" in text
    assert "export ANDON_SOCKET=/tmp/d/andon.sock" in text
    assert len(lines) <= 34


def test_freeze_and_a_dead_bot_are_written_out() -> None:
    """What colour says, words say too."""
    text = "\n".join(_drawn(replace(SCENE, frozen=True, bot="killed")))
    assert "FROZEN" in text
    assert "unfreeze" in text
    assert "bot killed" in text
    assert text.splitlines()[-1].rstrip().endswith("quit"), "the keys stay on one line"


def test_the_page_of_slack_is_named_and_its_outage_written_out() -> None:
    """A newcomer finds the address whole on one line, and sees that Slack is down without colours."""
    address = "http://127.0.0.1:43211/?clock=15@1767225600000"
    lines = _drawn(replace(SCENE, cards=(CARD,), slack=address))
    assert any(address in line for line in lines)
    assert "DOWN" not in "\n".join(lines)
    assert len(lines) <= 33
    text = "\n".join(_drawn(replace(SCENE, slack=address, slack_down=True)))
    assert f"{address}  DOWN" in text
    assert "Slack back" in text


def test_readings_over_the_threshold_are_red_and_the_line_has_an_end() -> None:
    """The bars' colour changes exactly over 1.8 %, and old readings fall out."""
    bars = sparkline([1.8, 1.81])
    assert [span.style for span in bars.spans] == ["green", "red"]
    assert len(sparkline([1.0] * (HISTORY + 10)).plain) == HISTORY
    assert sparkline([-1.0, 99.0]).plain == "▁█"


def test_times_are_those_of_the_demos_clock() -> None:
    """Countdowns never run below now; log lines count from the beginning."""
    assert [countdown(due, 1_000) for due in (500, 1_000, 6_000, 66_000)] == ["now", "now", "5s", "1m05s"]
    assert plain(Moment(3_500, "Kelly is 0.1"), 1_000) == "+    2.5s  Kelly is 0.1"


def test_the_router_and_redis_have_a_line_each() -> None:
    """Whose pause it is, which models serve, the rate; how slow Redis is, who is primary, and how its replica is."""
    floor = Floor(
        router="paused", owner="andon", models="BTC-USD lstm-v2", switches=141, primary="127.0.0.1:7001",
        replica="127.0.0.1:7002", replica_state="stale", p99_us=41_200.0, cause="slow_commands",
    )  # fmt: skip
    lines = _drawn(replace(SCENE, floor=floor, cards=(CARD,)))
    text = "\n".join(lines)
    assert "router paused by andon  141/min  BTC-USD lstm-v2" in text
    assert "redis  p99 41.2 ms  primary 127.0.0.1:7001  replica 127.0.0.1:7002 stale" in text
    assert len(lines) <= 34
    unmeasured = _drawn(replace(SCENE, floor=replace(floor, p99_us=None, router="running", owner="")))
    assert "p99 not measured" in "\n".join(unmeasured)


def test_every_fault_that_can_be_named_is_named_in_the_help() -> None:
    """`andon demo --help` lists them; a name nobody knows is refused with all of them."""
    told = CliRunner().invoke(app, ["demo", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    for name in faults.names():
        assert all(part in told for part in name.split(":")), name
    with pytest.raises(InputError, match="replica-stale, switching, switching:oscillation"):
        faults.fault("gremlins")


@pytest.mark.parametrize("name", [name for name in faults.names() if "asks" in faults.fault(name).see])
def test_a_fault_that_promises_a_question_is_played_to_it(name: str) -> None:
    """Being parked does not end it, for the ladder goes on; a question does, and so does the incident's end."""
    promised = faults.fault(name)
    assert not is_over(promised, {"parked"}, asked=False)
    assert is_over(promised, {"parked"}, asked=True)
    assert is_over(promised, {"closed"}, asked=False)


def test_a_fault_that_promises_no_question_ends_with_people_called() -> None:
    """A refused failover is parked, and its ladder would go on for minutes."""
    refused = faults.fault("replica-down")
    assert is_over(refused, {"parked"}, asked=False)
    assert not is_over(refused, {"running"}, asked=False)
