"""Finding the policies an alert could match without asking all of them.

Every policy is filed under the one equality matcher that the fewest policies share (`alertname` when in doubt), so an
alert looks only at the few policies filed under its own label values and at those that could not be filed.
Built by `policies.book`; the cost with 10,000 policies is that with 10.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

from bot.core.plan import Plan
from policies.matchers import Matcher


@dataclass(frozen=True, slots=True)
class Entry:
    """A policy as matching sees it. `order` is its place in the file; `matchers` what is still to be asked."""

    order: int
    plan: Plan
    matchers: tuple[Matcher, ...]
    group_by: tuple[str, ...] = ()
    goes_on: bool = False  # `continue: true`


class Index:
    """Immutable once built."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        shared = Counter(key for entry in entries for key in _keys(entry))
        filed: dict[str, dict[str, list[Entry]]] = {}
        unfiled: list[Entry] = []
        for entry in entries:
            matcher = _rarest(entry, shared)
            if matcher is None:
                unfiled.append(entry)
                continue
            rest = Entry(entry.order, entry.plan, _without(entry, matcher), entry.group_by, entry.goes_on)
            for value in matcher.any_of or ():
                filed.setdefault(matcher.name, {}).setdefault(value, []).append(rest)
        self._filed = tuple(filed.items())
        self._unfiled = unfiled

    def matching(self, labels: Mapping[str, str]) -> Iterator[Entry]:
        """The entries whose matchers all hold, in file order, up to and including the first that does not go on."""
        for entry in self._candidates(labels):
            for matcher in entry.matchers:
                if not matcher.matches(labels):
                    break
            else:
                yield entry
                if not entry.goes_on:
                    return

    def _candidates(self, labels: Mapping[str, str]) -> Iterable[Entry]:
        found = [self._unfiled] if self._unfiled else []
        for name, by_value in self._filed:
            entries = by_value.get(labels.get(name, ""))
            if entries is not None:
                found.append(entries)
        if not found:
            return ()
        return found[0] if len(found) == 1 else sorted(chain.from_iterable(found), key=attrgetter("order"))


def _keys(entry: Entry) -> Iterator[tuple[str, str]]:
    for matcher in entry.matchers:
        if _is_fileable(matcher):
            for value in matcher.any_of or ():
                yield matcher.name, value


def _is_fileable(matcher: Matcher) -> bool:
    return matcher.any_of is not None and matcher.operator in {"=", "=~"}


def _rarest(entry: Entry, shared: Counter[tuple[str, str]]) -> Matcher | None:
    """The matcher that leaves the fewest other policies to look at."""
    return min(
        filter(_is_fileable, entry.matchers),
        key=lambda m: (max(shared[m.name, v] for v in m.any_of or ()), m.name != "alertname"),
        default=None,
    )


def _without(entry: Entry, matcher: Matcher) -> tuple[Matcher, ...]:
    return tuple(m for m in entry.matchers if m is not matcher)
