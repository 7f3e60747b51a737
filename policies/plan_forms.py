"""The plan as it is written, laid out as the steps that are run: sequences opened up, waits put before what they delay.

Used by `policies.planning` to make steps and by the lint modules to name where each of them stands in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.core.words import Millis, OnFailure
from policies.document import PlanEntry, SequenceDoc, StepDoc, WaitDoc
from policies.problems import Path


@dataclass(frozen=True, slots=True)
class Placed:
    """One step of the plan: where it is written, its id's number (``2`` or ``2.1``), and what its place asks of it.

    `sequence` is the number of the sequence it belongs to (0: none), `pause_ms` the wait before it.
    """

    at: Path
    number: str
    step: StepDoc
    sequence: int = 0
    pause_ms: Millis = 0

    @property
    def on_failure(self) -> OnFailure:
        """In a sequence a failure stops and asks, unless the step says otherwise."""
        if self.sequence and "on_failure" not in self.step.model_fields_set:
            return "ask"
        return self.step.on_failure


def placed(plan: Sequence[PlanEntry]) -> Iterator[Placed]:
    """Every step of a plan, in the order in which they run."""
    pause = 0
    for index, entry in enumerate(plan):
        if isinstance(entry, WaitDoc):
            pause += entry.wait
        elif isinstance(entry, SequenceDoc):
            yield from _sequence(index, entry, pause)
            pause = 0
        else:
            yield Placed(("plan", index), str(index + 1), entry, pause_ms=pause)
            pause = 0


def _sequence(index: int, entry: SequenceDoc, pause: Millis) -> Iterator[Placed]:
    for inner, member in enumerate(entry.sequence):
        if isinstance(member, WaitDoc):
            pause += member.wait
            continue
        at: Path = ("plan", index, "sequence", inner)
        yield Placed(at, f"{index + 1}.{inner + 1}", member, sequence=index + 1, pause_ms=pause)
        pause = 0


def idle_waits(plan: Sequence[PlanEntry]) -> Iterator[Path]:
    """Where a wait stands that delays nothing, because nothing comes after it."""
    if plan and isinstance(plan[-1], WaitDoc):
        yield ("plan", len(plan) - 1)
    for index, entry in enumerate(plan):
        if isinstance(entry, SequenceDoc) and isinstance(entry.sequence[-1], WaitDoc):
            yield ("plan", index, "sequence", len(entry.sequence) - 1)
