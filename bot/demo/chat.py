"""The demo's Slack: the local one as a child process, and a page of it for people without an account.

Started by `bot.demo.stage` before the configuration is written, since that points at it. Whoever stands in people.yaml
is known there by the same name; the others there are nobody to Andon, and are told so.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.demo.config import APPROVER, PERSON
from bot.sandbox.children import Child, python
from bot.sandbox.slack import population

READY_WITHIN = 60.0  # seconds; usually one, but the first start of a fresh install compiles everything
CHANNEL = "C0OPS"  # where the shipped policies' cards go
MEMBERS = {PERSON: population.ONCALL, APPROVER: population.APPROVER, "demo-viewer": population.VIEWER}


@dataclass(frozen=True, slots=True)
class LocalSlackHere:
    """A local Slack that runs: its page, and what Andon is configured with to reach it."""

    page: str
    section: Mapping[str, str]  # the `slack:` of andon.yaml
    members: Mapping[str, str]  # person -> user id


async def start_chat(folder: Path, clock: str, stack: contextlib.AsyncExitStack) -> LocalSlackHere:
    """Start it, to be ended with `stack`. `clock` is what the demo runs on: the page shows times as cards do."""
    child = await Child.start(
        "slack", python("bot.sandbox.slack", "--with-parent"), folder / "slack.log", ready_line=True
    )
    stack.push_async_callback(child.end)
    ready = json.loads(await child.first_line(READY_WITHIN))
    section = {
        "mode": "socket",
        "credentials": _secret(folder / "slack-bot.token", ready["bot_token"]),
        "app_credentials": _secret(folder / "slack-app.token", ready["app_token"]),
        "api_url": ready["api_url"],
        "team": ready["team"],
        "channel": f"#{population.CHANNELS[CHANNEL]}",
    }
    return LocalSlackHere(f"{ready['url']}/?clock={clock}", section, MEMBERS)


def _secret(file: Path, text: str) -> str:
    """A reference to a file that only this user can read."""
    file.touch(mode=0o600)
    file.write_text(text)
    return f"file:{file}"
