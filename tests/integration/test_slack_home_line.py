"""The Home tab by wire: opened, clicked, filled in and fresh again, with the real slack-bolt and slack-sdk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.sandbox.slack.population import APPROVER, GUEST, ONCALL, VIEWER
from bot.sandbox.slack.state import View
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import PLAN, ask, record
from tests.integration.slack_line import LOOK_S, SOON, Line, connected, shown


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with connected(tmp_path, TwinServices(plans=(PLAN,))) as line:
        yield line


async def seen(look: Callable[[], Any]) -> Any:
    """What `look` finds, once it finds something."""
    async with asyncio.timeout(SOON):
        while not (found := look()):
            await asyncio.sleep(0.01)
    return found


async def home(line: Line, user: str) -> View:
    """This person's Home tab, opened anew."""
    line.slack.state.homes.pop(user, None)
    await line.slack.people.open_home(user)
    view: View = await seen(lambda: line.slack.state.homes.get(user))
    return view


async def click(line: Line, user: str, action: str) -> None:
    """Open the tab and click there."""
    tab = await home(line, user)
    outcome = await line.slack.people.click_in_view(user, tab.id, action)
    assert outcome.error == ""


async def modal(line: Line, user: str, title: str) -> View:
    """The modal of this title, once it is in front."""

    def look() -> View | None:
        view = line.slack.people.modal(user)
        return view if view is not None and view.body["title"]["text"] == title else None

    found: View = await seen(look)
    return found


async def system(line: Line) -> Target:
    """The system's own record."""
    found = (await line.services.store.load(SYSTEM, [SYSTEM_TARGET]))[SYSTEM_TARGET].record
    assert isinstance(found, Target)
    return found


async def test_a_decision_is_made_on_the_home_tab(line: Line) -> None:
    """Who may approve has the button; the yes counts, and the tab opened anew has nothing left to decide."""
    incident = await ask(line.services)
    assert "1 decision waits for somebody" in shown(await home(line, APPROVER))
    await click(line, APPROVER, "andon:approve:home0")
    assert (await record(line.services, incident)).status == "acting"
    assert "Done" in shown(await modal(line, APPROVER, "Andon"))
    assert "nothing waits for a decision" in shown(await home(line, APPROVER))


async def test_the_freeze_switch_asks_why_and_is_lifted_again(line: Line) -> None:
    """A freeze without a reason is refused in the form; what it would stop is shown, and only then it is done; a freeze
    that stands can be lifted from the same tab."""
    incident = await ask(line.services)
    await click(line, ONCALL, "andon:freeze:home")
    form = await modal(line, ONCALL, "Freeze automation")
    refused = await line.slack.people.submit(ONCALL, form.id, {"where": f"{SYSTEM}|", "reason": "  "})
    assert list(refused.errors) == ["reason"]
    await line.slack.people.submit(ONCALL, form.id, {"where": f"{SYSTEM}|", "reason": "deploy", "for": "2h"})
    assert f"{incident}: trading.halt on risk-engine" in shown(form)
    assert "var-breach: trading.halt" in shown(form)
    assert (await system(line)).freeze is None
    await line.slack.people.submit(ONCALL, form.id, {})
    freeze = (await system(line)).freeze
    assert freeze is not None
    assert (freeze.by, freeze.reason, freeze.until) == ("demo-oncall", "deploy", freeze.since + 7_200_000)
    assert "automation is *frozen*" in shown(await home(line, ONCALL))
    await click(line, ONCALL, "andon:unfreeze:home0")
    form = await modal(line, ONCALL, "Unfreeze automation")
    assert "frozen by demo-oncall since" in shown(form)
    assert f"{incident}: if people say yes trading.halt on risk-engine" in shown(form)
    assert "var-breach: trading.halt" in shown(form)
    assert (await system(line)).freeze is not None
    await line.slack.people.submit(ONCALL, form.id, {})
    assert (await system(line)).freeze is None


async def test_an_action_is_run_page_by_page(line: Line) -> None:
    """Chosen, filled in, looked at, run: each page takes the place of the one before, and only the last one acts."""
    await click(line, ONCALL, "andon:run:home")
    page = await modal(line, ONCALL, "Run an action")
    people = line.slack.people
    await people.submit(ONCALL, page.id, {"what": f"{SYSTEM}|risk-engine|risk.reduce_kelly"})
    assert "never raises it" in shown(page)
    wrong = await people.submit(ONCALL, page.id, {"arg.kelly_fraction": "1.5", "arg.reason": "VaR"})
    assert "arg.kelly_fraction" in wrong.errors
    await people.submit(ONCALL, page.id, {"arg.kelly_fraction": "0.1", "arg.reason": "VaR"})
    assert "kelly_fraction: 0.25 → 0.1" in shown(page)
    before = await line.services.store.incidents(SYSTEM, closed=False, limit=10)
    assert before == []
    await people.submit(ONCALL, page.id, {})
    (ordered,) = await line.services.store.incidents(SYSTEM, closed=False, limit=10)
    assert ordered.incident.ordered_by == "demo-oncall"
    assert ordered.incident.plan is not None
    assert json.loads(ordered.incident.plan.steps[0].arguments)["kelly_fraction"] == 0.1
    assert ordered.incident.id in shown(page)


async def test_only_who_may_act_has_something_to_click(line: Line) -> None:
    """A viewer looks; a guest reads why they may not even that."""
    await ask(line.services)
    looked = await home(line, VIEWER)
    assert "andon:take" not in json.dumps(looked.body)
    assert "andon:refresh" in json.dumps(looked.body)
    assert "Automation" in shown(looked)
    told = await home(line, GUEST)
    assert "nobody in people.yaml" in shown(told)
    assert "Automation" not in shown(told)


async def test_refresh_shows_what_is_new(line: Line) -> None:
    """The button publishes the tab again, as things are now."""
    tab = await home(line, ONCALL)
    assert "All is quiet" in shown(tab)
    await ask(line.services)
    await line.slack.people.click_in_view(ONCALL, tab.id, "andon:refresh:home")
    await seen(lambda: "1 decision waits" in shown(line.slack.state.homes[ONCALL]))


async def test_a_tab_that_is_looked_at_follows_what_others_do(line: Line) -> None:
    """Whoever decided, on whichever replica: the button is gone soon, and nothing is published without need."""
    incident = await ask(line.services)
    assert "andon:approve" in json.dumps((await home(line, APPROVER)).body)
    await line.command(ONCALL, f"deny {incident} not now")
    await seen(lambda: "andon:approve" not in json.dumps(line.slack.state.homes[APPROVER].body))
    published = len(line.slack.called("views.publish"))
    await asyncio.sleep(3 * LOOK_S)
    assert len(line.slack.called("views.publish")) == published


async def test_tabs_wait_as_long_as_slack_says(line: Line) -> None:
    """A 429 is answered by no further publishing, and afterwards the tab is as things are then."""
    await home(line, ONCALL)
    line.slack.faults.limited_s = 1
    await ask(line.services)
    await seen(lambda: [call for call in line.slack.called("views.publish") if call.error])
    asked = len(line.slack.called("views.publish"))
    await asyncio.sleep(5 * LOOK_S)
    assert len(line.slack.called("views.publish")) == asked
    line.slack.faults.limited_s = 0
    await seen(lambda: "1 decision waits" in shown(line.slack.state.homes[ONCALL]))
