"""Where automation is off, as a form lists it: a form that was open for long lifts nothing that its sender never saw.

Used by `clicks`, `commands` and `submissions`; `modals` renders it.
"""

from __future__ import annotations

from bot.adapters.http_lookup import targets_of
from bot.adapters.http_services import Services
from bot.adapters.slack.pages.forms import UnfreezeForm, mark
from bot.core.words import SYSTEM_TARGET
from bot.errors import InputError


async def frozen(services: Services) -> dict[str, str]:
    """`SYSTEM|COMPONENT` of all that is frozen, and by whom and why."""
    found: dict[str, str] = {}
    for shard in services.shards:
        for aggregate, target in (await targets_of(services, shard)).items():
            if target.freeze is not None:
                component = "" if aggregate == SYSTEM_TARGET else aggregate.removeprefix("target:")
                found[f"{shard}|{component}"] = f"{target.freeze.by}: {target.freeze.reason}"
    return found


async def must_be_as_shown(services: Services, form: UnfreezeForm) -> None:
    """Raises InputError where another freeze is in force than the one that was chosen."""
    now = (await frozen(services)).get(f"{form.system}|{form.component}")
    if now is not None and mark(now) != form.seen:
        raise InputError("where", f"is frozen anew since this form was opened, by {now}; open the form again")
