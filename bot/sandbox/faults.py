"""Faults of the simulated floor's Redis: one cause of latency at a time, and a replica that is down or stale.

Asked for by `api_faults`; `run` has a task of its own and keeps the cause (`slowness`, `wire`) up until it is cleared.
A cause stays with the server that it was given to, whatever its role becomes: after a failover the old primary is
still slow, and nobody asks it any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

from bot.sandbox import slowness
from bot.sandbox.children import until
from bot.sandbox.ledger import Ledger
from bot.sandbox.probe import Probe
from bot.sandbox.store import Store
from bot.sandbox.topology import Node, ask
from bot.sandbox.wire import wire

Cause: TypeAlias = Literal["slow_commands", "clients", "network", "memory"]
ReplicaState: TypeAlias = Literal["up", "down", "stale"]
Role: TypeAlias = Literal["primary", "replica"]

CAUSES: tuple[Cause, ...] = ("slow_commands", "clients", "network", "memory")
REPLICA_STATES: tuple[ReplicaState, ...] = ("up", "down", "stale")
_ON_SERVER: Mapping[Cause, Callable[[Node, int], Awaitable[None]]] = {
    "slow_commands": slowness.slow_commands,
    "clients": slowness.clients,
    "memory": slowness.memory,
}
FOLLOWS_WITHIN = 15.0  # seconds for a replica that is up again to catch up; usually one


class CannotBe(Exception):
    """This floor cannot have this fault; the message is the reason, for a person."""


class Faults:
    """What is wrong with the Redis now. One event loop owns it."""

    def __init__(self, store: Store, probe: Probe, ledger: Ledger, *, stall_ms: int = slowness.STALL_MS) -> None:
        self.cause: Cause | None = None
        self.replica_state: ReplicaState = "up"
        self._store = store
        self._probe = probe
        self._ledger = ledger
        self._stall_ms = stall_ms
        self._node: Node | None = None  # that is slow
        self._replica: Node | None = None  # that is down or stale
        self._changed = asyncio.Event()
        store.listen(self._moved)

    def status(self) -> dict[str, object]:
        """For the API: the cause and its server, and how the replica is."""
        server = self._node.address if self._node is not None else ""
        return {"cause": self.cause or "", "server": server, "replica": self.replica_state}

    async def run(self) -> None:
        """Keep up whichever cause is wanted, for ever."""
        while True:
            self._changed.clear()
            cause, node = self.cause, self._node
            if cause is None or node is None:
                await self._changed.wait()
                continue
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(self._suffer(cause, node))
                await self._changed.wait()
                work.cancel()

    def slow(self, cause: Cause, role: Role) -> None:
        """Begin this cause on the server that has the role now; the one before ends. Raises CannotBe."""
        node = self._store.primary if role == "primary" else self._store.replica
        if node is None:
            raise CannotBe("this sandbox was started alone: it has no replica")
        if cause == "network" and role == "replica":
            raise CannotBe("only the way to the primary can be slow: nothing on this floor asks the replica")
        if not self._store.topology.pid(node):
            raise CannotBe(f"the {role} is down: {node.address}")
        reason = f"injected on the {role}, {node.address}"
        self._ledger.effect("redis_latency", author="fault", before=self.cause or "", after=cause, reason=reason)
        self.cause, self._node = cause, node
        self._changed.set()

    def calm(self) -> None:
        """End the cause, if there is one."""
        if self.cause is not None:
            self._ledger.effect("redis_latency", author="fault", before=self.cause, after="", reason="cleared")
            self.cause = self._node = None
            self._changed.set()

    async def replica(self, state: ReplicaState) -> None:
        """Take the replica down, cut it off from its primary, or bring it back and wait until it follows.

        Raises CannotBe where there is none, and Unmet when it does not catch up.
        """
        node = self._replica or self._store.replica
        if node is None:
            raise CannotBe("this sandbox was started alone: it has no replica")
        if state == self.replica_state:
            return
        before, self.replica_state = self.replica_state, state
        self._replica = None if state == "up" else node
        self._ledger.effect("redis_replica", author="fault", before=before, after=state, reason=node.address)
        match state:
            case "down":
                await self._store.topology.stop(node, crash=True)
            case "stale":
                await self._store.topology.start(node)
                await _cut_off(node)
            case "up":
                await self._store.topology.start(node)
                await _join(node)

    async def _suffer(self, cause: Cause, node: Node) -> None:
        if cause == "network":
            await self._far_away(node)
        else:
            await _ON_SERVER[cause](node, self._stall_ms)

    async def _far_away(self, node: Node) -> None:
        """The probe goes the long way for as long as this is the primary."""
        async with wire(node.address, self._stall_ms / 2_000) as detour:
            self._probe.aim(detour)
            try:
                await asyncio.Event().wait()
            finally:
                self._probe.aim(self._store.primary.address)

    def _moved(self, before: str, after: str) -> None:
        """A failover: the floor's probe follows, and whoever looks at the ledger sees it."""
        self._ledger.effect("redis_primary", author="redis", before=before, after=after, reason="a failover")
        self._probe.aim(after)


async def _cut_off(node: Node) -> None:
    """It keeps answering with what it has, while its primary refuses it: the link is down, the offset stands still."""
    await ask(node, "CONFIG", "SET", "primaryuser", "nobody", "primaryauth", "wrong")
    await ask(node, "CLIENT", "KILL", "TYPE", "primary")


async def _join(node: Node) -> None:
    """It may log in again; a second or two later it follows."""
    await ask(node, "CONFIG", "SET", "primaryuser", "", "primaryauth", "")

    async def follows() -> bool:
        role = await ask(node, "ROLE")
        return bool(role) and (role[0] == "master" or role[3] == "connected")

    await until(f"{node.name} follows", follows, within=FOLLOWS_WITHIN)
