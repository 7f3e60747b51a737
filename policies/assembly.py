"""Policy files, put together per trading system: shape, lint, plan, and the order in which they match.

`policies.loader` adds every parsed policy file and takes the finished systems; problems gather on the way. A policy
whose shape is wrong does not hide what is wrong with its neighbours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations

from bot.core.plan import Plan
from bot.core.words import severity_of, severity_rank
from policies import lint, lint_people, lint_sources, matchers, planning
from policies.book import CatchAll, SystemPolicies, built_in
from policies.document import CatchAllDoc, PolicyDoc, PolicyFile
from policies.index import Entry, Index
from policies.lint_evidence import Finding
from policies.models import validate
from policies.planning import CATCH_ALL, ORDER, Setting
from policies.problems import Path, Problem, did_you_mean
from policies.safe_yaml import Document
from policies.sources import Schedule, ScheduleDoc, StreamDoc, StreamSource

MAX_SUBSETS = 6  # matchers of one policy whose subsets are compared with earlier policies: 64 look-ups


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A pre-authorisation that waits for a signature (or whose signature has ended): its action asks instead."""

    source: str
    line: int
    system: str
    policy: str
    action: str
    reason: str
    why: str


@dataclass(slots=True)
class _System:
    """One system's policies while they are being read, possibly from several files."""

    seen: dict[str, str] = field(default_factory=dict)  # policy name -> "file:line" of its first appearance
    entries: list[Entry] = field(default_factory=list)
    taken: dict[frozenset[str], str] = field(default_factory=dict)  # matchers of policies that end matching -> name
    catch_all: CatchAll | None = None
    catch_all_at: str = ""
    sources: dict[tuple[str, str], str] = field(default_factory=dict)  # (streams or schedules, name) -> "file:line"
    raised: list[_Raised] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Raised:
    """An alert that a source of ours raises: where it is written, its labels, and those whose values are not known."""

    document: Document
    at: Path
    labels: Mapping[str, str]
    open: frozenset[str] = frozenset()

    def fits(self, entry: Entry) -> bool:
        """Whether a policy could take it."""
        return all(matcher.name in self.open or matcher.matches(self.labels) for matcher in entry.matchers)


