"""The operators' API over the real engine and the in-memory store: who may, what it does, how it says no."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from bot.adapters.http_app import Listen, build, serve
from bot.adapters.http_services import Check, PersonToken
from bot.client import Api, BadRequestError, DeclinedError, Place, UnavailableError, UnreachableError, connect
from bot.core.alert import Alert
from bot.core.audit import link
from bot.core.events import AlertFired, AlertsReceived
from bot.core.plan import Plan
from bot.core.target import Lease, Target
from bot.engine.fold import Letter
from bot.engine.ports import Change, Commit
from bot.errors import ConfigError
from tests.integration.door_twin import PLAN, SYSTEM, Open, TwinServices, on_socket, opened

ME = os.getuid()


@pytest.fixture
async def services() -> TwinServices:
    return TwinServices(people={ME: "demo-oncall"})


@pytest.fixture
async def door(services: TwinServices, tmp_path: Path) -> AsyncIterator[Open]:
    async with opened(services, on_socket(tmp_path)) as door:
        yield door


@pytest.fixture
async def api(door: Open) -> AsyncIterator[Api]:
    async with connect(Place(socket=door.addresses.api_socket)) as api:
        yield api


async def open_incident(services: TwinServices, *, key: str = "k", system: str = SYSTEM, plan: Plan = PLAN) -> str:
    """An alert fires; returns the incident's id."""
    alert = Alert(fingerprint=f"f-{key}", status="firing", labels={"alertname": "VaRBreach"}, starts_at=1)
    event = AlertFired(id=f"{key}-1", at=services.clock.now(), alert=alert, plan=plan)
    await services.engine.tell_all(system, [Letter(event, key=key)])
    return (await services.store.resolve_keys(system, [key]))[key]


async def record(services: TwinServices, aggregate: str, system: str = SYSTEM) -> Any:
    return (await services.store.load(system, [aggregate]))[aggregate].record


async def test_an_incident_is_found_by_its_first_letters(services: TwinServices, api: Api) -> None:
    """With or without `inc-`; the answer has the record, its audit as stored, and the clock it is to be read by."""
    incident = await open_incident(services)
    for text in (incident, incident[:8], incident[4:9], incident[4:9].upper()):
        answer = await api.get(f"/incidents/{text}")
        assert answer["incident"]["id"] == incident
    assert answer["now"] == services.clock.now()
    [link] = answer["audit"]
    assert json.loads(link["body"])["events"][0]["event"]["kind"] == "alert_fired"


async def test_letters_that_fit_several_incidents_name_them(services: TwinServices, api: Api) -> None:
    """409 with the candidates, over all systems; 404 when there is none; 400 when it is no id at all."""
    ids = [await open_incident(services, key=str(n), system=s) for n in range(40) for s in (SYSTEM, "py-rt")]
    shared = next(i for i in ids if sum(o[:5] == i[:5] for o in ids) > 1)
    with pytest.raises(DeclinedError, match="incidents start with") as several:
        await api.get(f"/incidents/{shared[:5]}")
    assert several.value.status == 409
    for text, message in (
        ("inc-aaaaaaaaaa", "there is no"),
        ("zzzzz", "no incident starts"),
        ("../x", "not an incident id"),
    ):
        with pytest.raises((BadRequestError, DeclinedError), match=message):
            await api.get(f"/incidents/{text.replace('/', '%2F')}")


async def test_acknowledging_is_by_name_and_harmless_to_repeat(services: TwinServices, api: Api) -> None:
    """The person is who the kernel says; the same order again changes nothing."""
    incident = await open_incident(services)
    first = await api.post(f"/incidents/{incident}/ack", key="order-0001")
    again = await api.post(f"/incidents/{incident}/ack", key="order-0001")
    assert first["decisions"][0]["decision"] == "applied"
    assert again["decisions"][0]["decision"] == "ignored"
    assert (await record(services, incident)).acknowledged_by == "demo-oncall"
    body = json.loads((await services.store.audit(SYSTEM, incident))[-1].body)
    assert body["events"][0]["event"]["id"] == "op/demo-oncall/order-0001"


async def test_resolving_what_still_fires_needs_force(services: TwinServices, api: Api) -> None:
    """The machine's refusal comes back as its own sentence; with force it is done, with the note on record."""
    incident = await open_incident(services)
    with pytest.raises(DeclinedError, match="--force"):
        await api.post(f"/incidents/{incident}/resolve")
    await api.post(f"/incidents/{incident}/resolve", {"note": "false alarm", "force": True})
    assert (await record(services, incident)).status == "resolved"
    assert "false alarm" in (await services.store.audit(SYSTEM, incident))[-1].body


