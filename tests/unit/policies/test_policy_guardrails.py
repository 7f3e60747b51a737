"""The last word before sending: what pinned and current policy do not both plainly allow now, asks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.plan import Plan, Step
from policies.guardrails import Allow, Ask, authorise

STEP = Step(
    id="1-risk.reduce_kelly",
    action="risk.reduce_kelly",
    component="risk-engine",
    arguments='{"kelly_fraction":0.1}',
    risk="safe",
    direction="lowers",
    delivery="absolute",
    automatic=True,
)
PLAN = Plan(policy="var-breach", system="trading-core", policy_hash="h", mode="auto", steps=(STEP,))
SIGNED = replace(STEP, risk="risky", automatic_until=2_000, authority="pre-authorised by demo-oncall until x: y")
ARGUMENTS = '{"kelly_fraction":0.1}'


def decide(
    step: Step = STEP, current: Plan | None = PLAN, pinned: Plan = PLAN, now: int = 1_000, **more: object
) -> Allow | Ask:
    given = {"rendered": ARGUMENTS, "rendered_current": ARGUMENTS, "disposition": "act"} | more
    return authorise(pinned, step, current, now=now, **given)  # type: ignore[arg-type]


def holding(step: Step) -> Plan:
    return replace(PLAN, steps=(step,))


def test_the_same_safe_action_in_both_policies_runs() -> None:
    """The ordinary case, with its reason for the audit; spelling of the JSON does not matter."""
    assert decide() == Allow("risk.reduce_kelly is safe and lowers exposure")
    assert isinstance(decide(rendered_current='{ "kelly_fraction": 0.1 }'), Allow)


def test_a_signed_risky_action_runs_until_the_signature_ends() -> None:
    """The signature is the reason while it lasts; one millisecond later a person is asked."""
    current = holding(SIGNED)
    assert decide(SIGNED, current, now=1_999) == Allow("pre-authorised by demo-oncall until x: y")
    assert "has ended" in _reason(decide(SIGNED, current, now=2_000))


@pytest.mark.parametrize(
    ("decision", "reason"),
    [
        (decide(disposition="suggest"), "may only suggest"),
        (decide(disposition="shadow"), "may only watch"),
        (decide(pinned=replace(PLAN, mode="suggest")), "is in mode suggest"),
        (decide(replace(STEP, automatic=False, risk="risky")), "one approver"),
        (decide(replace(STEP, automatic=False, risk="critical")), "two approvers"),
        (decide(replace(STEP, risk="risky")), "nobody signed"),
        (decide(replace(STEP, direction="raises")), "never automatic"),
        (decide(replace(SIGNED, direction="raises")), "never automatic"),
        (decide(current=None), "no longer among the policies"),
        (decide(current=replace(PLAN, mode="shadow")), "is in mode shadow since"),
        (decide(current=replace(PLAN, steps=())), "no longer has risk.reduce_kelly"),
        (decide(current=holding(replace(STEP, component="other"))), "on other"),
        (decide(current=holding(replace(STEP, delivery="once"))), "as once"),
        (decide(current=holding(replace(STEP, automatic=False, risk="risky"))), "must say yes"),
        (decide(rendered_current='{"kelly_fraction":0.2}'), "other arguments"),
        (decide(rendered_current='{"kelly_fraction":true}', rendered='{"kelly_fraction":1}'), "other arguments"),
        (decide(rendered_current=None), "other arguments"),
    ],
)
def test_everything_else_asks_and_says_why(decision: Allow | Ask, reason: str) -> None:
    """Mode, risk, direction, signature, and any difference between the pinned and the current policy."""
    assert reason in _reason(decision)


def _reason(decision: Allow | Ask) -> str:
    assert isinstance(decision, Ask)
    return decision.reason
