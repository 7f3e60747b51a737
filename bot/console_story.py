"""`andon show`: one incident as a story for a tired person, from the API's answer to a rich renderable. Pure.

How it stands and why, what was done and what that changed, what is known, which alerts, and how it came to this, from
the audit. Called by `bot.cli`; the primitives and the rule about foreign text are in `bot.console`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from bot.console import SEVERITY_STYLE, STATUS_STYLE, Json, clean, moment, span
from bot.console_decision import card
from bot.console_values import changes, intended, parsed, reading
from bot.core.words import Millis
from bot.engine import outlook
from bot.engine.outlook import timer_words

MAX_ALERTS_SHOWN: Final = 12
MAX_TIMELINE: Final = 200  # moments; `--json` and `audit export` have all of them


def incident(answer: Json) -> RenderableType:
    """One incident as a story: how it stands, why, what was done, what is known, what comes next, and how it came."""
    record, now = answer["incident"], answer["now"]
    parts: list[RenderableType] = [_headline(record, now), Padding(_standing(record, now), (0, 2))]
    if answer.get("archived"):
        parts.append(Text("  read back from the archive: it has left the store", style="dim"))
    if answer["decision"]:
        parts += [_rule("it waits for a decision"), card(answer["decision"], now)]
    steps = list(_steps(record))
    if steps:
        parts += [_rule("what was done"), *steps]
    readings = _latest_readings(answer["audit"])
    findings = [
        Text.assemble("  ", clean(name, "bold"), ": ", clean(text)) for name, text in record["findings"].items()
    ]
    if readings or findings:
        parts += [_rule("evidence"), *readings, *findings]
    parts += [_rule("alerts"), *_alerts(record)]
    parts += [_rule("timeline"), *_timeline(answer["audit"])]
    return Group(*parts)


def _headline(record: Json, now: Millis) -> Text:
    status = record["status"]
    policy = record["plan"]["policy"] if record["plan"] else "(no plan)"
    return Text.assemble(
        (record["id"], "bold"),
        "  ",
        (status.replace("_", " ").upper(), STATUS_STYLE.get(status, "")),
        "  ",
        (record["severity"], SEVERITY_STYLE.get(record["severity"], "")),
        "  ",
        clean(f"{record['system']} / {policy}"),
        f"  opened {moment(record['opened_at'])}, {span(now - record['opened_at'])} ago",
        f", episode {record['episode']}" if record["episode"] > 1 else "",
    )


def _standing(record: Json, now: Millis) -> Table:
    """Why it stands where it stands, who looks, what comes next."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("why", clean(record["why"] or "-"))
    if record["group"]:
        table.add_row("group", clean(", ".join(f"{k}={v}" for k, v in record["group"].items())))
    if record["acknowledged_by"]:
        table.add_row("seen by", clean(f"{record['acknowledged_by']} at {moment(record['acknowledged_at'])}"))
    if record["taken_by"]:
        table.add_row("has it", clean(f"{record['taken_by']}; automation stands down here"))
    if record["ordered_by"]:
        table.add_row("ordered by", clean(record["ordered_by"]))
    if record["parent"]:
        table.add_row("branch of", clean(f"{record['parent']}: andon show {record['parent']}"))
    for branch in record["branches"]:
        table.add_row("branch", clean(f"a rung's own action: andon show {branch}"))
    if record["frozen"]:
        table.add_row("frozen", Text("automation is off for its target", style="bold magenta"))
    if record["paged"]:
        table.add_row("paged", clean(", ".join(record["paged"])))
    for due, name in sorted((timer["due"], name) for name, timer in record["timers"].items()):
        when = f"in {span(due - now)}" if due > now else f"{span(now - due)} overdue"
        table.add_row("next", clean(f"{when}: {rung_words(record, name) or timer_words(name)}"))
    if not record["timers"] and record["status"] != "closed":
        table.add_row("next", Text("it waits for a person", style="bold magenta"))
    if record["plan"] and record["plan"]["runbook"]:
        table.add_row("runbook", clean(record["plan"]["runbook"]))
    return table


def rung_words(record: Json, timer: str) -> str:
    """What a rung of the ladder will do when its time comes: whom it pages, what it runs; "" for other timers."""
    number = outlook.rung_number(timer)
    ladder = (record["plan"] or {}).get("ladder", ())
    if number is None or number >= len(ladder):
        return ""
    rung = ladder[number]
    page, step = rung["page"], rung["step"] or {"action": "", "guard": ""}
    return outlook.rung_words(
        number,
        page=f"{page['service']} ({page['severity']})" if page else "",
        notify=rung["notify"],
        action=step["action"],
        guard=step["guard"],
        until=rung["until"],
    )


