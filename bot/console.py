"""What the CLI shows: answers of the API in, rich renderables out. Pure; nothing here asks or changes anything.

Every text that came from an alert, a person or a policy is put into `Text`, never into markup, so no label can colour a
terminal or hide a line; control characters are shown as such (law 11). Called by `bot.cli`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bot.core.words import Millis

Json: TypeAlias = Mapping[str, Any]

STATUS_STYLE: Final[Mapping[str, str]] = {
    "open": "bold red", "diagnosing": "bold red", "acting": "bold yellow", "verifying": "bold yellow",
    "awaiting_approval": "bold magenta", "parked": "bold magenta", "mitigated": "bold cyan",
    "resolved": "bold green", "closed": "green",
}  # fmt: skip
SEVERITY_STYLE: Final[Mapping[str, str]] = {
    "critical": "bold red",
    "error": "red",
    "warning": "yellow",
    "info": "blue",
}


def clean(value: object, style: str = "") -> Text:
    """Foreign text as one harmless line."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))
    return Text(shown, style=style)


def moment(at: Millis | None) -> str:
    """A time of day in UTC, with its date."""
    if at is None:
        return "never"
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).strftime("%Y-%m-%d %H:%M:%SZ")


def span(duration_ms: Millis) -> str:
    """A duration as people say it: 950 ms, 12 s, 3 min 5 s, 2 h 4 min, 3 d 1 h."""
    if duration_ms < 1_000:
        return f"{max(0, duration_ms)} ms"
    seconds = duration_ms // 1_000
    for size, unit, small, small_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // small
            return f"{seconds // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{seconds} s"


def incidents(answer: Json) -> RenderableType:
    """The list of incidents."""
    lines = answer["incidents"]
    if not lines:
        return Text("no incident is open", style="green")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("incident", "age", "status", "severity", "system", "policy", "firing", "why"):
        table.add_column(column, no_wrap=column in ("incident", "age", "status"), overflow="fold")
    for line in lines:
        table.add_row(
            Text(line["id"], style="bold"),
            span(answer["now"] - line["opened_at"]),
            Text(line["status"].replace("_", " "), style=STATUS_STYLE.get(line["status"], "")),
            Text(line["severity"], style=SEVERITY_STYLE.get(line["severity"], "")),
            clean(line["system"]),
            clean(line["policy"]),
            str(line["firing"]),
            _lead(line, answer["now"]).append_text(clean(line["why"])),
        )
    return table


def _lead(line: Json, now: Millis) -> Text:
    """What to know before the reason: a decision that is needed, and until when; who has it."""
    if line["decide_by"] is not None:
        left = span(line["decide_by"] - now) if line["decide_by"] > now else "no time"
        return Text(f"needs a decision until {moment(line['decide_by'])}, {left} left: ", style="bold magenta")
    return clean(f"{line['taken_by']} has it: ", "bold") if line["taken_by"] else Text()


def decisions(answer: Json) -> RenderableType:
    """What became of an order, everywhere it was given."""
    styles = {"applied": "green", "ignored": "yellow", "denied": "bold red"}
    lines = []
    for line in answer["decisions"]:
        where = f"{line['system']} {line['aggregate']}"
        lines.append(
            Text.assemble(
                (line["decision"], styles.get(line["decision"], "")), "  ", clean(where), "  ", clean(line["why"])
            )
        )
    return Group(*lines)


def status(answer: Json) -> RenderableType:
    """The whole of it on one page: is it well, what may act, what is frozen, what waits."""
    who = answer["you"] or "nobody in people.yaml (you may look, not act)"
    parts: list[RenderableType] = [
        Text.assemble(
            ("andon ", "bold"), answer["version"], f"  replica {answer['replica']}  ", ("you are ", "dim"), clean(who)
        )
    ]
    parts += [
        Text.assemble(
            "  ",
            ("ok  ", "green") if check["ok"] else ("BAD ", "bold red"),
            f"{check['name']:10} ",
            clean(check["detail"]),
        )
        for check in answer["checks"]
    ]
    systems = _table("system", "open", "automation", "actions lately", "inbox", "outbox", "next timer")
    for line in answer["systems"]:
        state = line["automation"]["state"]
        due = line["next_due"]
        systems.add_row(
            clean(line["system"], "bold"),
            str(line["open_incidents"]),
            Text(state, style="green" if state == "active" else "bold magenta"),
            str(line["automation"]["recent_actions"]),
            str(line["inbox"]),
            str(line["outbox"]),
            "-" if due is None else f"in {span(due - answer['now'])}" if due > answer["now"] else "now",
        )
    parts += [Text(), systems, *_freezes(answer["systems"])]
    parts += [Text(), policies(answer)]
    return Group(*parts)


