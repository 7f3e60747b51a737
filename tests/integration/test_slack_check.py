"""`andon slack check` against a local Slack: each thing that can be wrong is found, named, and told how to mend."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot import cli
from bot.adapters.slack.check import Finding, Wanted, check, worst
from bot.adapters.slack.line.api import SlackApi
from bot.sandbox.slack.population import APPROVER, GONE, GUEST, ONCALL, STRANGER
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.slack.world import Channel
from policies.people import PeopleDocument

ROOT = Path(__file__).parents[2]
TEAM = "T0DESK"


def people(groups: tuple[str, ...] = ("S0APPROVE",), **users: str) -> PeopleDocument:
    """People with Slack accounts, and a roster from user groups."""
    accounts = users or {"demo-oncall": ONCALL, "demo-approver": APPROVER}
    listed = [{"id": who, "slack": {"team": TEAM, "user": user}} for who, user in accounts.items()]
    roster = {"system": "*", "risk": "risky", "slack_groups": list(groups)}
    return PeopleDocument.model_validate({"people": listed, "rosters": {"approvers": [roster]}})


WELL = Wanted(
    mode="socket", team=TEAM, channels={"#trading-ops-alerts": "andon.yaml", "#quant-emergency": "trading-core/x"},
    people=people(), app_token=SecretStr("xapp-local-app"),
)  # fmt: skip


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack() as slack:
        yield slack


async def found(
    slack: LocalSlack, wanted: Wanted = WELL, *, token: str = "xoxb-local-bot", join: bool = False
) -> dict[str, Finding]:
    """The findings, by name."""
    api = SlackApi(slack.api_url, SecretStr(token))
    try:
        findings = await check(api, wanted, slack.world.clock(), join=join)
    finally:
        await api.close()
    return {finding.name: finding for finding in findings}


async def test_a_set_up_that_is_well_says_so(slack: LocalSlack) -> None:
    """Everything was looked at, nothing is wrong, nothing was posted."""
    told = await found(slack)
    assert {name: each.verdict for name, each in told.items()} == dict.fromkeys(
        (
            "token", "scopes", "clock", "channel #trading-ops-alerts", "channel #quant-emergency", "group S0APPROVE",
            "people", "line",
        ),
        "ok",
    )  # fmt: skip
    assert worst(list(told.values())) == "ok"
    assert told["group S0APPROVE"].told == "1 of its 3 members are in people.yaml"
    assert slack.called("chat.postMessage") == []


async def test_a_token_that_is_none_ends_the_check(slack: LocalSlack) -> None:
    """One sentence says where the right one is; an app-level token in its place is told apart by Slack's own word."""
    told = await found(slack, token="xoxb-of-yesterday")
    assert list(told) == ["token"]
    assert told["token"].verdict == "wrong"
    assert "invalid_auth" in told["token"].told
    assert "OAuth & Permissions" in told["token"].fix
    assert "not_allowed_token_type" in (await found(slack, token="xapp-local-app"))["token"].told


async def test_a_slack_that_is_away_is_no_finding_about_the_set_up(slack: LocalSlack) -> None:
    """Nothing is called wrong that nobody could look at; a limit that was reached is told as such."""
    slack.outage("error")
    told = await found(slack)
    assert [each.verdict for each in told.values()] == ["untold"]
    slack.outage("")
    slack.faults.failing = {"users.conversations": "internal_error", "users.info": "ratelimited"}
    told = await found(slack)
    assert told["channels"].verdict == "untold"
    assert told["people"].verdict == "untold"
    assert worst(list(told.values())) == "untold"


async def test_missing_scopes_are_named_with_what_they_are_for(slack: LocalSlack) -> None:
    """The reader learns what would not work, and what to paste where."""
    kept = tuple(scope for scope in slack.world.app.scopes if scope not in ("files:write", "usergroups:read"))
    slack.world.app.scopes = kept
    told = await found(slack)
    assert told["scopes"].verdict == "wrong"
    assert "files:write (puts the chart" in told["scopes"].told
    assert "andon slack manifest" in told["scopes"].fix
    assert "missing_scope" in told["group S0APPROVE"].told


