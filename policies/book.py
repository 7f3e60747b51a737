"""The policies in force: which plans an alert sets in motion, and what each policy says now.

Built by `policies.loader`; the engine asks `match` for every alert just before the fold, dispatch asks `current` right
before sending. First match wins, in file order, unless the policy says `continue: true`; what nothing matches and is
severe enough goes to the catch-all, which always exists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from bot.core.alert import Alert
from bot.core.plan import Plan
from bot.core.words import AggregateId, Millis, Severity, severity_rank
from policies import planning
from policies.index import Index
from policies.people import PeopleDocument
from policies.rendering import canonical
from policies.sources import Schedule, StreamSource

MAX_BUILT_IN = 64  # systems without a policy file; a floor has a handful


@dataclass(frozen=True, slots=True)
class Match:
    """A policy takes an alert: into the incident with this key, for this group of label values."""

    plan: Plan
    key: str
    group: dict[str, str]


@dataclass(frozen=True, slots=True)
class CatchAll:
    """What takes unmatched alerts at least this severe."""

    plan: Plan
    severity: Severity
    group_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SystemPolicies:
    """One system's policies, ready for matching."""

    index: Index
    plans: Mapping[str, Plan]  # in file order
    catch_all: CatchAll


@dataclass(frozen=True, slots=True)
class Watch:
    """A dead-man: an alert that always fires, so that its silence is noticed (`watches:` in andon.yaml)."""

    name: str
    system: str
    matches: Callable[[Mapping[str, str]], bool]
    within_ms: Millis
    text: str = ""  # the matchers as written, one a line: what tells two watches of one name apart


@lru_cache(maxsize=MAX_BUILT_IN)  # asked for every alert of a system without policies, above all of `unrouted`
def built_in(system: str) -> SystemPolicies:
    """A system without a policy file: critical alerts page."""
    plan = planning.catch_all(system, None)
    return SystemPolicies(Index(()), {}, CatchAll(plan, "critical", ("alertname",)))


class PolicyBook:
    """Everything that a reload swaps at once. Immutable; a reload makes a new one."""

    def __init__(
        self,
        systems: Mapping[str, SystemPolicies],
        people: PeopleDocument | None = None,
        watches: Sequence[Watch] = (),
        streams: Sequence[StreamSource] = (),
        schedules: Sequence[Schedule] = (),
    ) -> None:
        self._systems = dict(systems)
        self.people = people or PeopleDocument()
        self.watches = tuple(watches)
        self.streams = tuple(streams)
        self.schedules = tuple(schedules)
        hashes = [f"{s}/{p.policy}:{p.policy_hash}" for s in sorted(systems) for p in self._of(s)]
        hashes.append(canonical(self.people.model_dump(mode="json", by_alias=True)))
        hashes += [f"{watch.name} {watch.system} {watch.within_ms} {watch.text}" for watch in self.watches]
        hashes += [canonical(asdict(stream)) for stream in self.streams]
        hashes += [canonical(asdict(schedule)) for schedule in self.schedules]
        self._fingerprint = hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Names exactly this set: policies and what they resolved to, people, watches, streams, schedules."""
        return self._fingerprint

    def match(self, system: str, alert: Alert) -> tuple[Match, ...]:
        """The plans this alert belongs to; () only for what nothing matches and is not severe enough to page.

        What Andon has to say about itself (label ``andon="self"``) is never unheard, however mild.
        """
        policies = self._systems.get(system) or built_in(system)
        labels = alert.labels
        found = tuple(_match(entry.plan, entry.group_by, labels) for entry in policies.index.matching(labels))
        if found:
            return found
        rest = policies.catch_all
        if severity_rank(alert.severity) < severity_rank(rest.severity) and labels.get("andon") != "self":
            return ()
        return (_match(rest.plan, rest.group_by, labels),)

    def watch(self, system: str, alert: Alert) -> AggregateId:
        """The source whose sign of life this alert is (``source:watch:<name>``); "" for every other alert."""
        for watch in self.watches:
            if watch.system == system and watch.matches(alert.labels):
                return f"source:watch:{watch.name}"
        return ""

    def current(self, system: str, policy: str) -> Plan | None:
        """What the policy says now; None when it is gone."""
        policies = self._systems.get(system) or built_in(system)
        if policy == planning.CATCH_ALL:
            return policies.catch_all.plan
        return policies.plans.get(policy)

    def has(self, system: str, policy: str) -> bool:
        """Whether more incidents of this policy may come. What people order has no file, and always may."""
        return policy == planning.ORDER or self.current(system, policy) is not None

    def policies(self) -> tuple[Plan, ...]:
        """Every plan, by system, in file order, each system's catch-all last."""
        return tuple(plan for system in sorted(self._systems) for plan in self._of(system))

    def _of(self, system: str) -> tuple[Plan, ...]:
        policies = self._systems[system]
        return (*policies.plans.values(), policies.catch_all.plan)


def _match(plan: Plan, group_by: tuple[str, ...], labels: Mapping[str, str]) -> Match:
    if not group_by:
        return Match(plan, f"{plan.policy}{{}}", {})
    group = {name: labels.get(name, "") for name in group_by}
    inner = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in group.items())
    return Match(plan, f"{plan.policy}{{{inner}}}", group)
