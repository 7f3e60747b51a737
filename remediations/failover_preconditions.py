"""May this Redis be failed over, and to which replica? The judgement behind `redis.failover` and `redis.failback`.

Pure: it is given a look at all servers and Sentinels (`RedisLook`) and says what speaks against it, each with its
figure; the same figures go onto the card and into the intent. What loses data in failovers, and the answer here:

* the replica lags, follows somebody else, or its link is down: its promotion forgets acknowledged writes: refused;
* a plain `SENTINEL FAILOVER` promotes first and stops the old primary seconds later (517 of 1,213 acknowledged writes
  lost in a trial): only ways that stop writes first are `means` at all;
* two servers take writes (split brain): a failover makes one of them a replica and throws its writes away: refused;
* Sentinels without a majority cannot agree, or a second failover runs into the first: refused;
* Sentinel chooses the replica itself (priority, offset, run id), whatever was judged here: so each one that it could
  choose must be fit, and all of them are shown and pinned; which of two is ahead changes with every write. One that
  does not answer makes a coordinated failover stop without effect, and loses nothing. Priority 0 is never chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remediations.kit import RedisLook, RedisNode, RedisTarget

SAMPLES = 200  # PINGs a server, as far as they fit into half a second: two that our own machine delayed do not count
MAX_BEHIND = 1_048_576  # bytes a replica may lag: writes stop while it catches up, and 1 MiB takes well under a second
BUSY_SHARE = 0.8  # of maxclients: past this the clients themselves are the likely cause, and they would move along


@dataclass(frozen=True, slots=True)
class Load:
    """What the primary says of itself: its clients, and the failover it is in the middle of ("" for none)."""

    clients: int = 0
    max_clients: int = 0
    failing_over: str = ""


def load(info: str) -> Load:
    """From the text of INFO. A server that does not tell (older ones) is taken to have nothing to tell."""
    lines = (line.partition(":") for line in info.splitlines())
    told = {name: value.strip() for name, mark, value in lines if mark}
    state = told.get("master_failover_state", "no-failover")
    return Load(
        _number(told.get("connected_clients", "")),
        _number(told.get("maxclients", "")),
        "" if state == "no-failover" else state,
    )


def candidates(look: RedisLook, slow_us: int, *, home: bool) -> tuple[RedisNode, ...] | str:
    """The replicas that may become primary, or why there are none. `home`: only the one at home.

    Those that nothing speaks against come first, each group by address: no order that changes with every write.
    """
    if not look.replicas:
        return f"{look.primary.address} has no replica"
    willing = tuple(node for node in look.replicas if node.error or node.priority)
    if not willing:
        named = " and ".join(node.address for node in look.replicas)
        return f"{named} has replica-priority 0: it is never to become primary"
    found = tuple(node for node in willing if (node.address == look.home) is home)
    if not found and home:
        return f"no replica is at home ({look.home})"
    if not found:
        return f"the only replica is at {look.home}, where this Redis is at home: that is redis.failback, for people"
    return tuple(
        sorted(found, key=lambda node: (bool(node.error), bool(of_replica(look, node, slow_us)), node.address))
    )


def eligible(look: RedisLook, fit: Sequence[RedisNode]) -> list[str]:
    """Who may become primary by it, by address: all that Sentinel could choose, or the one that the server is told."""
    if look.means != "sentinel":
        return [fit[0].address]
    return sorted(node.address for node in fit if not node.error)


def as_approved(
    look: RedisLook, found: tuple[RedisNode, ...] | str, before: Mapping[str, object]
) -> tuple[RedisNode, ...] | str:
    """The `candidates`, the approved one first; or what changed since `before`, so that a yes to it no longer holds."""
    if isinstance(found, str):
        return found
    if (look.primary.address, look.epoch) != (before["primary"], before["epoch"]):
        return (
            f"the servers changed: {look.primary.address} is primary now, epoch {look.epoch}; "
            f"it was {before['primary']}, epoch {before['epoch']}"
        )
    fit = before["fit"]
    then = sorted(str(one) for one in fit) if isinstance(fit, list) else []
    if look.means == "server":
        found = tuple(sorted(found, key=lambda node: node.address not in then))
    now = eligible(look, found)
    if now != then:
        return f"the servers changed: {_either(now)} could become primary now; it was {_either(then)}"
    return found


def refusal(look: RedisLook, fit: Sequence[RedisNode], slow_us: int, now: Load) -> str:
    """Why it must not be done to the first of `candidates`, with the figure; "" when nothing speaks against it."""
    return (
        _of_all(look, now)
        or of_replica(look, fit[0], slow_us)
        or next((why for node in look.replicas if (why := _could_be_chosen(look, node, fit, slow_us))), "")
    )


def _of_all(look: RedisLook, now: Load) -> str:
    """What speaks against any failover of these servers."""
    if len(look.claims) > 1:
        return f"split brain: {' and '.join(look.claims)} are both called primary"
    majority = look.sentinels // 2 + 1
    if look.sentinels and look.agreeing < max(look.quorum, majority):
        still = (
            f"{look.tilted} hold still for 30 s after a pause or a jump of their clock (TILT); " if look.tilted else ""
        )
        return (
            f"only {look.agreeing} of {look.sentinels} Sentinels answer and agree on the primary; {still}"
            f"the quorum is {look.quorum} and the majority {majority}"
        )
    if now.failing_over:
        return f"a failover is under way already ({now.failing_over})"
    if not look.means:
        return look.why_not or "there is no way to fail it over without losing writes"
    return ""


def of_replica(look: RedisLook, node: RedisNode, slow_us: int) -> str:
    """What speaks against this replica as the primary; its latency is judged where it was measured."""
    name, behind = f"replica {node.address}", behind_bytes(look, node)
    if node.error:
        return f"{name} is down: {node.error}"
    if node.role != "replica" or not node.read_only:
        return f"{name} is no read-only replica, so it may hold writes of its own"
    if node.of != look.primary.address:
        return f"{name} follows {node.of or 'nobody'}, not {look.primary.address}"
    if not node.link_up:
        return f"{name} is stale: its link to the primary is down, and it is {behind} bytes behind"
    if node.replid and look.primary.replid and node.replid != look.primary.replid:
        return f"{name} holds another history ({node.replid[:8]}) than the primary ({look.primary.replid[:8]})"
    if behind > MAX_BEHIND:
        return f"{name} is {behind} bytes behind; at most {MAX_BEHIND} are caught up with in time"
    if node.persistence:
        return f"{name} cannot keep its data: {node.persistence}"
    if node.p99_us is not None and node.p99_us >= slow_us:
        return f"{name} is slow itself: p99 {node.p99_us:.0f} us, the limit is {slow_us} us"
    return ""


def _could_be_chosen(look: RedisLook, node: RedisNode, fit: Sequence[RedisNode], slow_us: int) -> str:
    """Under Sentinels, why another replica that they might choose instead of the first of `fit` forbids it."""
    if look.means != "sentinel" or node.address == fit[0].address or node.error or not node.priority:
        return ""
    if node not in fit:
        return f"Sentinel chooses the replica itself, and could choose {node.address} instead of {fit[0].address}"
    why = of_replica(look, node, slow_us)
    return f"Sentinel chooses the replica itself, and could choose another one: {why}" if why else ""


def doubts(look: RedisLook, to: RedisNode, slow_us: int, now: Load) -> str:
    """Why a person must say yes even where the policy may act by itself; "" for no reason."""
    if look.home not in (look.primary.address, *(node.address for node in look.replicas)):
        return f"none of the servers is at {look.home}, its address in targets.yaml: it may have a home unknown here"
    if look.primary.persistence:
        return f"the primary itself cannot keep its data ({look.primary.persistence}), which a failover does not mend"
    ours, theirs = look.primary.p99_us, to.p99_us
    if ours is None or theirs is None:
        return f"the latency of {(look.primary if ours is None else to).address} could not be measured from here"
    if now.max_clients and now.clients >= BUSY_SHARE * now.max_clients:
        return f"{now.clients} of {now.max_clients} clients are connected: they are the likely cause, and move along"
    if ours < slow_us:
        return f"the primary is not slow as seen from here (p99 {ours:.0f} us, the limit is {slow_us} us)"
    return ""


def figures(look: RedisLook, fit: Sequence[RedisNode], now: Load) -> Mapping[str, object]:
    """Every precondition with its figure: what is shown, pinned, kept in the intent, and compared with afterwards.

    Where Sentinel could choose any of several, the figures of a replica are those of the worst.
    """
    may = eligible(look, fit)
    those = [node for node in fit if node.address in may] or fit[:1]
    slowest = None if unmeasured(look, fit) else max(node.p99_us or 0.0 for node in those)
    return {
        "primary": look.primary.address, "replica": _either(may or [fit[0].address]), "fit": may, "epoch": look.epoch,
        "means": look.means, "history": look.primary.replid, "offset": look.primary.offset,
        "run_id": look.primary.run_id, "behind_bytes": max(behind_bytes(look, node) for node in those),
        "primary_p99_us": _whole(look.primary.p99_us), "replica_p99_us": _whole(slowest),
        "replica_link": "up" if all(node.link_up for node in those) else "down",
        "replica_persistence": next((node.persistence for node in those if node.persistence), "sound"),
        "primaries": len(look.claims),
        "sentinels": look.sentinels, "sentinels_agreeing": look.agreeing, "quorum": look.quorum,
        "clients": now.clients, "max_clients": now.max_clients,
    }  # fmt: skip


def unmeasured(look: RedisLook, fit: Sequence[RedisNode]) -> str:
    """The first that could become primary and whose latency could not be measured; "" when each one's is known."""
    may = eligible(look, fit)
    return next((node.address for node in fit if node.address in may and node.p99_us is None), "")


def by_hand(target: RedisTarget, look: RedisLook, to: RedisNode) -> str:
    """The same, for a person."""
    if look.means == "sentinel":
        return target.by_hand("SENTINEL", "FAILOVER", "COORDINATED")
    host, _, port = to.address.rpartition(":")
    return target.by_hand("FAILOVER", "TO", host, port, "TIMEOUT", "10000", at=look.primary.address)


def instead(target: RedisTarget, look: RedisLook, to: RedisNode) -> str:
    """What a person can still do where the Sentinels know no coordinated failover: it is for them to weigh."""
    if look.means or not look.sentinels or to.error:
        return ""
    return f"; by hand, at that risk: {target.by_hand('SENTINEL', 'FAILOVER')}"


def behind_bytes(look: RedisLook, node: RedisNode) -> int:
    """How far it lags; the two offsets are read a moment apart, so under load this is never exactly zero."""
    return max(0, look.primary.offset - node.offset)


def _either(addresses: Sequence[str]) -> str:
    return " or ".join(addresses) or "nobody"


def _whole(us: float | None) -> int | None:
    return None if us is None else round(us)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
