"""The embedded Valkey: it survives what kills it or us, keeps to itself, and loses nothing it acknowledged."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bot.adapters import redis_safety
from bot.adapters.embedded import MAX_SOCKET_PATH, STOP_S, EmbeddedValkey
from bot.adapters.redis_link import connect
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.engine.ports import Commit, Committed
from bot.errors import ConfigError, StoreUnavailable
from tests.contract.store_records import SHARD, change, incident, message, put, webhook

# Starts a server as Andon does, says where, and waits to be killed.
ANDON = """
import asyncio, sys
from pathlib import Path
from bot.adapters.embedded import EmbeddedValkey

async def main():
    server = EmbeddedValkey(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def opened(url: str, folder: Path, replica: str = "a") -> AsyncIterator[RedisStore]:
    store = RedisStore(url, replica=replica, sealer=Sealer.from_file(folder / "seal.key"))
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    embedded = EmbeddedValkey(tmp_path / "data")
    await embedded.start()
    yield embedded
    await embedded.stop()


async def test_the_embedded_server_is_safe_private_and_off_the_network(server: EmbeddedValkey, tmp_path: Path) -> None:
    """It passes the check that every store must pass, listens on no port, and only its owner can reach it."""
    client = connect(server.url)
    try:
        assert await redis_safety.check(client, accept_weak=False, url=server.url) == ()
        assert list((await client.config_get("port")).values()) == ["0"]  # redis-py decodes this reply
    finally:
        await client.aclose()
    folder = tmp_path / "data" / "valkey"
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "valkey.sock").stat().st_mode & 0o077 == 0
    assert server.pid is not None
    assert os.getpgid(server.pid) != os.getpgid(0)  # a Ctrl-C meant for Andon does not reach it


async def test_a_killed_server_comes_back_with_everything_it_acknowledged(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    """kill -9 of Valkey in the midst of writes: it is restarted, and every acknowledged entry and commit is there."""
    acknowledged: list[str] = []
    async with asyncio.TaskGroup() as group, opened(server.url, tmp_path) as store:
        keeper = group.create_task(server.run())
        enough = asyncio.Event()

        async def write() -> None:
            for number in range(100_000):
                name = f"w{number}"
                try:
                    await store.append(SHARD, [webhook(name)])
                    done = await store.commit(SHARD, Commit(changes=(change(incident(f"inc-{name}")),)))
                except StoreUnavailable:
                    return
                assert isinstance(done, Committed)
                acknowledged.append(name)
                if number == 50:
                    enough.set()

        writer = group.create_task(write())
        await enough.wait()
        assert server.pid is not None
        killed = server.pid
        os.kill(killed, signal.SIGKILL)
        await writer
        while server.pid in {killed, None}:
            await asyncio.sleep(0.01)  # the restart is another process's doing and announces itself nowhere
        read = await _when_it_answers(store)
        assert [name for name in acknowledged if name not in read] == []
        assert len(await store.load(SHARD, [f"inc-{name}" for name in acknowledged])) == len(acknowledged)
        await server.stop()
        await keeper


async def _when_it_answers(store: RedisStore) -> set[str]:
    async with asyncio.timeout(10):
        while True:
            try:
                return {
                    delivery.entry.id
                    for delivery in await store.read_inbox(SHARD, 100_000, 1_000)
                    if delivery.entry is not None and delivery.entry.kind == "alerts_received"
                }
            except StoreUnavailable:
                await asyncio.sleep(0.01)


async def test_a_clean_restart_keeps_everything(tmp_path: Path) -> None:
    """Stop and start: records, timers, queues and what was delivered but not acknowledged are as they were."""
    server = EmbeddedValkey(tmp_path / "data")
    async with opened(await server.start(), tmp_path) as store:
        await put(store, incident(due=5), effects=(message(),))
        await store.append(SHARD, [webhook()])
        (held,) = await store.read_inbox(SHARD, 10, 1_000)
    await server.stop()
    assert server.pid is None
    async with opened(await server.start(), tmp_path) as store:
        assert (await store.load(SHARD, ["inc-1"]))["inc-1"].record == incident(due=5)
        assert await store.next_due(SHARD) == 5
        assert [again.delivery for again in (await store.reclaim(SHARD, 0, 10))[0]] == [held.delivery]
        assert [effect.effect for effect in await store.read_outbox(SHARD, 10, 1_000)] == [message()]
    await server.stop()


async def test_the_server_of_a_killed_andon_is_taken_over(tmp_path: Path) -> None:
    """kill -9 of Andon leaves its server running; the next start ends it and goes on with its data."""
    andon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ANDON, str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE
    )
    assert andon.stdout is not None
    orphan = int(await andon.stdout.readline())
    url = f"unix://{tmp_path}/data/valkey/valkey.sock"
    async with opened(url, tmp_path) as store:
        await put(store, incident())
    andon.kill()
    await andon.wait()
    os.kill(orphan, 0)  # it lives
    server = EmbeddedValkey(tmp_path / "data")
    try:
        async with opened(await server.start(), tmp_path) as store:
            assert server.pid != orphan
            assert list(await store.load(SHARD, ["inc-1"])) == ["inc-1"]
    finally:
        await server.stop()


