"""A report as Markdown, for a ticket, a wiki or a postmortem. Pure; the JSON form is the report's own fields.

Called by `http_reports`. Every text that came from an alert, a person or a policy is escaped (law 11): it can neither
become markup, HTML, a link or a table cell, nor begin a line. Grammar: CommonMark 0.31 and GitHub's extensions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.core.words import JsonText, Millis
from bot.engine.report_form import (
    AlertSeen,
    BranchTaken,
    DecisionTaken,
    EffectMade,
    EpisodeTimes,
    EvidenceRead,
    Moment,
    Report,
    Said,
)
from bot.engine.report_words import span

MAX_LISTED: Final = 500  # entries of one list; a ticket holds that much, and the JSON form has all of them
MAX_ALERTS: Final = 50
_MARKUP: Final = re.compile(
    r"([\\`*_\[\]|~#$@]|:(?=//|[a-z+-]\w*:))"
)  # whatever begins something in the midst of a line
_LINK: Final = re.compile(r"https?://[A-Za-z0-9.\-:\[\]]+(/[A-Za-z0-9._~/?=&%#+\-]*)?")


def render(report: Report) -> str:
    """The whole report."""
    sections = (
        _head(report),
        _section("How long it took", _times(report.episodes)),
        _section("What was done", map(_effect, report.effects)),
        _section("Decisions", map(_decision, report.decisions)),
        _section("Evidence", map(_evidence, report.evidence)),
        _section("Beside the plan", map(_branch, report.branches)),
        _section("Pages and messages", map(_said, report.said)),
        _section("Alerts", _alerts(report)),
        _section("Timeline", map(_moment, report.timeline)),
        _section("Audit", _audit(report)),
    )
    return "\n".join(line for section in sections for line in section) + "\n"


def safe(text: object) -> str:
    """Foreign text as one harmless run of words."""
    shown = "".join(c if c.isprintable() else " " if c in "\n\r\t" else f"\\x{ord(c):02x}" for c in str(text))
    escaped = _MARKUP.sub(r"\\\1", shown).replace("www.", "www\\.")
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def moment(at: Millis | None) -> str:
    """A time in UTC, to the millisecond: reports are compared with other logs."""
    if at is None:
        return "never"
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03}Z"


def _head(report: Report) -> Iterator[str]:
    yield f"# {safe(report.incident)}: {safe(report.policy or 'no policy')}"
    yield ""
    row = f", row {safe(report.row)}" if report.row else ""
    yield f"**{safe(report.status)}** ({safe(report.severity)}). {safe(report.why)}"
    yield ""
    yield f"- System {safe(report.system)}{row}, mode {safe(report.mode or 'none')}"
    if report.group:
        yield _item(f"Group {safe(', '.join(f'{name}={value}' for name, value in sorted(report.group.items())))}")
    closed = f", closed {moment(report.closed_at)}" if report.closed_at is not None else ""
    yield f"- Opened {moment(report.opened_at)}{closed}; told {moment(report.told_at)}"
    yield _item(f"Policy as pinned when it opened: `{re.sub('[^0-9A-Za-z_.:-]', '?', report.policy_hash) or 'none'}`")
    if report.parent:
        yield _item(f"A branch of {safe(report.parent)}")
    if report.ordered_by:
        yield _item(f"Ordered by {safe(report.ordered_by)}")
    if report.taken_by:
        yield _item(f"Taken by {safe(report.taken_by)}; automation stood down")
    if report.runbook:
        link = _LINK.fullmatch(report.runbook) is not None
        yield _item(f"Runbook: <{report.runbook}>" if link else f"Runbook: {safe(report.runbook)}")
    if report.archived:
        yield _item("Read back from the archive")


def _section(title: str, lines: Iterable[str]) -> list[str]:
    """Nothing where there is nothing to say."""
    every = list(lines)
    if not every:
        return []
    left_out = len(every) - MAX_LISTED
    more = [f"- … {left_out} more; the JSON report has them"] if left_out > 0 else []
    return ["", f"## {title}", "", *every[:MAX_LISTED], *more]


def _item(text: str) -> str:
    return f"- {text}"


def _times(episodes: tuple[EpisodeTimes, ...]) -> Iterator[str]:
    if not episodes:
        return
    yield "| episode | began | acknowledged | mitigated | resolved | target | verdict |"
    yield "|---|---|---|---|---|---|---|"
    for each in episodes:
        by = f" by {safe(each.acknowledged_by)}" if each.acknowledged_by else ""
        target = span(each.target) if each.target else "none"
        yield (
            f"| {each.number} | {moment(each.began_at)} | {_took(each.to_acknowledge)}{by} | {_took(each.to_mitigate)} "
            f"| {_took(each.to_resolve)} | {target} | {_verdict(each)} |"
        )


def _took(duration_ms: Millis | None) -> str:
    return "never" if duration_ms is None else f"after {span(duration_ms)}"


def _verdict(times: EpisodeTimes) -> str:
    match times.verdict:
        case "met":
            return f"met, {span(times.difference)} to spare"
        case "missed":
            running = "" if times.to_recover is not None else " and not over"
            return f"**missed by {span(times.difference)}{running}**" if times.difference else "**missed**"
        case "running":
            return f"running, {span(times.difference)} left"
        case "no target":
            return "no target"


def _effect(effect: EffectMade) -> str:
    what = effect.action or f"step {effect.step}"
    where = f" on {safe(effect.component)}" if effect.component else ""
    changed = "; ".join(changes(effect.before, effect.after))
    intent = f" Intent {safe(effect.intent)}" if effect.intent else ""
    attempt = f", attempt {effect.attempt}" if effect.intent and effect.attempt else ""
    return _item(
        f"{moment(effect.at)} **{safe(what)}**{where}: {safe(effect.outcome)}."
        + (f" {changed}." if changed else "")
        + f" {safe(effect.why)}"
        + (f" ({intent.strip()}{attempt})" if intent else "")
    )


def changes(before: JsonText, after: JsonText) -> list[str]:
    """``kelly_fraction 0.25 → 0.1`` for each field that differs; what was read, where nothing was read back."""
    old, new = _fields(before), _fields(after)
    if not new:
        return [f"{safe(name)} {safe(_plain(value))}" for name, value in sorted(old.items())]
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return [f"{safe(name)} {safe(_plain(old.get(name)))} → {safe(_plain(new.get(name)))}" for name in names]


def _fields(text: JsonText) -> dict[str, object]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _plain(value: object) -> str:
    if value is None:
        return "?"
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _decision(decision: DecisionTaken) -> str:
    who = safe(decision.who) if decision.who else "automation"
    reason = f": {safe(decision.reason)}" if decision.reason else ""
    return _item(f"{moment(decision.at)} {who}: {safe(decision.what)}. **{safe(decision.verdict)}**{reason}")


def _evidence(read: EvidenceRead) -> str:
    value = safe(read.error) if read.error else f"= {safe(_plain(read.value))}"
    age = f", {span(read.age_ms)} old" if read.age_ms is not None else ", of unknown age" if not read.error else ""
    source = f" ({safe(read.source)}{age})" if read.source else age
    return _item(f"{moment(read.at)} {safe(read.name)} {value}{source}; {safe(read.used_for)}")


def _branch(branch: BranchTaken) -> str:
    return _item(f"{safe(branch.incident)} {safe(branch.action)}: {safe(branch.status)}. {safe(branch.why)}")


def _said(said: Said) -> str:
    severity = f" ({safe(said.severity)})" if said.severity else ""
    taken = f" [{safe(said.taken)}]" if said.taken else ""
    to = safe(said.to or "the default channel")
    return _item(f"{moment(said.at)} {said.kind} to {to}{severity}: {safe(said.text)}{taken}")


def _alerts(report: Report) -> Iterator[str]:
    for alert in report.alerts[:MAX_ALERTS]:
        yield _alert(alert)
    hidden = max(0, len(report.alerts) - MAX_ALERTS) + report.untracked_alerts
    if hidden:
        yield _item(f"… and {hidden} more")


def _alert(alert: AlertSeen) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()) if name != "alertname")
    summary = alert.annotations.get("summary", "")
    return _item(
        f"**{safe(alert.name)}** {alert.state}, since {moment(alert.starts_at)}, from {safe(alert.source)}: "
        f"{safe(labels)}" + (f". {safe(summary)}" if summary else "")
    )


def _moment(each: Moment) -> str:
    refused = " **refused**:" if each.decision == "denied" else ""
    why = f": {safe(each.why)}" if each.why else ""
    arrow = "" if each.decision else "→ "
    return _item(f"{moment(each.at)} {arrow}{safe(each.what)}{refused}{why}")


def _audit(report: Report) -> Iterator[str]:
    if not report.audit_problems:
        yield _item(
            f"{report.audit_links} links, every one holds; head `{re.sub('[^0-9a-f]', '?', report.audit_head)}`"
        )
    for problem in report.audit_problems:
        yield _item(f"**BROKEN**: {safe(problem)}")