async def test_a_global_freeze_reaches_every_system(services: TwinServices, api: Api) -> None:
    """Frozen everywhere, shown in the status with who and why, lifted for one system alone."""
    answer = await api.post("/freeze", {"reason": "deploy", "for_ms": 600_000})
    assert {d["system"] for d in answer["decisions"]} == set(services.shards)
    status = await api.get("/status")
    assert {s["automation"]["state"] for s in status["systems"]} == {"frozen"}
    freeze = status["systems"][0]["frozen"]["target:*"]
    assert (freeze["by"], freeze["reason"], freeze["until"]) == (
        "demo-oncall",
        "deploy",
        services.clock.now() + 600_000,
    )
    await api.post("/unfreeze", {"system": SYSTEM})
    states = {s["system"]: s["automation"]["state"] for s in (await api.get("/status"))["systems"]}
    assert states == {SYSTEM: "active", "py-rt": "frozen", "unrouted": "frozen"}


async def test_a_component_is_frozen_alone(services: TwinServices, api: Api) -> None:
    """Only that target; one that does not exist is refused with the ones that do."""
    await api.post("/freeze", {"system": SYSTEM, "component": "risk-engine", "reason": "by hand"})
    target = await record(services, "target:risk-engine")
    assert isinstance(target, Target)
    assert target.freeze is not None
    shown = (await api.get("/targets", system=SYSTEM))["targets"]
    assert [line["record"] is not None for line in shown] == [False, True]
    with pytest.raises(BadRequestError, match="it has: risk-engine"):
        await api.post("/freeze", {"system": SYSTEM, "component": "router", "reason": "x"})
    with pytest.raises(BadRequestError, match="name the system"):
        await api.post("/freeze", {"component": "risk-engine", "reason": "x"})


async def test_a_lease_is_kept_longer_or_ended_by_a_person(services: TwinServices, api: Api) -> None:
    """Only where one is in force; what is shown says for how much longer."""
    lease = Lease(incident="inc-1", since=0, until=60_000, for_ms=60_000)
    target = Target(id="target:risk-engine", system=SYSTEM, leases={"trading.halt": lease})
    first = Change(target, 0, link("", 1, "{}"), {})
    await services.store.commit(SYSTEM, Commit(changes=(first,)))
    where = {"system": SYSTEM, "component": "risk-engine", "action": "trading.halt"}
    await api.post("/lease", {**where, "for_ms": 120_000})
    kept = await record(services, "target:risk-engine")
    assert kept.leases["trading.halt"].for_ms == 120_000
    await api.post("/lease", where)
    assert (await record(services, "target:risk-engine")).leases == {}
    with pytest.raises(DeclinedError, match="has no lease"):
        await api.post("/lease", where)


async def test_arming_is_by_policy_and_shown_with_its_author(services: TwinServices, api: Api) -> None:
    """Nothing is armed as shipped; a person arms by name; an unknown policy is refused with the known ones."""
    assert [p["armed"] for p in (await api.get("/policies"))["policies"]] == [None]
    await api.post("/arm", {"policy": "var-breach"})
    assert (await api.get("/policies"))["policies"][0]["armed"]["by"] == "demo-oncall"
    await api.post("/disarm", {"policy": "var-breach"})
    assert (await api.get("/policies"))["policies"][0]["armed"] is None
    with pytest.raises(BadRequestError, match="there are: var-breach"):
        await api.post("/arm", {"policy": "var-breech"})


async def test_a_policy_name_in_two_systems_asks_which(services: TwinServices, api: Api) -> None:
    """Arming the wrong one would be worse than asking."""
    services.plans = (PLAN, Plan(policy="var-breach", system="py-rt", policy_hash="h2", mode="auto"))
    with pytest.raises(DeclinedError, match="several systems"):
        await api.post("/arm", {"policy": "var-breach"})
    answer = await api.post("/arm", {"policy": "var-breach", "system": "py-rt"})
    assert answer["decisions"][0]["system"] == "py-rt"


async def test_firing_goes_the_way_of_every_alert_and_is_marked(services: TwinServices, api: Api) -> None:
    """Parsed, routed and stored like a webhook's, with who fired it, under a fingerprint of its own."""
    answer = await api.post("/fire", {"labels": {"alertname": "VaRBreach", "system": "py-rt"}})
    assert answer["system"] == "py-rt"
    [entry] = await services.store.stored("py-rt")
    assert isinstance(entry, AlertsReceived)
    [alert] = entry.alerts
    assert (alert.source, alert.annotations["fired_by"], alert.starts_at) == (
        "andon fire",
        "demo-oncall",
        services.clock.now(),
    )
    with pytest.raises(BadRequestError, match=r"alerts\[0\]\.labels"):
        await api.post("/fire", {"labels": {f"l{n}": "x" for n in range(65)}})


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/freeze", {}, "reason"),
        ("/freeze", {"reason": "x", "for_ms": 1}, "for_ms"),
        ("/freeze", {"reason": "x", "system": "nowhere"}, "system"),
        ("/freeze", {"reason": "x", "until": "tomorrow"}, "until"),
        ("/arm", {"policy": 5}, "policy"),
        ("/fire", {"labels": {"a": 1}}, "labels.a"),
        ("/fire", {"labels": {}, "starts_at": "yesterday"}, "alerts[0].startsAt"),
    ],
)
async def test_a_wrong_order_names_the_field(api: Api, path: str, body: dict[str, Any], field: str) -> None:
    """Bodies are as strict as webhooks."""
    with pytest.raises(BadRequestError) as caught:
        await api.post(path, body)
    assert caught.value.field == field


