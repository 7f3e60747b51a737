"""Hosts that lead where Andon does not connect are told of, also by `andon check --probe`. DNS is stood in for."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp.abc import ResolveResult

from bot import checking, cli
from bot.adapters.destination_look import DestinationLook
from bot.adapters.outgoing import Lookup
from bot.console import checked
from bot.core.events import AlertsReceived
from bot.engine.alarms import Alarms
from bot.settings import Settings
from bot.testing import FakeClock, MemoryStore
from policies.andon import UNROUTED, AndonDocument
from policies.called_hosts import Place, places
from policies.schema import schemas
from policies.targets import TargetsDocument
from remediations.catalogue import CATALOGUE

SYSTEM = "trading-core"
INSIDE, OUTSIDE, METADATA = "10.1.2.3", "93.184.216.34", "169.254.169.254"
Said = list[tuple[str, str, str, str]]  # shard, setting, status, summary


class Dns:
    """Stands in for the resolver: what each name leads to, or nothing."""

    def __init__(self, **answers: str) -> None:
        self.answers = {name.replace("_", "."): address for name, address in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(
                hostname=host, host=self.answers[host], port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]  # fmt: skip


def targets(url: str, *, allow_private: bool = False) -> TargetsDocument:
    parts = [
        {"name": "risk", "role": "risk", "connector": "http", "url": url, "allow_private": allow_private},
        {"name": "store", "role": "store", "connector": "redis", "url": "redis://redis.example.com:6379"},
    ]
    return TargetsDocument.model_validate({"systems": {SYSTEM: {"components": parts}}})


class Floor:
    """One process looking at a set that the test swaps; `looked` is one round and what it said."""

    def __init__(self, dns: Lookup, risk: TargetsDocument, andon: AndonDocument | None = None) -> None:
        self.targets, self.andon = risk, andon or AndonDocument()
        self._store, self._clock = MemoryStore(), FakeClock()
        listed = self._listed()
        self.watch = DestinationLook(listed, Alarms(self._store, self._clock), [SYSTEM, UNROUTED], dns)

    def _listed(self) -> Callable[[], list[Place]]:
        started = self.andon
        return lambda: places(self.targets, self.andon, started)

    async def looked(self) -> Said:
        await self.watch.look()
        self._clock.advance(600_000)
        said: Said = []
        for shard in (SYSTEM, UNROUTED):
            for delivery in await self._store.read_inbox(shard, 100, 0):
                assert isinstance(delivery.entry, AlertsReceived)
                for alert in delivery.entry.alerts:
                    assert alert.name == "AndonDestinationRefused"
                    said.append((shard, alert.labels["setting"], alert.status, alert.annotations.get("summary", "")))
        return said


async def test_a_component_that_would_be_refused_is_told_until_it_is_allowed() -> None:
    """In its own system, with the sentence that mends it; the reload that says allow_private ends it."""
    dns = Dns(risk_acme_com=INSIDE)
    floor = Floor(dns, targets("http://risk.acme.com:8080"))
    assert await floor.looked() == [
        (
            SYSTEM, f"{SYSTEM}/risk", "firing",
            f"{SYSTEM}/risk is not called: risk.acme.com is a public name, and leads to 10.1.2.3, which is not a "
            "public address; if it is yours, say allow_private: true beside its url in targets.yaml",
        )
    ]  # fmt: skip
    assert dns.asked == ["risk.acme.com"]  # Redis is not called by HTTP
    floor.targets = targets("http://risk.acme.com:8080", allow_private=True)
    assert [status for *_, status, _ in await floor.looked()] == ["resolved"]


async def test_a_name_that_is_not_answered_neither_raises_nor_clears() -> None:
    """Its own clients tell of that; a refusal stands until an answer says otherwise."""
    dns = Dns(risk_acme_com=INSIDE)
    second = AndonDocument.model_validate({"second_route": {"url": "http://gone.acme.com"}})
    floor = Floor(dns, targets("http://risk.acme.com"), second)
    assert [setting for _, setting, *_ in await floor.looked()] == [f"{SYSTEM}/risk"]
    dns.answers.clear()
    assert await floor.looked() == []
    dns.answers |= {"risk.acme.com": OUTSIDE, "gone.acme.com": OUTSIDE}
    assert {(setting, status) for _, setting, status, _ in await floor.looked()} == {
        (f"{SYSTEM}/risk", "resolved"), ("second_route", "resolved"),
    }  # fmt: skip


async def test_what_is_configured_no_more_is_over() -> None:
    """A component that a reload took out has no alarm left."""
    floor = Floor(Dns(risk_acme_com=METADATA), targets("http://risk.acme.com", allow_private=True))
    assert "correct the url in targets.yaml" in (await floor.looked())[0][3]
    floor.targets = TargetsDocument()
    assert [(setting, status) for _, setting, status, _ in await floor.looked()] == [(f"{SYSTEM}/risk", "resolved")]


async def test_a_setting_that_a_start_reads_is_judged_as_started() -> None:
    """The heartbeat in force is the start's, so a reload that allows it does not end the alarm; a restart would."""
    beat = {"url": "https://beat.acme.com/x"}
    floor = Floor(Dns(beat_acme_com=INSIDE), TargetsDocument(), AndonDocument.model_validate({"heartbeat": beat}))
    assert (await floor.looked())[0][3].endswith("beside its url in andon.yaml, and restart Andon")
    floor.andon = AndonDocument.model_validate({"heartbeat": beat | {"allow_private": True}})
    assert [status for *_, status, _ in await floor.looked()] == ["firing"]


