"""Who may decide: rosters, break-glass, and that no step waits for people who do not exist."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from policies.loader import Loaded
from policies.people import PeopleDocument

Load = Callable[..., Loaded]

PEOPLE = "people: [{id: a}, {id: b}, {id: c}]\n"
STEP = "system: trading-core\npolicies:\n  - name: p\n    match: ['alertname=\"A\"']\n"


def people(**rosters: object) -> PeopleDocument:
    return PeopleDocument.model_validate({"people": [{"id": x} for x in "abc"], "rosters": rosters})


def test_a_roster_counts_for_its_risk_and_every_lesser_one() -> None:
    """Whoever may approve what is critical may approve what is risky; the other way round nobody may."""
    document = people(approvers=[
        {"system": "s", "risk": "risky", "people": ["a"]}, {"system": "*", "risk": "critical", "people": ["b", "a"]},
        {"system": "other", "risk": "critical", "people": ["c"]},
    ])  # fmt: skip
    assert document.approvers("s", "safe") == ("a", "b")
    assert document.approvers("s", "risky") == ("a", "b")
    assert document.approvers("s", "critical") == ("b", "a")
    assert document.approvers("third", "critical") == ("b", "a")
    assert document.approvers("other", "read") == ("b", "a", "c")


def test_who_is_no_longer_among_the_people_approves_nothing() -> None:
    """A roster that still names somebody who left gives them no say."""
    document = people(approvers=[{"risk": "risky", "people": ["gone", "a"]}], break_glass=[{"people": ["gone", "b"]}])
    assert document.approvers("s", "risky") == ("a",)
    assert (document.may_break_glass("s", "b"), document.may_break_glass("s", "gone")) == (True, False)
    assert document.may_break_glass("s", "a") is False


def test_break_glass_is_for_the_system_it_names() -> None:
    """Acting alone on one system is no licence for another."""
    document = people(break_glass=[{"system": "s", "people": ["a"]}])
    assert (document.may_break_glass("s", "a"), document.may_break_glass("t", "a")) == (True, False)


@pytest.mark.parametrize(
    ("policy", "rosters", "wrong"),
    [
        ("    mode: auto\n    plan: [{action: cache.flush}]", "", False),
        ("    mode: suggest\n    plan: [{action: cache.flush}]", "", True),
        ("    mode: shadow\n    plan: [{action: trading.close_all}]", "", False),
        ("    mode: auto\n    plan: [{action: trading.halt}]", "", True),
        ("    mode: auto\n    plan: [{action: trading.halt}]", "{risk: safe, people: [a]}", True),
        ("    mode: auto\n    plan: [{action: trading.halt}]", "{risk: risky, people: [a]}", False),
        ("    mode: auto\n    plan: [{action: trading.halt}]", "{system: unrouted, risk: risky, people: [a]}", True),
        ("    mode: auto\n    plan: [{action: trading.close_all}]", "{risk: critical, people: [a]}", True),
        ("    mode: auto\n    plan: [{action: trading.close_all}]", "{risk: critical, people: [a, b]}", False),
        ("    mode: auto\n    plan: [{action: cache.flush, risk: critical}]", "{risk: risky, people: [a, b]}", True),
        ("    mode: auto\n    plan: [{action: trading.warm_up}]", "", True),
        ("    mode: auto\n    ladder: [{after: 5m, run: trading.halt}]", "", True),
        ("    mode: auto\n    ladder: [{after: 5m, run: cache.flush}]", "", False),
    ],
)
def test_what_will_ask_needs_somebody_to_ask(load_text: Load, policy: str, rosters: str, wrong: bool) -> None:
    """Enough eligible people for the quorum, for every step of plan and ladder that law 4 makes ask."""
    text = PEOPLE + (f"rosters: {{approvers: [{rosters}]}}\n" if rosters else "")
    targets_also = {"people": text}
    problems = [p for p in load_text(STEP + policy + "\n", **targets_also).problems if p.source == "p.yaml"]
    assert ["may approve it" in p.message for p in problems] == [True] * wrong
    assert all(p.line == 6 and "people.yaml: {system: trading-core" in p.fix for p in problems)


@pytest.mark.parametrize(
    ("action", "rosters", "wrong"),
    [
        ("trading.halt", "{system: trading-core, risk: risky, slack_groups: [S0123456789]}", False),
        ("trading.close_all", "{risk: critical, slack_groups: [S0123456789]}", False),
        ("trading.close_all", "{risk: critical, people: [a], slack_groups: [S0123456789]}", False),
        ("trading.close_all", "{risk: critical, people: [a]}, {system: s, risk: critical, slack_groups: [S01]}", True),
        ("trading.halt", "{risk: safe, slack_groups: [S0123456789]}", True),
        ("trading.close_all", "{risk: critical, people: [a]}, {risk: risky, slack_groups: [S01]}", True),
        ("trading.halt", "{system: unrouted, risk: risky, slack_groups: [S0123456789]}", True),
        ("trading.halt", "{risk: risky, slack_groups: []}", True),
    ],
)  # fmt: skip
def test_a_user_group_may_be_whoever_is_needed(load_text: Load, action: str, rosters: str, wrong: bool) -> None:
    """Who is in it is known while Andon runs; a group for another system, or for less, helps nobody."""
    text = f"{STEP}    mode: auto\n    plan: [{{action: {action}}}]\n"
    loaded = load_text(text, people=f"{PEOPLE}rosters: {{approvers: [{rosters}]}}\n")
    assert ["may approve it" in p.message for p in loaded.problems if p.source == "p.yaml"] == [True] * wrong


SLACK = "slack: {mode: socket, credentials: env:A, app_credentials: env:B, channel: '#ops'}\n"


@pytest.mark.parametrize(("slack", "wrong"), [("", True), ("slack: {channel: '#ops'}\n", True), (SLACK, False)])
def test_a_roster_of_user_groups_needs_slack(load_text: Load, slack: str, wrong: bool) -> None:
    """Without it nobody reads who is in them, so the roster would be shorter than it looks."""
    rosters = (
        "rosters:\n  approvers:\n    - {risk: risky, people: [a]}\n    - {risk: critical, slack_groups: [S01, S02]}\n"
    )
    loaded = load_text(STEP, people=PEOPLE + rosters, andon=f"systems: [trading-core]\n{slack}")
    told = [(p.source, p.line, p.path, p.message) for p in loaded.problems]
    message = "without slack: in andon.yaml nobody is in S01, S02"
    assert told == [("people.yaml", 5, "rosters.approvers[1].slack_groups", message)] * wrong


def test_user_groups_are_believed_where_no_andon_file_is_read(load_text: Load) -> None:
    """`andon check people.yaml` alone cannot know."""
    rosters = "rosters: {approvers: [{risk: critical, slack_groups: [S01]}]}\n"
    assert load_text(STEP, people=PEOPLE + rosters).problems == ()


def test_a_signature_does_not_replace_the_people_it_will_need_one_day(load_text: Load) -> None:
    """Otherwise the configuration would stop loading on the day the signature ends."""
    text = STEP + "    mode: auto\n    plan: [{action: trading.halt}]\npre_authorised:\n"
    text += "  - {action: trading.halt, policy: p, reason: r, by: a, until: 2027-01-01T00:00:00Z}\n"
    (problem,) = load_text(text, people=PEOPLE).problems
    assert "nobody may approve it" in problem.message


def test_pages_are_checked_only_once_contacts_are_listed(load_text: Load) -> None:
    """Who keeps the contacts in the pager need not repeat them; who lists some lists them all."""
    text = STEP + "    ladder: [{after: 1m, page: {service: pm}}]\ncatch_all: {page: {service: desk}}\n"
    assert load_text(text).problems == ()
    contacts = "contacts: [{service: trading-oncall, how: phone}, {service: pm, how: phone}]\n"
    (problem,) = load_text(text, people=PEOPLE + contacts).problems
    assert (problem.path, problem.message) == (
        "catch_all.page.service", "service 'desk' has no contact in people.yaml",
    )  # fmt: skip


def test_the_files_own_oncall_needs_a_contact_too(load_text: Load) -> None:
    """It is paged whenever a plan needs a person."""
    contacts = "contacts: [{service: trading-oncall, how: phone}]\n"
    (problem,) = load_text(STEP + "oncall: {service: night-desk}\n", people=PEOPLE + contacts).problems
    assert (problem.line, problem.path) == (5, "oncall.service")


def test_a_system_that_is_no_name_is_one_problem(load_text: Load) -> None:
    """Not one for each thing that could have stood there."""
    for system in ("Trading Core", "5", "'**'"):
        (problem,) = load_text(
            STEP, people=f"{PEOPLE}rosters: {{approvers: [{{system: {system}, risk: risky}}]}}\n"
        ).problems
        assert (problem.line, problem.path) == (2, "rosters.approvers[0].system")
