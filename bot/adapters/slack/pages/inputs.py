"""The pieces of a modal: one view, and its fields, within Slack's limits whatever is put in.

Used by `modals` and `run_modals`. Every text here is `plain_text` without emoji codes: nothing in a modal can mention,
link or format, whoever wrote it. Limits: https://docs.slack.dev/reference/block-kit/composition-objects and
https://docs.slack.dev/reference/views/modal-views
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.adapters.slack.cards.shapes import Block
from bot.errors import InputError

MAX_TITLE: Final = 24  # characters of a modal's title and of its two buttons
MAX_LABEL: Final = 2_000
MAX_HINT: Final = 2_000
MAX_SECTION: Final = 3_000
MAX_PLACEHOLDER: Final = 150
MAX_OPTION: Final = 75  # characters of an option's text, and of a group's label
MAX_OPTION_VALUE: Final = 150
MAX_OPTIONS: Final = 100  # in one list, and groups in one list
MAX_METADATA: Final = 3_000
MAX_TYPED: Final = 3_000  # characters a text field can take
FIELD: Final = "value"  # the action_id of every field; its block_id is its name


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of a list: what is read, and what it stands for."""

    text: str
    value: str

    @property
    def fits(self) -> bool:
        """Whether Slack carries the value; one that was cut would stand for something else."""
        return 0 < len(self.value) <= MAX_OPTION_VALUE and self.value.isprintable()


def plain(text: str, limit: int) -> dict[str, Any]:
    """A plain text object of at most `limit` characters, never empty; what cannot be printed is shown as a dot."""
    shown = _printable(text)
    shown = shown if len(shown) <= limit else shown[: limit - 1] + "…"
    return {"type": "plain_text", "text": shown if shown.strip() else "-", "emoji": False}


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "·" for c in text)


def view(callback: str, title: str, blocks: Sequence[Block], *, submit: str, metadata: str = "") -> dict[str, Any]:
    """A modal. With `submit` "", it only tells something. Raises InputError when it would carry more than it can."""
    if len(metadata) > MAX_METADATA:
        raise InputError("form", "is more than a form can carry; use `andon` on the command line for this one")
    shown: dict[str, Any] = {
        "type": "modal",
        "callback_id": callback,
        "title": plain(title, MAX_TITLE),
        "close": plain("Cancel" if submit else "Close", MAX_TITLE),
        "private_metadata": metadata,
        "blocks": list(blocks),
    }
    return shown | ({"submit": plain(submit, MAX_TITLE)} if submit else {})


def words(text: str) -> Block:
    """A paragraph."""
    return {"type": "section", "text": plain(text, MAX_SECTION)}


def small(text: str) -> Block:
    """A remark in small type."""
    return {"type": "context", "elements": [plain(text, MAX_SECTION)]}


def typed(
    name: str, label: str, *, hint: str = "", initial: str = "", most: int = MAX_TYPED, least: int = 0,
    lines: bool = False, required: bool = True,
) -> Block:  # fmt: skip
    """A text field of `least` to `most` characters."""
    element: dict[str, Any] = {"type": "plain_text_input", "multiline": lines, "max_length": min(most, MAX_TYPED)}
    if least:
        element["min_length"] = least
    if initial:
        element["initial_value"] = _printable(initial[: min(most, MAX_TYPED)])
    return _field(name, label, element, hint=hint, required=required)


def number(
    name: str, label: str, *, whole: bool = False, least: float | None = None, most: float | None = None,
    hint: str = "", initial: str = "", required: bool = True,
) -> Block:  # fmt: skip
    """A number; Slack itself refuses what lies outside."""
    element: dict[str, Any] = {"type": "number_input", "is_decimal_allowed": not whole}
    for key, bound in (("min_value", least), ("max_value", most)):
        if bound is not None:
            element[key] = f"{bound:.15g}"
    if initial:
        element["initial_value"] = initial
    return _field(name, label, element, hint=hint, required=required)


def chosen(
    name: str, label: str, choices: Sequence[Choice], *, initial: str = "", hint: str = "", required: bool = True
) -> Block:
    """One of a list. `initial` is a value of it."""
    element: dict[str, Any] = {"type": "static_select", "options": _options(choices)}
    found = next((choice for choice in choices[:MAX_OPTIONS] if choice.value == initial and choice.fits), None)
    if found is not None:
        element["initial_option"] = _option(found)
    return _field(name, label, element, hint=hint, required=required)


def chosen_of(name: str, label: str, groups: Mapping[str, Sequence[Choice]], *, initial: str = "") -> Block:
    """One of several lists, each under its heading."""
    element: dict[str, Any] = {
        "type": "static_select",
        "option_groups": [
            {"label": plain(heading, MAX_OPTION), "options": _options(choices)}
            for heading, choices in list(groups.items())[:MAX_OPTIONS]
            if any(choice.fits for choice in choices)
        ],
    }
    every = (choice for choices in groups.values() for choice in choices)
    found = next((choice for choice in every if choice.value == initial and choice.fits), None)
    if found is not None:
        element["initial_option"] = _option(found)
    return _field(name, label, element)


def ticked(name: str, label: str, what: str, *, hint: str = "", initial: bool = False) -> Block:
    """A box to tick; left alone it means no."""
    option = {"text": plain(what, MAX_OPTION), "value": "yes"}
    element: dict[str, Any] = {"type": "checkboxes", "options": [option]}
    if initial:
        element["initial_options"] = [option]
    return _field(name, label, element, hint=hint, required=False)


def _field(name: str, label: str, element: dict[str, Any], *, hint: str = "", required: bool = True) -> Block:
    block: Block = {
        "type": "input",
        "block_id": name,
        "label": plain(label, MAX_LABEL),
        "element": {"action_id": FIELD, **element},
        "optional": not required,
    }
    return block | ({"hint": plain(hint, MAX_HINT)} if hint else {})


def _options(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    return [_option(choice) for choice in choices if choice.fits][:MAX_OPTIONS]


def _option(choice: Choice) -> dict[str, Any]:
    return {"text": plain(choice.text, MAX_OPTION), "value": choice.value}
