"""`/andon …` over the real engine: what is typed is done, answered in words or with a form, refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.adapters.http_errors import Unwelcome
from bot.adapters.http_services import Reloaded
from bot.adapters.slack.board.outcomes import Outcomes
from bot.adapters.slack.heard.person import Tell
from bot.core.alert import Alert
from bot.core.intents import WritesLost
from bot.core.plan import Plan
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.engine.action_ports import Inspection
from bot.testing import MemoryAlertmanager
from policies.people import PeopleDocument
from tests.integration.commands_twin import Slack
from tests.integration.door_twin import ROSTER, SYSTEM, TwinServices
from tests.integration.pending import PLAN, ask, record

CUT = f"run risk.reduce_kelly {SYSTEM}/risk-engine"


class Reloading(TwinServices):
    """Services whose files can be looked at."""

    outcome = Reloaded(ok=True, summary="nothing has changed")

    async def reload(self) -> Reloaded:
        return self.outcome


class Slow(TwinServices):
    """Services whose targets do not answer."""

    async def inspect(self, system: str, plan: Plan) -> Inspection:
        raise TimeoutError


@pytest.fixture
async def slack(tmp_path: Path) -> Slack:
    return Slack(Reloading(), tmp_path)


async def system_target(slack: Slack, system: str = SYSTEM) -> Target:
    found = (await slack.services.store.load(system, [SYSTEM_TARGET]))[SYSTEM_TARGET].record
    assert isinstance(found, Target)
    return found


async def test_a_yes_is_never_typed_but_shown_with_its_button(slack: Slack) -> None:
    """Nobody approves what they have not seen: the button carries exactly the question that was shown."""
    incident = await ask(slack.services)
    asked = (await record(slack.services, incident)).approval
    assert asked is not None
    answer = await slack.type(f"approve {incident[:8]}")
    assert isinstance(answer, Tell)
    assert f"{incident}|{asked.id}|{asked.terms.digest}" in json.dumps(answer.message.blocks)
    assert (await record(slack.services, incident)).status == "awaiting_approval"
    form = await slack.form(f"approve {incident} --break-glass", "demo-second")
    assert form["private_metadata"] == f"{incident}|{asked.id}|{asked.terms.digest}"
    assert "demo-second may break the glass" in await slack.words(f"approve {incident} --break-glass")


async def test_a_typed_approve_shows_how_it_went_before(slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the decision card in the channel does."""

    async def of(_: Outcomes, shard: str, policy: str, besides: str) -> tuple[str, ...]:
        return (f"{shard} {policy}: done, its effect was NOT seen",)

    monkeypatch.setattr(Outcomes, "of", of)
    incident = await ask(slack.services)
    assert f"{SYSTEM} var-breach: done, its effect was NOT seen" in await slack.words(f"approve {incident}")


async def test_a_no_with_a_reason_is_a_no_and_without_one_a_form(slack: Slack) -> None:
    """A no lets nothing happen, so it takes no second look; the vote says which account it came through."""
    incident = await ask(slack.services)
    form = await slack.form(f"deny {incident}")
    assert form["callback_id"] == "andon:deny"
    assert "trading true → false" in json.dumps(form["blocks"], ensure_ascii=False)
    told = await slack.words(f"deny {incident} not while the feed is “stale”")
    assert "trading.halt denied by demo-approver" in told
    assert (await record(slack.services, incident)).status == "parked"
    vote = json.loads((await slack.services.store.audit(SYSTEM, incident))[-1].body)["events"][-1]
    assert (vote["event"]["via"], vote["event"]["reason"]) == ("slack:T1/U1", 'not while the feed is "stale"')
    assert "nothing waits for a decision" in await slack.words(f"approve {incident}")


async def test_orders_about_an_incident_are_done_at_once(slack: Slack) -> None:
    """The first letters of the id will do; the answer is what the machine decided."""
    incident = await ask(slack.services)
    assert "acknowledged by demo-approver" in await slack.words(f"ack {incident[:7]}")
    assert "paged cro" in await slack.words(f"escalate {incident} no idea")
    assert "demo-approver has it" in await slack.words(f"take {incident}")
    assert (await slack.form(f"hold {incident}"))["callback_id"] == "andon:hold"
    assert "resolved by demo-approver" in await slack.words(f"resolve {incident} a bad feed --force")
    after = await record(slack.services, incident)
    assert (after.acknowledged_by, after.taken_by, after.status) == ("demo-approver", "demo-approver", "resolved")
    assert "no incident starts with inc-zzz" in await slack.words("show inc-zzz")


