"""Block Kit's elements: buttons, menus and inputs, their limits, and the blocks that each may stand in.

Used by `limits`. Source: https://docs.slack.dev/reference/block-kit/block-elements
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from bot.sandbox.slack.limits_fields import (
    FILE_ID,
    Check,
    boolean,
    either,
    listed,
    matching,
    number,
    one_of,
    plain,
    shape,
    string,
    text,
    url,
)  # fmt: skip

MAX_INPUT: Final = 3_000  # characters that a text input may ask for
_ACTION: Final[Mapping[str, Check]] = {"action_id": string(255)}

_CONFIRM = shape(
    {"title": plain(100), "text": text(300), "confirm": plain(30), "deny": plain(30)},
    {"style": one_of("primary", "danger")},
)
_FOCUS: Final[Mapping[str, Check]] = {"focus_on_load": boolean}
_WORDS: Final[Mapping[str, Check]] = {"placeholder": plain(150), **_FOCUS, **_ACTION}
_OPTION = shape({"text": text(75), "value": string(150)}, {"description": text(75)})
_PLAIN_OPTION = shape({"text": plain(75), "value": string(150)}, {"description": plain(75)})
_LINK_OPTION = shape({"text": plain(75), "value": string(150)}, {"description": plain(75), "url": url()})
_GROUP = shape({"label": plain(75), "options": listed(_PLAIN_OPTION, most=100)}, {})


def _has_options(element: Mapping[str, Any], path: str) -> Iterator[str]:
    if ("options" in element) == ("option_groups" in element):
        yield f"exactly one of options and option_groups is needed [json-pointer:{path}]"
        return
    yield from _initial(element, path)


def _initial(element: Mapping[str, Any], path: str) -> Iterator[str]:
    """What is chosen at first is one of the options, word for word."""
    options = list(element.get("options") or [])
    for group in element.get("option_groups") or []:
        options += group.get("options", []) if isinstance(group, Mapping) else []
    chosen = element.get("initial_options", [])
    for option in [*(chosen if isinstance(chosen, list) else []), element.get("initial_option")]:
        if option is not None and option not in options:
            yield f"must match one of the options [json-pointer:{path}/initial_option]"


_NUMBER = matching(r"-?\d{1,20}(\.\d{1,20})?", "a number written as a string")
_CHOICE: Final[Mapping[str, Check]] = {
    "options": listed(_PLAIN_OPTION, most=100), "option_groups": listed(_GROUP, most=100), "confirm": _CONFIRM,
    **_WORDS,
}  # fmt: skip
_MANY: Final[Mapping[str, Check]] = {"max_selected_items": number(1, 1_000)}
_BUTTON = shape(
    {"text": plain(75)},
    {
        "url": url(), "value": string(2_000), "style": one_of("primary", "danger"), "confirm": _CONFIRM,
        "accessibility_label": string(75), **_ACTION,
    },
)  # fmt: skip
_IMAGE = shape(
    {"alt_text": string(2_000)},
    {"image_url": url(), "slack_file": shape({}, {"id": FILE_ID, "url": url()})},
)
_OVERFLOW = shape({"options": listed(_LINK_OPTION, most=5)}, {"confirm": _CONFIRM, **_ACTION})
_BOXES: Final[Mapping[str, Check]] = {"confirm": _CONFIRM, **_FOCUS, **_ACTION}
_CHECKBOXES = shape(
    {"options": listed(_OPTION, most=10)}, {"initial_options": listed(_OPTION, most=10), **_BOXES}, also=_initial
)
_RADIO = shape({"options": listed(_OPTION, most=10)}, {"initial_option": _OPTION, **_BOXES}, also=_initial)
_SELECT = shape({}, {"initial_option": _PLAIN_OPTION, **_CHOICE}, also=_has_options)
_MULTI_SELECT = shape({}, {"initial_options": listed(_PLAIN_OPTION, most=100), **_CHOICE, **_MANY}, also=_has_options)
_PICKED: Final[Mapping[str, Check]] = {"confirm": _CONFIRM, **_WORDS}
_DATE = shape({}, {"initial_date": matching(r"\d{4}-\d{2}-\d{2}", "a date such as 2026-01-31"), **_PICKED})
_TIME = shape({}, {"initial_time": matching(r"\d{2}:\d{2}", "a time such as 23:59"), "timezone": string(50), **_PICKED})
_DATE_TIME = shape(
    {}, {"initial_date_time": number(1_000_000_000, 9_999_999_999), "confirm": _CONFIRM, **_FOCUS, **_ACTION}
)
_USER = shape({}, {"initial_user": string(255), **_PICKED})
_USERS = shape({}, {"initial_users": listed(string(255), most=100), **_MANY, **_PICKED})
_CHANNEL = shape({}, {"initial_channel": string(255), "response_url_enabled": boolean, **_PICKED})
_CONVERSATION = shape(
    {},
    {
        "initial_conversation": string(255), "default_to_current_conversation": boolean,
        "response_url_enabled": boolean, "filter": either(dict), **_PICKED,
    },
)  # fmt: skip
_DISPATCH: Final[Mapping[str, Check]] = {"dispatch_action_config": either(dict)}
_LENGTHS: Final[Mapping[str, Check]] = {"min_length": number(0, MAX_INPUT), "max_length": number(1, MAX_INPUT)}
_TEXT = shape({}, {"initial_value": string(MAX_INPUT, 0), "multiline": boolean, **_LENGTHS, **_DISPATCH, **_WORDS})
_TYPED = shape({}, {"initial_value": string(MAX_INPUT, 0), **_DISPATCH, **_WORDS})
_NUMBER_INPUT = shape(
    {"is_decimal_allowed": boolean},
    {"initial_value": _NUMBER, "min_value": _NUMBER, "max_value": _NUMBER, **_DISPATCH, **_WORDS},
)

_EVERYWHERE: Final[Mapping[str, Check]] = {
    "checkboxes": _CHECKBOXES, "radio_buttons": _RADIO, "static_select": _SELECT, "datepicker": _DATE,
    "timepicker": _TIME, "users_select": _USER, "channels_select": _CHANNEL, "conversations_select": _CONVERSATION,
}  # fmt: skip
_MULTI: Final[Mapping[str, Check]] = {"multi_static_select": _MULTI_SELECT, "multi_users_select": _USERS}
IN_ACTIONS: Final[Mapping[str, Check]] = {
    "button": _BUTTON, "overflow": _OVERFLOW, "datetimepicker": _DATE_TIME, **_EVERYWHERE,
}  # fmt: skip
ACCESSORIES: Final[Mapping[str, Check]] = {
    "button": _BUTTON, "overflow": _OVERFLOW, "image": _IMAGE, **_EVERYWHERE, **_MULTI,
}  # fmt: skip
IN_INPUTS: Final[Mapping[str, Check]] = {
    "plain_text_input": _TEXT, "number_input": _NUMBER_INPUT, "email_text_input": _TYPED, "url_text_input": _TYPED,
    "datetimepicker": _DATE_TIME, **_EVERYWHERE, **_MULTI,
}  # fmt: skip
CONTEXT_ELEMENTS: Final[Mapping[str, Check]] = {
    "image": _IMAGE,
    "mrkdwn": shape({"text": string(3_000)}, {"verbatim": boolean}),
    "plain_text": shape({"text": string(3_000)}, {"emoji": boolean}),
}
