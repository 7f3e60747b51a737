"""The thread and the digest: what is said once, what is not repeated, and what does not fit is said next time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from bot.adapters.slack.board import digest, timeline
from bot.adapters.slack.board.shelf import Line
from bot.adapters.slack.board.sights import Brief, StormSight
from bot.adapters.slack.cards.phrases import MAX_FIRES, what_fires
from bot.core.alert import Alert
from bot.core.effects import Topic
from bot.core.incident import AlertState, Incident
from tests.unit.adapters.test_slack_incident_card import words

NOW = 1_700_000_000_000
INCIDENT = Incident(
    id="inc-1", key="k", system="trading-core", status="acting", severity="warning", episode=1, opened_at=NOW,
    findings={"old": "known"},
)  # fmt: skip


def told(**changes: Any) -> str:
    """What is said when an incident changes like this."""
    old, new = timeline.facts(INCIDENT), timeline.facts(replace(INCIDENT, **changes))
    return "\n".join(timeline.told(old, new))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"severity": "critical"}, "*Severity*: warning → *critical*"),
        ({"acknowledged_by": "demo-oncall", "acknowledged_at": NOW}, "*Seen* by *demo-oncall* at <!date^1700000000^"),
        ({"paged": {"pm": "key"}}, "*Paged* *pm*"),
        ({"paged": {"pm/2": "key"}}, "*Paged* *pm*"),
        ({"frozen": True}, "*Frozen*: automation is off"),
        ({"held_until": NOW + 60_000}, "*Held*: the ladder's own actions wait until <!date^1700000060^"),
        ({"findings": {"old": "known", "risk.var_pattern": "<!here>"}}, "*Found* by risk.var_pattern: &lt;!here&gt;"),
        ({"status": "verifying"}, "*Watching* whether the action has its effect"),
        ({"status": "closed"}, "*Closed*"),
    ],
)
def test_what_no_line_tells_is_told_once(changes: dict[str, Any], said: str) -> None:
    """Each of these is in the record and in no message of the engine's."""
    assert said in told(**changes)
    assert told(**changes).count("\n") == 0


def test_what_was_told_is_not_told_again() -> None:
    """Neither what stays as it is, nor what the engine says itself; and a first look tells nothing."""
    assert told() == ""
    assert told(taken_by="demo-oncall", why="something else", status="parked", counter=7) == ""
    assert timeline.told("{}", timeline.facts(INCIDENT)) == ()


def test_pages_that_are_taken_back_are_told() -> None:
    """Whoever was woken may read that it is over."""
    paged = timeline.facts(replace(INCIDENT, paged={"pm": "k", "cro": "k"}))
    (line,) = timeline.told(paged, timeline.facts(INCIDENT))
    assert "*Pages taken back*: cro, pm" in line


def test_a_new_episode_is_told_anew() -> None:
    """The same person who sees it again has seen it again."""
    seen = replace(INCIDENT, acknowledged_by="demo-oncall", acknowledged_at=NOW)
    again = replace(seen, episode=2)
    lines = timeline.told(timeline.facts(seen), timeline.facts(again))
    assert any("*Seen* by *demo-oncall*" in line for line in lines)


def test_every_topic_has_its_word() -> None:
    """A kind of message that the engine learns to say is not said without one."""
    assert set(timeline.TOPICS) == set(get_args(Topic))
    line = Line(id="1", shard="s", incident="inc-1", channel="", topic="acted", text="a <b> & `c`", at=NOW)
    assert timeline.line(line).endswith("*Done*: a &lt;b&gt; &amp; ʼcʼ")


@pytest.mark.parametrize("size", [10, 1_000, 2_900])
def test_lines_are_joined_in_order_and_none_is_lost(size: int) -> None:
    """As many as fit go out together; the rest the next time."""
    lines = [f"{number} {'x' * size}" for number in range(90)]
    said: list[str] = []
    while len(said) < len(lines):
        message, used = timeline.thread(lines[len(said) :], "https://slack.example/p1")
        assert used > 0
        assert len(message.text) <= 3_900
        assert [block["text"]["text"] for block in message.blocks[:-1]] == lines[len(said) : len(said) + used]
        said += lines[len(said) : len(said) + used]
    assert said == lines


def brief(number: int, **changes: Any) -> Brief:
    usual = Brief(
        shard="trading-core", incident=f"inc-{number}", version=1, channel="C1", policy="var-breach",
        severity="warning", status="parked", opened_at=NOW + number, ended=False, closed=False, question="",
        look="", question_look="", facts="{}",
    )  # fmt: skip
    return replace(usual, **changes)


def test_the_digest_counts_all_and_names_the_gravest() -> None:
    """A thousand incidents are one message; what waits for a person's answer comes first."""
    members = (
        *(brief(number) for number in range(997)),
        brief(997, severity="critical", policy="redis-latency", what="RedisLatencyHigh host=<!here>"),
        brief(998, question="dec-1", status="awaiting_approval"),
        brief(999, status="resolved", ended=True),
    )
    sight = StormSight(channel="C1", began=NOW, on=True, members=members, carded=("inc-998",))
    message = digest.render(sight, NOW)
    shown = words(message)
    assert message.text == "🔴 STORM: 1000 incidents opened here, 999 still open"
    assert "1 🟣 NEEDS A DECISION\n998 🟣 NEEDS A PERSON\n1 🟢 resolved" in shown
    assert "1 critical\n999 warning" in shown
    assert "999 var-breach\n1 redis-latency" in shown
    assert shown.index("`inc-998`, has a card") < shown.index("`inc-997`") < shown.index("`inc-0`")
    assert "on trading-core: RedisLatencyHigh host=&lt;!here&gt; since" in shown
    assert "and 979 more" in shown


def test_an_incident_in_a_list_is_told_by_what_fires() -> None:
    """Twelve incidents of the catch-all are twelve things, and a flood of labels is cut."""
    now: dict[str, Any] = {"firing": True, "changed_at": NOW}
    labels = {"alertname": "HostDown", "severity": "critical", "system": "s", "host": "a", "job": "x"}
    states = {
        name: AlertState(alert=Alert(fingerprint=name, status="firing", labels=each, starts_at=NOW), **now)
        for name, each in (("f1", labels), ("f2", {**labels, "host": "b"}), ("f3", {"alertname": "Disk"}))
    }
    assert what_fires(replace(INCIDENT, alerts=states)) == "HostDown, Disk host=a"
    flood = Alert(fingerprint="f", status="firing", labels={"alertname": "A", "b": "c" * 500}, starts_at=NOW)
    assert len(what_fires(replace(INCIDENT, alerts={"f": AlertState(alert=flood, **now)}))) == MAX_FIRES
    assert what_fires(replace(INCIDENT, alerts={})) == ""


def test_a_storm_that_is_over_says_so() -> None:
    """And whether anything of it is still open."""
    open_, ended = brief(1), brief(2, ended=True, status="resolved")
    calm = StormSight(channel="C1", began=NOW, on=False, members=(open_, ended))
    assert "Each that is still open gets its own card now." in words(digest.render(calm, NOW))
    assert "None is open any more." in words(digest.render(replace(calm, members=(ended,)), NOW))
