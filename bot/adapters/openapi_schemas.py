"""The shapes of the API's answers, for `openapi`. Pure.

Records, chains and reports are described from the dataclasses they are; the frames around them are written
here, as far as clients may rely on them: further fields may appear.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from pydantic import TypeAdapter

from bot.core.audit import AuditEntry
from bot.core.incident import Incident
from bot.core.target import Target
from bot.engine.report_form import Report

Json: TypeAlias = dict[str, Any]

_TEMPLATE: Final = "#/components/schemas/{model}"
_TEXT: Final[Json] = {"type": "string"}
_NUMBER: Final[Json] = {"type": "integer"}
_MOMENT: Final[Json] = {"type": "integer", "description": "Unix milliseconds."}
_YES: Final[Json] = {"type": "boolean"}
_ANY: Final[Json] = {"type": "object"}
_MAYBE_TEXT: Final[Json] = {"type": ["string", "null"]}


def reference(name: str) -> Json:
    """A schema of the document, by name."""
    return {"$ref": f"#/components/schemas/{name}"}


def component_schemas() -> Json:
    """Every schema that answers and webhooks need."""
    schemas: Json = {}
    for kind in (AuditEntry, Incident, Report, Target):
        schema = TypeAdapter(kind).json_schema(mode="serialization", ref_template=_TEMPLATE)
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = schema
    return schemas | _of_state() | _of_records() | _of_orders() | _of_webhooks()


def _listed(of: Json) -> Json:
    return {"type": "array", "items": of}


def _object(says: str, optional: Json | None = None, **fields: Json) -> Json:
    return {
        "type": "object",
        "description": says,
        "properties": fields | (optional or {}),
        "required": sorted(fields),
    }


def _of_state() -> Json:
    """How it is: errors, health, status, incidents, decisions."""
    check = _object("One thing that was looked at.", name=_TEXT, ok=_YES, detail=_TEXT)
    return {
        "Error": _object("Why not.", {"field": _TEXT, "fix": _TEXT}, error=_TEXT),
        "Alive": _object("This process answers.", status=_TEXT, replica=_TEXT),
        "Readiness": _object("Every check by name.", ready=_YES, checks=_ANY),
        "Status": _object(
            "The whole of it.", version=_TEXT, replica=_TEXT, now=_MOMENT, you=_MAYBE_TEXT, checks=_listed(check),
            policies=_listed(reference("PolicyLine")), systems=_listed(_ANY),
        ),
        "IncidentLine": _object(
            "One incident in a list.", id=_TEXT, system=_TEXT, policy=_TEXT, status=_TEXT, why=_TEXT, severity=_TEXT,
            group=_ANY, episode=_NUMBER, firing=_NUMBER, opened_at=_MOMENT, acknowledged_by=_TEXT,
        ),
        "IncidentList": _object("Newest first.", now=_MOMENT, incidents=_listed(reference("IncidentLine"))),
        "IncidentStory": _object(
            "One incident. `archived`: it has left the store.", {"decision": {"type": ["object", "null"]}},
            now=_MOMENT, version=_NUMBER, archived=_YES, incident=reference("Incident"),
            summary=reference("IncidentLine"), audit=_listed(reference("AuditEntry")),
        ),
        "DecisionList": _object("What waits for a decision, as cards.", now=_MOMENT, waiting=_listed(_ANY)),
    }  # fmt: skip


def _of_records() -> Json:
    """What is kept: targets, policies, dead letters, the audit."""
    problem = _object("What is wrong, and where.", system=_TEXT, aggregate=_TEXT, problem=_TEXT)
    archived = _object("Of an archived incident, or of the index.", aggregate=_TEXT, problem=_TEXT)
    return {
        "TargetList": _object(
            "Every component; `record` is null where nothing ever acted on it.", now=_MOMENT,
            targets=_listed(_object(
                "One component.", system=_TEXT, target=_TEXT, role=_TEXT, floors=_ANY,
                record={"oneOf": [reference("Target"), {"type": "null"}]},
            )),
        ),
        "PolicyLine": _object(
            "One policy; `armed` says who armed it, and is null when it only watches.", system=_TEXT, policy=_TEXT,
            row=_TEXT, mode=_TEXT, hash=_TEXT, steps=_listed(_TEXT), armed={"type": ["object", "null"]},
        ),
        "PolicyList": _object("Every policy in force.", policies=_listed(reference("PolicyLine"))),
        "DeadLetterList": _object(
            "What was set aside; its bytes as `text`, or as `base64` where they are no text.",
            dead_letters=_listed(_object(
                "One of them.", {"text": _TEXT, "base64": _TEXT}, system=_TEXT, id=_TEXT, reason=_TEXT, bytes=_NUMBER,
            )),
        ),
        "ChainList": _object(
            "By name: those in the store, then those of archived incidents.",
            chains=_listed(_object("One chain.", system=_TEXT, aggregate=_TEXT)),
        ),
        "Chain": _object(
            "One chain, whole.", system=_TEXT, aggregate=_TEXT, entries=_listed(reference("AuditEntry"))
        ),
        "AuditVerdict": _object(
            "Whether everything holds.", ok=_YES, chains=_NUMBER, entries=_NUMBER, problems=_listed(problem),
            archives=_object("The archive.", files=_NUMBER, entries=_NUMBER, problems=_listed(archived)),
            checkpoints=_object(
                "What was signed.", problems=_listed(_object("One problem.", problem=_TEXT)),
                chains=_listed(
                    _object(
                        "One replica's chain of checkpoints.", key=_TEXT, replica=_TEXT, checkpoints=_NUMBER,
                        newest_at=_NUMBER,
                    )
                ),
            ),
        ),
        "AuditKey": _object("A replica's public key.", replica=_TEXT, key=_TEXT),
        "Bundle": _object(
            "One incident and its proof, as `andon audit verify-bundle` reads it.", format=_TEXT, key=_TEXT,
            signature=_TEXT, parts={"type": "object"}, digests={"type": "object"},
        ),
        "Openapi": {"type": "object", "description": "An OpenAPI 3.1 document."},
    }  # fmt: skip


def _of_orders() -> Json:
    """What became of an order."""
    decision = _object(
        "What the machine decided.", system=_TEXT, aggregate=_TEXT, why=_TEXT,
        decision={"type": "string", "enum": ["applied", "ignored", "denied"]},
    )  # fmt: skip
    return {
        "Decisions": _object("What became of the order, everywhere it was given.", decisions=_listed(decision)),
        "Ordered": {
            "description": "What became of the order and the incident it opened; with `dry_run`, what it would do.",
            "oneOf": [
                _object("Ordered.", decisions=_listed(decision), incident=_TEXT),
                _object(
                    "What it would do.", {"by_hand": _TEXT}, dry_run=_YES, action=_TEXT, outcome=_TEXT, why=_TEXT,
                    before=_TEXT, wanted=_TEXT,
                ),
            ],
        },
        "Reloaded": _object(
            "In force from now on; `restart` says what waits for a restart.", ok=_YES,
            summary=_TEXT, changes=_listed(_TEXT), restart=_listed(_TEXT), problems=_listed(_TEXT),
        ),
        "Fired": _object(
            "Stored, as any other alert.", system=_TEXT, fingerprint=_TEXT, status=_TEXT, starts_at=_MOMENT,
            fired_by=_TEXT,
        ),
    }  # fmt: skip


def _of_webhooks() -> Json:
    """What monitoring sends."""
    return {
        "AlertmanagerWebhook": _webhook(
            "https://prometheus.io/docs/alerting/latest/configuration/#webhook_config", "fingerprint"
        ),
        "GrafanaWebhook": _webhook(
            "https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/"
            "integrations/webhook-notifier/",
        ),
    }  # fmt: skip


def _webhook(source: str, *required: str) -> Json:
    """A notification as far as Andon reads it. Senders add fields, and they are let pass."""
    moment = {"type": "string", "description": "RFC 3339."}
    alert = {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["firing", "resolved"]},
            "labels": {"type": "object", "additionalProperties": _TEXT},
            "annotations": {"type": "object", "additionalProperties": _TEXT},
            "startsAt": moment,
            "endsAt": moment,
            "generatorURL": _TEXT,
            "fingerprint": _TEXT,
        },
        "required": sorted({"status", "labels", "startsAt", *required}),
    }
    return {
        "type": "object",
        "description": f"As its sender documents it: {source}",
        "properties": {"receiver": _TEXT, "truncatedAlerts": _NUMBER, "alerts": _listed(alert)},
        "required": ["alerts"],
    }
