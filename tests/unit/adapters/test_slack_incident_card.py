"""The incident card: what a tired person must read on it, whatever state the incident is in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.adapters.slack.cards import incident_card
from bot.adapters.slack.cards.incident_card import CardView
from bot.adapters.slack.cards.shapes import Message, Ref, verb_of
from bot.adapters.slack.cards.text import TIMELESS
from bot.core.incident import Incident
from bot.core.plan import Plan
from bot.core.reading import Reading
from bot.engine import outlook
from tests.unit.core.builders import MINUTE, START, alert, opened, parked, plan, rung, step, verifying

LADDER = (rung(2 * MINUTE, "pm", "mitigated"), replace(rung(5 * MINUTE, "cro", "resolved"), step=step("halt")))
PLAN: Plan = plan(row="T2", runbook="https://runbooks.example/var-breach", ladder=LADDER, mttr_target_ms=3 * MINUTE)
ACTING = verifying(PLAN).incident()


def card(incident: Incident, now: int = START, **changes: Any) -> Message:
    return incident_card.render(CardView(incident=incident, shard="trading-core", **changes), now)


def words(message: Message) -> str:
    """All that is shown, top to bottom."""
    return "\n".join(_words(message.blocks))


def _words(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["text"]] if isinstance(part.get("text"), str) else []
        return own + [found for value in part.values() for found in _words(value)]
    return [found for each in part for found in _words(each)] if isinstance(part, list | tuple) else []


def verbs(message: Message) -> list[str]:
    """What its buttons do."""
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return [verb_of(button["action_id"]) for row in rows for button in row if "url" not in button]


def test_it_says_what_fires_what_was_done_and_what_comes_next_and_when() -> None:
    """Everything between the alert and the next rung, without another page to open."""
    reading = Reading(name="var", value=1.93, taken_at=START - 3_000, source="metrics:var_pct:BTC")
    shown = words(card(ACTING, readings=(reading,)))
    for told in (
        "watching the effect · var-breach · trading-core", "*VaRBreach* firing since <!date^1700000000^", "instance=a",
        "*var* = 1.93 (metrics:var_pct:BTC)",
        "runs only if `evidence.var &gt; 1.8`, then waits for `evidence.var &lt; 1.6`",
        "*risk.reduce_kelly* ✓ done: kelly 0.25 -&gt; 0.1",
        "^{time_secs} ({ago})|2023-11-14 22:15:20Z>: rung 1: page pm (critical), ",
        "run risk.reduce_kelly if evidence.var &gt; 1.8, unless resolved", "*To be mitigated*", "row T2",
        "*nobody yet*",
        "again every few seconds: read the evidence again",
    ):  # fmt: skip
        assert told in shown, told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"acknowledged_by": "demo-oncall", "acknowledged_at": START},
            "*demo-oncall* has seen it at <!date^1700000000^",
        ),
        ({"taken_by": "demo-oncall"}, "*demo-oncall*; automation stands down here"),
        ({"frozen": True}, "Automation is *frozen*"),
        ({"doubt": "it failed before"}, "Goes on only with a person's yes: it failed before"),
        ({"untracked": 7}, "and 7 more"),
        ({"paged": {"pm": "key"}}, "*Paged*\npm"),
        ({"ordered_by": "demo-oncall"}, "ordered by demo-oncall"),
        ({"parent": "inc-0"}, "begun by inc-0"),
        ({"timers": {}}, "*nothing: it waits for a person*"),
        ({"held_until": START + MINUTE}, "the ladder's own actions are held until <!date^1700000060^"),
    ],
)
def test_what_changes_who_must_do_what_is_said(changes: dict[str, Any], told: str) -> None:
    """Each of these changes what a person would do next."""
    assert told in words(card(replace(ACTING, **changes)))
    assert told not in words(card(ACTING))


def test_the_state_is_told_in_words_and_in_the_notification() -> None:
    """A mark only repeats it: without colours, or in a list of notifications, nothing is lost."""
    waiting = parked(PLAN).incident()
    message = card(waiting)
    assert "NEEDS A PERSON" in words(message)
    assert message.text.startswith("🟣 NEEDS A PERSON: var-breach on trading-core, critical. ")
    assert "in a person's hands" in words(card(replace(waiting, taken_by="demo-oncall")))
    asked = replace(ACTING, status="awaiting_approval")
    assert "NEEDS A DECISION" in words(card(asked))
    assert "<https://slack.example/p1|The question waits for your answer>" in words(
        card(asked, decision="https://slack.example/p1")
    )


def test_buttons_are_those_that_still_do_something() -> None:
    """No button to hold what nobody plans, or to end what is over; and each names its incident."""
    assert verbs(card(ACTING)) == ["take", "ack", "hold", "escalate", "resolve", "show"]
    seen = replace(ACTING, acknowledged_by="demo-oncall", taken_by="demo-oncall", timers={})
    assert verbs(card(seen)) == ["escalate", "resolve", "show"]
    for over in ("resolved", "closed"):
        assert verbs(card(replace(ACTING, status=over))) == ["show"]  # type: ignore[arg-type]  # two of the statuses
    values = [b["value"] for b in card(ACTING).blocks[-1]["elements"] if "url" not in b]
    assert set(values) == {Ref("inc-1").text}


def test_addresses_are_those_of_the_configuration() -> None:
    """A label that looks like an address stays words; a runbook that is no web address makes no button."""
    lured = opened(replace(PLAN, runbook="file:///etc/passwd"))
    lured.fire(replace(alert("b", dashboard="https://evil.example"), generator_url="https://evil.example"))
    blocks = card(lured.incident(), dashboard="https://grafana.example/d/1").blocks
    assert "runbook: `file:///etc/passwd`" in words(Message("", blocks))
    urls = [element["url"] for element in blocks[-1]["elements"] if "url" in element]
    assert urls == ["https://grafana.example/d/1"]
    assert "<https://evil" not in words(Message("", blocks))


def test_two_renderings_without_a_clock_differ_only_with_the_record() -> None:
    """The board edits a card only when this differs; looks that are repeated every few seconds are no news."""
    reading = Reading(name="var", value=1.93, taken_at=START - 3_000)
    assert card(ACTING, START + 1_000, readings=(reading,)) != card(ACTING, START + 61_000, readings=(reading,))
    later = replace(ACTING, timers={**ACTING.timers, "verify:again": ACTING.timers["verify"]}, counter=99)
    assert card(ACTING, TIMELESS) == card(later, TIMELESS)
    assert card(ACTING, TIMELESS) != card(replace(ACTING, acknowledged_by="demo-oncall"), TIMELESS)


def test_an_alert_that_is_over_says_since_when_it_is_over() -> None:
    """When it began is no news then; and what its annotations tell to do is told."""
    (state,) = ACTING.alerts.values()
    said = {"summary": "VaR is high", "fix": "Look at the book", "value": "2.41", "threshold": "1.8"}
    told = replace(state, alert=replace(state.alert, annotations=said))
    shown = words(card(replace(ACTING, alerts={"a": told})))
    assert "value 2.41, threshold 1.8\nVaR is high\nLook at the book" in shown
    over = replace(told, firing=False, changed_at=START + MINUTE)
    assert "*VaRBreach* over since <!date^1700000060^" in words(card(replace(ACTING, alerts={"a": over})))
    dismissed = replace(told, dismissed=True, changed_at=START + MINUTE)
    assert "*VaRBreach* dismissed since <!date^1700000060^" in words(card(replace(ACTING, alerts={"a": dismissed})))


def test_an_incident_without_a_plan_has_a_card() -> None:
    """What is on the board is shown, however little is known of it."""
    bare = Incident(id="inc-9", key="k", system="unrouted", status="parked", why="no policy matched")
    assert "no policy · trading-core" in words(card(bare))


def test_the_outlook_names_the_next_rung_and_what_happens_all_the_time() -> None:
    """Soonest first; what happens again and again has no time of its own."""
    told = outlook.coming(ACTING)
    assert [each.timer for each in told] == ["verify:again", "verify", "rung:0", "rung:1"]
    assert told[0].due is None
    following = outlook.next_rung(ACTING)
    assert following is not None
    assert following.words == "rung 1: page pm (critical), unless mitigated"
    assert outlook.next_rung(replace(ACTING, timers={})) is None
    assert outlook.rung_of(PLAN, "rung:7") == ""
    assert outlook.timer_words("rung:7") == "climb to rung 8 of the ladder"
