"""Actions and diagnoses of other distributions, by entry points of the groups `andon.actions` and `andon.diagnoses`.

Called by the composition root and by `andon check`; never at import. An entry point is named as its action is and leads
to an `Entry` (or `DiagnosisEntry`) of `remediations.kit`. What cannot be taken stops the start: an action that is
silently missing, or that breaks a law, would be found out in the middle of an incident. docs/actions.md is for authors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final, TypeVar

from bot.errors import ConfigError
from remediations import laws
from remediations.catalogue import CATALOGUE, ActionCatalogue
from remediations.kit import DiagnosisEntry, Entry

ACTIONS: Final = "andon.actions"
DIAGNOSES: Final = "andon.diagnoses"
MAX_QUOTED: Final = 300  # characters of somebody else's error in our message

T = TypeVar("T", Entry, DiagnosisEntry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Where something in the catalogue comes from, for `andon check --json`."""

    kind: str  # action or diagnosis
    name: str
    distribution: str
    version: str
    entry_point: str  # module:attribute


@dataclass(frozen=True, slots=True)
class Installed:
    """The whole catalogue, and what of it is not Andon's own."""

    catalogue: ActionCatalogue
    foreign: tuple[Foreign, ...] = ()


def installed() -> Installed:
    """Andon's own catalogue with everything that is installed beside it.

    Imports what other distributions registered. Raises ConfigError with every problem, one line each, naming the
    distribution and what to do.
    """
    return gathered(entry_points(group=ACTIONS), entry_points(group=DIAGNOSES))


def gathered(actions: Iterable[EntryPoint], diagnoses: Iterable[EntryPoint]) -> Installed:
    """The same from these entry points."""
    wrong: list[str] = []
    origins: list[Foreign] = []
    more = {entry.spec.name: entry for entry in _taken(actions, "action", Entry, wrong, origins)}
    looks = {entry.name: entry for entry in _taken(diagnoses, "diagnosis", DiagnosisEntry, wrong, origins)}
    if wrong:
        raise ConfigError("\n".join(wrong))
    return Installed(CATALOGUE.extended(more, looks), tuple(origins))


def _taken(
    points: Iterable[EntryPoint], kind: str, wanted: type[T], wrong: list[str], origins: list[Foreign]
) -> Iterator[T]:
    """What can be taken, in the order of names; the rest is told in `wrong`."""
    owners = dict.fromkeys(CATALOGUE.names() if kind == "action" else CATALOGUE.diagnoses(), "Andon itself")
    for point in sorted(points, key=lambda each: (each.name, _owner(each))):
        entry, problems = _loaded(point, kind, wanted)
        other = owners.setdefault(point.name, _owner(point))
        if other != _owner(point):
            problems = [f"{other} has {_article(kind)} of that name already; give it another"]
        wrong += [f"{_owner(point)} ({kind} {point.name} = {point.value}): {each}; {_fix(point)}" for each in problems]
        if entry is not None and not problems:
            origins.append(_origin(point, kind))
            yield entry


def _loaded(point: EntryPoint, kind: str, wanted: type[T]) -> tuple[T | None, list[str]]:
    """One entry point's entry, or what is wrong with it. A supervision point: somebody else's module runs here."""
    try:
        entry = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever somebody else's module does at import
        return None, [f"cannot be imported: {type(error).__name__}: {_bounded(error)}"]
    if not isinstance(entry, wanted):
        made = f"{type(entry).__module__}.{type(entry).__qualname__}"
        return None, [f"is a {made}; let it lead to an object made with remediations.kit.{wanted.__name__}(…)"]
    name = entry.spec.name if isinstance(entry, Entry) else entry.name
    if name != point.name:
        return None, [f"calls itself {str(name)[:MAX_QUOTED]!r}; name its entry point the same"]
    return entry, list(laws.of_action(entry) if isinstance(entry, Entry) else laws.of_diagnosis(entry))


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.module


def _origin(point: EntryPoint, kind: str) -> Foreign:
    name, version = (point.dist.name, point.dist.version) if point.dist is not None else (point.module, "")
    return Foreign(kind=kind, name=point.name, distribution=name, version=version, entry_point=point.value)


def _fix(point: EntryPoint) -> str:
    name = point.dist.name if point.dist is not None else point.module
    return f"ask who maintains {name}, or take it out: pip uninstall {name}"


def _article(kind: str) -> str:
    return f"an {kind}" if kind == "action" else f"a {kind}"


def _bounded(error: BaseException) -> str:
    return " ".join(str(error).split())[:MAX_QUOTED]
