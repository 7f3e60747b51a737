"""Block Kit's blocks, each within its limits: whatever is put in, what comes out is never refused. Pure.

Used by everything here that renders. mrkdwn is put together from `text` (escaped there) and shown `verbatim`, so Slack
makes no links and no mentions of its own; plain text is foreign or ours, and shows no emoji codes.
Limits: https://docs.slack.dev/reference/block-kit; all blocks together: https://github.com/slackapi/bolt-js/issues/2509
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from bot.adapters.slack.cards.shapes import MAX_VALUE, Block, Message, Ref, Verb, action_id
from bot.adapters.slack.cards.text import MAX_FALLBACK, clip, length, literal, web

MAX_BLOCKS: Final = 50  # of a message
MAX_VIEW_BLOCKS: Final = 100  # of a modal or a Home tab
MAX_SECTION: Final = 3_000
MAX_FIELDS: Final = 10
MAX_FIELD: Final = 2_000
MAX_HEADER: Final = 150
MAX_CONTEXT: Final = 10  # elements
MAX_ACTIONS: Final = 25
MAX_LABEL: Final = 75  # of a button
MAX_CONFIRM_TITLE: Final = 100
MAX_CONFIRM: Final = 300
MAX_CONFIRM_LABEL: Final = 30
MAX_ALT: Final = 2_000
MAX_ALL: Final = 10_500  # characters in all blocks of a message: 11,341 were refused as `msg_blocks_too_long`

Style = Literal["", "primary", "danger"]


def mrkdwn(words: str, limit: int = MAX_SECTION) -> Block:
    """Words of `text`, as they stand; "-" for none, since Slack refuses an empty text."""
    return {"type": "mrkdwn", "text": clip(words.strip("\n"), limit) or "-", "verbatim": True}


def plain(value: object, limit: int) -> Block:
    """Foreign text or ours, shown letter by letter."""
    return {"type": "plain_text", "text": clip(literal(value), limit) or "-", "emoji": False}


def header(value: object) -> Block:
    """The big line on top."""
    return {"type": "header", "text": plain(value, MAX_HEADER)}


def section(words: str = "", *, fields: Sequence[str] = (), accessory: Block | None = None) -> Block:
    """A paragraph, with up to ten fields in two columns below it and a button or a picture beside it."""
    block: Block = {"type": "section"}
    if words or not fields:
        block["text"] = mrkdwn(words)
    if fields:
        block["fields"] = [mrkdwn(each, MAX_FIELD) for each in fields[:MAX_FIELDS]]
    if accessory is not None:
        block["accessory"] = accessory
    return block


def context(*words: str) -> Block:
    """Small print: each of `words` is an element of its own."""
    return {"type": "context", "elements": [mrkdwn(each) for each in words[:MAX_CONTEXT]] or [mrkdwn("")]}


def divider() -> Block:
    return {"type": "divider"}


def actions(buttons: Sequence[Block], block_id: str = "") -> Block:
    """A row of buttons; at least one, each with an `action_id` of its own."""
    block: Block = {"type": "actions", "elements": list(buttons[:MAX_ACTIONS])}
    return block | {"block_id": block_id} if block_id else block


def button(
    label: str, verb: Verb, ref: Ref | str, *, place: str = "", style: Style = "", confirm: Block | None = None
) -> Block:
    """A button that says `verb` about `ref` (or about what its text names)."""
    value = ref.text if isinstance(ref, Ref) else ref
    assert len(value) <= MAX_VALUE, "a cut value would be about something else"
    block: Block = {"type": "button", "text": plain(label, MAX_LABEL), "action_id": action_id(verb, place)}
    block |= {"value": value} if value else {}
    block |= {"style": style} if style else {}
    return block | {"confirm": confirm} if confirm is not None else block


def link_button(label: str, url: str, place: str) -> Block | None:
    """A button that opens an address of the configuration; None where that is no web address."""
    address = web(url)
    if not address:
        return None
    return {"type": "button", "text": plain(label, MAX_LABEL), "action_id": action_id("show", place), "url": address}


def confirm(title: str, words: str, yes: str, no: str, *, danger: bool = False) -> Block:
    """The question Slack asks before a button counts."""
    block: Block = {
        "title": plain(title, MAX_CONFIRM_TITLE),
        "text": mrkdwn(words, MAX_CONFIRM),
        "confirm": plain(yes, MAX_CONFIRM_LABEL),
        "deny": plain(no, MAX_CONFIRM_LABEL),
    }
    return block | {"style": "danger"} if danger else block


def picture(file: str, alt: object) -> Block:
    """A file that was uploaded to Slack (its id), told in words for whom does not see it."""
    return {"type": "image", "slack_file": {"id": file}, "alt_text": clip(literal(alt), MAX_ALT) or "-"}


def message(words: str, blocks: Iterable[Block]) -> Message:
    """A message within what Slack takes of all blocks together.

    What goes first is words, longest first: buttons and headers stay whole, since a decision must stay possible.
    """
    kept = list(blocks)
    kept = kept if len(kept) <= MAX_BLOCKS else [*kept[: MAX_BLOCKS - 1], kept[-1]]  # the last one has the buttons
    while (over := words_in(kept) - MAX_ALL) > 0:
        longest = max(_texts(kept), key=lambda each: len(each["text"]), default={"text": ""})
        size = length(longest["text"])
        if size <= 1:
            break  # nothing but headers and buttons is left, and of those there is no such number
        longest["text"] = clip(longest["text"], max(1, size - max(over, size // 4)))
    return Message(text=clip(words, MAX_FALLBACK) or "-", blocks=tuple(kept))


def words_in(part: Any) -> int:
    """Characters of all text in blocks."""
    if isinstance(part, dict):
        own = part.get("text")
        return (length(own) if isinstance(own, str) else 0) + sum(
            words_in(value) for value in part.values() if not isinstance(value, str)
        )
    return sum(words_in(each) for each in part) if isinstance(part, list | tuple) else 0


def _texts(part: Any) -> list[Block]:
    """Every mrkdwn text in blocks, where it stands."""
    if isinstance(part, dict):
        own = [part] if part.get("type") == "mrkdwn" else []
        return own + [found for value in part.values() for found in _texts(value)]
    return [found for each in part for found in _texts(each)] if isinstance(part, list | tuple) else []
