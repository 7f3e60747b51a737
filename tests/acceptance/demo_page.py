"""The demo's Slack as a newcomer meets it: a question comes up in the browser, is answered and carried out.

Run by `make tour` and in CI, not by `make test`: it starts all of the demo and a browser for one click. The page itself
is tested in `slack_page`, decisions in Slack in `test_slack_decisions`.
"""

from __future__ import annotations

import pytest

from bot.demo.chat import MEMBERS
from bot.demo.config import APPROVER, PERSON, SYSTEM, VISITOR
from bot.demo.stage import open_stage
from bot.sandbox.children import until
from tests.acceptance.harness.browser import open_browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

QUESTION = "#messages article:has(.button-danger)"
SOON = 45.0  # seconds; two where nothing else runs
ORDER = {
    "action": "risk.reduce_kelly", "system": SYSTEM, "arguments": {"kelly_fraction": 0.05}, "reason": "cut deeper",
}  # fmt: skip


async def test_a_newcomer_approves_from_the_page() -> None:
    """Who may only look is told so; the approver's click cuts Kelly once, and the buttons are gone for everybody."""
    async with open_stage() as stage, open_browser() as page:
        await page.go(stage.slack_page)
        assert await page.sees("document.querySelector('#me').value", SOON) == MEMBERS[PERSON]
        await stage.api("POST", "/run", ORDER, person=VISITOR)
        for person in ("demo-viewer", APPROVER):
            await page.choose("#me", MEMBERS[person])
            await page.sees(f"new URLSearchParams(location.search).get('me') === {MEMBERS[person]!r}")
            await page.reads("0.05", QUESTION, SOON)
            await page.click(f"{QUESTION} button", "Approve")
            await page.click("#confirm button", "Approve")
            if person != APPROVER:
                await page.reads("demo-viewer", ".message.ephemeral", SOON)
                assert await stage.effects() == []
        await until("Kelly is cut", stage.effects, within=SOON)
        await page.reads(f"{APPROVER} said yes", "#messages", SOON)
        await page.choose("#me", MEMBERS[PERSON])
        await page.sees(f"new URLSearchParams(location.search).get('me') === {MEMBERS[PERSON]!r}")
        assert not await page.run(f"document.querySelector({QUESTION!r})")
        assert [(e["what"], e["after"]) for e in await stage.effects()] == [("kelly_fraction", 0.05)]
        assert page.troubles == []