def test_every_part_that_may_be_private_is_looked_at() -> None:
    """A new `url` with `allow_private` in a schema must come into the list."""
    text = {name: json.loads(found)["$defs"] for name, found in schemas(CATALOGUE).items()}
    models = [each for found in text.values() for each in found.items()]
    parts = {name for name, model in models if "allow_private" in model.get("properties", {})}
    assert parts == {"AlertmanagerDoc", "CheckpointsDoc", "ComponentDoc", "HeartbeatDoc", "SecondRouteDoc"}
    url = {"url": "https://x.acme.com"}
    andon = AndonDocument.model_validate(
        {"alertmanagers": [{"name": "a"} | url], "heartbeat": url, "second_route": url, "checkpoints": url}
    )
    found = places(targets("http://risk.acme.com"), andon, andon)
    assert [place.setting for place in found] == [
        f"{SYSTEM}/risk", "alertmanagers/a", "heartbeat", "second_route", "checkpoints",
    ]  # fmt: skip


def test_the_probe_names_file_and_line_and_the_check_alone_asks_nobody(tmp_path: Path) -> None:
    """Each refusal like any other problem, and hosts that nothing is known of by name."""
    (tmp_path / "andon.yaml").write_text(
        f"systems: [{SYSTEM}]\nalertmanagers:\n  - name: a\n    url: http://am.acme.com:9093\n"
        "second_route:\n  url: https://gone.acme.com/x\n"
    )
    (tmp_path / "people.yaml").write_text("{}\n")
    (tmp_path / "targets.yaml").write_text(
        f"systems:\n  {SYSTEM}:\n    components:\n      - {{name: m, role: metrics, connector: prometheus,\n"
        "         url: 'http://prom.acme.com:9090'}\n"
    )
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(
        f"system: {SYSTEM}\npolicies:\n  - {{name: p, match: ['alertname=\"A\"'], mode: auto}}\n"
    )
    dns = Dns(am_acme_com=INSIDE, prom_acme_com=INSIDE)
    offline = checking.check([tmp_path], Settings(), lookup=dns)
    assert (offline["ok"], offline["problems"], dns.asked) == (True, [], [])
    report = checking.check([tmp_path], Settings(), probe=True, lookup=dns)
    assert not report["ok"]
    assert [(Path(each["source"]).name, each["line"], each["path"]) for each in report["problems"]] == [
        ("andon.yaml", 4, "alertmanagers[0].url"),
        ("targets.yaml", 5, f"systems.{SYSTEM}.components[0].url"),
    ]
    assert {each["fix"] for each in report["problems"]} == {"if it is yours, say allow_private: true beside its url"}
    assert report["unanswered"] == ["gone.acme.com"]
    assert checked(report) is not None


def test_the_command_takes_the_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`andon check --probe FILE`; an address written as a number needs no DNS."""
    file = tmp_path / "targets.yaml"
    file.write_text(
        f"systems:\n  {SYSTEM}:\n    components:\n"
        "      - {name: risk, role: risk, connector: http, url: 'http://10.0.0.5:80'}\n"
    )
    assert cli.run(["check", str(file), "--probe", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unanswered"] == []


async def test_it_looks_at_the_start_and_when_the_configuration_is_another() -> None:
    """Not only every ten minutes."""
    asked = asyncio.Queue[str]()

    async def dns(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        asked.put_nowait(host)
        return []

    floor = Floor(dns, targets("http://risk.acme.com"))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(floor.watch.run())
        assert await asked.get() == "risk.acme.com"
        floor.targets = targets("http://other.acme.com")
        floor.watch.poke()
        assert await asked.get() == "other.acme.com"
        running.cancel()
