"""The house as a whole: its rooms, its sizes, what it ships, and that its papers agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import bot
from remediations.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("bot", "handlers", "remediations", "policies")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_ACTION_LINES = 149  # one file holds one action: declaration, params, inspect, send, read_back
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"})
# Paths of somebody's own machine, and where somebody's own packages come from.
PRIVATE = re.compile(r"/(?:root|work|home/\w+|Users/\w+)/|--(?:extra-)?index-url|trusted-host")
TEXT_SUFFIXES = frozenset({".py", ".md", ".toml", ".yaml", ".yml", ".lua", ".json", ".svg", ".mmd", ".txt", ".html"})


def tracked() -> list[Path]:
    """Every file git keeps or would keep."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout; run the tests from a clone")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def modules() -> Iterator[Path]:
    return (path for path in tracked() if path.suffix == ".py")


@cache
def parsed(path: Path) -> ast.Module:
    """A module, read once."""
    return ast.parse(path.read_text())


def test_rooms_keep_their_order() -> None:
    """An import against the order of the rooms, or of a clock into a pure one, fails here."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules_fit_on_a_few_screens() -> None:
    """A module that outgrows 400 lines holds two ideas."""
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}
    assert {name: lines for name, lines in sizes.items() if lines > MAX_MODULE_LINES} == {}


def test_an_action_is_one_file_of_less_than_150_lines() -> None:
    """Whoever is to trust an action reads it whole; what several share has a module of its own."""
    files = {path.name: path.read_text() for path in (ROOT / "remediations").glob("*.py")}
    actions = {name: len(text.splitlines()) for name, text in files.items() if "\nENTRY = Entry(" in text}
    assert len(actions) == len(CATALOGUE.names())
    assert {name: lines for name, lines in actions.items() if lines > MAX_ACTION_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    """A function of a room that outgrows 50 lines cannot be read at a glance."""
    found = {}
    for path in modules():
        if path.relative_to(ROOT).parts[0] not in ROOMS:
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    found[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert found == {}


def test_modules_have_names_and_introductions() -> None:
    """Every module says what it does, and none is called `utils` or the like."""
    written = [path for path in modules() if path.read_text().strip()]
    mute = [str(path.relative_to(ROOT)) for path in written if not ast.get_docstring(parsed(path))]
    vague = [str(path.relative_to(ROOT)) for path in modules() if path.stem in VAGUE_NAMES]
    assert (mute, vague) == ([], [])


def test_nothing_private_is_in_the_tree() -> None:
    """No path of a developer's machine and no private package index is committed."""
    found = []
    for path in tracked():
        if path == Path(__file__) or not (path.suffix in TEXT_SUFFIXES or path.name in ("Makefile", "run")):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if PRIVATE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert found == []


def test_papers_agree_on_version_and_python() -> None:
    """README, CHANGELOG and pyproject.toml tell the same story."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = project["requires-python"].removeprefix(">=")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"Python >= {python}" in (ROOT / "README.md").read_text()
    assert re.search(rf"^## \[{re.escape(bot.__version__)}\]|will be {re.escape(bot.__version__)}\b", changelog, re.M)
    assert "## [Unreleased]" in changelog


def test_documented_make_targets_exist() -> None:
    """A `make x` in a page works."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        target
        for page in pages
        for code in re.findall(r"`([^`\n]+)`|^(make .*)$", page.read_text(), re.MULTILINE)
        for target in re.findall(r"^make ([a-z]+)", "".join(code))
    }
    assert {"demo", "test"} <= named
    assert named - targets == set()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel that users install."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_wheel_holds_what_the_program_reads(wheel: zipfile.ZipFile) -> None:
    """The store's scripts, configuration and schemas are package data; an installed Andon needs them to start."""
    held = set(wheel.namelist())
    needed = {
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.relative_to(ROOT).parts[0] in (*ROOMS, "configs") and "__pycache__" not in path.parts
    }
    assert any(name.endswith(".lua") for name in needed)
    assert any(name.startswith("configs/policies/") for name in needed)
    assert needed - held == set()


def test_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Tests, docs and deployment files stay out of site-packages."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {*ROOMS, "configs", f"andon-{bot.__version__}.dist-info"}


def test_wheel_has_its_command(wheel: zipfile.ZipFile) -> None:
    """`andon` is on the path after installation, and the licence comes along."""
    info = f"andon-{bot.__version__}.dist-info"
    assert "andon = bot.__main__:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert any(name.startswith(f"{info}/licenses/") for name in wheel.namelist())
