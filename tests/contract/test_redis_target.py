"""A trading system's Redis behind the connector: real servers and Sentinels, and what becomes of a command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bot.adapters.connectors import Connectors
from bot.adapters.targets_redis import RedisConnector
from bot.engine.connector_ports import RedisLook
from bot.errors import NotSent, Rejected, TargetError, Unknown
from bot.sandbox.children import until
from bot.sandbox.ports import free_ports
from bot.sandbox.topology import Topology, ask, topology
from policies.targets import TargetsDocument
from tests.contract.runbook_api import Script, raw_server

ALLOW = ["SENTINEL FAILOVER", "FAILOVER", "SET andon:canary", "PUBLISH param.*"]
SYSTEM = "trading-core"


@contextlib.asynccontextmanager
async def connected(url: str, killed: Callable[[], str] = lambda: "", **more: object) -> AsyncIterator[RedisConnector]:
    component = {"name": "redis", "role": "store", "connector": "redis", "url": url, "allow": ALLOW, **more}
    document = TargetsDocument.model_validate({"systems": {SYSTEM: {"components": [component]}}})
    connectors = Connectors(document, {"PASSWORD": "s3cret"}, killed=killed)
    try:
        yield connectors.redis(SYSTEM, "redis")
    finally:
        await connectors.close()


def behind(floor: Topology) -> dict[str, object]:
    return {"url": floor.primary.url, "sentinels": floor.sentinel_addresses, "master": floor.master}


@contextlib.asynccontextmanager
async def on(floor: Topology, **more: object) -> AsyncIterator[RedisConnector]:
    settings = {**behind(floor), **more}
    async with connected(str(settings.pop("url")), **settings) as target:  # type: ignore[arg-type]
        yield target


async def moved(target: RedisConnector, to: str) -> RedisLook:
    """The look once the failover to `to` is over everywhere."""

    async def over() -> RedisLook | None:
        with contextlib.suppress(TargetError):
            look = await target.look()
            follows = all(node.link_up and node.of == to and node.read_only for node in look.replicas)
            if look.primary.address == to and look.claims == (to,) and follows:
                return look
        return None

    return await until(f"{to} is primary", over, within=15)


@pytest.fixture
async def floor(tmp_path: Path) -> AsyncIterator[Topology]:
    async with topology(tmp_path) as made:
        yield made


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Topology]:
    async with topology(tmp_path, sentinels=0) as made:
        yield made


async def test_a_coordinated_failover_from_look_to_look(floor: Topology):
    """Every figure before it, the request, and every figure after; reads and sends go to the new primary at once."""
    async with on(floor) as target:
        old, new = floor.primary.address, floor.replicas[0].address
        await target.send("SET", "andon:canary", "before")
        look = await target.look(samples=20)
        (replica,) = look.replicas
        assert (look.primary.address, look.primary.role, look.claims, look.home) == (old, "primary", (old,), old)
        assert (look.sentinels, look.agreeing, look.quorum, look.means, look.why_not) == (3, 3, 2, "sentinel", "")
        assert (replica.address, replica.role, replica.of) == (new, "replica", old)
        assert (replica.link_up, replica.read_only, replica.persistence) == (True, True, "")
        assert look.primary.replid == replica.replid
        assert replica.offset <= look.primary.offset
        assert all(node.p99_us and 1 < node.p99_us < 500_000 for node in (look.primary, replica))
        await target.fail_over(look, new)
        after = await moved(target, new)
        assert after.epoch > look.epoch
        assert after.home == old
        assert after.primary.replid != look.primary.replid
        assert await target.send("SET", "andon:canary", "after") == "OK"
        assert await target.read("GET", "andon:canary") == "after"
        assert await target.hash_fields("metrics:none", ["value"]) == [None]
        with pytest.raises(Rejected, match="read only replica"):
            await target.send("SET", "andon:canary", "there", at=old)
        with pytest.raises(NotSent, match=f"no Sentinel names {old} any more"):
            await target.fail_over(look, new)


async def test_a_failover_without_sentinels_is_the_servers_own(tmp_path: Path):
    """FAILOVER on the server; afterwards the primary is found from the address in targets.yaml."""
    async with topology(tmp_path, sentinels=0) as floor, connected(floor.primary.url) as target:
        look = await target.look()
        assert (look.means, look.sentinels, look.agreeing, look.epoch) == ("server", 0, 0, 0)
        await target.fail_over(look, floor.replicas[0].address)
        after = await moved(target, floor.replicas[0].address)
        assert after.primary.replid != look.primary.replid
        assert await target.send("SET", "andon:canary", "x") == "OK"
        assert await ask(floor.replicas[0], "GET", "andon:canary") == "x"


async def test_sentinels_that_know_no_coordination_offer_no_way(tmp_path: Path):
    """A Sentinel of Redis 7.0 would lose writes, so there are no means; the reason and the command say what is left."""
    binary = shutil.which("redis-server")
    if binary is None:
        missing = "redis-server is missing; install it: apt-get install redis-server"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    async with topology(tmp_path, sentinel_binary=binary) as floor, on(floor) as target:
        look = await target.look()
        assert (look.means, look.agreeing) == ("", 3)
        assert "knows SENTINEL FAILOVER … COORDINATED" in look.why_not
        assert "517 of 1,213" in look.why_not
        with pytest.raises(NotSent, match="COORDINATED"):
            await target.fail_over(look, floor.replicas[0].address)
        port = floor.sentinels[0].port
        assert target.by_hand("SENTINEL", "FAILOVER") == (
            f"redis-cli -h 127.0.0.1 -p {port} SENTINEL FAILOVER {floor.master}"
        )


async def test_what_is_not_well_has_its_figure(floor: Topology):
    """Sentinels away, then the replica, then the primary: a look tells what is left, and at last there is none."""
    async with on(floor) as target:
        for sentinel in floor.sentinels[:2]:
            await floor.stop(sentinel, crash=True)
        look = await target.look()
        assert (look.sentinels, look.agreeing, look.quorum) == (3, 1, 2)
        await floor.stop(floor.replicas[0], crash=True)
        look = await target.look(samples=5)
        assert look.replicas[0].p99_us is None
        assert look.replicas[0].error
        await floor.stop(floor.primary, crash=True)
        with pytest.raises(NotSent, match="no primary of redis answers"):
            await target.look()
        with pytest.raises(NotSent):
            await target.send("SET", "andon:canary", "x")
        await floor.stop(floor.sentinels[2], crash=True)
        with pytest.raises(NotSent, match="nobody knows the primary of redis"):
            await target.send("SET", "andon:canary", "x")


async def test_two_primaries_are_both_claimed(tmp_path: Path):
    """A replica that somebody made a primary by hand is a split brain, not a detail."""
    async with topology(tmp_path, sentinels=0) as floor, connected(floor.primary.url) as target:
        await target.look()  # which learns of the replica
        await ask(floor.replicas[0], "REPLICAOF", "NO", "ONE")
        look = await target.look()
        assert set(look.claims) == {floor.primary.address, floor.replicas[0].address}


async def test_one_server_under_two_names_is_one(tmp_path: Path):
    """targets.yaml says localhost, the Sentinels an address: no split brain, and home is where the server is."""
    async with topology(tmp_path) as floor, on(floor, url=f"redis://localhost:{floor.primary.port}") as target:
        look = await target.look()
        assert look.claims == (floor.primary.address,)
        assert look.home == floor.primary.address
        assert [node.address for node in look.replicas] == [floor.replicas[0].address]


async def test_a_server_that_is_no_primary_gets_no_command(pair: Topology):
    """The Sentinels' word is checked with the server itself on the very connection of the command."""
    async with connected(pair.replicas[0].url) as target:
        assert await target.send("SET", "andon:canary", "x") == "OK"  # whom the replica follows
        assert await ask(pair.primary, "GET", "andon:canary") == "x"
    async with raw_server(_playing(b"*1\r\n$5\r\nslave\r\n")) as (url, _), connected(_redis(url)) as target:
        server = target._server(target.home)
        with pytest.raises(NotSent, match="no primary any more"):
            await server.act(("SET", "andon:canary", "x"), as_primary=True)


