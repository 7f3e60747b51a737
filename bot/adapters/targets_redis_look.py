"""From what servers and Sentinels say to one `RedisLook`: pure, used by `targets_redis`.

A server can be known by several addresses (a name in targets.yaml, an IP among the Sentinels): what answers with the
same run id is one server, under the name that the Sentinels use. So a second primary is a second server, not a second
name, and a split brain is none that only looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from bot.adapters.sentinel_words import Word, joined, newest
from bot.engine.connector_ports import RedisLook, RedisNode
from bot.errors import TargetError

Told = Mapping[str, str]  # the fields of one server's INFO; "error" alone where it gave none

FAILOVER_SINCE = (6, 2)  # the version of Redis that brought FAILOVER; Valkey tells 7.2 as its Redis version
_STILL = "it holds still for 30 s after a pause or a jump of its clock (TILT)"
PLAIN = "a plain failover lost 517 of 1,213 acknowledged writes in a trial"
_LISTED = re.compile(r"ip=([^,]+),port=(\d+),state=(\w+)")
_PERSISTENCE = (
    ("loading", "1", "it is still loading its data"),
    ("rdb_last_bgsave_status", "err", "the last background save failed"),
    ("aof_last_write_status", "err", "its append-only file cannot be written"),
    ("aof_last_bgrewrite_status", "err", "the last rewrite of its append-only file failed"),
)


def fields(info: str) -> dict[str, str]:
    """The text of INFO as fields."""
    lines = (line.partition(":") for line in info.splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, mark, value in lines if mark}


def followers(told: Told, *, online: bool = False) -> list[str]:
    """host:port of every replica that a primary lists; `online`: only of those that it sends to."""
    listed = (_LISTED.match(value) for name, value in told.items() if re.fullmatch(r"slave\d+", name))
    return [joined(found[1], found[2]) for found in listed if found and (found[3] == "online" or not online)]


def follows(told: Told) -> str:
    """host:port of whom a replica follows; "" for a primary."""
    if told.get("role") != "slave":
        return ""
    return joined(told.get("master_host", ""), told.get("master_port", ""))


class Names:
    """Which addresses are one server. The first of `addresses` that answers with a run id names it."""

    def __init__(self, addresses: Iterable[str], told: Mapping[str, Told]) -> None:
        self._names: dict[str, str] = {}
        first: dict[str, str] = {}
        for address in addresses:
            identity = told.get(address, {}).get("run_id", "")
            self._names[address] = first.setdefault(identity, address) if identity else address

    def of(self, address: str) -> str:
        """The server's one name."""
        return self._names.get(address, address)


def node(address: str, told: Told, names: Names, p99_us: float | None = None) -> RedisNode:
    """One server."""
    if "error" in told or "role" not in told:
        return RedisNode(address=address, error=told.get("error", "it does not say its role"), p99_us=p99_us)
    replica = told["role"] == "slave"
    offset = told.get("slave_repl_offset") if replica else told.get("master_repl_offset")
    return RedisNode(
        address=address,
        role="replica" if replica else "primary",
        p99_us=p99_us,
        offset=number(offset or told.get("master_repl_offset")),
        link_up=replica and told.get("master_link_status") == "up",
        of=names.of(follows(told)) if replica else "",
        read_only=replica and told.get("slave_read_only") == "1",
        persistence="; ".join(says for name, bad, says in _PERSISTENCE if told.get(name) == bad),
        replid=told.get("master_replid", ""),
        former=_history(told.get("master_replid2", "")),
        former_until=number(told.get("second_repl_offset")) or -1,
        run_id=told.get("run_id", ""),
        priority=number(told.get("slave_priority", "100")) if replica else 100,
        version=told.get("valkey_version") or told.get("redis_version", ""),
    )


