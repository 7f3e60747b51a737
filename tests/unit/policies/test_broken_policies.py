"""Broken policy files: each gets one clear error with file, line, path and fix — never a traceback, never two."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.action import Catalogue
from policies.loader import Loaded, Source, load
from remediations.catalogue import CATALOGUE

BROKEN = Path(__file__).parents[2] / "fixtures" / "broken"
CONFIGS = Path(__file__).parents[3] / "configs"
NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z

# file -> (line, path, part of the message, part of the fix)
EXPECTED = {
    "01-duplicate-key": (7, "policies[0].mode", "'mode' is here twice (first on line 6)", "keep one"),
    "02-alias": (8, "policies[0].channel", "alias *page is not allowed", "write the value out"),
    "03-implicit-boolean": (
        11,
        "policies[0].plan[0].with.reason",
        "unquoted no is a boolean to some",
        'quote it: "no"',
    ),
    "04-non-finite-number": (
        11,
        "policies[0].plan[0].with.kelly_fraction",
        ".nan is not a finite number",
        "write a number",
    ),
    "05-second-document": (14, "", "a second document starts here", "one document per file"),
    "06-custom-tag": (6, "policies[0].mode", "python/name:os.system is not allowed", "remove it"),
    "07-unknown-key": (12, "policies[0].plan[0].gaurd", "unknown key 'gaurd'", "did you mean guard?"),
    "08-not-yet-available": (15, "policies[0].ladder[0].run", "'run': not available yet", "page somebody"),
    "09-duration-without-unit": (13, "policies[0].plan[0].verify.within", "90 has no unit", "90s"),
    "10-bad-matcher": (5, "policies[0].match[0]", "no =, !=, =~ or !~ after 'alertname'", 'alertname="VaRBreach"'),
    "11-bad-expression-in-matcher": (5, "policies[0].match[1]", "not valid RE2: missing )", "re2"),
    "12-unknown-action": (10, "policies[0].plan[0].action", "no action named 'risk.reduce_kely'", "risk.reduce_kelly?"),
    "13-bad-argument": (11, "policies[0].plan[0].with.kelly_fraction", "valid number", "0 to 1"),
    "14-undeclared-reading": (12, "policies[0].plan[0].guard", "evidence.vra is not declared", "did you mean var?"),
    "15-not-a-condition": (12, "policies[0].plan[0].guard", "evidence.var is not true or false", "compare it"),
    "16-no-hysteresis": (13, "policies[0].plan[0].verify.until", "no hysteresis", "leave a gap in evidence.var"),
    "17-number-from-a-label": (
        11,
        "policies[0].plan[0].with.kelly_fraction",
        "is a number, and labels.symbol",
        "write the",
    ),
    "18-unknown-label": (11, "policies[0].plan[0].with.reason", "label 'symbl' is not known", "did you mean symbol?"),
    "19-lowered-risk": (12, "policies[0].plan[0].risk", "raise a risk, not lower it", "pre_authorised"),
    "20-signed-by-nobody": (17, "pre_authorised[0].by", "'demo-oncal' is nobody", "did you mean demo-oncall?"),
    "21-unreachable-policy": (15, "policies[1].match", "'var-breach' comes before it", "move it up"),
    "22-syntax": (6, "", "a flow sequence that starts on line 5", "quotes"),
    "23-undated-reading": (8, "policies[0].evidence.var", "needs at_field", "shown to be fresh"),
    "24-below-the-floor": (11, "policies[0].plan[0].with.kelly_fraction", "0.01 is below its floor 0.05", "never"),
    "25-acts-blind-without-lowering": (
        12,
        "policies[0].plan[0].on_no_evidence",
        "does not lower exposure",
        "write ask",
    ),
    "26-resolves-on-silence": (7, "policies[0].evidence", "would resolve on silence", "add healthy: CONDITION"),
}


def load_broken(name: str, catalogue: Catalogue) -> Loaded:
    shipped = [
        Source(n, (CONFIGS / n).read_text(), k) for n, k in (("people.yaml", "people"), ("targets.yaml", "targets"))
    ]  # type: ignore[arg-type]
    return load(
        [*shipped, Source(f"{name}.yaml", (BROKEN / f"{name}.yaml").read_text(), "policies")], catalogue, now=NOW
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_a_broken_file_gets_one_clear_error(name: str) -> None:
    """The error names the line to open, what is wrong there, and what to write instead."""
    loaded = load_broken(name, CATALOGUE)
    line, path, message, fix = EXPECTED[name]
    assert loaded.book is None
    (problem,) = loaded.problems
    assert (problem.source, problem.line, problem.path) == (f"{name}.yaml", line, path)
    assert message in problem.message
    assert fix in problem.fix
    assert str(problem).startswith(f"{name}.yaml:{line}: ")


def test_every_broken_file_is_expected() -> None:
    """A fixture without an expectation tests nothing."""
    assert {file.stem for file in BROKEN.glob("*.yaml")} == set(EXPECTED)
