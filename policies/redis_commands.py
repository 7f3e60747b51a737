"""Which commands a trading system's Redis may ever be given: reads by a fixed table, writes by its `allow` lines.

Pure. `policies.targets` checks the lines of targets.yaml with it, and `bot.adapters.targets_redis` every command before
it leaves. A line is `VERB KEY` ("PUBLISH param.reload", "HSET metrics:*"), or the verb of a failover alone. Only verbs
whose one key is their first argument are known here, so that the key that was checked is the key that is written.

WRITES is what any action may be allowed, those of other distributions too: their code knows what a second INCR or XADD
would do. `redis.command` takes whatever a policy says and knows nothing, so it sends a part of it only, absolute values
(`remediations.redis_verbs`). A step of it with another verb is told by `andon check`, whatever the component allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_ENTRIES = 1_000  # of a stream, per read; a page of it
MAX_ARGUMENTS_BYTES = 65_536  # of one command; what Andon writes is a figure, an address or a short document

FAILOVERS = ("FAILOVER", "SENTINEL FAILOVER")
WRITES = frozenset({
    "SET", "SETEX", "PSETEX", "SETNX", "GETSET", "APPEND", "INCR", "INCRBY", "INCRBYFLOAT", "DECR", "DECRBY",
    "DEL", "UNLINK", "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "PERSIST",
    "HSET", "HSETNX", "HDEL", "HINCRBY", "HINCRBYFLOAT",
    "LPUSH", "RPUSH", "LPOP", "RPOP", "LSET", "LREM", "LTRIM", "SADD", "SREM", "ZADD", "ZREM", "ZINCRBY",
    "XADD", "XDEL", "XTRIM", "PUBLISH", "SPUBLISH",
})  # fmt: skip
_KEY_ONLY = frozenset({"DEL", "UNLINK"})  # which would take further keys, unchecked
READS = frozenset({
    "PING", "INFO", "ROLE", "TIME", "DBSIZE", "LASTSAVE", "LATENCY LATEST", "LATENCY HISTORY", "LATENCY DOCTOR",
    "SLOWLOG GET", "SLOWLOG LEN", "CLIENT LIST", "MEMORY USAGE", "MEMORY STATS", "MEMORY DOCTOR",
    "PUBSUB NUMSUB", "PUBSUB NUMPAT",
    "EXISTS", "TYPE", "TTL", "PTTL", "GET", "STRLEN", "HGET", "HMGET", "HGETALL", "HLEN", "HEXISTS", "HSTRLEN",
    "LLEN", "LINDEX", "SCARD", "SISMEMBER", "ZCARD", "ZSCORE", "ZCOUNT", "XLEN", "XRANGE", "XREVRANGE", "XINFO STREAM",
    "TS.RANGE",
})  # fmt: skip
_RANGES = frozenset({"XRANGE", "XREVRANGE", "TS.RANGE"})
_BEFORE_COUNT = 4  # words of a range before its options: the command, the key, from and to


def line_problem(line: str) -> tuple[str, str] | None:
    """What is wrong with a line of `allow`, and what to write instead; None when it is well."""
    example = 'write verb and key, like "PUBLISH param.reload" or "HSET metrics:*"'
    words = line.split(" ")
    if not line.isprintable() or "" in words:
        return f"{line!r} is not a command and its key with one space between", example
    if line in FAILOVERS:
        return None
    verb, rest = words[0], words[1:]
    if line.upper() != line and line.upper() in FAILOVERS:
        return f"{line!r} is not in capitals", f"write {line.upper()}"
    if verb.upper() in WRITES and verb != verb.upper():
        return f"{verb!r} is not in capitals", f"write {verb.upper()}"
    if _named(words) in READS:
        return f"{line!r} only reads, and reads need no line", "remove it"
    if verb not in WRITES:
        return f"{verb} is not a command that Andon may be allowed", f"it may be {', '.join(FAILOVERS)}, SET, PUBLISH …"
    if len(rest) != 1:
        return f"{line!r} does not name one key", example
    if "*" in rest[0][:-1] or rest[0] == "*":
        return f"{rest[0]!r} is neither a key nor the beginning of one with * after it", example
    return None


def allows(lines: Iterable[str], command: Sequence[str]) -> bool:
    """Whether one of the lines names this command: its verb, and its key exactly or by its beginning."""
    if not command:
        return False
    verb = command[0].upper()
    if verb == "FAILOVER" or [word.upper() for word in command[:2]] == ["SENTINEL", "FAILOVER"]:
        return ("FAILOVER" if verb == "FAILOVER" else "SENTINEL FAILOVER") in lines
    if verb not in WRITES or len(command) < 2 or (verb in _KEY_ONLY and len(command) != 2):
        return False
    return any(_covers(line, verb, command[1]) for line in lines)


def reading(command: Sequence[str]) -> tuple[str, ...] | str:
    """The read-only command as it may be sent, its size bounded; or why it may not be."""
    words = tuple(command)
    name = _named(words)
    if name not in READS:
        return f"{' '.join(words[:2])[:60]!r} is not one of the commands that only read"
    if name in _RANGES:
        return _bounded_range(words, name)
    if name == "XINFO STREAM" and len(words) != 3:
        return "XINFO STREAM is read without FULL, which answers with all entries"
    if name == "SLOWLOG GET" and not all(_within(count) for count in words[2:]):
        return f"at most {MAX_ENTRIES} entries are read at a time, not {words[2][:20]}"
    return words


def _bounded_range(words: tuple[str, ...], name: str) -> tuple[str, ...] | str:
    """A range with exactly one COUNT, within the bound: of several a server takes the last."""
    if len(words) < _BEFORE_COUNT:
        return f"{name} takes a key, and from where to where"
    at = [
        i for i, word in enumerate(words)
        if i >= _BEFORE_COUNT and word.upper() == "COUNT" and words[i - 1].upper() != "AGGREGATION"
    ]  # fmt: skip
    if not at:
        return (*words, "COUNT", str(MAX_ENTRIES))
    if len(at) > 1:
        return f"{name} is read with one COUNT, not {len(at)}"
    count = words[at[0] + 1] if at[0] + 1 < len(words) else ""
    return words if _within(count) else f"at most {MAX_ENTRIES} entries are read at a time, not {count[:20]!r}"


def _within(count: str) -> bool:
    return count.isascii() and count.isdigit() and int(count) <= MAX_ENTRIES


def _covers(line: str, verb: str, key: str) -> bool:
    named, _, wanted = line.partition(" ")
    if named != verb or not wanted:
        return False
    return key.startswith(wanted[:-1]) if wanted.endswith("*") else key == wanted


def _named(words: Sequence[str]) -> str:
    """The command's name in the table, of one word or two."""
    if any(" " in word for word in words[:1]):
        return ""  # a client may part it into words that nobody has counted
    two = " ".join(words[:2]).upper()
    return two if two in READS else words[0].upper() if words else ""
