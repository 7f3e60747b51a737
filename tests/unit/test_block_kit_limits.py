"""Block Kit's limits, as the local Slack enforces them: what is at a limit passes, one more does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.sandbox.slack.limits import MAX_ALL_BLOCKS, MAX_HOME_BYTES, problems

Make = Callable[[int], Any]


def words(length: int, kind: str = "plain_text") -> dict[str, Any]:
    return {"type": kind, "text": "x" * length}


def section(**fields: Any) -> dict[str, Any]:
    return {"type": "section", **fields}


def button(**fields: Any) -> dict[str, Any]:
    return {"type": "button", "text": words(2), **fields}


def actions(*elements: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "actions", "elements": list(elements)}]


def select(count: int, **fields: Any) -> dict[str, Any]:
    options = [{"text": words(3), "value": str(each)} for each in range(count)]
    return {"type": "static_select", "action_id": "a", "options": options, **fields}


def modal(*blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "modal", "title": words(5), "blocks": list(blocks), **fields}


def divider(at: int) -> dict[str, Any]:
    return {"type": "divider", "block_id": f"d{at}"}


LIMITS: list[tuple[str, int, Make]] = [
    ("blocks of a message", 50, lambda n: [divider(at) for at in range(n)]),
    ("blocks of a modal", 100, lambda n: modal(*(divider(at) for at in range(n)))),
    ("blocks of a home", 100, lambda n: {"type": "home", "blocks": [divider(at) for at in range(n)]}),
    ("section text", 3_000, lambda n: [section(text=words(n, "mrkdwn"))]),
    ("section fields", 10, lambda n: [section(fields=[words(1)] * n)]),
    ("section field", 2_000, lambda n: [section(fields=[words(n, "mrkdwn")])]),
    ("header", 150, lambda n: [{"type": "header", "text": words(n)}]),
    ("context", 10, lambda n: [{"type": "context", "elements": [words(1)] * n}]),
    ("actions", 25, lambda n: actions(*(button(action_id=str(at)) for at in range(n)))),
    ("button text", 75, lambda n: actions(button(text=words(n)))),
    ("button value", 2_000, lambda n: actions(button(value="x" * n))),
    ("button url", 3_000, lambda n: actions(button(url="https://example.org/" + "x" * (n - 20)))),
    ("action_id", 255, lambda n: actions(button(action_id="x" * n))),
    ("block_id", 255, lambda n: [{"type": "divider", "block_id": "x" * n}]),
    ("image alt", 2_000, lambda n: [{"type": "image", "slack_file": {"id": "F00000001"}, "alt_text": "x" * n}]),
    ("options", 100, lambda n: actions(select(n))),
    ("option text", 75, lambda n: actions(select(0, options=[{"text": words(n), "value": "v"}]))),
    ("option value", 150, lambda n: actions(select(0, options=[{"text": words(1), "value": "x" * n}]))),
    ("title", 24, lambda n: modal(divider(0), title=words(n))),
    ("private_metadata", 3_000, lambda n: modal(divider(0), private_metadata="x" * n)),
    ("callback_id", 255, lambda n: modal(divider(0), callback_id="x" * n)),
    ("all text", MAX_ALL_BLOCKS, lambda n: [section(text=words(2_750)) for _ in range(3)]
        + [section(text=words(n - 3 * 2_750))]),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "make"), [each[1:] for each in LIMITS], ids=[each[0] for each in LIMITS])
def test_a_limit_is_the_last_that_passes(limit: int, make: Make) -> None:
    """Each documented limit is exact: a card at it is shown, one character or item more is refused."""
    assert problems(make(limit)) == []
    assert problems(make(limit + 1)) != []


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ([section()], "missing required field: text or fields"),
        ([section(text=words(0))], "must be more than 0 characters"),
        ([section(text=words(1), colour="red")], "invalid additional property: colour"),
        ([{"type": "header", "text": words(1, "mrkdwn")}], "unsupported type: mrkdwn"),
        ([{"type": "actions", "elements": []}], "no fewer than 1 items"),
        ([{"type": "table"}], "unsupported type: table"),
        (actions(button(action_id="a"), button(action_id="a")), "already exists"),
        ([divider(1), divider(1)], "already exists"),
        (actions(button(url="javascript:alert(1)")), "must be a valid URL"),
        (actions(button(style="green")), "must be one of the following values"),
        (actions({"type": "plain_text_input"}), "unsupported type: plain_text_input"),
        (actions(select(2, initial_option={"text": words(1), "value": "none"})), "must match one of the options"),
        ([{"type": "image", "alt_text": "a chart"}], "exactly one of image_url and slack_file"),
        ([{"type": "image", "alt_text": "a chart", "slack_file": {"id": "chart.png"}}], "must be the id of a file"),
        (modal({"type": "input", "label": words(1), "element": {"type": "plain_text_input"}}), "submit"),
        ({"type": "sheet", "blocks": []}, "modal, home"),
        ({"type": "home", "blocks": [], "title": words(1)}, "invalid additional property: title"),
        ("no blocks at all", "unsupported type"),
    ],
)
def test_what_slack_refuses_is_refused(shown: Any, why: str) -> None:
    """Whatever Slack would answer `invalid_blocks` to is found, with a pointer to it."""
    found = problems(shown)
    assert any(why in each for each in found)
    assert all("[json-pointer:/" in each for each in found)


def test_a_home_tab_has_a_size() -> None:
    """A Home tab of legal blocks can still be too large as a whole: Slack counts bytes, not characters."""
    blocks = [section(text={"type": "mrkdwn", "text": "→" * 3_000}, block_id=str(at)) for at in range(40)]
    found = problems({"type": "home", "blocks": blocks})
    assert found == [f"must be at most {MAX_HOME_BYTES} bytes [json-pointer:/view]"]