def _freezes(systems: Sequence[Json]) -> Iterator[Text]:
    for line in systems:
        doubt = line["automation"].get("in_doubt")
        if doubt:
            yield Text.assemble(("  stopped ", "bold magenta"), clean(f"{line['system']}: {doubt}"))
        for target, freeze in line["frozen"].items():
            until = f", asks again at {moment(freeze['until'])}" if freeze["until"] else ""
            yield Text.assemble(
                ("  frozen ", "bold magenta"),
                clean(f"{line['system']} {target} by {freeze['by']} since {moment(freeze['since'])}{until}: "),
                clean(freeze["reason"]),
            )


def policies(answer: Json) -> RenderableType:
    """Every policy, and whether it may act."""
    table = _table("system", "policy", "row", "mode", "armed", "steps")
    for line in answer["policies"]:
        armed = line["armed"]
        shown = Text(f"by {armed['by']}", style="green") if armed else Text("no: shadow", style="dim")
        table.add_row(
            clean(line["system"]), clean(line["policy"], "bold"), clean(line["row"]), line["mode"], shown,
            clean(", ".join(line["steps"]) or "-"),
        )  # fmt: skip
    return table


def targets(answer: Json) -> RenderableType:
    """Every component: who acts on it, who waits, whether it is frozen."""
    table = _table("system", "target", "role", "acting", "waiting", "verifying", "in force", "frozen")
    for line in answer["targets"]:
        record = line["record"] or {}
        slot, watched, freeze = record.get("slot"), record.get("verifying"), record.get("freeze")
        table.add_row(
            clean(line["system"]),
            clean(line["target"], "bold"),
            clean(line["role"] or "-"),
            clean(f"{slot['incident']} fence {slot['fence']}" if slot else "-"),
            str(len(record.get("queue", ()))),
            clean(watched["incident"] if watched else "-"),
            clean(_leases(record.get("leases", {}), answer["now"]) or "-"),
            clean(f"by {freeze['by']}: {freeze['reason']}", "bold magenta") if freeze else Text("-"),
        )
    return table


def _leases(leases: dict[str, Json], now: int) -> str:
    """Each action in force under a lease, and for how much longer."""
    return ", ".join(
        f"{action}, asked about in {span(max(0, lease['until'] - now))}" for action, lease in sorted(leases.items())
    )


def dead_letters(answer: Json) -> RenderableType:
    """What was set aside."""
    if not answer["dead_letters"]:
        return Text("nothing was set aside", style="green")
    table = _table("system", "id", "bytes", "reason")
    for line in answer["dead_letters"]:
        table.add_row(clean(line["system"]), clean(line["id"]), str(line["bytes"]), clean(line["reason"]))
    return table


def fired(answer: Json) -> RenderableType:
    """Where an alert fired by hand went."""
    what = f"{answer['status']} alert {answer['fingerprint']} stored for {answer['system']}"
    return clean(f"{what}, marked as fired by {answer['fired_by']}")


def checked(report: Json) -> RenderableType:
    """What `andon check` found: problems with their fix, then what waits for a signature."""
    lines: list[RenderableType] = []
    for problem in report["problems"]:
        place = f"{problem['source']}:{problem['line']}: "
        path = f"{problem['path']}: " if problem["path"] else ""
        fix = f" ({problem['fix']})" if problem["fix"] else ""
        lines.append(
            Text.assemble(clean(place, "bold"), clean(path), clean(problem["message"], "red"), clean(fix, "dim"))
        )
    for waiting in report["unsigned"]:
        lines.append(
            Text.assemble(
                clean(f"{waiting['source']}:{waiting['line']}: ", "bold"),
                ("waits for a signature: ", "yellow"),
                clean(f"{waiting['action']} in {waiting['policy']} ({waiting['why']}); until then it asks. "),
                clean(waiting["reason"]),
            )
        )
    for foreign in report["foreign"]:
        where = f"{foreign['distribution']} {foreign['version']}".strip()
        lines.append(clean(f"{foreign['kind']} {foreign['name']} comes from {where}", "dim"))
    for host in report["unanswered"]:
        lines.append(clean(f"{host} is not answered here, so nobody knows where it leads", "yellow"))
    count = len(report["problems"])
    if count:
        lines.append(Text(f"{count} problem{'s' if count > 1 else ''}", style="bold red"))
    else:
        armed = ", ".join(report["armed"]) or "none"
        read = f"{report['files']} files, {report['policies']} policies besides catch-alls"
        lines.append(Text(f"{read}: no problem; armed: {armed}", style="green"))
    return Group(*lines)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
