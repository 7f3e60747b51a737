"""The deliberate breaks as a table, for docs/reliability.md. Drawn from the table that `make breaks` works through."""

from __future__ import annotations

from collections.abc import Sequence

from tests.breaks.table import Break


def breaks_table(breaks: Sequence[Break]) -> str:
    """One row for each break: its law, what is broken where, and the machine that turns red."""
    rows = ["| law | broken so that | in | the machine that turns red |", "|---|---|---|---|"]
    rows += [f"| {each.law} | {each.says} | `{each.file}` | `{_short(each)}` |" for each in breaks]
    return "\n".join(rows) + "\n"


def _short(each: Break) -> str:
    """Its command without what only quiets it."""
    command = each.command
    for quiet in (" -q -x -p no:cacheprovider", " --jobs 1 --json", " --jobs 1"):
        command = command.replace(quiet, "")
    return command
