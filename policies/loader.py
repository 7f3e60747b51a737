"""From file texts to policies in force, or to every problem in them.

`load` is called by `andon check`, at start and at reload, with texts that the caller has read; it does no I/O. It never
stops at the first mistake: each file is read, validated and judged as far as it makes sense, and what is wrong comes
back sorted by file and line. The book exists only when nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from bot.core.action import Catalogue
from bot.core.words import Millis
from policies import lint_andon, lint_people, matchers, people, safe_yaml, targets
from policies.andon import UNROUTED, AndonDocument, WatchDoc
from policies.assembly import Assembly, Unsigned
from policies.book import PolicyBook, Watch
from policies.lint_evidence import Finding
from policies.models import StrictModel, validate
from policies.people import PeopleDocument
from policies.planning import Setting
from policies.problems import Problem, did_you_mean
from policies.safe_yaml import Document
from policies.targets import TargetsDocument

__all__ = ["Kind", "Loaded", "Problem", "Source", "Unsigned", "kind_of", "load"]

Kind: TypeAlias = Literal["policies", "targets", "people", "andon"]
M = TypeVar("M", bound=StrictModel)
_Read: TypeAlias = Document | Literal["unreadable"] | None  # None: no such file was given


@dataclass(frozen=True, slots=True)
class Source:
    """One file's text. `name` is what problems call it."""

    name: str
    text: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of the files. `book` is None exactly when there are problems."""

    book: PolicyBook | None
    targets: TargetsDocument
    people: PeopleDocument
    andon: AndonDocument
    problems: tuple[Problem, ...]
    waiting_for_signature: tuple[Unsigned, ...] = ()
    armed: tuple[tuple[str, str], ...] = ()  # (system, policy) that andon.yaml arms


def kind_of(name: str) -> Kind:
    """Which kind of file a file name means: andon, people and targets by name, all others are policies."""
    stem = name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    match stem:
        case "andon" | "people" | "targets":
            return stem
        case _:
            return "policies"


def load(sources: Sequence[Source], catalogue: Catalogue, *, now: Millis | None = None) -> Loaded:
    """Read everything. `now` decides which signatures still count; without it none does, and such steps ask."""
    problems: list[Problem] = []
    setup_at, setup = _single(sources, "andon", AndonDocument, lint_andon.mistakes, problems)
    persons_at, persons = _single(sources, "people", PeopleDocument, people.mistakes, problems)
    systems_at, systems = _single(sources, "targets", TargetsDocument, targets.mistakes, problems)
    readable = _is_readable(persons_at) and _is_readable(systems_at)
    assembly = Assembly(Setting.of(catalogue, systems, persons, now), judging=readable)
    for source in sources:
        if source.kind == "policies":
            document = safe_yaml.parse(source.name, source.text)
            problems += document.problems
            if not document.problems:
                assembly.add(document)
    problems += assembly.problems
    if isinstance(setup_at, Document):
        problems += _setup_problems(setup_at, setup, assembly, persons if readable else None)
    if isinstance(persons_at, Document) and _is_readable(systems_at):
        about = [*lint_people.rosters(persons, systems), *lint_people.built_in(persons)]
        about += lint_people.unread_groups(persons, setup) if isinstance(setup_at, Document) else ()
        problems += [persons_at.problem(path, message, fix) for path, message, fix in about]
    if not problems:
        problems += assembly.unheard()
    names = {UNROUTED, *setup.systems, *assembly.files()}
    book = (
        PolicyBook(assembly.systems(sorted(names)), persons, _watches(setup), assembly.streams, assembly.schedules)
        if not problems
        else None
    )
    armed: list[tuple[str, str]] = []
    if book is not None and isinstance(setup_at, Document):
        armed, wrong = _armed(setup_at, setup, book)
        problems += wrong
    found = tuple(sorted(set(problems)))
    return Loaded(book if not found else None, systems, persons, setup, found, tuple(assembly.unsigned), tuple(armed))


def _setup_problems(
    document: Document, setup: AndonDocument, assembly: Assembly, persons: PeopleDocument | None
) -> Iterable[Problem]:
    """What andon.yaml says that the other files do not bear out. `persons` None: nothing is known about them."""
    if setup.api.host and persons is not None and not any(person.api_token for person in persons.people):
        message = "the operators' API on TCP knows nobody: no person has an api_token"
        yield document.problem(("api", "host"), message, "add api_token: in people.yaml, or leave host out")
    yield from assembly.unlisted(setup.systems)


def _watches(setup: AndonDocument) -> list[Watch]:
    """The dead-men of andon.yaml, ready for matching."""
    return [_watch(document) for document in setup.watches]


def _watch(document: WatchDoc) -> Watch:
    read = [matchers.parse(text) for text in document.match]
    return Watch(
        name=document.name,
        system=document.system,
        matches=lambda labels: all(matcher.matches(labels) for matcher in read),
        within_ms=document.within,
        text="\n".join(map(str, read)),
    )


def _single(
    sources: Sequence[Source],
    kind: Kind,
    model: type[M],
    mistakes: Callable[[M], Iterable[Finding]],
    problems: list[Problem],
) -> tuple[_Read, M]:
    """The one document of a kind; an empty one where there is none or it is not to be trusted."""
    mine = [source for source in sources if source.kind == kind]
    for extra in mine[1:]:
        message = f"a second {kind} file, after {mine[0].name}"
        problems.append(Problem(extra.name, 1, "", message, "keep one of them"))
    if not mine:
        return None, model()
    document = safe_yaml.parse(mine[0].name, mine[0].text)
    problems += document.problems
    if document.problems:
        return "unreadable", model()
    read, wrong = validate(model, document, document.value)
    problems += wrong
    if read is None:
        return "unreadable", model()
    problems += [document.problem(path, message, fix) for path, message, fix in mistakes(read)]
    return document, read


def _is_readable(read: _Read) -> bool:
    """False when a file was given but nothing can be said about what is in it."""
    return read != "unreadable"


def _armed(document: Document, setup: AndonDocument, book: PolicyBook) -> tuple[list[tuple[str, str]], list[Problem]]:
    """The policies that andon.yaml arms, as (system, policy), and entries that name none."""
    known = [(plan.system, plan.policy) for plan in book.policies()]
    armed: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for index, entry in enumerate(setup.armed):
        system, _, policy = entry.rpartition("/")
        found = [pair for pair in known if pair[1] == policy and system in {"", pair[0]}]
        if len(found) == 1:
            armed.append(found[0])
            continue
        at = ("armed", index)
        if found:
            options = " or ".join(f"{s}/{p}" for s, p in found)
            problems.append(document.problem(at, f"several systems have a policy {policy!r}", f"write {options}"))
        else:
            fix = did_you_mean(policy, {p for _, p in known}, "`andon check` lists the policies")
            problems.append(document.problem(at, f"no policy named {entry!r}", fix))
    return armed, problems
