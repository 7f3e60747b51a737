"""The account of an incident, from chains that the engine itself wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from bot.adapters.codec import event_text
from bot.core import events as told
from bot.core.alert import Alert
from bot.core.audit import AuditEntry, link
from bot.core.events import (
    AlertFired,
    ApprovalNeeded,
    BranchEnded,
    Event,
    EvidenceObserved,
    IntentDeclared,
    MessageDelivered,
    SlotGranted,
    StepSucceeded,
    TimerFired,
)
from bot.core.incident import AlertState, Incident
from bot.core.orders import ApprovalVoted, OperatorAcked, OperatorHeld, OperatorTook, StepOrdered
from bot.core.plan import Plan, Step
from bot.core.reading import Reading
from bot.core.record import Applied, Decision, Denied
from bot.engine.explain import event_line
from bot.engine.report import attempts_in, branches_of, build
from bot.engine.report_form import Report
from bot.engine.report_words import _EVENTS, event_words, span

T0 = 1_700_000_000_000
MINUTE = 60_000
CUT = Step(
    id="cut", action="risk.reduce_kelly", component="risk-engine", arguments="{}", risk="safe", direction="lowers",
    delivery="absolute", automatic=True,
)  # fmt: skip
PLAN = Plan(
    policy="var-breach", system="trading-core", policy_hash="h1", mode="auto", row="T2", steps=(CUT,),
    runbook="https://runbooks.example/var-breach", mttr_target_ms=3 * MINUTE,
)  # fmt: skip
ALERT = Alert(fingerprint="f", status="firing", labels={"alertname": "VaRBreach", "symbol": "BTC"}, starts_at=T0)


class Chain:
    """An audit chain written as the engine writes it: `add` makes one link."""

    def __init__(self) -> None:
        self.links: list[AuditEntry] = []

    def add(self, at: int, state: str, *events: tuple[Event, Decision], effects: tuple[str, ...] = ()) -> Chain:
        lines = ",".join(event_line(event_text(event), decision) for event, decision in events)
        body = f'{{"at":{at},"effects":[{",".join(effects)}],"events":[{lines}],"state":"{state}"}}'
        previous = self.links[-1].hash if self.links else ""
        self.links.append(link(previous, len(self.links) + 1, body))
        return self

    def report(self, *, now: int = T0 + 60 * MINUTE, plan: Plan = PLAN, **changes: Any) -> Report:
        incident = Incident(id="inc-aaaaaaaaaa", key="k", system="trading-core", plan=plan, opened_at=T0)
        record = replace(incident, **changes)
        return build(record, self.links, version=len(self.links), head=self.links[-1].hash, now=now)


def fires(at: int, why: str, number: int = 1) -> tuple[Event, Decision]:
    return AlertFired(id=f"f{number}", at=at, alert=ALERT, plan=PLAN), Applied(why)


def ack(at: int, by: str = "demo-oncall") -> tuple[Event, Decision]:
    return OperatorAcked(id=f"op-{at}", at=at, by=by), Applied(f"seen by {by}")


def looked(at: int, *readings: Reading) -> tuple[Event, Decision]:
    event = EvidenceObserved(
        id=f"e{at}", at=at, episode=1, purpose="verify", token="t", holds=True, why="var 1.2 < 1.6", readings=readings
    )
    return event, Applied("verified: var 1.2 < 1.6")


def acted(at: int) -> tuple[Event, Decision]:
    event = StepSucceeded(
        id=f"s{at}", at=at, episode=1, step="cut", why="Kelly is 0.1", intent="int-1",
        before='{"kelly_fraction":0.25}', after='{"kelly_fraction":0.1}', arguments='{"kelly_fraction":0.1}',
        readings=(Reading(name="var", value=2.31, taken_at=at - 4_000, source="metrics:var_pct:BTC"),),
    )  # fmt: skip
    return event, Applied("done; verifying")


def test_an_episode_that_was_mitigated_in_time_has_met_its_target() -> None:
    """Times count from the first alert; the target is about mitigation or resolution, whichever came first."""
    chain = Chain().add(T0, "acting", fires(T0, "opened by policy var-breach")).add(T0 + 500, "verifying", acted(T0))
    chain.add(T0 + MINUTE, "verifying", ack(T0 + MINUTE)).add(T0 + 2 * MINUTE, "mitigated", looked(T0 + 2 * MINUTE))
    chain.add(T0 + 5 * MINUTE, "resolved", looked(T0 + 5 * MINUTE)).add(T0 + 35 * MINUTE, "closed")
    (times,) = chain.report().episodes
    assert (times.to_acknowledge, times.to_mitigate, times.to_resolve) == (MINUTE, 2 * MINUTE, 5 * MINUTE)
    assert (times.acknowledged_by, times.to_recover) == ("demo-oncall", 2 * MINUTE)
    assert (times.verdict, times.difference) == ("met", MINUTE)


def test_an_episode_that_took_longer_has_missed_it_by_so_much() -> None:
    """And one that still runs is missed as soon as its time is over, not before."""
    chain = Chain().add(T0, "parked", fires(T0, "opened by policy var-breach"))
    running = chain.report(now=T0 + 2 * MINUTE).episodes[0]
    assert (running.verdict, running.difference, running.to_recover) == ("running", MINUTE, None)
    late = chain.report(now=T0 + 10 * MINUTE).episodes[0]
    assert (late.verdict, late.difference, late.to_recover) == ("missed", 7 * MINUTE, None)
    chain.add(T0 + 4 * MINUTE, "resolved", looked(T0 + 4 * MINUTE))
    over = chain.report().episodes[0]
    assert (over.verdict, over.difference, over.to_recover) == ("missed", MINUTE, 4 * MINUTE)
    assert chain.report(plan=replace(PLAN, mttr_target_ms=0)).episodes[0].verdict == "no target"


def test_each_episode_is_timed_for_itself() -> None:
    """A new episode starts anew; one that was never over before the next began has missed its target."""
    chain = Chain().add(T0, "parked", fires(T0, "opened by policy var-breach"))
    chain.add(T0 + MINUTE, "resolved", looked(T0 + MINUTE))
    chain.add(T0 + 9 * MINUTE, "parked", fires(T0 + 9 * MINUTE, "episode 2 begins", 2))
    chain.add(T0 + 10 * MINUTE, "parked", ack(T0 + 10 * MINUTE, "second-pair"))
    first, second = chain.report(now=T0 + 11 * MINUTE).episodes
    assert (first.number, first.to_resolve, first.verdict, first.acknowledged_by) == (1, MINUTE, "met", "")
    assert (second.number, second.began_at, second.to_acknowledge) == (2, T0 + 9 * MINUTE, MINUTE)
    assert (second.acknowledged_by, second.verdict) == ("second-pair", "running")


def test_an_alert_that_comes_back_inside_the_hold_takes_the_recovery_back() -> None:
    """It was not over after all: the time runs on to the resolve that held."""
    chain = Chain().add(T0, "parked", fires(T0, "opened by policy var-breach"))
    chain.add(T0 + MINUTE, "resolved", looked(T0 + MINUTE))
    chain.add(T0 + 2 * MINUTE, "parked", fires(T0, "fires again inside the hold; joins the episode", 2))
    chain.add(T0 + 8 * MINUTE, "resolved", looked(T0 + 8 * MINUTE))
    (times,) = chain.report().episodes
    assert (times.to_resolve, times.verdict, times.difference) == (8 * MINUTE, "missed", 5 * MINUTE)


def test_an_effect_shows_what_changed_by_which_promise_and_which_attempt() -> None:
    """The attempt is in the chain of the target; a declaration that was refused does not count."""
    chain = Chain().add(T0, "acting", fires(T0, "opened by policy var-breach")).add(T0 + 500, "verifying", acted(T0))

    def declared(attempt: int, incident: str = "inc-aaaaaaaaaa") -> IntentDeclared:
        return IntentDeclared(
            id=f"i{attempt}", at=T0, intent="int-1", incident=incident, episode=1, step="cut",
            action="risk.reduce_kelly", target="target:risk-engine", policy="var-breach", policy_hash="h1",
            arguments="{}", before="{}", direction="lowers", delivery="absolute", fence=1, attempt=attempt, deadline=0,
        )  # fmt: skip

    target = Chain().add(T0, "target", (declared(1), Applied("declared")), (declared(2), Applied("declared")))
    target.add(T0, "target", (declared(3), Denied("frozen")), (declared(9, "inc-bbbbbbbbbb"), Applied("declared")))
    attempts = attempts_in(target.links, "inc-aaaaaaaaaa")
    assert attempts == {"int-1": 2}
    record = Incident(id="inc-aaaaaaaaaa", key="k", system="trading-core", plan=PLAN)
    report = build(record, chain.links, version=2, head=chain.links[-1].hash, now=T0, attempts=attempts)
    (effect,) = report.effects
    assert (effect.action, effect.component, effect.outcome) == ("risk.reduce_kelly", "risk-engine", "done")
    assert (effect.before, effect.after) == ('{"kelly_fraction":0.25}', '{"kelly_fraction":0.1}')
    assert (effect.intent, effect.attempt) == ("int-1", 2)
    assert report.audit_problems == ()


def test_evidence_is_told_with_its_age_when_it_was_used() -> None:
    """Four seconds old when the step ran; what the source does not date has no age."""
    chain = Chain().add(T0 + 500, "verifying", acted(T0))
    chain.add(
        T0 + 900,
        "mitigated",
        looked(T0 + 800, Reading(name="var", value=1.2), Reading(name="x", value=None, error="no answer")),
    )
    read = chain.report().evidence
    assert [(each.name, each.value, each.age_ms, each.error) for each in read] == [
        ("var", 2.31, 4_000, ""),
        ("var", 1.2, None, ""),
        ("x", None, None, "no answer"),
    ]


def test_refused_votes_are_decisions_with_their_reason() -> None:
    """Who said what, what automation decided, and who was refused why."""
    vote = ApprovalVoted(id="v", at=T0, by="quant-a", approval="ap", digest="d", verdict="approve", refusal="no roster")
    granted = SlotGranted(id="g", at=T0, episode=1, step="cut", fence=3, disposition="act", why="armed by quant-a")
    asked = ApprovalNeeded(id="n", at=T0, episode=1, step="cut", why="a halt is risky")
    chain = Chain().add(
        T0,
        "awaiting_approval",
        (granted, Applied("its turn")),
        (asked, Applied("asked")),
        (vote, Denied("quant-a is on no roster for risky steps of trading-core")),
        (replace(vote, id="w", by="risk-b", refusal="", reason="seen the book"), Applied("yes from risk-b: 1 of 1")),
        (OperatorTook(id="t", at=T0, by="risk-b"), Applied("risk-b has it")),
        (OperatorHeld(id="h", at=T0, by="risk-b", for_ms=90_000), Denied("no action would begin within that time")),
        (TimerFired(id="x", at=T0, name="rung:0", token="k"), Applied("paged")),
    )
    told = [(each.who, each.verdict) for each in chain.report().decisions]
    assert told == [
        ("", "act"), ("", "asked"), ("quant-a", "refused"), ("risk-b", "yes"), ("risk-b", "done"), ("risk-b", "refused")
    ]  # fmt: skip
    refused = chain.report().decisions[2]
    assert refused.reason == "quant-a is on no roster for risky steps of trading-core"
    assert "seen the book" in chain.report().decisions[3].what


def test_pages_are_told_with_what_the_pager_said() -> None:
    """A page that went out, and a message that chat did not take."""
    page = '{"dedup":"k","id":"p1","kind":"page_oncall","service":"pm","severity":"critical","summary":"VaR breach"}'
    post = '{"channel":"#ops","id":"m1","kind":"post_message","text":"opened","topic":"opened"}'
    delivered = MessageDelivered(id="p1/delivered", at=T0, channel="pager", reference="r1")
    lost = MessageDelivered(id="m1/delivered", at=T0, channel="chat", reference="", error="channel_not_found")
    chain = Chain().add(T0, "parked", fires(T0, "opened by policy var-breach"), effects=(page, post))
    chain.add(T0 + 900, "parked", (delivered, Applied("told")), (lost, Applied("told")))
    said = [(each.kind, each.to, each.severity, each.taken) for each in chain.report().said]
    assert said == [
        ("page", "pm", "critical", "the pager took it"),
        ("message", "#ops", "", "the chat did not take it: channel_not_found"),
    ]


def test_an_order_is_an_episode_of_its_own() -> None:
    """What a person orders opens an incident; what its parent's people have seen counts as seen."""
    ordered = StepOrdered(
        id="o", at=T0, key="k", plan=PLAN, severity="critical", by="risk-b", reason="drill", parent=""
    )
    chain = Chain().add(T0, "acting", (ordered, Applied("risk.reduce_kelly ordered by risk-b: drill")))
    report = chain.report(ordered_by="risk-b")
    assert (report.episodes[0].began_at, report.ordered_by) == (T0, "risk-b")
    assert report.decisions[0].who == "risk-b"
    assert "orders risk.reduce_kelly: drill" in report.decisions[0].what


