"""The shipped policy of row T3: what follows what, what must hold, and whom the ladder calls."""

from __future__ import annotations

import json
from pathlib import Path

import configs
from bot.core.plan import Plan
from policies.loader import Source, kind_of, load
from remediations.catalogue import CATALOGUE


def _plan() -> Plan:
    folder = Path(configs.__path__[0])
    sources = [Source(str(f.relative_to(folder)), f.read_text(), kind_of(f.name)) for f in folder.rglob("*.yaml")]
    loaded = load(sources, CATALOGUE)
    assert loaded.book is not None
    plan = loaded.book.current("trading-core", "redis-latency")
    assert plan is not None
    return plan


def test_the_failover_comes_first_then_each_service_on_the_new_address() -> None:
    """Failed over only where Andon itself measures more than 5 ms; each service healthy before the next one."""
    plan = _plan()
    failover, harmoniser, strategist = plan.steps
    assert (plan.row, plan.mode, plan.evidence["latency"].kind) == ("T3", "auto", "redis_state")
    assert (failover.action, failover.component, failover.guard) == (
        "redis.failover",
        "redis",
        "evidence.latency > 5000",
    )
    assert (failover.delivery, failover.automatic, failover.cooldown_ms) == ("once", True, 1_800_000)
    assert [step.component for step in (harmoniser, strategist)] == ["risk-harmoniser", "strategist"]
    assert [step.verify is not None for step in plan.steps] == [False, True, True]
    assert strategist.verify is not None
    assert "evidence.latency < 4000" in strategist.verify.until
    assert failover.on_failure in ("ask", "escalate"), "refused or failed, no service is restarted by itself"
    assert {step.on_failure for step in plan.steps[1:]} == {"ask"}, "what fails stops it, and people are asked"


def test_failing_back_and_a_datacentre_failover_are_never_in_the_plan() -> None:
    """The first is for people to order, the second is only proposed."""
    plan = _plan()
    assert "redis.failback" not in {step.action for step in plan.steps}
    back = plan.steps[0].undo_plan
    assert back is not None, "after four hours people are asked whether it goes home"
    assert [(step.action, step.automatic) for step in back.steps] == [("redis.failback", False)]
    rungs = plan.ladder
    assert [(rung.after_ms, rung.page.service if rung.page else "") for rung in rungs] == [
        (300_000, "devops"),
        (600_000, "devops"),
    ]
    proposal = rungs[1].step
    assert proposal is not None
    assert (proposal.action, "datacentre" in json.loads(proposal.arguments)["message"]) == ("notify", True)
