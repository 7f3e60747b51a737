"""Plans: everything resolved and pinned, and law 4 decides what may ever run by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.core.plan import Plan, Step
from policies.loader import Loaded

Load = Callable[..., Loaded]

HEAD = "system: trading-core\nlabels: [symbol]\npolicies:\n"
VAR = """  - name: var-breach
    match: ['alertname="VaRBreach"']
    mode: auto
    evidence:
      var: {redis_hash: "metrics:var_pct:${labels.symbol}", field: value, at_field: timestamp, over: alerts, take: max}
    plan:
      - action: risk.reduce_kelly
        with: {kelly_fraction: 0.1, reason: "VaR breach on ${labels.symbol}"}
        guard: evidence.var > 1.8
        verify: {until: evidence.var < 1.6, within: 90s}
"""


def plan_of(loaded: Loaded, policy: str = "var-breach") -> Plan:
    assert [str(p) for p in loaded.problems] == []
    assert loaded.book is not None
    plan = loaded.book.current("trading-core", policy)
    assert plan is not None
    return plan


def step_of(load_text: Load, action: str, extra: str = "", signed: str = "", **files: object) -> Step:
    match = """['alertname="A"']"""
    text = f"{HEAD}  - name: p\n    match: {match}\n    mode: auto\n    plan: [{{action: {action}{extra}}}]\n"
    if signed:
        text += f"pre_authorised:\n  - {{action: {action}, policy: p, reason: the runbook orders it, {signed}}}\n"
    return plan_of(load_text(text, **files), "p").steps[0]


def test_a_plan_is_resolved_and_pinned(load_text: Load) -> None:
    """Role to component, reading to store, durations to milliseconds, health from the last verification."""
    plan = plan_of(load_text(HEAD + VAR))
    (step,) = plan.steps
    assert (step.id, step.component, step.automatic) == ("1-risk.reduce_kelly", "risk-engine", True)
    assert step.arguments == '{"kelly_fraction":0.1,"reason":"VaR breach on ${labels.symbol}"}'
    assert step.verify is not None
    assert step.verify.within_ms == 90_000
    assert plan.evidence["var"].component == "redis"
    assert plan.healthy == "evidence.var < 1.6"


@pytest.mark.parametrize(
    ("action", "automatic"),
    [
        ("notify", True),
        ("cache.flush", True),
        ("trading.halt", False),
        ("trading.close_all", False),
        ("risk.restore_kelly", False),
        ("trading.warm_up", False),
    ],
)
def test_risk_and_direction_decide_what_runs_by_itself(load_text: Load, action: str, automatic: bool) -> None:
    """Safe and not raising runs; risky, critical and everything that raises exposure asks."""
    assert step_of(load_text, action).automatic is automatic


def test_a_policy_can_raise_a_risk(load_text: Load) -> None:
    """What is safe elsewhere may need an approver here."""
    step = step_of(load_text, "cache.flush", ", risk: risky")
    assert (step.risk, step.automatic) == ("risky", False)


SIGNED = "by: demo-oncall, until: 2026-06-01T00:00:00Z"


def test_a_signature_lets_a_risky_action_run_until_it_ends(load_text: Load) -> None:
    """A person of people.yaml took responsibility; the step carries whose, why and how long."""
    step = step_of(load_text, "trading.halt", signed=SIGNED)
    assert step.automatic is True
    assert step.automatic_until == 1_780_272_000_000
    assert step.authority == "pre-authorised by demo-oncall until 2026-06-01T00:00:00Z: the runbook orders it"


@pytest.mark.parametrize(
    ("signed", "now"),
    [
        ('by: "", until: ""', 1_767_225_600_000),
        ("by: demo-oncall", 1_767_225_600_000),
        ("until: 2026-06-01T00:00:00Z", 1_767_225_600_000),
        (SIGNED, 1_780_272_000_000),
        (SIGNED, None),
    ],
)
def test_an_unfinished_or_ended_signature_asks_and_is_listed(load_text: Load, signed: str, now: int | None) -> None:
    """Unsigned, half signed, over, or nobody knows what time it is: a person is asked, and the check says so."""
    assert step_of(load_text, "trading.halt", signed=signed, now=now).automatic is False
    text = HEAD + "  - {name: p, match: ['alertname=\"A\"'], plan: [{action: trading.halt}]}\npre_authorised:\n"
    loaded = load_text(text + f"  - {{action: trading.halt, policy: p, reason: r, {signed}}}\n", now=now)
    (waiting,) = loaded.waiting_for_signature
    assert (waiting.policy, waiting.action, waiting.line) == ("p", "trading.halt", 6)


def test_what_raises_exposure_cannot_be_signed_away(load_text: Load) -> None:
    """Law 4: restoring is never automatic."""
    text = HEAD + "  - {name: p, match: ['alertname=\"A\"'], plan: [{action: risk.restore_kelly}]}\npre_authorised:\n"
    loaded = load_text(text + f"  - {{action: risk.restore_kelly, policy: p, reason: r, {SIGNED}}}\n")
    assert "raises exposure, which is never automatic" in str(loaded.problems[0])


def test_the_hash_changes_with_the_policy_and_with_what_it_resolves_to(load_text: Load) -> None:
    """A pinned plan is recognised by content: text, component, risk — and comments do not count."""
    original = plan_of(load_text(HEAD + VAR)).policy_hash
    assert plan_of(load_text(HEAD + VAR + "# a comment\n")).policy_hash == original
    assert plan_of(load_text(HEAD + VAR.replace("0.1", "0.2"))).policy_hash != original
    assert plan_of(load_text(HEAD + VAR.replace("VaRBreach", "VarBreach"))).policy_hash != original
    moved = (HEAD + VAR).replace("field: value,", "field: value, component: cache,")
    assert plan_of(load_text(moved)).policy_hash != original


def test_an_action_for_any_role_needs_its_component_named(load_text: Load) -> None:
    """A plain call says whom it calls."""
    assert step_of(load_text, "http.call", ", component: risk-engine").component == "risk-engine"
    text = HEAD + "  - {name: p, match: ['alertname=\"A\"'], plan: [{action: http.call}]}\n"
    assert "add component: NAME" in str(load_text(text).problems[0])


def test_two_components_of_one_role_must_be_told_apart(load_text: Load) -> None:
    """Andon never picks one of two risk engines."""
    targets = "systems:\n  trading-core:\n    components:\n"
    for name in ("a", "b"):
        targets += f'      - {{name: {name}, role: risk, connector: http, url: "http://127.0.0.1:1"}}\n'
    text = HEAD + "  - {name: p, match: ['alertname=\"A\"'], plan: [{action: trading.halt}]}\n"
    (problem,) = load_text(text, targets=targets).problems
    assert problem.fix == "add component: and one of a, b"
    assert load_text(text.replace("trading.halt}", "trading.halt, component: b}"), targets=targets).problems == ()
