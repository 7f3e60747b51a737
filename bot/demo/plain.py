"""The demo without a terminal: one fault from its first alert to its end or its question, a line a moment.

Called by `bot.demo.live` when output goes into a file or a pipe. It ends where nothing more happens by itself: the
incident is closed, or parked with people called, or a question waits for a person. A fault that is played to its
question is not over when it is parked: its ladder goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Set

from bot.demo.faults import Fault, inject
from bot.demo.stage import Stage
from bot.demo.view import Card, plain
from bot.sandbox.children import until
from bot.sandbox.model import BASELINE_KELLY

PLAY_SECONDS = 60.0  # a breach takes about twelve, a failover sixteen, the ladder's question after five minutes 22


async def play_plainly(stage: Stage, fault: Fault) -> None:
    """Break it, and tell what is seen. Unmet when it does not come to an end."""
    lines = _Lines(stage)
    lines.line(
        f"clock ×{stage.scale:g}: times below are the demo's; no Alertmanager runs, the sandbox posts alerts itself"
    )
    lines.line(f"the same in Slack, while this runs: {stage.slack_page}")
    await inject(stage, fault)
    lines.line(fault.what)
    lines.line(f"to be seen: {fault.see}")
    await until("it comes to an end", lambda: _has_ended(stage, fault, lines), within=PLAY_SECONDS)
    await _sum_up(stage, lines)


async def _has_ended(stage: Stage, fault: Fault, lines: _Lines) -> bool:
    cards = [await stage.card(line.id) for line in await stage.cards()]
    for card in reversed(cards):
        lines.tell(card)
    questions = await stage.waiting()
    for question in questions:
        lines.line(f"a person must decide: {question.action}, {question.change}; may: {', '.join(question.may)}")
        lines.line(f"  andon approve {question.incident}; silence: {question.silence}")
    return is_over(fault, {card.status for card in cards}, asked=bool(questions))


def is_over(fault: Fault, statuses: Set[str], *, asked: bool) -> bool:
    """Whether nothing more is to be seen of it. Pure."""
    ends = {"closed"} if fault.asks else {"closed", "parked"}
    return asked or bool(ends & statuses)


async def _sum_up(stage: Stage, lines: _Lines) -> None:
    """What has changed on the target, from its own ledger."""
    effects = await stage.effects()
    status = await stage.sandbox("GET", "/api/risk/status")
    redis, writes = await stage.sandbox("GET", "/redis"), await stage.sandbox("GET", "/ledger/writes")
    for effect in effects + await stage.effects("redis_primary", author="redis"):
        lines.line(f"changed: {effect['what']} {effect['before']} → {effect['after']}")
    if status["kelly_fraction"] != BASELINE_KELLY:
        lines.line(f"Kelly {BASELINE_KELLY:g} → {status['kelly_fraction']:g}")
    lines.line(f"{len(effects)} effect(s) of Andon's in the target's ledger; Redis primary {redis['primary']}")
    lines.line(f"{writes['acknowledged']} acknowledged writes of its services, {writes['lost']} lost")


class _Lines:
    """Standard output, line by line, and how much of each timeline was printed."""

    def __init__(self, stage: Stage) -> None:
        self._began = stage.clock.now()
        self._shown: dict[str, int] = {}

    def line(self, text: str) -> None:
        """One line, at once."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def tell(self, card: Card) -> None:
        """What is new of an incident."""
        for moment in card.timeline[self._shown.get(card.id, 0) :]:
            self.line(plain(moment, self._began))
        self._shown[card.id] = len(card.timeline)
