"""The tour's scene about people: a ladder that asks, a refusal, a yes, and a question that nobody answers.

Played by `bot.demo.tour`. VaR jumps so high that the Kelly cut is not enough, so five minutes later the ladder wants to
halt trading and must ask, since nobody signed for it. Meanwhile somebody in no roster orders a deeper cut, and the
question that this raises runs out: nothing is sent, and people are paged on.
"""

from __future__ import annotations

from typing import Any

from bot.demo.config import APPROVER, PERSON, SYSTEM, VISITOR
from bot.demo.outlook import RISK, SCENE_WITHIN, SOON, calm, effects_after, new_incident, reached
from bot.demo.score import Score, say
from bot.demo.stage import RefusedError, Stage
from bot.demo.view import Waiting, countdown
from bot.sandbox.children import until

SYMBOL = "BTC-USD"
VAR_PCT = 6.0  # cut to 0.4 of it, VaR is still over the threshold of 1.8
DEEPER_KELLY = 0.05
BY_HAND = {"alertname": "VaRBreach", "severity": "critical", "symbol": SYMBOL, "system": SYSTEM}


async def people_decide(stage: Stage, score: Score) -> None:
    """Ask twice: once somebody may not and somebody does, once nobody answers."""
    await calm(stage)
    effects = len(await stage.effects(*RISK))
    lonely = await _order_that_asks(stage, score)
    await stage.inject(SYMBOL, VAR_PCT)
    await stage.api("POST", "/fire", {"labels": BY_HAND})
    say(f"  VaR of {SYMBOL} jumps to {VAR_PCT} %, and {PERSON} raises the alert by hand as well")
    known = {*score.incidents, lonely.incident}
    breach = await until("an incident opens", lambda: new_incident(stage, known), within=SOON)
    score.incidents += [lonely.incident, breach.id]
    halt = await until("the ladder asks", lambda: _asked(stage, "trading.halt"), within=SCENE_WITHIN)
    score.incidents.append(halt.incident)
    _say_what_waits(stage, halt)
    cuts = await effects_after(stage, effects)
    score.check("the ladder asks before it halts", [e["what"] for e in cuts] == ["kelly_fraction"], _words(stage, halt))
    await _wrong_person(stage, score, halt)
    await _right_person(stage, score, halt, effects)
    await _nobody(stage, score, lonely)
    await stage.api("POST", f"/incidents/{lonely.incident}/resolve", {"note": "tour: over", "force": True})
    await stage.api("POST", "/fire", {"labels": BY_HAND, "status": "resolved"})
    await stage.calm("risk")


async def _order_that_asks(stage: Stage, score: Score) -> Waiting:
    """Somebody in no roster orders a cut; an order without a yes of its own asks."""
    order = {
        "action": "risk.reduce_kelly", "system": SYSTEM, "arguments": {"kelly_fraction": DEEPER_KELLY},
        "reason": "tour: cut deeper",
    }  # fmt: skip
    seen = await stage.api("POST", "/run", {**order, "dry_run": True}, person=VISITOR)
    score.check("a dry run says whose yes it needs", bool(seen["may_approve"]), seen["approval"])
    answer = await stage.api("POST", "/run", order, person=VISITOR)
    question = await until("the order asks", lambda: _asked(stage, "risk.reduce_kelly"), within=SOON)
    say(f"  {VISITOR} orders a deeper cut ({answer['incident']}), and nobody will answer")
    _say_what_waits(stage, question)
    return question


async def _wrong_person(stage: Stage, score: Score, halt: Waiting) -> None:
    try:
        why = await stage.decide("approve", halt, person=PERSON)
        refused = False
    except RefusedError as refusal:
        why, refused = str(refusal), True
    score.check("who raised the alert may not approve", refused, why)
    score.decisions.append(_decision(halt, PERSON, "refused" if refused else "approved", why))


async def _right_person(stage: Stage, score: Score, halt: Waiting, effects: int) -> None:
    why = await stage.decide("approve", halt, person=APPROVER, reason="tour: agreed")

    async def halted() -> list[dict[str, Any]]:
        return [effect for effect in await effects_after(stage, effects) if effect["what"] == "trading"]

    done = await until("trading is halted", halted, within=SOON)
    score.check("a second person approves: one halt", len(done) == 1, f"{why}; {len(done)} effect(s)")
    score.decisions.append(_decision(halt, APPROVER, "approved", why))


async def _nobody(stage: Stage, score: Score, lonely: Waiting) -> None:
    parked = await until(
        "silence ends the question", lambda: reached(stage, lonely.incident, "parked"), within=SCENE_WITHIN
    )
    status = await stage.sandbox("GET", "/api/risk/status")
    score.check("nobody answers: nothing is sent", status["kelly_fraction"] > DEEPER_KELLY, parked.why)

    async def paged_on() -> list[dict[str, Any]]:
        return [page for page in stage.pages() if page["incident_id"] == lonely.incident][1:]  # the first one asked

    pages = await until("people are paged on", paged_on, within=SOON)
    score.check("nobody answers: people are paged on", True, f"{pages[0]['service']}: {pages[0]['summary']}")
    score.decisions.append(_decision(lonely, "", "expired", parked.why))


async def _asked(stage: Stage, action: str) -> Waiting | None:
    return next((question for question in await stage.waiting() if question.action == action), None)


def _say_what_waits(stage: Stage, question: Waiting) -> None:
    say(f"  waits: {_words(stage, question)}")
    say(f"         andon approve {question.incident}")


def _words(stage: Stage, question: Waiting) -> str:
    left = countdown(question.expires_at, stage.clock.now())
    return f"{question.action}, {question.change}; {left} left, then {question.silence}"


def _decision(question: Waiting, by: str, outcome: str, why: str) -> dict[str, str]:
    """One line of the tour's document."""
    return {
        "incident": question.incident, "action": question.action, "change": question.change, "by": by,
        "outcome": outcome, "why": why,
    }  # fmt: skip
