"""An action that a person orders by hand: resolved into a plan of one step, and looked at without any effect.

Made by `bot.app` and reached through `http_services.Services`. What becomes of the order is the engine's: it opens an
incident of its own and goes the way of every other step, approvals included.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.core.plan import Plan
from bot.core.words import Millis
from bot.engine.action_ports import ActionContext, CannotTell, Inspection, Targets, Unfit
from bot.errors import ConfigError, InputError, TargetError
from policies import planning
from policies.people import PeopleDocument
from policies.problems import UnclearError
from policies.targets import TargetsDocument
from remediations.catalogue import ActionCatalogue

LOOK_SECONDS = 5.0  # a person waits for the answer; the connectors' own time-outs are shorter


def plan(
    catalogue: ActionCatalogue,
    targets: TargetsDocument,
    people: PeopleDocument,
    *,
    system: str,
    action: str,
    component: str,
    arguments: Mapping[str, Any],
    reason: str,
    now: Millis,
) -> Plan:
    """The order as a plan. `reason` also fills an argument of that name which was left out. Raises InputError."""
    given = dict(arguments)
    if reason and catalogue.spec(action) is not None:
        takes = json.loads(catalogue.params_schema(action)).get("properties", {})
        given |= {"reason": reason} if "reason" in takes and "reason" not in given else {}
    setting = replace(planning.Setting.of(catalogue, targets, people, now), system=system)
    try:
        return planning.order(action, component, given, setting)
    except UnclearError as error:
        raise InputError("order", str(error)) from error


async def look(catalogue: ActionCatalogue, targets: Targets, system: str, ordered: Plan, now: Millis) -> Inspection:
    """What the order would change now. Reads the target within `LOOK_SECONDS`; never raises."""
    step = ordered.steps[0]
    action = catalogue.action(step.action)
    if action is None:
        return Unfit(f"no action named {step.action} is installed")
    context = ActionContext(system=system, component=step.component, targets=targets, now=now)
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await action.inspect(context, step.arguments)
    except (TargetError, TimeoutError) as error:
        return CannotTell(f"the target cannot be read: {str(error) or 'no answer in time'}")
    except ConfigError as error:
        return Unfit(f"its arguments do not fit: {error}")
