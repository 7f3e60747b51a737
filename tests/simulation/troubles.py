"""The kernel's own steps: what befalls processes, clocks, network, disks and store; and how they are drawn from a seed.

Each is a frozen piece of data with the time it begins (`at`) and the time it is over (`until`), for `runner` to do.
`World.mend` ends all of it. `setup` and `draw` are called by `script.draw`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from bot.core.words import Millis
from tests.simulation.wire import CrashPoint, Trouble, Where
from tests.simulation.world import Setup, Step, World

HOUR: Final[Millis] = 3_600_000
CALM_MS: Final[Millis] = 1_000  # everything drawn is over so long before the script ends


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
        point = CrashPoint(replica=self.replica, port=self.port, nth=self.nth, where=self.where, away_ms=self.away_ms)
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


# --- drawing --------------------------------------------------------------------------------------------------------


def setup(chance: Random) -> Setup:
    """How many replicas there are, and what stands behind the store."""
    store = chance.choice(("alone", "alone", "followed", "confirmed"))
    return Setup(
        replicas=chance.choice((1, 1, 1, 2, 2, 2, 3, 4)), followed=store == "followed", confirmed=store == "confirmed"
    )


def draw(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    """What befalls this run; one in eight has no trouble at all."""
    count = chance.choice((0, 1, 2, 2, 3, 4, 5, 7))
    kinds, weights = zip(*KINDS, strict=True)
    return [step for kind in chance.choices(kinds, weights, k=count) for step in kind(chance, setup, within - CALM_MS)]


def _when(chance: Random, within: Millis, *lasts: Millis) -> tuple[Millis, Millis]:
    """From when until when; the length is one of `lasts`, give or take a half."""
    length = int(chance.choice(lasts) * chance.uniform(0.5, 1.5))
    at = chance.randrange(0, max(1, within - length))
    return at, min(at + length, within)


def _who(chance: Random, setup: Setup) -> str:
    return f"r{chance.randrange(setup.replicas) + 1}"


def _kill(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    at, until = _when(chance, within, 300, 1_000, 8_000)
    return [Killed(at=at, until=until, replica=_who(chance, setup))]


def _kill_all(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    at, until = _when(chance, within, 1_000, 20_000)
    return [Killed(at=at, until=until, replica=f"r{number + 1}") for number in range(setup.replicas)]


def _kill_around(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    port = chance.choice(("", "store", "journal", "target", "target", "evidence", "chat", "pager"))
    most = 400 if port in ("", "store") else 12
    at, _ = _when(chance, within, 1_000)
    where = chance.choice(("before", "sent", "answered"))
    return [
        KilledAround(
            at=at, until=within, replica=_who(chance, setup), port=port, nth=1 + int(most * chance.random() ** 2),
            where=where, away_ms=chance.choice((200, 1_000, 1_000, 10_000)),
        )
    ]  # fmt: skip


def _stop(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    at, until = _when(chance, within, 2_000, 20_000)
    return [Stopped(at=at, until=until, replica=_who(chance, setup))]


def _pause(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    at, until = _when(chance, within, 500, 4_000, 15_000, 50_000)
    return [Paused(at=at, until=until, replica=_who(chance, setup))]


def _jump(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    at, until = _when(chance, within, 2_000, 15_000, 40_000)
    by = chance.choice((-1, 1)) * chance.choice((1_000, 5_000, 60_000, HOUR, 24 * HOUR))
    return [ClockJumps(at=at, until=until, replica=_who(chance, setup), by=by)]


def _network(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    at, until = _when(chance, within, 500, 3_000, 10_000, 30_000)
    kinds = ("refused", "lose_request", "lose_reply", "late")
    ill = {kind: chance.choice((0.1, 0.3, 1.0)) for kind in chance.sample(kinds, chance.choice((1, 1, 2)))}
    trouble = Trouble(
        replica=chance.choice(("", _who(chance, setup))),
        port=chance.choice(("", "store", "target", "target", "evidence", "chat", "pager")),
        late_by=chance.choice((20.0, 500.0, 5_000.0)), **ill,
    )  # fmt: skip
    return [Network(at=at, until=until, trouble=trouble)]


def _store_away(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    at, until = _when(chance, within, 300, 3_000, 12_000)
    how: Literal["down", "read only", "stalls"] = chance.choice(("down", "read only", "stalls"))
    return [StoreAway(at=at, until=until, how=how)]


def _follower(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    """With a follower: it is away, or becomes primary. Without: the store is away."""
    if not setup.followed and not setup.confirmed:
        return _store_away(chance, setup, within)
    at, until = _when(chance, within, 1_000, 4_000, 12_000)
    if chance.random() < 0.25:
        return [FollowerAway(at=at, until=until)]
    return [Failover(at=at, until=until, gone=chance.randrange(at, until))]


def _disk(chance: Random, setup: Setup, within: Millis) -> list[Step]:
    at, until = _when(chance, within, 2_000, 15_000)
    return [DiskFull(at=at, until=until, replica=_who(chance, setup))]


KINDS: Final[tuple[tuple[Callable[[Random, Setup, Millis], list[Step]], int], ...]] = (
    (_kill_around, 8), (_kill, 4), (_kill_all, 2), (_network, 6), (_pause, 4), (_store_away, 3), (_follower, 4),
    (_jump, 3), (_stop, 2), (_disk, 1),
)  # fmt: skip
