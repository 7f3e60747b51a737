"""`andon slack`: the app's manifest, and whether Slack is set up as Andon needs it. Added by `bot.cli`.

Neither command talks to a running Andon: `check` reads the configuration as a start would, and asks Slack itself.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from bot import console
from bot.cli_ask import REFUSED, UNREACHABLE, AsJson, Config, settings_of, tell

if TYPE_CHECKING:
    from bot.adapters.slack.check import Finding, Wanted
    from bot.configuration import Floor
    from bot.settings import Settings
    from policies.andon import SlackDoc

_DISCARDING: Final = ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET")  # with both set, slack-bolt drops the bot token


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        name="slack", help="The Slack app: its manifest, and whether it is set up.", no_args_is_help=True
    )
    group.command()(manifest)
    group.command()(check)
    app.add_typer(group)


def manifest(
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="Andon's public https address, for slack.mode: http.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print the app's manifest; paste it at https://api.slack.com/apps?new_app=1. Without --url: Socket Mode."""
    from bot.adapters.slack import manifest as shown

    told = json.dumps(shown.manifest(url), indent=2, ensure_ascii=False) if as_json else shown.text(url).rstrip("\n")
    typer.echo(told)


def check(
    join: Annotated[bool, typer.Option("--join", help="Also join the public channels that the policies name.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Ask Slack whether token, scopes, channels, groups, people, clock and line are as Andon needs them.

    Exit code 0: all is well; 1: something is wrong; 2: andon.yaml does not set Slack up; 3: Slack cannot be asked.
    """
    found = asyncio.run(_checked(settings_of(config), join=join))
    tell(found, _shown, as_json)
    if found["verdict"] != "ok":
        raise typer.Exit(REFUSED if found["verdict"] == "wrong" else UNREACHABLE)


async def _checked(settings: Settings, *, join: bool) -> dict[str, Any]:
    """Read the configuration, ask Slack. Raises ConfigError for what is wrong with the files or the secrets."""
    from bot import configuration, extensions
    from bot.adapters.clock import wall_ms
    from bot.adapters.config_files import find_config
    from bot.adapters.slack.check import check as run
    from bot.adapters.slack.check import worst
    from bot.adapters.slack.line.api import SlackApi
    from bot.adapters.targets_credentials import resolve
    from bot.errors import ConfigError

    floor = configuration.read(find_config(settings), wall_ms(), extensions.installed().catalogue)
    slack = floor.loaded.andon.slack
    if not slack.mode:
        raise ConfigError("andon.yaml sets no Slack up: add slack: {mode: socket, …}; docs/slack.md has all of it")
    token = resolve(slack.credentials, os.environ, owner="slack.credentials")
    if token is None:
        raise ConfigError("slack.credentials: the bot token is missing; docs/slack.md says where to find it")
    api = SlackApi(slack.api_url, token)
    try:
        findings = await run(api, _wanted(floor, slack), wall_ms(), join=join)
    finally:
        await api.close()
    findings += _environment()
    return {"verdict": worst(findings), "findings": [asdict(finding) for finding in findings]}


def _wanted(floor: Floor, slack: SlackDoc) -> Wanted:
    """What the configuration names of Slack's."""
    from bot.adapters.slack.check import Wanted
    from bot.adapters.targets_credentials import resolve

    channels = {slack.channel: "andon.yaml"}
    for plan in floor.book.policies():
        for channel in (plan.channel, *(rung.notify for rung in plan.ladder)):
            if channel:
                channels.setdefault(channel, f"{plan.system}/{plan.policy}")
    if slack.mode == "http":
        resolve(slack.signing_secret, os.environ, owner="slack.signing_secret")
    return Wanted(
        mode="http" if slack.mode == "http" else "socket", team=slack.team, channels=channels,
        people=floor.loaded.people, app_token=resolve(slack.app_credentials, os.environ, owner="slack.app_credentials"),
    )  # fmt: skip


def _environment() -> list[Finding]:
    """What in this environment would turn slack-bolt away from the configured token."""
    from bot.adapters.slack.check import Finding

    if not all(os.environ.get(name) for name in _DISCARDING):
        return []
    told = f"{' and '.join(_DISCARDING)} are set: slack-bolt would look for installed tokens instead"
    return [Finding("environment", "wrong", told, "unset them for Andon")]


def _shown(answer: dict[str, Any]) -> RenderableType:
    """A line for each finding, and its fix below what is wrong."""
    words = {"ok": ("ok     ", "green"), "wrong": ("WRONG  ", "bold red"), "untold": ("?      ", "yellow")}
    lines: list[Text] = []
    for found in answer["findings"]:
        line = Text.assemble(
            words[found["verdict"]], console.clean(f"{found['name']}: ", "bold"), console.clean(found["told"])
        )
        lines.append(line)
        if found["fix"] and found["verdict"] != "ok":
            lines.append(Text.assemble("       ", console.clean(found["fix"])))
    return Group(*lines)
