"""The tour's scene about a slow Redis (row T3): a failover refused with its figure, then one that loses nothing.

Played by `bot.demo.tour`. The servers and Sentinels are real, and so is the slowness. First the replica is cut off, so
Andon must not fail over and calls people; once it follows again, the next slow moment is answered by a coordinated
failover, after which the two services that depend on Redis are restarted on the new address, one after the other.
"""

from __future__ import annotations

from typing import Any

from bot.demo.outlook import SCENE_WITHIN, SOON, new_incident
from bot.demo.score import Score, say
from bot.demo.stage import Stage
from bot.demo.view import Card
from bot.sandbox.children import until

POLICY = "redis-latency"
SERVICES = ("risk-harmoniser", "strategist")  # in the order in which they must follow
FAULT = {"cause": "slow_commands", "server": "primary"}


async def redis_is_failed_over(stage: Stage, score: Score) -> None:
    """Refused while the replica is stale; done once it is well."""
    known = set(score.incidents)
    home = await stage.sandbox("GET", "/redis")
    incident = await _refused(stage, score, known)
    await _people_make_it_well(stage, incident)
    await stage.sandbox("POST", "/faults/latency", FAULT)
    say("  T3: the replica follows again, and the primary is slow again")
    moved = await until("Redis is failed over", lambda: _moves(stage), within=SCENE_WITHIN)
    ended = await until("T3 is mitigated", lambda: _mitigated(stage, incident, known), within=SCENE_WITHIN)
    if ended.id != incident:
        score.incidents.append(ended.id)
    now = await stage.sandbox("GET", "/redis")
    swapped = (now["primary"], now["replica"]) == (home["replica"], home["primary"]) and len(moved) == 1
    score.check("T3: failed over once, coordinated", swapped, _sentence(ended, "is primary, epoch"))
    restarts = await stage.effects("service:")
    order = [effect["what"].removeprefix("service:") for effect in restarts]
    right = order == list(SERVICES) and {effect["after"] for effect in restarts} == {now["primary"]}
    score.check("T3: dependants restarted in order", right, f"{' then '.join(order)}, on {now['primary']}")
    writes = await stage.sandbox("GET", "/ledger/writes")
    counted = f"{writes['acknowledged']} acknowledged writes, {writes['lost']} lost"
    score.check("T3: no acknowledged write is lost", writes["lost"] == 0 < writes["acknowledged"], counted)
    await stage.sandbox("POST", "/faults/latency", {"clear": True})


async def _refused(stage: Stage, score: Score, known: set[str]) -> str:
    """Slow primary, stale replica: nothing may move. Returns the incident."""
    await stage.sandbox("POST", "/faults/replica", {"state": "stale"})
    await stage.sandbox("POST", "/faults/latency", FAULT)
    say("  T3: the Redis primary is slow, and its replica is cut off from it")
    card = await until("T3 opens", lambda: new_incident(stage, known, POLICY), within=SOON)
    score.incidents.append(card.id)
    parked = await until("the failover is refused", lambda: _status(stage, card.id, "parked"), within=SCENE_WITHIN)
    score.check("T3: refused with its figure", "stale" in parked.why and "bytes behind" in parked.why, parked.why)

    async def paged() -> list[dict[str, Any]]:
        return [page for page in stage.pages() if page["incident_id"] == card.id]

    pages = await until("people are called", paged, within=SOON)
    untouched = not await _moves(stage) and not await stage.effects("service:")
    score.check("T3: refused: nothing is done, people are called", untouched, f"{pages[0]['service']} was paged")
    return card.id


async def _people_make_it_well(stage: Stage, incident: str) -> None:
    """The replica follows, the primary is quick, and the incident is closed by hand."""
    await stage.sandbox("POST", "/faults/latency", {"clear": True})
    await stage.sandbox("POST", "/faults/replica", {"state": "up"})

    async def quiet() -> bool:
        alerts = await stage.sandbox("GET", "/alerts")
        return "RedisLatencyHigh" not in alerts["firing"] and not (await stage.card(incident)).firing

    await until("Redis is quick again", quiet, within=SCENE_WITHIN)
    if (await stage.card(incident)).status == "parked":
        body = {"note": "tour: the replica was mended", "force": True}
        await stage.api("POST", f"/incidents/{incident}/resolve", body)

    async def held() -> bool:
        """Inside the hold a relapse joins the episode, and its plan is not run again."""
        return "hold" not in (await stage.card(incident)).due

    await until("the hold is over", held, within=SCENE_WITHIN)


async def _moves(stage: Stage) -> list[dict[str, Any]]:
    return await stage.effects("redis_primary", author="redis")


async def _status(stage: Stage, incident: str, status: str) -> Card | None:
    card = await stage.card(incident)
    return card if card.status == status else None


async def _mitigated(stage: Stage, first: str, known: set[str]) -> Card | None:
    """The second slow moment, as a new episode of the first incident or as a new one, once it is over."""
    for line in await stage.cards():
        if line.policy == POLICY and line.id not in known and (line.id != first or line.episode > 1):
            card = await stage.card(line.id)
            return card if card.status in ("mitigated", "resolved", "closed") else None
    return None


def _sentence(card: Card, part: str) -> str:
    """The sentence of the timeline that says it."""
    return next((moment.text for moment in card.timeline if part in moment.text), "not said")