async def test_freezing_reaches_as_far_as_it_is_told_to(slack: Slack) -> None:
    """Everything, a system or a component; what is no system is named, with those there are."""
    assert "automation frozen" in await slack.words("freeze all for 2h a bad release")
    for system in slack.services.shards:
        freeze = (await system_target(slack, system)).freeze
        assert freeze is not None
        assert (freeze.by, freeze.reason, freeze.until) == (
            "demo-approver", "a bad release", slack.services.clock.now() + 7_200_000,
        )  # fmt: skip
    assert "a bad release" in await slack.words("unfreeze")
    page = await slack.form(f"unfreeze {SYSTEM}")
    assert (page["callback_id"], "a bad release" in json.dumps(page)) == ("andon:unfreeze:confirm", True)
    assert (await system_target(slack)).freeze is not None  # shown, not done
    assert "Nothing is frozen there" in await slack.words(f"unfreeze {SYSTEM}/risk-engine")
    assert "has no component 'router'" in await slack.words(f"unfreeze {SYSTEM}/router")
    assert "there are: trading-core, py-rt, unrouted" in await slack.words("unfreeze trading-cor")
    assert "there are: trading-core, py-rt, unrouted" in await slack.words("freeze trading-cor a bad release")
    assert "has no component 'router'" in await slack.words(f"freeze {SYSTEM}/router a bad release")
    form = await slack.form(f"freeze {SYSTEM} 90m")
    assert form["callback_id"] == "andon:freeze"
    initial = [block.get("element", {}).get("initial_option", {}).get("value") for block in form["blocks"]]
    assert [value for value in initial if value] == [f"{SYSTEM}|", "1h30m"]  # what was typed stands in the form


async def test_an_unfreeze_shows_all_that_it_lifts(slack: Slack) -> None:
    """Also a doubt about the store, and a budget that is used up: the same order ends them."""
    now = slack.services.clock.now()
    lost = WritesLost(id="lost", at=now, by="andon-1", why="the store has forgotten 3 commits")
    await slack.services.engine.tell(SYSTEM, SYSTEM_TARGET, lost)
    told = "andon-1 found that the store has forgotten 3 commits"
    assert "trading-core — andon-1 found that the store" in await slack.words("unfreeze")
    assert told in await slack.words("unfreeze all")
    assert "stay frozen" not in await slack.words(f"unfreeze {SYSTEM}")
    await slack.words(f"freeze {SYSTEM}/risk-engine a bad release")
    assert "trading-core / risk-engine" in await slack.words(f"unfreeze {SYSTEM}")  # stays frozen
    page = await slack.words(f"unfreeze {SYSTEM}/risk-engine")
    assert ("a bad release" in page, told in page, "stay frozen" in page) == (True, False, True)


async def test_a_policy_is_disarmed_at_once_and_shown_before_it_is_armed(slack: Slack) -> None:
    """One that does not exist is told, with those that do; one without steps has nothing to arm."""
    assert "No policy has a step" in json.dumps(await slack.form("arm"))
    assert "has no step" in json.dumps(await slack.form("arm var-breach"))
    assert "there are: var-breach" in await slack.words("arm var-breech")
    slack.services.plans = (PLAN,)
    shown = json.dumps(await slack.form(f"arm {SYSTEM}/var-breach"))
    assert "trading.halt on risk-engine" in shown
    assert "only if evidence.var > 1.8" in shown
    assert "Lately there was nothing" in shown
    await ask(slack.services)
    assert (await system_target(slack)).armed["var-breach"].by == "demo-oncall"  # shown, not done
    assert "demo-approver" in await slack.words(f"disarm {SYSTEM}/var-breach")
    assert (await system_target(slack)).armed == {}


async def test_an_action_is_shown_before_it_is_ordered(slack: Slack) -> None:
    """What is missing is asked for in a form; what is wrong is said; nothing is sent by typing."""
    assert (await slack.form("run"))["callback_id"] == "andon:run"
    fields = await slack.form(f"{CUT} kelly_fraction=0.1")
    assert (fields["callback_id"], "0.1" in json.dumps(fields)) == ("andon:run:fields", True)
    shown = await slack.form(f"{CUT} kelly_fraction=0.1 because VaR is high")
    assert shown["callback_id"] == "andon:run:confirm"
    assert json.loads(shown["private_metadata"])["args"] == {"kelly_fraction": 0.1}
    assert "did you mean risk.reduce_kelly?" in await slack.words(f"run risk.reduce_kely {SYSTEM}/risk-engine")
    assert "kelly_fraction" in await slack.words(f"{CUT} kelly_fraction=much because")
    assert (await slack.form(f"restart {SYSTEM}/risk-engine"))["callback_id"] == "andon:run:fields"
    where = await slack.form("run risk.reduce_kelly kelly_fraction=0.1")
    assert (where["callback_id"], "trading.halt" in json.dumps(where)) == ("andon:run", False)
    assert f"{SYSTEM}|risk-engine|risk.reduce_kelly" in json.dumps(where)
    assert json.loads(where["private_metadata"])["given"]["kelly_fraction"] == 0.1
    assert "did you mean risk.reduce_kelly?" in await slack.words("run risk.reduce_kely")
    assert await slack.form("restart")
    assert await slack.services.store.incidents(SYSTEM, closed=True, limit=10) == []


