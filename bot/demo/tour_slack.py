"""The tour's last look: what the local Slack shows of everything that happened.

Played by `bot.demo.tour`. Cards are projections of the record: whatever was killed, frozen or slow meanwhile, each
incident has one card in the end, it says how the incident ended, only what still waits has buttons to decide it, and
Slack has refused nothing that was sent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from bot.adapters.slack.cards.incident_card import STATES
from bot.adapters.slack.cards.shapes import action_id
from bot.demo.config import SYSTEM
from bot.demo.outlook import SOON
from bot.demo.score import Score
from bot.demo.stage import Stage
from bot.sandbox.children import Unmet, until

IN_TIME = frozenset({"", "ratelimited"})  # too fast is told by Slack and tried again; nothing else may go wrong


async def slack_shows_it(stage: Stage, score: Score) -> None:
    """One card an incident, each as the record has it; and no call of Slack's API was refused."""
    wrong: list[str] = []

    async def as_recorded() -> bool:
        wrong[:] = await _wrong(stage, score.incidents)
        return not wrong

    with contextlib.suppress(Unmet):
        await until("Slack shows how it ended", as_recorded, within=SOON)
    seen = "; ".join(wrong) or f"{len(score.incidents)} incidents, one card each"
    score.check("Slack shows how each incident ended", not wrong, seen)
    calls = (await stage.slack("/control/calls"))["calls"]
    refused = sorted({f"{call['method']}: {call['error']}" for call in calls if call["error"] not in IN_TIME})
    score.check("Slack refused nothing", not refused, "; ".join(refused) or f"{len(calls)} calls")


async def _wrong(stage: Stage, incidents: Sequence[str]) -> list[str]:
    """What is not as it should be, one line each."""
    messages = (await stage.slack("/control/state"))["messages"]
    found = []
    for incident in incidents:
        cards = [each for each in messages if _name(each) == f"card:{SYSTEM}|{incident}"]
        words = STATES[(await stage.card(incident)).status][1]  # type: ignore[index]  # the API's own status
        headings = [str(card["blocks"][0]["text"]["text"]) for card in cards]
        if len(headings) != 1 or words not in headings[0]:
            found.append(f"{incident} is {words!r}, and shown as {headings}")
    waiting = {question.approval for question in await stage.waiting()}
    asking = {_name(each).rpartition("|")[2] for each in messages if _asks(each)}
    return found + [f"{approval} is over, and can still be clicked" for approval in sorted(asking - waiting)]


def _name(message: Mapping[str, Any]) -> str:
    """What Andon calls this message of its own."""
    return str((message["metadata"].get("event_payload") or {}).get("name", ""))


def _asks(message: Mapping[str, Any]) -> bool:
    """Whether it has a button that says yes."""
    buttons = [element for block in message["blocks"] for element in block.get("elements", [])]
    return any(button.get("action_id") == action_id("approve") for button in buttons)
