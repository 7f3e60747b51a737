"""The command `andon`. Thin: each command reads its options, asks the API (or the configuration files), and shows.

Exit codes: 0 done · 1 refused or failed · 2 the input or the configuration is wrong (the message names file:line or
field) · 3 nobody answers, or the store cannot be reached · 130 interrupted. Every command that answers with facts takes
``--json``; then errors are JSON on standard output too (on standard error where the command line itself is wrong).
`main` is the console entry point. The commands themselves are in the `bot.cli_*` modules, by theme.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

import typer
from rich.console import Console

from bot import (
    cli_actions,
    cli_audit,
    cli_automation,
    cli_decisions,
    cli_house,
    cli_incidents,
    cli_kill_switch,
    cli_reload,
    cli_report,
    cli_slack,
    console,
)
from bot.cli_ask import INTERRUPTED, REFUSED, UNREACHABLE, WRONG
from bot.client import BadRequestError, UnreachableError
from bot.errors import AndonError, ConfigError, InputError, StoreUnavailable, StoreUnsafe

app = typer.Typer(
    name="andon",
    help="The cord of a trading floor: acts on alerts within policy, asks before the risky thing, accounts for all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
THEMES = (
    cli_house, cli_incidents, cli_decisions, cli_automation, cli_reload, cli_kill_switch, cli_audit, cli_report,
    cli_actions, cli_slack,
)  # fmt: skip
for theme in THEMES:
    theme.add(app)


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


if __name__ == "__main__":
    main()
