"""What people type in Slack, by wire: the real slack-bolt and slack-sdk, over Socket Mode, down to the engine."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.slack.board.shelf import Placed, card_name
from bot.adapters.slack.cards.blocks import actions, button
from bot.adapters.slack.cards.shapes import MAX_VALUE, Block, Ref, verb_of
from bot.adapters.slack.heard import stopping
from bot.core.alert import Alert
from bot.core.events import AlertFired, Event
from bot.core.orders import TargetFrozen
from bot.core.record import Decision
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.engine.fold import Letter
from bot.sandbox.slack.population import APPROVER, GONE, GUEST, NEWCOMER, ONCALL, SECOND, STRANGER, VIEWER
from bot.sandbox.slack.world import Posted
from bot.testing import MemoryAlertmanager
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import ACTING, PLAN, ask, record
from tests.integration.slack_line import OPS, SOON, Line, connected, shown


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with connected(tmp_path, TwinServices()) as line:
        yield line


async def test_an_answer_is_for_the_caller_alone_unless_it_is_asked_for_aloud(line: Line) -> None:
    """Slack's own escapes and curly quotes do no harm on the way."""
    incident = await ask(line.services)
    quiet = await line.command(ONCALL, "status")
    assert (quiet.only_for, incident in shown(quiet)) == (ONCALL, True)
    aloud = await line.command(ONCALL, "incidents here")
    assert (aloud.only_for, incident in shown(aloud)) == ("", True)
    wrong = await line.command(ONCALL, "statsu <@U0APPROVER> “x”")
    assert "did you mean status?" in shown(wrong)
    denied = await line.command(APPROVER, f"deny {incident} “not while R&D <tests>”")
    assert "not while R&amp;D &lt;tests&gt;" in shown(denied)
    assert (await record(line.services, incident)).why.endswith("not while R&D <tests>")


async def test_the_button_under_a_typed_approve_is_the_yes(line: Line) -> None:
    """The vote says through which account it came; a second click on the same button changes nothing."""
    incident = await ask(line.services, changes={"risk": "critical"})
    card = await line.command(APPROVER, f"approve {incident[:7]}")
    assert card.only_for == APPROVER
    for _ in range(2):
        await line.slack.people.click(APPROVER, OPS, card.ts, "andon:approve", version=0)
    asked = (await record(line.services, incident)).approval
    assert asked is not None
    assert [(vote.by, vote.via) for vote in asked.votes] == [("demo-approver", "slack:T0DESK/U0APPROVER")]
    other = await line.command(SECOND, f"approve {incident}")
    await line.slack.people.click(SECOND, OPS, other.ts, "andon:approve")
    assert (await record(line.services, incident)).status == "acting"


async def test_a_form_does_what_was_typed_into_it(line: Line) -> None:
    """A freeze asked for without words, and an action shown before it was ordered: once, however often it is told."""
    form = await line.opened(ONCALL, "freeze")
    await line.slack.people.submit(ONCALL, form.id, {"where": f"{SYSTEM}|", "reason": "a bad release"})
    assert "Nothing waits to be done there" in shown(form)
    await line.slack.people.submit(ONCALL, form.id, {})
    target = (await line.services.store.load(SYSTEM, [SYSTEM_TARGET]))[SYSTEM_TARGET].record
    assert isinstance(target, Target)
    assert target.freeze is not None
    assert (target.freeze.by, target.freeze.reason) == ("demo-oncall", "a bad release")
    page = await line.opened(ONCALL, f"unfreeze {SYSTEM}")
    await line.slack.people.submit(ONCALL, page.id, {})
    form = await line.opened(
        ONCALL, f"run risk.reduce_kelly {SYSTEM}/risk-engine kelly_fraction=0.1 because VaR is high"
    )
    assert "0.25 → 0.1" in shown(form)
    assert await line.services.store.incidents(SYSTEM, closed=True, limit=10) == []
    line.slack.faults.duplicates = 2
    await line.slack.people.submit(ONCALL, form.id, {})
    (ordered,) = await line.services.store.incidents(SYSTEM, closed=True, limit=10)
    assert (ordered.incident.ordered_by, ordered.incident.plan is not None) == ("demo-oncall", True)


