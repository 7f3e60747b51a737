"""`andon demo --tour`: the demo plays itself and judges itself. Four scenes, then one JSON document and an exit code.

1. A VaR breach, told twice by a pair of Alertmanagers: Kelly is cut once, verified, resolved, closed.
2. Another breach, and the bot is killed with -9 in the middle of it: it recovers and still acts once.
3. A breach while automation is frozen: nothing is done, the incident is parked and somebody is paged.
4. The audit is verified; then one line is changed behind the bot's back, and verification finds it.

Effects are counted in the sandbox's own ledger. Progress goes to standard error, one line a moment.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bot.demo.config import SYSTEM
from bot.demo.stage import CLOSE, COOLDOWN, COOLDOWN_MS, HOLD, DemoError, Stage, open_stage
from bot.demo.view import Card
from bot.sandbox.children import Unmet, until

SCENE_WITHIN = 30.0  # seconds of real time for a scene to reach its end; they take four to ten
SOON = 12.0  # seconds for one thing to happen within a scene; mostly well under one
SYMBOLS = ("BTC-USD", "SOL-USD", "ETH-USD")  # whose VaR breaks in which scene


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it was kept."""

    name: str
    ok: bool
    detail: str


@dataclass(slots=True)
class Score:
    """What the tour has seen so far."""

    checks: list[Check] = field(default_factory=list)
    seconds_to_mitigate: list[float] = field(default_factory=list)
    incidents: list[str] = field(default_factory=list)

    def check(self, name: str, ok: bool, detail: str) -> None:
        """Note a promise, and say so."""
        self.checks.append(Check(name, ok, detail))
        say(f"  {'ok  ' if ok else 'FAIL'} {name}: {detail}")


