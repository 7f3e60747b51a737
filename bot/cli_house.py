"""Commands about the program itself: run it, see it, check its configuration, print its schemas and version.

Added to the application by `bot.cli`. None of them talks to a running Andon. What each needs is imported when it runs,
so that `andon --help` is quick.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

import bot
from bot import console
from bot.cli_ask import WRONG, AsJson, Config, settings_of, tell
from bot.errors import InputError


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (serve, demo, check, schema, version):
        app.command()(command)


def serve(
    config: Config = None,
    accept_weak_durability: Annotated[
        bool, typer.Option("--accept-weak-durability", help="Start on a store that may lose acknowledged writes.")
    ] = False,
) -> None:
    """Run Andon until SIGTERM or Ctrl-C; what is under way is finished first."""
    gc.disable()  # imports leave nothing behind
    import uvloop

    from bot import log
    from bot.app import serve as run

    gc.freeze()  # what was imported stays: no collection while Andon acts has to look at it
    gc.enable()
    here = settings_of(config)
    if accept_weak_durability:
        here = here.model_copy(update={"accept_weak_durability": True})
    terminal = here.log_format == "console" or (here.log_format == "auto" and sys.stderr.isatty())
    log.configure("console" if terminal else "json", here.log_level.upper())
    uvloop.run(run(here))


def demo(
    tour: Annotated[bool, typer.Option("--tour", help="Play it unattended and judge it.")] = False,
    fault: Annotated[
        str,
        typer.Option(
            "--fault",
            metavar="NAME",
            help="Play one fault: var, var-bad, switching[:pingpong|random|slow|oscillation], "
            "latency[:slow_commands|clients|network|memory], replica-down, replica-stale.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """See Andon handle what goes wrong on a simulated trading system: VaR, model router, Redis."""
    from bot.demo.live import run

    raise typer.Exit(run(tour=tour, as_json=as_json, fault=fault))


def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or directories; nothing: what is in force.")] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Also resolve every host that is called by HTTP: which would be refused.")
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with the configuration, with file, line and fix, and what waits for a signature."""
    from bot.checking import check as run

    report = run(paths or [], settings_of(config), probe=probe)
    tell(report, console.checked, as_json)
    if not report["ok"]:
        raise typer.Exit(WRONG)


def schema(
    kind: Annotated[
        str, typer.Argument(help="andon, people, policies or targets; nothing: all.", metavar="[KIND]")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print the JSON Schemas of the configuration files, for editors."""
    _ = as_json  # they are JSON anyhow; the flag makes errors JSON too, as everywhere
    from bot.extensions import installed
    from policies.schema import schemas

    found = {
        name.removesuffix(".schema.json"): json.loads(text) for name, text in schemas(installed().catalogue).items()
    }
    if kind and kind not in found:
        raise InputError("KIND", f"no schema {kind!r}; there are: {', '.join(sorted(found))}")
    typer.echo(json.dumps(found[kind] if kind else found, indent=2, ensure_ascii=False))


def version(as_json: AsJson = False) -> None:
    """Print the version."""
    typer.echo(json.dumps({"version": bot.__version__}) if as_json else f"andon {bot.__version__}")
