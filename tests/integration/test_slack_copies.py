"""An incident shown in an answer: to everybody without buttons, to one person with buttons that die with a click."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.adapters.desk import Desk, Order
from bot.adapters.slack.heard import copies
from bot.adapters.slack.heard.person import Deed, Errors, Show, told
from bot.errors import StoreUnavailable
from bot.sandbox.slack.population import APPROVER, ONCALL, SECOND
from bot.sandbox.slack.state import View
from bot.sandbox.slack.world import Posted
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import ACTING, ask, record
from tests.integration.slack_line import OPS, SOON, Line, connected, shown


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with connected(tmp_path, TwinServices()) as line:
        yield line


def verbs(posted: Posted) -> list[str]:
    """Every button of a message, as it is now."""
    rows = [block["elements"] for block in posted.now.blocks if block["type"] == "actions"]
    return [str(button["action_id"]).split(":")[1] for row in rows for button in row]


async def says(posted: Posted, *words: str) -> None:
    """Return once it says all of this in the place of what it said at first."""
    async with asyncio.timeout(SOON):
        while len(posted.versions) < 2 or not all(each in shown(posted) for each in words):
            await asyncio.sleep(0.01)


async def test_what_is_shown_to_everybody_has_no_buttons(line: Line) -> None:
    """It would stand there after the decision, made for one person and pressed by others; the card is named instead."""
    incident = await ask(line.services)
    quiet = await line.command(APPROVER, f"show {incident}")
    assert {"approve", "deny", "take", "resolve"} <= set(verbs(quiet))
    for said in (f"show {incident} here", f"show {incident[:7]} --here"):
        aloud = await line.command(APPROVER, said)
        assert aloud.only_for == ""
        assert verbs(aloud) == []
        assert "Waits for a decision" in shown(aloud)
        assert f"/andon approve {incident}" in shown(aloud)
        assert "you may" not in shown(aloud)


async def test_what_is_over_is_shown_to_everybody_without_a_way_to_decide(line: Line) -> None:
    """Nothing waits, so nobody is told how to answer it."""
    incident = await ask(line.services)
    await line.command(APPROVER, f"deny {incident} flat already")
    aloud = await line.command(APPROVER, f"show {incident} here")
    assert (verbs(aloud), "/andon approve" in shown(aloud)) == ([], False)
    assert f"/andon show {incident}" in shown(aloud)


async def test_the_copy_under_a_typed_approve_is_replaced_by_what_came_of_the_click(line: Line) -> None:
    """One yes of two: its yes is gone, its no still there; the second person's copy then has neither."""
    incident = await ask(line.services, changes={"risk": "critical"})
    first = await line.command(APPROVER, f"approve {incident}")
    second = await line.command(SECOND, f"show {incident}")
    await line.slack.people.click(APPROVER, OPS, first.ts, "andon:approve")
    await says(first, "Done: yes from demo-approver: 1 of 2", incident)
    assert (first.only_for, "approve" in verbs(first), "deny" in verbs(first)) == (APPROVER, False, True)
    await line.slack.people.click(SECOND, OPS, second.ts, "andon:approve:answer")
    await says(second, "approved by demo-approver, demo-second")
    assert not {"approve", "deny"} & set(verbs(second))
    assert (await record(line.services, incident)).status == "acting"


@pytest.mark.parametrize("verb", ["andon:approve:answer", "andon:deny:answer"])
async def test_a_copy_whose_question_is_over_says_who_decided_and_loses_its_buttons(line: Line, verb: str) -> None:
    """Also a no, which would open a form for nothing."""
    incident = await ask(line.services)
    copy = await line.command(ONCALL, f"show {incident}")
    asked = (await record(line.services, incident)).approval
    assert asked is not None
    yes = Order(person="demo-approver", id="op/yes", via="slack:T1/U1")
    await Desk(line.services).vote(yes, incident, "approve", approval=asked.id, digest=asked.terms.digest)
    await line.slack.people.click(ONCALL, OPS, copy.ts, verb)
    await says(copy, "trading.halt approved by demo-approver; the incident is acting")
    assert not {"approve", "deny"} & set(verbs(copy))
    assert line.slack.people.modal(ONCALL) is None
    typed = await line.command(ONCALL, f"approve {incident}")
    assert "trading.halt approved by demo-approver; the incident is acting" in shown(typed)


