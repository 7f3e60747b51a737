"""The documentation's examples are read by the program they describe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies.loader import Source, load
from remediations.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)\s]*)?\)")
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def policy_examples() -> list[str]:
    blocks = YAML_BLOCK.findall((ROOT / "docs/policies.md").read_text())
    return [block for block in blocks if block.startswith("system:")]


def test_policies_page_has_examples() -> None:
    """The next test has something to read."""
    assert len(policy_examples()) >= 2


@pytest.mark.parametrize("number", range(len(policy_examples())))
def test_policy_examples_load_without_problems(number: int) -> None:
    """A policy copied from the language reference passes `andon check` beside the shipped people and targets."""
    sources = [
        Source("example.yaml", policy_examples()[number], "policies"),
        Source("targets.yaml", (ROOT / "configs/targets.yaml").read_text(), "targets"),
        Source("people.yaml", (ROOT / "configs/people.yaml").read_text(), "people"),
    ]
    assert load(sources, CATALOGUE).problems == ()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    """A link inside the repository leads to a file that exists."""
    dead = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert dead == []
