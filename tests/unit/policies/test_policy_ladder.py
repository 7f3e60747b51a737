"""Rungs that call, say and act; and the plan of what a person orders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from bot.core.plan import Page, Plan, Rung
from policies import planning
from policies.loader import Loaded
from policies.planning import Setting
from policies.problems import UnclearError
from remediations.catalogue import CATALOGUE

Load = Callable[..., Loaded]

HEAD = """system: trading-core
labels: [symbol]
policies:
  - name: p
    match: ['alertname="A"']
    mode: auto
    evidence: {x: {promql: up}}
    healthy: evidence.x > 0
"""


def ladder_of(load_text: Load, ladder: str, tail: str = "") -> tuple[Rung, ...]:
    loaded = load_text(f"{HEAD}    ladder: [{ladder}]\n{tail}")
    assert [str(p) for p in loaded.problems] == []
    assert loaded.book is not None
    plan = loaded.book.current("trading-core", "p")
    assert plan is not None
    return plan.ladder


def test_a_rung_calls_says_or_acts(load_text: Load) -> None:
    """Each of the three alone, and its step named by its number in the ladder."""
    first, second, third = ladder_of(
        load_text,
        "{after: 2m, page: {service: pm, severity: error}, until: mitigated}, {after: 3m, notify: '#quant'}, "
        "{after: 5m, run: trading.halt, with: {reason: late}, guard: evidence.x > 1, on_no_evidence: act, "
        "approve_within: 1m, until: resolved}",
    )
    assert first == Rung(after_ms=120_000, page=Page(service="pm", severity="error"), until="mitigated")
    assert second == Rung(after_ms=180_000, notify="#quant")
    assert (third.page, third.notify, third.until) == (None, "", "resolved")
    step = third.step
    assert step is not None
    assert (step.id, step.component, step.arguments) == ("rung3-trading.halt", "risk-engine", '{"reason":"late"}')
    assert (step.guard, step.on_no_evidence, step.approve_within_ms) == ("evidence.x > 1", "act", 60_000)
    assert (step.risk, step.automatic) == ("risky", False)


def test_a_signature_counts_for_a_rung_too(load_text: Load) -> None:
    """The runbook's last escalation may be signed for like any step."""
    signed = "pre_authorised:\n  - {action: trading.halt, policy: p, reason: r, by: demo-oncall, "
    signed += "until: 2027-01-01T00:00:00Z}\n"
    (rung,) = ladder_of(load_text, "{after: 5m, run: trading.halt}", signed)
    assert rung.step is not None
    assert (rung.step.automatic, rung.step.automatic_until) == (True, 1_798_761_600_000)


def test_break_glass_and_waits_are_in_the_step(load_text: Load) -> None:
    """Who may decide alone, and how long a decision waits."""
    people = "people: [{id: a}, {id: b}]\nrosters:\n  approvers: [{risk: risky, people: [a, b]}]\n"
    people += "  break_glass: [{system: trading-core, people: [b]}]\n"
    text = HEAD + "    plan: [{action: trading.halt, break_glass: b, approve_within: 2m}, {action: trading.halt}]\n"
    loaded = load_text(text, people=people)
    assert loaded.problems == ()
    assert loaded.book is not None
    plan = loaded.book.current("trading-core", "p")
    assert plan is not None
    assert [(s.break_glass, s.approve_within_ms) for s in plan.steps] == [("b", 120_000), ("", 300_000)]


@pytest.mark.parametrize(
    ("rung", "path", "message"),
    [
        ("{after: 5m, run: trading.halt, component: redis}", "component", "no component 'redis' with role risk"),
        ("{after: 5m, run: trading.halt, with: {reson: x}}", "with.reson", "has no argument 'reson'"),
        ("{after: 5m, run: trading.halt, guard: evidence.y > 1}", "guard", "evidence.y is not declared"),
        ("{after: 5m, run: trading.halt, on_no_evidence: act}", "on_no_evidence", "no guard to do without"),
        ("{after: 5m, run: trading.close_all, risk: risky}", "risk", "raise a risk, not lower it"),
        ("{after: 5m, run: trading.halt, approve_within: 2d}", "approve_within", "nobody decides within 2d"),
        ("{after: 5m, page: {service: a}, with: {reason: x}}", "with", "this rung runs none"),
        ("{after: 5m}", "", "this rung does nothing"),
    ],
)  # fmt: skip
def test_a_rungs_step_is_judged_like_any_other(load_text: Load, rung: str, path: str, message: str) -> None:
    """Everything it names must exist; the path names the rung."""
    (problem,) = load_text(f"{HEAD}    ladder: [{rung}]\n").problems
    assert problem.path == f"policies[0].ladder[0].{path}".rstrip(".")
    assert message in problem.message


def order(
    load_text: Load, action: str, arguments: Mapping[str, object], component: str = "", system: str = "trading-core"
) -> Plan:
    loaded = load_text(HEAD)
    setting = replace(Setting.of(CATALOGUE, loaded.targets, loaded.people, None), system=system)
    return planning.order(action, component, arguments, setting)  # type: ignore[arg-type]  # wrong types are the point


def test_an_order_is_a_plan_of_one_step(load_text: Load) -> None:
    """In mode suggest, so that only people's yes lets it run; named by what it does."""
    plan = order(load_text, "risk.reduce_kelly", {"kelly_fraction": 0.1, "reason": "by hand"})
    (step,) = plan.steps
    assert (plan.policy, plan.mode, plan.severity, plan.ladder) == ("order", "suggest", "warning", ())
    assert (step.id, step.component, step.automatic_until) == ("1-risk.reduce_kelly", "risk-engine", None)
    assert json.loads(step.arguments) == {"kelly_fraction": 0.1, "reason": "by hand"}
    assert plan == order(load_text, "risk.reduce_kelly", {"reason": "by hand", "kelly_fraction": 0.1})
    assert plan.policy_hash != order(load_text, "risk.reduce_kelly", {"kelly_fraction": 0.2, "reason": "x"}).policy_hash


HALT, KELLY = "trading.halt", "risk.reduce_kelly"


@pytest.mark.parametrize(
    ("action", "arguments", "place", "message", "fix"),
    [
        ("risk.reduce_kely", {}, {}, "no action named 'risk.reduce_kely'", "risk.reduce_kelly?"),
        (HALT, {"reason": "x"}, {"component": "redis"}, "no component 'redis' with role", "risk-engine"),
        (HALT, {}, {}, "trading.halt needs the argument 'reason'", "add reason: Kept by"),
        (HALT, {"reason": "x", "now": 1}, {}, "trading.halt has no argument 'now'", "known: reason"),
        (HALT, {"reason": "${labels.symbol}"}, {}, "no alert to fill", "write the value"),
        (HALT, {"reason": "x"}, {"system": "trading-cor"}, "no system 'trading-cor'", "it has: trading-core"),
        (KELLY, {"kelly_fraction": 7, "reason": "x"}, {}, "kelly_fraction: input should be less", "Ceiling"),
        (KELLY, {"kelly_fraction": float("nan"), "reason": "x"}, {}, "is not finite", "write a number"),
        ("http.call", {"path": "/x"}, {}, "acts on the component", "add component: NAME"),
    ],
)
def test_an_order_that_is_unclear_says_why(
    load_text: Load, action: str, arguments: dict[str, object], place: dict[str, str], message: str, fix: str
) -> None:
    """One sentence and what to type instead; never a traceback."""
    with pytest.raises(UnclearError) as found:
        order(load_text, action, arguments, **place)
    assert message in found.value.message
    assert fix in found.value.fix