async def test_a_policy_is_shown_before_it_is_armed(line: Line) -> None:
    """Chosen in a form: what it would do, what it only said lately, and one more button."""
    line.services.plans = (PLAN,)
    form = await line.opened(APPROVER, "arm")
    await line.slack.people.submit(APPROVER, form.id, {"policy": f"{SYSTEM}|var-breach"})
    async with asyncio.timeout(SOON):
        while "trading.halt on risk-engine" not in shown(form := line.slack.people.modal(APPROVER)):
            await asyncio.sleep(0.01)
    assert (await line.services.store.load(SYSTEM, [SYSTEM_TARGET])).get(SYSTEM_TARGET) is None
    other = replace(PLAN, policy_hash="b" * 64, steps=(replace(PLAN.steps[0], action="router.pause"),))
    line.services.plans = (other,)  # reloaded meanwhile: what is armed is what was seen
    await line.slack.people.submit(APPROVER, form.id, {})
    assert (await line.services.store.load(SYSTEM, [SYSTEM_TARGET])).get(SYSTEM_TARGET) is None
    form = line.slack.people.modal(APPROVER)
    assert form is not None
    assert "router.pause on risk-engine" in shown(form)
    await line.slack.people.submit(APPROVER, form.id, {})
    target = (await line.services.store.load(SYSTEM, [SYSTEM_TARGET]))[SYSTEM_TARGET].record
    assert isinstance(target, Target)
    assert target.armed["var-breach"].by == "demo-approver"


async def test_a_form_lifts_only_the_freeze_that_it_showed(line: Line) -> None:
    """Whoever left it open for an hour does not lift what somebody froze since, for another reason."""
    await line.command(ONCALL, f"freeze {SYSTEM} a bad release")
    form = await line.opened(ONCALL, "unfreeze")
    (chosen,) = re.findall(r"'value': '(\S+)'", str(form.body["blocks"][-1]["element"]["options"]))
    page = await line.opened(SECOND, f"unfreeze {SYSTEM}")
    await line.slack.people.submit(SECOND, page.id, {})
    await line.command(APPROVER, f"freeze {SYSTEM} the exchange is down")
    await line.slack.people.submit(ONCALL, form.id, {"where": chosen})
    told = line.slack.people.modal(ONCALL)
    assert told is not None
    assert "frozen anew since this form was opened, by demo-approver: the exchange is down" in shown(told)
    target = (await line.services.store.load(SYSTEM, [SYSTEM_TARGET]))[SYSTEM_TARGET].record
    assert isinstance(target, Target)
    assert target.freeze is not None


async def test_what_is_let_loose_is_what_was_shown(line: Line) -> None:
    """Who waits with the button in front is shown the freeze that came since, and only the second click lifts that."""
    people, incident = line.slack.people, await ask(line.services, ladder=ACTING)
    await line.command(ONCALL, f"freeze {SYSTEM}/risk-engine a bad release")
    form = await line.opened(ONCALL, "unfreeze")
    await people.submit(ONCALL, form.id, {})  # the only one there is, so it is chosen
    assert f"{incident}: by itself trading.halt on risk-engine; if people say yes trading.halt" in shown(form)
    await line.command(APPROVER, f"freeze {SYSTEM}/risk-engine the exchange is down")
    await people.submit(ONCALL, form.id, {})
    assert (await component(line)).freeze is not None
    for told in ("not as it was when you looked", "frozen by demo-approver since", "the exchange is down"):
        assert told in shown(form)
    await people.submit(ONCALL, form.id, {})
    assert (await component(line)).freeze is None
    form = await line.opened(ONCALL, f"unfreeze {SYSTEM}/risk-engine")
    assert ("Nothing is frozen there" in shown(form), "submit" in form.body) == (True, False)