async def test_who_takes_it_from_a_copy_sees_it_taken(line: Line) -> None:
    """The question is void, and so are the buttons under it."""
    incident = await ask(line.services)
    copy = await line.command(ONCALL, f"show {incident}")
    await line.slack.people.click(ONCALL, OPS, copy.ts, "andon:ack:answer")
    await says(copy, "acknowledged by demo-oncall")
    assert ("ack" in verbs(copy), "take" in verbs(copy)) == (False, True)
    await line.slack.people.click(ONCALL, OPS, copy.ts, "andon:take:answer")
    await says(copy, "Done: demo-oncall has it")
    assert set(verbs(copy)) == {"escalate", "resolve"}


async def test_what_was_done_is_told_though_the_incident_cannot_be_shown(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails right after the click must not make it look undone."""
    incident = await ask(line.services)
    copy = await line.command(ONCALL, f"show {incident}")

    async def fails(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(copies, "shown", fails)
    before = set(line.slack.world.messages[OPS])
    await line.slack.people.click(ONCALL, OPS, copy.ts, "andon:take:answer")
    assert "Done: demo-oncall has it" in shown(await line.said_after(before))


async def test_a_click_that_all_others_see_replaces_nothing(line: Line) -> None:
    """A card is edited by the board alone; whoever clicked hears about it in words of their own."""
    incident = await ask(line.services)
    blocks = [dict(each) for each in (await line.command(ONCALL, f"show {incident}")).now.blocks]
    world = line.slack.world
    card = world.post(OPS, world.app.user, "a card", blocks)
    before = set(world.messages[OPS])
    await line.slack.people.click(ONCALL, OPS, card.ts, "andon:take:answer")
    words = await line.said_after(before)
    assert (words.only_for, "demo-oncall has it" in shown(words)) == (ONCALL, True)
    assert len(card.versions) == 1
    assert (await line.services.store.incidents(SYSTEM, closed=False, limit=5))[0].incident.taken_by == "demo-oncall"


async def opened(line: Line, user: str, copy: Posted, verb: str) -> View:
    """The form that a button of a copy opens."""
    await line.slack.people.click(user, OPS, copy.ts, verb)
    async with asyncio.timeout(SOON):
        while (form := line.slack.people.modal(user)) is None:
            await asyncio.sleep(0.01)
    return form


async def test_a_no_with_its_reason_takes_the_buttons_from_the_copy_it_was_said_from(line: Line) -> None:
    """The form brings no address of its own; that of the click is in nothing that the person's client is sent."""
    incident = await ask(line.services)
    copy = await line.command(APPROVER, f"approve {incident}")
    form = await opened(line, APPROVER, copy, "andon:deny")
    assert "/respond/" not in str(form.body)
    assert len(copy.versions) == 1
    await line.slack.people.submit(APPROVER, form.id, {"reason": "R&D <!channel> tests"})
    await says(copy, "denied by demo-approver", "R&amp;D &lt;!channel&gt; tests", incident)
    assert not {"approve", "deny"} & set(verbs(copy))


async def test_a_safer_value_and_a_hold_take_the_old_buttons_from_their_copies(line: Line) -> None:
    """Page by page: only what is done makes the copy anew, and then with what can be done next."""
    change = {"arguments": '{"kelly_fraction":0.1,"reason":"VaR"}', "action": "risk.reduce_kelly"}
    incident = await ask(line.services, ladder=ACTING, changes=change)
    copy = await line.command(ONCALL, f"show {incident}")
    form = await opened(line, ONCALL, copy, "andon:hold:answer")
    people = line.slack.people
    await people.submit(ONCALL, form.id, {"for": "15m"})
    assert len(copy.versions) == 1  # what waits is shown, nothing is done
    await people.submit(ONCALL, form.id, {})
    await says(copy, "Done:", incident)
    assert (await record(line.services, incident)).held_until > 0
    copy = await line.command(APPROVER, f"show {incident}")
    form = await opened(line, APPROVER, copy, "andon:edit:answer")
    wrong = await people.submit(APPROVER, form.id, {"arg.kelly_fraction": "0.1", "reason": "less"})
    assert (list(wrong.errors), len(copy.versions)) == (["arg.kelly_fraction"], 1)
    await people.submit(APPROVER, form.id, {"arg.kelly_fraction": "0.05", "reason": "less"})
    await says(copy, "instead kelly_fraction 0.05 was ordered")
    assert not {"approve", "deny", "edit"} & set(verbs(copy))


@pytest.mark.parametrize("verb", ["deny", "edit"])
async def test_a_form_that_comes_too_late_leaves_no_button_either(line: Line, verb: str) -> None:
    """Somebody else decided while it was filled in: form and copy both say so."""
    change = {"arguments": '{"kelly_fraction":0.1,"reason":"VaR"}', "action": "risk.reduce_kelly"}
    incident = await ask(line.services, changes=change)
    copy = await line.command(APPROVER, f"show {incident}")
    form = await opened(line, APPROVER, copy, f"andon:{verb}:answer")
    await line.command(SECOND, f"deny {incident} flat already")
    fields = {"reason": "x"} | ({"arg.kelly_fraction": "0.05"} if verb == "edit" else {})
    await line.slack.people.submit(APPROVER, form.id, fields)
    await says(copy, "Not done" if verb == "deny" else "decision is over", incident)
    assert not {"approve", "deny", "edit"} & set(verbs(copy))


async def test_a_form_that_was_asked_for_by_a_mention_leaves_no_button_behind(line: Line) -> None:
    """The answer said that nothing was done yet; now it says what was."""
    before = set(line.slack.world.messages.get(OPS, {}))
    said = await line.slack.people.say(ONCALL, OPS, f"<@U0ANDON> freeze {SYSTEM}")
    copy = await line.said_after(before | {said.ts})
    form = await opened(line, ONCALL, copy, "andon:freeze:typed")
    await line.slack.people.submit(ONCALL, form.id, {"reason": "a bad release"})
    await line.slack.people.submit(ONCALL, form.id, {})
    await says(copy, "automation frozen by demo-oncall: a bad release")
    assert verbs(copy) == []
    assert "nothing was done" not in shown(copy)


async def test_a_form_that_is_closed_leaves_its_copy_as_it_was(line: Line) -> None:
    """Nothing was done, and its buttons still hold; a form from another one of its buttons is another form."""
    incident = await ask(line.services)
    copy = await line.command(APPROVER, f"show {incident}")
    form = await opened(line, APPROVER, copy, "andon:deny:answer")
    await line.slack.people.close(APPROVER, form.id)
    form = await opened(line, APPROVER, copy, "andon:resolve:answer")
    await line.slack.people.submit(APPROVER, form.id, {"force": ["yes"]})
    await says(copy, "resolved by demo-approver")
    assert not {"approve", "deny"} & set(verbs(copy))


async def test_what_is_kept_of_open_forms_has_an_end() -> None:
    """The newest ones, for as long as their addresses are good, for whoever opened them, and once."""
    seconds = [0.0]
    open_forms, done = copies.Copies(TwinServices(), now=lambda: seconds[0]), told("done")
    click = Deed(id="d", team="T1", user="U1", alone=True, response_url="http://a")
    sent = Deed(id="d", team="T1", user="U1")
    for number in range(copies.MAX_KEPT + 1):
        open_forms.opened(f"V{number}", click, "inc-1")
    assert open_forms.done(replace(sent, view="V0"), done) is None
    assert open_forms.done(replace(sent, view="V1", user="U2"), done) is None
    assert open_forms.done(replace(sent, view="V1"), Errors({"reason": "say why"})) is None
    assert open_forms.done(replace(sent, view="V1"), Show({"submit": {}})) is None
    kept = open_forms.done(replace(sent, view="V1"), done)
    assert kept is not None
    assert (kept.address, kept.about, "http://a" in repr(kept)) == ("http://a", "inc-1", False)
    assert open_forms.done(replace(sent, view="V1"), done) is None
    seconds[0] = copies.KEPT_SECONDS
    assert open_forms.done(replace(sent, view="V2"), done) is None
    open_forms.opened("W1", replace(click, alone=False), "inc-1")  # a card, which the board edits
    assert open_forms.done(replace(sent, view="W1"), done) is None
