"""The HTTP doors as an OpenAPI 3.1 document: one table of operations, and what is made of it. Pure.

Served at `GET /api/v1/openapi.json` (`http_reports`), written to `docs/reference/openapi.json` by `docs/generate.py`; a
test compares the table with the routes that are really mounted. Bodies are the models that judge them; the shapes of
answers are in `openapi_schemas`. Specification: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import bot
from bot.adapters.http_commands import ArmBody, FireBody, FreezeBody, LeaseBody, ResolveBody, UnfreezeBody
from bot.adapters.http_decisions import EscalateBody, HoldBody, RunBody, VoteBody
from bot.adapters.http_orders import Body
from bot.adapters.openapi_schemas import component_schemas, reference

Json: TypeAlias = dict[str, Any]
Door: TypeAlias = Literal["api", "webhooks", "both"]

INTRODUCTION: Final = (
    "Webhooks come in on TCP (`listen`), with a bearer token, basic credentials, or from this machine alone. "
    "The operators' API is on a unix socket (`api.socket`), where the kernel says who you are, and, if configured, on "
    "TCP (`api.host`), where your token does. Times are Unix milliseconds. Every order may carry an `Idempotency-Key`: "
    "the same key is the same order. Every refusal is `{error, field?, fix?}`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One part of a query string."""

    name: str
    says: str
    schema: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `body`: the model that judges it, or a schema's name; `answers`: the 2xx's schema."""

    method: Literal["get", "post"]
    path: str
    name: str
    says: str
    answers: str
    door: Door = "api"
    status: int = 200
    body: type[Body] | str | None = None
    query: tuple[Query, ...] = ()
    also: str = ""  # a further media type of the 2xx
    order: bool = False  # given by a person: must be known, may carry an Idempotency-Key


_SYSTEM = Query(name="system", says="Only this trading system.", schema={"type": "string"})
_LIMIT = Query(name="limit", says="At most so many.", schema={"type": "integer", "minimum": 1, "maximum": 500})
_ALL = Query(name="all", says="Closed incidents too.", schema={"type": "string", "enum": ["1", "true"]})
_FORMAT = Query(name="format", says="How it is told.", schema={"type": "string", "enum": ["json", "markdown"]})


def _order(path: str, name: str, says: str, body: type[Body] | None = None, answers: str = "Decisions") -> Operation:
    return Operation(
        method="post", path=f"/api/v1{path}", name=name, says=says, answers=answers, body=body, order=True
    )  # fmt: skip


def _question(path: str, name: str, says: str, answers: str, *query: Query, also: str = "") -> Operation:
    return Operation(
        method="get", path=f"/api/v1{path}", name=name, says=says, answers=answers, query=query, also=also
    )  # fmt: skip


def _webhook(path: str, name: str, says: str, body: str) -> Operation:
    return Operation(
        method="post", path=path, name=name, says=says, answers="", door="webhooks", body=body
    )  # fmt: skip


def _health(path: str, name: str, says: str, answers: str) -> Operation:
    return Operation(method="get", path=path, name=name, says=says, answers=answers, door="both")


OPERATIONS: Final = (
    _webhook("/webhooks/alertmanager", "postAlertmanager", "Alertmanager's webhook. 2xx: on disk.",
             "AlertmanagerWebhook"),
    _webhook("/webhooks/grafana", "postGrafana", "Grafana's webhook. It repeats nothing.", "GrafanaWebhook"),
    _health("/healthz", "getHealth", "Whether the process lives.", "Alive"),
    _health("/readyz", "getReadiness", "Whether a webhook would be stored and worked on; 503 if not.", "Readiness"),
    _health("/metrics", "getMetrics", "Prometheus metrics of this replica.", "text/plain"),
    _question("/status", "getStatus", "Is it well, what may act, what is frozen, what waits.", "Status"),
    _question("/incidents", "listIncidents", "Incidents, newest first.", "IncidentList", _SYSTEM, _LIMIT, _ALL),
    _question("/incidents/{incident}", "getIncident", "One incident's record and audit, archived or not.",
              "IncidentStory"),
    _question("/incidents/{incident}/report", "getReport", "The account of one incident.", "Report",
              _FORMAT, also="text/markdown"),
    _question("/decisions", "listDecisions", "What waits for a person's yes or no.", "DecisionList", _SYSTEM),
    _question("/targets", "listTargets", "Every component: who acts on it, who waits, what is frozen.",
              "TargetList", _SYSTEM),
    _question("/policies", "listPolicies", "Every policy in force, and who armed it.", "PolicyList"),
    _question("/dead-letters", "listDeadLetters", "What could not be handled and was set aside.",
              "DeadLetterList", _SYSTEM, _LIMIT),
    _question("/audit", "listChains", "Every audit chain, archived ones too.", "ChainList", _SYSTEM),
    _question("/audit/verify", "verifyAudit", "Every chain and the whole archive, verified.", "AuditVerdict", _SYSTEM),
    _question("/audit/key", "getAuditKey", "The public key that signs checkpoints and bundles.", "AuditKey"),
    _question("/incidents/{incident}/bundle", "getBundle", "One incident with all that proves it.", "Bundle"),
    _question("/audit/{system}/{aggregate}", "getChain", "One chain, oldest link first.", "Chain"),
    _question("/openapi.json", "getOpenapi", "This document.", "Openapi"),
    _order("/incidents/{incident}/ack", "ackIncident", "I have seen it: paging stops, everything else goes on."),
    _order("/incidents/{incident}/resolve", "resolveIncident", "The matter is over.", ResolveBody),
    _order("/incidents/{incident}/approve", "approveStep", "Yes to the pending question, as it was shown.", VoteBody),
    _order("/incidents/{incident}/deny", "denyStep", "No to the pending question. One no is enough.", VoteBody),
    _order("/incidents/{incident}/take", "takeIncident", "I have it: automation stands down here."),
    _order("/incidents/{incident}/escalate", "escalateIncident", "Call more people now.", EscalateBody),
    _order("/incidents/{incident}/hold", "holdIncident", "Hold the ladder's own actions back for a while.", HoldBody),
    _order("/run", "runAction", "Order one action by hand, or see what it would do (`dry_run`).", RunBody, "Ordered"),
    _order("/freeze", "freeze", "Switch automation off: everywhere, for a system, or for a component.", FreezeBody),
    _order("/unfreeze", "unfreeze", "Switch it on again. Nothing denied meanwhile starts by itself.", UnfreezeBody),
    _order("/lease", "lease", "Keep what an action did in force for longer (`for_ms`), or end its lease.", LeaseBody),
    _order("/arm", "armPolicy", "Let a policy act.", ArmBody),
    _order("/disarm", "disarmPolicy", "Let a policy only watch.", ArmBody),
    _order("/reload", "reload", "Look at the configuration files now.", None, "Reloaded"),
    Operation(
        method="post", path="/api/v1/fire", name="fireAlert", says="Inject an alert, marked as yours.", answers="Fired",
        status=202, body=FireBody, order=True,
    ),
)  # fmt: skip


def document() -> Json:
    """The whole document."""
    schemas = component_schemas()
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Andon", "version": bot.__version__, "description": INTRODUCTION},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/", "description": "Wherever this Andon listens."}],
        "tags": [{"name": name, "description": says} for name, says in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {name: _error(says) for name, says in _ERRORS.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A person's token, or a source's."},
                "basic": {"type": "http", "scheme": "basic", "description": "Webhooks only."},
            },
        },
    }


def text() -> str:
    """The document as the file in the documentation has it."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


