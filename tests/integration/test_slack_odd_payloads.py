"""Payloads that Slack never sends, by wire in both modes: taken off Slack's hands at once, and nothing comes of them.

The listeners are the real ones, with slack-bolt and slack-sdk, over Socket Mode to a local Slack and through the door
of HTTP mode, down to the engine.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bot.adapters.http_errors import answer_errors
from bot.adapters.slack.line.door import PATH, Reply, SignedDoor, hand_on
from bot.adapters.slack.line.unread import NAME
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.sandbox.slack.courier import ACK_S, Undelivered
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import ask, record
from tests.integration.slack_line import Line, connected
from tests.unit.adapters.slack_payloads import GENUINE, REF, broken, odd
from tests.unit.fuzzing import examples

SECRET = b"signing"
SOCKET = {"command": "slash_commands", "mention": "events_api", "visit": "events_api"}  # else: interactive
BATCH = 40  # payloads to one Andon
Told = tuple[str, Any]  # (kind, payload)


class Http:
    """Slack, as it calls the door."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self._client = client
        self._count = itertools.count()

    async def send(self, kind: str, payload: Any) -> tuple[int, str]:
        """Signed, in the form that Slack gives this kind; (status, answer)."""
        form, body = "application/x-www-form-urlencoded", json.dumps(payload)
        if kind == "command":
            body = urlencode({str(k).encode("utf-8", "replace"): _field(v) for k, v in dict(payload).items()})
        elif SOCKET.get(kind) is None:
            body = urlencode({"payload": body})
        else:
            form = "application/json"
        raw, stamp = body.encode(), str(int(time.time()) + next(self._count) % 200)  # noqa: TID251  # Slack's own clock
        mac = hmac.new(SECRET, b"v0:" + stamp.encode() + b":" + raw, hashlib.sha256).hexdigest()
        headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}", "Content-Type": form}
        async with self._client.post(PATH, data=raw, headers=headers) as response:
            return response.status, await response.text()


