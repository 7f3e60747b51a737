"""The suite every registered diagnosis passes; one without a trial fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.plan import EvidenceDecl
from bot.engine.action_ports import ActionContext, Finding
from bot.testing import MemoryRedis, MemoryTargets
from bot.testing.action_contract import SYSTEM, Broken, HttpWorld, TwinWorld
from bot.testing.diagnosis_contract import DiagnosisTrial, look_everywhere
from remediations.catalogue import CATALOGUE
from remediations.kit import canonical

HASH = EvidenceDecl(
    name="var", kind="redis_hash", component="redis", query="metrics:var_pct:${labels.symbol}", field="value"
)
STREAM = EvidenceDecl(name="switches", kind="redis_stream", component="redis", query="model.switch.log")
STATE = EvidenceDecl(name="p99", kind="redis_state", component="redis", query="p99_us")


def _redis() -> TwinWorld:
    """A healthy Redis whose stream holds an entry with hostile fields."""
    targets, twin = MemoryTargets(), MemoryRedis()
    fields = ["symbol", "\x1b[2J" + "x" * 5_000, "from", "a", "to", "b", "confidence", "nan", "latency_ms", "-"]
    entries = [[f"{number}-0", list(fields)] for number in range(1, 60)]
    twin.answers["XREVRANGE"] = entries  # type: ignore[assignment]  # lists in lists, as a server answers
    targets.add_redis(SYSTEM, "redis", twin)
    return TwinWorld(targets, "redis", lambda: (twin.seen, twin.hashes, twin.sent))


TRIALS = {
    name: DiagnosisTrial(
        entry=entry, world=_redis, declared={"var": HASH, "switches": STREAM, "p99": STATE}, readings={"var": 1.9}
    )
    for name in CATALOGUE.diagnoses()
    if (entry := CATALOGUE.diagnosis_entry(name)) is not None
}


@pytest.mark.parametrize("name", sorted(TRIALS))
async def test_it_looks_and_does_nothing_whatever_it_meets(name: str) -> None:
    """No effect, bounded words, canonical figures, no stray error: with and without alerts, evidence and target."""
    await look_everywhere(TRIALS[name])


class Meddles:
    """Sends while it looks."""

    async def look(self, context: ActionContext) -> Finding:
        target = context.targets.http(context.system, "target")
        await target.send("POST", "/x", "{}", idempotency_key="1", fence=1)
        return Finding("done")


class Gushes:
    """Repeats what the labels say."""

    async def look(self, context: ActionContext) -> Finding:
        return Finding(" ".join(alert.labels["symbol"] for alert in context.alerts) or "nothing")


class Sprawls:
    """Figures of any length."""

    async def look(self, context: ActionContext) -> Finding:
        return Finding("seen", canonical({"symbols": [alert.labels["symbol"][:40] for alert in context.alerts]}))


class Stumbles:
    """Takes the first alert for granted."""

    async def look(self, context: ActionContext) -> Finding:
        return Finding(context.alerts[0].fingerprint)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (Meddles, "it had an effect"),
        (Gushes, "longer than"),
        (Sprawls, "would be cut off"),
        (Stumbles, "look raised IndexError"),
    ],
)
async def test_a_broken_diagnosis_is_found(made: type, told: str) -> None:
    """Each way of being wrong is told."""
    entry = replace(next(iter(TRIALS.values())).entry, diagnosis=made)
    world = HttpWorld({"value": 1.0}, {"POST /x": lambda state, _: state.update(value=2.0)})
    with pytest.raises(Broken, match=told):
        await look_everywhere(DiagnosisTrial(entry=entry, world=lambda: world))