def say(text: str) -> None:
    """One line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


async def tour(as_json: bool) -> int:
    """Play it. Returns the exit code: 0 only if all ended as the policies promise."""
    score = Score()
    document: dict[str, Any] = {}
    try:
        async with open_stage() as stage:
            say(f"Andon's tour: a simulated trading-core, clock ×{stage.scale:g}; no Alertmanager runs here, so the")
            say("sandbox posts the same webhooks itself, each one twice, as a pair of Alertmanagers may")
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
        ("4. the audit, whole and broken", _audit),
    ):
        say(title)
        await scene(stage, score)


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


async def _acted_once(
    stage: Stage, score: Score, symbol: str, what: str, meanwhile: Callable[[], Awaitable[None]]
) -> Card:
    """A breach of `symbol` that must be cut, verified, resolved and closed; `meanwhile` once somebody has noticed."""
    await _calm(stage)
    effects, requests, began = len(await stage.effects()), len(await stage.requests()), stage.clock.now()
    await stage.inject(symbol, 2.4)
    say(f"  VaR of {symbol} jumps to 2.4 %")
    known = set(score.incidents)
    card = await until("an incident opens", lambda: _new_incident(stage, known), within=SOON)
    score.incidents.append(card.id)
    await meanwhile()
    cut = await until("Kelly is cut", lambda: _effects_after(stage, effects), within=SOON)
    score.seconds_to_mitigate.append(await _healthy_again(stage, card.id, began))
    closed = await until("the incident closes", lambda: _reached(stage, card.id, "closed"), within=SCENE_WITHIN)
    after, asked = await stage.effects(), len(await stage.requests()) - requests
    score.check(
        f"{what}: one effect",
        len(after) == effects + 1 and cut[0]["what"] == "kelly_fraction",
        f"Kelly {cut[0]['before']:g} → {cut[0]['after']:g}, {len(after) - effects} effect(s) from {asked} request(s)",
    )
    score.check(f"{what}: verified, resolved, closed", closed.status == "closed", closed.why)
    return closed


async def _frozen(stage: Stage, score: Score) -> None:
    await _calm(stage)
    effects, pages = len(await stage.effects()), len(stage.pages())
    reason = "tour: what happens while automation is off"
    (answer,) = (await stage.api("POST", "/freeze", {"system": SYSTEM, "reason": reason}))["decisions"]
    score.check("freeze is taken", answer["decision"] == "applied", answer["why"])
    await stage.inject(SYMBOLS[2], 2.4)
    say(f"  VaR of {SYMBOLS[2]} jumps to 2.4 %")
    known = set(score.incidents)
    card = await until("an incident opens", lambda: _new_incident(stage, known), within=SOON)
    score.incidents.append(card.id)
    parked = await until("the incident is parked", lambda: _reached(stage, card.id, "parked"), within=SOON)
    score.check("frozen: parked", parked.status == "parked", parked.why)
    paged = await until("somebody is paged", lambda: _pages_after(stage, pages), within=SOON)
    score.check("frozen: a human is paged", True, f"{paged[0]['service']}: {paged[0]['summary']}")
    acted = len(await stage.effects()) - effects
    score.check("frozen: nothing is done", acted == 0, f"{acted} effect(s)")
    await stage.api("POST", "/unfreeze", {"system": SYSTEM})
    await stage.calm()


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
    score.check(
        "two breaches to act on, two effects in all", len(effects) == 2, f"{len(effects)} in the target's ledger"
    )


async def _document(stage: Stage, score: Score) -> dict[str, Any]:
    """Everything but the checks."""
    incidents = [
        {"id": c.id, "policy": c.policy, "status": c.status, "symbols": c.symbols, "episode": c.episode, "why": c.why}
        for c in [await stage.card(incident) for incident in score.incidents]
    ]
    return {
        "clock": {"scale": stage.scale, "hold": HOLD, "close": CLOSE, "cooldown": COOLDOWN},
        "alerts_by": "sandbox",
        "incidents": incidents,
        "effects": await stage.effects(),
        "requests": await stage.requests(),
        "pages": stage.pages(),
        "approvals": [],
        "seconds_to_mitigate": score.seconds_to_mitigate,
    }


async def _aftermath(stage: Stage) -> str:
    """What a person needs who must find out why a scene stuck: the newest incident's story and the bot's last words."""
    try:
        card = (await stage.cards())[0]
        story = [f"{card.id} is {card.status}: {card.why}; due {dict(card.due)}", *(m.text for m in card.timeline)]
    except (DemoError, IndexError, OSError) as problem:
        story = [f"no incident can be read: {problem}"]
    return "\n".join([*story, *stage.bot_tail()])


# --- what the tour waits for ------------------------------------------------------------------------------------------


async def _nothing() -> None:
    """Scene 1 is not disturbed."""


async def _calm(stage: Stage) -> None:
    """No fault, Kelly at 0.25, no alert firing, and the action's cool-down over."""
    await stage.calm()

    async def quiet() -> bool:
        alerts = await stage.sandbox("GET", "/alerts")
        listed = (await stage.api("GET", "/incidents"))["incidents"]
        targets = (await stage.api("GET", "/targets"))["targets"]
        return not alerts["firing"] and not listed and not _cooling(targets, stage.clock.now())

    await until("the floor is calm", quiet, within=SCENE_WITHIN)


def _cooling(targets: list[dict[str, Any]], now: int) -> bool:
    """Whether any action may not run again yet."""
    runs = [at for target in targets if target["record"] for at in target["record"]["last_run"].values()]
    return any(now - at <= COOLDOWN_MS for at in runs)


async def _new_incident(stage: Stage, known: set[str]) -> Card | None:
    return next((card for card in await stage.cards() if card.id not in known), None)


async def _reached(stage: Stage, incident: str, status: str) -> Card | None:
    card = await stage.card(incident)
    return card if card.status == status else None


async def _effects_after(stage: Stage, count: int) -> list[dict[str, Any]]:
    return (await stage.effects())[count:]


async def _pages_after(stage: Stage, count: int) -> list[dict[str, Any]]:
    return stage.pages()[count:]


async def _healthy_again(stage: Stage, incident: str, began: int) -> float:
    """Seconds on the demo's clock from the fault until fresh evidence showed that it is over.

    That is the step's verification or, where the bot was dead while that could have come true, the resolution.
    """

    async def look() -> int | None:
        record = (await stage.api("GET", f"/incidents/{incident}"))["incident"]
        at = record["mitigated_at"] or record["resolved_at"]
        return None if at is None else int(at)

    return round((await until("VaR is seen to have fallen", look, within=SCENE_WITHIN) - began) / 1000, 1)


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
