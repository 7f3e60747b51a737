"""The little language that Block Kit's limits are written in: one checker a field, put together into shapes.

Used by `limits` and `limits_elements`. A checker yields what is wrong, with a JSON pointer, in Slack's words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

Check: TypeAlias = Callable[[Any, str], Iterator[str]]

MAX_URL: Final = 3_000


def _nothing(_value: Any, _path: str) -> Iterator[str]:
    return iter(())


def either(*types: type) -> Check:
    """Any value of one of `types`; what is inside is checked elsewhere or not at all."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, types):
            yield f"must be a {' or '.join(each.__name__ for each in types)} [json-pointer:{path}]"

    return check


def boolean(value: Any, path: str) -> Iterator[str]:
    """True or false."""
    if not isinstance(value, bool):
        yield f"must be a bool [json-pointer:{path}]"


def string(most: int, least: int = 1) -> Check:
    """A string of `least` to `most` characters."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield f"must be a string [json-pointer:{path}]"
        elif len(value) < least:
            yield f"must be more than {least - 1} characters [json-pointer:{path}]"
        elif len(value) > most:
            yield f"must be less than {most + 1} characters [json-pointer:{path}]"

    return check


def number(least: int, most: int) -> Check:
    """A whole number within bounds."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            yield f"must be an integer from {least} to {most} [json-pointer:{path}]"

    return check


def one_of(*values: str) -> Check:
    """One of a few words."""

    def check(value: Any, path: str) -> Iterator[str]:
        if value not in values:
            yield f"must be one of the following values: {', '.join(values)} [json-pointer:{path}]"

    return check


def url(most: int = MAX_URL) -> Check:
    """An address that a browser can open."""
    length = string(most)

    def check(value: Any, path: str) -> Iterator[str]:
        wrong = list(length(value, path))
        if not wrong:
            try:
                parts = urlsplit(value)
            except ValueError:
                parts = urlsplit("")
            if parts.scheme not in ("http", "https") or not parts.netloc or " " in value:
                wrong = [f"must be a valid URL [json-pointer:{path}]"]
        yield from wrong

    return check


def matching(pattern: str, words: str) -> Check:
    """A string that is wholly like `pattern`; `words` say what that is."""
    compiled = re.compile(pattern)

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            yield f"must be {words} [json-pointer:{path}]"

    return check


FILE_ID: Final = matching(r"F[A-Z0-9]{8,}", "the id of a file, F and 8 or more letters and digits")


def listed(check: Check, *, most: int, least: int = 1) -> Check:
    """A list of `least` to `most` items, each of which passes `check`."""

    def check_all(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"must be an array [json-pointer:{path}]"
            return
        if len(value) < least:
            yield f"no fewer than {least} items allowed [json-pointer:{path}]"
        if len(value) > most:
            yield f"no more than {most} items allowed [json-pointer:{path}]"
        for at, item in enumerate(value):
            yield from check(item, f"{path}/{at}")

    return check_all


def shape(required: Mapping[str, Check], optional: Mapping[str, Check], also: Check = _nothing) -> Check:
    """An object with these fields and no other; `type` was looked at before."""
    fields = {**optional, **required}

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield f"must be an object [json-pointer:{path}]"
            return
        for name in required:
            if name not in value:
                yield f"missing required field: {name} [json-pointer:{path}]"
        for name, item in value.items():
            if name in fields:
                yield from fields[name](item, f"{path}/{name}")
            elif name != "type":
                yield f"invalid additional property: {name} [json-pointer:{path}]"
        yield from also(value, path)

    return check


def kinds(table: Mapping[str, Check]) -> Check:
    """An object of one of the types in `table`."""

    def check(value: Any, path: str) -> Iterator[str]:
        kind = value.get("type") if isinstance(value, Mapping) else None
        if not isinstance(kind, str) or kind not in table:
            yield f"unsupported type: {kind} [json-pointer:{path}/type]"
            return
        yield from table[kind](value, path)

    return check


def plain(most: int) -> Check:
    """A `plain_text` object."""
    return kinds({"plain_text": shape({"text": string(most)}, {"emoji": boolean})})


def text(most: int) -> Check:
    """A text object of either type."""
    return kinds(
        {
            "plain_text": shape({"text": string(most)}, {"emoji": boolean}),
            "mrkdwn": shape({"text": string(most)}, {"verbatim": boolean}),
        }
    )