async def test_a_clock_that_is_wrong_is_told(slack: LocalSlack) -> None:
    """Past five minutes no signature is believed; a drift is told before that."""
    slack.faults.skew_s = 90
    told = await found(slack)
    assert told["clock"].verdict == "wrong"
    assert "behind" in told["clock"].told


async def test_channels_are_there_and_joined(slack: LocalSlack) -> None:
    """One that does not exist, one that is not joined, one that is archived; `--join` joins what it may."""
    slack.world.channels["C0DATA"].archived = True
    named = {"#not-joined": "a/b", "#nowhere": "a/c", "#trading-data-alerts": "a/d", "C0OPS": "andon.yaml"}
    wanted = replace(WELL, channels=named)
    told = await found(slack, wanted)
    assert told["channel C0OPS"].verdict == "ok"
    assert "not a member" in told["channel #not-joined"].told
    assert "/invite @andon" in told["channel #nowhere"].fix
    assert "(named by a/c)" in told["channel #nowhere"].fix
    assert "archived" in told["channel #trading-data-alerts"].told
    assert slack.called("conversations.join") == []
    told = await found(slack, wanted, join=True)
    assert told["channel #not-joined"].told == "joined just now"
    assert slack.world.app.user in slack.world.channels["C0QUIET"].members


async def test_channels_of_a_large_workspace_are_found(slack: LocalSlack) -> None:
    """Neither the default channel nor one that nobody joined is called missing because 2,500 others come first."""
    others = {f"C1{number:04}": Channel(id=f"C1{number:04}", name=f"room-{number}") for number in range(2_500)}
    slack.world.channels = others | slack.world.channels
    told = await found(slack, replace(WELL, channels={"#trading-ops-alerts": "andon.yaml", "#not-joined": "a/b"}))
    assert told["channel #trading-ops-alerts"].verdict == "ok"
    assert "not a member" in told["channel #not-joined"].told
    assert "is not there" in (await found(slack, replace(WELL, channels={"#nowhere": "a/c"})))["channel #nowhere"].told


async def test_where_not_all_channels_were_looked_at_none_is_called_missing(slack: LocalSlack) -> None:
    """It says how many it looked at; nobody is told to create what may be there."""
    slack.faults.failing = {"conversations.list": "ratelimited"}
    told = await found(slack, replace(WELL, channels={"#trading-ops-alerts": "andon.yaml", "#nowhere": "a/c"}))
    assert told["channel #trading-ops-alerts"].verdict == "ok"
    finding = told["channel #nowhere"]
    assert finding.verdict == "untold"
    assert "is not among the 4 channels that could be looked through" in finding.told
    assert "takes no more conversations.list" in finding.told
    assert "/invite @andon" in finding.fix
    assert "create" not in finding.fix


async def test_who_could_not_decide_is_told(slack: LocalSlack) -> None:
    """Guests, former members, strangers and unknown accounts in people.yaml; a group nobody of whom is known."""
    listed = people(
        ("S0NOWHERE", "S0ONCALL"),
        **{"demo-a": GUEST, "demo-b": GONE, "demo-c": STRANGER, "demo-d": "U0NOBODY", "demo-e": APPROVER},
    )
    told = await found(slack, replace(WELL, people=listed))
    assert told["people"].verdict == "wrong"
    for words in (
        "demo-a: guests of the workspace",
        "demo-b: this Slack account is deactivated",
        "demo-c: ",
        "demo-d: U0NOBODY: user_not_found",
    ):
        assert words in told["people"].told
    assert "demo-e" not in told["people"].told
    assert told["group S0NOWHERE"].verdict == "wrong"
    assert "none of its 1 members" in told["group S0ONCALL"].told
    nobody = replace(WELL, people=PeopleDocument.model_validate({"people": [{"id": "demo-oncall"}]}))
    assert "nobody in people.yaml has a Slack account" in (await found(slack, nobody))["people"].told


