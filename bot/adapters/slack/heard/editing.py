"""Which figures of a proposed step somebody may set to a safer value: those with a floor on their component.

Asked by `clicks`, `commands` and the board's pictures; the form itself is `modals.edit`.
"""

from __future__ import annotations

import json

from bot.adapters.http_services import Services
from bot.adapters.slack.pages.modals import Bound, safer
from bot.core.incident import Incident
from bot.core.words import JsonText


def bounds(services: Services, system: str, component: str, arguments: JsonText) -> tuple[Bound, ...]:
    """What may be edited, and how far; () for nothing."""
    known = (each for each in services.components() if (each.system, each.name) == (system, component))
    found = next(known, None)
    return safer(json.loads(arguments), found.floors) if found is not None else ()


def is_editable(services: Services, incident: Incident) -> bool:
    """Whether the question this incident asks has a safer answer than yes."""
    asked, plan = incident.approval, incident.plan
    if asked is None or plan is None:
        return False
    step = next((each for each in plan.steps if each.id == asked.step), None)
    return step is not None and bool(bounds(services, plan.system, step.component, asked.arguments))
