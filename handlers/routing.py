"""Which shard an alert belongs to: static routes, first match wins, the rest goes to `unrouted`.

`bot.app` compiles `routes:` of andon.yaml into `Route`s (matchers come from `policies`); the HTTP ingress calls `split`
on every webhook and stores one entry for each shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from bot.core.alert import Alert
from bot.core.events import AlertsReceived
from bot.core.words import Millis
from handlers.webhook import Webhook

UNROUTED: Final = "unrouted"  # the shard of alerts no route names; its policies decide what becomes of them


class LabelTest(Protocol):
    """Compiled matchers: do they all hold for these labels?"""

    def __call__(self, labels: dict[str, str], /) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry of `routes:`. `receiver` "" means any; `matches` None means any labels."""

    system: str
    receiver: str = ""
    matches: LabelTest | None = None


def split(webhook: Webhook, routes: Sequence[Route], at: Millis) -> dict[str, AlertsReceived]:
    """The webhook's alerts by shard, as one inbox entry each, in the order they came. No alerts, no entries.

    Entry ids repeat for the same body and shard. Every entry carries `truncated`: which shard lost alerts is unknown.
    """
    if not webhook.alerts:
        return {}
    first = next((route for route in routes if route.receiver in ("", webhook.receiver)), None)
    if first is None or first.matches is None:  # one shard for all, the usual case
        shard = UNROUTED if first is None else first.system
        return {shard: _entry(webhook, shard, webhook.alerts, at)}
    possible = [route for route in routes if route.receiver in ("", webhook.receiver)]
    shards: dict[str, list[Alert]] = {}
    for alert in webhook.alerts:
        shards.setdefault(_system(alert, possible), []).append(alert)
    return {shard: _entry(webhook, shard, tuple(alerts), at) for shard, alerts in shards.items()}


def _entry(webhook: Webhook, shard: str, alerts: tuple[Alert, ...], at: Millis) -> AlertsReceived:
    return AlertsReceived(
        id=f"{webhook.id}:{shard}",
        at=at,
        source=webhook.source,
        receiver=webhook.receiver,
        alerts=alerts,
        truncated=webhook.truncated,
    )


def _system(alert: Alert, routes: Sequence[Route]) -> str:
    """The first route whose matchers hold, or `unrouted`."""
    for route in routes:
        if route.matches is None or route.matches(alert.labels):
            return route.system
    return UNROUTED
