"""The Home tab and the answers to `/andon`, rendered: within Slack's limits, nothing live from outside."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from bot.adapters.http_services import Check
from bot.adapters.slack.cards import answers, home
from bot.adapters.slack.cards.overview import Overview, SystemNow
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.pages import modals
from bot.core.alert import Alert
from bot.core.approval import PendingApproval, Terms
from bot.core.incident import AlertState, Incident, StepResult
from bot.core.intents import Budget
from bot.core.plan import Page, Plan, Rung, Step
from bot.core.record import Applied, Denied, Ignored, Timer
from bot.core.target import Armed, Doubt, Freeze, Lease, Target
from bot.core.words import SYSTEM_TARGET
from bot.engine.report_form import AlertSeen, DecisionTaken, EffectMade, EpisodeTimes, Moment, Report
from bot.sandbox.slack.limits import problems
from policies.people import PeopleDocument

NOW = 1_700_000_000_000
HOSTILE = (
    "<!channel> <@U12345> <https://evil.example|ok> @here *b* _i_ `c` :tada: & > \x1b[2J\n" + "x" * 300 + "😀" * 90
)
STEP = Step(
    id="1-halt", action="trading.halt", component="risk-engine", arguments="{}", risk="risky", direction="lowers",
    delivery="absolute", automatic=False,
)  # fmt: skip
PLAN = Plan(
    policy="var-breach", system="trading-core", policy_hash="a" * 64, mode="auto", steps=(STEP,),
    runbook="https://runbooks.example/var",
    ladder=(Rung(after_ms=120_000, page=Page(service="cro", severity="critical"), step=STEP, until="resolved"),),
)  # fmt: skip
PEOPLE = PeopleDocument.model_validate(
    {
        "people": [{"id": "demo-oncall"}, {"id": "demo-guest", "roles": ["viewer"]}],
        "contacts": [
            {"service": "cro", "people": ["demo-oncall"], "how": "the red phone"},
            {"service": "pm", "how": "#pm"},
        ],
    }
)
# A token that only we may write: a date. Anything else between angle brackets came from outside, and is live.
DATE = re.compile(r"<!date\^\d+\^[^|<>]*\|[^<>]*>")


def incident(number: int, words: str, **changes: Any) -> Incident:
    """One that fires, with these words wherever words from outside go."""
    alert = Alert(fingerprint="f", status="firing", labels={"alertname": words, words[:20]: words}, starts_at=NOW)
    terms = Terms(
        digest="d", pins="{}", wanted="{}", policy_hash="a", current_hash="a", quorum=1, asked_at=NOW,
        expires_at=NOW + 90_000,
    )  # fmt: skip
    return replace(
        Incident(
            id=f"inc-{number:010d}", key="k", system="trading-core", status="acting", why=words, severity="critical",
            plan=PLAN, episode=1, alerts={"f": AlertState(alert=alert, firing=True, changed_at=NOW)},
            results=(StepResult(step="1-halt", episode=1, outcome="unknown", at=NOW - 5_000, why=words),),
            findings={words[:30]: words}, timers={"rung:0": Timer(due=NOW + 60_000, token="t")},
            opened_at=NOW - 600_000, acknowledged_by=words[:50],
            approval=PendingApproval(id="dec", step="1-halt", why=words, arguments="{}", before="{}", terms=terms),
        ),
        **changes,
    )  # fmt: skip


def card(words: str, *, may: bool = True) -> dict[str, Any]:
    """A decision as `http_cards` tells it."""
    no = "" if may else words
    return {
        "incident": "inc-0000000001", "approval": "dec-1", "digest": "d" * 64, "system": "trading-core",
        "policy": words[:60], "action": "trading.halt", "component": words[:60], "risk": "risky",
        "direction": "lowers", "why": words, "before": json.dumps({"trading": True, words[:40]: words}),
        "wanted": json.dumps({"trading": False, words[:40]: words + "!"}), "may_still_vote": [words[:40]],
        "missing": 1, "quorum": 1, "expires_at": NOW + 90_000, "silence": words,
        "you": {"person": "demo-oncall", "not_approve": no, "not_deny": no, "may_break_glass": False},
    }  # fmt: skip


def overview(words: str = "VaR stays high", *, count: int = 2, person: str = "demo-oncall", **changes: Any) -> Overview:
    """Everything at once: incidents, decisions, freezes, leases, an unwell check."""
    lease = Lease(incident="inc-1", since=NOW, until=NOW + 60_000, for_ms=60_000)
    own = Target(
        id=SYSTEM_TARGET, system="trading-core", freeze=Freeze(by=words[:40], reason=words, since=NOW - 1_000),
        armed={"var-breach": Armed(by="demo-oncall", at=NOW)}, recent=(NOW - 1_000_000, NOW - 1_000, NOW - 500),
    )  # fmt: skip
    component = Target(id="target:risk-engine", system="trading-core", leases={"risk.reduce_kelly": lease})
    system = SystemNow(
        name="trading-core", open=tuple(incident(n, words) for n in range(count)),
        targets={SYSTEM_TARGET: own, "target:risk-engine": component}, inbox=3, outbox=0,
    )  # fmt: skip
    view = Overview(
        now=NOW, person=person, replica="twin", people=PEOPLE, budget=Budget(), plans=(PLAN,),
        checks=(Check("store", ok=False, detail=words), Check("loop", ok=True, detail="fine")),
        systems=(system, SystemNow(name="unrouted")), decisions=tuple(card(words) for _ in range(count)),
    )  # fmt: skip
    return replace(view, **changes)


def a_report(words: str) -> Report:
    """An account with these words wherever words go."""
    return Report(
        incident="inc-1", system="trading-core", policy=words[:60], policy_hash="h", row="T2", mode="auto",
        runbook=words, severity="critical", status="closed", why=words, group={}, opened_at=NOW - 600_000,
        closed_at=NOW, told_at=NOW, archived=False, parent="", ordered_by="", taken_by="",
        episodes=(
            EpisodeTimes(
                number=1, began_at=NOW - 600_000, acknowledged_by="demo-oncall", to_acknowledge=5_000,
                to_mitigate=90_000, to_resolve=None, to_recover=90_000, target=180_000, verdict="met",
                difference=90_000,
            ),
        ),
        alerts=(
            AlertSeen(
                name=words, labels={}, annotations={}, source="", state="resolved", starts_at=NOW, changed_at=NOW
            ),
        ),
        untracked_alerts=0,
        decisions=(DecisionTaken(at=NOW, who=words[:40], what=words, verdict="yes", reason=words),) * 30,
        evidence=(),
        effects=tuple(
            EffectMade(
                at=NOW, episode=1, step="s", action=words[:40], component="c", outcome="done", why=words,
                arguments="{}", before="{}", after="{}", intent="i", attempt=1,
            )
            for _ in range(30)
        ),
        branches=(), said=(),
        timeline=tuple(Moment(at=NOW, kind="alert_fired", who="", what=words, why=words) for _ in range(200)),
        audit_links=9, audit_head="h" * 64, audit_problems=(words,) if words == HOSTILE else (),
    )  # fmt: skip


def every_answer(words: str) -> list[Message]:
    """Each answer there is."""
    view = overview(words, count=40)
    one = incident(1, words)
    return [
        answers.status(view),
        answers.incidents(view),
        answers.incidents(view, words[:40]),
        answers.show(one, card(words), NOW),
        answers.show(replace(one, status="closed", plan=None, approval=None), None, NOW, archived=True),
        answers.oncall(view),
        answers.oncall(view, "cro"),
        answers.oncall(view, words[:40]),
        answers.report(a_report(words)),
        answers.handoff(view, NOW - 43_200_000, [incident(n, words) for n in range(80)], [words] * 40),
        answers.outcomes(words, [("trading-core", "inc-1", Applied(words)), ("*", "target:x", Ignored(words))] * 40),
        answers.wrong(words, words),
        answers.help_page([(words, words)] * 40, foot=words),
    ]


def test_an_incident_is_shown_with_what_changed_and_what_comes_next() -> None:
    """Also what is no rung of the ladder, and that nothing comes but a person."""
    done = StepResult(
        step="1-halt", episode=1, outcome="succeeded", at=NOW, why="done", before='{"kelly": 0.25}',
        after='{"kelly": 0.1}',
    )  # fmt: skip
    timers = {"verify": Timer(due=NOW + 60_000, token="t"), "verify:again": Timer(due=NOW + 1_000, token="t")}
    waits = incident(1, "VaR stays high", results=(done,), timers=timers, approval=None)
    told = json.dumps(answers.show(waits, None, NOW).blocks, ensure_ascii=False)
    assert "kelly 0.25 → *0.1*" in told
    assert "again every few seconds: read the evidence again" in told
    assert "Z>: give up on verification" in told
    parked = json.dumps(answers.show(replace(waits, timers={}), None, NOW).blocks)
    assert "nothing: it waits for a person" in parked


def test_every_answer_is_within_slacks_limits() -> None:
    """An answer that Slack refuses is no answer at all, whatever stands in an alert."""
    for words in ("VaR stays high", HOSTILE, "&" * 900, "😀" * 900):
        for number, shown in enumerate(every_answer(words)):
            assert problems(shown.blocks) == [], (number, words[:5])
            assert 0 < len(shown.text) <= 4_000


def test_the_home_tab_is_within_slacks_limits() -> None:
    """In a storm too: a hundred blocks at most, 250 kB at most."""
    for words in ("VaR stays high", HOSTILE, "&" * 900, "é" * 3_000):
        for count in (0, 1, 60):
            for person in ("demo-oncall", "demo-guest", ""):
                shown = home.render(overview(words, count=count, person=person))
                assert problems(shown) == []
                assert len(json.dumps(shown)) <= 250_000  # as the SDK sends it: more than Slack may count
    assert problems(home.stranger("you are nobody in people.yaml")) == []


def test_nothing_from_outside_is_live() -> None:
    """No label, reason or name mentions, links or pings: what stands between angle brackets is a date of ours."""
    drawn = [json.dumps(each.blocks) + each.text for each in every_answer(HOSTILE)]
    drawn.append(json.dumps(home.render(overview(HOSTILE, count=20))))
    assert sum("&lt;!channel&gt;" in text for text in drawn) > len(drawn) // 2
    for text in drawn:
        assert re.findall(r"<[!@#h][^>]*>", DATE.sub("", text)) == []


def test_home_says_what_is_left_and_what_is_frozen() -> None:
    """Two of three actions lie inside the window; the reserve is told; the freeze names its hand and its reason."""
    text = json.dumps(home.render(overview()), ensure_ascii=False)
    assert "8 of 10 automatic actions left in 10m, 3 of them only for what lowers exposure" in text
    assert "automation is *frozen*" in text
    assert "*frozen* trading-core by VaR stays high" in text
    assert "*store is not well*: VaR stays high" in text
    assert "*var-breach*  acts, armed by demo-oncall" in text
    assert "rung 1: page cro (critical), run trading.halt, unless resolved" in text
    assert "*cro*  demo-oncall, within 15m · by hand: the red phone" in text
    assert "*pm*" not in text  # somebody else's
    assert "2 decisions wait for somebody" in text


def buttons(shown: object) -> list[dict[str, Any]]:
    """Every button in what is shown."""
    if isinstance(shown, dict):
        own = [shown] if shown.get("type") == "button" else []
        return own + [found for value in shown.values() for found in buttons(value)]
    return [found for each in shown for found in buttons(each)] if isinstance(shown, list | tuple) else []


def test_home_offers_only_what_the_person_may_do() -> None:
    """An operator acts, a viewer and a stranger look; who may not decide reads why instead of a button."""
    mine = buttons(home.render(overview()))
    assert {each["action_id"].split(":")[1] for each in mine} == {
        "refresh", "freeze", "run", "approve", "deny", "take", "hold", "escalate", "resolve", "unfreeze",
    }  # fmt: skip
    assert len({each["action_id"] for each in mine}) == len(mine)
    (approve, *_) = [each for each in mine if each["action_id"].startswith("andon:approve")]
    assert approve["value"] == f"inc-0000000001|dec-1|{'d' * 64}"
    assert "trading true → *false*" in approve["confirm"]["text"]["text"]
    barred = overview(person="demo-guest", decisions=(card("it is not for you", may=False),))
    assert [each["action_id"] for each in buttons(home.render(barred))] == ["andon:refresh:home"]
    assert "you may not decide this: it is not for you" in json.dumps(home.render(barred))


def test_breaking_the_glass_has_a_button_of_its_own() -> None:
    """Whoever may not approve with others, but may alone, is not offered the plain yes."""
    alone = card("why", may=False)
    alone["you"] |= {"may_break_glass": True}
    first, *_ = buttons(home.render(overview(decisions=(alone,)))["blocks"][5:])
    assert (first["text"]["text"], first["style"]) == ("Approve alone …", "danger")
    assert "confirm" not in first  # a form asks for the reason


def test_an_answer_over_the_home_tab_is_a_modal() -> None:
    """Where no message can be shown, the same blocks stand in a window that Slack takes."""
    for shown in every_answer(HOSTILE):
        assert problems(modals.answer(shown)) == []


def test_home_of_a_quiet_floor_is_short() -> None:
    """Nothing open, nothing frozen: that is said, in a few lines."""
    view = overview(count=0, systems=(SystemNow(name="trading-core"),), decisions=(), checks=())
    shown = home.render(view)
    assert shown["blocks"][0]["text"]["text"] == "All is quiet"
    assert len(shown["blocks"]) <= 10
    assert "10 of 10 automatic actions left" in json.dumps(shown)


def test_what_waits_for_a_decision_comes_first() -> None:
    """Then the gravest, then the newest."""
    quiet = {"approval": None}
    old, grave = incident(1, "w", **quiet, severity="warning"), incident(2, "w", **quiet, opened_at=NOW - 9)
    graver, asked = incident(3, "w", **quiet, opened_at=NOW - 5), incident(4, "w", severity="info")
    view = overview(systems=(SystemNow(name="trading-core", open=(old, grave, graver, asked)),))
    assert [each.id[-1] for each in view.incidents] == ["4", "3", "2", "1"]


def test_an_order_that_was_refused_everywhere_says_so() -> None:
    """Done is only what was done; "nothing changed" and "no" have their reasons."""
    done = answers.outcomes("freeze", [("a", SYSTEM_TARGET, Applied("frozen")), ("b", "target:x", Denied("never"))])
    assert done.text == "Done: freeze"
    assert "a: frozen" in json.dumps(done.blocks)
    assert "b x: *no*, never" in json.dumps(done.blocks)
    assert answers.outcomes("approve", [("a", "inc-1", Denied("too late"))]).text == "Refused: approve"
    assert "nothing changed, a copy" in json.dumps(answers.outcomes("x", [("a", "i", Ignored("a copy"))]).blocks)


def test_a_report_of_a_broken_audit_says_so_first() -> None:
    """Whoever reads times and deeds learns that the record was touched."""
    assert "the audit of 9 links holds" in json.dumps(answers.report(a_report("fine")).blocks)
    assert "*the audit does not hold*" in json.dumps(answers.report(a_report(HOSTILE)).blocks)
    text = json.dumps(answers.report(a_report("fine")).blocks)
    assert "acknowledged after 5 s, mitigated after 1 min 30 s, not resolved yet, target 3 min *met*" in text
    assert "180 earlier moments are left out" in text


def test_a_handoff_tells_who_changed_what_may_act() -> None:
    """Armed and disarmed within the shift is told with the hand that did it; what is older is not."""
    old, new = Armed(by="demo-second", at=NOW - 50_000_000), Armed(by="demo-oncall", at=NOW - 1_000)
    own = Target(id=SYSTEM_TARGET, system="trading-core", armed={"a": old, "b": new}, disarmed={"c": new})
    view = overview(systems=(SystemNow(name="trading-core", targets={SYSTEM_TARGET: own}),))
    told = json.dumps(answers.handoff(view, NOW - 43_200_000, ()).blocks)
    assert "*b* armed by demo-oncall" in told
    assert "*c* disarmed by demo-oncall" in told
    assert "*a* armed" not in told


def test_a_store_that_forgot_is_told_with_its_reason() -> None:
    """Nothing is sent then, and whoever looks must learn why."""
    doubts = {"replica-1": Doubt(since=NOW, why="42 writes are gone")}
    own = Target(id=SYSTEM_TARGET, system="trading-core", doubts=doubts)
    view = overview(systems=(SystemNow(name="trading-core", targets={SYSTEM_TARGET: own}),))
    assert "*sends nothing*" in json.dumps(answers.status(view).blocks)
    assert "replica-1 found that 42 writes are gone" in json.dumps(answers.status(view).blocks)


def test_help_tells_one_verb_or_all() -> None:
    """`/andon help freeze` is about freezing."""
    verbs = [("freeze SYSTEM --for 1h", "automation off"), ("ack INCIDENT", "I have seen it")]
    assert "`/andon freeze SYSTEM --for 1h`  automation off" in json.dumps(answers.help_page(verbs).blocks)
    only = json.dumps(answers.help_page(verbs, topic="ack").blocks)
    assert "I have seen it" in only
    assert "automation off" not in only
