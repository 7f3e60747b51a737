"""Conditions: guards, verifications and health, written in CEL.

`compile` runs at load (lint, planning): it parses, checks every path against what is declared, and tries the condition
once. `weigh` runs at dispatch, on fresh readings, and answers with a verdict in words. A verdict without an answer
(`holds` None) is what law 6 calls a guard that cannot be evaluated; it is never taken for yes or no.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import cel

from bot.core.reading import Reading
from policies import condition_syntax as syntax
from policies.condition_syntax import Apply, Compare, Literal, Logic, Node, PathNode
from policies.problems import UnclearError, did_you_mean

# Compiling takes 40 us a comparison, weighing 20; memoised because the same text always gives the same condition.
# 10,000 policies with a guard and a verification each would fill 40 MB, so the least used are forgotten.
MAX_COMPILED = 4_096

_Scalar: TypeAlias = float | str | bool | None
_Scope: TypeAlias = dict[str, dict[str, _Scalar]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`holds` None: it cannot be told, and `why` says for want of what. Otherwise `why` has the figures."""

    holds: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that parsed: its text, its tree, and the readings and labels it looks at."""

    text: str
    tree: Node
    evidence: tuple[str, ...]
    labels: tuple[str, ...]
    programs: Mapping[str, cel.Program] = field(repr=False, compare=False)  # of the whole and of each comparison in it


@lru_cache(maxsize=MAX_COMPILED)
def compile(text: str) -> Condition:
    """Read a condition. Raises UnclearError when it is not one; what it refers to is not judged here."""
    tree = syntax.parse(text)
    if not syntax.is_condition(tree):
        raise UnclearError(f"{text.strip()} is not true or false", "compare it with something, like evidence.var > 1.8")
    found = syntax.paths(tree)
    if not found:
        raise UnclearError(f"{text.strip()} looks at nothing, so it never changes", "name evidence.NAME or labels.NAME")
    programs = {}
    for part in (text, *(node.text for node in (*_leaves(tree), *_sums(tree)))):
        try:
            programs[part] = cel.compile(part)
        except ValueError as error:
            raise UnclearError(f"{part} is not valid CEL: {_first_sentence(error)}") from error
    condition = Condition(text, tree, _names(found, "evidence"), _names(found, "labels"), programs)
    _try(condition)
    return condition


def check(condition: Condition, evidence: Collection[str], labels: Collection[str]) -> tuple[UnclearError, ...]:
    """Paths that lead nowhere: readings that are not declared, labels that are not known."""
    wrong = [
        UnclearError(f"evidence.{name} is not declared", did_you_mean(name, evidence, _declared(evidence)))
        for name in condition.evidence
        if name not in evidence
    ]
    wrong += [
        UnclearError(
            f"labels.{name} is not a label that every alert of the incident shares",
            did_you_mean(name, labels, f"match on it, add it to group_by, or use one of: {', '.join(sorted(labels))}"),
        )
        for name in condition.labels
        if name not in labels
    ]
    return tuple(wrong)


def weigh(text: str, readings: Sequence[Reading], labels: Mapping[str, str]) -> Verdict:
    """Weigh a condition on readings and the incident's labels. Never raises."""
    try:
        condition = compile(text)
    except UnclearError as error:
        return Verdict(None, str(error))
    known = {reading.name: reading for reading in readings}
    values: dict[str, _Scalar] = {}
    for name in condition.evidence:
        reading = known.get(name)
        if reading is None:
            return Verdict(None, f"there is no reading of {name}")
        if reading.error or reading.value is None:
            return Verdict(None, f"{name}: {reading.error or 'no value'}")
        value = reading.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = float(value)
            if not math.isfinite(value):
                return Verdict(None, f"{name} is {value}, which is no figure to act on")
        values[name] = value
    for name in condition.labels:
        if name not in labels:
            return Verdict(None, f"the incident's alerts do not share one value of the label {name}")
    scope: _Scope = {"evidence": values, "labels": dict(labels)}
    for part in _sums(condition.tree):
        if (figure := _figure(condition, part.text, scope)) is not None and not math.isfinite(figure):
            return Verdict(None, f"{_spell(part, scope)} is {figure}, which is no figure to act on")
    holds, problem = _evaluate(condition, text, scope)
    if holds is None:
        return Verdict(None, problem)
    return Verdict(holds, _explain(condition, condition.tree, scope))


def _names(found: Sequence[PathNode], root: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p.name for p in found if p.root == root))


def _declared(evidence: Collection[str]) -> str:
    return f"declared: {', '.join(sorted(evidence))}" if evidence else "declare it under evidence:"


def _first_sentence(error: Exception) -> str:
    return str(error).split("\n")[0].split(". ")[0]


