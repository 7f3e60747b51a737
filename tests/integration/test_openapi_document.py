"""The API's own description: valid, complete, and true to what the doors answer."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from bot.adapters.http_app import build
from bot.adapters.openapi import OPERATIONS, document, text
from bot.client import Place, connect
from bot.core.alert import Alert
from bot.core.events import AlertFired
from bot.engine.fold import Letter
from tests.integration.door_twin import PLAN, SYSTEM, TwinServices, on_socket, opened, raw

DOCUMENT = document()


def test_the_document_is_valid() -> None:
    """As OpenAPI 3.1 says; tools may be generated from it."""
    errors = [f"{list(error.path)}: {error.message}" for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()]
    assert errors == []


def test_every_mounted_route_is_described_and_nothing_else_is() -> None:
    """A route without a description, or a description without a route, fails here."""
    doors = build(TwinServices())
    for door, app in (("webhooks", doors.webhooks), ("api", doors.api)):
        described = {(each.method, each.path) for each in OPERATIONS if each.door in (door, "both")}
        assert described ^ set(routes(app)) == set(), door


def routes(app: web.Application) -> Iterator[tuple[str, str]]:
    for route in app.router.routes():
        if route.method != "HEAD" and route.resource is not None:
            yield route.method.lower(), route.resource.canonical


def test_names_are_unique_and_every_reference_leads_somewhere() -> None:
    """What clients are generated from."""
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    wanted = set(references(DOCUMENT))
    there = {
        f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in DOCUMENT["components"][kind]
    }
    assert wanted <= there
    assert {ref for ref in there if "/schemas/" in ref} <= wanted, "a schema nobody refers to"


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def test_the_file_is_the_same_every_time() -> None:
    """It is compared with the one in the documentation."""
    assert text() == text()
    assert json.loads(text()) == DOCUMENT


async def test_answers_are_as_the_document_says(tmp_path: Path) -> None:
    """Each question, asked for real, answers with what its schema describes; so does an order and a refusal."""
    services = TwinServices(people={os.getuid(): "demo-oncall"})
    alert = Alert(fingerprint="f", status="firing", labels={"alertname": "VaRBreach"}, starts_at=1)
    letter = Letter(AlertFired(id="f-1", at=services.clock.now(), alert=alert, plan=PLAN), key="k")
    await services.engine.tell_all(SYSTEM, [letter])
    incident = (await services.store.resolve_keys(SYSTEM, ["k"]))["k"]
    services.store.poison(SYSTEM, "inbox", b"\xff")
    for delivery in await services.store.read_inbox(SYSTEM, 10, 0):
        await services.store.dead_letter(SYSTEM, "inbox", delivery.delivery, delivery.raw, delivery.problem)
    here = {"{incident}": incident, "{system}": SYSTEM, "{aggregate}": incident}
    async with opened(services, on_socket(tmp_path)) as door, connect(Place(socket=door.addresses.api_socket)) as api:
        for operation in OPERATIONS:
            if operation.method == "get" and operation.path.startswith("/api/v1"):
                path = operation.path.removeprefix("/api/v1")
                for name, value in here.items():
                    path = path.replace(name, value)
                conforms(await api.get(path), operation.answers)
        conforms(await api.post(f"/incidents/{incident}/ack"), "Decisions")
        conforms(await api.post("/fire", {"labels": {"alertname": "X"}}), "Fired")
        await refused_as_described(door.addresses.api_socket)
        async with aiohttp.ClientSession(door.addresses.webhooks) as session:
            for path in ("/healthz", "/readyz"):
                async with session.get(path) as answer:
                    conforms(await answer.json(), "Alive" if path == "/healthz" else "Readiness")
            async with session.post("/webhooks/alertmanager", data=raw()) as answer:
                assert (answer.status, await answer.read()) == (200, b"")
                conforms(json.loads(raw()), "AlertmanagerWebhook")
            async with session.post("/webhooks/alertmanager", data=b"{}") as answer:
                assert answer.status == 400
                conforms(await answer.json(), "Error")


async def refused_as_described(socket: Path | None) -> None:
    connector = aiohttp.UnixConnector(str(socket))
    async with asyncio.timeout(5), aiohttp.ClientSession("http://andon", connector=connector) as session:
        async with session.get("/api/v1/incidents/inc-zzzzzzzzzz") as answer:
            assert answer.status == 404
            conforms(await answer.json(), "Error")
        async with session.get("/api/v1/openapi.json") as answer:
            assert await answer.json() == DOCUMENT


def conforms(answer: Any, schema: str) -> None:
    """Against the schema of this name, with its references resolved within the document."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    problems = [f"{list(error.path)}: {error.message}" for error in Draft202012Validator(whole).iter_errors(answer)]
    assert problems == [], schema


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.order], ids=lambda each: each.name)
def test_orders_say_who_may_give_them(operation: Any) -> None:
    """Over TCP a token; everywhere a person, so 403 is among the answers; and a key that makes repeating harmless."""
    described = DOCUMENT["paths"][operation.path]["post"]
    assert {"403", "409", "503"} <= set(described["responses"])
    assert "Idempotency-Key" in {parameter["name"] for parameter in described["parameters"]}
    assert {"bearer": []} in described["security"]
