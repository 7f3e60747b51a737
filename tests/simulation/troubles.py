"""The kernel's own steps: what befalls processes, clocks, network, disks and store; and how they are drawn from a seed.

Each is a frozen piece of data with the time it begins (`at`) and the time it is over (`until`), carried out by `runner`.
`World.mend` ends all of it. `setup` and `draw` are called by `script.draw`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from bot.core.words import Millis
from tests.simulation.world import World
from tests.simulation.wire import CrashPoint, Trouble, Where

HOUR: Final[Millis] = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """A fault from `at` to `until` (the same for what happens at once)."""

    at: Millis
    until: Millis

    @property
    def is_trouble(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed(_Trouble):
    """SIGKILL at a moment; its supervisor starts it again at `until`."""

    replica: str

    async def apply(self, world: World) -> None:
        """Kill it."""
        world.replicas[self.replica].crash(self.until - self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class KilledAround(_Trouble):
    """SIGKILL around the nth call at a port, from now on; and its next start `away_ms` later."""

    replica: str
    port: str
    nth: int
    where: Where
    away_ms: int

    async def apply(self, world: World) -> None:
        """Arm it; what was not reached by `until` never happens."""
        point = CrashPoint(
            replica=self.replica, port=self.port, nth=self.nth, where=self.where, away_ms=self.away_ms
        )
        world.wire.crash_points.append(point)
        world.later(self.until - self.at, lambda: world.wire.disarm(point))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(_Trouble):
    """An orderly stop and, at `until`, a start: a rolling update."""

    replica: str

    async def apply(self, world: World) -> None:
        """Ask it to stop."""
        replica = world.replicas[self.replica]
        replica.stop()
        world.later(self.until - self.at, replica.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused(_Trouble):
    """SIGSTOP, and SIGCONT at `until`; past 45 s others have taken over what it had in hand."""

    replica: str

    async def apply(self, world: World) -> None:
        """Stop it."""
        replica = world.replicas[self.replica]
        replica.pause()
        world.later(self.until - self.at, replica.resume)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJumps(_Trouble):
    """This machine's wall clock is off by so much, until it is set right again."""

    replica: str
    by: Millis

    async def apply(self, world: World) -> None:
        """Set it."""
        world.jump(self.replica, self.by)
        world.later(self.until - self.at, lambda: world.jump(self.replica, -self.by))


@dataclass(frozen=True, slots=True, kw_only=True)
class Network(_Trouble):
    """Calls are refused, lost, late."""

    trouble: Trouble

    async def apply(self, world: World) -> None:
        """Begin."""
        troubles = world.wire.troubles
        troubles.append(self.trouble)
        world.later(self.until - self.at, lambda: troubles.remove(self.trouble) if self.trouble in troubles else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAway(_Trouble):
    """The store's server is away: an ordinary restart, or a network cut; a disk that is full only refuses writes."""

    how: Literal["down", "read only", "stalls"]

    async def apply(self, world: World) -> None:
        """Begin."""
        servers = world.servers
        world.trace.note("servers", self.how)
        if self.how == "stalls":  # CLIENT PAUSE, a disk that hangs: everything is done, later
            world.wire.gates["store"] = world.loop.time() + (self.until - self.at) / 1_000
            return
        if self.how == "down":
            servers.stop("the store is away")
        else:
            servers.read_only = "the store cannot write: its disk is full"
        world.later(self.until - self.at, servers.restart)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerAway(_Trouble):
    """The store's follower gets nothing for a while, and then all of it."""

    async def apply(self, world: World) -> None:
        """Begin."""
        world.servers.leave()
        world.later(self.until - self.at, world.servers.rejoin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover(_Trouble):
    """The primary is cut off from its follower at `at`, goes on alone, is gone at `gone`; at `until` the follower is
    primary. What was written in between never happened."""

    gone: Millis

    async def apply(self, world: World) -> None:
        """Begin."""
        world.servers.leave()
        world.later(self.gone - self.at, lambda: world.servers.stop("the store is failing over"))
        world.later(self.until - self.at, world.servers.fail_over)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFull(_Trouble):
    """The journal's disk takes nothing."""

    replica: str

    async def apply(self, world: World) -> None:
        """Begin."""
        journal = world.replicas[self.replica].journal
        journal.broken = "no space left on device"

        def freed() -> None:
            journal.broken = ""

        world.later(self.until - self.at, freed)
