"""Before a policy is armed: what it would do, and what it did not do lately because it only watched.

Used by `commands` and `submissions`; `arm_modals` renders it.
"""

from __future__ import annotations

from typing import Final

from bot.adapters.desk import Order, must_act
from bot.adapters.http_lookup import the_policy
from bot.adapters.http_services import Services
from bot.adapters.slack.heard.person import Show
from bot.adapters.slack.pages import arm_modals
from bot.adapters.slack.pages.forms import ArmForm
from bot.core.incident import Incident, StepResult
from bot.core.plan import Plan

MAX_RECENT: Final = 200  # incidents of the system looked through


async def before_arming(services: Services, order: Order, policy: str, system: str) -> Show:
    """The page with the button. Raises InputError for a policy that there is not, Unwelcome for who may only look."""
    must_act(services, order.person)
    plan = the_policy(services, policy, system)
    return Show(arm_modals.preview(plan, await _shadowed(services, plan)))


def is_as_shown(services: Services, form: ArmForm) -> bool:
    """Whether this person saw the policy as it is in force now; else they are shown what they would arm."""
    return bool(form.seen) and the_policy(services, form.policy, form.system).policy_hash == form.seen


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
