"""The decision card, and how it closes: read from the same chain that the audit keeps, by the real machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.adapters import codec
from bot.adapters.slack.cards import decision_card
from bot.adapters.slack.cards.decision_card import Extras
from bot.adapters.slack.cards.decision_ending import Ending, ending
from bot.adapters.slack.cards.shapes import Message, Ref, verb_of
from bot.adapters.slack.cards.text import TIMELESS
from bot.core.events import ApprovalNeeded, Event, StepSucceeded
from bot.core.orders import ApprovalVoted, OperatorTook
from bot.core.record import Decision
from bot.engine.explain import body, event_line
from bot.sandbox.slack.limits import problems
from tests.unit.adapters.test_slack_incident_card import words
from tests.unit.core.builders import MINUTE, Floor, alert, fired, plan, step
from tests.unit.core.candidates import terms

NOW = 1_700_000_000_000
CARD: dict[str, Any] = {
    "system": "trading-core", "incident": "inc-1", "severity": "critical", "approval": "dec-1", "digest": "d",
    "policy": "var-breach", "policy_hash": "h" * 64, "policy_changed": False, "action": "risk.reduce_kelly",
    "component": "risk-engine", "risk": "critical", "direction": "lowers", "delivery": "absolute",
    "why": "VaR stays high", "arguments": '{"kelly_fraction":0.1}', "before": '{"kelly_fraction":0.25,"orders":3}',
    "wanted": '{"kelly_fraction":0.1}', "pins": "{}", "guard": "evidence.var > 1.8", "guard_untold": False,
    "verify": "evidence.var < 1.6", "findings": {"risk.var_pattern": "rising"},
    "readings": [{"name": "var", "value": 2.41, "taken_at": NOW - 12_000, "source": "redis", "error": ""}],
    "votes": [{"by": "demo-approver", "at": NOW - 1_000}], "quorum": 2, "missing": 1, "may_still_vote": ["demo-second"],
    "requesters": ["demo-oncall"], "break_glass": "demo-cro", "asked_at": NOW - 60_000, "expires_at": NOW + 300_000,
    "silence": "nothing is sent and cro is paged", "by_hand": "risk-cli kelly 0.1",
    "you": {"person": None, "not_approve": "", "not_deny": "", "may_break_glass": False},
}  # fmt: skip


def card(extras: Extras | None = None, now: int = NOW, **changes: Any) -> Message:
    return decision_card.render(CARD | changes, extras or Extras(), now)


def test_it_shows_all_that_a_yes_is_bound_to() -> None:
    """What changes, why, on what evidence, who may, who did, and what silence means."""
    shown = words(card(Extras(outcomes=("done, its effect was seen",))))
    for told in (
        "DECIDE · risk.reduce_kelly on risk-engine · critical", "kelly_fraction 0.25 → *0.1*", "VaR stays high",
        "critical, lowers exposure", "asks for a state: sent twice, it is still that state",
        "*demo-approver* said yes at", "1 of 2 still must say yes", "*Who may still say yes*\ndemo-second",
        "Z>: nothing is sent and cro is paged", "*var* = 2.41 (redis), at",
        "(12 s old when written)", "guard `evidence.var &gt; 1.8`: held when this was asked",
        "afterwards it waits for `evidence.var &lt; 1.6`", "done, its effect was seen", "*risk.var_pattern*: rising",
        "asked for by demo-oncall, who may not approve it", "by hand: `risk-cli kelly 0.1`", "*demo-cro* may decide",
    ):  # fmt: skip
        assert told in shown, told
    assert "orders" not in shown


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"before": "{}", "wanted": "{}"}, "*What it changes cannot be read beforehand.*"),
        ({"guard_untold": True}, "*could not be told*"),
        ({"policy_changed": True}, "*changed since the incident opened*"),
        ({"may_still_vote": []}, "*Who may still say yes*\n*nobody*"),
        ({"direction": "raises"}, "RAISES exposure"),
    ],
)
def test_what_should_make_one_think_twice_stands_out(changes: dict[str, Any], told: str) -> None:
    """Blindness, drift and danger are not small print."""
    assert told in words(card(**changes))
    assert told not in words(card())


def test_buttons_are_bound_to_the_question_that_was_shown() -> None:
    """Each carries the approval and its digest; approving is asked once more, with what it changes."""
    row = card(Extras(editable=True, holdable=True)).blocks[-1]["elements"]
    assert [verb_of(button["action_id"]) for button in row] == ["approve", "deny", "edit", "take", "hold"]
    assert {button["value"] for button in row} == {Ref("inc-1", "dec-1", "d").text}
    assert "kelly_fraction 0.25 → *0.1*" in row[0]["confirm"]["text"]["text"]
    assert [verb_of(button["action_id"]) for button in card().blocks[-1]["elements"]] == ["approve", "deny", "take"]


def test_a_chart_is_told_in_words_too() -> None:
    """And a card without one is whole."""
    drawn = card(Extras(chart="F012345678", chart_says="VaR rose from 1.2 to 2.4"))
    (picture,) = [block for block in drawn.blocks if block["type"] == "image"]
    assert picture["alt_text"] == "VaR rose from 1.2 to 2.4"
    assert problems(list(drawn.blocks)) == problems(list(card().blocks)) == []


def test_time_alone_changes_nothing() -> None:
    """The board edits it as people vote, not as time passes."""
    assert card(now=TIMELESS) == card(now=TIMELESS)
    assert card(now=TIMELESS) != card(now=TIMELESS, votes=[], missing=2)


# --- how it closes ---------------------------------------------------------------------------------------------------


class Told(Floor):
    """A floor that keeps the chain of `inc-1` as the engine writes it."""

    def __init__(self) -> None:
        self.chain: list[str] = []
        super().__init__()

    def tell(self, to: str, event: Event) -> Decision:
        verdict = super().tell(to, event)
        if to == "inc-1":
            self.chain.append(body(self.incident(), self.now, [event_line(codec.event_text(event), verdict)], []))
        return verdict


def asking() -> tuple[Told, str]:
    """An incident that waits for two people, and what the board kept of the question."""
    floor = Told()
    floor.tell("inc-1", fired(alert(), plan(step(automatic=False, risk="critical"))))
    floor.report(floor.runs[-1], ApprovalNeeded, "critical: two must say yes", terms=terms())
    asked = floor.incident().approval
    assert asked is not None
    told = {"approval": asked.id, "digest": asked.terms.digest, "asked_at": floor.now}
    return floor, decision_card.kept(CARD | told)


def vote(floor: Told, by: str, verdict: str = "approve", **changes: Any) -> None:
    asked = floor.incident().approval
    kept = floor.incident().granted
    event = ApprovalVoted(
        id=f"vote/{by}/{len(floor.chain)}", at=floor.now, by=by, verdict=verdict,
        approval=asked.id if asked else kept.id if kept else "", digest=asked.terms.digest if asked else "d",
    )  # type: ignore[arg-type]  # fmt: skip
    floor.tell("inc-1", replace(event, **changes))


def end(floor: Told, kept: str) -> Ending:
    return ending(kept, floor.chain, floor.incident())


def test_enough_yes_is_told_with_everybody_who_said_it_and_what_came_of_it() -> None:
    """First who decided; once the action has come to something, that too, and nothing more after it."""
    floor, kept = asking()
    vote(floor, "demo-approver")
    vote(floor, "demo-other", reason="agreed")
    first = end(floor, kept)
    assert (first.kind, first.words, first.last) == (
        "approved", "risk.reduce_kelly approved by demo-approver, demo-other", False
    )  # fmt: skip
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepSucceeded, "kelly 0.25 -> 0.1")
    final = end(floor, kept)
    assert (final.became, final.last) == ("succeeded: kelly 0.25 -> 0.1", True)
    shown = words(decision_card.closed(kept, final))
    assert "APPROVED · risk.reduce_kelly on risk-engine" in shown
    assert "*demo-approver* said yes at" in shown
    assert "*demo-other* said yes at" in shown
    assert "*It came to*: succeeded: kelly 0.25 -&gt; 0.1" in shown
    assert "It was about: kelly_fraction 0.25 → *0.1*" in shown


def test_no_is_told_with_its_reason_also_after_a_yes() -> None:
    """Deny beats approve, and the card says who and why."""
    floor, kept = asking()
    vote(floor, "demo-approver")
    vote(floor, "demo-other", "deny", reason="flat already")
    found = end(floor, kept)
    assert (found.kind, found.last) == ("denied", True)
    shown = words(decision_card.closed(kept, found))
    assert "DENIED" in shown
    assert "*demo-other* said *no* at" in shown
    assert ": flat already" in shown


def test_silence_is_told_as_silence() -> None:
    """Nobody decided: nothing was sent, and the next people were called."""
    floor, kept = asking()
    vote(floor, "demo-approver")
    floor.wait(60 * MINUTE)
    found = end(floor, kept)
    assert found.kind == "expired"
    assert "Nobody decided in time. Nothing was sent" in words(decision_card.closed(kept, found))


def test_hands_on_voids_the_question() -> None:
    """Somebody has it: the question is no longer asked, and the card says who."""
    floor, kept = asking()
    floor.tell("inc-1", OperatorTook(id="take", at=floor.now, by="demo-oncall"))
    found = end(floor, kept)
    assert (found.kind, found.words) == ("void", "demo-oncall has it")
    assert "NO LONGER ASKED" in words(decision_card.closed(kept, found))


def test_refused_votes_decide_nothing() -> None:
    """A stranger's yes and a second one of the same person are in the chain, and are no votes."""
    floor, kept = asking()
    vote(floor, "demo-approver")
    vote(floor, "demo-approver")
    vote(floor, "demo-stranger", refusal="nobody in people.yaml")
    floor.tell("inc-1", OperatorTook(id="take", at=floor.now, by="demo-oncall"))
    found = end(floor, kept)
    assert found.kind == "void"
    assert [one.by for one in found.votes] == ["demo-approver"]


@pytest.mark.parametrize("chain", [[], ["no json"], ["[]"], ['{"events": 1}'], ['{"events": [1, {"event": 2}]}']])
def test_a_chain_that_tells_nothing_still_ends_the_card(chain: list[str]) -> None:
    """Buttons of a question that is over never stay because something could not be read."""
    for kept in (decision_card.kept(CARD), "{}", "no json"):
        found = ending(kept, chain, None)
        assert found.kind == "void"
        message = decision_card.closed(kept, found)
        assert problems(list(message.blocks)) == []
        assert not [block for block in message.blocks if block["type"] == "actions"]
