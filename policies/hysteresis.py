"""Whether a verification leaves room between "too high" and "well again".

A step whose `until` can hold while its guard still holds would call a breach mended; one that begins exactly where the
guard ends would flap. Lint asks `overlap` for every step that has both. Judged are simple comparisons of one reading
with a number, joined by ``&&``; anything cleverer is left to its author.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from policies.condition_syntax import Compare, Literal, Logic, Node, PathNode

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "=="}


@dataclass(frozen=True, slots=True)
class _Range:
    """Closed on both ends: touching ranges leave no room either."""

    low: float
    high: float

    def meet(self, other: _Range) -> _Range:
        return _Range(max(self.low, other.low), min(self.high, other.high))


def overlap(guard: Node, until: Node) -> str:
    """The reading for which both can hold at once (or meet without room), or "" when none is found."""
    trigger, calm = _ranges(guard), _ranges(until)
    shared = [name for name in trigger if name in calm]
    if not shared:
        return ""
    for name in shared:
        both = trigger[name].meet(calm[name])
        if both.low > both.high:
            return ""  # one reading keeps them apart, so they never hold together
    return shared[0]


def _ranges(node: Node) -> dict[str, _Range]:
    """For each reading, the numbers the condition allows; only what every `&&` part says for sure."""
    out: dict[str, _Range] = {}
    for part in node.parts if isinstance(node, Logic) and node.operator == "&&" else (node,):
        simple = _simple(part)
        if simple is not None:
            name, allowed = simple
            out[name] = out.get(name, _Range(-math.inf, math.inf)).meet(allowed)
    return out


def _simple(node: Node) -> tuple[str, _Range] | None:
    match node:
        case Compare(operator=op, left=PathNode(root="evidence", name=name), right=Literal(value=float() as bound)):
            pass
        case Compare(
            operator=flipped, left=Literal(value=float() as bound), right=PathNode(root="evidence", name=name)
        ):
            op = _FLIPPED.get(flipped, flipped)
        case _:
            return None
    match op:
        case "<" | "<=":
            return name, _Range(-math.inf, bound)
        case ">" | ">=":
            return name, _Range(bound, math.inf)
        case "==":
            return name, _Range(bound, bound)
        case _:
            return None
