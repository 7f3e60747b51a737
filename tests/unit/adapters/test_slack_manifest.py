"""The Slack app's manifest: what Slack takes, what the listeners need, and one address at most."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot import cli
from bot.adapters.slack.heard import grammar, listeners
from bot.adapters.slack.manifest import SCOPES, manifest, text
from bot.errors import InputError
from bot.sandbox.slack.web_api import METHODS

ROOT = Path(__file__).parents[3]


def test_without_an_address_slack_calls_nobody() -> None:
    """Socket Mode needs no public address, so its manifest names none: a left-over URL would be called in vain."""
    shown = manifest()
    assert shown["settings"]["socket_mode_enabled"] is True
    assert "https://" not in json.dumps(shown)


def test_with_an_address_everything_goes_to_one_door() -> None:
    """Commands, events and clicks are posted to the same path, however the address was typed."""
    door = "https://andon.example.org/slack/events"
    for url in ("https://andon.example.org", "https://andon.example.org/", door, f" {door} "):
        shown = manifest(url)
        assert shown["settings"]["socket_mode_enabled"] is False
        assert shown["features"]["slash_commands"][0]["url"] == door
        assert shown["settings"]["event_subscriptions"]["request_url"] == door
        assert shown["settings"]["interactivity"]["request_url"] == door
    assert manifest("https://a.example/andon")["features"]["slash_commands"][0]["url"].endswith("/andon/slack/events")


@pytest.mark.parametrize(
    "url", ["http://andon.example.org", "andon.example.org", "https://", "https://[", "https://a.example/?x=1", "x"]
)
def test_what_slack_would_not_call_is_refused(url: str) -> None:
    """Slack posts to https only; the mistake is told before it is pasted."""
    with pytest.raises(InputError, match="--url"):
        manifest(url)


def test_it_is_within_what_slack_takes() -> None:
    """Slack refuses a manifest for one long name: https://docs.slack.dev/reference/app-manifest."""
    shown: dict[str, Any] = yaml.safe_load(text("https://andon.example.org"))
    assert shown == manifest("https://andon.example.org")
    about, (shortcut,), (command,) = (
        shown["display_information"], shown["features"]["shortcuts"], shown["features"]["slash_commands"],
    )  # fmt: skip
    assert len(about["name"]) <= 35
    assert len(about["description"]) <= 140
    assert len(shortcut["name"]) <= 24
    assert len(shortcut["description"]) <= 150
    assert len(command["usage_hint"]) <= 1_000
    assert len(shown["features"]["bot_user"]["display_name"]) <= 80


def test_it_names_what_the_listeners_listen_to() -> None:
    """A command or shortcut of another name would never arrive."""
    shown = manifest()
    assert shown["features"]["slash_commands"][0]["command"] == listeners.COMMAND
    assert shown["features"]["shortcuts"][0]["callback_id"] == listeners.SHORTCUT
    assert shown["settings"]["event_subscriptions"]["bot_events"] == ["app_home_opened", "app_mention"]


def test_every_scope_is_known_to_the_local_slack_and_used() -> None:
    """The shipped file is this manifest, and no scope is asked for that no method of Slack's needs."""
    needed = {scope for method in METHODS.values() for scope in method.scopes}
    assert set(SCOPES) - needed <= {"app_mentions:read", "commands"}  # of events and commands, not of methods
    assert (ROOT / "deploy" / "slack" / "manifest.yaml").read_text() == text()


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    """`andon slack manifest` is what is pasted, as YAML or JSON; a wrong address is a sentence and exit code 2."""
    assert cli.run(["slack", "manifest"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == manifest()
    assert cli.run(["slack", "manifest", "--json", "--url", "https://a.example"]) == 0
    assert json.loads(capsys.readouterr().out) == manifest("https://a.example")
    assert cli.run(["slack", "manifest", "--url", "http://a.example"]) == 2
    assert "--url" in capsys.readouterr().err


def test_the_page_tells_every_scope_and_every_verb() -> None:
    """docs/slack.md explains what is asked for and what can be typed; neither grows behind its back."""
    page = (ROOT / "docs" / "slack.md").read_text()
    assert [scope for scope in SCOPES if f"`{scope}`" not in page] == []
    typed = page.partition("## What to type")[2].partition("## How approvals")[0]
    words = set(re.findall(r"[a-z-]+", typed))
    assert [verb for verb in grammar.VERBS if verb not in words] == []
