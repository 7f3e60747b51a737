"""Grafana's alerting webhook, version 1: the raw body becomes normalised alerts, or one error that names a field.

`bot.adapters.http_ingress` calls `salvage`; `handlers.routing` then splits the result by shard, as any webhook.
Format: https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/

Laws of this payload, besides those of `handlers.alertmanager` (Grafana embeds its Alertmanager):

* Grafana does not send again what was not taken, so the door must not count on a second copy.
* `state`, `title` and `message` speak of the group and are never read; each alert's own `status` counts.
* `values` (figures of the rule's expressions, may be null) and `valueString` are kept as annotations: they are what a
  person looks for first, and text from alerts is data.
* Fingerprints hash label sets as Alertmanager's do. Ours carry a prefix: the same labels told by Grafana and by an
  Alertmanager are two alerts, and the end of one says nothing about the other.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic_core import CoreSchema
from pydantic_core import core_schema as cs

from bot.core.alert import Alert
from handlers.webhook import Reader, Webhook, alert_fields

SOURCE: Final = "grafana"
PREFIX: Final = "gf-"


def salvage(body: bytes) -> Webhook:
    """The body of `POST /webhooks/grafana` as alerts; what cannot be read among them is set apart in `refused`.

    Raises InputError naming the field (413 when too large) when the body, or every alert in it, cannot be read.
    """
    return _READER.salvage(body)


def _alert_schema() -> CoreSchema:
    sent = alert_fields() | {
        "values": cs.with_default_schema(cs.any_schema(), default=None),
        "valueString": cs.with_default_schema(cs.any_schema(), default=None),
    }
    fields = {key: cs.typed_dict_field(schema, required=schema["type"] != "default") for key, schema in sent.items()}
    return cs.no_info_after_validator_function(_alert, cs.typed_dict_schema(fields))


def _alert(sent: dict[str, Any]) -> Alert:
    return Alert(
        fingerprint=PREFIX + sent["fingerprint"],
        status=sent["status"],
        labels=sent["labels"],
        starts_at=sent["startsAt"],
        ends_at=sent["endsAt"],
        annotations=_figures(sent) | sent["annotations"],
        generator_url=sent["generatorURL"],
        source=SOURCE,
    )


def _figures(sent: dict[str, Any]) -> dict[str, str]:
    """What Grafana measured, as annotations; an annotation of the rule with the same name goes before it."""
    figures: dict[str, str] = {}
    if isinstance(sent["values"], dict) and sent["values"]:
        figures["values"] = json.dumps(sent["values"], ensure_ascii=False, sort_keys=True)
    if isinstance(sent["valueString"], str) and sent["valueString"]:
        figures["valueString"] = sent["valueString"]
    return figures


_READER: Final = Reader(source=SOURCE, prefix="gf-", version="1", alert=_alert_schema())
