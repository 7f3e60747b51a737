"""`andon show` where people are in the story: who has it, what the ladder will do, where branches and orders belong."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

from rich.console import Console

from bot.console_story import incident, rung_words
from bot.core.incident import Incident, StepResult
from bot.core.plan import Page, Plan, Rung, Step
from bot.core.record import Timer

NOW = 1_700_000_000_000
HALT = Step(
    id="rung2-trading.halt", action="trading.halt", component="risk-engine", arguments="{}", risk="risky",
    direction="lowers", delivery="absolute", automatic=False, guard="evidence.var > 1.8",
)  # fmt: skip
PLAN = Plan(
    policy="var-breach", system="trading-core", policy_hash="h", mode="auto",
    ladder=(
        Rung(after_ms=120_000, page=Page(service="pm", severity="critical"), until="mitigated"),
        Rung(
            after_ms=300_000, page=Page(service="cro", severity="critical"), notify="#war", step=HALT, until="resolved",
        ),
    ),
)  # fmt: skip


def told(**fields: Any) -> str:
    """The story of such an incident, with single spaces."""
    record = Incident(id="inc-abcdefghij", key="k", system="trading-core", plan=PLAN, opened_at=NOW, **fields)
    screen = Console(width=200, file=io.StringIO(), record=True)
    screen.print(incident({"now": NOW, "incident": asdict(record), "decision": None, "audit": []}))
    return " ".join(screen.export_text().split())


def test_the_rungs_ahead_are_told_with_countdowns() -> None:
    """Whom each pages, what it runs and on which condition, and what stops it."""
    timers = {"rung:0": Timer(due=NOW + 90_000, token="a"), "rung:1": Timer(due=NOW - 5_000, token="b")}
    text = told(timers=timers)
    assert "next in 1 min 30 s: rung 1: page pm (critical), unless mitigated" in text
    halt = "page cro (critical), tell #war, run trading.halt if evidence.var > 1.8, unless resolved"
    assert f"next 5 s overdue: rung 2: {halt}" in text


def test_a_timer_that_is_no_rung_of_this_plan_has_no_words_here() -> None:
    """A plan that lost its ladder (a branch) and foreign timers fall back to their names."""
    record = {"plan": {"ladder": []}}
    assert rung_words(record, "rung:0") == ""
    assert rung_words(record, "verify") == ""
    assert rung_words({"plan": None}, "rung:x") == ""


def test_who_has_it_and_where_it_belongs() -> None:
    """Taken, ordered, branch of, and branches, each with the command to look there."""
    text = told(
        taken_by="demo-oncall", ordered_by="demo-approver", parent="inc-parent2345", branches=("inc-branch2345",)
    )
    assert "has it demo-oncall; automation stands down here" in text
    assert "ordered by demo-approver" in text
    assert "branch of inc-parent2345: andon show inc-parent2345" in text
    assert "a rung's own action: andon show inc-branch2345" in text


def test_what_was_only_asked_shows_what_would_change_and_no_unknown_outcomes() -> None:
    """The figures a person weighs stay figures; nothing has happened yet."""
    asked = StepResult(
        step="1-fail-over", episode=1, outcome="asked", at=NOW, why="the cause may not be its own",
        before='{"behind_bytes":0,"epoch":3,"primary":"a:1"}', after='{"primary":"b:2"}',
    )  # fmt: skip
    text = told(results=(asked,))
    assert "primary a:1 → b:2" in text
    assert "?" not in text