def _steps(record: Json) -> Iterator[RenderableType]:
    """Each step's outcome, with what changed."""
    actions = {step["id"]: step["action"] for step in (record["plan"] or {}).get("steps", ())}
    good = {"succeeded", "verified", "unneeded"}
    for result in record["results"]:
        style = "green" if result["outcome"] in good else "yellow"
        yield Text.assemble(
            "  ",
            (moment(result["at"])[11:], "dim"),
            "  ",
            clean(actions.get(result["step"], result["step"]), "bold"),
            "  ",
            (result["outcome"].replace("_", " "), style),
            "  ",
            clean(result["why"]),
        )
        told = intended if result["outcome"] in ("asked", "shadowed") else changes  # only what was wanted is known
        for line in told(result["before"], result["after"]):
            yield Text.assemble("            ", line)


def _latest_readings(chain: Sequence[Json]) -> list[RenderableType]:
    """The newest reading of each name that any event of the chain carries."""
    latest: dict[str, Json] = {}
    for body in map(_body, chain):
        for line in body.get("events", ()):
            for found in line.get("event", {}).get("readings") or ():
                latest[found["name"]] = found
    return [Text.assemble("  ", reading(found)) for _, found in sorted(latest.items())]


def _alerts(record: Json) -> Iterator[Text]:
    """Those that fire first."""
    states = sorted(record["alerts"].values(), key=lambda s: (not s["firing"], s["alert"]["fingerprint"]))
    for state in states[:MAX_ALERTS_SHOWN]:
        alert = state["alert"]
        word, style = ("firing", "red") if state["firing"] else ("resolved", "green")
        if state["dismissed"]:
            word, style = "dismissed", "dim"
        by_hand = f" fired by {alert['annotations'].get('fired_by', 'hand')}" if alert["source"] == "andon fire" else ""
        labels = ", ".join(f"{k}={v}" for k, v in sorted(alert["labels"].items()) if k != "alertname")
        yield Text.assemble(
            "  ", (f"{word:9}", style), " ", clean(alert["labels"].get("alertname", "(unnamed)"), "bold"),
            " ", clean(labels), (f"  since {moment(alert['starts_at'])}", "dim"), clean(by_hand, "bold magenta"),
        )  # fmt: skip
    hidden = max(0, len(states) - MAX_ALERTS_SHOWN) + record["untracked"]
    if hidden > 0:
        yield Text(f"  and {hidden} more", style="dim")


def _timeline(chain: Sequence[Json]) -> Iterator[Text]:
    """Every decision with its reason, every page and message, as the audit has them; one line each."""
    lines: list[Text] = []
    for body in map(_body, chain):
        at = moment(body.get("at"))[11:]
        for line in body.get("events", ()):
            kind = str(line.get("event", {}).get("kind", "?")).replace("_", " ")
            who = line.get("event", {}).get("by", "")
            refused = line.get("decision") == "denied"
            lines.append(
                Text.assemble(
                    "  ",
                    (at, "dim"),
                    "  ",
                    clean(kind + (f" by {who}" if who else ""), "bold red" if refused else "bold"),
                    "  " if line.get("why") else "",
                    clean(line.get("why", "")),
                )
            )
        for effect in body.get("effects", ()):
            text = _effect_words(effect)
            if text:
                lines.append(Text.assemble("  ", (at, "dim"), "  → ", clean(text)))
    if len(lines) > MAX_TIMELINE:
        yield Text(f"  … {len(lines) - MAX_TIMELINE} earlier moments left out; --json has them", style="dim")
    yield from lines[-MAX_TIMELINE:]


def _effect_words(effect: Json) -> str:
    match effect.get("kind"):
        case "page_oncall":
            return f"page {effect['service']} ({effect['severity']}): {effect['summary']}"
        case "resolve_page":
            return f"take back the page to {effect['service']}"
        case "post_message":
            return f"say: {effect['text']}"
        case "run_step":
            return f"run {effect['action']} ({effect['disposition']}), fence {effect['fence']}"
        case "run_diagnosis":
            return f"diagnose: {effect['diagnosis']}"
        case "observe_evidence":
            return f"read the evidence: {effect['condition']}"
        case other:
            return str(other or "")


def _body(entry: Json) -> Json:
    """An audit link's body; a link that is no JSON any more is told as such instead of hiding the rest."""
    return parsed(entry["body"]) or {
        "at": None,
        "events": [{"event": {"kind": "unreadable entry"}, "why": entry["body"]}],
    }


def _rule(title: str) -> Rule:
    return Rule(Text(title, style="dim"), align="left", style="dim")
