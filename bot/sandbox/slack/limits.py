"""Block Kit's limits as Slack documents them: what Slack would reject, named as Slack names it.

Called by the local Slack's Web API before it takes a message or a view, and by tests of whatever is rendered. Pure.
Source: https://docs.slack.dev/reference/block-kit (blocks, block elements, composition objects) and
https://docs.slack.dev/reference/views; the length of all blocks together, which that leaves out, was measured by users:
https://github.com/slackapi/bolt-js/issues/2509 (`msg_blocks_too_long`)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from bot.sandbox.slack.limits_elements import ACCESSORIES, CONTEXT_ELEMENTS, IN_ACTIONS, IN_INPUTS
from bot.sandbox.slack.limits_fields import (
    FILE_ID,
    Check,
    boolean,
    either,
    kinds,
    listed,
    one_of,
    plain,
    shape,
    string,
    text,
    url,
)  # fmt: skip

Surface: TypeAlias = Literal["message", "modal", "home"]

MAX_BLOCKS: Final[Mapping[Surface, int]] = {"message": 50, "modal": 100, "home": 100}
MAX_ALL_BLOCKS: Final = 11_000  # characters of text in a message's blocks; 11,341 were seen refused (bolt-js #2867)
MAX_HOME_BYTES: Final = 250_000  # https://docs.slack.dev/reference/methods/views.publish
MAX_PRIVATE: Final = 3_000
MAX_MARKDOWN: Final = 12_000
_BLOCK_ID: Final[Mapping[str, Check]] = {"block_id": string(255)}


def _needs_words(block: Mapping[str, Any], path: str) -> Iterator[str]:
    if "text" not in block and "fields" not in block:
        yield f"missing required field: text or fields [json-pointer:{path}]"


def _needs_picture(block: Mapping[str, Any], path: str) -> Iterator[str]:
    if ("image_url" in block) == ("slack_file" in block):
        yield f"exactly one of image_url and slack_file is needed [json-pointer:{path}]"


_SLACK_FILE = shape({}, {"id": FILE_ID, "url": url()})
_SECTION = shape(
    {},
    {
        "text": text(3_000), "fields": listed(text(2_000), most=10), "accessory": kinds(ACCESSORIES),
        "expand": boolean, **_BLOCK_ID,
    },
    also=_needs_words,
)  # fmt: skip
_IMAGE = shape(
    {"alt_text": string(2_000)},
    {"image_url": url(), "slack_file": _SLACK_FILE, "title": plain(2_000), **_BLOCK_ID},
    also=_needs_picture,
)
_SHOWN: Final[Mapping[str, Check]] = {
    "section": _SECTION,
    "header": shape({"text": plain(150)}, _BLOCK_ID),
    "divider": shape({}, _BLOCK_ID),
    "image": _IMAGE,
    "context": shape({"elements": listed(kinds(CONTEXT_ELEMENTS), most=10)}, _BLOCK_ID),
    "actions": shape({"elements": listed(kinds(IN_ACTIONS), most=25)}, _BLOCK_ID),
    "input": shape(
        {"label": plain(2_000), "element": kinds(IN_INPUTS)},
        {"hint": plain(2_000), "optional": boolean, "dispatch_action": boolean, **_BLOCK_ID},
    ),
    "rich_text": shape({"elements": listed(either(dict), most=100)}, _BLOCK_ID),
}
_BLOCKS: Final[Mapping[Surface, Mapping[str, Check]]] = {
    "message": {**_SHOWN, "markdown": shape({"text": string(MAX_MARKDOWN)}, _BLOCK_ID)},
    "modal": _SHOWN,
    "home": _SHOWN,
}
_VIEW: Final[Mapping[str, Check]] = {
    "blocks": either(list), "type": one_of("modal", "home"), "private_metadata": string(MAX_PRIVATE, least=0),
    "callback_id": string(255), "external_id": string(255, least=0),
}  # fmt: skip
_MODAL_ONLY: Final[Mapping[str, Check]] = {
    "submit": plain(24), "close": plain(24), "clear_on_close": boolean, "notify_on_close": boolean,
    "submit_disabled": boolean,
}  # fmt: skip
_VIEWS: Final[Mapping[str, Check]] = {
    "modal": shape({"title": plain(24), "blocks": either(list)}, {**_VIEW, **_MODAL_ONLY}),
    "home": shape({"blocks": either(list)}, _VIEW),
}


def problems(shown: Sequence[Any] | Mapping[str, Any]) -> list[str]:
    """What Slack would reject in a message's blocks, or in a view (`{"type": "modal", …}`); none: it is accepted."""
    if isinstance(shown, Mapping):
        return list(_view(shown))
    return list(_blocks(shown, "message"))


