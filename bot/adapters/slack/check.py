"""Whether Slack is set up as Andon needs it: token, scopes, channels, groups, people, clock, line; a sentence for each.

`andon slack check` calls it with what the configuration names; it changes nothing, but joins public channels when it is
told to. Every finding says what is wrong and what to do; what Slack cannot be asked now is told as such.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias

from pydantic import SecretStr

from bot.adapters.slack.heard.members import against
from bot.adapters.slack.line.api import Listing, SlackApi, SlackRefusedError
from bot.adapters.slack.manifest import SCOPES
from bot.core.words import Millis
from bot.errors import DeliveryError
from policies.people import PeopleDocument

MAX_SKEW_MS: Final[Millis] = 60_000  # Slack's signatures and ours hold for 5 minutes; who is off by 1 drifts further
MAX_MEMBERS: Final = 60  # looked up one by one; users.info allows 100 a minute
MAX_NAMED: Final = 8  # names in one sentence

Verdict: TypeAlias = Literal["ok", "wrong", "untold"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, in words, and what to do about it."""

    name: str
    verdict: Verdict
    told: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the configuration names. `channels` as they are written there, each with who names it."""

    mode: Literal["socket", "http"]
    team: str
    channels: Mapping[str, str]
    people: PeopleDocument
    app_token: SecretStr | None = None


@dataclass(slots=True)
class _Heard:
    """Headers of the last answer."""

    headers: dict[str, str] = field(default_factory=dict)

    async def of(self, call: Awaitable[Any]) -> Any:
        answer = await call
        self.headers = {key.lower(): str(value) for key, value in answer.headers.items()}
        return answer


async def check(api: SlackApi, wanted: Wanted, now: Millis, *, join: bool = False) -> list[Finding]:
    """Everything that was found, in the order people would mend it. Raises nothing but for what is our mistake."""
    heard = _Heard()
    try:
        me = await api.ask("auth.test", heard.of(api.client.auth_test()))
    except DeliveryError as error:
        return [_token_trouble(error)]
    scopes = _scopes(heard.headers)
    return [
        _token(me, wanted),
        _missing(scopes),
        _clock(heard.headers, now),
        *await _channels(api, wanted.channels, join=join),
        *await _groups(api, wanted.people),
        *await _people(api, wanted, str(me.get("team_id", ""))),
        await _line(api, wanted),
    ]


def _token_trouble(error: DeliveryError) -> Finding:
    if isinstance(error, SlackRefusedError):
        fix = "copy the Bot User OAuth Token (xoxb-…) from OAuth & Permissions of the app, and install the app again"
        return Finding("token", "wrong", f"Slack does not take the bot token: {error.code}", fix)
    return Finding("token", "untold", str(error), "is slack.api_url right, and may this machine reach it?")


def _token(me: Mapping[str, Any], wanted: Wanted) -> Finding:
    team, bot = str(me.get("team_id", "")), str(me.get("user", ""))
    if not me.get("bot_id"):
        return Finding("token", "wrong", f"this is the token of a person ({bot})", "use the bot token, xoxb-…")
    if wanted.team and wanted.team != team:
        told = f"the token is of workspace {team}, andon.yaml says slack.team: {wanted.team}"
        return Finding("token", "wrong", told, "install the app in the right workspace, or correct slack.team")
    return Finding("token", "ok", f"{bot} in workspace {me.get('team', '')} ({team})")


def _scopes(headers: Mapping[str, str]) -> frozenset[str] | None:
    """What the token may do; None where Slack does not say."""
    listed = headers.get("x-oauth-scopes")
    return None if listed is None else frozenset(scope.strip() for scope in listed.split(",") if scope.strip())


def _missing(scopes: frozenset[str] | None) -> Finding:
    if scopes is None:
        return Finding("scopes", "untold", "Slack does not say what the token may do")
    missing = sorted(SCOPES.keys() - scopes)
    if not missing:
        return Finding("scopes", "ok", f"all {len(SCOPES)} that are needed")
    told = "; ".join(f"{scope} ({SCOPES[scope]})" for scope in missing)
    fix = "paste the manifest (`andon slack manifest`) into the app's settings, and install it again"
    return Finding("scopes", "wrong", f"missing: {told}", fix)


def _clock(headers: Mapping[str, str], now: Millis) -> Finding:
    try:
        theirs = round(parsedate_to_datetime(headers.get("date", "")).timestamp() * 1_000)
    except ValueError:
        return Finding("clock", "untold", "Slack does not say what time it is")
    skew = now - theirs
    if abs(skew) <= MAX_SKEW_MS:
        return Finding("clock", "ok", "agrees with Slack's to the minute")
    told = f"this machine is {abs(skew) // 1_000} s {'ahead of' if skew > 0 else 'behind'} Slack's clock"
    return Finding("clock", "wrong", told, "let chrony or systemd-timesyncd set it: past 5 minutes nothing is believed")


# --- channels -------------------------------------------------------------------------------------------------------


async def _channels(api: SlackApi, named: Mapping[str, str], *, join: bool) -> list[Finding]:
    try:
        found = await api.listed(named)
    except DeliveryError as error:
        return [Finding("channels", "untold", str(error))]
    return [await _channel(api, name, who, found, join=join) for name, who in sorted(named.items())]


async def _channel(api: SlackApi, name: str, who: str, found: Listing, *, join: bool) -> Finding:
    title, channel = f"channel {name}", found.named.get(name.removeprefix("#"))
    if channel is None and found.short:
        told = f"is not among the {found.seen:,} channels that could be looked through ({found.short})"
        fix = f"where it is there, type `/invite @andon` in it: then it is found at once (named by {who})"
        return Finding(title, "untold", told, fix)
    if channel is None:
        fix = f"create it, or type `/invite @andon` in it where it is private (named by {who})"
        return Finding(title, "wrong", "is not there, or is private and Andon is not in it", fix)
    if channel.get("is_archived"):
        return Finding(title, "wrong", "is archived", f"unarchive it, or name another one (named by {who})")
    if channel.get("is_member"):
        return Finding(title, "ok", "joined")
    fix = f"type `/invite @andon` in it, or run `andon slack check --join` (named by {who})"
    if not join or channel.get("is_private"):
        return Finding(title, "wrong", "Andon is not a member, so it could not find its cards again", fix)
    try:
        await api.join(str(channel.get("id")))
    except DeliveryError as error:
        return Finding(title, "wrong", f"could not be joined: {error}", fix)
    return Finding(title, "ok", "joined just now")


# --- people ---------------------------------------------------------------------------------------------------------


async def _groups(api: SlackApi, people: PeopleDocument) -> list[Finding]:
    findings = []
    known = {person.slack.user for person in people.people if person.slack is not None}
    for group in people.slack_groups():
        title = f"group {group}"
        try:
            answer = await api.ask("usergroups.users.list", api.client.usergroups_users_list(usergroup=group))
        except DeliveryError as error:
            fix = "people.yaml names it in rosters: use the group's id, S…, of this workspace (paid plans only)"
            findings.append(Finding(title, _verdict(error), str(error), fix))
            continue
        users = [str(user) for user in answer.get("users", [])]
        count = sum(user in known for user in users)
        if not count:
            fix = "add its members' slack: {team, user} to people.yaml; until then the roster is empty"
            findings.append(Finding(title, "wrong", f"none of its {len(users)} members is in people.yaml", fix))
        else:
            findings.append(Finding(title, "ok", f"{count} of its {len(users)} members are in people.yaml"))
    return findings


async def _people(api: SlackApi, wanted: Wanted, team: str) -> list[Finding]:
    """Who in people.yaml could not decide in Slack although the file says who they are there."""
    here = [person for person in wanted.people.people if person.slack is not None]
    if not here:
        fix = "add slack: {team: T…, user: U…} to each person in people.yaml; nobody can act from Slack before that"
        return [Finding("people", "wrong", "nobody in people.yaml has a Slack account", fix)]
    problems: dict[str, str] = {}
    for person in here[:MAX_MEMBERS]:
        assert person.slack is not None
        if person.slack.team != team:
            problems[person.id] = f"is of workspace {person.slack.team}"
            continue
        try:
            answer = await api.ask("users.info", api.client.users_info(user=person.slack.user))
        except SlackRefusedError as error:
            problems[person.id] = f"{person.slack.user}: {error.code}"
        except DeliveryError as error:
            return [Finding("people", "untold", str(error))]
        else:
            problem = against(answer.get("user"), person.slack.team)
            problems |= {person.id: problem} if problem else {}
    if problems:
        told = "; ".join(f"{who}: {why}" for who, why in list(problems.items())[:MAX_NAMED])
        return [Finding("people", "wrong", told, "correct slack: in people.yaml; they decide nothing from Slack")]
    return [Finding("people", "ok", f"{len(here)} of {len(wanted.people.people)} people are members in good standing")]


# --- the way in -----------------------------------------------------------------------------------------------------


async def _line(api: SlackApi, wanted: Wanted) -> Finding:
    if wanted.mode == "http":
        return Finding("line", "ok", "mode http: Slack calls /slack/events; its settings page shows whether that works")
    if wanted.app_token is None:
        return Finding("line", "wrong", "mode socket needs the app-level token", "set slack.app_credentials")
    token = wanted.app_token.get_secret_value()
    try:
        answer = await api.ask("apps.connections.open", api.client.apps_connections_open(app_token=token))
    except DeliveryError as error:
        fix = "Basic Information, App-Level Tokens: one with connections:write (xapp-…); and turn Socket Mode on"
        return Finding("line", _verdict(error), f"no Socket Mode line: {error}", fix)
    if not str(answer.get("url", "")).startswith(("wss://", "ws://")):
        return Finding("line", "wrong", "Slack gave no address for a Socket Mode line", "turn Socket Mode on")
    return Finding("line", "ok", "Socket Mode lines can be had")


def _verdict(error: DeliveryError) -> Verdict:
    """Slack's no is a finding; no answer is none."""
    return "wrong" if isinstance(error, SlackRefusedError) else "untold"


def worst(findings: Sequence[Finding]) -> Verdict:
    """How it all stands: one wrong thing is enough, and what could not be told is not well either."""
    verdicts = {finding.verdict for finding in findings}
    return "wrong" if "wrong" in verdicts else "untold" if "untold" in verdicts else "ok"
