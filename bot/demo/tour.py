"""`andon demo --tour`: the demo plays itself and judges itself. Eight scenes, then one JSON document and an exit code.

1. A VaR breach (T2), told twice by a pair of Alertmanagers: Kelly is cut once, verified, resolved, closed.
2. Another breach, and the bot is killed with -9 in the middle of it: it recovers and still acts once.
3. A breach while automation is frozen: nothing is done, the incident is parked and somebody is paged.
4. Side by side, for they wait for different things:
   a breach that the cut does not end: people must decide, one may not, one does, one question nobody answers
   (`tour_people`); a router that switches too often (T1, `tour_router`); a slow Redis (T3, `tour_redis`).
5. The local Slack has one card for each incident, as it ended (`tour_slack`).
6. The audit is verified; then one line is changed behind the bot's back, and verification finds it.

Effects are counted in the sandbox's own ledger. Progress goes to standard error, one line a moment.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from bot.demo.config import SYSTEM
from bot.demo.outlook import (
    RISK,
    SCENE_WITHIN,
    SOON,
    calm,
    effects_after,
    healthy_again,
    new_incident,
    pages_after,
    reached,
)
from bot.demo.score import Score, say
from bot.demo.stage import CLOSE, COOLDOWN, HOLD, LATENCY_US, LEASE, DemoError, Stage, open_stage
from bot.demo.tour_people import people_decide
from bot.demo.tour_redis import redis_is_failed_over
from bot.demo.tour_router import router_is_paused
from bot.demo.tour_slack import slack_shows_it
from bot.demo.view import Card
from bot.sandbox.children import Unmet, until

SYMBOLS = ("BTC-USD", "SOL-USD", "ETH-USD")  # whose VaR breaks in which scene
RISK_API = ("/api/risk/", "/api/stop-trading", "/api/start-trading")
STORY = 12  # sentences of an incident that is told when a scene is stuck
MEANT = 7  # effects of a tour in which all goes well


async def tour(as_json: bool) -> int:
    """Play it. Returns the exit code: 0 only if all ended as the policies promise."""
    score = Score()
    document: dict[str, Any] = {}
    try:
        async with open_stage() as stage:
            say(f"Andon's tour: a simulated trading-core, clock ×{stage.scale:g}; no Alertmanager runs here, so the")
            say("sandbox posts the same webhooks itself, each one twice, as a pair of Alertmanagers may")
            say(f"to watch it in a local Slack, while it runs: {stage.slack_page}")
            try:
                await _play(stage, score)
            except Unmet as problem:
                score.check("the tour reached its end", False, f"{problem}\n{await _aftermath(stage)}")
            document = await _document(stage, score)
    except (DemoError, Unmet, OSError) as problem:
        score.check("the tour reached its end", False, str(problem))
    document |= {"checks": [asdict(check) for check in score.checks], "ok": all(check.ok for check in score.checks)}
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        kept = sum(check.ok for check in score.checks)
        say(f"{kept} of {len(score.checks)} promises kept; for the whole document: andon demo --tour --json")
    return 0 if document["ok"] else 1


async def _play(stage: Stage, score: Score) -> None:
    for title, scene in (
        ("1. VaR breach, told twice", _breach),
        ("2. VaR breach, and kill -9 in the middle", _killed),
        ("3. VaR breach while frozen", _frozen),
        (
            "4. side by side: VaR stays high and people decide; a router to pause (T1); a Redis to fail over (T3)",
            _three,
        ),
        ("5. what Slack shows of it", slack_shows_it),
        ("6. the audit, whole and broken", _audit),
    ):
        say(title)
        await scene(stage, score)


async def _three(stage: Stage, score: Score) -> None:
    """Three scenes on three targets, at the same time. The first that gets stuck ends the others."""
    try:
        async with asyncio.TaskGroup() as scenes:
            for scene in (people_decide, router_is_paused, redis_is_failed_over):
                scenes.create_task(scene(stage, score))
    except* (Unmet, DemoError) as stuck:
        raise Unmet("; ".join(str(problem) for problem in stuck.exceptions)) from stuck


async def _breach(stage: Stage, score: Score) -> None:
    card = await _acted_once(stage, score, SYMBOLS[0], "a breach told twice", _nothing)
    words = "; ".join(moment.text for moment in card.timeline)
    score.check("a breach told twice: nobody is woken", not stage.pages(), f"{len(stage.pages())} page(s)")
    score.check("every step is explained", "var" in words.lower(), f"{len(card.timeline)} sentences in the audit")


async def _killed(stage: Stage, score: Score) -> None:
    async def kill() -> None:
        pid = await stage.kill_bot()
        say(f"  kill -9 {pid}")
        await stage.start_bot()
        say(f"  the bot is back as process {stage.bot_pid}")

    await _acted_once(stage, score, SYMBOLS[1], "a breach with kill -9 in it", kill)


async def _nothing() -> None:
    """Scene 1 is not disturbed."""


async def _acted_once(
    stage: Stage, score: Score, symbol: str, what: str, meanwhile: Callable[[], Awaitable[None]]
) -> Card:
    """A breach of `symbol` that must be cut, verified, resolved and closed; `meanwhile` once somebody has noticed."""
    await calm(stage)
    effects, requests, began = len(await stage.effects(*RISK)), len(await stage.requests(*RISK_API)), stage.clock.now()
    await stage.inject(symbol, 2.4)
    say(f"  VaR of {symbol} jumps to 2.4 %")
    known = set(score.incidents)
    card = await until("an incident opens", lambda: new_incident(stage, known), within=SOON)
    score.incidents.append(card.id)
    await meanwhile()
    cut = await until("Kelly is cut", lambda: effects_after(stage, effects), within=SOON)
    score.seconds_to_mitigate.append(await healthy_again(stage, card.id, began))
    closed = await until("the incident closes", lambda: reached(stage, card.id, "closed"), within=SCENE_WITHIN)
    after, asked = await stage.effects(*RISK), len(await stage.requests(*RISK_API)) - requests
    score.check(
        f"{what}: one effect",
        len(after) == effects + 1 and cut[0]["what"] == "kelly_fraction",
        f"Kelly {cut[0]['before']:g} → {cut[0]['after']:g}, {len(after) - effects} effect(s) from {asked} request(s)",
    )
    score.check(f"{what}: verified, resolved, closed", closed.status == "closed", closed.why)
    return closed


async def _frozen(stage: Stage, score: Score) -> None:
    await calm(stage)
    effects, pages = len(await stage.effects(*RISK)), len(stage.pages())
    reason = "tour: what happens while automation is off"
    (answer,) = (await stage.api("POST", "/freeze", {"system": SYSTEM, "reason": reason}))["decisions"]
    score.check("freeze is taken", answer["decision"] == "applied", answer["why"])
    await stage.inject(SYMBOLS[2], 2.4)
    say(f"  VaR of {SYMBOLS[2]} jumps to 2.4 %")
    known = set(score.incidents)
    card = await until("an incident opens", lambda: new_incident(stage, known), within=SOON)
    score.incidents.append(card.id)
    parked = await until("the incident is parked", lambda: reached(stage, card.id, "parked"), within=SOON)
    score.check("frozen: parked", parked.status == "parked", parked.why)
    paged = await until("somebody is paged", lambda: pages_after(stage, pages), within=SOON)
    score.check("frozen: a human is paged", True, f"{paged[0]['service']}: {paged[0]['summary']}")
    acted = len(await stage.effects(*RISK)) - effects
    score.check("frozen: nothing is done", acted == 0, f"{acted} effect(s)")
    await stage.api("POST", "/unfreeze", {"system": SYSTEM})
    await stage.calm("risk")


async def _audit(stage: Stage, score: Score) -> None:
    verdict = await stage.api("GET", "/audit/verify")
    score.check("the audit verifies", verdict["ok"], _audit_words(verdict))
    broken = await stage.break_audit(score.incidents[0])
    code, output = await stage.command("audit", "verify", "--json")
    found = code != 0 and score.incidents[0] in output
    score.check(
        "a changed audit line is found", found, f"andon audit verify ended with {code}: {_first_problem(output)}"
    )
    await stage.mend_audit(broken)
    verdict = await stage.api("GET", "/audit/verify")
    score.check("put back, it verifies again", verdict["ok"], _audit_words(verdict))
    effects = await stage.effects()
    what = ", ".join(f"{effect['what']} {effect['before']} → {effect['after']}" for effect in effects)
    meant = f"three cuts, one halt, one pause and two restarts were meant, {MEANT} effects in all"
    score.check(meant, len(effects) == MEANT, what)


async def _document(stage: Stage, score: Score) -> dict[str, Any]:
    """Everything but the checks."""
    incidents = [
        {"id": c.id, "policy": c.policy, "status": c.status, "symbols": c.symbols, "episode": c.episode, "why": c.why}
        for c in [await stage.card(incident) for incident in score.incidents]
    ]
    return {
        "clock": {"scale": stage.scale, "hold": HOLD, "close": CLOSE, "cooldown": COOLDOWN, "lease": LEASE},
        "redis_limit_us": LATENCY_US,
        "alerts_by": "sandbox",
        "incidents": incidents,
        "effects": await stage.effects(),
        "requests": await stage.requests(),
        "pages": stage.pages(),
        "decisions": score.decisions,
        "router": await stage.sandbox("GET", "/api/router/status"),
        "redis": await stage.sandbox("GET", "/redis"),
        "writes": await stage.sandbox("GET", "/ledger/writes"),
        "seconds_to_mitigate": score.seconds_to_mitigate,
    }


async def _aftermath(stage: Stage) -> str:
    """What a person needs who must find out why a scene stuck: the story of what is not closed, and the last words."""
    story = []
    try:
        for card in [await stage.card(line.id) for line in await stage.cards() if line.status != "closed"]:
            story.append(f"{card.id} ({card.policy}) is {card.status}: {card.why}; due {dict(card.due)}")
            story += [f"  {moment.text}" for moment in card.timeline[-STORY:]]
    except (DemoError, OSError) as problem:
        story.append(f"no incident can be read: {problem}")
    return "\n".join([*story, *stage.bot_tail()])


def _audit_words(verdict: dict[str, Any]) -> str:
    """A verification in a few words."""
    words = f"{verdict['chains']} chains, {verdict['entries']} links, {len(verdict['problems'])} problem(s)"
    return "; ".join([words, *(f"{each['aggregate']}: {each['problem']}" for each in verdict["problems"])])


def _first_problem(output: str) -> str:
    """What `andon audit verify --json` complains about first."""
    try:
        problem = json.loads(output)["problems"][0]
        return f"{problem['aggregate']}: {problem['problem']}"
    except (ValueError, KeyError, IndexError, TypeError):
        return output.strip()[:300]