@pytest.mark.parametrize("where", [SYSTEM, "all"])
async def test_a_freeze_that_comes_while_another_is_lifted_stays(
    line: Line, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Between the last look and the commit somebody froze it for another reason: that is shown first."""
    people, tell = line.slack.people, line.services.tell
    await line.command(ONCALL, f"freeze {where} a bad release")
    form = await line.opened(ONCALL, f"unfreeze {where}")

    async def overtaken(shard: str, to: str, event: Event) -> Decision:
        monkeypatch.setattr(line.services, "tell", tell)
        await tell(shard, to, TargetFrozen(id="other", at=event.at, by="demo-second", reason="the exchange is down"))
        return await tell(shard, to, event)

    monkeypatch.setattr(line.services, "tell", overtaken)
    await people.submit(ONCALL, form.id, {})
    assert (await own(line)).freeze is not None
    for told in ("Not done: it was stopped anew since you looked", "new: trading-core is frozen by demo-second since"):
        assert told in shown(form)
    assert ("py-rt: Done: automation unfrozen" in shown(form)) == (where == "all")
    assert "py-rt is frozen" not in shown(form)
    await people.submit(ONCALL, form.id, {})
    assert (await own(line)).freeze is None


async def test_a_look_that_does_not_reach_everything_says_so(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a storm there are more open incidents than a page can look at in Slack's three seconds."""
    await ask(line.services, ladder=ACTING)
    await line.command(ONCALL, f"freeze {SYSTEM} a bad release")
    monkeypatch.setattr(stopping, "MAX_OPEN", 1)
    form = await line.opened(ONCALL, f"unfreeze {SYSTEM}")
    assert "were looked at" not in shown(form)
    fired = AlertFired(
        id="f-2",
        at=1,
        plan=PLAN,
        alert=Alert(fingerprint="g", status="firing", labels={"alertname": "Other"}, starts_at=1),
    )
    await line.services.engine.tell_all(SYSTEM, [Letter(fired, key="other")])
    await line.slack.people.submit(ONCALL, form.id, {})
    assert "Only the newest 1 open incidents of a system were looked at, and it has more" in shown(form)
    assert (await own(line)).freeze is not None, "the page before did not say so"
    await line.slack.people.submit(ONCALL, form.id, {})
    assert (await own(line)).freeze is None


async def component(line: Line) -> Target:
    """The risk engine's record."""
    found = (await line.services.store.load(SYSTEM, ["target:risk-engine"]))["target:risk-engine"].record
    assert isinstance(found, Target)
    return found


async def test_a_policy_is_shown_before_it_is_disarmed(line: Line) -> None:
    """What it would do no more, and what waits for it now; armed anew meanwhile, it is shown once more."""
    line.services.plans = (PLAN,)
    incident = await ask(line.services)
    form = await line.opened(APPROVER, "disarm")
    people = line.slack.people
    await people.submit(APPROVER, form.id, {"policy": f"{SYSTEM}|var-breach"})
    assert "var-breach of trading-core, armed by demo-oncall since" in shown(form)
    assert f"{incident}: if people say yes trading.halt on risk-engine" in shown(form)
    await line.command(ONCALL, "disarm var-breach")  # typed whole, it is done at once
    again = await line.opened(SECOND, "arm var-breach")
    await people.submit(SECOND, again.id, {})
    await people.submit(APPROVER, form.id, {})
    assert "var-breach" in (await own(line)).armed
    await people.submit(APPROVER, form.id, {})
    assert (await own(line)).disarmed["var-breach"].by == "demo-approver"
    form = await line.opened(APPROVER, "disarm")
    await people.submit(APPROVER, form.id, {"policy": f"{SYSTEM}|var-breach"})
    assert ("is not armed" in shown(form), "submit" in form.body) == (True, False)


async def own(line: Line) -> Target:
    """The system's own record."""
    found = (await line.services.store.load(SYSTEM, [SYSTEM_TARGET]))[SYSTEM_TARGET].record
    assert isinstance(found, Target)
    return found


async def test_a_form_that_comes_too_late_is_told_in_words(line: Line) -> None:
    """Slack opens a form for three seconds; whoever waited longer is not left without any answer."""
    line.slack.faults.failing = {"views.open": "expired_trigger_id"}
    answer = await line.command(ONCALL, "freeze")
    assert (answer.only_for, "do it again" in shown(answer)) == (ONCALL, True)


async def test_a_silence_is_seen_before_it_is_ordered(line: Line) -> None:
    """What would be silent is listed; with the second button it is, in whoever's name asked."""
    there = MemoryAlertmanager()
    there.fire(Alert(fingerprint="f", status="firing", labels={"alertname": "VaRBreach"}, starts_at=1))
    line.hands.alertmanagers.append(there)
    form = await line.opened(APPROVER, "silence alertname=“VaRBreach” for 1h a release")
    assert "VaRBreach" in shown(form)
    line.slack.faults.duplicates = 2
    await line.slack.people.submit(APPROVER, form.id, {})
    assert [(held.matchers, held.by) for held in there.silenced] == [(('alertname="VaRBreach"',), "demo-approver")]


async def test_the_shortcut_tells_about_the_incident_from_its_card_and_from_its_thread(line: Line) -> None:
    """Whoever reads the timeline need not look for the card first."""
    incident = await ask(line.services)
    world = line.slack.world
    card = world.post(OPS, world.app.user, "the card")
    reply = world.post(OPS, APPROVER, "what is this?", thread_ts=card.ts)
    await line.shelf.put(Placed(name=card_name(SYSTEM, incident), channel=OPS, ts=card.ts))
    for message in (card, reply):
        answer = await line.asked_about(ONCALL, message.ts)
        assert (answer.only_for, incident in shown(answer)) == (ONCALL, True)


async def test_whatever_can_be_done_about_an_incident_is_done_from_the_shortcuts_answer(line: Line) -> None:
    """One button for each verb, with the question that waits; and the card's own button leads to the same answer."""
    services = line.services
    incident = await ask(services, ladder=ACTING, changes={"arguments": '{"kelly_fraction":0.1,"reason":"VaR"}'})
    card = line.slack.world.post(OPS, line.slack.world.app.user, "the card", [actions([details(incident)])])
    await line.shelf.put(Placed(name=card_name(SYSTEM, incident), channel=OPS, ts=card.ts))
    before = {ts for ts, each in line.slack.world.messages[OPS].items() if each.user == "U0ANDON"}
    await line.slack.people.click(APPROVER, OPS, card.ts, "andon:show")
    for answer in (await line.said_after(before), await line.asked_about(APPROVER, card.ts)):
        blocks: Any = answer.now.blocks
        offered = [each["action_id"] for block in blocks if block["type"] == "actions" for each in block["elements"]]
        verbs = ("approve", "deny", "edit", "ack", "take", "hold", "escalate", "resolve")
        assert sorted(offered) == sorted(f"andon:{verb}:answer" for verb in verbs)
    await line.slack.people.click(APPROVER, OPS, answer.ts, "andon:hold:answer")
    async with asyncio.timeout(SOON):
        while (form := line.slack.people.modal(APPROVER)) is None:
            await asyncio.sleep(0.01)
    await line.slack.people.submit(APPROVER, form.id, {"for": "15m"})
    assert "run trading.halt if evidence.var > 1.8" in shown(form)
    assert (await record(services, incident)).held_until == 0
    await line.slack.people.submit(APPROVER, form.id, {})
    assert (await record(services, incident)).held_until > 0


def details(incident: str) -> Block:
    """The button of an incident card that tells more of it."""
    return button("Details", "show", Ref(incident))


async def mentioned(line: Line, user: str, text: str) -> Posted:
    """Say it to Andon in the channel; the answer."""
    before = {ts for ts, each in line.slack.world.messages.get(OPS, {}).items() if each.user == "U0ANDON"}
    await line.slack.people.say(user, OPS, f"<@U0ANDON> {text}")
    return await line.said_after(before)


async def test_a_mention_is_answered_like_a_command(line: Line) -> None:
    """A form without anything to send is only its words."""
    for said, told in (("incidents", "No incident is open"), ("unfreeze", "Nothing is frozen")):
        answer = await mentioned(line, ONCALL, said)
        assert (answer.only_for, told in shown(answer)) == (ONCALL, True)


async def test_a_mention_that_needs_a_form_is_answered_with_the_button_that_opens_it(line: Line) -> None:
    """Slack gives a mention no trigger, and the click one; what was typed stands in the form, its signs unharmed."""
    for said, opening in (
        (f"freeze {SYSTEM} 90m", "andon:freeze:typed"),
        ("run", "andon:run:typed"),
        (f"restart {SYSTEM}/risk-engine", "andon:run:typed"),
        (f"run risk.reduce_kelly {SYSTEM}/risk-engine because “R&D” <x>", "andon:run:typed"),
    ):
        answer = await mentioned(line, ONCALL, said)
        assert (answer.only_for, "nothing was done" in shown(answer)) == (ONCALL, True)
        await line.slack.people.click(ONCALL, OPS, answer.ts, opening)
        async with asyncio.timeout(SOON):
            while (form := line.slack.people.modal(ONCALL)) is None:
                await asyncio.sleep(0.01)
        assert verb_of(form.body["callback_id"]) == opening.split(":")[1]
        if said.startswith("freeze"):
            assert {f"{SYSTEM}|", "1h30m"} <= set(re.findall(r"'initial_option': .*?'value': '(.*?)'", str(form.body)))
        if "R&D" in said:
            assert '"R&D" <x>' in str(form.body)
        await line.slack.people.close(ONCALL, form.id, all_of_them=True)


async def test_what_was_typed_in_a_mention_opens_only_for_whoever_typed_it(line: Line) -> None:
    """Nobody else sees the button; a click of theirs that comes all the same, or one that was made up, does nothing."""
    answer = await mentioned(line, ONCALL, f"freeze {SYSTEM}")
    with pytest.raises(LookupError):
        await line.slack.people.click(APPROVER, OPS, answer.ts, "andon:freeze:typed")
    value = str(answer.now.blocks[-1]["elements"][0]["value"])
    assert len(value) <= MAX_VALUE
    for user, carried in (
        (APPROVER, value),
        (VIEWER, value),
        (ONCALL, ""),
        (ONCALL, "[" * 1_900),
        (ONCALL, "kill-switch"),
        (ONCALL, json.dumps({"by": ONCALL})),
        (ONCALL, json.dumps({"by": ONCALL, "text": 5})),
        (ONCALL, json.dumps({"by": ONCALL, "text": f"freeze {SYSTEM} {'x' * 2_000}"})),
    ):
        forging = {**answer.now.blocks[-1]["elements"][0], "value": carried}
        forged = line.slack.world.post(OPS, "U0ANDON", "x", blocks=[{"type": "actions", "elements": [forging]}])
        before = {ts for ts, each in line.slack.world.messages[OPS].items() if each.user == "U0ANDON"}
        await line.slack.people.click(user, OPS, forged.ts, "andon:freeze:typed")
        assert "nothing was done" in shown(await line.said_after(before)), carried
        assert line.slack.people.modal(user) is None
    assert not line.hands.switch.position().engaged
    long = await mentioned(line, ONCALL, f"run risk.reduce_kelly reason={'é' * 2_000}")
    assert "longer than a button carries" in shown(long)


async def test_only_people_in_good_standing_are_answered(line: Line) -> None:
    """Whoever nobody knows, guests, those who left and strangers' workspaces learn and change nothing; viewers look."""
    incident = await ask(line.services)
    for user in (NEWCOMER, GUEST, GONE, STRANGER):
        for text in ("status", f"ack {incident}", "kill-switch"):
            assert incident not in shown(await line.command(user, text))
    assert incident in shown(await line.command(VIEWER, "incidents"))
    assert "may look, not act" in shown(await line.command(VIEWER, f"ack {incident}"))
    after = await record(line.services, incident)
    assert after.acknowledged_by == ""
    assert not line.hands.switch.position().engaged


async def test_the_sdk_keeps_its_hands_off_our_loggers(line: Line) -> None:
    """Bolt sets the level of the logger that has its app's name: what the house tells below an error must stay."""
    await line.command(ONCALL, "status")
    assert logging.getLogger("andon").level == logging.NOTSET
    assert logging.getLogger("andon.slack_bolt").level == logging.ERROR  # below that it writes whole payloads
