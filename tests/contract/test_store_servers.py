"""Stores by URL: over TLS with an ACL user, unsafe settings refused with what mends them, losses of the line."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.adapters import redis_safety
from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.redis_link import connect
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.engine.ports import Commit
from bot.errors import ConfigError, StoreUnavailable, StoreUnsafe
from bot.sandbox.ports import free_port
from tests.contract.conftest import KEY, Bench, wait_until_it_answers
from tests.contract.store_records import SHARD, change, incident, message, put, webhook

ACL = "user andon on >s3cret ~andon:* +@all -@dangerous +info"


@pytest.fixture
async def weak_url(tmp_path: Path) -> AsyncIterator[str]:
    """A server of our own whose settings a test may spoil."""
    server = EmbeddedValkey(tmp_path)
    yield await server.start()
    await server.stop()


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Any]:
    client = connect(url)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("setting", "value", "words", "line"),
    [
        ("appendonly", "no", "appendonly is no", "CONFIG SET appendonly yes"),
        ("appendfsync", "everysec", "appendfsync is everysec", "CONFIG SET appendfsync always"),
        ("no-appendfsync-on-rewrite", "yes", "rewrite is yes", "CONFIG SET no-appendfsync-on-rewrite no"),
        ("maxmemory-policy", "allkeys-lru", "policy is allkeys-lru", "CONFIG SET maxmemory-policy noeviction"),
    ],
)
async def test_an_unsafe_setting_is_refused_with_the_line_that_mends_it(
    weak_url: str, setting: str, value: str, words: str, line: str
) -> None:
    """What would lose acknowledged writes stops the start; the line works as printed; the flag makes it a warning."""
    async with client_of(weak_url) as client:
        await client.config_set("maxmemory", "100mb")
        assert await redis_safety.check(client, accept_weak=False) == ()
        await client.config_set(setting, value)
        with pytest.raises(StoreUnsafe, match=words) as refused:
            await redis_safety.check(client, accept_weak=False)
        assert line in str(refused.value)
        assert "--accept-weak-durability" in str(refused.value)
        (warning,) = await redis_safety.check(client, accept_weak=True)
        assert words in warning
        await client.execute_command(*line.split())
        assert await redis_safety.check(client, accept_weak=False) == ()


async def test_an_eviction_policy_is_refused_also_without_a_memory_limit(weak_url: str) -> None:
    """A limit that somebody sets later, while Andon runs, must not begin to delete records."""
    async with client_of(weak_url) as client:
        await client.config_set("maxmemory", "0")
        await client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(StoreUnsafe, match="CONFIG SET maxmemory-policy noeviction"):
            await redis_safety.check(client, accept_weak=False)


async def test_a_trading_systems_own_server_is_refused_by_address_and_by_identity(weak_url: str) -> None:
    """Also under another address, and also with weak settings accepted; an unreachable target is no obstacle."""
    port = free_port()
    async with client_of(weak_url) as client:
        same = [weak_url.replace("unix://", "unix:////"), f"redis://127.0.0.1:{free_port()}"]
        with pytest.raises(StoreUnsafe, match="trading system"):
            await redis_safety.check(client, accept_weak=True, url="redis://store:6379", target_urls=same)
        with pytest.raises(StoreUnsafe, match=r"redis://localhost:7000\)"):
            await redis_safety.check(
                client, accept_weak=True, url="redis://127.0.0.1:7000", target_urls=["redis://:secret@localhost:7000"]
            )
        other = [f"redis://127.0.0.1:{port}"]
        assert await redis_safety.check(client, accept_weak=False, url=weak_url, target_urls=other) == ()


async def test_a_store_over_tls_with_an_acl_user(tmp_path: Path) -> None:
    """rediss:// with a user who may only touch our keys: the store works; what cannot be checked has to be accepted."""
    async with tls_server(tmp_path) as port:
        query = f"ssl_ca_certs={tmp_path}/ca.crt"
        url = f"rediss://andon:s3cret@localhost:{port}/0?{query}"
        store = RedisStore(url, replica="a", sealer=Sealer(KEY))
        try:
            await store.open()
            await put(store, incident(due=5))
            await store.append(SHARD, [webhook()])
            assert await store.claim_due(SHARD, 10, 10) == 1
            assert len(await store.read_inbox(SHARD, 10, 1_000)) == 2
            assert list(await store.load(SHARD, ["inc-1"])) == ["inc-1"]
        finally:
            await store.close()
        async with client_of(url) as client:
            with pytest.raises(StoreUnsafe, match="CONFIG GET is forbidden"):
                await redis_safety.check(client, accept_weak=False)
            assert len(await redis_safety.check(client, accept_weak=True)) == 1
        for wrong in (f"rediss://andon:wrong@localhost:{port}/0?{query}", f"rediss://andon:s3cret@localhost:{port}/0"):
            stranger = RedisStore(wrong, replica="a", sealer=Sealer(KEY))
            with pytest.raises(StoreUnavailable):
                await stranger.open()
            await stranger.close()