async def test_orders_that_are_no_json_or_have_a_bad_key_are_refused(door: Open) -> None:
    """NaN, depth and rubbish are 400 here too; so is a key nobody could have made."""
    connector = aiohttp.UnixConnector(str(door.addresses.api_socket))
    async with aiohttp.ClientSession("http://andon", connector=connector) as session:
        for raw in (b"{", b'{"reason": NaN}', b"[" * 40 + b"]" * 40, b"\xff"):
            async with session.post("/api/v1/freeze", data=raw) as answer:
                assert answer.status == 400
                assert (await answer.json())["field"] == "body"
        async with session.post("/api/v1/freeze", json={"reason": "x"}, headers={"Idempotency-Key": "a b"}) as answer:
            assert (await answer.json())["field"] == "Idempotency-Key"


async def test_somebody_unknown_may_look_but_not_act(services: TwinServices, api: Api) -> None:
    """The refusal says exactly what to add to people.yaml."""
    services.people.clear()
    incident = await open_incident(services)
    assert (await api.get("/status"))["you"] is None
    for path in (f"/incidents/{incident}/ack", "/freeze", "/arm", "/fire"):
        with pytest.raises(DeclinedError, match=f"uid {ME} is nobody") as caught:
            await api.post(path, {"reason": "x"})
        assert f"os_uid: {ME}" in caught.value.fix
        assert caught.value.status == 403


def test_peer_credentials_work_on_uvloop_too(tmp_path: Path) -> None:
    """The loop Andon runs on in earnest gives its own kind of socket."""

    async def ack() -> str:
        services = TwinServices(people={ME: "demo-oncall"})
        async with (
            opened(services, on_socket(tmp_path)) as door,
            connect(Place(socket=door.addresses.api_socket)) as api,
        ):
            await api.post("/freeze", {"reason": "x", "system": SYSTEM})
            return str((await record(services, "target:*")).freeze.by)

    assert uvloop.run(ack()) == "demo-oncall"


async def test_over_tcp_a_token_is_the_person(services: TwinServices) -> None:
    """Each person has their own; a wrong or missing one is 401 even for looking; the kernel is not asked."""
    services.tokens = (
        PersonToken(person="alpha-lead", secret=b"token-a"),
        PersonToken(person="beta-lead", secret=b"token-b"),
    )
    async with opened(services, Listen(port=0, api_host="127.0.0.1")) as door:
        async with connect(Place(url=door.addresses.api, token="token-b")) as api:
            assert (await api.get("/status"))["you"] == "beta-lead"
            await api.post("/freeze", {"reason": "x", "system": SYSTEM})
        for token in ("", "token-c"):
            async with connect(Place(url=door.addresses.api, token=token)) as api:
                with pytest.raises(DeclinedError) as caught:
                    await api.get("/status")
                assert caught.value.status == 401
                assert caught.value.fix
        basic = {"Authorization": "Basic " + base64.b64encode(b"token-b").decode()}
        async with aiohttp.ClientSession(door.addresses.api) as web, web.get("/api/v1/status", headers=basic) as answer:
            assert answer.status == 401
    assert (await record(services, "target:*")).freeze.by == "beta-lead"


async def test_tcp_without_any_token_is_refused_at_start() -> None:
    """An API nobody could use, or anybody."""
    with pytest.raises(ConfigError, match="token"):
        await serve(build(TwinServices()), Listen(port=0, api_host="127.0.0.1"), asyncio.Event())


async def test_a_store_that_is_away_is_said(services: TwinServices, api: Api) -> None:
    """503 with the reason, and nothing half done; the same order works when it is back."""
    services.store.down = "away for a moment"
    with pytest.raises(UnavailableError, match="away for a moment"):
        await api.post("/freeze", {"reason": "x"}, key="order-0001")
    services.store.down = ""
    assert (await api.post("/freeze", {"reason": "x"}, key="order-0001"))["decisions"][0]["decision"] == "applied"