class Assembly:
    """Collects policy files. One instance serves one load.

    Without `judging` only shapes are checked: what policies refer to could not be read.
    """

    def __init__(self, setting: Setting, *, judging: bool) -> None:
        self._setting = setting  # its `system` is set for each file
        self._judging = judging
        self._systems: dict[str, _System] = {}
        self.problems: list[Problem] = []
        self.unsigned: list[Unsigned] = []
        self.streams: list[StreamSource] = []
        self.schedules: list[Schedule] = []
        self._named: list[tuple[Document, str]] = []  # policy files and the system that each names

    def add(self, document: Document) -> None:
        """Take one policy file."""
        value = document.value
        given = value.get("policies") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(given, list | None):
            self.problems += validate(PolicyFile, document, value)[1]
            return
        file, problems = validate(PolicyFile, document, {**value, "policies": []})
        self.problems += problems
        shaped = [validate(PolicyDoc, document, policy, ("policies", n)) for n, policy in enumerate(given or [])]
        self.problems += [problem for _, found in shaped for problem in found]
        if file is None:
            return
        self._named.append((document, file.system))
        if not self._judging:
            return
        file = file.model_copy(update={"policies": [policy for policy, _ in shaped if policy is not None]})
        setting = self._setting_for(document, file)
        system = self._systems.setdefault(file.system, _System())
        for index, (policy, _) in enumerate(shaped):
            if policy is not None:
                self._policy(document, ("policies", index), policy, file, setting, system)
        self._sources(document, file, setting, system)
        self._report(document, (), lint_people.oncall(file, setting.people))
        if file.catch_all is not None:
            self._catch_all(document, file.catch_all, file, system)
        if all(policy is not None for policy, _ in shaped):
            self._report(document, (), lint.check_pre_authorised(file, setting))
            self._collect_unsigned(document, file, setting)

    def systems(self, names: Iterable[str]) -> dict[str, SystemPolicies]:
        """What was put together, and the built-in catch-all for every other name."""
        out = {name: built_in(name) for name in names}
        for name, system in self._systems.items():
            rest = system.catch_all or built_in(name).catch_all
            plans = {entry.plan.policy: entry.plan for entry in system.entries}
            out[name] = SystemPolicies(Index(system.entries), plans, rest)
        return out

    def unlisted(self, systems: Collection[str]) -> Iterable[Problem]:
        """The files of systems that andon.yaml does not list: no route could ever lead an alert to them."""
        for document, system in self._named:
            if system not in systems:
                fix = did_you_mean(system, systems, "add it there")
                message = f"system {system!r} is not in systems: of andon.yaml"
                yield document.problem(("system",), message, fix)

    def unheard(self) -> Iterable[Problem]:
        """Alerts that our own sources raise and nobody would ever hear of. Asked once nothing else is wrong."""
        for name, system in self._systems.items():
            rest = system.catch_all or built_in(name).catch_all
            for raised in system.raised:
                paged = severity_rank(severity_of(dict(raised.labels))) >= severity_rank(rest.severity)
                if paged or any(map(raised.fits, system.entries)):
                    continue
                alert, pages = raised.labels["alertname"], f"the catch-all pages {rest.severity} ones only"
                fix = f"add a policy that matches it, or give it severity: {rest.severity}"
                yield raised.document.problem(raised.at, f"no policy takes {alert}, and {pages}", fix)

    def files(self) -> frozenset[str]:
        """The systems that have a file."""
        return frozenset(self._systems)

    def _setting_for(self, document: Document, file: PolicyFile) -> Setting:
        base = self._setting
        if file.system not in base.targets.systems:
            listed = ", ".join(base.targets.systems) or "none"
            fix = f"add it there; it has: {listed}"
            self.problems.append(document.problem(("system",), f"system {file.system!r} is not in targets.yaml", fix))
        return replace(base, system=file.system)

    def _policy(
        self, document: Document, at: Path, policy: PolicyDoc, file: PolicyFile, setting: Setting, system: _System
    ) -> None:
        before = len(self.problems)
        place = f"{document.source}:{document.line(at)}"
        reserved = {CATCH_ALL: "the catch-all's name", ORDER: "the name of what people order"}.get(policy.name)
        if reserved is not None:
            self._report(document, (*at, "name"), [((), f"{policy.name!r} is {reserved}", "choose another")])
        first = system.seen.setdefault(policy.name, place)
        if first != place:
            message = f"a policy named {policy.name!r} is already at {first}"
            self._report(document, (*at, "name"), [((), message, "names are unique in a system")])
        self._report(document, at, self._unreachable(policy, system))
        if file.system in setting.targets.systems:
            self._report(document, at, lint.check(policy, file, setting))
        if len(self.problems) == before:
            system.entries.append(_entry(len(system.entries), policy, planning.plan(policy, file, setting)))

    def _sources(self, document: Document, file: PolicyFile, setting: Setting, system: _System) -> None:
        """Take the file's streams and schedules, each judged and under a name of its own in the system."""
        if file.system not in setting.targets.systems:
            return
        for index, stream in enumerate(file.streams):
            if self._source(document, ("streams", index), stream, lint_sources.stream(stream, setting), system):
                resolved = lint_sources.stream_source(stream, setting)
                self.streams.append(resolved)
                for number, rule in enumerate(resolved.rules):
                    labels = {"stream": stream.name, **dict(rule.labels)}
                    where: Path = ("streams", index, "rules", number, "alertname")
                    system.raised.append(_Raised(document, where, labels, frozenset(rule.by)))
        for index, schedule in enumerate(file.schedules):
            if self._source(document, ("schedules", index), schedule, lint_sources.schedule(schedule), system):
                fire = lint_sources.scheduled(schedule, file.system)
                self.schedules.append(fire)
                labels = {"schedule": schedule.name, **dict(fire.labels)}
                system.raised.append(_Raised(document, ("schedules", index, "labels"), labels))

    def _source(
        self,
        document: Document,
        at: Path,
        source: StreamDoc | ScheduleDoc,
        findings: Iterable[Finding],
        system: _System,
    ) -> bool:
        """Whether this source is all right; what is not is reported."""
        before = len(self.problems)
        place = f"{document.source}:{document.line(at)}"
        first = system.sources.setdefault((str(at[0]), source.name), place)
        if first != place:
            message = f"{source.name!r} is already among the {at[0]} at {first}"
            self._report(document, (*at, "name"), [((), message, "names are unique in a system")])
        self._report(document, at, findings)
        return len(self.problems) == before

    def _unreachable(self, policy: PolicyDoc, system: _System) -> Iterable[Finding]:
        """An earlier policy that asks for less takes every alert that this one would."""
        spelled = sorted({str(matchers.parse(text)) for text in policy.match})
        sizes = range(1, len(spelled) + 1) if len(spelled) <= MAX_SUBSETS else (len(spelled),)
        for size in sizes:
            for subset in combinations(spelled, size):
                earlier = system.taken.get(frozenset(subset))
                if earlier is not None:
                    message = f"it never matches: {earlier!r} comes before it and takes all its alerts"
                    yield ("match",), message, f"move it up, or add continue: true to {earlier}"
                    return
        if not policy.continue_:
            system.taken[frozenset(spelled)] = policy.name

    def _catch_all(self, document: Document, doc: CatchAllDoc, file: PolicyFile, system: _System) -> None:
        place = f"{document.source}:{document.line(('catch_all',))}"
        if system.catch_all is not None:
            message = f"{file.system} already has a catch-all at {system.catch_all_at}"
            self.problems.append(document.problem(("catch_all",), message, "keep one"))
            return
        self._report(document, ("catch_all",), lint.check_catch_all(doc))
        self._report(document, (), lint_people.catch_all(doc, self._setting.people))
        plan = planning.catch_all(file.system, doc, file.oncall)
        system.catch_all, system.catch_all_at = CatchAll(plan, doc.severity, tuple(doc.group_by)), place

    def _collect_unsigned(self, document: Document, file: PolicyFile, setting: Setting) -> None:
        for index, entry in enumerate(file.pre_authorised):
            if planning.is_signed(entry, setting.people, setting.now):
                continue
            why = (
                "not signed"
                if not entry.by or not entry.until
                else f"the signature of {entry.by} ended at {entry.until}"
            )
            line = document.line(("pre_authorised", index))
            self.unsigned.append(
                Unsigned(document.source, line, file.system, entry.policy, entry.action, entry.reason, why)
            )

    def _report(self, document: Document, at: Path, findings: Iterable[Finding]) -> None:
        self.problems += [document.problem((*at, *path), message, fix) for path, message, fix in findings]


def _entry(order: int, policy: PolicyDoc, plan: Plan) -> Entry:
    return Entry(order, plan, tuple(map(matchers.parse, policy.match)), tuple(policy.group_by), policy.continue_)
