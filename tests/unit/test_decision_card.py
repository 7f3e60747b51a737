"""The decision card and its list, as text: what a tired person must be told, whatever the API's answer holds."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, RenderableType

from bot import console_decision
from bot.console import incidents

NOW = 1_700_000_000_000
CARD: dict[str, Any] = {
    "system": "trading-core", "incident": "inc-abcdefghij", "severity": "critical", "approval": "dec-1",
    "digest": "d", "policy": "var-breach", "policy_hash": "h" * 64, "policy_changed": False, "action": "trading.halt",
    "component": "", "risk": "critical", "direction": "lowers", "delivery": "absolute", "why": "VaR stays high",
    "arguments": "{}", "before": '{"trading":true,"orders":3}', "wanted": '{"trading":false}', "pins": "{}",
    "guard": "evidence.var > 1.8", "guard_untold": False, "verify": "", "readings": [], "findings": {},
    "votes": [{"by": "demo-approver", "at": NOW - 1_000}], "quorum": 2, "missing": 1, "may_still_vote": ["demo-second"],
    "requesters": [], "break_glass": "", "asked_at": NOW - 60_000, "expires_at": NOW + 90_000,
    "silence": "nothing is sent and cro is paged", "by_hand": "",
    "you": {"person": "demo-second", "not_approve": "", "not_deny": "", "may_break_glass": False},
}  # fmt: skip


def drawn(shown: RenderableType) -> str:
    """The renderable on a wide terminal, with single spaces."""
    screen = Console(width=200, file=io.StringIO(), record=True)
    screen.print(shown)
    return " ".join(screen.export_text().split())


def card(**changes: Any) -> str:
    return drawn(console_decision.card(CARD | changes, NOW))


def test_votes_say_who_did_and_who_still_may() -> None:
    """One of two said yes; with nobody left to ask, that is said too."""
    text = card()
    assert "demo-approver said yes at 22:13:19Z; 1 of 2 still must say yes; demo-second may" in text
    assert "still must say yes; nobody may" in card(may_still_vote=[])


def test_only_what_is_wanted_otherwise_is_a_change() -> None:
    """Other fields of the state are no news; a state that nobody could read is."""
    assert "trading true → false" in card()
    assert "orders" not in card()
    assert "cannot be read beforehand" in card(before="{}", wanted="{}")


def test_a_guard_that_could_not_be_told_stands_out() -> None:
    """Nobody takes blindness for health."""
    assert "evidence.var > 1.8 held when asked" in card()
    assert "evidence.var > 1.8 could not be told" in card(guard_untold=True)


def test_evidence_has_its_age_or_its_reason() -> None:
    """A figure is as old as it is; a reading that failed says why."""
    readings = [
        {"name": "var", "value": 2.5, "taken_at": NOW - 7_000, "source": "redis", "error": ""},
        {"name": "book", "value": None, "taken_at": None, "source": "", "error": "no answer in time"},
    ]
    text = card(readings=readings)
    assert "var = 2.5 (redis), 7 s old" in text
    assert "book: no answer in time" in text


def test_what_a_diagnosis_found_stands_beside_the_evidence() -> None:
    """Cause and fix are read before a yes, as one harmless line whatever stands in them."""
    found = "the last 60 switches took 3 s; likely cause: bad routing rule threshold; suggested fix: \x1b[2Jupdate"
    text = card(findings={"router.switch_pattern": found})
    assert "router.switch_pattern: the last 60 switches took 3 s; likely cause: bad routing rule threshold" in text
    assert "\x1b" not in text


def test_time_that_is_over_is_said() -> None:
    """A card looked at too late does not count below zero."""
    assert "1 min 30 s left" in card()
    assert "which is over" in card(expires_at=NOW - 1)
    assert "over" in drawn(console_decision.waiting({"now": NOW, "waiting": [CARD | {"expires_at": NOW - 1}]}))


def test_you_are_told_what_you_may_do() -> None:
    """Approve; or why not, and whether you may deny or break the glass."""
    assert "demo-second, and you may approve" in card()
    you = {"person": "demo-oncall", "not_approve": "you asked for it", "not_deny": "", "may_break_glass": True}
    text = card(you=you, break_glass="demo-oncall")
    assert "you may not approve: you asked for it; you may deny; you may break the glass" in text
    assert "--break-glass --reason" in text
    assert "--break-glass" not in card()


def test_words_from_outside_stay_words() -> None:
    """Markup and control characters in any field are shown as such."""
    text = card(why="[red]x[/] \x1b[2J", action="\x07halt", silence="[b]")
    assert "[red]x[/] \\x1b[2J" in text
    assert "\\x07halt" in text
    assert "\x1b" not in text


def test_the_list_of_incidents_says_that_a_decision_is_needed() -> None:
    """Until when, before the reason; and who has an incident that was taken."""
    line = {
        "id": "inc-abcdefghij", "opened_at": NOW, "status": "awaiting_approval", "severity": "critical", "system": "s",
        "policy": "p", "firing": 1, "why": "VaR", "decide_by": NOW + 30_000, "taken_by": "",
    }  # fmt: skip
    text = drawn(incidents({"now": NOW, "incidents": [line]}))
    assert "needs a decision until 2023-11-14 22:13:50Z, 30 s left: VaR" in text
    taken = line | {"decide_by": None, "taken_by": "demo-oncall", "status": "parked"}
    assert "demo-oncall has it: VaR" in drawn(incidents({"now": NOW, "incidents": [taken]}))
