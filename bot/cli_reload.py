"""`andon reload`: have the running Andon look at its configuration files now. Added to the application by `bot.cli`.

It looks by itself as soon as a file changes; this is for whoever wants to see what came of it, and for secrets that
changed behind references while no file did.
"""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Group, RenderableType

from bot import console
from bot.cli_ask import AsJson, ask


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reload)


def reload(as_json: AsJson = False) -> None:
    """Take the configuration files as they are now; a set that is wrong changes nothing. Exit code 1 if it is."""
    ask(lambda api: api.post("/reload"), _shown, as_json)


def _shown(answer: dict[str, Any]) -> RenderableType:
    """What is different now, one line each."""
    lines = [console.clean(change) for change in answer["changes"]] or [console.clean("nothing changed")]
    if answer["restart"]:
        lines.append(console.clean(f"waits for a restart: {', '.join(answer['restart'])}", "yellow"))
    return Group(*lines)
