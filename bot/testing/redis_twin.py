"""A Redis with its replicas and Sentinels that is only said to be there: the twin of `targets_redis.RedisConnector`.

For tests of actions. Its state is a `RedisLook` that a test sets, and keys in dictionaries; it keeps the rules of the
real one: only reads of the fixed table, only writes that `allow` names, a replica refuses to write, and a failover
changes the roles, raises the epoch and lets the old primary follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from bot.engine.connector_ports import RedisLook, RedisNode, RedisValue
from bot.errors import NotSent, Rejected, TargetError
from policies import redis_commands

PRIMARY = RedisNode(
    address="127.0.0.1:7001", role="primary", p99_us=200.0, offset=1_000, replid="a" * 40, run_id="1" * 40
)
REPLICA = replace(
    PRIMARY, address="127.0.0.1:7002", role="replica", link_up=True, of="127.0.0.1:7001", read_only=True,
    run_id="2" * 40,
)  # fmt: skip
HEALTHY = RedisLook(
    primary=PRIMARY, replicas=(REPLICA,), claims=(PRIMARY.address,), sentinels=3, agreeing=3, quorum=2, epoch=1,
    means="sentinel", home=PRIMARY.address,
)  # fmt: skip


class MemoryRedis:
    """One component's Redis. `seen` is what a look finds; set it, or single parts with `dataclasses.replace`.

    `answers`: replies to reads by command line or by its first words, or errors to raise; `failing`: raised by the
    next sends; `lost`: the effect happens, and then this is raised. `sent` keeps what reached it. Strings, hashes and
    times to live are kept as a server keeps them (no time passes); `on_send` runs after each command, with its words.
    """

    __slots__ = (
        "allow", "answers", "expiries", "failing", "hashes", "lost", "on_send", "seen", "sent", "strings",
        "subscribers", "unseen",
    )  # fmt: skip

    def __init__(self, seen: RedisLook = HEALTHY, allow: Iterable[str] = redis_commands.FAILOVERS) -> None:
        self.seen = seen
        self.allow = list(allow)
        self.answers: dict[str, RedisValue | TargetError] = {}
        self.strings: dict[str, str] = {}
        self.hashes: dict[str, dict[str, str]] = {}
        self.expiries: dict[str, int] = {}  # seconds to live, by key
        self.subscribers = 2  # of every channel
        self.sent: list[tuple[str, ...]] = []
        self.unseen: TargetError | None = None  # raised by every look
        self.failing: TargetError | None = None
        self.lost: TargetError | None = None
        self.on_send: Callable[[tuple[str, ...]], None] = lambda _: None

    async def look(self, *, samples: int = 0) -> RedisLook:
        """What is `seen`; without samples, no latency."""
        if self.unseen is not None:
            raise self.unseen
        if samples:
            return self.seen
        nodes = [replace(node, p99_us=None) for node in (self.seen.primary, *self.seen.replicas)]
        return replace(self.seen, primary=nodes[0], replicas=tuple(nodes[1:]))

    async def read(self, *command: str, at: str = "") -> RedisValue:
        """An answer that was given, or what the keys hold. A server that is in error answers nothing."""
        words = redis_commands.reading(command)
        if isinstance(words, str):
            raise NotSent(words)
        self._up(at)
        for text in (" ".join(command), " ".join(command[:2]), command[0]):
            if text in self.answers:
                answer = self.answers[text]
                if isinstance(answer, TargetError):
                    raise answer
                return answer
        return self._value(command)

    async def send(self, *command: str, at: str = "") -> RedisValue:
        """Keep it, and set the key where it sets one."""
        if not redis_commands.allows(self.allow, command):
            raise NotSent(f"{' '.join(command[:2])} is not in the allow list")
        node = self._up(at)
        return self._take(command, lambda: self._apply(command, node))

    async def fail_over(self, look: RedisLook, to: str) -> None:
        """The roles change at once."""
        if not look.means:
            raise NotSent(look.why_not or "there is no way to fail it over")
        command = ("SENTINEL", "FAILOVER", "COORDINATED") if look.means == "sentinel" else ("FAILOVER", "TO", to)
        if not redis_commands.allows(self.allow, command):
            raise NotSent(f"{' '.join(command[:2])} is not in the allow list")
        if to not in {node.address for node in self.seen.replicas}:
            raise Rejected(f"{to} is no replica")
        self._take(command, lambda: self.promote(to))

    def allows(self, *command: str) -> bool:
        """Whether `allow` names this command."""
        return redis_commands.allows(self.allow, command)

    def by_hand(self, *command: str, at: str = "") -> str:
        """The command in words."""
        return " ".join(["redis-cli", *([at] if at else []), *command])

    def promote(self, to: str, *, plain: bool = False) -> str:
        """Make the replica `to` the primary, as a failover does; the others follow it.

        `plain`: the old primary took writes meanwhile, so it had to copy everything, and its history forked.
        """
        old = self.seen.primary
        history = f"{int(old.replid, 16) + 1:040x}"  # every promotion begins a new one
        new = next(node for node in self.seen.replicas if node.address == to)
        rest = [old, *(node for node in self.seen.replicas if node.address != to)]
        self.seen = replace(
            self.seen,
            primary=replace(
                new, role="primary", of="", read_only=False, link_up=False, replid=history, offset=old.offset,
                former=old.replid, former_until=old.offset + 1,
            ),
            replicas=tuple(
                replace(
                    node, role="replica", of=to, read_only=True, link_up=True, replid=history,
                    former="" if plain else old.replid, former_until=-1 if plain else old.offset + 1,
                )
                for node in rest
            ),
            claims=(to,),
            epoch=self.seen.epoch + bool(self.seen.sentinels),
        )  # fmt: skip
        return "OK"

    def _up(self, at: str) -> RedisNode:
        nodes = (self.seen.primary, *self.seen.replicas)
        node = next((node for node in nodes if node.address == at), None) if at else self.seen.primary
        if node is None or node.error:
            raise NotSent(f"{at or self.seen.primary.address} cannot be reached")
        return node

    def _take(self, command: tuple[str, ...], effect: Callable[[], RedisValue]) -> RedisValue:
        if self.failing is not None:
            raise self.failing
        self.sent.append(command)
        reply = effect()
        self.on_send(command)
        if self.lost is not None:
            raise self.lost
        return reply

    def _apply(self, command: tuple[str, ...], node: RedisNode) -> RedisValue:
        if command[0].upper() == "PUBLISH":
            return self.subscribers
        if node.role != "primary":
            raise Rejected("READONLY You can't write against a read only replica.")
        match command[0].upper():
            case "SET":
                self.strings[command[1]] = command[2]
                self.expiries.pop(command[1], None)
                if command[3:4] == ("EX",):
                    self.expiries[command[1]] = int(command[4])
                return "OK"
            case "EXPIRE" if command[1] in self.strings or command[1] in self.hashes:
                self.expiries[command[1]] = int(command[2])
                return 1
            case "EXPIRE":
                return 0
            case "PERSIST":
                return int(self.expiries.pop(command[1], None) is not None)
            case "HSET":
                fields = self.hashes.setdefault(command[1], {})
                fields.update(zip(command[2::2], command[3::2], strict=True))
                return len(command[2::2])
            case "DEL" | "UNLINK":
                self.expiries.pop(command[1], None)
                found = [self.strings.pop(command[1], None), self.hashes.pop(command[1], None)]
                return int(any(one is not None for one in found))
        return "OK"

    def _value(self, command: tuple[str, ...]) -> RedisValue:
        match (command[0].upper(), *command[1:]):
            case ("PING",):
                return "PONG"
            case ("GET", key):
                return self.strings.get(key)
            case ("TTL", key):
                there = key in self.strings or key in self.hashes
                return self.expiries.get(key, -1) if there else -2
            case ("EXISTS", key):
                return int(key in self.strings or key in self.hashes)
            case ("HGET", key, field):
                return self.hashes.get(key, {}).get(field)
            case ("HGETALL", key):
                return [text for pair in self.hashes.get(key, {}).items() for text in pair]
            case ("PUBSUB", "NUMSUB", channel):
                return [channel, self.subscribers]
            case ("PUBSUB", "NUMPAT"):
                return 0
            case ("INFO", *_):
                return "# Clients\r\nconnected_clients:3\r\nmaxclients:10000\r\nmaster_failover_state:no-failover\r\n"
        return None
