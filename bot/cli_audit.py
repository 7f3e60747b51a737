"""Commands about the audit: verify every chain, export every entry. Added to the application by `bot.cli`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bot import console
from bot.cli_ask import REFUSED, AsJson, System, ask, converse, named, segment
from bot.client import Api
from bot.errors import InputError


def add(app: typer.Typer) -> None:
    """Add the commands, as a group."""
    group = typer.Typer(help="The record of everything that was decided and done.", no_args_is_help=True)
    group.command("verify")(audit_verify)
    group.command("export")(audit_export)
    app.add_typer(group, name="audit")


def audit_verify(system: System = "", as_json: AsJson = False) -> None:
    """Walk every chain; find any edit, deletion, reordering or truncation. Exit code 1 if there is one."""
    answer = ask(lambda api: api.get("/audit/verify", **named(system)), console.verified, as_json)
    if not answer["ok"]:
        raise typer.Exit(REFUSED)


def audit_export(
    system: System = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every entry of every chain, one JSON object a line; with --json also errors and the count."""

    async def export(api: Api) -> dict[str, Any]:
        lines = 0
        target = output.open("w", encoding="utf-8") if output else sys.stdout
        try:
            for chain in (await api.get("/audit", **named(system)))["chains"]:
                where = f"/audit/{segment(chain['system'])}/{segment(chain['aggregate'])}"
                for entry in (await api.get(where))["entries"]:
                    target.write(json.dumps({**chain, **entry}, ensure_ascii=False) + "\n")
                    lines += 1
        finally:
            if output:
                target.close()
        return {"entries": lines}

    try:
        answer = converse(export)
    except OSError as error:
        if output is None:
            raise
        raise InputError("--output", f"{output}: {error.strerror}") from error
    if output:
        told = json.dumps(answer) if as_json else f"{answer['entries']} entries written to {output}"
        typer.echo(told, err=True)
