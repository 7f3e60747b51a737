"""Before a freeze or a hold that was filled in: what it would stop is looked up, and shown with the button.

Used by `submissions`, and by `freezes` and `arming` to look; `stop_modals` renders it. The look is bounded: who wants
to stop something does not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from bot.adapters.desk import Order, must_act
from bot.adapters.http_lookup import find_incident, targets_of, the_shard
from bot.adapters.http_services import Services
from bot.adapters.slack.heard.person import Show
from bot.adapters.slack.pages import stop_modals
from bot.adapters.slack.pages.forms import FreezeForm, HoldForm
from bot.adapters.slack.pages.stop_modals import Stopped
from bot.core.plan import Plan
from bot.core.words import SYSTEM_TARGET

LOOK_SECONDS: Final = 1.0  # of Slack's three for an answer
MAX_OPEN: Final = 500  # open incidents looked at per system, the newest; where there are more, the page says so


async def before_stopping(services: Services, order: Order, form: FreezeForm | HoldForm) -> Show:
    """The page with the button. Raises InputError for what there is not, Unwelcome for who may only look."""
    must_act(services, order.person)
    if isinstance(form, HoldForm):
        found = await find_incident(services, form.ref.incident)
        return Show(stop_modals.hold(form, found.incident, services.clock.now()))
    shards = [the_shard(services, form.system)] if form.system else list(services.shards)
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return Show(stop_modals.freeze(form, await look(services, shards, form.component)))
    except TimeoutError:
        return Show(stop_modals.freeze(form, None))


async def look(services: Services, shards: Sequence[str], component: str) -> Stopped:
    """What may be sent there as things stand. What is not armed and was not ordered sends nothing."""
    pending, armed, cut = [], [], 0
    for shard in shards:
        own = (await targets_of(services, shard)).get(SYSTEM_TARGET)
        acting = own.armed if own is not None else {}
        lines = await services.store.incidents(shard, closed=False, limit=MAX_OPEN + 1)
        if len(lines) > MAX_OPEN:
            cut = MAX_OPEN
        for line in lines[:MAX_OPEN]:
            incident, plan = line.incident, line.incident.plan
            steps = stop_modals.ahead(incident, component)
            if steps and plan is not None and (plan.policy in acting or incident.ordered_by):
                pending.append((incident, steps))
        plans = [plan for plan in services.policies() if plan.system == shard and plan.policy in acting]
        armed += [plan for plan in plans if plan.mode != "shadow" and _touches(plan, component)]
    return Stopped(pending=pending, armed=armed, cut=cut)


def _touches(plan: Plan, component: str) -> bool:
    return any(component in ("", step.component) for step in stop_modals.steps_of(plan))
