"""The `chat.*` and `reactions.*` methods: what the app says, changes and takes back.

Called by `web_api`. Errors: https://docs.slack.dev/reference/methods/chat.postMessage and its neighbours.
"""

from __future__ import annotations

import json
from typing import Any, Final

from bot.sandbox.slack.calls import Args, Refused, invalid
from bot.sandbox.slack.limits import problems
from bot.sandbox.slack.state import State
from bot.sandbox.slack.world import Block, Channel, Posted

MAX_TEXT: Final = 40_000  # cut off by chat.postMessage
MAX_UPDATE: Final = 4_000  # refused by chat.update
MAX_METADATA: Final = 8_000  # characters of JSON


def channel_of(state: State, args: Args, *, by_name: bool = False) -> Channel:
    """The channel an argument names, by id unless `by_name`. Raises Refused."""
    wanted = args.need("channel", "channel_not_found")
    world = state.world
    if by_name and wanted in world.users:
        return world.direct(wanted)
    channel = world.named(wanted) if by_name else world.channels.get(wanted)
    if channel is None or (channel.private and world.app.user not in channel.members):
        raise Refused("channel_not_found")
    return channel


def content_of(state: State, args: Args) -> tuple[str, list[Block]]:
    """Text and blocks, within all limits. Raises Refused."""
    blocks = args.decoded("blocks", "invalid_blocks_format")
    if blocks is not None and not isinstance(blocks, list):
        raise Refused("invalid_blocks_format")
    found = problems(blocks or [])
    if any(each.startswith("msg_blocks_too_long") for each in found):
        raise Refused("msg_blocks_too_long")
    if found:
        raise invalid(found)
    pictures(state, blocks or [])
    return args.text("text"), blocks or []


def pictures(state: State, blocks: list[Block]) -> None:
    """Uploaded files that blocks show are there, and Slack is through with them. Raises Refused."""
    for at, block in enumerate(blocks):
        wanted = block.get("slack_file", {}) if block.get("type") == "image" else {}
        if "id" in wanted and not state.showable(wanted["id"]):
            raise invalid([f"invalid slack file [json-pointer:/blocks/{at}/slack_file]"])


def _metadata(args: Args) -> dict[str, Any] | None:
    given = args.decoded("metadata", "invalid_metadata_format")
    if given is None:
        return None
    if not isinstance(given, dict) or not isinstance(given.get("event_type"), str):
        raise Refused("invalid_metadata_format")
    if not isinstance(given.get("event_payload"), dict):
        raise Refused("invalid_metadata_schema")
    if len(json.dumps(given)) > MAX_METADATA:
        raise Refused("metadata_too_large")
    return given


def _may_write(state: State, channel: Channel) -> None:
    app = state.world.app
    if channel.archived:
        raise Refused("is_archived")
    if channel.dm_with and not app.messages_tab:
        raise Refused("messages_tab_disabled")
    if app.user not in channel.members and "chat:write.public" not in app.scopes:
        raise Refused("not_in_channel")


def _parent(state: State, channel: Channel, ts: str) -> str:
    """The ts of the thread that a reply to `ts` belongs to. Raises Refused."""
    parent = state.world.message(channel.id, ts)
    if parent is None or parent.only_for:
        raise Refused("cannot_reply_to_message")
    return parent.thread_ts or parent.ts


def post_message(state: State, args: Args) -> dict[str, Any]:
    """`chat.postMessage`; the channel may be a name, or a user for direct messages."""
    channel = channel_of(state, args, by_name=True)
    text, blocks = content_of(state, args)
    if not text and not blocks:
        raise Refused("no_text")
    metadata = _metadata(args)
    _may_write(state, channel)
    thread = args.text("thread_ts")
    posted = state.world.post(
        channel.id, state.world.app.user, text[:MAX_TEXT], blocks,
        thread_ts=_parent(state, channel, thread) if thread else "",
        broadcast=bool(thread) and args.flag("reply_broadcast"), metadata=metadata,
    )  # fmt: skip
    return {"channel": channel.id, "ts": posted.ts, "message": shown(state, posted)}


