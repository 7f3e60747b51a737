"""`andon serve` on somebody's own Redis: refused where it could lose writes, at work through its failovers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from bot.sandbox.children import until
from bot.sandbox.ports import free_port
from bot.sandbox.topology import ask
from tests.acceptance.harness.binaries import binary
from tests.acceptance.harness.own_store import MASTER, WITHIN, StoreHouse, open_store_house

BACK_S = 6.0  # from the old primary's end of service to an alert acted on: the Sentinels tell of it within 2 s
ELECTED_S = 15.0  # more after a crash, until there is a new primary: 2 to 3 s; a split vote costs 4 s each


@pytest.fixture
async def weak_redis(tmp_path: Path) -> AsyncIterator[int]:
    """Debian's redis-server as it comes: no append-only file. Yields its port."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        binary("redis-server"), "--port", str(port), "--save", "", "--dir", str(tmp_path),
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with Redis(port=port) as client:
        for _ in range(500):
            try:
                await client.ping()
                break
            except RedisConnectionError:
                await asyncio.sleep(0.01)
    yield port
    server.terminate()
    await server.wait()


async def serve(tmp_path: Path, port: int, *flags: str) -> asyncio.subprocess.Process:
    """`andon serve` with its store on `port`, webhooks on a free port."""
    (tmp_path / "configs").mkdir(exist_ok=True)
    (tmp_path / "configs" / "andon.yaml").write_text(f"listen: {{port: {free_port()}}}\n")
    for name in ("people", "targets"):
        (tmp_path / "configs" / f"{name}.yaml").write_text("{}\n")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.getcwd(),
        "ANDON_CONFIG": str(tmp_path / "configs" / "andon.yaml"),
        "ANDON_DATA_DIR": str(tmp_path / "data"),
        "ANDON_STORE_URL": f"redis://127.0.0.1:{port}",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.cli", "serve", *flags, env=environment, stderr=asyncio.subprocess.PIPE
    )


async def test_a_store_that_could_lose_writes_is_refused_with_the_lines_that_mend_it(tmp_path, weak_redis):
    """No append-only file: `serve` ends at once, says why, and the lines it prints make it start."""
    andon = await serve(tmp_path, weak_redis)
    _, told = await asyncio.wait_for(andon.communicate(), 30)
    text = told.decode()
    assert andon.returncode not in (0, None)
    assert "Traceback" not in text
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("CONFIG SET")]
    assert "CONFIG SET appendonly yes" in lines
    assert "CONFIG SET appendfsync always" in lines
    async with Redis(port=weak_redis) as client:
        for line in lines:
            await client.execute_command(*line.split())
    again = await serve(tmp_path, weak_redis)
    await opens(again)
    again.terminate()
    await asyncio.wait_for(again.communicate(), 30)
    assert again.returncode == 0


async def test_the_loss_can_be_accepted_in_words(tmp_path, weak_redis):
    """`--accept-weak-durability` starts all the same, and warns."""
    andon = await serve(tmp_path, weak_redis, "--accept-weak-durability")
    assert "store_is_weak" in await opens(andon)
    andon.terminate()
    await asyncio.wait_for(andon.communicate(), 30)
    assert andon.returncode == 0


async def opens(andon: asyncio.subprocess.Process) -> str:
    """Everything logged until the doors are open."""
    assert andon.stderr is not None
    told = ""
    async with asyncio.timeout(30):
        while "doors_open" not in told:
            line = await andon.stderr.readline()
            assert line, f"it ended instead: {told}"
            told += line.decode()
    return told


async def fail_over(house: StoreHouse) -> None:
    """The store's primary hands over to a replica; returns in that moment."""
    told = await ask(house.servers.sentinels[0], "SENTINEL", "FAILOVER", MASTER, "COORDINATED")
    assert told == "OK", told

    async def demoted() -> bool:
        role = await ask(house.servers.primary, "ROLE")
        return bool(role) and role[0] == "slave"

    await until("the primary hands over", demoted, within=WITHIN)


async def crash(house: StoreHouse) -> None:
    """The store's primary is killed, and stays away."""
    await house.servers.stop(house.servers.primary, crash=True)


@pytest.mark.parametrize(
    ("lose", "bound"), [(fail_over, BACK_S), (crash, ELECTED_S + BACK_S)], ids=["coordinated", "kill -9"]
)
async def test_andon_works_on_through_a_failover_of_its_own_store(lose, bound):
    """Alerts come in all the time, a question is open and a timer armed: whatever was answered with 2xx runs once or is
    handed to a person, the question is answered during the failover and the timer fires, each once; the process stays.
    """
    clock = asyncio.get_running_loop().time
    async with open_store_house() as house:
        await house.alert("Ask", "ask-1")
        card = await house.question("ask-1")
        async with house.alerting():
            await house.ran("work-5")
            await house.alert("Wait", "wait-1")
            await lose(house)
            lost_at = clock()
            vote = {"approval": card["approval"], "digest": card["digest"]}
            await house.ask("POST", f"/incidents/{card['incident']}/approve", vote)
            await house.alert("Work", "after")
            await house.ran("after")
            back_after = clock() - lost_at
            await house.ran("ask-1")
        ends = await house.settled()
        waiting = (await house.incidents())["wait-1"]["id"]

        async def paged() -> bool:
            return house.pages(waiting) > 0

        await until("the ladder pages", paged, within=WITHIN)
        assert house.pages(waiting) == 1
        assert set(house.runs().values()) == {1}, house.runs().most_common(3)
        assert sum(end == "ran" for end in ends.values()) > len(ends) // 2, ends
        assert back_after < bound
        assert house.andon.running
        assert (await house.ask("GET", "/audit/verify"))["ok"]