async def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Every call says so at once, in our own error; a malformed URL is a mistake in the configuration."""
    store = RedisStore(f"redis://127.0.0.1:{free_port()}", replica="a", sealer=Sealer(KEY))
    calls = [
        store.open(), store.append(SHARD, [webhook()]), store.read_inbox(SHARD, 1, 1_000), store.load(SHARD, ["inc-1"]),
        store.commit(SHARD, Commit(changes=(change(incident()),))),
        store.claim_due(SHARD, 1, 1), store.next_due(SHARD), store.check_writable(), store.reclaim(SHARD, 0, 1),
        store.lag(SHARD), store.incidents(SHARD, closed=False, limit=1), store.audit(SHARD, "inc-1"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(StoreUnavailable):
            await call
    await store.close()
    with pytest.raises(ConfigError, match="store url"):
        RedisStore("http://127.0.0.1", replica="a", sealer=Sealer(KEY))


@pytest.mark.parametrize("bench", ["valkey", "redis-7.0"], indirect=True)
async def test_a_cancelled_read_leaves_the_store_usable_and_loses_no_entry(bench: Bench) -> None:
    """A reader that is cancelled while it waits does not break its connection for the next, nor swallow an entry."""
    store = bench.store
    assert await store.read_inbox(SHARD, 1, 0) == []
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            reader = group.create_task(store.read_inbox(SHARD, 10, 9_000))
            await bench.raw.ping()  # a round trip, so that the reader's command has been sent
            reader.cancel()
    await store.append(SHARD, [webhook("w1")])
    fresh = await store.read_inbox(SHARD, 10, 1_000)
    taken, _ = await store.reclaim(SHARD, 0, 10)
    assert [delivery.entry for delivery in fresh or taken] == [webhook("w1")]


@pytest.mark.parametrize("bench", ["valkey", "redis-7.0"], indirect=True)
async def test_a_server_that_forgot_its_scripts_and_groups_is_taught_again(bench: Bench) -> None:
    """After a restart or a flush nothing has to be done by hand."""
    await bench.store.read_inbox(SHARD, 1, 0)
    await put(bench.store, incident())
    await bench.raw.script_flush()
    await put(bench.store, incident())
    await bench.raw.delete(f"{bench.prefix}:{{{SHARD}}}:inbox")
    await bench.store.append(SHARD, [webhook()])
    assert len(await bench.store.read_inbox(SHARD, 10, 1_000)) == 1


@pytest.mark.parametrize("bench", ["valkey", "redis-7.0"], indirect=True)
async def test_what_is_done_leaves_nothing_behind_in_the_queues(bench: Bench) -> None:
    """Acknowledged is also no longer pending and no longer stored, whichever way it was done."""
    store = bench.store
    await store.append(SHARD, [webhook(f"w{n}") for n in range(3)])
    await put(store, incident(), effects=tuple(message(f"m{n}") for n in range(3)))
    inbox = await store.read_inbox(SHARD, 10, 1_000)
    outbox = await store.read_outbox(SHARD, 10, 1_000)
    await store.commit(SHARD, Commit(inbox_acks=(inbox[0].delivery,), outbox_acks=(outbox[0].delivery,)))
    await store.commit(SHARD, Commit(outbox_acks=(outbox[1].delivery,)))
    await store.dead_letter(SHARD, "outbox", outbox[2].delivery, outbox[2].raw, "test")
    for delivery in inbox[1:]:
        await store.dead_letter(SHARD, "inbox", delivery.delivery, delivery.raw, "test")
    for queue in ("inbox", "outbox"):
        stream = f"{bench.prefix}:{{{SHARD}}}:{queue}"
        assert (await bench.raw.xpending(stream, "andon"))["pending"] == 0
        assert await bench.raw.xlen(stream) == 0


@pytest.mark.parametrize("bench", ["valkey", "redis-7.0"], indirect=True)
async def test_a_server_out_of_memory_refuses_the_whole_commit(bench: Bench) -> None:
    """`noeviction` refuses writes; the store then is unavailable and keeps none of the commit."""
    await bench.raw.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(StoreUnavailable, match="memory"):
            await bench.store.commit(SHARD, Commit(changes=(change(incident()),)))
        with pytest.raises(StoreUnavailable, match="memory"):
            await bench.store.check_writable()
    finally:
        await bench.raw.config_set("maxmemory", "0")
    assert await bench.store.load(SHARD, ["inc-1"]) == {}


@asynccontextmanager
async def tls_server(folder: Path) -> AsyncIterator[int]:
    binary = shutil.which("redis-server")
    openssl = shutil.which("openssl")
    if binary is None or openssl is None:
        missing = "redis-server or openssl is missing; install them: apt-get install redis-server openssl"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt"), "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    port = free_port()
    (folder / "tls.conf").write_text(
        f"port 0\nbind 127.0.0.1\ntls-port {port}\nunixsocket {folder}/tls.sock\n"
        f"tls-cert-file {folder}/ca.crt\ntls-key-file {folder}/ca.key\ntls-auth-clients no\n"
        f'dir {folder}\nlogfile {folder}/tls.log\nappendonly yes\nappendfsync always\nsave ""\n{ACL}\n'
    )
    process = subprocess.Popen([binary, str(folder / "tls.conf")], stdout=subprocess.DEVNULL)
    try:
        wait_until_it_answers(f"unix://{folder}/tls.sock")
        yield port
    finally:
        process.terminate()
        process.wait(10)
