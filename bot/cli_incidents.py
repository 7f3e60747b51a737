"""Commands about incidents: inject an alert, list them, read one's story, acknowledge, resolve.

Added to the application by `bot.cli`. The decisions an incident waits for are in `bot.cli_decisions`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from bot import console, console_story
from bot.cli_ask import AsJson, IncidentId, System, ask, named, pairs, segment


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (fire, incidents, show, ack, resolve):
        app.command()(command)


def fire(
    labels: Annotated[list[str], typer.Argument(help="NAME=VALUE …; a word alone is the alertname.", metavar="LABEL…")],
    annotation: Annotated[list[str] | None, typer.Option("--annotation", "-a", help="NAME=VALUE, for people.")] = None,
    receiver: Annotated[str, typer.Option(help="As if sent to this Alertmanager receiver.")] = "andon-fire",
    resolved: Annotated[bool, typer.Option("--resolved", help="The alert is over, instead of firing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Inject an alert by hand, through the same way as any other, marked as yours."""
    body = {
        "labels": pairs(labels, "alertname"),
        "annotations": pairs(annotation or [], "summary"),
        "receiver": receiver,
        "status": "resolved" if resolved else "firing",
    }
    ask(lambda api: api.post("/fire", body), console.fired, as_json)


def incidents(
    every: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    system: System = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List incidents, newest first."""
    query: dict[str, str | int] = {"limit": limit, **({"all": 1} if every else {}), **named(system)}
    ask(lambda api: api.get("/incidents", **query), console.incidents, as_json)


def show(incident: IncidentId, as_json: AsJson = False) -> None:
    """Tell one incident's story: how it stands, why, what was done, what comes next."""
    ask(lambda api: api.get(f"/incidents/{segment(incident)}"), console_story.incident, as_json)


def ack(incident: IncidentId, as_json: AsJson = False) -> None:
    """Say that you have seen it: paging stops, everything else goes on."""
    ask(lambda api: api.post(f"/incidents/{segment(incident)}/ack"), console.decisions, as_json)


def resolve(
    incident: IncidentId,
    note: Annotated[str, typer.Option(help="For the record: why it is over.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Also dismiss alerts that still fire.")] = False,
    as_json: AsJson = False,
) -> None:
    """Close the matter by hand."""
    body = {"note": note, "force": force}
    ask(lambda api: api.post(f"/incidents/{segment(incident)}/resolve", body), console.decisions, as_json)
