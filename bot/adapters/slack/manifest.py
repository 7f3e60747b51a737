"""The Slack app, as Slack's own manifest: what it is called, what it listens to, what it may do and why.

Printed by `andon slack manifest`, shipped as deploy/slack/manifest.yaml (kept in step by docs/generate.py), compared
with the token's scopes by `check`. Format and limits: https://docs.slack.dev/reference/app-manifest
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from bot.adapters.slack.heard.listeners import COMMAND, SHORTCUT
from bot.errors import InputError

# Each scope of the bot token, and what would not work without it.
SCOPES: Final[Mapping[str, str]] = {
    "app_mentions:read": "hears whoever mentions it",
    "channels:history": "finds its own cards again after an outage, in public channels",
    "channels:join": "lets `andon slack check --join` join the public channels that policies name",
    "channels:read": "finds public channels by their names",
    "chat:write": "posts and edits cards",
    "commands": f"answers {COMMAND} and the message shortcut",
    "files:read": "sees when an uploaded chart can be shown",
    "files:write": "puts the chart of the evidence on a decision card",
    "groups:history": "finds its own cards again after an outage, in private channels",
    "groups:read": "finds private channels by their names",
    "usergroups:read": "reads rosters that are user groups (paid plans)",
    "users:read": "sees bots, guests and deactivated members, who decide nothing",
}
EVENTS: Final = ("app_home_opened", "app_mention")
PATH: Final = "/slack/events"  # of Andon's own door, in mode http

_HEAD: Final = """\
# The Slack app of Andon: https://api.slack.com/apps?new_app=1, "From a manifest". docs/slack.md has the rest.
# Generated: `andon slack manifest` prints it, with `--url` for the mode in which Slack calls Andon.
"""


def manifest(url: str = "") -> dict[str, Any]:
    """The manifest: for Socket Mode, or, with Andon's public address, for HTTP. Raises InputError for what is none."""
    to = _door(url) if url else ""
    command = {
        "command": COMMAND,
        "description": "Incidents, decisions and automation",
        "usage_hint": "help | status | show INCIDENT | ack INCIDENT | …",
        "should_escape": True,
    }
    events: dict[str, Any] = {"bot_events": list(EVENTS)}
    interactivity: dict[str, Any] = {"is_enabled": True}
    if to:
        command["url"] = events["request_url"] = interactivity["request_url"] = to
    shortcut = {
        "name": "Ask Andon about this", "type": "message", "callback_id": SHORTCUT,
        "description": "How the incident of this message stands, and what you can do",
    }  # fmt: skip
    return {
        "display_information": {
            "name": "Andon",
            "description": "Acts on alerts within policy, asks before the risky thing, accounts for all.",
            "background_color": "#7a1f1f",
        },
        "features": {
            # The tab is for what cannot be said anywhere else: to whoever pressed something on the Home tab.
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": True,
            },
            "bot_user": {"display_name": "andon", "always_online": True},
            "shortcuts": [shortcut],
            "slash_commands": [command],
        },
        "oauth_config": {"scopes": {"bot": sorted(SCOPES)}},
        "settings": {
            "event_subscriptions": events,
            "interactivity": interactivity,
            "org_deploy_enabled": False,
            "socket_mode_enabled": not to,
            "token_rotation_enabled": False,
        },
    }


def text(url: str = "") -> str:
    """The manifest as YAML, as Slack takes it."""
    shown = yaml.safe_dump(manifest(url), sort_keys=False, allow_unicode=True, width=120)
    return f"{_HEAD}{shown}"


def _door(url: str) -> str:
    """Where Slack sends what people do: our path at a public https address."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme != "https" or parts.query or parts.fragment or parts.username:
        raise InputError("--url", "is Andon's public address as Slack calls it, like https://andon.example.org")
    path = parts.path.rstrip("/")
    return f"https://{parts.netloc}{path if path.endswith(PATH) else path + PATH}"
