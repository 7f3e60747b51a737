"""Whom a message would disturb and where it would lead: the mentions and links that are live in what was shown.

Asked by tests (`LocalSlack.pinged`, `LocalSlack.linked`): text out of alerts must be neither. Pure. Source:
https://docs.slack.dev/messaging/formatting-message-text (automatic parsing, `verbatim`)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_MENTION: Final = re.compile(r"<(@[UW]\w+|!subteam\^S\w+|!here|!channel|!everyone)(?:\|[^<>]*)?>")
_LINK: Final = re.compile(r"<((?:https?|mailto|tel|slack):[^<>|]*)(?:\|[^<>]*)?>")
_BARE_MENTION: Final = re.compile(r"(?<!\w)@(?:here|channel|everyone)\b")
_BARE_LINK: Final = re.compile(r"https?://[^\s<>|]+")
_MANUAL: Final = re.compile(r"<[^<>]*>")


def pings(text: str, blocks: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Live mentions: `@U…`, `!subteam^S…`, `!here` and its like."""
    found = {each[1] for words, _ in _spoken(text, blocks) for each in _MENTION.finditer(words)}
    parsed = [_MANUAL.sub(" ", words) for words, verbatim in _spoken(text, blocks) if not verbatim]
    return frozenset(found | {"!" + each[0][1:] for words in parsed for each in _BARE_MENTION.finditer(words)})


def links(text: str, blocks: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Addresses that a reader could follow, buttons included."""
    found = {each[1] for words, _ in _spoken(text, blocks) for each in _LINK.finditer(words)}
    parsed = [_MANUAL.sub(" ", words) for words, verbatim in _spoken(text, blocks) if not verbatim]
    return frozenset(
        found | {each[0] for words in parsed for each in _BARE_LINK.finditer(words)} | set(_addresses(blocks))
    )


def _spoken(text: str, blocks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, bool]]:
    """Every text that is marked up, and whether Slack leaves its plain parts alone, as it does with `parse: none`."""
    yield text, True
    yield from _marked(blocks)


def _marked(value: Any) -> Iterator[tuple[str, bool]]:
    if isinstance(value, Mapping):
        if value.get("type") == "mrkdwn" and isinstance(value.get("text"), str):
            yield value["text"], value.get("verbatim") is True
        for inner in value.values():
            yield from _marked(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _marked(inner)


def _addresses(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (value[name] for name in ("url", "image_url", "title_url") if isinstance(value.get(name), str))
        for inner in value.values():
            yield from _addresses(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _addresses(inner)
