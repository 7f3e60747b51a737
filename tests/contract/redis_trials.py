"""How the actions on a Redis are tried: on the twin, with each of its refusals. Taken into `action_trials`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bot.engine.connector_ports import RedisLook
from bot.errors import Rejected, TargetError
from bot.testing import MemoryTargets
from bot.testing.action_contract import Trial
from bot.testing.action_world import SYSTEM, TwinWorld, World
from bot.testing.redis_twin import HEALTHY, PRIMARY, REPLICA, MemoryRedis
from remediations import redis_command, redis_failback, redis_failover, redis_publish

ALLOW = ("FAILOVER", "SENTINEL FAILOVER", "SET andon:canary", "HSET metrics:*", "PUBLISH param.reload")
SLOW = replace(HEALTHY, primary=replace(PRIMARY, p99_us=9_000.0))
WANTED = "counted only where the histories prove that no write is lost; again would move it back (failover_proof)"
AWAY = replace(HEALTHY, home=REPLICA.address)  # it was failed over: home is the replica now


def _redis(
    look: RedisLook = SLOW, *, subscribers: int = 2, holds: TargetError | None = None, allow: tuple[str, ...] = ALLOW
) -> World:
    twin = MemoryRedis(look, allow)
    twin.subscribers = subscribers
    if holds is not None:
        twin.answers["HGET"] = holds
    targets = MemoryTargets()
    targets.add_redis(SYSTEM, "redis", twin)

    def state() -> object:
        published = [command for command in twin.sent if command[0] == "PUBLISH"]
        return twin.seen, twin.hashes, published

    return TwinWorld(targets, "redis", state)


def _with(look: RedisLook = SLOW, **replica: object) -> Callable[[], World]:
    """A world whose replica has these fields."""
    return lambda: _redis(replace(look, replicas=(replace(REPLICA, **replica),)))  # type: ignore[arg-type]  # by name


REDIS_TRIALS: dict[str, Trial] = {
    "redis.command": Trial(
        entry=redis_command.ENTRY,
        world=_redis,
        refusals={
            "the component does not allow it": lambda: _redis(allow=("HSET limits",)),
            "it holds something else": lambda: _redis(holds=Rejected("WRONGTYPE Operation against a key")),
        },
        hostile=({"command": ["GET"], "reason": "x"}, {"command": "FLUSHALL", "reason": "x"}),
    ),
    "redis.failback": Trial(
        entry=redis_failback.ENTRY,
        world=lambda: _redis(AWAY),
        refusals={
            "home is down": _with(AWAY, error="Connection refused"),
            "home is gone": lambda: _redis(replace(SLOW, home="10.9.9.9:6379")),
        },
        anybodys=WANTED,
    ),
    "redis.failover": Trial(
        entry=redis_failover.ENTRY,
        world=_redis,
        refusals={
            "the replica is down": _with(error="Connection refused"),
            "the replica is stale": _with(link_up=False, offset=100),
            "the replica lags": lambda: _redis(replace(SLOW, primary=replace(PRIMARY, offset=2_000_000))),
            "the replica is slow itself": _with(p99_us=7_000.0),
            "its data could not be kept": _with(persistence="the last background save failed"),
            "two primaries": lambda: _redis(replace(SLOW, claims=(PRIMARY.address, REPLICA.address))),
            "Sentinels are missing": lambda: _redis(replace(SLOW, agreeing=1)),
            "only a plain failover": lambda: _redis(replace(SLOW, means="", why_not="they know no COORDINATED")),
            "no replica is to be primary": _with(priority=0),
            "the replica is at home": lambda: _redis(AWAY),
        },
        hostile=({"reason": "x", "slow_us": 0}, {"reason": "x", "slow_us": True}),
        anybodys=WANTED,
    ),
    "redis.publish": Trial(
        entry=redis_publish.ENTRY,
        world=_redis,
        refusals={"nobody listens": lambda: _redis(subscribers=0)},
        hostile=({"channel": "param.*", "message": "x"}, {"channel": "", "message": "x"}),
    ),
}
