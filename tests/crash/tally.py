"""The table: trials by delivery and crash point, each judged by the ledger. Printed, as JSON, and as markdown.

Called by `tests.crash.__main__` when the last round is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tests.crash import lanes, points
from tests.crash.judge import Fate, Place
from tests.crash.round import Played, Trial


@dataclass(slots=True)
class Row:
    """One delivery at one crash point."""

    delivery: str
    point: str
    trials: int = 0
    doubled: int = 0
    lost: int = 0
    parked: int = 0
    recovered: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, trial: Trial, fate: Fate) -> None:
        self.trials += 1
        self.doubled += fate.doubled
        self.lost += fate.lost
        self.parked += fate.parked
        self.recovered += fate.recovered
        if trial.recovery is not None:
            self.seconds.append(trial.recovery)

    @property
    def median_seconds(self) -> float | None:
        """Of the recoveries that took any time; None where there was nothing left to recover."""
        return median(self.seconds) if self.seconds else None

    def cells(self) -> tuple[str, ...]:
        """The row as the table shows it."""
        wait = "–" if self.median_seconds is None else f"{self.median_seconds:.1f} s"
        numbers = (self.trials, self.doubled, self.lost, self.parked, self.recovered)
        return (self.delivery, self.point, *(str(number) for number in numbers), wait)


HEADS = ("delivery", "killed", "trials", "doubled", "lost", "parked", "recovered", "median recovery")
WORDS = 2  # columns of words
MAX_NAMED = 20  # doubled or lost intents named one by one; the ledger, which is kept then, names all


@dataclass(slots=True)
class Tally:
    """A whole run, counted."""

    seed: int
    rows: list[Row]
    total: Row
    intents: int  # every alert that was accepted, in flight at a kill or not
    doubled: list[Place]
    lost: list[Place]
    deaths: int
    late: int  # requests that landed only after the recovery
    repeats: int  # requests that came again and changed nothing
    problems: list[str]
    seconds: float
    cpu: float  # seconds of processor time of the workers and the targets; the stores' own is not in it
    start: float  # seconds a worker takes to open its doors, the median; part of every recovery
    strange: list[str]  # pages about no lane

    @property
    def clean(self) -> bool:
        """Nothing doubled, nothing lost, and every round came to its end."""
        return not (self.doubled or self.lost or self.problems)

    def failures(self) -> list[str]:
        """A line for everything that is not as it should be."""
        places = [("doubled", self.doubled), ("lost", self.lost)]
        named = [f"{word}: {lane} of {name}" for word, found in places for name, lane in found[:MAX_NAMED]]
        return [*self.problems, *named]

    def verdict(self) -> str:
        """The last line."""
        return (
            f"{self.total.trials} trials in {self.deaths} deaths, {len(self.doubled)} doubled, {len(self.lost)} lost, "
            f"{self.total.parked} parked, {self.total.recovered} recovered"
        )


def tally(
    played: Sequence[Played], fates: dict[Place, Fate], seed: int, *, seconds: float = 0.0, cpu: float = 0.0
) -> Tally:
    """Count it. Every accepted alert is judged, also those that no worker had in hand when it died."""
    rows: dict[tuple[str, str], Row] = {}
    total = Row("all", "")
    for trial in (trial for one in played for trial in one.trials):
        fate = fates.get((trial.round, trial.lane), Fate())
        kind, point = lanes.kind_of(trial.lane), points.BY_NAME[trial.row]
        rows.setdefault((kind.name, point.name), Row(kind.words, point.words)).add(trial, fate)
        total.add(trial, fate)
    accepted = [(one.plan.name, lane) for one in played for lane in one.accepted]
    known = {place: fates.get(place, Fate()) for place in accepted}
    order = [(kind.name, point.name) for kind in lanes.KINDS for point in points.ALL]
    return Tally(
        seed=seed, rows=[rows[key] for key in order if key in rows], total=total, intents=len(accepted),
        doubled=[place for place, fate in fates.items() if fate.doubled],
        lost=[place for place, fate in known.items() if fate.lost],
        deaths=sum(one.deaths for one in played), late=sum(fate.late for fate in known.values()),
        repeats=sum(fate.repeats for fate in known.values()),
        problems=[f"{one.plan.name}: {one.problem}" for one in played if one.problem], seconds=seconds, cpu=cpu,
        start=median([each for one in played for each in one.starts] or [0.0]),
        strange=sorted({lane for (_, lane), fate in fates.items() if fate.parked and lane not in lanes.LANES}),
    )  # fmt: skip


def remarks(found: Tally) -> list[str]:
    """What the table does not show."""
    return [
        f"{found.intents} alerts were accepted; those that no worker had in hand when it died were judged as well.",
        f"{found.late} requests landed only after the recovery. {found.repeats} came again and changed nothing.",
        f"A worker took {found.start:.1f} s to start, which is part of every recovery.",
        f"Seed {found.seed}, {found.seconds:.0f} s, of which the workers and targets computed for {found.cpu:.0f} s.",
        *(f"A page about no lane: {each}" for each in found.strange),
    ]


def stages(played: Sequence[Played]) -> dict[str, int]:
    """Where the intents were that died at a random moment, or again."""
    aimless = (points.RANDOM.name, points.AGAIN.name)
    return dict(Counter(trial.stage for one in played for trial in one.trials if trial.row in aimless))


def table(rows: Iterable[Row]) -> str:
    """The rows as a markdown table, aligned for a terminal too: words left, numbers right."""
    lines = [HEADS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    aligned = [
        [
            cell.ljust(width) if n < WORDS else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    rule = ["-" * width if n < WORDS else "-" * (width - 1) + ":" for n, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (aligned[0], rule, *aligned[1:]))


def as_json(found: Tally, played: Sequence[Played]) -> dict[str, Any]:
    """Everything, for a script."""
    rows = [{**asdict(row), "median_seconds": row.median_seconds} for row in (*found.rows, found.total)]
    for row in rows:
        del row["seconds"]
    return {
        "seed": found.seed, "clean": found.clean, "rows": rows, "deaths": found.deaths, "intents": found.intents,
        "doubled": found.doubled, "lost": found.lost, "late": found.late, "repeats": found.repeats,
        "stages": stages(played), "strange": found.strange, "start_seconds": round(found.start, 2),
        "problems": found.problems, "seconds": round(found.seconds, 1), "cpu_seconds": round(found.cpu, 1),
    }  # fmt: skip