async def test_only_allowed_commands_leave(pair: Topology):
    """By verb and key; reads by their own table; a stopped Andon sends nothing."""
    stopped = ""
    async with connected(pair.primary.url, killed=lambda: stopped) as target:
        for command in (["SET", "other", "x"], ["DEL", "andon:canary"], ["CONFIG", "SET", "a", "b"], ["FLUSHALL"], []):
            with pytest.raises(NotSent):
                await target.send(*command)
        for command in (
            ["CONFIG", "GET", "*"],
            ["KEYS", "*"],
            ["SET", "a", "b"],
            ["XRANGE", "s", "-", "+", "COUNT", "9999"],
        ):
            with pytest.raises(NotSent):
                await target.read(*command)
        assert await target.send("PUBLISH", "param.reload", "{}") == 0
        assert str(await target.read("INFO")).startswith("# Server")
        stopped = "stopped by demo-oncall"
        with pytest.raises(NotSent, match="stopped by demo-oncall"):
            await target.send("PUBLISH", "param.reload", "{}")
        look = await target.look()
        with pytest.raises(NotSent, match="stopped by demo-oncall"):
            await target.fail_over(look, pair.replicas[0].address)


async def test_the_least_rights_are_enough(tmp_path: Path):
    """A user with what the operations page lists can look, measure, count and send; a missing right is named."""
    async with topology(tmp_path, replicas=0, sentinels=0) as floor:
        rights = [
            "on",
            ">s3cret",
            "-@all",
            "+client|setname",
            "+info",
            "+role",
            "+ping",
            "+hmget",
            "+exists",
            "+xrange",
            "+xrevrange",
            "+set",
        ]
        await ask(floor.primary, "ACL", "SETUSER", "andon", "~andon:canary", "~switches", *rights)
        await ask(floor.primary, "XADD", "switches", "5-0", "to", "lstm")
        login = {"username": "andon", "credentials": "env:PASSWORD"}
        async with connected(floor.primary.url, **login) as target:
            assert (await target.look(samples=3)).primary.p99_us
            assert await target.entries_since("switches", 1) == (1, 5)
            assert await target.send("SET", "andon:canary", "x") == "OK"
            assert target.by_hand("SET", "andon:canary", "x x") == (
                f'REDISCLI_AUTH="$CREDENTIAL" redis-cli -h 127.0.0.1 -p {floor.primary.port} --user andon '
                "SET andon:canary 'x x'"
            )
            with pytest.raises(Rejected, match="publish"):
                await target.send("PUBLISH", "param.reload", "{}")