def assemble(
    primary: RedisNode, others: Sequence[RedisNode], words: Sequence[Word], names: Names, home: str, told: Told
) -> RedisLook:
    """The look: `told` is what the primary said of itself."""
    online = {names.of(one) for one in followers(told, online=True)}
    others = [
        one if one.of != primary.address or one.address in online else replace(one, link_up=False) for one in others
    ]
    claims = [names.of(word.primary) for word in words if not word.error]
    claims += [one.address for one in (primary, *others) if one.role == "primary"]
    means, why_not = how(primary.address, words, told, names)
    return RedisLook(
        primary=primary,
        replicas=tuple(others),
        claims=tuple(dict.fromkeys(claims)),
        sentinels=len(words),
        agreeing=sum(_acts(word) and names.of(word.primary) == primary.address for word in words),
        tilted=sum(not word.error and word.tilted for word in words),
        quorum=max((word.quorum for word in words), default=0),
        epoch=max((word.epoch for word in words), default=0),
        means=means,
        why_not=why_not,
        home=names.of(home),
    )


def _acts(word: Word) -> bool:
    """Whether it would vote for a failover now."""
    return not word.error and not word.tilted


def how(primary: str, words: Sequence[Word], told: Told, names: Names) -> tuple[Literal["sentinel", "server", ""], str]:
    """How it can be failed over without losing a write, or why it cannot."""
    state = told.get("master_failover_state", "no-failover")
    version = told.get("redis_version", "?")
    if state != "no-failover":
        return "", f"a failover of {primary} is under way ({state})"
    if _version(version) < FAILOVER_SINCE:
        return "", f"{primary} runs Redis {version}, which cannot stop its writes for a failover (6.2 can); {PLAIN}"
    if not words:
        return "server", ""
    answering = [word for word in words if not word.error]
    if newest(answering) is None:
        said = "; ".join(f"{word.sentinel}: {word.error}" for word in words)
        return "", f"none of {len(words)} Sentinels answers ({said})"
    busy = next((word for word in answering if word.failing_over), None)
    if busy is not None:
        return "", f"Sentinel {busy.sentinel} is failing it over already"
    knowing = [word for word in answering if word.coordinated]
    if not knowing:
        return "", f"none of its {len(words)} Sentinels knows SENTINEL FAILOVER … COORDINATED; {PLAIN}"
    if all(word.no_quorum or word.tilted or names.of(word.primary) != primary for word in knowing):
        said = knowing[0].no_quorum or (_STILL if knowing[0].tilted else f"it names {knowing[0].primary}")
        return "", f"no Sentinel can begin a failover of {primary} ({knowing[0].sentinel}: {said})"
    return "sentinel", ""


def figure(look: RedisLook, name: str) -> float:
    """One figure of a look, as evidence names it. Raises TargetError when it cannot be told."""
    match name:
        case "p99_us":
            return _measured([look.primary])
        case "replica_p99_us":
            return _measured(look.replicas)
        case "replica_lag_bytes":
            broken = next((one for one in look.replicas if one.error or not one.link_up), None)
            if broken is not None:
                raise TargetError(f"replica {broken.address} does not follow: {broken.error or 'its link is down'}")
            return float(max(max(look.primary.offset - one.offset, 0) for one in _some(look.replicas)))
        case "sentinels_agreeing" if look.sentinels:
            return float(look.agreeing)
        case "primaries":
            return float(len(look.claims))
    raise TargetError(f"there is no {name} of this Redis")


def _measured(nodes: Sequence[RedisNode]) -> float:
    """The slowest of them; each must have answered."""
    for one in _some(nodes):
        if one.p99_us is None:
            raise TargetError(f"the latency of {one.address} cannot be measured: {one.error or 'it did not answer'}")
    return max(one.p99_us or 0.0 for one in nodes)


def _some(nodes: Sequence[RedisNode]) -> Sequence[RedisNode]:
    if not nodes:
        raise TargetError("it has no replica")
    return nodes


def _history(replid: str) -> str:
    """A server without a former history tells zeros."""
    return replid if replid.strip("0") else ""


def number(text: str | None) -> int:
    """A whole figure of INFO; 0 where there is none."""
    return int(text) if text and text.isascii() and text.isdigit() else 0


def _version(text: str) -> tuple[int, int]:
    major, _, rest = text.partition(".")
    return number(major), number(rest.partition(".")[0])
