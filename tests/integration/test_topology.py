"""The servers that failovers are tried on: real, one whole before anybody uses them, gone afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.sandbox.children import until
from bot.sandbox.topology import Topology, ask, topology


async def test_primary_replica_and_sentinels_are_one_and_end(tmp_path: Path):
    """Every Sentinel knows all from the start, a coordinated failover works at once, and no process is left."""
    async with topology(tmp_path) as floor:
        pids = [floor.pid(node) for node in floor.nodes]
        assert all(pids)
        assert len(set(pids)) == 5
        for sentinel in floor.sentinels:
            assert (await ask(sentinel, "SENTINEL", "CKQUORUM", floor.master)).startswith("OK 3 usable Sentinels")
        assert await ask(floor.sentinels[0], "SENTINEL", "FAILOVER", floor.master, "COORDINATED") == "OK"
        await until("the replica is primary", lambda: _primary(floor), within=10)
    assert not any(_alive(pid) for pid in pids)


async def test_a_server_stops_and_comes_back_without_sentinels(tmp_path: Path):
    """A stopped replica follows again on its old port; without Sentinels nothing else is started."""
    async with topology(tmp_path, sentinels=0) as floor:
        replica = floor.replicas[0]
        await floor.stop(replica, crash=True)
        assert floor.pid(replica) == 0
        assert await ask(replica, "PING") is None
        assert await ask(floor.primary, "SET", "key", "value") == "OK"
        await floor.start(replica)
        await floor.converge()
        assert await ask(replica, "GET", "key") == "value"


async def test_as_many_ports_as_servers_are_needed(tmp_path: Path):
    """A wrong number of ports is told before anything is started."""
    with pytest.raises(ValueError, match="5 ports are needed, not 2"):
        async with topology(tmp_path, ports=[1, 2]):
            pass


async def _primary(floor: Topology) -> bool:
    role = await ask(floor.replicas[0], "ROLE")
    return bool(role) and role[0] == "master"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