def _field(value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace")


@asynccontextmanager
async def open_doors(folder: Path) -> AsyncIterator[tuple[Line, Http]]:
    """Andon with a line, and with the door of HTTP mode to the same listeners."""

    async with connected(folder, TwinServices()) as line:

        async def dispatch(payload: Mapping[str, Any]) -> Reply:
            return await hand_on(line.app, payload)

        app = web.Application(middlewares=[answer_errors])
        app.router.add_post(PATH, SignedDoor(SECRET, dispatch, line.unread.noted).handle)
        async with TestClient(TestServer(app)) as client:
            yield line, Http(client)


async def by_socket(line: Line, kind: str, payload: Any) -> str:
    """ "" once it is acknowledged; else why it was not."""
    try:
        await line.slack.courier.ask(SOCKET.get(kind, "interactive"), payload)  # type: ignore[arg-type]  # one of three
    except Undelivered as failure:
        return failure.reason
    return ""


async def by_http(door: Http, kind: str, payload: Any) -> str:
    """ "" once it is answered with 200, or with a 4xx that names what is wrong, in time."""
    async with asyncio.timeout(ACK_S):
        status, said = await door.send(kind, payload)
    fine = status == 200 or (400 <= status < 500 and {"error", "field"} <= set(json.loads(said)))
    return "" if fine else f"{status}: {said[:200]}"


async def standing(line: Line, incident: str) -> object:
    """Everything that an order could have changed."""
    services = line.services
    lines = await services.store.incidents(SYSTEM, closed=True, limit=10)
    found = (await services.store.load(SYSTEM, [SYSTEM_TARGET])).get(SYSTEM_TARGET)
    own = found.record if found is not None else None
    assert own is None or isinstance(own, Target)
    return (
        await record(services, incident), len(lines), own and (own.freeze, own.armed),
        line.hands.switch.position().engaged,
    )  # fmt: skip


async def nothing_comes_of(told: Sequence[Told]) -> list[Mapping[str, Any]]:
    """Send all of it in both modes; what was logged."""
    library = Kept()
    for name in ("andon.slack_socket", "andon.slack_bolt", "asyncio"):
        logging.getLogger(name).addHandler(library)
    try:
        with tempfile.TemporaryDirectory() as folder, capture_logs() as logs:
            async with open_doors(Path(folder)) as (line, door):
                incident = await ask(line.services)
                before = await standing(line, incident)
                for kind, payload in told:
                    wrong = await asyncio.gather(by_socket(line, kind, payload), by_http(door, kind, payload))
                    assert wrong == ["", ""], (kind, payload)
                assert await standing(line, incident) == before
    finally:
        for name in ("andon.slack_socket", "andon.slack_bolt", "asyncio"):
            logging.getLogger(name).removeHandler(library)
    assert library.lines == []
    raised = [entry for entry in logs if entry["log_level"] == "error" or entry.get("exc_info")]
    assert {(entry["event"], entry.get("alarm")) for entry in raised} <= {("alarm_raised", NAME)}
    return logs


class Kept(logging.Handler):
    """What the libraries log from a warning on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@examples(3, weight=500)
@given(st.lists(odd(), min_size=BATCH, max_size=BATCH))
async def test_a_payload_with_anything_changed_in_it_is_taken_and_does_nothing(told: list[Told]) -> None:
    """Of all kinds that are listened to: acknowledged within three seconds, no 5xx, no traceback, no effect."""
    await nothing_comes_of(told)


@examples(2, weight=500)
@given(st.lists(broken(), min_size=BATCH, max_size=BATCH))
async def test_a_payload_without_what_it_needs_is_refused_by_name(told: list[tuple[str, str, Any]]) -> None:
    """The log has a line for each of them in each mode, always of the same name, and without the payload."""
    logs = await nothing_comes_of([(kind, payload) for kind, _, payload in told])
    ends = [entry for entry in logs if entry["event"] in ("slack_payload_refused", "slack_payload_unheard")]
    assert len(ends) >= len(told)
    assert all(len(str(entry)) < 500 for entry in ends)


@pytest.mark.parametrize("payload", [None, [], ["x"], "x", 7, True, {}, {"type": None}, {"command": None}], ids=str)
async def test_what_is_no_payload_at_all_is_acknowledged(payload: Any) -> None:
    """The SDK itself cannot read most of these."""
    if not isinstance(payload, dict):
        logs = await nothing_comes_of([("click", payload)])
    else:
        logs = await nothing_comes_of([(kind, payload) for kind in GENUINE])
    assert "slack_payload_refused" in {entry["event"] for entry in logs}


@pytest.mark.parametrize(
    ("place", "name"),
    [("action_id", "andon:explode"), ("action_id", "theirs:approve"), ("callback_id", "theirs"), ("command", "/other")],
)
async def test_what_is_of_another_app_is_acknowledged(place: str, name: str) -> None:
    """A button, a form or a command that nobody here knows."""
    kinds = {"action_id": "click", "callback_id": "form", "command": "command"}
    whole = json.loads(json.dumps(GENUINE[kinds[place]]))
    part = {"action_id": lambda: whole["actions"][0], "callback_id": lambda: whole["view"], "command": lambda: whole}
    part[place]()[place] = name
    await nothing_comes_of([(kinds[place], whole)])


@pytest.mark.parametrize(
    "inside",
    ["[" * 100_000, "{" * 3, '{"a":' * 900 + "1" + "}" * 900, "9" * 5_000, '{"type":' + "[" * 980 + "]" * 980 + "}"],
    ids=["deep", "cut off", "deep and whole", "a long number", "nearly too deep"],
)
async def test_an_envelope_that_cannot_be_read_is_acknowledged_by_its_id(tmp_path: Path, inside: str) -> None:
    """However it is nested: else Slack tells the person that Andon failed, and the log holds all of it."""
    async with connected(tmp_path, TwinServices()) as line:
        text = f'{{"envelope_id": "e-1", "type": "interactive", "payload": {inside}}}'
        with capture_logs() as logs:
            assert await line.slack.sockets.send("e-1", text, ACK_S) is None
    assert "slack_payload_refused" in {entry["event"] for entry in logs}


def test_the_genuine_payloads_name_an_incident_that_is_not_there() -> None:
    """So that one of them that is hardly changed has no effect either."""
    assert REF.startswith("inc-aaaaaaaaaa|")
