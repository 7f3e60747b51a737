"""Alertmanager's webhook, version 4: the raw body becomes normalised alerts, or one error that names a field.

`bot.adapters.http_ingress` calls `salvage` with the raw bytes, `bot.adapters.http_commands` (`andon fire`) calls
`parse`; `handlers.routing` then splits the result by shard.
Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config

Laws of this payload:

* Unknown keys are ignored: newer versions add some (`notification_reason`, `routeLabels`).
* The group's own `status` is never read. With `max_alerts` it is computed after alerts were cut off, so a group may
  be called resolved while an alert that was left out still fires. What counts is each alert's status, and `truncated`.
* `receiver` comes regex-quoted (`chat\\.ops`), `generatorURL` may be empty, a firing alert ends in the year 1.
* Times carry up to nine fractional digits and any offset; they are floored to exact milliseconds.
"""

from __future__ import annotations

from typing import Final

from handlers.webhook import MAX_ANNOTATION as MAX_ANNOTATION
from handlers.webhook import MAX_LABELS as MAX_LABELS
from handlers.webhook import Reader, alert_fields, alert_schema
from handlers.webhook import Webhook as Webhook

SOURCE: Final = "alertmanager"

_READER: Final = Reader(source=SOURCE, prefix="am-", version="4", alert=alert_schema(SOURCE, alert_fields()))


def parse(body: bytes) -> Webhook:
    """The body of `POST /webhooks/alertmanager` as alerts. Raises InputError naming the field (413 when too large)."""
    return _READER.parse(body)


def salvage(body: bytes) -> Webhook:
    """As `parse`, but what cannot be read among the alerts is set apart in `refused`. Raises when nothing is left."""
    return _READER.salvage(body)
