"""Takes the pictures in docs/slack/: `python -m tests.acceptance.slack_pictures [FOLDER]`.

Plays the demo and looks at its local Slack in a headless Chromium, as a newcomer would: a breach, a question, somebody
who may not decide and somebody who does, the Home tab, commands, and a storm. Look at what it wrote before it is kept.
Needs `chromium` and, for the signs in front of the states, `fonts-noto-color-emoji`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bot.demo import faults
from bot.demo.chat import MEMBERS
from bot.demo.config import APPROVER, PERSON
from bot.demo.stage import Stage, open_stage
from tests.acceptance.harness.browser import Page, open_browser

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "slack"
ASKED_WITHIN = 90.0  # seconds until the ladder asks: five minutes on the demo's clock, 20 seconds here
SOON = 30.0
WIDE, TALL = 1_180, 1_000
COLUMN = 740  # CSS pixels of a message that have something on them
STORM = 12  # incidents, more than `storm.cards`
CARD = "#messages article:has(.block-header):not(:has(.button-danger))"
QUESTION = "#messages article:has(.button-danger)"


async def take_all(folder: Path) -> None:
    """Every picture, in the order in which a demo shows them."""
    async with open_stage() as stage, open_browser() as page:
        await page.resize(WIDE, TALL)
        await page.go(stage.slack_page)
        await _breach(stage, page, folder)
        await _commands(page, folder)
        await _storm(stage, page, folder)
        assert page.troubles == [], page.troubles


async def _breach(stage: Stage, page: Page, folder: Path) -> None:
    """A breach that the first cut does not end: the card, its thread, the question, a no and a yes."""
    await faults.inject(stage, faults.fault("var-bad"))
    await page.sees(f"document.querySelector({CARD!r})", SOON)
    await page.reads("watching the effect", "#messages", SOON)
    await page.picture(folder / "card.png", CARD, width=COLUMN)
    await page.sees(f"document.querySelector({QUESTION!r})?.innerText.includes('trading.halt')", ASKED_WITHIN)
    await page.sees(f"document.querySelector({QUESTION!r})?.querySelector('img')?.naturalWidth > 0", SOON)
    await page.picture(folder / "decision.png", QUESTION, width=COLUMN)
    await _home(page, folder)
    await page.click(f"{QUESTION} button", "Deny…")
    await page.sees("document.querySelector('.modal textarea, .modal input')", SOON)
    await page.picture(folder / "deny.png", ".modal")
    await page.click(".modal button[type=button]", "Cancel")
    await _as(page, "demo-viewer")
    await _approve(page)
    await page.sees("document.querySelector('.message.ephemeral')", SOON)
    await page.picture(folder / "refused.png", ".message.ephemeral", width=COLUMN)
    await _as(page, APPROVER)
    await _approve(page)
    await page.sees(f"!document.querySelector({QUESTION!r})", SOON)
    await page.picture(folder / "decided.png", "#messages article:has(.note):not(.ephemeral)", width=COLUMN)
    await page.click("#messages .thread-door:not(.quiet)")
    await page.sees("!document.querySelector('#thread').hidden")
    await page.picture(folder / "thread.png")
    await page.click("#thread .close")


async def _as(page: Page, person: str) -> None:
    await page.choose("#me", MEMBERS[person])
    await page.sees(f"new URLSearchParams(location.search).get('me') === {MEMBERS[person]!r}", SOON)


async def _approve(page: Page) -> None:
    await page.click(f"{QUESTION} button", "Approve")
    await page.click("#confirm button", "Approve")


async def _home(page: Page, folder: Path) -> None:
    """The Home tab while a question waits, and the form of an action."""
    await page.click("[data-place=home]")
    await page.reads("trading.halt", ".home", SOON)
    await page.picture(folder / "home.png")
    await page.click(".home button", "Run an action …")
    await page.sees("document.querySelector('.modal select')", SOON)
    option = "[...document.querySelectorAll('.modal option')].find((each) => each.innerText.includes('reduce_kelly'))"
    await page.choose(".modal select", str(await page.run(f"{option}.value")))
    await page.click(".modal button", "Next")
    await page.sees("document.querySelector('.modal input')", SOON)
    await page.picture(folder / "run.png", ".modal")
    await page.click(".modal .close")
    await page.sees("document.querySelector('#modal').hidden")
    await page.click("[data-place=C0OPS]")
    await page.sees(f"document.querySelector({QUESTION!r})", SOON)


async def _commands(page: Page, folder: Path) -> None:
    """What `/andon` answers, to the person alone."""
    await _as(page, PERSON)
    await page.click("[data-place=C0QUANT]")
    for number, command in enumerate(("/andon frezze all", "/andon help"), 1):
        await page.type("#words", command)
        await page.press_enter()
        await page.sees(f"document.querySelectorAll('.message.ephemeral').length === {number}", SOON)
    await page.picture(folder / "command.png")


async def _storm(stage: Stage, page: Page, folder: Path) -> None:
    """More incidents at once than people can read: one digest stands for them."""
    await page.click("[data-place=C0OPS]")
    for number in range(STORM):
        labels = {"alertname": f"FeedStale{number:02d}", "severity": "critical", "system": "trading-core"}
        await stage.api("POST", "/fire", {"labels": labels})
    digest = "#messages article:last-child"
    await page.reads("STORM", digest, SOON)
    await page.picture(folder / "digest.png", digest, width=COLUMN)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(take_all(target))
