"""Slack's payloads, read: who did it, where, and an id that repeats when Slack tells the same thing again. Pure.

Called by `listeners`. Shapes: https://docs.slack.dev/interactivity/handling-user-interaction
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bot.adapters.slack.heard.person import Deed
from bot.core.ids import digest

_MARK: Final = 20  # characters of a digest: no two commands of one person share them


def clicked(body: Mapping[str, Any], action: Mapping[str, Any]) -> Deed:
    """A button: the same click told twice has the same `action_ts`."""
    container = body.get("container", {})
    where = container.get("message_ts") or container.get("view_id") or ""
    team, user = _by(body)
    return Deed(
        id=f"slack/{team}/{user}/{where}/{action.get('action_ts', '')}", team=team, user=user, home=_home(body),
        trigger=str(body.get("trigger_id", "")), channel=str(container.get("channel_id", "")),
        thread=str(container.get("thread_ts") or container.get("message_ts") or ""),
        response_url=str(body.get("response_url", "")), alone=container.get("is_ephemeral") is True,
    )  # fmt: skip


def submitted(body: Mapping[str, Any]) -> Deed:
    """A modal: what is sent once has one hash."""
    team, user = _by(body)
    view = body["view"]
    return Deed(
        id=f"slack/{team}/{user}/{view.get('id', '')}/{view.get('hash', '')}", team=team, user=user,
        home=_home(body), view=str(view.get("id", "")),
    )  # fmt: skip


def commanded(body: Mapping[str, Any]) -> Deed:
    """A slash command: each has its own trigger."""
    team, user = str(body.get("team_id", "")), str(body.get("user_id", ""))
    trigger = str(body.get("trigger_id", ""))
    return Deed(
        id=f"slack/{team}/{user}/{_mark(trigger)}", team=team, user=user, trigger=trigger,
        channel=str(body.get("channel_id", "")), response_url=str(body.get("response_url", "")),
    )  # fmt: skip


def asked_about(body: Mapping[str, Any]) -> Deed:
    """A shortcut on a message."""
    team, user = _by(body)
    trigger = str(body.get("trigger_id", ""))
    return Deed(
        id=f"slack/{team}/{user}/{_mark(trigger)}", team=team, user=user, home=_home(body), trigger=trigger,
        channel=str((body.get("channel") or {}).get("id", "")), response_url=str(body.get("response_url", "")),
    )  # fmt: skip


def mentioned(body: Mapping[str, Any]) -> Deed:
    """An event: told again, it has the same `event_id`.

    It came to the workspace that Andon is installed in, also where the channel is another's: then `team_id` is theirs.
    """
    event, installed = body["event"], (body.get("authorizations") or [{}])[0]
    team, user = str(installed.get("team_id") or body.get("team_id", "")), str(event.get("user", ""))
    return Deed(
        id=f"slack/{team}/{user}/{body.get('event_id', '')}", team=team, user=user,
        home=str(event.get("user_team") or event.get("team") or ""),
        channel=str(event.get("channel", "")), thread=str(event.get("thread_ts") or ""),
    )  # fmt: skip


def _mark(trigger: str) -> str:
    """What tells one trigger from another. Ids go into the audit and the log; a trigger opens modals."""
    return digest(trigger)[:_MARK]


def _by(body: Mapping[str, Any]) -> tuple[str, str]:
    """(team, user): the workspace of the click, which is ours for strangers in a shared channel too.

    The user's own may be another one of the organisation, or the organisation itself, on Enterprise Grid
    (https://github.com/slackapi/bolt-js/issues/1875). It stands in for a `team` that is null
    (https://github.com/slackapi/deno-slack-runtime/issues/65).
    """
    user = body.get("user") or {}
    return str((body.get("team") or {}).get("id") or _home(body)), str(user.get("id", ""))


def _home(body: Mapping[str, Any]) -> str:
    return str((body.get("user") or {}).get("team_id") or "")
