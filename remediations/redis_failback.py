"""`redis.failback`: move the primary back to its home, the address in targets.yaml (trading-core runbook, row T3).

The same failover with the same preconditions and the same proof as `redis.failover`, in the other direction: to the
very server that was left because something was wrong with it. That restores what was given up for safety, so it counts
as raising exposure and is always asked about; Andon never does it by itself (law 4).
"""

from __future__ import annotations

from remediations.kit import ActionSpec, Entry
from remediations.redis_failover import ENTRY as FAILOVER
from remediations.redis_failover import PINS, SEND_MS, FailoverParams, RedisFailover

SPEC = ActionSpec(
    name="redis.failback",
    summary="Make the server at a Redis's home address its primary again, coordinated; always asked about.",
    delivery="once",
    risk="risky",
    direction="raises",
    role="store",
    pins=PINS,
    source="T3",
    send_ms=SEND_MS,
)


class RedisFailback(RedisFailover):
    """The action: `RedisFailover`, towards home only."""

    home = True


ENTRY = Entry(
    spec=SPEC,
    params=FailoverParams,
    action=RedisFailback,
    example={"reason": "the old primary is sound again"},
    needs=FAILOVER.needs,
    refuses={"home is down": "replica … is down: …", "home is gone": "no replica is at home (…)"},
)