def text_length(blocks: object) -> int:
    """Characters of all text in `blocks`, which Slack bounds by `MAX_ALL_BLOCKS`."""
    if isinstance(blocks, Mapping):
        own = blocks.get("text")
        inner = sum(text_length(value) for key, value in blocks.items() if key != "text" or not isinstance(own, str))
        return inner + (len(own) if isinstance(own, str) else 0)
    if isinstance(blocks, Sequence) and not isinstance(blocks, str):
        return sum(text_length(each) for each in blocks)
    return 0


def _view(view: Mapping[str, Any]) -> Iterator[str]:
    surface = view.get("type")
    if surface not in ("modal", "home"):
        yield "must be one of the following values: modal, home [json-pointer:/view/type]"
        return
    yield from _VIEWS[surface](view, "/view")
    blocks = view.get("blocks")
    if not isinstance(blocks, list):
        return
    yield from _blocks(blocks, surface, "/view/blocks")
    if surface == "modal" and "submit" not in view and any(_is(block, "input") for block in blocks):
        yield "missing required field: submit, as there are input blocks [json-pointer:/view]"
    if surface == "home" and len(json.dumps(view, ensure_ascii=False).encode()) > MAX_HOME_BYTES:
        yield f"must be at most {MAX_HOME_BYTES} bytes [json-pointer:/view]"


def _blocks(blocks: Sequence[Any], surface: Surface, path: str = "/blocks") -> Iterator[str]:
    if len(blocks) > MAX_BLOCKS[surface]:
        yield f"no more than {MAX_BLOCKS[surface]} items allowed [json-pointer:{path}]"
    check = kinds(_BLOCKS[surface])
    named: set[str] = set()
    for at, block in enumerate(blocks):
        yield from check(block, f"{path}/{at}")
        if not isinstance(block, Mapping):
            continue
        yield from _actions(block, f"{path}/{at}")
        name = block.get("block_id")
        if isinstance(name, str) and name in named:
            yield f"block_id {name!r} already exists [json-pointer:{path}/{at}/block_id]"
        elif isinstance(name, str):
            named.add(name)
    if surface == "message":
        markdown = sum(len(str(block.get("text", ""))) for block in blocks if _is(block, "markdown"))
        if markdown > MAX_MARKDOWN:
            yield f"must be less than {MAX_MARKDOWN + 1} characters in all markdown blocks [json-pointer:{path}]"
        if text_length(blocks) > MAX_ALL_BLOCKS:
            yield f"msg_blocks_too_long: more than {MAX_ALL_BLOCKS} characters in all blocks [json-pointer:{path}]"


def _actions(block: Mapping[str, Any], path: str) -> Iterator[str]:
    """One `action_id` names one element of its block: an interaction could not be told apart otherwise."""
    named: set[str] = set()
    elements = block.get("elements")
    for at, element in enumerate(elements if isinstance(elements, list) else []):
        name = element.get("action_id") if isinstance(element, Mapping) else None
        if not isinstance(name, str):
            continue
        if name in named:
            yield f"action_id {name!r} already exists [json-pointer:{path}/elements/{at}/action_id]"
        named.add(name)


def _is(block: object, kind: str) -> bool:
    return isinstance(block, Mapping) and block.get("type") == kind
