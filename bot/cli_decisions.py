"""Commands with which people decide: yes, no, "I have it", "more people", "wait", and an action by hand.

Added to the application by `bot.cli`. `approve` and `deny` show what is asked and send back the digest of exactly that,
so nobody says yes to what they have not seen. Who may decide is settled by the running Andon, at the click.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer
from rich.console import RenderableType

from bot import console, console_decision
from bot.cli_ask import AsJson, IncidentId, System, ask, converse, named, pairs, segment, tell
from bot.client import DeclinedError
from bot.errors import InputError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again; for scripts.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
BreakGlass = Annotated[
    bool,
    typer.Option("--break-glass", help="Decide alone, where the policy names you; needs --reason, pages everybody."),
]
Answer = dict[str, Any]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (decisions, approve, deny, take, escalate, hold, run):
        app.command()(command)


def decisions(system: System = "", as_json: AsJson = False) -> None:
    """Everything that waits for somebody's yes or no."""
    ask(lambda api: api.get("/decisions", **named(system)), console_decision.waiting, as_json)


def approve(
    incident: IncidentId,
    reason: Reason = "",
    break_glass: BreakGlass = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say yes to what an incident asks: shows the decision first, and approves exactly what it showed."""
    _decide("approve", incident, {"reason": reason, "break_glass": break_glass}, yes, as_json)


def deny(incident: IncidentId, reason: Reason = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Say no to what an incident asks. One no is enough; then a person acts, or nobody does."""
    _decide("deny", incident, {"reason": reason}, yes, as_json)


def take(incident: IncidentId, as_json: AsJson = False) -> None:
    """Say "I have it": automation stands down on this incident, what it asked is void."""
    ask(lambda api: api.post(f"/incidents/{segment(incident)}/take"), console.decisions, as_json)


def escalate(incident: IncidentId, reason: Reason = "", as_json: AsJson = False) -> None:
    """Call more people now, instead of when the ladder would."""
    body = {"reason": reason}
    ask(lambda api: api.post(f"/incidents/{segment(incident)}/escalate", body), console.decisions, as_json)


def hold(
    incident: IncidentId,
    for_: Annotated[str, typer.Option("--for", help="How long (10m, 1h).")],
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Hold the ladder's own actions back for a while. Its pages go on."""
    from policies.durations import parse

    body = {"for_ms": parse(for_), "reason": reason}
    ask(lambda api: api.post(f"/incidents/{segment(incident)}/hold", body), console.decisions, as_json)


def run(
    action: Annotated[str, typer.Argument(help="An action's name, such as trading.halt.", metavar="ACTION")],
    system: Annotated[str, typer.Option("--system", help="The trading system it acts on.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="NAME=VALUE …; numbers and true/false as in JSON.", metavar="[NAME=VALUE…]"),
    ] = None,
    component: Annotated[str, typer.Option(help="The component, where several could be meant.")] = "",
    reason: Reason = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would do, and whose yes it needs.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Run one action by hand, through guard rails, approval and audit like any other."""
    body: Answer = {"action": action, "system": system, "component": component, "reason": reason}
    body["arguments"] = _values(arguments or ())
    if dry_run:
        ask(lambda api: api.post("/run", {**body, "dry_run": True}), console_decision.preview, as_json)
        return
    _ready_to_confirm(yes, as_json)

    if not as_json:
        seen = converse(lambda api: api.post("/run", {**body, "dry_run": True}))
        if seen["outcome"] == "refused":
            raise DeclinedError(f"{action} refuses: {seen['why']}", "nothing was ordered", 409)
        _show(console_decision.preview(seen), "" if yes else f"Run {action}?")
    ask(lambda api: api.post("/run", body), console_decision.ordered, as_json)


def _decide(verdict: Literal["approve", "deny"], incident: str, extra: Answer, yes: bool, as_json: bool) -> None:
    """Show what is asked, have it confirmed, and answer exactly that."""
    _ready_to_confirm(yes, as_json)

    shown = converse(lambda api: api.get(f"/incidents/{segment(incident)}"))
    decision, record = shown["decision"], shown["incident"]
    if decision is None:
        why = f"nothing waits for a decision on {record['id']}: it is {record['status']} ({record['why']})"
        raise DeclinedError(why, "`andon decisions` lists what does", 409)
    if not yes:
        _must_be_able(verdict, decision, bool(extra.get("break_glass")))
    if not as_json:
        question = "" if yes else f"{verdict.capitalize()} {decision['action']}?"
        _show(console_decision.card(decision, shown["now"]), question)
    body = {"approval": decision["approval"], "digest": decision["digest"], **extra}
    ask(lambda api: api.post(f"/incidents/{record['id']}/{verdict}", body), console.decisions, as_json)


def _must_be_able(verdict: str, decision: Answer, break_glass: bool) -> None:
    """Do not ask a tired person to confirm what would be refused anyway. Raises DeclinedError with the reason."""
    you = decision["you"]
    if break_glass and you["may_break_glass"]:
        return
    refused = you[f"not_{verdict}"]
    if refused and not break_glass:
        able = ", ".join(decision["may_still_vote"])
        raise DeclinedError(refused, f"ask {able}, or `andon escalate {decision['incident']}`" if able else "", 409)


def _ready_to_confirm(yes: bool, as_json: bool) -> None:
    """Nobody can be asked on a screen that a script reads, or where nobody sits. Raises InputError."""
    if not yes and (as_json or not sys.stdin.isatty()):
        raise InputError("--yes", "nobody can be asked here; look first, then say --yes")


def _show(shown: RenderableType, question: str) -> None:
    """Show it and, where there is a `question`, wait for y. Raises DeclinedError on a no.

    Between two conversations, never within one: a Ctrl-C at the question must end the command at once.
    """
    tell({}, lambda _: shown, False)
    if question and not typer.confirm(question):
        raise DeclinedError("you did not confirm it, so nothing was decided and nothing was sent", "", 409)


def _values(words: Sequence[str]) -> Answer:
    """NAME=VALUE words as arguments: what is a number, true, false or null in JSON is one here, all else is text."""
    found: Answer = {}
    for name, text in pairs(words, "").items():
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[name] = value
    return found