async def test_nobody_listens_means_not_sent():
    """Refused: no byte left."""
    async with connected(f"redis://127.0.0.1:{free_ports(1)[0]}") as target:
        with pytest.raises(NotSent):
            await target.send("SET", "andon:canary", "x")


@pytest.mark.parametrize(
    ("reply", "error"), [(b"-READONLY no\r\n", Rejected), (b"-LOADING loading\r\n", Rejected), (b"", Unknown)]
)
async def test_an_answer_decides_what_became_of_it(reply: bytes, error: type[TargetError]):
    """Refused is refused; a connection that ends after the command proves nothing."""
    async with raw_server(_playing(b"*1\r\n$6\r\nmaster\r\n", reply)) as (url, _), connected(_redis(url)) as target:
        with pytest.raises(error):
            await target._server(target.home).act(("SET", "andon:canary", "x"), as_primary=True)


def _redis(url: str) -> str:
    return url.replace("http:", "redis:")


def _playing(role: bytes, reply: bytes = b"") -> Script:
    """A server that says OK to everything, `role` to ROLE, and `reply` to SET; "" hangs up."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = [await _word(reader) for _ in range(int(line[1:]))]
            if words[0] == b"SET" and not reply:
                return
            writer.write({b"ROLE": role, b"SET": reply}.get(words[0], b"+OK\r\n"))
            await writer.drain()

    return script


async def _word(reader: asyncio.StreamReader) -> bytes:
    size = int((await reader.readline())[1:])
    return (await reader.readexactly(size + 2))[:-2]
