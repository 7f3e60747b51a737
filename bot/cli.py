"""The command `andon`. Thin: each command reads its options, asks the API (or the configuration files), and shows.

Exit codes: 0 done · 1 refused or failed · 2 the input or the configuration is wrong (the message names file:line or
field) · 3 nobody answers, or the store cannot be reached · 130 interrupted. Every command that answers with facts takes
``--json``; then errors are JSON on standard output too (on standard error where the command line itself is wrong).
`main` is the console entry point.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer
from rich.console import Console, RenderableType

import bot
from bot import console, console_story, settings
from bot.client import Api, BadRequestError, Place, UnreachableError, connect
from bot.errors import AndonError, ConfigError, InputError, StoreUnavailable, StoreUnsafe
from bot.settings import Settings

REFUSED: Final = 1
WRONG: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130

app = typer.Typer(
    name="andon",
    help="The cord of a trading floor: acts on alerts within policy, asks before the risky thing, accounts for all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
audit_app = typer.Typer(help="The record of everything that was decided and done.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Config = Annotated[Path | None, typer.Option("--config", help="Path of andon.yaml.")]
System = Annotated[str, typer.Option("--system", help="Only this trading system.")]
IncidentId = Annotated[str, typer.Argument(help="An incident's id, or its first letters.", metavar="INCIDENT")]
PolicyName = Annotated[str, typer.Argument(help="A policy's name.", metavar="POLICY")]
Where = Annotated[str, typer.Argument(help="SYSTEM or SYSTEM/COMPONENT; nothing: everywhere.", metavar="[WHERE]")]
Show: TypeAlias = Callable[[dict[str, Any]], RenderableType]


@app.command()
def serve(
    config: Config = None,
    accept_weak_durability: Annotated[
        bool, typer.Option("--accept-weak-durability", help="Start on a store that may lose acknowledged writes.")
    ] = False,
) -> None:
    """Run Andon until SIGTERM or Ctrl-C; what is under way is finished first."""
    import uvloop

    from bot import log
    from bot.app import serve as run

    here = _settings(config)
    if accept_weak_durability:
        here = here.model_copy(update={"accept_weak_durability": True})
    terminal = here.log_format == "console" or (here.log_format == "auto" and sys.stderr.isatty())
    log.configure("console" if terminal else "json", here.log_level.upper())
    uvloop.run(run(here))


@app.command()
def demo(
    tour: Annotated[bool, typer.Option("--tour", help="Play it unattended and judge it.")] = False,
    as_json: AsJson = False,
) -> None:
    """See Andon handle a VaR breach on a simulated trading system."""
    from bot.demo.live import run

    raise typer.Exit(run(tour=tour, as_json=as_json))


@app.command()
def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or directories; nothing: what is in force.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with the configuration, with file, line and fix, and what waits for a signature."""
    from bot.checking import check as run

    report = run(paths or [], _settings(config))
    _print(report, console.checked, as_json)
    if not report["ok"]:
        raise typer.Exit(WRONG)


