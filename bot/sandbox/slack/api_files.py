"""Uploads in three steps: an address, the bytes, and where they are shown.

Called by `web_api`; `take` is the upload address itself. Source:
https://docs.slack.dev/messaging/working-with-files
"""

from __future__ import annotations

import mimetypes
from typing import Any, Final

from bot.sandbox.slack.calls import Args, Refused
from bot.sandbox.slack.state import File, State

MAX_FILE: Final = 20_000_000  # bytes; a chart is well under 100 kB

_ANY: Final = "application/octet-stream"


def upload_url(state: State, args: Args) -> dict[str, Any]:
    """`files.getUploadURLExternal`."""
    name, length = args.need("filename"), args.number("length", 0)
    if not 0 < length <= MAX_FILE:
        raise Refused("invalid_arguments")
    file = File(state.world.fresh("F"), name, length, title=name, alt=args.text("alt_txt"))
    state.keep(file)
    return {"file_id": file.id, "upload_url": f"{state.aside}/upload/{file.id}"}


def take(state: State, file_id: str, content: bytes) -> bool:
    """Bytes that arrive; whether they were awaited, and as many as announced."""
    file = state.files.get(file_id)
    if file is None or file.content or len(content) != file.length:
        return False
    file.content = content
    return True


def complete(state: State, args: Args) -> dict[str, Any]:
    """`files.completeUploadExternal`: shown in a channel, which must be an id, or in none."""
    wanted = args.decoded("files", "invalid_arguments")
    if not isinstance(wanted, list) or not wanted:
        raise Refused("invalid_arguments")
    files = [_uploaded(state, each) for each in wanted]
    named = args.text("channel_id") or args.text("channels")
    for channel_id in filter(None, named.split(",")):
        channel = state.world.channels.get(channel_id)
        if channel is None:
            raise Refused("channel_not_found")
        if state.world.app.user not in channel.members:
            raise Refused("not_in_channel")
        state.world.post(
            channel.id, state.world.app.user, args.text("initial_comment"),
            thread_ts=args.text("thread_ts"), files=[file.id for file in files],
        )  # fmt: skip
        for file in files:
            file.channels.append(channel.id)
    for file, each in zip(files, wanted, strict=True):
        file.ready_at = state.world.clock() + state.faults.files_late_ms
        file.title = str(each.get("title") or file.name)
    return {"files": [record(state, file) for file in files]}


def info(state: State, args: Args) -> dict[str, Any]:
    """`files.info`."""
    file = state.files.get(args.need("file", "file_not_found"))
    if file is None or file.ready_at is None:
        raise Refused("file_not_found")
    return {"file": record(state, file)}


def record(state: State, file: File) -> dict[str, Any]:
    """A file as Slack shows one: while it is at work on it, of no type."""
    kind = (mimetypes.guess_type(file.name)[0] or _ANY) if state.showable(file.id) else ""
    address = f"{state.base}/files/{file.id}"
    return {
        "id": file.id, "name": file.name, "title": file.title, "mimetype": kind,
        "size": file.length, "url_private": address, "permalink": address, "channels": list(file.channels),
        "alt_txt": file.alt,
    }  # fmt: skip


def _uploaded(state: State, wanted: Any) -> File:
    file = state.files.get(str(wanted.get("id", ""))) if isinstance(wanted, dict) else None
    if file is None or not file.content:
        raise Refused("file_not_found")
    return file
