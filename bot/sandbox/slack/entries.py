"""What a person may enter in a view or choose in a message: shaped as Slack's `state.values`, and checked as it checks.

Used by `acts` (a person submits, clicks) and `api_views` (what is entered at first). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bot.sandbox.slack.limits_elements import MAX_INPUT

# Where an element's value stands in `state.values`, and what it is called in the element when it is there at first.
PLACES: Final[Mapping[str, tuple[str, str]]] = {
    "plain_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "static_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "overflow": ("selected_option", ""),
    "checkboxes": ("selected_options", "initial_options"),
    "multi_static_select": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "channels_select": ("selected_channel", "initial_channel"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}


def elements(blocks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Everything interactive in blocks, with its block's id."""
    for block in blocks:
        name = str(block.get("block_id", ""))
        inside = [block.get("element"), block.get("accessory"), *(block.get("elements") or [])]
        for element in inside:
            if isinstance(element, Mapping) and (element.get("type") == "button" or element.get("type") in PLACES):
                yield name, element


def action_of(element: Mapping[str, Any]) -> str:
    """Its action_id; Slack makes one up for an element without."""
    return str(element.get("action_id") or f"made-{element.get('type')}")


def initial(blocks: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """`state.values` before anybody entered anything."""
    values: dict[str, dict[str, Any]] = {}
    for block, element in elements(blocks):
        if element["type"] in PLACES and element["type"] != "overflow":
            place, first = PLACES[element["type"]]
            empty: Any = [] if place in ("selected_options", "selected_users") else None
            values.setdefault(block, {})[action_of(element)] = {
                "type": element["type"], place: element.get(first, empty),
            }  # fmt: skip
    return values


def entered(element: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """One entry of `state.values`. `value`: text, an option's value, or a list of those; None is nothing.

    Raises LookupError for an option that is not offered.
    """
    place, _ = PLACES[element["type"]]
    if place == "selected_option":
        return {"type": element["type"], place: None if value in (None, "") else option(element, str(value))}
    if place == "selected_options":
        return {"type": element["type"], place: [option(element, str(each)) for each in value or []]}
    if place == "selected_date_time":
        return {"type": element["type"], place: None if value in (None, "") else int(value)}
    if place == "selected_users":
        return {"type": element["type"], place: list(value or [])}
    return {"type": element["type"], place: None if value in (None, "") else str(value)}


def option(element: Mapping[str, Any], value: str) -> Any:
    """The option of that value. Raises LookupError."""
    groups = element.get("option_groups") or []
    offered = [*(element.get("options") or []), *(each for group in groups for each in group["options"])]
    for each in offered:
        if each["value"] == value:
            return each
    raise LookupError(f"{value!r} is not offered; there are: {', '.join(each['value'] for each in offered)}")


def objections(blocks: Sequence[Mapping[str, Any]], values: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What Slack's client does not let a person submit, by block."""
    found: dict[str, str] = {}
    for block in blocks:
        if block.get("type") != "input":
            continue
        name, element = str(block["block_id"]), block["element"]
        value = values.get(name, {}).get(action_of(element), {}).get(PLACES[element["type"]][0])
        if value in (None, "", []):
            if not block.get("optional"):
                found[name] = "Please complete this required field."
        elif wrong := _wrong(element, value):
            found[name] = wrong
    return found


def _wrong(element: Mapping[str, Any], value: Any) -> str:
    match element["type"]:
        case "plain_text_input":
            least, most = element.get("min_length", 0), element.get("max_length", MAX_INPUT)
            if not least <= len(value) <= most:
                return f"Must be {least} to {most} characters."
        case "number_input":
            return _no_number(element, value)
        case "email_text_input":
            return "" if "@" in value else "Must be a valid email address."
        case "url_text_input":
            return "" if value.startswith(("http://", "https://")) else "Must be a valid URL."
    return ""


def _no_number(element: Mapping[str, Any], value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return "Must be a number."
    if not element.get("is_decimal_allowed") and not number.is_integer():
        return "Must be a whole number."
    if "min_value" in element and number < float(element["min_value"]):
        return f"Must be at least {element['min_value']}."
    if "max_value" in element and number > float(element["max_value"]):
        return f"Must be at most {element['max_value']}."
    return ""
