"""What Andon asks and tells outside, made of andon.yaml: the Alertmanagers and the second route of pages.

Made by `bot.house`, at the start and, for Alertmanagers, at a reload.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from bot.adapters.alertmanager_api import AlertmanagerApi
from bot.adapters.second_route import WebhookPager
from bot.adapters.targets_credentials import resolve
from policies.andon import AlertmanagerDoc, AndonDocument


def second_route(setup: AndonDocument) -> WebhookPager | None:
    """Who takes the pages the pager did not; None where nobody is named. Raises ConfigError."""
    second = setup.second_route
    if not second.url:
        return None
    secret = resolve(second.credentials, os.environ, owner="second_route.credentials")
    return WebhookPager(second.url, secret, allow_private=second.allow_private)


def alertmanagers(listed: Sequence[AlertmanagerDoc]) -> tuple[AlertmanagerApi, ...]:
    """Those that are asked what fires. Raises ConfigError."""
    return tuple(
        AlertmanagerApi(
            each.name,
            each.url,
            credentials=resolve(each.credentials, os.environ, owner=f"alertmanagers: {each.name}"),
            receiver=each.receiver,
            every_ms=each.every,
            allow_private=each.allow_private,
        )
        for each in listed
    )