def post_ephemeral(state: State, args: Args) -> dict[str, Any]:
    """`chat.postEphemeral`: only one member of the channel sees it, and it cannot be changed."""
    channel = channel_of(state, args, by_name=True)
    user = args.need("user", "user_not_in_channel")
    text, blocks = content_of(state, args)
    if not text and not blocks:
        raise Refused("no_text")
    _may_write(state, channel)
    if user not in channel.members:
        raise Refused("user_not_in_channel")
    posted = state.world.post(
        channel.id, state.world.app.user, text[:MAX_TEXT], blocks, only_for=user, thread_ts=args.text("thread_ts")
    )
    return {"message_ts": posted.ts}


def update(state: State, args: Args) -> dict[str, Any]:
    """`chat.update`: own, not ephemeral; text without blocks takes the blocks away."""
    channel = channel_of(state, args)
    posted = _message(state, channel, args.need("ts", "message_not_found"))
    text, blocks = content_of(state, args)
    if len(text) > MAX_UPDATE:
        raise Refused("msg_too_long")
    if not text and not blocks:
        raise Refused("no_text")
    if posted.user != state.world.app.user or posted.only_for:
        raise Refused("cant_update_message")
    metadata = _metadata(args)
    if channel.archived:
        raise Refused("is_archived")
    state.world.update(posted, text, blocks, metadata=metadata)
    if args.flag("reply_broadcast"):
        posted.broadcast = True
    return {"channel": channel.id, "ts": posted.ts, "text": text, "message": shown(state, posted)}


def delete(state: State, args: Args) -> dict[str, Any]:
    """`chat.delete`: own ones."""
    channel = channel_of(state, args)
    posted = _message(state, channel, args.need("ts", "message_not_found"))
    if posted.user != state.world.app.user or posted.only_for:
        raise Refused("cant_delete_message")
    state.world.delete(posted)
    return {"channel": channel.id, "ts": posted.ts}


def permalink(state: State, args: Args) -> dict[str, Any]:
    """`chat.getPermalink`."""
    channel = channel_of(state, args)
    posted = _message(state, channel, args.need("message_ts", "message_not_found"))
    link = f"{state.base}/archives/{channel.id}/p{posted.ts.replace('.', '')}"
    if posted.reply:
        link += f"?thread_ts={posted.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


def react(state: State, args: Args) -> dict[str, Any]:
    """`reactions.add`."""
    channel = channel_of(state, args)
    posted = _message(state, channel, args.need("timestamp", "message_not_found"))
    name = args.need("name", "invalid_name")
    by = posted.reactions.setdefault(name, [])
    if state.world.app.user in by:
        raise Refused("already_reacted")
    by.append(state.world.app.user)
    state.world.note("reaction", channel=channel.id, ts=posted.ts)
    return {}


def _message(state: State, channel: Channel, ts: str) -> Posted:
    posted = state.world.message(channel.id, ts)
    if posted is None:
        raise Refused("message_not_found")
    return posted


def shown(state: State, posted: Posted, *, metadata: bool = True) -> dict[str, Any]:
    """A message as Slack's API and payloads show it."""
    world = state.world
    author = world.users.get(posted.user)
    message: dict[str, Any] = {
        "type": "message", "user": posted.user, "text": posted.now.text, "ts": posted.ts, "team": world.team,
    }  # fmt: skip
    if posted.user == world.app.user:
        message |= {"bot_id": world.app.bot_id, "app_id": world.app.id}
    elif author is not None and author.bot:
        message |= {"bot_id": f"B{author.id[1:]}"}
    if posted.now.blocks:
        message["blocks"] = list(posted.now.blocks)
    if posted.metadata and metadata:
        message["metadata"] = posted.metadata
    if len(posted.versions) > 1:
        message["edited"] = {"user": posted.user, "ts": f"{posted.now.at // 1_000}.000000"}
    if posted.files:
        message["files"] = [{"id": each} for each in posted.files]
    if posted.only_for:
        message["is_ephemeral"] = True
    replies = world.replies(posted.channel, posted.ts)
    if posted.thread_ts or replies:
        message["thread_ts"] = posted.thread_ts or posted.ts
    if posted.reply and posted.broadcast:
        message["subtype"] = "thread_broadcast"
    if replies:
        message |= {"reply_count": len(replies), "latest_reply": replies[-1].ts}
    if posted.reactions:
        message["reactions"] = [{"name": k, "users": v, "count": len(v)} for k, v in posted.reactions.items()]
    return message
