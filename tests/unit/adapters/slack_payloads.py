"""Payloads of Slack's, one of each kind that Andon listens to, with what Slack documents; and odd ones made of them.

Shapes: https://docs.slack.dev/reference/interaction-payloads and https://docs.slack.dev/apis/events-api
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

TEAM, USER, ROOM = "T0DESK", "U0APPROVER", "C0OPS"
REF = "inc-aaaaaaaaaa|dec-1|digest"
ABSENT = object()  # in the place of a value: the field is taken away

_BY: dict[str, Any] = {
    "api_app_id": "A0ANDON", "token": "verification", "enterprise": None, "is_enterprise_install": False,
    "team": {"id": TEAM, "domain": "trading-desk"},
    "user": {"id": USER, "username": "approver", "name": "approver", "team_id": TEAM},
    "trigger_id": "12466734323.1395872398",
}  # fmt: skip
_MESSAGE: dict[str, Any] = {
    "type": "message", "user": "U0ANDON", "bot_id": "B0ANDON", "ts": "1548261231.000200", "text": "a card",
    "blocks": [{"type": "divider", "block_id": "x"}], "edited": {"user": "U0ANDON", "ts": "1548261240.000000"},
}  # fmt: skip
GENUINE: Mapping[str, dict[str, Any]] = {
    "click": _BY | {
        "type": "block_actions", "response_url": "http://127.0.0.1:9/respond/x", "message": _MESSAGE,
        "container": {
            "type": "message", "message_ts": "1548261231.000200", "channel_id": ROOM, "is_ephemeral": False,
            "thread_ts": None,
        },
        "channel": {"id": ROOM, "name": "ops"}, "state": {"values": {}},
        "actions": [{
            "type": "button", "action_id": "andon:deny", "block_id": "x", "value": REF, "style": "danger",
            "text": {"type": "plain_text", "text": "Deny", "emoji": True}, "action_ts": "1548426417.840180",
        }],
    },
    "choice": _BY | {
        "type": "block_actions", "container": {"type": "view", "view_id": "V1"},
        "actions": [{
            "type": "static_select", "action_id": "andon:show", "block_id": "x", "action_ts": "1548426417.840180",
            "selected_option": {"text": {"type": "plain_text", "text": "one"}, "value": REF}, "placeholder": None,
        }],
    },
    "form": _BY | {
        "type": "view_submission", "response_urls": [],
        "view": {
            "id": "VNHU13V36", "team_id": TEAM, "type": "modal", "callback_id": "andon:deny", "hash": "1569362015.55b",
            "private_metadata": REF, "previous_view_id": None, "root_view_id": "VNHU13V36", "external_id": "",
            "app_id": "A0ANDON", "bot_id": "B0ANDON", "app_installed_team_id": TEAM, "clear_on_close": False,
            "title": {"type": "plain_text", "text": "Deny"}, "blocks": [],
            "state": {"values": {
                "reason": {"value": {"type": "plain_text_input", "value": "flat already"}},
                "for": {"value": {"type": "static_select", "selected_option": None}},
                "force": {"value": {"type": "checkboxes", "selected_options": []}},
            }},
        },
    },
    "command": {
        "token": "verification", "team_id": TEAM, "team_domain": "trading-desk", "channel_id": ROOM,
        "channel_name": "ops", "user_id": USER, "user_name": "approver", "command": "/andon", "text": "status",
        "api_app_id": "A0ANDON", "is_enterprise_install": "false", "response_url": "http://127.0.0.1:9/respond/x",
        "trigger_id": "13345224609.738474920.8088930838d88f008e0",
    },
    "shortcut": _BY | {
        "type": "message_action", "callback_id": "andon:about", "action_ts": "1548261231.000300",
        "response_url": "http://127.0.0.1:9/respond/x", "message_ts": "1548261231.000200", "message": _MESSAGE,
        "channel": {"id": ROOM, "name": "ops"},
    },
    "mention": {
        "token": "verification", "team_id": TEAM, "api_app_id": "A0ANDON", "type": "event_callback",
        "event_id": "Ev0LAN670R", "event_time": 1515449522, "is_ext_shared_channel": False,
        "authorizations": [{"enterprise_id": None, "team_id": TEAM, "user_id": "U0ANDON", "is_bot": True}],
        "event": {
            "type": "app_mention", "user": USER, "text": "<@U0ANDON> status", "ts": "1515449522.000016",
            "channel": ROOM, "event_ts": "1515449522000016", "team": TEAM, "blocks": [],
        },
    },
    "visit": {
        "token": "verification", "team_id": TEAM, "api_app_id": "A0ANDON", "type": "event_callback",
        "event_id": "Ev0LAN670S", "event_time": 1515449522,
        "event": {
            "type": "app_home_opened", "user": USER, "channel": "D0PNCRP9N", "event_ts": "1515449522000016",
            "tab": "home", "view": None,
        },
    },
}  # fmt: skip
# What a listener cannot do without, by kind: taken away or of another type, nothing may come of it.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "click": (
        "type", "user", "user.id", "actions", "actions.0", "actions.0.type", "actions.0.action_id",
        "actions.0.action_ts",
    ),
    "choice": ("type", "user", "user.id", "actions", "actions.0", "actions.0.action_id"),
    "form": ("type", "user", "user.id", "view", "view.id", "view.hash", "view.callback_id"),
    "command": ("command", "user_id", "team_id", "trigger_id"),
    "shortcut": (
        "type", "user", "user.id", "trigger_id", "callback_id", "channel", "channel.id", "message", "message.ts",
    ),
    "mention": ("type", "event_id", "team_id", "event", "event.type", "event.user"),
    "visit": ("type", "event_id", "team_id", "event", "event.type", "event.user"),
}  # fmt: skip

_DEEP: Any = "x"
for _ in range(200):
    _DEEP = {"a": [_DEEP]}
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=8)
    | st.sampled_from(["", "x" * 5_000, "\ud800", "\0", "\x1b[2J", "<!channel>", "|", "block_suggestion", "U0ONCALL"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
) | st.just(_DEEP)  # fmt: skip
WRONG = st.sampled_from([ABSENT, None, 7, 1.5, True, [], ["x"], {}, {"id": ["x"]}, [[]], "", "x" * 5_000, _DEEP])


def paths(part: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a payload."""
    inside = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in inside:
        yield (*before, key)
        yield from paths(value, (*before, key))


def put(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The payload with something else in that place."""
    found = deepcopy(body)
    part: Any = found
    for key in path[:-1]:
        part = part[key]
    if value is ABSENT:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return found


@st.composite
def odd(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """(kind, payload) with up to three places changed into anything, taken away, or added."""
    kind = draw(st.sampled_from(sorted(GENUINE)))
    body = deepcopy(GENUINE[kind])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from([*paths(body), (draw(st.text(max_size=5)),)]))
        body = put(body, at, draw(st.just(ABSENT) | ODD) if at in set(paths(body)) else draw(ODD))
        if not body:
            break
    return kind, body


@st.composite
def broken(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    """(kind, place, payload) where something needed is not what Slack sends."""
    kind = draw(st.sampled_from(sorted(NEEDED)))
    place = draw(st.sampled_from(NEEDED[kind]))
    path = tuple(int(part) if part.isdigit() else part for part in place.split("."))
    return kind, place, put(GENUINE[kind], path, draw(WRONG))
