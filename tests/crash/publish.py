"""The crash matrix's part of docs/reliability.md, written between two markers by `python -m tests.crash --publish`."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from tests.crash.tally import Tally, remarks, table

BEGIN, END = "<!-- crash:begin -->", "<!-- crash:end -->"
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
    """What stands there: how it was measured, how to repeat it, the table."""
    machine = f"{os.cpu_count()} processors shared with other work, Python {platform.python_version()}"
    return f"""
**{found.verdict()}.** On {machine}; seed and plans are the same again with
`make crash TRIALS={wanted} ARGS="--seed {found.seed}"`, the processes' timing never is quite.

{table([*found.rows, found.total])}

{" ".join(remarks(found))}
"""
