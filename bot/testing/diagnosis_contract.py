"""The contract of every diagnosis: it looks and changes nothing, says little, and survives whatever it meets.

An author inherits `DiagnosisContract`, or calls `look_everywhere`; docs/actions.md shows it. Each case is one look in
one world, with what a bad moment may bring: no alerts, hostile labels, no evidence, a target that is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final

from bot.core.alert import Alert
from bot.core.plan import EvidenceDecl
from bot.engine.action_ports import ActionContext, Finding
from bot.errors import AndonError
from bot.testing.action_gate import Broken, Mood
from bot.testing.action_telling import need_trial, told
from bot.testing.action_trial import need, need_json
from bot.testing.action_world import World
from bot.testing.targets import MemoryEvidence
from remediations import laws
from remediations.kit import DiagnosisEntry

MAX_SUMMARY: Final = 2_000  # characters of sentence, cause and fix that an incident's record keeps
MAX_DETAIL: Final = 2_000  # characters of figures that it keeps
MOODS: Final[tuple[Mood, ...]] = ("well", "unreadable", "away")
HOSTILE: Final = "\x1b[2J<!channel> `$(reboot)` ${labels.symbol}\n" + "x" * 5_000
MANY: Final = 200  # alerts of one incident on a very bad day


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisTrial:
    """How one diagnosis is tried: a target to look at, the plan's evidence, and what that reads as."""

    entry: DiagnosisEntry
    world: Callable[[], World]
    declared: Mapping[str, EvidenceDecl] = field(default_factory=dict)
    readings: Mapping[str, float | str | bool] = field(default_factory=dict)


def _alerts(symbol: str, count: int) -> tuple[Alert, ...]:
    labels = [{"alertname": "Trial", "symbol": f"{symbol}{number or ''}"} for number in range(count)]
    return tuple(
        Alert(fingerprint=f"f{number}", status="firing", labels=each, starts_at=1) for number, each in enumerate(labels)
    )


ALERTS: Final[Mapping[str, tuple[Alert, ...]]] = {
    "no alert": (),
    "one alert": _alerts("BTC-USD", 1),
    "many alerts": _alerts("SYMBOL-", MANY),
    "hostile labels": _alerts(HOSTILE, 2),
}


async def look_everywhere(trial: DiagnosisTrial) -> None:
    """Every case. Raises Broken with the case and what the diagnosis did."""
    wrong = list(laws.of_diagnosis(trial.entry))
    need(not wrong, "; ".join(wrong))
    for (name, alerts), mood, readable in product(ALERTS.items(), MOODS, (True, False)):
        case = f"{name}, target {mood}, {'with' if readable else 'without'} evidence"
        async with trial.world() as world:
            world.mood = mood
            evidence = MemoryEvidence(trial.readings) if readable else None
            declared = trial.declared if readable else {}
            context = replace(world.context(component=""), alerts=alerts, declared=declared, evidence=evidence)
            state = world.snapshot()
            finding = await _look(trial, context, case)
            need(not world.requests and world.snapshot() == state, f"{case}: it had an effect")
            if finding is not None:
                _bounded(finding, case)


async def _look(trial: DiagnosisTrial, context: ActionContext, case: str) -> Finding | None:
    """One look. Errors of Andon's are told by the dispatcher as what could not be seen."""
    try:
        return await trial.entry.diagnosis().look(context)
    except AndonError:
        return None
    except Broken:
        raise
    except Exception as error:  # somebody else's code: whatever it raises is the finding
        raise Broken(f"{case}: look raised {error!r}") from error


def _bounded(finding: Finding, case: str) -> None:
    words = (finding.summary, finding.cause, finding.fix)
    need(bool(finding.summary), f"{case}: it found nothing and did not say so")
    need(sum(map(len, words)) <= MAX_SUMMARY, f"{case}: its sentence, cause and fix are longer than {MAX_SUMMARY}")
    need(all(text.isprintable() for text in words), f"{case}: its words hold what cannot be printed")
    need_json(f"{case}: its detail", finding.detail)
    need(len(finding.detail) <= MAX_DETAIL, f"{case}: its detail is longer than {MAX_DETAIL}, and would be cut off")


class DiagnosisContract:
    """Inherit this in a class named Test…, and set `trial`."""

    trial: DiagnosisTrial

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        need_trial(cls, "trial = DiagnosisTrial(entry=…, world=…)")

    def test_it_looks_and_does_nothing_whatever_it_meets(self) -> None:
        """No effect, bounded and printable words, canonical figures, and no stray error, in every case."""
        told(lambda: asyncio.run(look_everywhere(self.trial)))
