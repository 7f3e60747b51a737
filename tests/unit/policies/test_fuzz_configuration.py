"""Any text in any configuration file: policies in force, or problems that name a file and a line; never anything else.

Grown from the files that ship, line by line, so that what is odd stands where a reader expects sense.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies.loader import Kind, Loaded, Source, kind_of, load
from policies.problems import MAX_TEXT
from remediations.catalogue import CATALOGUE
from tests.unit.fuzzing import examples

ROOT = Path(__file__).resolve().parents[3]
CORPUS = ROOT / "tests/fixtures/corpora/configuration"
SHIPPED = tuple(
    Source(path.relative_to(ROOT).as_posix(), path.read_text(), kind_of(path.name))
    for path in sorted([*(ROOT / "configs").glob("*.yaml"), *(ROOT / "configs/policies").glob("*.yaml")])
)
WORDS = (
    "!!python/object/apply:os.system [id]",
    "&a [*a]",
    "*a",
    "{<<: {a: 1}}",
    "!!binary aGk=",
    "0x10",
    "1e999",
    ".nan",
    "-.inf",
    "010",
    "1_000",
    "9" * 30,
    "yes",
    "null",
    "''",
    "[]",
    "{}",
    "[[[[[[[[]]]]]]]]",
    "{a: {b: {c: {}}}}",
    "|",
    ">-",
    "%",
    "@x",
    "`",
    "'\\0'",
    '"\\ud800"',
    '"\\x00"',
    '"\\n"',
    "${labels.x}",
    "${labels.x",
    "evidence.var >",
    'a=~"("',
    'a=~"(a+)+$"',
    "30m",
    "2y",
    "http://169.254.169.254/latest",
    "redis://",
    "file:///etc/passwd",
    "2026-02-31T00:00:00Z",
    "../../etc/passwd",
    "-",
    "? a",
    "x" * 3_000,
)
KEYS = (
    "policies",
    "system",
    "name",
    "match",
    "plan",
    "with",
    "guard",
    "verify",
    "until",
    "evidence",
    "ladder",
    "allow",
    "url",
    "a",
    "<<",
)
LINE_END = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  # https://yaml.org/spec/1.1/#b-char
LIMIT_SECONDS = 2.0  # of one reading; the shipped files take 20 ms


@st.composite
def near_misses(draw: st.DrawFn) -> tuple[Source, ...]:
    """The shipped files with a few lines of one of them changed, doubled, moved, indented, or taken out."""
    which = draw(st.integers(0, len(SHIPPED) - 1))
    lines = SHIPPED[which].text.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[at].partition(":")
        match draw(st.sampled_from(["value", "value", "value", "key", "drop", "double", "indent", "move", "junk"])):
            case "value" if colon:
                lines[at] = f"{key}: {draw(st.sampled_from(WORDS))}"
            case "key" if colon:
                lines[at] = lines[at].replace(key.strip(" -"), draw(st.sampled_from(KEYS)), 1)
            case "drop":
                lines[at] = ""
            case "double":
                lines.insert(at, lines[at])
            case "indent":
                lines[at] = draw(st.sampled_from(["  ", "\t", "- ", " "])) + lines[at]
            case "move":
                lines.insert(at, lines.pop(draw(st.integers(0, len(lines) - 1))))
            case _:
                lines[at] = draw(st.text(max_size=20))
    changed = Source(SHIPPED[which].name, "\n".join(lines), SHIPPED[which].kind)
    return (*SHIPPED[:which], changed, *SHIPPED[which + 1 :])


def judge(sources: tuple[Source, ...]) -> Loaded:
    """What comes of the files; what is promised about problems is checked, and whatever is raised is raised."""
    began = time.process_time()
    loaded = load(sources, CATALOGUE, now=1_767_225_600_000)
    assert time.process_time() - began < LIMIT_SECONDS
    lines = {source.name: len(LINE_END.split(source.text)) for source in sources}
    for problem in loaded.problems:
        assert 1 <= problem.line <= lines[problem.source] + 1
        assert problem.message
        assert max(len(problem.path), len(problem.message), len(problem.fix)) <= MAX_TEXT
    assert (loaded.book is None) == bool(loaded.problems)
    return loaded


def test_the_shipped_files_are_the_ground() -> None:
    """What the near misses are near to is in force."""
    assert judge(SHIPPED).problems == ()


@examples(25, weight=10)
@given(near_misses())
def test_every_file_is_a_document_or_problems_with_their_line(sources: tuple[Source, ...]) -> None:
    """Whatever a line says: a book, or problems."""
    judge(sources)


@examples(30)
@given(st.sampled_from(get_args(Kind)), st.text(max_size=120))
@example("andon", "\x85")
@example("policies", "0:\r0")
@example("people", "people: [{id: \ud800}]")
@example("targets", "systems: {a: {components: [{name: x, connector: http, url: 'http://[::'}]}}")
def test_any_text_of_any_kind_is_read_or_refused(kind: Kind, text: str) -> None:
    """A file alone, of any kind."""
    judge((Source(f"{kind}.yaml", text, kind),))


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_bombs_and_traps_are_refused_quickly_in_every_kind_of_file(path: Path) -> None:
    """Nothing grows, nothing runs, nothing takes long; the first problem has its line."""
    for kind in get_args(Kind):
        loaded = judge((Source(path.name, path.read_text(encoding="utf-8", errors="surrogateescape"), kind),))
        assert loaded.book is None