_TAGS: Final = {
    "webhooks": "What monitoring sends. On the webhooks' door.",
    "questions": "What an operator may look at. On the API's door.",
    "orders": "What an operator may do. On the API's door.",
    "health": "On both doors.",
}
_ERRORS: Final = {
    "400": "A part of the request is wrong; `field` names it.",
    "401": "The token or password is missing or wrong.",
    "403": "You are nobody in people.yaml; `fix` says what to add.",
    "404": "There is no such thing; the error says what there is instead.",
    "409": "Understood and refused, with the reason; or the name fits several things.",
    "413": "The body is larger than 1 MiB.",
    "500": "A stored record was changed by somebody else, or something unforeseen happened.",
    "503": "The store cannot be read or written now; the same request may be sent again.",
}


def _error(says: str) -> Json:
    return {"description": says, "content": {"application/json": {"schema": reference("Error")}}}


def _describe(operation: Operation, schemas: Json) -> Json:
    """One operation, with every part of its path, its query, its body and its answers."""
    described: Json = {
        "operationId": operation.name,
        "summary": operation.says,
        "tags": [_tag(operation)],
        "security": _security(operation),
        "responses": _responses(operation),
    }
    parameters = [_path_parameter(part) for part in operation.path.split("/") if part.startswith("{")]
    parameters += [
        {"name": each.name, "in": "query", "description": each.says, "schema": each.schema} for each in operation.query
    ]
    if operation.order:
        parameters.append(_IDEMPOTENCY_KEY)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = _body(operation.body, schemas)
    return described


