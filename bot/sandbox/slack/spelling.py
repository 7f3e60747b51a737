"""How Slack passes on what people type: `&`, `<`, `>` escaped, and names that it knows turned into ids.

Used by `acts`. Source: https://docs.slack.dev/messaging/formatting-message-text and, for commands,
https://docs.slack.dev/interactivity/implementing-slash-commands (should_escape).
"""

from __future__ import annotations

import re
from typing import Final

from bot.sandbox.slack.world import World

# Ids that are written out already, as the page and tests do it, stay; everything else is text.
_READY: Final = re.compile(r"<(?:@[UW]\w+|#C\w+|!subteam\^S\w+)(?:\|[^<>]*)?>")
_NAME: Final = re.compile(r"(?<![\w<])([@#])([a-z0-9][a-z0-9._-]*)")


def as_typed(world: World, text: str) -> str:
    """`text` as an app gets it."""
    parts, last = [], 0
    for found in _READY.finditer(text):
        parts += [_plain(world, text[last : found.start()]), found[0]]
        last = found.end()
    return "".join([*parts, _plain(world, text[last:])])


def _plain(world: World, text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _NAME.sub(lambda found: _known(world, found[1], found[2]) or found[0], escaped)


def _known(world: World, mark: str, name: str) -> str:
    if mark == "#":
        return next((f"<#{each.id}|{name}>" for each in world.channels.values() if each.name == name), "")
    for user in world.users.values():
        if user.name == name:
            return f"<@{user.id}|{name}>"
    return next((f"<!subteam^{each.id}|@{name}>" for each in world.groups.values() if each.handle == name), "")
