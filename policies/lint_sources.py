"""Streams and schedules, judged and resolved: can it be read, will it ever come, and what alert does it raise.

Called by `policies.assembly` for every policy file; findings become `Problem`s with their line, and what is right goes
into the `PolicyBook` as `policies.sources.StreamSource` and `Schedule`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from bot.core.source_events import StreamRule
from policies import cron, planning
from policies.durations import spell
from policies.lint_evidence import Finding
from policies.planning import Setting
from policies.problems import Path, UnclearError
from policies.sources import RuleDoc, Schedule, ScheduleDoc, StreamDoc, StreamSource

MIN_WINDOW_MS = 1_000  # a shorter window counts bursts of one network packet
MAX_WINDOW_MS = 24 * 3_600_000  # longer ones belong into Prometheus; a stream is trimmed long before
MIN_PERIOD_MS = 300_000  # a fire more often falls into the hold of the one before, and its plan would not run again
MAX_GRACE_MS = 24 * 3_600_000  # a daily schedule's next fire; later it is no longer the same one
MIN_GRACE_MS = 1_000  # a loop that is busy for less would already miss it


def stream(document: StreamDoc, setting: Setting) -> Iterator[Finding]:
    """Everything wrong with one stream; paths are relative to it."""
    yield from _component(document, setting)
    if not document.rules and not document.alerts_in:
        yield (), "nothing is made of its entries", "add rules:, or alerts_in: FIELD if entries are alerts"
    names: set[str] = set()
    for index, rule in enumerate(document.rules):
        at: Path = ("rules", index)
        if rule.alertname in names:
            yield (*at, "alertname"), f"a second rule raises {rule.alertname!r}", "alerts are told apart by alertname"
        names.add(rule.alertname)
        yield from _rule(at, rule)


def _rule(at: Path, rule: RuleDoc) -> Iterator[Finding]:
    if not MIN_WINDOW_MS <= rule.within <= MAX_WINDOW_MS:
        bounds = f"write from {spell(MIN_WINDOW_MS)} to {spell(MAX_WINDOW_MS)}"
        yield (*at, "within"), f"a window of {spell(rule.within)} is not counted", bounds
    for name in sorted({"alertname", *rule.by} & set(rule.labels)):
        whence = "alertname:" if name == "alertname" else "by:"
        yield (*at, "labels", name), f"{name} already comes from {whence}", "remove it"
    for index, name in enumerate(rule.by):
        if name in {"alertname", "severity"}:
            yield (*at, "by", index), f"{name} is not for a stream's field to say", "count by another field"
        elif name in rule.by[:index]:
            yield (*at, "by", index), f"{name} is here twice", "remove one"
        elif name in rule.where:
            yield (*at, "by", index), f"where: lets only one value of {name} count", "remove one of the two"


def _component(document: StreamDoc, setting: Setting) -> Iterator[Finding]:
    named = setting.targets.component(setting.system, document.component) if document.component else None
    if named is not None and named.connector != "redis":
        message = f"{named.name} is reached by {named.connector}, and streams are in a Redis"
        yield ("component",), message, "name a redis component"
        return
    try:
        planning.component_by_connector("redis", document.component, setting)
    except UnclearError as error:
        yield ("component",) if document.component else (), error.message, error.fix


def schedule(document: ScheduleDoc) -> Iterator[Finding]:
    """Everything wrong with one schedule; paths are relative to it."""
    for key, judge, text in (("cron", cron.check, document.cron), ("zone", cron.check_zone, document.zone)):
        try:
            judge(text)
        except UnclearError as error:
            yield (key,), error.message, error.fix
    if _often(document.cron):
        message = f"this fires more often than every {spell(MIN_PERIOD_MS)}, so one fire's plan would hold up the next"
        yield ("cron",), message, "let Prometheus look that often, and match on its alert"
    if not document.labels.get("alertname"):
        yield ("labels",), "the alert has no name, so no policy could match it", "add alertname:"
    if not MIN_GRACE_MS <= document.grace <= MAX_GRACE_MS:
        bounds = f"write from {spell(MIN_GRACE_MS)} to {spell(MAX_GRACE_MS)}"
        yield ("grace",), f"{spell(document.grace)} is no grace for a fire of the clock", bounds


def _often(line: str) -> bool:
    """Whether two fires of a line are closer together than `MIN_PERIOD_MS`."""
    try:
        minutes, hours, *_ = cron.check(line)
    except UnclearError:
        return False
    found = sorted(minutes)
    gaps = [later - earlier for earlier, later in pairwise(found)]
    if any((hour + 1) % 24 in hours for hour in hours):
        gaps.append(found[0] + 60 - found[-1])
    return any(gap * 60_000 < MIN_PERIOD_MS for gap in gaps)


def stream_source(document: StreamDoc, setting: Setting) -> StreamSource:
    """A stream without problems, resolved. Raises UnclearError where `stream` would have found one."""
    return StreamSource(
        name=document.name,
        system=setting.system,
        component=planning.component_by_connector("redis", document.component, setting).name,
        key=document.stream,
        at_field=document.at_field,
        alerts_in=document.alerts_in,
        rules=tuple(_resolved(rule) for rule in document.rules),
    )


def _resolved(rule: RuleDoc) -> StreamRule:
    return StreamRule(
        name=rule.alertname,
        count=rule.more_than,
        within_ms=rule.within,
        where=_pairs(rule.where),
        by=tuple(rule.by),
        labels=_pairs({"severity": "warning", **rule.labels, "alertname": rule.alertname}),
        annotations=_pairs(rule.annotations),
    )


def scheduled(document: ScheduleDoc, system: str) -> Schedule:
    """A schedule without problems, resolved."""
    return Schedule(
        name=document.name,
        system=system,
        cron=document.cron,
        zone=document.zone,
        grace_ms=document.grace,
        labels=_pairs({"severity": "info", **document.labels}),
        annotations=_pairs(document.annotations),
    )


def _pairs(mapping: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(mapping.items()))
