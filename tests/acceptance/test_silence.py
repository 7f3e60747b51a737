"""Silence is not health, on real Prometheus, Alertmanager and Valkey: what never came is found, nothing is assumed."""

from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp
import pytest
import yaml

from bot.engine.antientropy import FOUND, GONE, NOTE
from bot.engine.reach import EMPTY, UNREACHABLE
from bot.sandbox.ports import free_port
from tests.acceptance.harness import deploy_files, services
from tests.acceptance.harness.floor import TOKEN, open_floor
from tests.acceptance.harness.listener import SYSTEM, listening

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_the_resolve_that_alertmanager_never_delivers_is_found() -> None:
    """`send_resolved: false`: the alert ends, nobody is told, and the next looks at Alertmanager's own list end it."""
    async with listening(send_resolved=False) as andon:
        andon.var = 2.4
        opened = await andon.incident("VaRBreach")
        andon.var = 0.9
        ended = await andon.incident("VaRBreach", firing=False)
        assert ended.id == opened.id
        [state] = ended.alerts.values()
        assert state.alert.annotations[NOTE] == GONE


async def test_the_webhook_that_never_comes_is_found_and_standing_follows_the_list() -> None:
    """Alertmanager cannot reach us; we can reach it. A silence then mutes the alert and resolves nothing."""
    async with listening(posts=False) as andon:
        andon.var = 2.4
        found = await andon.incident("VaRBreach")
        [state] = found.alerts.values()
        assert state.alert.annotations[NOTE] == FOUND
        await andon.standing(found, "firing")
        await andon.silence("VaRBreach")
        await andon.looks(4)
        assert await andon.fires("VaRBreach")
        assert "1 silence" in await andon.standing(found, "silenced")


async def test_an_emptied_alertmanager_resolves_nothing_and_says_so() -> None:
    """Killed, its data removed, started again, and Prometheus is away: the alert is listed nowhere, and still fires."""
    async with listening() as andon:
        andon.var = 2.4
        opened = await andon.incident("VaRBreach")
        await andon.prometheus.child.kill()
        await andon.restart_alertmanager_empty()
        await andon.listed("VaRBreach", there=False)
        alarm = await andon.incident(EMPTY, "unrouted")
        assert "VaRBreach" in alarm.firing[0].annotations["summary"]
        assert [page.incident for page in await andon.pages("unrouted")] == [alarm.id]
        await andon.standing(opened, "unknown")
        await andon.looks(4)
        assert await andon.fires("VaRBreach")


async def test_a_dead_watchdog_and_an_alertmanager_that_is_gone_page() -> None:
    """Alertmanager dies: no sign of life comes any more, nobody can be asked, both are told; what fires goes on."""
    async with listening() as andon:
        andon.var = 2.4
        await andon.incident("VaRBreach")
        await andon.alertmanager.child.kill()
        silent = await andon.incident("AndonSourceSilent")
        away = await andon.incident(UNREACHABLE, "unrouted")
        assert silent.id in {page.incident for page in await andon.pages(SYSTEM)}
        assert away.id in {page.incident for page in await andon.pages("unrouted")}
        assert await andon.fires("VaRBreach")


async def test_a_running_andon_asks_the_alertmanager_that_is_written_into_its_configuration() -> None:
    """`andon serve`, a new entry in andon.yaml: what that one holds and could not deliver opens an incident."""
    async with open_floor() as floor, AsyncExitStack() as stack, aiohttp.ClientSession() as session:
        where = floor.folder / "mute"
        where.mkdir()
        nowhere = deploy_files.alertmanager(where, andon=f"127.0.0.1:{free_port()}", token=TOKEN)
        mute = await services.alertmanager(stack, session, nowhere, where, "mute")
        labels = {"alertname": "VaRBreach", "severity": "critical", "system": SYSTEM, "symbol": "ETH-USD"}
        async with session.post(f"http://{mute.address}/api/v2/alerts", json=[{"labels": labels}]) as answer:
            assert answer.status == 200
        document = yaml.safe_load(floor.place.andon_yaml.read_text())
        document["alertmanagers"] = [{"name": "mute", "url": f"http://{mute.address}", "every": "1s"}]
        floor.place.andon_yaml.write_text(yaml.safe_dump(document))
        found = await floor.any_incident()
        [state] = (await floor.api("GET", f"/incidents/{found}"))["incident"]["alerts"].values()
        assert state["alert"]["annotations"][NOTE] == FOUND