def test_branches_of_earlier_episodes_are_found_in_the_chain() -> None:
    """The record knows this episode's; those before told how they ended."""
    ended = BranchEnded(
        id="b", at=T0, branch="inc-branchone1", episode=1, step="rung1-x", outcome="succeeded", why="ok"
    )
    chain = Chain().add(T0, "parked", (ended, Applied("told")))
    record = Incident(id="inc-aaaaaaaaaa", key="k", system="s", branches=("inc-branchtwo2", "inc-branchone1"))
    assert branches_of(record, chain.links) == ("inc-branchtwo2", "inc-branchone1")


def test_a_chain_that_does_not_hold_says_so_and_is_told_as_far_as_it_can_be_read() -> None:
    """A mangled link hides neither the others nor itself."""
    chain = Chain().add(T0, "parked", fires(T0, "opened by policy var-breach")).add(T0 + 1, "parked", ack(T0 + 1))
    chain.links[0] = replace(chain.links[0], body='{"at": "yesterday"}')
    report = chain.report()
    assert any("entry 1 was edited" in problem for problem in report.audit_problems)
    assert report.timeline[0].what == "unreadable entry"
    assert report.timeline[1].who == "demo-oncall"


def test_an_event_nobody_has_words_for_is_told_by_its_name() -> None:
    """Chains outlive versions."""
    assert event_words({"kind": "moon_rose", "by": "x"}) == "moon rose"
    assert event_words({}) == "something unreadable"