async def test_the_audit_is_exported_and_verified(services: TwinServices, api: Api) -> None:
    """A whole chain passes; one edited, one cut, one gone are each found and named."""
    incident = await open_incident(services)
    await api.post(f"/incidents/{incident}/ack")
    chains = (await api.get("/audit", system=SYSTEM))["chains"]
    assert {"system": SYSTEM, "aggregate": incident} in chains
    entries = (await api.get(f"/audit/{SYSTEM}/{incident}"))["entries"]
    assert [entry["seq"] for entry in entries] == [1, 2]
    assert (await api.get("/audit/verify"))["ok"] is True
    chain = services.store._shard(SYSTEM).chains[incident]
    removed = chain.pop()
    answer = await api.get("/audit/verify")
    assert answer["ok"] is False
    assert [(p["aggregate"], "cut off" in p["problem"]) for p in answer["problems"]] == [(incident, True)]
    chain.append(removed)
    assert (await api.get("/audit/verify"))["ok"] is True


async def test_dead_letters_are_shown_as_text_or_base64(services: TwinServices, api: Api) -> None:
    """What was set aside can be looked at, whatever is in it."""
    for raw in (b"readable", b"\xff\x00"):
        services.store.poison(SYSTEM, "inbox", raw)
    for delivery in await services.store.read_inbox(SYSTEM, 10, 0):
        await services.store.dead_letter(SYSTEM, "inbox", delivery.delivery, delivery.raw, delivery.problem)
    letters = (await api.get("/dead-letters"))["dead_letters"]
    assert [letter.get("text") or letter["base64"] for letter in letters] == ["/wA=", "readable"]
    assert letters[0]["reason"] == "the record does not carry our seal"


async def test_lists_are_bounded_and_filtered(services: TwinServices, api: Api) -> None:
    """By system and number; a limit out of bounds is refused."""
    for n in range(3):
        services.clock.advance(1_000)
        await open_incident(services, key=str(n))
    await open_incident(services, key="other", system="py-rt")
    listed = (await api.get("/incidents", system=SYSTEM, limit=2))["incidents"]
    assert len(listed) == 2
    assert listed[0]["opened_at"] > listed[1]["opened_at"]
    for limit in ("0", "501", "x", "١"):
        with pytest.raises(BadRequestError):
            await api.get("/incidents", limit=limit)


async def test_ready_says_what_is_wrong(services: TwinServices, door: Open) -> None:
    """Every check by name, 503 as soon as one fails; alive is another question."""
    async with aiohttp.ClientSession(door.addresses.webhooks) as session:
        assert await readiness(session) == (200, [])
        services.fingerprint = ""
        services.unwell = (Check("loops", False, "one has not gone round for 9 s"),)
        assert await readiness(session) == (503, ["policies", "loops"])
        async with session.get("/healthz") as answer:
            assert answer.status == 200


async def test_not_ready_while_the_store_cannot_write(tmp_path: Path) -> None:
    """A webhook posted now would not be stored."""
    services = TwinServices()
    services.store.down = "MISCONF disk full"
    async with opened(services) as door, aiohttp.ClientSession(door.addresses.webhooks) as session:
        assert await readiness(session) == (503, ["store"])


async def readiness(session: aiohttp.ClientSession) -> tuple[int, list[str]]:
    async with session.get("/readyz") as answer:
        checks = (await answer.json())["checks"]
        assert all(check["detail"] for check in checks.values())
        return answer.status, [name for name, check in checks.items() if not check["ok"]]


async def test_the_socket_is_private_and_goes_with_the_server(services: TwinServices, tmp_path: Path) -> None:
    """Only owner and group may connect; afterwards it is gone; one left by a killed process is replaced."""
    path = tmp_path / "andon.sock"
    async with opened(services, on_socket(tmp_path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with pytest.raises(ConfigError, match="another Andon answers"):
            await serve(build(TwinServices()), on_socket(tmp_path), asyncio.Event())
        assert path.exists()
    assert not path.exists()
    left_behind(path)
    async with (
        opened(TwinServices(), on_socket(tmp_path)) as door,
        connect(Place(socket=door.addresses.api_socket)) as api,
    ):
        assert (await api.get("/status"))["replica"] == "twin"


def left_behind(path: Path) -> None:
    """A socket file without anybody behind it."""
    import socket

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


async def test_a_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    """A wrong path in the configuration must not delete anything."""
    (tmp_path / "andon.sock").write_text("precious")
    with pytest.raises(ConfigError, match="no socket"):
        await serve(build(TwinServices()), on_socket(tmp_path), asyncio.Event())
    assert (tmp_path / "andon.sock").read_text() == "precious"


async def test_nobody_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    """So that the CLI can exit with 3 and say where it looked."""
    async with connect(Place(socket=tmp_path / "none.sock")) as api:
        with pytest.raises(UnreachableError, match=r"none\.sock"):
            await api.get("/status")
