"""What Slack tells an app about what somebody did: commands, clicks, submissions, shortcuts, events.

Built by `acts` out of the state, sent by `courier`. Pure but for the triggers and answer addresses that it gives out.
Source: https://docs.slack.dev/interactivity and https://docs.slack.dev/apis/events-api
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.sandbox.slack.api_chat import shown
from bot.sandbox.slack.api_views import payload as view_payload
from bot.sandbox.slack.entries import PLACES, action_of, entered, initial
from bot.sandbox.slack.state import State, View
from bot.sandbox.slack.world import Channel, Posted, User, Version


def command(state: State, user: User, channel: Channel, name: str, text: str) -> dict[str, str]:
    """A slash command, as form fields."""
    app = state.world.app
    return {
        "token": app.verification_token, "team_id": state.world.team, "team_domain": state.world.domain,
        "channel_id": channel.id, "channel_name": "directmessage" if channel.dm_with else channel.name,
        "user_id": user.id, "user_name": user.name, "command": name, "text": text, "api_app_id": app.id,
        "is_enterprise_install": "false", "response_url": state.response_url(channel.id, user.id),
        "trigger_id": state.triggers.give(user.id),
    }  # fmt: skip


def click(
    state: State, user: User, posted: Posted, version: Version, block: str, element: Mapping[str, Any], chosen: Any
) -> dict[str, Any]:
    """A click in a message, which looked like `version` to whoever clicked."""
    action = acted(state, block, element, chosen)
    values = initial(version.blocks)
    if element["type"] in PLACES and element["type"] != "overflow":
        values[block][action_of(element)] = entered(element, chosen)
    container = {
        "type": "message", "message_ts": posted.ts, "channel_id": posted.channel,
        "is_ephemeral": bool(posted.only_for), **({"thread_ts": posted.thread_ts} if posted.reply else {}),
    }  # fmt: skip
    told = _interaction(state, user, "block_actions") | {
        "container": container, "channel": _channel(state, posted.channel), "state": {"values": values},
        "actions": [action], "response_url": state.response_url(posted.channel, user.id, posted.ts),
    }  # fmt: skip
    if not posted.only_for:  # Slack tells nothing of an ephemeral message but where it was
        told["message"] = shown(state, posted) | {"text": version.text, "blocks": list(version.blocks)}
    return told


def click_in_view(
    state: State, user: User, view: View, block: str, element: Mapping[str, Any], chosen: Any
) -> dict[str, Any]:
    """A click in a modal or in the Home tab."""
    return _interaction(state, user, "block_actions") | {
        "container": {"type": "view", "view_id": view.id}, "view": view_payload(state, view),
        "actions": [acted(state, block, element, chosen)],
    }  # fmt: skip


def submission(state: State, user: User, view: View) -> dict[str, Any]:
    """A modal that is sent."""
    return _interaction(state, user, "view_submission") | {"view": view_payload(state, view), "response_urls": []}


def closing(state: State, user: User, view: View, *, cleared: bool) -> dict[str, Any]:
    """A modal that is closed unsent."""
    told = _interaction(state, user, "view_closed") | {"view": view_payload(state, view), "is_cleared": cleared}
    del told["trigger_id"]
    return told


def shortcut(state: State, user: User, callback: str, posted: Posted | None) -> dict[str, Any]:
    """A shortcut: of a message, or a global one."""
    told = _interaction(state, user, "message_action" if posted else "shortcut")
    told |= {"callback_id": callback, "action_ts": state.world.fresh_ts()}
    if posted is not None:
        told |= {
            "message_ts": posted.ts, "channel": _channel(state, posted.channel), "message": shown(state, posted),
            "response_url": state.response_url(posted.channel, user.id, posted.ts),
        }  # fmt: skip
    return told


def mention(state: State, user: User, posted: Posted) -> dict[str, Any]:
    """Somebody said the app's name in a channel, or edited a message that does."""
    said = shown(state, posted)
    return _event(state, {**said, "type": "app_mention", "channel": posted.channel, "event_ts": posted.ts}, user)


def home_opened(state: State, user: User) -> dict[str, Any]:
    """Somebody looks at the app's Home tab."""
    view = state.homes.get(user.id)
    event: dict[str, Any] = {
        "type": "app_home_opened", "user": user.id, "channel": state.world.direct(user.id).id, "tab": "home",
        "event_ts": state.world.fresh_ts(), **({"view": view_payload(state, view)} if view else {}),
    }  # fmt: skip
    return _event(state, event, user)


def acted(state: State, block: str, element: Mapping[str, Any], chosen: Any) -> dict[str, Any]:
    """One entry of `actions`. Raises LookupError for a choice that is not offered."""
    at = state.world.fresh_ts()
    action = {"type": element["type"], "action_id": action_of(element), "block_id": block, "action_ts": at}
    if element["type"] != "button":
        return action | entered(element, chosen)
    return action | {name: element[name] for name in ("text", "value", "style", "url") if name in element}


def _interaction(state: State, user: User, kind: str) -> dict[str, Any]:
    app = state.world.app
    org = {"id": user.org, "name": user.org} if user.org and user.belongs_to(state.world.team) else None
    inside = {"enterprise_id": org["id"], "enterprise_name": org["name"]} if org else {}
    return {
        "type": kind, "token": app.verification_token, "api_app_id": app.id, "enterprise": org,
        "is_enterprise_install": False, "team": {"id": state.world.team, "domain": state.world.domain, **inside},
        "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team},
        "trigger_id": state.triggers.give(user.id),
    }  # fmt: skip


def _event(state: State, event: dict[str, Any], user: User) -> dict[str, Any]:
    app, world = state.world.app, state.world
    return {
        "token": app.verification_token, "team_id": world.team, "context_team_id": world.team, "api_app_id": app.id,
        "event": {**event, "team": user.team}, "type": "event_callback", "event_id": world.fresh("Ev"),
        "event_time": world.clock() // 1_000, "is_ext_shared_channel": user.stranger,
        "authorizations": [
            {"enterprise_id": None, "team_id": world.team, "user_id": app.user, "is_bot": True,
             "is_enterprise_install": False},
        ],
    }  # fmt: skip


def _channel(state: State, channel: str) -> dict[str, str]:
    place = state.world.channels[channel]
    return {"id": channel, "name": "directmessage" if place.dm_with else place.name}