def test_every_event_has_words() -> None:
    """A new kind of event gets its phrase with it; and every phrase survives an event without any field."""
    kinds = {
        member.__dataclass_fields__["kind"].default
        for alias in (told.IncidentEvent, told.TargetEvent, told.SourceEvent)
        for member in get_args(alias)
    }
    assert kinds - set(_EVENTS) <= {
        "slot_requested",
        "slot_released",
        "verification_ended",
    }  # machines among themselves
    for kind in kinds:
        assert event_words({"kind": kind})


def test_alerts_are_told_as_they_stand() -> None:
    """Firing, dismissed by a person, or resolved."""
    chain = Chain().add(T0, "parked", fires(T0, "opened by policy var-breach"))
    states = {
        name: AlertState(alert=replace(ALERT, fingerprint=name), firing=firing, changed_at=T0, dismissed=dismissed)
        for name, firing, dismissed in (("a", True, False), ("b", True, True), ("c", False, False))
    }
    assert [each.state for each in chain.report(alerts=states).alerts] == ["firing", "dismissed", "resolved"]


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (0, "0 ms"),
        (950, "950 ms"),
        (1_000, "1 s"),
        (12_400, "12.4 s"),
        (185_000, "3 min 5 s"),
        (7_440_000, "2 h 4 min"),
        (86_400_000, "1 d"),
    ],
)
def test_durations_are_said_as_people_say_them(duration: int, words: str) -> None:
    """One unit, or two."""
    assert span(duration) == words
