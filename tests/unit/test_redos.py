"""No text makes an expression take for ever: matchers and conditions by their engines, our own patterns by measure."""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
import re
import time
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest

import bot
import handlers
import policies
import remediations
from bot.core.reading import Reading
from handlers.webhook import MAX_VALUE
from policies import expressions, matchers
from policies.problems import UnclearError

CATASTROPHES = (  # each takes exponential or high polynomial time where an engine tries one way after another
    "(a+)+$",
    "(a|a)+$",
    "(a|aa)+$",
    "(.*a){20}",
    "([a-z]+)*$",
    "(a?){60}a{60}",
    "(x+x+)+y",
    r"^(\w+\s?)*$",
    r"(.*)*=(.*)*;",
    "((a{0,9}){0,9}){0,9}b",
)
LABELS = ("a" * (MAX_VALUE - 1) + "!", "x" * MAX_VALUE, "a " * (MAX_VALUE // 2), "\u00e9" * MAX_VALUE)
QUICK_SECONDS = 0.5  # for all labels together; an exponential engine needs centuries, a quadratic one seconds


@pytest.mark.parametrize("expression", CATASTROPHES)
def test_no_matcher_takes_for_ever(expression: str) -> None:
    """RE2 answers in time linear in the label, or says at load that it does not take the expression."""
    try:
        matcher = matchers.parse(f'x=~"{expression}"'.replace("\\", "\\\\"))
    except UnclearError:
        return
    began = time.process_time()
    for label in LABELS:
        matcher.matches({"x": label})
    assert time.process_time() - began < QUICK_SECONDS


@pytest.mark.parametrize("expression", CATASTROPHES)
def test_no_condition_takes_for_ever(expression: str) -> None:
    """Nor does CEL's `matches`, on labels and on readings."""
    began = time.process_time()
    for label in LABELS:
        text = f"evidence.r.matches('{expression}')".replace("\\", "\\\\")
        expressions.weigh(text, [Reading(name="r", value=label, taken_at=1)], {})
        expressions.weigh(text.replace("evidence.r", "labels.x"), [], {"x": label})
    assert time.process_time() - began < QUICK_SECONDS


Pattern: TypeAlias = re.Pattern[str] | re.Pattern[bytes]
ASKED = "match|search|fullmatch|sub|findall|finditer|split"


def our_patterns() -> Iterator[tuple[str, Pattern, tuple[str, ...]]]:
    """Every pattern that a module of ours keeps: its name, itself, and what its module asks of it."""
    for room in (bot, handlers, policies, remediations):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if module.name.rsplit(".", 1)[-1] == "__main__":
                continue
            loaded = importlib.import_module(module.name)
            for name, value in vars(loaded).items():
                if isinstance(value, re.Pattern):
                    asked = set(re.findall(rf"\b{name}\.({ASKED})\(", inspect.getsource(loaded)))
                    yield f"{module.name}.{name}", value, tuple(sorted(asked)) or ("match",)


PIECES = (
    "a",
    "0",
    " ",
    "\t",
    "_",
    "-",
    ".",
    ":",
    "/",
    "|",
    "\\",
    '"',
    "'",
    "`",
    "{",
    "[",
    "(",
    "$",
    "${",
    "$${",
    "\x1b[",
    "\x1b]",
    "a.",
    "a:",
    "0.",
    "0e",
    "a|",
    "ab ",
    "0x",
    "-a",
    ":a",
    "a=",
    "http://",
    "ip=",
    "1,",
    '\\"',
    "é",
    "\n",
    "{}",
    "inc-",
    "ld-",
    "python3.",
)
SIZE = 8_000  # characters; what is linear takes 0.0003 s for them
FEW = (16, 20, 24)  # characters; what doubles its time with each of them is caught before it takes a second
OWN_TEXT = {  # what is asked only of texts that the configuration holds
    "bot.adapters.evidence_promql._TOKEN": "a policy's query; labels in it are escaped before and stay in strings",
    "policies.chosen_code._VERSION": "the name of a program that targets.yaml allows",
}
SLOW_SECONDS = 0.005
GROWS = 8.0  # times as long for four times as many characters: 4 is linear, 16 quadratic
HEADS = ("", '"', "${", "[", "`", "{{", "\\")  # what opens something that the pieces then fill
TAILS = ("!", "\n")


def cost(pattern: Pattern, asked: tuple[str, ...], text: str) -> float:
    """CPU seconds of asking all of it once."""
    subject = text.encode() if isinstance(pattern.pattern, bytes) else text
    began = time.process_time()
    for how in asked:
        question: Any = getattr(pattern, how)
        found = question(pattern.pattern[:0], subject) if how == "sub" else question(subject)
        if how == "finditer":
            list(found)
    return time.process_time() - began


def is_slow(pattern: Pattern, asked: tuple[str, ...], head: str, piece: str, tail: str) -> bool:
    """Whether it takes long, every time, and longer and longer; at once where a few characters take long already."""

    def text(size: int) -> str:
        return head + (piece * size)[:size] + tail

    def quickest(size: int) -> float:
        return min(cost(pattern, asked, text(size)) for _ in range(3))

    if any(cost(pattern, asked, text(size)) > SLOW_SECONDS and quickest(size) > SLOW_SECONDS for size in FEW):
        return True  # exponential: of more it would not come back
    if cost(pattern, asked, text(SIZE)) < SLOW_SECONDS:
        return False
    long = quickest(SIZE)
    return long > SLOW_SECONDS and long > GROWS * quickest(SIZE // 4)


def slow_texts(pattern: Pattern, asked: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Every (head, piece, tail) that it is slow on."""
    texts = itertools.product(HEADS, PIECES, TAILS)
    return ((head, piece, tail) for head, piece, tail in texts if is_slow(pattern, asked, head, piece, tail))


def test_our_own_patterns_are_linear() -> None:
    """Python's engine tries one way after another, so no pattern of ours may have two ways for the same text."""
    patterns = list(our_patterns())
    assert len(patterns) > 30
    slow = {name: found for name, pattern, asked in patterns if name not in OWN_TEXT
            if (found := next(slow_texts(pattern, asked), None)) is not None}  # fmt: skip
    assert slow == {}
