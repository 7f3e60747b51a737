"""The crash matrix's part of docs/reliability.md, written between two markers by `python -m tests.crash --publish`."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from tests.crash.tally import Tally, remarks, table

BEGIN, END = "<!-- crash:begin -->", "<!-- crash:end -->"
READING = """\
*Recovered*: the target did it exactly once, and nobody was needed. *Parked*: a person was paged, because nothing proves
what became of a request that must not be repeated. *Lost* would be an accepted alert with neither effect nor page,
*doubled* an intent with two effects. Half of the rounds kill the second worker too, so what that did is also in the row
of the first death. Actions of delivery `keyed` are never sent again either: they park where an `absolute` one goes on.

Not shown here: power cuts (a SIGKILL takes nothing from what the kernel has yet to write), stores that fail, and
several workers at once; the next section has the last two."""
HEAD = "# Reliability\n\n## The crash matrix\n\n"


def publish(page: Path, found: Tally, wanted: int) -> None:
    """Replace what stands between the markers; a page without them gets a section at its end."""
    text = page.read_text() if page.exists() else HEAD
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{section(found, wanted)}\n{END}{after}")


def section(found: Tally, wanted: int) -> str:
    """What stands there: how it was measured, how to repeat it, the table, how to read it."""
    machine = f"{os.cpu_count()} processors shared with other work, Python {platform.python_version()}"
    return f"""
**{found.verdict()}.** On {machine}. The same plans again, though never quite the same timing:
`make crash TRIALS={wanted} ARGS="--seed {found.seed}"`.

{table([*found.rows, found.total])}

{" ".join(remarks(found))}

{READING}
"""
