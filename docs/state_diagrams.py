"""The three machines as pictures and tables, drawn from the literal tables that the engine runs.

Used by `docs/generate.py`. A row's `to` lists every status it may lead to, so an arrow says "may lead to"; events that
can only leave the status as it is have no arrow and stand in the table alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.core import incident_machine, system_machine, target_machine
from bot.core.incident import TERMINAL


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine: its table, and its statuses in the order they are read."""

    name: str
    title: str
    table: Mapping[tuple[Any, type], Any]
    statuses: tuple[str, ...]
    start: str
    terminal: frozenset[str] = frozenset()


def machines() -> tuple[Machine, ...]:
    """Incident, component and system, in that order."""
    return (
        Machine(
            "incident",
            "An incident",
            incident_machine.TABLE,
            (
                "open",
                "diagnosing",
                "acting",
                "verifying",
                "awaiting_approval",
                "parked",
                "mitigated",
                "resolved",
                "closed",
            ),
            "open",
            frozenset(TERMINAL),
        ),
        Machine("target", "A component", target_machine.TABLE, ("idle", "held", "verifying", "frozen"), "idle"),
        Machine(
            "system",
            "A system's automation (`*`)",
            system_machine.TABLE,
            ("active", "tripped", "doubted", "frozen"),
            "active",
        ),
    )


def arrows(machine: Machine) -> dict[tuple[str, str], list[str]]:
    """(from, to) -> the events that may lead there, staying left out."""
    found: dict[tuple[str, str], list[str]] = {}
    for (status, event), row in machine.table.items():
        for to in row.to - {status}:
            found.setdefault((status, to), []).append(event.__name__)
    rank = {status: number for number, status in enumerate(machine.statuses)}
    ordered = sorted(found.items(), key=lambda item: (rank[item[0][0]], rank[item[0][1]]))
    return {pair: sorted(events) for pair, events in ordered}


def mermaid(machine: Machine) -> str:
    """A mermaid stateDiagram-v2; https://mermaid.js.org/syntax/stateDiagram.html"""
    lines = ["stateDiagram-v2", f"    [*] --> {machine.start}"]
    lines += [f"    {a} --> {b}: {'<br/>'.join(events)}" for (a, b), events in arrows(machine).items()]
    lines += [f"    {status} --> [*]" for status in machine.statuses if status in machine.terminal]
    return "\n".join(lines) + "\n"


def table(machine: Machine) -> str:
    """A Markdown table: one line an event, one column a status, each cell where it may lead (`·`: stays)."""
    events = sorted({event.__name__ for _, event in machine.table})
    cells = {(status, event.__name__): row.to - {status} for (status, event), row in machine.table.items()}
    lines = [
        "| event | " + " | ".join(machine.statuses) + " |",
        "|---|" + "---|" * len(machine.statuses),
    ]
    for event in events:
        line = [_cell(cells.get((status, event)), machine.statuses) for status in machine.statuses]
        lines.append(f"| {event} | " + " | ".join(line) + " |")
    return "\n".join(lines) + "\n"


def _cell(to: frozenset[str] | None, order: Sequence[str]) -> str:
    if to is None:
        return ""
    return ", ".join(status for status in order if status in to) or "·"


def section(machine: Machine) -> str:
    """What `docs/architecture.md` shows of one machine."""
    return (
        f"### {machine.title}\n\n```mermaid\n{mermaid(machine)}```\n\n"
        "<details><summary>Every event in every status</summary>\n\n"
        "Where it may lead; `·` stays; empty is ignored with a reason.\n\n"
        f"{table(machine)}\n</details>\n"
    )
