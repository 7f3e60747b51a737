"""`andon serve` on somebody's own Redis: refused where it could lose writes, with the lines that mend it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.acceptance.harness.binaries import binary
from tests.acceptance.harness.services import free_port


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
