"""The tour's scene about the model router (row T1): paused once, and never resumed over somebody's head.

Played by `bot.demo.tour`. Andon counts the switches in the floor's own stream, pauses the router, and shows that the
rate falls. When the time of the pause is over it asks; meanwhile people take the pause over, and the yes that comes
then is not carried out.
"""

from __future__ import annotations

from typing import Any

from bot.demo.config import APPROVER
from bot.demo.outlook import SCENE_WITHIN, SOON, effects_after, new_incident
from bot.demo.score import Score, say
from bot.demo.stage import RefusedError, Stage
from bot.demo.view import Card, Waiting
from bot.sandbox.children import until

POLICY = "model-switching"
PATTERN, PER_MINUTE = "pingpong", 240
QUANT = "quant"  # a role at the desk, as the router knows owners


async def router_is_paused(stage: Stage, score: Score) -> None:
    """Switching too often, paused; then the end of the lease, a pause taken over, and a yes that comes too late."""
    known = set(score.incidents)
    await stage.sandbox("POST", "/faults/switching", {"pattern": PATTERN, "per_minute": PER_MINUTE})
    say(f"  T1: the router switches {PER_MINUTE} times a minute to and fro; no Prometheus counts it, its stream tells")
    card = await until("T1 opens", lambda: new_incident(stage, known, POLICY), within=SOON)
    score.incidents.append(card.id)
    await until("the router is paused", lambda: effects_after(stage, 0, "router"), within=SOON)
    status = await stage.sandbox("GET", "/api/router/status")
    calmed = await until("the rate has fallen", lambda: _mitigated(stage, card.id), within=SCENE_WITHIN)
    words = "; ".join(moment.text for moment in calmed.timeline)
    done = await stage.effects("router")
    score.check("T1: paused once, by Andon", len(done) == 1 and status["owner"] == "andon", f"{len(done)} effect(s)")
    score.check("T1: the frozen models are named", status["model"] in words, status["model"])
    score.check("T1: the cause is told", "between two models" in words, _sentence(calmed, "between two models"))
    score.check("T1: verified by the rate", "verified: switches" in words, _sentence(calmed, "verified: switches"))
    await _lease_ends(stage, score)


async def _lease_ends(stage: Stage, score: Score) -> None:
    question = await until("the end of the lease asks", lambda: _asked(stage), within=SCENE_WITHIN)
    status = await stage.sandbox("GET", "/api/router/status")
    score.check("T1: its time is up: asked, not resumed", status["state"] == "paused", question.change)
    await stage.sandbox("POST", "/api/router/pause", {"owner": QUANT, "reason": "the rules are being mended"})
    say(f"  T1: {QUANT} takes the pause over; then {APPROVER} says yes to the resume that Andon asks for")
    why = await _say_yes(stage, question)
    status = await stage.sandbox("GET", "/api/router/status")
    kept = (status["state"], status["owner"]) == ("paused", QUANT) and len(await stage.effects("router")) == 1
    score.check("T1: somebody else's pause is not resumed over", kept and QUANT in why, why)
    score.decisions.append(
        {
            "incident": question.incident, "action": question.action, "change": question.change, "by": APPROVER,
            "outcome": "not carried out", "why": why,
        }
    )  # fmt: skip
    await stage.sandbox("POST", "/faults/switching", {"clear": True})
    await stage.sandbox("POST", "/api/router/resume", {"owner": QUANT, "reason": "the rules are mended"})


async def _say_yes(stage: Stage, question: Waiting) -> str:
    """Approve; what Andon says about it, at once or once it has looked at the router again."""
    try:
        await stage.decide("approve", question, person=APPROVER, reason="tour: let it go on")
    except RefusedError as refusal:
        return str(refusal)

    async def judged() -> str:
        said: list[Any] = [moment.text for moment in (await stage.card(question.incident)).timeline]
        return next((text for text in reversed(said) if QUANT in text), "")

    return await until("the router is looked at again", judged, within=SCENE_WITHIN)


async def _mitigated(stage: Stage, incident: str) -> Card | None:
    card = await stage.card(incident)
    return card if card.status in ("mitigated", "resolved", "closed") else None


async def _asked(stage: Stage) -> Waiting | None:
    return next((question for question in await stage.waiting() if question.action == "router.resume"), None)


def _sentence(card: Card, part: str) -> str:
    """The sentence of the timeline that says it."""
    return next((moment.text for moment in card.timeline if part in moment.text), "not said")
