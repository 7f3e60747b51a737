"""The methods about places and people: `auth.test`, `conversations.*`, `users.*`, `usergroups.*`.

Called by `web_api`. What has many items comes in pages, with a cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from bot.sandbox.slack.api_chat import channel_of, shown
from bot.sandbox.slack.calls import Args, Refused
from bot.sandbox.slack.state import State
from bot.sandbox.slack.world import Channel, Group, Posted, User

MAX_PAGE: Final = 1_000
MAX_CHANNELS: Final = 999  # "an integer under 1000"
PAGE: Final = 100  # when no limit is asked for
_Item = TypeVar("_Item")


def auth_test(state: State, _args: Args) -> dict[str, Any]:
    """Who the token is."""
    world = state.world
    return {
        "url": f"{state.base}/", "team": world.domain, "team_id": world.team, "user": world.app.name,
        "user_id": world.app.user, "bot_id": world.app.bot_id, "app_id": world.app.id, "is_enterprise_install": False,
    }  # fmt: skip


def history(state: State, args: Args) -> dict[str, Any]:
    """`conversations.history`: newest first, without replies, unless they were broadcast."""
    channel = _joined(state, args)
    found = [each for each in reversed(state.world.shown(channel.id)) if _within(each, args)]
    page, more = _page(found, args)
    metadata = args.flag("include_all_metadata")
    return {
        "messages": [shown(state, each, metadata=metadata) for each in page], "has_more": bool(more), **_cursor(more),
    }  # fmt: skip


def replies(state: State, args: Args) -> dict[str, Any]:
    """`conversations.replies`: the parent, then its replies, oldest first."""
    channel = _joined(state, args)
    parent = state.world.message(channel.id, args.need("ts", "thread_not_found"))
    if parent is None or parent.only_for:
        raise Refused("thread_not_found")
    first = state.world.message(channel.id, parent.thread_ts) if parent.reply else parent
    thread = first or parent
    found = [thread, *(each for each in state.world.replies(channel.id, thread.ts) if _within(each, args))]
    page, more = _page(found, args)
    metadata = args.flag("include_all_metadata")
    return {
        "messages": [shown(state, each, metadata=metadata) for each in page], "has_more": bool(more), **_cursor(more),
    }  # fmt: skip


def channel_info(state: State, args: Args) -> dict[str, Any]:
    """`conversations.info`."""
    return {"channel": _channel(state, channel_of(state, args))}


def channels(state: State, args: Args) -> dict[str, Any]:
    """`conversations.list`: public ones, and with types also the private ones that the app is in."""
    page, more = _listed(state, args, joined=False)
    return {"channels": [_channel(state, channel) for channel in page], **_cursor(more)}


def own_channels(state: State, args: Args) -> dict[str, Any]:
    """`users.conversations`: those that the app is in, without `is_member` and `num_members`."""
    page, more = _listed(state, args, joined=True)
    left_out = {"is_member", "num_members"}
    told = [{key: value for key, value in _channel(state, one).items() if key not in left_out} for one in page]
    return {"channels": told, **_cursor(more)}


def join(state: State, args: Args) -> dict[str, Any]:
    """`conversations.join`: a public channel."""
    channel = channel_of(state, args)
    if channel.private:
        raise Refused("method_not_supported_for_channel_type")
    if channel.archived:
        raise Refused("is_archived")
    channel.members.add(state.world.app.user)
    state.world.note("place", channel=channel.id)
    return {"channel": _channel(state, channel)}


def members(state: State, args: Args) -> dict[str, Any]:
    """`conversations.members`."""
    page, more = _page(sorted(channel_of(state, args).members), args)
    return {"members": list(page), **_cursor(more)}


def open_direct(state: State, args: Args) -> dict[str, Any]:
    """`conversations.open` with one user."""
    user = args.need("users", "users_list_not_supplied")
    if user not in state.world.users:
        raise Refused("user_not_found")
    return {"channel": {"id": state.world.direct(user).id}}


def user_info(state: State, args: Args) -> dict[str, Any]:
    """`users.info`."""
    user = state.world.users.get(args.need("user", "user_not_found"))
    if user is None:
        raise Refused("user_not_found")
    return {"user": member(state, user)}


def by_email(state: State, args: Args) -> dict[str, Any]:
    """`users.lookupByEmail`: active members of this workspace."""
    email = args.need("email", "users_not_found").lower()
    for user in state.world.users.values():
        if user.email.lower() == email and not user.deleted and user.belongs_to(state.world.team):
            return {"user": member(state, user)}
    raise Refused("users_not_found")


def users(state: State, args: Args) -> dict[str, Any]:
    """`users.list`: of this workspace, deactivated ones too."""
    page, more = _page([user for user in state.world.users.values() if user.belongs_to(state.world.team)], args)
    return {"members": [member(state, user) for user in page], **_cursor(more)}


def groups(state: State, args: Args) -> dict[str, Any]:
    """`usergroups.list`: enabled ones, with `include_disabled` all."""
    found = [group for group in state.world.groups.values() if args.flag("include_disabled") or not group.disabled]
    return {"usergroups": [_group(state, group, whole=args.flag("include_users")) for group in found]}


def group_users(state: State, args: Args) -> dict[str, Any]:
    """`usergroups.users.list`."""
    group = state.world.groups.get(args.need("usergroup", "no_such_subteam"))
    if group is None or (group.disabled and not args.flag("include_disabled")):
        raise Refused("no_such_subteam")
    return {"users": list(group.users)}


def member(state: State, user: User) -> dict[str, Any]:
    """A user as Slack shows one to an app; the email only with its scope.

    Somebody of another workspace is a stranger only while no channel of theirs is shared with the app.
    https://docs.slack.dev/reference/objects/user-object
    """
    email = {"email": user.email} if user.email and "users:read.email" in state.world.app.scopes else {}
    record: dict[str, Any] = {
        "id": user.id, "team_id": user.team, "name": user.name, "deleted": user.deleted, "is_bot": user.bot,
        "real_name": user.name, "profile": {"real_name": user.name, "display_name": user.name, **email},
    }  # fmt: skip
    if user.deleted:
        return record
    record |= {
        "is_restricted": user.restricted, "is_ultra_restricted": user.ultra_restricted, "is_admin": False,
        "is_owner": False, "is_app_user": False, "tz": "Etc/UTC", "tz_offset": 0,
    }  # fmt: skip
    if user.org:
        record["enterprise_user"] = {
            "id": user.id, "enterprise_id": user.org, "enterprise_name": user.org, "is_admin": False, "is_owner": False,
            "teams": list(user.teams),
        }  # fmt: skip
    met = any({user.id, state.world.app.user} <= channel.members for channel in state.world.channels.values())
    return record | ({"is_stranger": True} if user.stranger and not met else {})


def _listed(state: State, args: Args, *, joined: bool) -> tuple[Sequence[Channel], int]:
    """One page of channels. Archived ones are left out of the page, not replaced, so it may be short or empty."""
    if not 1 <= args.number("limit", PAGE) <= MAX_CHANNELS:
        raise Refused("invalid_limit")
    types, app = args.text("types", "public_channel").split(","), state.world.app.user
    for kind in types:
        _allow(state, "groups:read" if kind == "private_channel" else "channels:read")
    found = [
        channel
        for channel in state.world.channels.values()
        if not channel.dm_with
        and ("private_channel" if channel.private else "public_channel") in types
        and (app in channel.members or not (joined or channel.private))
    ]
    page, more = _page(found, args)
    return [channel for channel in page if not (channel.archived and args.flag("exclude_archived"))], more


def _allow(state: State, scope: str) -> None:
    """What each kind of channel needs. Raises Refused."""
    scopes = state.world.app.scopes
    if scope not in scopes:
        raise Refused("missing_scope", needed=scope, provided=",".join(scopes))


def _joined(state: State, args: Args) -> Channel:
    channel = channel_of(state, args)
    if state.world.app.user not in channel.members:
        raise Refused("not_in_channel")
    _allow(state, "groups:history" if channel.private else "channels:history")
    return channel


def _within(posted: Posted, args: Args) -> bool:
    """Between `oldest` and `latest`; at them only if `inclusive`. Ephemeral ones are in no history."""
    at, oldest, latest = float(posted.ts), float(args.text("oldest", "0") or 0), args.text("latest")
    until = float(latest) if latest and latest != "now" else float("inf")
    if posted.only_for:
        return False
    return oldest <= at <= until if args.flag("inclusive") else oldest < at < until


def _page(items: Sequence[_Item], args: Args) -> tuple[Sequence[_Item], int]:
    """One page, and where the next one begins (0: there is none)."""
    size = min(max(args.number("limit", PAGE), 1), MAX_PAGE)
    cursor = args.text("cursor").removeprefix("next:")
    if cursor and not cursor.isdecimal():
        raise Refused("invalid_cursor")
    start = int(cursor or 0)
    return items[start : start + size], start + size if start + size < len(items) else 0


def _cursor(more: int) -> dict[str, Any]:
    return {"response_metadata": {"next_cursor": f"next:{more}" if more else ""}}


def _channel(state: State, channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id, "name": channel.name, "is_channel": not channel.private and not channel.dm_with,
        "is_im": bool(channel.dm_with), "is_private": channel.private, "is_archived": channel.archived,
        "is_member": state.world.app.user in channel.members, "num_members": len(channel.members),
        "is_ext_shared": any(state.world.users[user].stranger for user in channel.members if user in state.world.users),
    }  # fmt: skip


def _group(state: State, group: Group, *, whole: bool) -> dict[str, Any]:
    users = {"users": list(group.users)} if whole else {}
    return {
        "id": group.id, "team_id": state.world.team, "is_usergroup": True, "name": group.handle,
        "handle": group.handle, "date_delete": int(group.disabled), "user_count": len(group.users), **users,
    }  # fmt: skip