async def test_the_workspaces_of_an_organisation_are_told_apart(slack: LocalSlack) -> None:
    """On Enterprise Grid: a member of ours is one wherever they are at home, a member of the others alone is none."""
    theirs = slack.world.users[APPROVER]
    for home in ("E0ORG", "T0SECOND", TEAM):
        slack.world.change_user(replace(theirs, team=home, org="E0ORG", teams=("T0SECOND", TEAM)))
        assert (await found(slack))["people"].verdict == "ok", home
    for home in ("E0ORG", "T0SECOND"):
        slack.world.change_user(replace(theirs, team=home, org="E0ORG", teams=("T0SECOND",)))
        assert "demo-approver: you are of another workspace" in (await found(slack))["people"].told, home


async def test_another_workspace_is_told(slack: LocalSlack) -> None:
    """A token of one workspace and people of another: everything would look well, and nobody could act."""
    assert "T0OTHER" in (await found(slack, replace(WELL, team="T0OTHER")))["token"].told


async def test_the_line_needs_its_own_token(slack: LocalSlack) -> None:
    """The bot token opens no line; without Socket Mode none is asked for."""
    told = await found(slack, replace(WELL, app_token=SecretStr("xoxb-local-bot")))
    assert told["line"].verdict == "wrong"
    assert "connections:write" in told["line"].fix
    assert (await found(slack, replace(WELL, app_token=None)))["line"].verdict == "wrong"
    calls = len(slack.called("apps.connections.open"))
    assert (await found(slack, replace(WELL, mode="http", app_token=None)))["line"].verdict == "ok"
    assert len(slack.called("apps.connections.open")) == calls


@pytest.fixture
def floor(tmp_path: Path, slack: LocalSlack, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped configuration, talking to the local Slack."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    config = tmp_path / "configs" / "andon.yaml"
    face = {
        "mode": "socket", "credentials": "env:BOT", "app_credentials": "env:APP", "channel": "#trading-ops-alerts",
        "api_url": slack.api_url,
    }  # fmt: skip
    config.write_text(f"{config.read_text()}\nslack: {json.dumps(face)}\n")
    monkeypatch.setenv("BOT", "xoxb-local-bot")
    monkeypatch.setenv("APP", "xapp-local-app")
    return config


async def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The command in a thread of its own: it has a loop of its own."""
    code = await asyncio.to_thread(cli.run, ["slack", "check", *words])
    out, err = capfd.readouterr()
    return code, out, err


async def test_the_command_tells_each_finding(
    floor: Path, slack: LocalSlack, capfd: pytest.CaptureFixture[str]
) -> None:
    """People without accounts are the one thing wrong with the shipped configuration: exit code 1, and its fix."""
    code, out, _ = await run(capfd, "--config", str(floor))
    assert code == 1
    assert "WRONG  people: nobody in people.yaml has a Slack account" in out
    assert "add slack: {team: T…, user: U…}" in out
    assert "ok     channel #quant-emergency: joined" in out
    code, out, _ = await run(capfd, "--config", str(floor), "--json")
    told: dict[str, Any] = json.loads(out)
    assert code == 1
    assert told["verdict"] == "wrong"
    assert {each["name"] for each in told["findings"] if each["verdict"] == "wrong"} == {"people"}
    slack.outage("cut")
    assert (await run(capfd, "--config", str(floor)))[0] == 3


async def test_the_command_wants_a_set_up(
    floor: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without slack: in andon.yaml, or without the secret it names, it says so: exit code 2."""
    monkeypatch.delenv("BOT")
    code, _, err = await run(capfd, "--config", str(floor))
    assert code == 2
    assert "BOT" in err
    code, _, err = await run(capfd, "--config", str(ROOT / "configs" / "andon.yaml"))
    assert code == 2
    assert "docs/slack.md" in err


async def test_the_environment_cannot_turn_the_token_away(
    floor: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two variables make slack-bolt drop the configured token; that is told, and no secret is ever shown."""
    monkeypatch.setenv("SLACK_CLIENT_ID", "1")
    monkeypatch.setenv("SLACK_CLIENT_SECRET", "canary-secret")
    _, out, err = await run(capfd, "--config", str(floor))
    assert "WRONG  environment" in out
    assert not any(secret in out + err for secret in ("canary-secret", "xoxb-local-bot", "xapp-local-app"))
