"""A Redis with its replica and Sentinels for the tests of what acts on it: slow itself, its replica well."""

from __future__ import annotations

from bot.engine.action_ports import ActionContext
from bot.engine.connector_ports import RedisLook, RedisNode
from bot.errors import TargetError
from bot.testing import MemoryTargets
from bot.testing.redis_twin import MemoryRedis

A, B, C = "10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"
PRIMARY = RedisNode(address=A, role="primary", p99_us=9_000, offset=1_000, replid="a" * 40, run_id="1" * 40)
REPLICA = RedisNode(
    address=B, role="replica", p99_us=200, offset=990, link_up=True, of=A, read_only=True, replid="a" * 40,
    run_id="2" * 40,
)  # fmt: skip
LOOK = RedisLook(
    primary=PRIMARY, replicas=(REPLICA,), claims=(A,), sentinels=3, agreeing=3, quorum=2, epoch=4, means="sentinel",
    home=A,
)  # fmt: skip
INFO = "# Clients\r\nconnected_clients:12\r\nmaxclients:10000\r\n# Replication\r\nmaster_failover_state:no-failover\r\n"
ALLOW = ("FAILOVER", "SENTINEL FAILOVER", "SET andon:canary", "PUBLISH param.reload", "HSET metrics:*", "SET metrics:*")


def redis(
    look: RedisLook = LOOK, *, info: str = INFO, failing: TargetError | None = None, arrives: bool = True
) -> MemoryRedis:
    """The twin. `failing`: what every send ends with; `arrives`: whether a write comes through to the replica."""
    made = MemoryRedis(look, ALLOW)
    made.answers["INFO"] = info
    made.failing = failing
    if not arrives:
        made.answers["GET andon:canary"] = None
    return made


def context(twin: MemoryRedis) -> ActionContext:
    """What an action on this Redis is given."""
    targets = MemoryTargets()
    targets.add_redis("trading-core", "redis", twin, role="store")
    return ActionContext(system="trading-core", component="redis", targets=targets, now=5, intent="int-1")