@app.command()
def fire(
    labels: Annotated[list[str], typer.Argument(help="NAME=VALUE …; a word alone is the alertname.", metavar="LABEL…")],
    annotation: Annotated[list[str] | None, typer.Option("--annotation", "-a", help="NAME=VALUE, for people.")] = None,
    receiver: Annotated[str, typer.Option(help="As if sent to this Alertmanager receiver.")] = "andon-fire",
    resolved: Annotated[bool, typer.Option("--resolved", help="The alert is over, instead of firing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Inject an alert by hand, through the same way as any other, marked as yours."""
    body = {
        "labels": _pairs(labels, "alertname"),
        "annotations": _pairs(annotation or [], "summary"),
        "receiver": receiver,
        "status": "resolved" if resolved else "firing",
    }
    _ask(lambda api: api.post("/fire", body), console.fired, as_json)


@app.command()
def incidents(
    every: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    system: System = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List incidents, newest first."""
    query: dict[str, str | int] = {"limit": limit, **({"all": 1} if every else {}), **_named(system)}
    _ask(lambda api: api.get("/incidents", **query), console.incidents, as_json)


@app.command()
def show(incident: IncidentId, as_json: AsJson = False) -> None:
    """Tell one incident's story: how it stands, why, what was done, what comes next."""
    _ask(lambda api: api.get(f"/incidents/{_segment(incident)}"), console_story.incident, as_json)


@app.command()
def ack(incident: IncidentId, as_json: AsJson = False) -> None:
    """Say that you have seen it: paging stops, everything else goes on."""
    _ask(lambda api: api.post(f"/incidents/{_segment(incident)}/ack"), console.decisions, as_json)


@app.command()
def resolve(
    incident: IncidentId,
    note: Annotated[str, typer.Option(help="For the record: why it is over.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Also dismiss alerts that still fire.")] = False,
    as_json: AsJson = False,
) -> None:
    """Close the matter by hand."""
    body = {"note": note, "force": force}
    _ask(lambda api: api.post(f"/incidents/{_segment(incident)}/resolve", body), console.decisions, as_json)


@app.command()
def freeze(
    where: Where = "",
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it next.")] = "by hand",
    for_: Annotated[
        str, typer.Option("--for", help="Ask again after this long (10m, 2h); only a person lifts it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Switch automation off: everywhere, for one system, or for one component."""
    body: dict[str, Any] = {"reason": reason, **_place_of(where)}
    if for_:
        from policies.durations import parse

        body["for_ms"] = parse(for_)
    _ask(lambda api: api.post("/freeze", body), console.decisions, as_json)


@app.command()
def unfreeze(
    where: Where = "",
    every: Annotated[bool, typer.Option("--all", help="Every system.")] = False,
    as_json: AsJson = False,
) -> None:
    """Switch automation on again. What was denied meanwhile does not start by itself."""
    if bool(where) == every:
        raise InputError("WHERE", "name a SYSTEM or SYSTEM/COMPONENT, or say --all")
    _ask(lambda api: api.post("/unfreeze", _place_of(where)), console.decisions, as_json)


@app.command()
def arm(policy: PolicyName, system: System = "", as_json: AsJson = False) -> None:
    """Let a policy act."""
    _ask(lambda api: api.post("/arm", {"policy": policy, "system": system}), console.decisions, as_json)


@app.command()
def disarm(policy: PolicyName, system: System = "", as_json: AsJson = False) -> None:
    """Let a policy only watch."""
    _ask(lambda api: api.post("/disarm", {"policy": policy, "system": system}), console.decisions, as_json)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Is it well, what may act, what is frozen, what waits."""
    _ask(lambda api: api.get("/status"), console.status, as_json)


@app.command()
def targets(system: System = "", as_json: AsJson = False) -> None:
    """Every component: who acts on it, who waits, whether it is frozen."""
    _ask(lambda api: api.get("/targets", **_named(system)), console.targets, as_json)


@app.command("dead-letters")
def dead_letters(system: System = "", as_json: AsJson = False) -> None:
    """What could not be handled and was set aside."""
    _ask(lambda api: api.get("/dead-letters", **_named(system)), console.dead_letters, as_json)


@audit_app.command("verify")
def audit_verify(system: System = "", as_json: AsJson = False) -> None:
    """Walk every chain; find any edit, deletion, reordering or truncation. Exit code 1 if there is one."""
    answer = _ask(lambda api: api.get("/audit/verify", **_named(system)), console.verified, as_json)
    if not answer["ok"]:
        raise typer.Exit(REFUSED)


@audit_app.command("export")
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
            for chain in (await api.get("/audit", **_named(system)))["chains"]:
                where = f"/audit/{_segment(chain['system'])}/{_segment(chain['aggregate'])}"
                for entry in (await api.get(where))["entries"]:
                    target.write(json.dumps({**chain, **entry}, ensure_ascii=False) + "\n")
                    lines += 1
        finally:
            if output:
                target.close()
        return {"entries": lines}

    try:
        answer = _run(export)
    except OSError as error:
        if output is None:
            raise
        raise InputError("--output", f"{output}: {error.strerror}") from error
    if output:
        told = json.dumps(answer) if as_json else f"{answer['entries']} entries written to {output}"
        typer.echo(told, err=True)


@app.command()
def schema(
    kind: Annotated[
        str, typer.Argument(help="andon, people, policies or targets; nothing: all.", metavar="[KIND]")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print the JSON Schemas of the configuration files, for editors."""
    _ = as_json  # they are JSON anyhow; the flag makes errors JSON too, as everywhere
    from policies.schema import schemas
    from remediations.catalogue import CATALOGUE

    found = {name.removesuffix(".schema.json"): json.loads(text) for name, text in schemas(CATALOGUE).items()}
    if kind and kind not in found:
        raise InputError("KIND", f"no schema {kind!r}; there are: {', '.join(sorted(found))}")
    typer.echo(json.dumps(found[kind] if kind else found, indent=2, ensure_ascii=False))


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    typer.echo(json.dumps({"version": bot.__version__}) if as_json else f"andon {bot.__version__}")


def main() -> None:
    """The console entry point."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """One command, to its exit code. A supervision point: nobody ever sees a traceback."""
    as_json = "--json" in arguments
    try:
        ended = app(args=list(arguments), prog_name="andon", standalone_mode=not as_json)
        return ended if isinstance(ended, int) else 0
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else REFUSED
    except BrokenPipeError:  # the reader of our output has left; so do we, without a second complaint at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  the last supervision point: it becomes a sentence and an exit code
        if hasattr(error, "format_message"):  # the command line itself is wrong; typer has this class to itself
            told = {"error": error.format_message(), "exit_code": WRONG}
            typer.echo(json.dumps(told, ensure_ascii=False), err=True)
            return WRONG
        return _told(error, as_json)


def _told(error: BaseException, as_json: bool) -> int:
    """Say what went wrong, in a sentence and with its fix; returns the exit code it stands for."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case ConfigError() | InputError() | BadRequestError() | StoreUnsafe():
            code = WRONG
        case UnreachableError() | StoreUnavailable():
            code = UNREACHABLE
        case _:
            code = REFUSED
    text = str(error) if isinstance(error, AndonError) else f"unforeseen {type(error).__name__}: {error}"
    fix = str(getattr(error, "fix", ""))
    if as_json:
        typer.echo(json.dumps({"error": text, "exit_code": code, **({"fix": fix} if fix else {})}, ensure_ascii=False))
    else:
        screen = Console(stderr=True, soft_wrap=True)
        for line in text.splitlines() or [""]:
            screen.print(console.clean(line, "red"))
        if fix:
            screen.print(console.clean(fix))
    return code


def _settings(config: Path | None = None) -> Settings:
    """The environment's settings, with what the command line says instead."""
    found = settings.read()
    return found.model_copy(update={"config": config}) if config is not None else found


def _place(here: Settings) -> Place:
    """Where the running Andon is: as the environment says, else as andon.yaml says."""
    if here.api_url:
        return Place(url=here.api_url, token=here.api_token.get_secret_value() if here.api_token else "")
    if here.socket is not None:
        return Place(socket=here.socket)
    from bot.adapters.config_files import find_config
    from bot.places import api_socket, read_setup

    return Place(socket=api_socket(here, read_setup(find_config(here))))


def _run(work: Callable[[Api], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    async def talk() -> dict[str, Any]:
        async with connect(_place(_settings())) as api:
            return await work(api)

    return asyncio.run(talk())


def _ask(work: Callable[[Api], Awaitable[dict[str, Any]]], shown: Show, as_json: bool) -> dict[str, Any]:
    answer = _run(work)
    _print(answer, shown, as_json)
    return answer


def _print(answer: dict[str, Any], shown: Show, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    # Piped into a file or a pager, the width is one that mails and tickets can hold.
    screen = Console() if sys.stdout.isatty() else Console(width=120)
    screen.print(shown(answer))


def _pairs(words: Sequence[str], alone: str) -> dict[str, str]:
    """NAME=VALUE words as a mapping; a word without = is the value of `alone`."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise InputError(word, "write NAME=VALUE")
        found[name if equals else alone] = value if equals else name
    return found


def _place_of(where: str) -> dict[str, str]:
    """SYSTEM/COMPONENT as the API takes it."""
    system, _, component = where.partition("/")
    return {"system": system, "component": component}


def _named(system: str) -> dict[str, str]:
    return {"system": system} if system else {}


def _segment(text: str) -> str:
    """One segment of a path, whatever is in it."""
    from urllib.parse import quote

    return quote(text, safe="")


if __name__ == "__main__":
    main()
