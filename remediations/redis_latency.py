"""`redis.latency`: why a Redis is slow (trading-core runbook, "Redis Latency > 5ms p99", row T3).

A read-only look, run by dispatch before the plan's failover, which it tells nothing: a failover measures and judges for
itself. The runbook's own commands are read side by side (INFO, LATENCY, SLOWLOG GET 10, CLIENT LIST), and PINGs are
timed from here. A network that is slow is told by a server that is quick while its clients see it slow.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from remediations.diagnosis_kit import (
    LOOK_SECONDS,
    Command,
    Replies,
    Rule,
    declared,
    finding,
    info,
    number,
    read_all,
    short,
    weigh,
)
from remediations.kit import ActionContext, Cause, DiagnosisEntry, Finding, RedisTarget, RedisValue, TargetError

SLOW_US = 5_000  # the runbook's alert: redis_latency_p99 > 5000
SAMPLES = 50  # PINGs: a quarter of a second where each takes 5 ms
RECENT_SECONDS = 300  # older slow commands and latency events are another story
FEW_SLOW = 3  # slow commands in that time that make a sign; one or two happen on any day
FULL = 0.9  # of maxmemory or of the machine's memory: past this every write may evict or swap
SWAPPED = 0.9  # resident share of the memory in use below which pages lie on disk
WORTH_SWAPPING = 64 * 1024 * 1024  # bytes in use below which that share says nothing
CROWDED = 0.8  # of maxclients, as for redis.failover
MAX_CLIENTS_READ = 2_000  # lines of CLIENT LIST that are counted
MAX_SHOWN = 3  # commands or events named in the sentence

COMMANDS: dict[str, Command] = {
    "memory": ("INFO", "memory"),
    "clients": ("INFO", "clients"),
    "stats": ("INFO", "stats"),
    "time": ("TIME",),
    "slow": ("SLOWLOG", "GET", "10"),
    "events": ("LATENCY", "LATEST"),
    "history": ("LATENCY", "HISTORY", "command"),
    "who": ("CLIENT", "LIST"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a primary shows. None: not told. Shares are 0 to 1."""

    p99_us: float | None = None  # of a PING from here
    used_bytes: float = 0.0
    resident_bytes: float | None = None
    maxmemory_share: float | None = None  # None: no maxmemory is set
    machine_share: float | None = None
    slow: tuple[tuple[str, float], ...] = ()  # recent slow commands, the command's name and microseconds
    events: tuple[tuple[str, float], ...] = ()  # recent events of its latency monitor, milliseconds
    spikes: int = 0  # recent entries of the monitor's history of commands
    clients: float | None = None
    max_clients: float | None = None
    busiest: str = ""  # who holds most connections
    ops_per_second: float | None = None

    @property
    def slow_time_series(self) -> tuple[tuple[str, float], ...]:
        """Those of the slow commands that read or write TimeSeries."""
        return tuple(each for each in self.slow if each[0].startswith("TS."))


MEMORY = Cause(
    sign="high memory usage",
    cause="Redis swapping to disk",
    fix="add more RAM or enable Redis maxmemory",
)
TIME_SERIES = Cause(
    sign="slow TimeSeries commands in the log",
    cause="large TimeSeries operations",
    fix="reduce the TS retention period",
)
COMMANDS_SLOW = Cause(
    sign="other slow commands in the log",
    cause="commands that do much at once keep the server from all others",
    fix="find who sends them (SLOWLOG GET 10 names the client) and bound or move them to the replica",
)
CROWD = Cause(
    sign="CPU spikes with many clients",
    cause="too many concurrent clients",
    fix="limit the Redis connection pool",
)
NETWORK = Cause(
    sign="network timeouts while the server is quick",
    cause="network congestion between Redis and those who call it slow",
    fix="switch to a local Redis instance",
)


