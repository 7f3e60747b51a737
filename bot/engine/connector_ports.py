"""What an action may do with a component that is not an HTTP API: a Redis, a program, a recorded process.

`remediations/` uses these through `action_ports.Targets`; `bot/adapters` implements them, `bot/testing` has their
twins. As everywhere: reads are bounded and may be repeated, a `send` leaves at most once, and only what the component's
`allow` list in targets.yaml names ever leaves. Errors: TargetError's children NotSent, Rejected, Unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, Union

RedisValue: TypeAlias = Union[str, int, "list[RedisValue]", None]  # a reply, its bytes as text

# --- a Redis or Valkey, with its replicas and Sentinels -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisNode:
    """One server, as just seen. What could not be read is in `error`, and then the rest means nothing."""

    address: str  # host:port
    role: Literal["primary", "replica", ""] = ""
    error: str = ""
    p99_us: float | None = None  # round trip of a PING from here, 99th percentile; None: not measured
    offset: int = 0  # of replication, bytes
    link_up: bool = False  # replica: it is connected to its primary
    of: str = ""  # replica: whom it follows, host:port
    read_only: bool = False
    persistence: str = ""  # what is wrong with it ("the last background save failed"); "" when it is sound
    replid: str = ""  # the id of its replication history
    former: str = ""  # the history that its own one continues, since its last promotion or resync without a fork
    former_until: int = -1  # the first offset that is not `former`'s any more: where it was promoted, or took it over
    run_id: str = ""  # another one after every start
    priority: int = 100  # replica: 0 is never to become primary
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisLook:
    """A component's servers at one moment.

    `claims`: every address that a Sentinel, or a server itself, calls primary; two of them are a split brain.
    `means`: how it can be failed over without losing a write ("" and `why_not`: it cannot).
    """

    primary: RedisNode
    replicas: tuple[RedisNode, ...] = ()
    claims: tuple[str, ...] = ()
    sentinels: int = 0  # as configured; 0: none watch it
    agreeing: int = 0  # Sentinels that answer, name this primary and would act
    tilted: int = 0  # Sentinels that answer and begin nothing for 30 s: their clock jumped, or they stood still
    quorum: int = 0  # how many Sentinels must agree that a primary is down
    epoch: int = 0  # the Sentinels' configuration epoch; grows with every failover
    means: Literal["sentinel", "server", ""] = ""
    why_not: str = ""
    home: str = ""  # the address in targets.yaml: where the primary is when all is well


class RedisTarget(Protocol):
    """One component's Redis, followed to whichever server is primary now."""

    async def look(self, *, samples: int = 0) -> RedisLook:
        """Every server and Sentinel, side by side; `samples` PINGs each measure the latency. TargetError: no primary
        answers."""
        ...

    async def read(self, *command: str, at: str = "") -> RedisValue:
        """One read-only command on the primary, or on the server `at`. Bounded in time and size."""
        ...

    async def send(self, *command: str, at: str = "") -> RedisValue:
        """One command that the component's `allow` list names, at most once."""
        ...

    async def fail_over(self, look: RedisLook, to: str) -> None:
        """Begin the failover that `look.means` names, at most one request; returns once it is accepted."""
        ...

    def allows(self, *command: str) -> bool:
        """Whether the component's `allow` list names this command: `inspect` refuses what would not leave."""
        ...

    def by_hand(self, *command: str, at: str = "") -> str:
        """The command line with which a person does the same; credentials are named, never shown."""
        ...


# --- a program on this host -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProgramReply:
    """How a program ended, and the end of what it wrote (bounded)."""

    code: int
    output: str


class ProgramTarget(Protocol):
    """Programs of this host that the component's `allow` list names, run without a shell."""

    @property
    def programs(self) -> tuple[str, ...]:
        """The entries of the allow list."""
        ...

    async def run(self, program: str, arguments: Sequence[str], *, seconds: float) -> ProgramReply:
        """Run `program` (an entry of the allow list: the fixed start of the argument vector) with `arguments` after it.

        NotSent: it is not allowed, an argument looks like an option, or it could not be started. Unknown: it did not
        end in `seconds` and was killed.
        """
        ...

    def by_hand(self, program: str, arguments: Sequence[str]) -> str:
        """The command line for a person, quoted for a shell."""
        ...


# --- a process whose pid is recorded --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProcessSeen:
    """The process that the pid file names; `started` tells it from a later one with the same pid."""

    pid: int
    started: int  # clock ticks since boot, from /proc/<pid>/stat
    command: str
    catches: tuple[str, ...] = ()  # signals it has a handler for: HUP ends a process that has none
    signalled: bool = False  # by this Andon since its own start; of what others did, or it did before, it knows nothing


class ProcessTarget(Protocol):
    """One process of this host, found by its pid file only, never by name."""

    async def look(self) -> ProcessSeen:
        """The process. Rejected: there is none, or it is not the program and owner that targets.yaml names.

        TargetError: it cannot be told.
        """
        ...

    async def signal(self, name: Literal["HUP"], seen: ProcessSeen) -> None:
        """Signal exactly the process that was seen. NotSent: it has ended since, is another one, or has no handler."""
        ...

    def by_hand(self, name: Literal["HUP"], seen: ProcessSeen) -> str:
        """The command line for a person."""
        ...
