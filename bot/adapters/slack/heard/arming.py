"""Before a policy is armed: what it would do, and what it did not do lately because it only watched. Before it is
disarmed: what it would no longer do, and which open incidents wait for it.

Used by `commands` and `submissions`; `arm_modals` renders it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from bot.adapters.desk import Order, must_act
from bot.adapters.http_lookup import targets_of, the_policy
from bot.adapters.http_services import Services
from bot.adapters.slack.heard.person import Show
from bot.adapters.slack.heard.stopping import LOOK_SECONDS, look
from bot.adapters.slack.pages import arm_modals
from bot.adapters.slack.pages.forms import ArmForm
from bot.adapters.slack.pages.stop_modals import Stopped
from bot.core.incident import Incident, StepResult
from bot.core.plan import Plan
from bot.core.target import Armed
from bot.core.words import SYSTEM_TARGET

MAX_RECENT: Final = 200  # incidents of the system looked through


async def before_arming(services: Services, order: Order, policy: str, system: str) -> Show:
    """The page with the button. Raises InputError for a policy that there is not, Unwelcome for who may only look."""
    must_act(services, order.person)
    plan = the_policy(services, policy, system)
    return Show(arm_modals.preview(plan, await _shadowed(services, plan)))


async def before_disarming(services: Services, order: Order, form: ArmForm) -> Show:
    """The page with the button. Raises InputError for a policy that there is not, Unwelcome for who may only look."""
    must_act(services, order.person)
    plan = the_policy(services, form.policy, form.system)
    armed = await _armed(services, plan)
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            found = await look(services, [plan.system], "")
    except TimeoutError:
        return Show(arm_modals.stops(plan, armed, None))
    own = [each for each in found.pending if each[0].plan is not None and each[0].plan.policy == plan.policy]
    return Show(arm_modals.stops(plan, armed, Stopped(pending=own, armed=(), cut=found.cut)))


async def is_as_shown(services: Services, form: ArmForm) -> bool:
    """Whether this person saw the policy as it is in force now; else they are shown what they would arm or disarm."""
    plan = the_policy(services, form.policy, form.system)
    if form.on:
        return plan.policy_hash == form.seen
    armed = await _armed(services, plan)
    return armed is not None and arm_modals.mark_of(plan, armed) == form.seen


async def _armed(services: Services, plan: Plan) -> Armed | None:
    own = (await targets_of(services, plan.system)).get(SYSTEM_TARGET)
    return own.armed.get(plan.policy) if own is not None else None


async def _shadowed(services: Services, plan: Plan) -> list[tuple[Incident, StepResult]]:
    """Results that say what would have been done, newest first."""
    lines = await services.store.incidents(plan.system, closed=True, limit=MAX_RECENT)
    found = [
        (line.incident, result)
        for line in lines
        if line.incident.plan is not None and line.incident.plan.policy == plan.policy
        for result in line.incident.results
        if result.outcome == "shadowed"
    ]
    return sorted(found, key=lambda each: each[1].at, reverse=True)
