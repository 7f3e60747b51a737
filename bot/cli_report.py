"""The command `andon report`: an incident's account, for a ticket or a postmortem. Added to the app by `bot.cli`.

Markdown as the API renders it, also for incidents that are archived; with ``--json`` the same facts for a script.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli_ask import AsJson, IncidentId, converse, segment
from bot.errors import InputError

Output = Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(incident: IncidentId, output: Output = None, as_json: AsJson = False) -> None:
    """Account for one incident: how long it took, what was decided and done, and why."""
    text = _asked(incident, as_json)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError("--output", f"{output}: {error.strerror}") from error
    typer.echo(json.dumps({"written": str(output)}) if as_json else f"written to {output}", err=True)


def _asked(incident: str, as_json: bool) -> str:
    """The report's text, as Andon tells it."""
    where = f"/incidents/{segment(incident)}/report"
    answer: dict[str, Any]
    if as_json:
        answer = converse(lambda api: api.get(where, format="json"))
        return json.dumps(answer, ensure_ascii=False) + "\n"
    answer = converse(lambda api: api.text(where, format="markdown"))
    return str(answer["text"])
