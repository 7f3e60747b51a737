"""What every command of the CLI is made of: its common options, one conversation with the API, how an answer is shown.

Used by the `bot.cli_*` modules, each of which adds its commands to the application that `bot.cli` runs. Errors are
raised, never printed here: `bot.cli` turns them into a sentence and an exit code.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer
from rich.console import Console, RenderableType

from bot import settings
from bot.client import Api, Place, connect
from bot.errors import InputError
from bot.settings import Settings

REFUSED: Final = 1
WRONG: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Config = Annotated[Path | None, typer.Option("--config", help="Path of andon.yaml.")]
System = Annotated[str, typer.Option("--system", help="Only this trading system.")]
IncidentId = Annotated[str, typer.Argument(help="An incident's id, or its first letters.", metavar="INCIDENT")]
Show: TypeAlias = Callable[[dict[str, Any]], RenderableType]
Work: TypeAlias = Callable[[Api], Awaitable[dict[str, Any]]]


def settings_of(config: Path | None = None) -> Settings:
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


def converse(work: Work) -> dict[str, Any]:
    """One conversation with the running Andon, to its answer."""

    async def talk() -> dict[str, Any]:
        async with connect(_place(settings_of())) as api:
            return await work(api)

    return asyncio.run(talk())


def ask(work: Work, shown: Show, as_json: bool) -> dict[str, Any]:
    """`converse`, and show what came of it."""
    answer = converse(work)
    tell(answer, shown, as_json)
    return answer


def tell(answer: dict[str, Any], shown: Show, as_json: bool) -> None:
    """An answer on standard output, for a script or for a person."""
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    # Piped into a file or a pager, the width is one that mails and tickets can hold.
    screen = Console() if sys.stdout.isatty() else Console(width=120)
    screen.print(shown(answer))


def pairs(words: Sequence[str], alone: str) -> dict[str, str]:
    """NAME=VALUE words as a mapping; a word without = is the value of `alone`, or wrong where that is ""."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not (equals or alone):
            raise InputError(word or "an empty word", "write NAME=VALUE")
        found[name if equals else alone] = value if equals else name
    return found


def named(system: str) -> dict[str, str]:
    """`?system=`, where one is named."""
    return {"system": system} if system else {}


def segment(text: str) -> str:
    """One segment of a path, whatever is in it."""
    from urllib.parse import quote

    return quote(text, safe="")