_IDEMPOTENCY_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Yours to choose; the same key is the same order, however often it arrives.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{8,80}$"},
}


def _tag(operation: Operation) -> str:
    if operation.door == "both":
        return "health"
    return "webhooks" if operation.door == "webhooks" else "orders" if operation.order else "questions"


def _security(operation: Operation) -> list[Json]:
    """Any one of these. `{}`: nothing to show (over the unix socket the kernel tells; from this machine)."""
    match operation.door:
        case "both":
            return [{}]
        case "webhooks":
            return [{}, {"bearer": []}, {"basic": []}]
        case "api":
            return [{}, {"bearer": []}]


def _path_parameter(part: str) -> Json:
    name = part.strip("{}")
    says = {
        "incident": "An incident's id, or its first letters, with or without `inc-`.",
        "system": "A trading system.",
        "aggregate": "An incident's id, `target:<component>`, `target:*`, or a source's id.",
    }
    return {"name": name, "in": "path", "required": True, "description": says[name], "schema": {"type": "string"}}


def _body(model: type[Body] | str, schemas: Json) -> Json:
    if isinstance(model, str):
        return {"required": True, "content": {"application/json": {"schema": reference(model)}}}
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs", {})
    schemas[model.__name__] = schema
    required = bool(schema.get("required"))  # an empty body stands for {}
    return {"required": required, "content": {"application/json": {"schema": reference(model.__name__)}}}


def _responses(operation: Operation) -> Json:
    content: Json
    if not operation.answers:
        content = {}
    elif "/" in operation.answers:
        content = {operation.answers: {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": reference(operation.answers)}}
    if operation.also:
        content[operation.also] = {"schema": {"type": "string"}}
    done: Json = {"description": "As asked."} | ({"content": content} if content else {})
    answers: Json = {str(operation.status): done}
    if operation.path == "/readyz":
        return answers | {"503": {"description": "Not ready; the checks say why.", "content": content}}
    if operation.door == "both":
        return answers
    errors = {"401", "500", "503"}
    if operation.query or operation.body is not None or "{" in operation.path or operation.order:
        errors.add("400")
    if operation.body is not None:
        errors.add("413")
    if operation.order:
        errors |= {"403", "409"}
    if "{" in operation.path or operation.query or operation.order:
        errors.add("404")
    if "{incident}" in operation.path:
        errors.add("409")
    return answers | {code: {"$ref": f"#/components/responses/{code}"} for code in sorted(errors)}