async def test_a_target_that_does_not_answer_in_time_is_looked_at_from_the_form(tmp_path: Path) -> None:
    """A form can be opened for three seconds only; its fields keep what was typed."""
    shown = await Slack(Slow(), tmp_path).form(f"{CUT} kelly_fraction=0.1 because VaR is high")
    assert shown["callback_id"] == "andon:run:fields"
    assert "VaR is high" in json.dumps(shown)


async def test_a_silence_names_what_it_would_silence_first(slack: Slack) -> None:
    """Not everything, not for ever, and only where there is an Alertmanager."""
    asked = "silence alertname=“VaRBreach” for 1h a release"
    assert "names no Alertmanager" in await slack.words(asked)
    slack.alertmanagers.append(MemoryAlertmanager())
    for name, labels in (("f1", {"alertname": "VaRBreach", "symbol": "BTC"}), ("f2", {"alertname": "Other"})):
        slack.alertmanagers[0].fire(Alert(fingerprint=name, status="firing", labels=labels, starts_at=1))
    form = await slack.form(asked)
    assert form["callback_id"] == "andon:silence:confirm"
    assert "VaRBreach symbol=BTC" in json.dumps(form)
    assert "Other" not in json.dumps(form)
    assert slack.alertmanagers[0].silenced == []
    assert (await slack.form("silence"))["callback_id"] == "andon:silence"
    assert "match every alert" in await slack.words('silence alertname=~".*" 1h a release')
    for length in ("2d", "0s"):
        assert "is between 1s and 1d" in await slack.words(f'silence alertname="VaRBreach" {length} a release')


async def test_the_kill_switch_can_be_thrown_from_slack_and_not_released(slack: Slack) -> None:
    """On disk first, then every system's automation; whoever stole a phone cannot start Andon again."""
    assert "not engaged" in await slack.words("kill-switch status")
    told = await slack.words("kill-switch the book is wrong")
    assert "engaged on twin" in told
    position = slack.switch.position()
    assert (position.engaged, position.by, position.reason) == (True, "demo-approver", "the book is wrong")
    for system in slack.services.shards:
        assert (await system_target(slack, system)).freeze is not None
    assert "ENGAGED" in await slack.words("kill-switch status")
    assert "only on the machine" in await slack.words("kill-switch release")
    assert slack.switch.position().engaged


async def test_a_reload_says_what_came_of_it(slack: Slack) -> None:
    """What changed, what waits for a restart, or every problem that keeps the old set in force."""
    assert "nothing has changed" in await slack.words("reload")
    slack.services.outcome = Reloaded(
        ok=False, summary="the old set stays", problems=("policies/a.yaml:3: no such key",)
    )
    assert "policies/a.yaml:3" in await slack.words("reload")


async def test_whoever_may_only_look_is_answered_and_changes_nothing(tmp_path: Path) -> None:
    """A viewer asks what they like; every order of theirs is refused."""
    viewer = {"id": "demo-guest", "roles": ["viewer"]}
    document = PeopleDocument.model_validate({"people": [viewer, *({"id": p.id} for p in ROSTER.people[:3])]})
    slack = Slack(Reloading(document=document), tmp_path)
    incident = await ask(slack.services)
    assert incident in await slack.words("incidents", "demo-guest")
    for order in (
        f"ack {incident}",
        f"deny {incident} no",
        "freeze all x",
        "reload",
        "kill-switch",
        "arm var-breach",
        "run",
    ):
        with pytest.raises(Unwelcome, match="may look, not act"):
            await slack.type(order, "demo-guest")
    assert (await record(slack.services, incident)).status == "awaiting_approval"
    assert not slack.switch.position().engaged


async def test_questions_are_answered_to_the_caller_unless_asked_aloud(slack: Slack) -> None:
    """Status, incidents, one incident, its report, who is on call, a handoff: all of it within Slack's limits."""
    incident = await ask(slack.services)
    for question, told in (
        ("status", "var-breach"),
        ("incidents", incident),
        (f"incidents {SYSTEM}", incident),
        (f"show {incident}", "VaR stays high"),
        (f"report {incident}", "Timeline"),
        ("oncall", "nobody"),
        ("handoff", "VaR stays high"),
        ("", "/andon freeze"),
    ):
        answer = await slack.type(question)
        assert isinstance(answer, Tell)
        assert not answer.in_channel
        assert told in await slack.words(question)
    aloud = await slack.type("handoff here")
    assert isinstance(aloud, Tell)
    assert aloud.in_channel
    assert "there are: trading-core" in await slack.words("incidents nowhere")