async def test_an_orphan_without_a_socket_is_found_too(tmp_path: Path) -> None:
    """The files' lock, not the socket, says whether a server uses them."""
    andon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ANDON, str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE
    )
    assert andon.stdout is not None
    await andon.stdout.readline()
    andon.kill()
    await andon.wait()
    (tmp_path / "data" / "valkey" / "valkey.sock").unlink()
    server = EmbeddedValkey(tmp_path / "data")
    try:
        async with asyncio.timeout(STOP_S - 2):  # asked to end, not waited for and then killed
            await server.start()
    finally:
        await server.stop()


async def test_two_andons_do_not_share_a_data_directory(server: EmbeddedValkey, tmp_path: Path) -> None:
    """The second is told who has it, and the first is not harmed."""
    with pytest.raises(ConfigError, match=f"process {os.getpid()}"):
        await EmbeddedValkey(tmp_path / "data").start()
    async with opened(server.url, tmp_path) as store:
        await store.check_writable()


async def test_a_long_data_directory_gets_a_short_private_socket(tmp_path: Path) -> None:
    """Socket paths are limited to about a hundred bytes; spaces and quotes in the path are no matter either."""
    long = tmp_path / ('a "long" folder\'s name ' * 5).strip() / "x"
    server = EmbeddedValkey(long)
    try:
        url = await server.start()
        path = Path(url.removeprefix("unix://"))
        assert len(os.fsencode(path)) <= MAX_SOCKET_PATH
        assert path.parent.stat().st_mode & 0o077 == 0
        async with Redis.from_url(url) as client:
            assert (await client.config_get("dir")) in (
                {"dir": str(long / "valkey")},
                {b"dir": str(long / "valkey").encode()},
            )
    finally:
        await server.stop()
    path.parent.rmdir()  # nothing is left in it


async def test_a_server_that_cannot_start_says_why(server: EmbeddedValkey, tmp_path: Path) -> None:
    """A damaged file is told with the server's own words, a missing one is not taken for a first start."""
    await server.stop()
    manifest = tmp_path / "data" / "valkey" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("nonsense\n")
    with pytest.raises(StoreUnavailable, match="did not start"):
        await server.start()
    manifest.unlink()
    with pytest.raises(ConfigError, match="append-only file is gone"):
        await server.start()
    shutil.rmtree(tmp_path / "data" / "valkey")
    await server.start()  # and the directory was free each time


async def test_a_directory_of_other_people_is_not_closed_to_them(tmp_path: Path) -> None:
    """An existing folder with other files in it keeps its permissions, and is refused."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "notes.txt").write_text("not Andon's")
    with pytest.raises(ConfigError, match="directory of its own"):
        await EmbeddedValkey(shared).start()
    assert shared.stat().st_mode & 0o777 == 0o755