def _evaluate(condition: Condition, text: str, scope: _Scope) -> tuple[bool | None, str]:
    """CEL's answer for the condition or one comparison in it, or why there is none."""
    try:
        result = condition.programs[text].execute(scope)
    except (ValueError, TypeError, KeyError, RuntimeError, ArithmeticError) as error:
        return None, f"{text} cannot be evaluated: {_first_sentence(error)}"
    if isinstance(result, bool):
        return result, ""
    return None, f"{text} gives {result!r}, not true or false"


def _figure(condition: Condition, text: str, scope: _Scope) -> float | None:
    """What a sum comes to; None when it has no value (then the comparison it is part of has none either)."""
    try:
        result = condition.programs[text].execute(scope)
    except (ValueError, TypeError, KeyError, RuntimeError, ArithmeticError):
        return None
    return result if isinstance(result, float) else None


def _try(condition: Condition) -> None:
    """Evaluate once on made-up values of the kinds the condition expects; a type error now is one at 03:00."""
    scope: _Scope = {"evidence": dict.fromkeys(condition.evidence, 1.5), "labels": dict.fromkeys(condition.labels, "1")}
    for node in syntax.walk(condition.tree):
        for path, value in _expectations(node):
            if path.root == "evidence":
                scope["evidence"][path.name] = value
    for leaf in _leaves(condition.tree):
        holds, problem = _evaluate(condition, leaf.text, scope)
        if holds is None:
            raise UnclearError(problem, "compare numbers with numbers (1.0, not 1, in sums) and text with text")


def _expectations(node: Node) -> list[tuple[PathNode, _Scalar]]:
    """Which kind of value a path is used as, where the tree shows it; numbers are the default."""
    match node:
        case Compare(left=PathNode() as path, right=Literal(value=str() | bool() as value)):
            return [(path, value)]
        case Compare(right=PathNode() as path, left=Literal(value=str() | bool() as value)):
            return [(path, value)]
        case Compare(
            operator="in", left=PathNode() as path, right=syntax.Items(parts=(Literal(value=str() as value), *_))
        ):
            return [(path, value)]
        case Apply(name=name, parts=parts) if name in syntax.METHODS or name == "size":
            return [(part, "1") for part in parts if isinstance(part, PathNode)]
        case _:
            return []


def _leaves(node: Node) -> list[Node]:
    if isinstance(node, Logic):
        return [leaf for part in node.parts for leaf in _leaves(part)]
    return [node]


def _sums(node: Node) -> list[Node]:
    """The outermost arithmetic in the comparisons; dividing by a reading of zero gives infinity, not an error."""
    if isinstance(node, Apply) and node.name in _ARITHMETIC:
        return [node]
    match node:
        case Compare():
            return [*_sums(node.left), *_sums(node.right)]
        case Logic() | Apply() | syntax.Items():
            return [found for part in node.parts for found in _sums(part)]
        case _:
            return []


_ARITHMETIC = frozenset("+-*/%") | {"negate"}


def _explain(condition: Condition, node: Node, scope: _Scope) -> str:
    """The condition in words, with the figures: ``var 2.31 > 1.8``, ``var 1.42 is not > 1.8``."""
    match node:
        case Logic(operator="!", parts=(inner,)):
            return _explain(condition, inner, scope)  # what it says are facts; negating them again would mislead
        case Logic(operator=operator, parts=parts):
            joint = " and " if operator == "&&" else " or "
            return joint.join(
                f"({t})" if isinstance(p, Logic) else t for p in parts if (t := _explain(condition, p, scope))
            )
        case Compare(operator=operator, left=left, right=right):
            holds, _ = _evaluate(condition, node.text, scope)
            words = "is in" if operator == "in" else operator
            if holds is None:
                return f"{_spell(left, scope)} {words} {_spell(right, scope)} cannot be told"
            if not holds:
                words = "is not in" if operator == "in" else f"is not {operator}"
            return f"{_spell(left, scope)} {words} {_spell(right, scope)}"
        case Apply(name=name, parts=(receiver, argument)) if name in syntax.METHODS:
            holds, _ = _evaluate(condition, node.text, scope)
            verb = _VERBS[name] if holds else f"not {_VERBS[name]}"
            return f"{_spell(receiver, scope)} {verb} {_spell(argument, scope)}"
        case _:
            return _spell(node, scope)


_VERBS = {"contains": "containing", "startsWith": "starting with", "endsWith": "ending in", "matches": "matching"}


def _spell(node: Node, scope: _Scope) -> str:
    if isinstance(node, PathNode):
        value = scope[node.root][node.name]
        return f"{node.name} {value:g}" if isinstance(value, float) else f"{node.name} {value!r}"
    if isinstance(node, Literal | syntax.Items):
        return node.text
    found = ", ".join(_spell(path, scope) for path in syntax.paths(node))
    return f"{node.text} ({found})" if found else node.text