def _memory(seen: Server) -> str:
    if seen.resident_bytes is not None and WORTH_SWAPPING < seen.used_bytes > seen.resident_bytes / SWAPPED:
        return f"only {seen.resident_bytes / seen.used_bytes:.0%} of the memory in use is resident, the rest on disk"
    if seen.machine_share is not None and seen.machine_share >= FULL:
        return f"{seen.machine_share:.0%} of the machine's memory"
    if seen.maxmemory_share is not None and seen.maxmemory_share >= FULL:
        return f"{seen.maxmemory_share:.0%} of maxmemory"
    return ""


def _time_series(seen: Server) -> str:
    return _shown(seen.slow_time_series) if len(seen.slow_time_series) >= FEW_SLOW else ""


def _commands(seen: Server) -> str:
    others = [each for each in seen.slow if each not in seen.slow_time_series]
    return _shown(others) if len(others) >= FEW_SLOW else ""


def _crowd(seen: Server) -> str:
    if seen.clients is None or not seen.max_clients or seen.clients < CROWDED * seen.max_clients:
        return ""
    most = f", most from {seen.busiest}" if seen.busiest else ""
    return f"{seen.clients:,.0f} of {seen.max_clients:,.0f} clients are connected{most}"


def _network(seen: Server) -> str:
    if seen.p99_us is None or seen.slow or seen.events or _memory(seen) or _crowd(seen):
        return ""
    if seen.p99_us >= SLOW_US:
        return f"a PING from here takes {seen.p99_us:,.0f} us at p99, and the server shows nothing slow"
    return f"from here the server is quick (p99 {seen.p99_us:,.0f} us) and shows nothing slow; or it has passed"


# The runbook's rows come before the one that is not in it: where clients near their limit, a busy server's log shows
# slow commands too, for a command that the machine interrupts counts as slow. The network is what then remains.
RULES: tuple[Rule[Server], ...] = (
    Rule(MEMORY, _memory),
    Rule(TIME_SERIES, _time_series),
    Rule(CROWD, _crowd),
    Rule(COMMANDS_SLOW, _commands),
    Rule(NETWORK, _network),
)


class RedisLatency:
    """The diagnosis; it keeps nothing between calls."""

    async def look(self, context: ActionContext) -> Finding:
        """The primary's own figures and the way to it, and which row of the runbook's table they look like."""
        source = declared(context, "redis_state", "redis_stream", "redis_hash")
        if source is None:
            return Finding("the plan declares no evidence from a Redis, so its latency cannot be told")
        try:
            redis = context.targets.redis(context.system, source.component)
        except TargetError as error:
            return Finding(f"{source.component} cannot be read: {error}")
        replies, p99 = await asyncio.gather(read_all(redis, COMMANDS), _p99(redis))
        if not replies.values:
            return Finding(f"{source.component} answers nothing: {next(iter(replies.errors.values()))}")
        return judge(source.component, measure(replies, p99), replies.errors)


