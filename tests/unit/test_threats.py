"""The threat table names a test for every defence; each of them exists, and no row is without one."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/security.md"
DEFINED = re.compile(r"^(?:async )?def (\w+)\(", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions_in(file: str) -> frozenset[str]:
    """The names of the functions of a module."""
    path = ROOT / file
    return frozenset(DEFINED.findall(path.read_text())) if path.is_file() else frozenset()


def rows() -> list[str]:
    """The rows of every table that has a column of tests."""
    found, inside = [], False
    for line in PAGE.read_text().splitlines():
        if line.startswith("|") and line.rstrip(" |").endswith("| test"):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            found.append(line)
    return found


def test_every_named_test_exists() -> None:
    """A defence whose test was renamed or taken away is a claim without proof."""
    named = TEST.findall(PAGE.read_text())
    assert len(named) > 40
    assert [f"{file}::{name}" for file, name in named if name not in functions_in(file)] == []


def test_every_threat_names_a_test() -> None:
    """What nothing proves belongs under "What is not defended"."""
    assert len(rows()) > 30
    assert [row for row in rows() if not TEST.search(row)] == []
    assert [row for row in rows() if row.count("|") != 4] == [], "a row has three columns"
