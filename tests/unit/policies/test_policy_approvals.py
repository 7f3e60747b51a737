"""Law 5 as pure rules: what a yes is bound to, who may say it, and when it no longer counts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot.core.approval import Approval, Terms, Vote
from bot.core.plan import Plan, Step
from policies import approvals
from policies.approvals import Asked
from policies.guardrails import Allow, Ask
from policies.people import PeopleDocument

PEOPLE = {
    "people": [{"id": name} for name in ("demo-oncall", "demo-approver", "demo-second", "demo-third", "demo-chief")],
    "rosters": {
        "approvers": [
            {"system": "trading-core", "risk": "risky", "people": ["demo-approver", "demo-third"]},
            {"system": "*", "risk": "critical", "people": ["demo-approver", "demo-second"]},
        ],
        "break_glass": [{"system": "trading-core", "people": ["demo-chief"]}],
    },
}
STEP = Step(
    id="1-trading.halt", action="trading.halt", component="risk-engine", arguments='{"reason":"VaR"}', risk="critical",
    direction="lowers", delivery="absolute", automatic=False, guard="evidence.var > 1.8", break_glass="demo-chief",
)  # fmt: skip
PLAN = Plan(policy="var-breach", system="trading-core", policy_hash="hash-1", mode="auto", steps=(STEP,))
NOW = 1_000_000


def people(**changes: object) -> PeopleDocument:
    return PeopleDocument.model_validate({**PEOPLE, **changes})


def asked(**changes: object) -> Asked:
    usual = Asked(
        system="trading-core", incident="inc-1", episode=1, plan=PLAN, step=STEP, current=PLAN,
        arguments=STEP.arguments, arguments_current=STEP.arguments, pins='{"trading":"on"}', now=NOW,
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]  # the fields are Asked's own


def terms(of: Asked | None = None) -> Terms:
    return approvals.terms(of or asked(), people(), wanted='{"trading":"off"}', by_hand="curl")


def approved(*by: str, given: Terms | None = None, glass: bool = False) -> Approval:
    votes = tuple(Vote(by=name, at=NOW, verdict="approve", reason="because", break_glass=glass) for name in by)
    return Approval(id="dec-1", terms=given or terms(), votes=votes)


TWO = ("demo-approver", "demo-second")


def test_terms_name_quorum_time_and_people() -> None:
    """Critical needs two within the step's time; who asked for it is not among those who may."""
    made = terms(asked(requesters=("demo-second",)))
    assert (made.quorum, made.expires_at, made.eligible) == (2, NOW + STEP.approve_within_ms, ("demo-approver",))


def test_a_yes_counts_for_exactly_what_was_shown() -> None:
    """Nothing changed, both still may: it may be sent, and the audit says on whose word."""
    assert approvals.redeem(approved(*TWO), asked(), people()) == Allow("approved by demo-approver, demo-second")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pins": '{"trading":"off"}'}, "trading was on and is off"),
        ({"arguments": '{"reason":"b"}', "arguments_current": '{"reason":"b"}'}, "its arguments have changed"),
        ({"arguments_current": '{"reason":"b"}'}, "now gives trading.halt other arguments"),
        ({"current": replace(PLAN, mode="shadow")}, "only watches now"),
        ({"current": replace(PLAN, policy_hash="hash-2")}, "var-breach was changed since this was approved"),
        ({"current": replace(PLAN, policy_hash="hash-2", steps=())}, "no longer has trading.halt"),
        ({"current": None}, "no longer among the policies"),
        ({"now": NOW + 300_001}, "ran out"),
        ({"blind": True}, "the evidence could be told when this was approved, and cannot now"),
        ({"requesters": ("demo-second",)}, "brought this about"),
    ],
)
def test_what_has_changed_voids_it(changes: dict[str, object], words: str) -> None:
    """Drift in a pin, in the arguments, in the policy, in time: people are asked again, and told what changed."""
    verdict = approvals.redeem(approved(*TWO), asked(**changes), people())
    assert isinstance(verdict, Ask)
    assert words in verdict.reason


def test_who_left_the_roster_no_longer_counts() -> None:
    """Eligible at the click and at execution."""
    left = people(rosters={"approvers": [{"system": "*", "risk": "critical", "people": ["demo-approver"]}]})
    verdict = approvals.redeem(approved(*TWO), asked(), left)
    assert isinstance(verdict, Ask)
    assert "since it was approved, demo-second may not decide" in verdict.reason


def test_one_person_is_one_however_often_they_said_yes() -> None:
    """A quorum is of distinct people."""
    assert approvals.redeem(approved("demo-approver", "demo-approver"), asked(), people()) == Ask(
        "1 of 2 people have said yes"
    )


def test_broken_glass_counts_alone_for_its_one_person_only() -> None:
    """The policy names the person, the roster confirms it, and the reason is typed."""
    assert isinstance(approvals.redeem(approved("demo-chief", glass=True), asked(), people()), Allow)
    assert isinstance(approvals.redeem(approved("demo-second", glass=True), asked(), people()), Ask)
    empty = people(rosters={"approvers": [], "break_glass": []})
    assert isinstance(approvals.redeem(approved("demo-chief", glass=True), asked(), empty), Ask)


@pytest.mark.parametrize(
    ("person", "options", "words"),
    [
        ("demo-approver", {}, ""),
        ("demo-stranger", {}, "nobody in people.yaml"),
        ("demo-third", {}, "may not decide on critical steps of trading-core; demo-approver, demo-second may"),
        ("demo-chief", {"break_glass": True, "reason": "both away"}, ""),
        ("demo-chief", {"break_glass": True}, "needs a typed reason"),
        ("demo-second", {"break_glass": True, "reason": "x"}, "lets demo-chief break the glass"),
    ],
)
def test_who_may_decide(person: str, options: dict[str, object], words: str) -> None:
    """Every refusal is one sentence that says who may instead."""
    why = approvals.refusal(people(), "trading-core", STEP, person, (), **options)  # type: ignore[arg-type]
    assert words in why
    assert bool(why) == bool(words)


def test_nobody_approves_what_they_asked_for_but_may_take_it_back() -> None:
    """The requester may deny."""
    who = ("demo-approver",)
    assert "brought this about" in approvals.refusal(people(), "trading-core", STEP, "demo-approver", who)
    assert approvals.refusal(people(), "trading-core", STEP, "demo-approver", who, deny=True) == ""


def test_a_risky_order_carries_its_eligible_orderers_yes_and_a_critical_one_never() -> None:
    """A risky command typed by an eligible person carries that person's approval; a critical one needs two others."""
    risky = replace(STEP, risk="risky")
    assert isinstance(approvals.carried(people(), "trading-core", risky, "demo-third"), Allow)
    assert isinstance(approvals.carried(people(), "trading-core", risky, "demo-oncall"), Ask)
    assert isinstance(approvals.carried(people(), "trading-core", STEP, "demo-approver"), Ask)


def test_only_pinned_fields_bind() -> None:
    """Other evidence is guarded again, not pinned; an action without pins binds all it reads."""
    state = json.dumps({"primary": "a", "epoch": 4, "lag": 17})
    assert approvals.pinned(state, ("primary", "epoch")) == '{"epoch":4,"primary":"a"}'
    assert json.loads(approvals.pinned(state, ())) == json.loads(state)