async def _p99(redis: RedisTarget) -> float | None:
    """The 99th percentile of a PING's round trip to the primary, microseconds."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return (await redis.look(samples=SAMPLES)).primary.p99_us
    except (TargetError, TimeoutError):
        return None


def judge(name: str, seen: Server, unread: Iterable[str] = ()) -> Finding:
    """The finding on these figures; `unread`: what could not be read. Pure."""
    p99 = "could not be measured" if seen.p99_us is None else f"is {seen.p99_us:,.0f} us"
    missing = f", not read: {', '.join(sorted(unread))}" if unread else ""
    events = f"; latency events: {_shown(seen.events, 'ms')}" if seen.events else ""
    evidence = {
        "p99_us": seen.p99_us, "used_bytes": seen.used_bytes, "resident_bytes": seen.resident_bytes,
        "maxmemory_share": seen.maxmemory_share, "machine_share": seen.machine_share,
        "slow": [list(each) for each in seen.slow], "events": [list(each) for each in seen.events],
        "command_spikes": seen.spikes,
        "clients": seen.clients, "max_clients": seen.max_clients, "ops_per_second": seen.ops_per_second,
        "not_read": sorted(unread),
    }  # fmt: skip
    opening = f"{name}: p99 of a PING from here {p99}{missing}"
    return finding(opening, weigh(RULES, seen), evidence, otherwise=f"no sign of the runbook's{events}")


def measure(replies: Replies, p99_us: float | None) -> Server:
    """The replies as figures."""
    memory, clients, stats = (info(replies.text(name)) for name in ("memory", "clients", "stats"))
    used, limit = number(memory.get("used_memory")) or 0.0, number(memory.get("maxmemory"))
    resident, machine = number(memory.get("used_memory_rss")), number(memory.get("total_system_memory"))
    now = _integer(replies.values.get("time"), 0)
    return Server(
        p99_us=p99_us,
        used_bytes=used,
        resident_bytes=resident,
        maxmemory_share=round(used / limit, 3) if limit else None,
        machine_share=round(max(used, resident or 0.0) / machine, 3) if machine else None,
        slow=tuple(_slow_commands(replies.rows("slow"), now)),
        events=tuple(_events(replies.rows("events"), now)),
        spikes=sum(_integer(row, 0) >= now - RECENT_SECONDS for row in replies.rows("history")),
        clients=number(clients.get("connected_clients")),
        max_clients=number(clients.get("maxclients")),
        busiest=_busiest(replies.text("who")),
        ops_per_second=number(stats.get("instantaneous_ops_per_sec")),
    )


def _slow_commands(rows: Iterable[Sequence[RedisValue]], now: int) -> Iterable[tuple[str, float]]:
    """SLOWLOG GET: id, unix time, microseconds, arguments, client …; `now` is the server's own clock."""
    for row in rows:
        at, micros, words = _integer(row, 1), _integer(row, 2), row[3] if len(row) > 3 else None
        if at >= now - RECENT_SECONDS and micros >= SLOW_US and isinstance(words, list) and words:
            yield short(str(words[0]).upper()), float(micros)


def _events(rows: Iterable[Sequence[RedisValue]], now: int) -> Iterable[tuple[str, float]]:
    """LATENCY LATEST: event, unix time, latest milliseconds, most …."""
    for row in rows:
        if row and isinstance(row[0], str) and _integer(row, 1) >= now - RECENT_SECONDS:
            yield short(row[0]), float(_integer(row, 2))


def _integer(value: RedisValue | Sequence[RedisValue], index: int) -> int:
    """The integer at `index`; 0 where there is none."""
    found = value[index] if isinstance(value, (list, tuple)) and len(value) > index else None
    digits = isinstance(found, str) and found.isascii() and found.isdigit()
    return int(found) if isinstance(found, (int, str)) and (digits or isinstance(found, int)) else 0


def _busiest(listed: str) -> str:
    """Who holds most connections, by name or host, and how many."""
    holders: Counter[str] = Counter()
    for line in listed.splitlines()[:MAX_CLIENTS_READ]:
        parts = dict(part.partition("=")[::2] for part in line.split(" "))
        holders[parts.get("name") or parts.get("addr", "").rpartition(":")[0]] += 1
    (top, count) = holders.most_common(1)[0] if holders else ("", 0)
    return f"{short(top)} ({count})" if top else ""


def _shown(figures: Iterable[tuple[str, float]], unit: str = "us") -> str:
    """``TS.RANGE 3 times, up to 120,000 us``, what took longest first."""
    times: dict[str, list[float]] = {}
    for name, value in figures:
        times.setdefault(name, []).append(value)
    ordered = sorted(times.items(), key=lambda each: -max(each[1]))[:MAX_SHOWN]
    return ", ".join(f"{name} {len(values)} times, up to {max(values):,.0f} {unit}" for name, values in ordered)


ENTRY = DiagnosisEntry(
    name="redis.latency",
    summary="Tells why a Redis is slow: memory, slow commands, too many clients, or the network.",
    diagnosis=RedisLatency,
    source="T3",
    reads=(*(" ".join(command) for command in COMMANDS.values()), f"the round trips of {SAMPLES} PINGs"),
    causes=tuple(rule.row for rule in RULES),
)
