"""What the tour waits for: looks at the floor that answer "not yet" or with what was seen. Used with `until`."""

from __future__ import annotations

from typing import Any

from bot.demo.stage import COOLDOWN_MS, Stage
from bot.demo.view import Card
from bot.sandbox.children import until

SCENE_WITHIN = 30.0  # seconds of real time for a scene to reach its end; they take four to ten
BREACH = "var-breach"  # the policy of row T2
RISK = ("kelly_fraction", "trading")  # what actions on the risk engine change
SOON = 12.0  # seconds for one thing to happen within a scene; mostly well under one


async def calm(stage: Stage) -> None:
    """No VaR fault, Kelly at 0.25, no breach firing or open, and the action's cool-down over."""
    await stage.calm("risk")

    async def quiet() -> bool:
        alerts = await stage.sandbox("GET", "/alerts")
        symbols = (await stage.sandbox("GET", "/api/risk/status"))["var_pct"]
        listed = (await stage.api("GET", "/incidents"))["incidents"]
        targets = (await stage.api("GET", "/targets"))["targets"]
        return (
            not set(alerts["firing"]) & set(symbols)
            and not any(line["policy"] == BREACH for line in listed)
            and not _cooling(targets, stage.clock.now())
        )

    await until("the floor is calm", quiet, within=SCENE_WITHIN)


def _cooling(targets: list[dict[str, Any]], now: int) -> bool:
    """Whether a Kelly cut may not run again yet."""
    runs = [at for target in targets if target["record"] for at in target["record"]["last_run"].items()]
    return any(name.startswith("risk.") and now - at <= COOLDOWN_MS for name, at in runs)


async def new_incident(stage: Stage, known: set[str], policy: str = BREACH) -> Card | None:
    """The newest incident of a policy that is not known yet."""
    return next((card for card in await stage.cards() if card.id not in known and card.policy == policy), None)


async def reached(stage: Stage, incident: str, status: str) -> Card | None:
    card = await stage.card(incident)
    return card if card.status == status else None


async def effects_after(stage: Stage, count: int, *what: str) -> list[dict[str, Any]]:
    return (await stage.effects(*(what or RISK)))[count:]


async def pages_after(stage: Stage, count: int) -> list[dict[str, Any]]:
    return stage.pages()[count:]


async def healthy_again(stage: Stage, incident: str, began: int) -> float:
    """Seconds on the demo's clock from the fault until fresh evidence showed that it is over.

    That is the step's verification or, where the bot was dead while that could have come true, the resolution.
    """

    async def look() -> int | None:
        record = (await stage.api("GET", f"/incidents/{incident}"))["incident"]
        at = record["mitigated_at"] or record["resolved_at"]
        return None if at is None else int(at)

    return round((await until("VaR is seen to have fallen", look, within=SCENE_WITHIN) - began) / 1000, 1)
