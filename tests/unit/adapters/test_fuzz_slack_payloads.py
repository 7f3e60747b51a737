"""Whatever Slack never sends is refused at the edge, by name; whatever it does send goes on, cut to what is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.adapters.slack.line.incoming import PayloadError, Unheard, read
from tests.unit.adapters.slack_payloads import GENUINE, NEEDED, ODD, broken, odd, paths, put
from tests.unit.fuzzing import examples


def judged(payload: Any) -> dict[str, Any] | Unheard | None:
    """What is read; None where it is refused, in words that can be told."""
    try:
        found = read(payload)
    except PayloadError as error:
        return tellable(error)
    assert isinstance(found, Unheard) or json.dumps(found).encode()
    return found


def tellable(error: PayloadError) -> None:
    """A 4xx, short, and fit for a log line."""
    assert 400 <= error.status < 500
    assert str(error).isprintable()
    assert len(str(error)) < 300


@pytest.mark.parametrize("kind", sorted(GENUINE))
def test_what_slack_sends_goes_on_with_every_field_that_is_needed(kind: str) -> None:
    """With its nulls, and whatever else stands beside; reading it once more changes nothing."""
    found = judged(GENUINE[kind])
    assert isinstance(found, dict)
    assert {tuple(int(p) if p.isdigit() else p for p in each.split(".")) for each in NEEDED[kind]} <= set(paths(found))
    assert "token" not in found
    assert judged(found) == found


@examples(300)
@given(broken())
def test_without_what_is_needed_nothing_goes_on(told: tuple[str, str, dict[str, Any]]) -> None:
    """Absent, null, of another type, empty, or too long for Slack."""
    kind, place, payload = told
    assert not isinstance(judged(payload), dict), (kind, place)


@examples(300)
@given(odd() | st.tuples(st.just("any"), ODD))
@example(("any", {"type": ["block_actions"]}))
@example(("any", {"type": "x" * 5_000}))
@example(("any", {"type": "event_callback", "event": {"type": "x\x1b[2J"}}))
def test_any_payload_is_read_or_refused(told: tuple[str, Any]) -> None:
    """What goes on has nothing but texts, truths, and lists and objects of those, nested as Slack nests them."""
    found = judged(told[1])
    if isinstance(found, dict):
        assert all(len(path) <= 8 for path in paths(found))
        assert set(map(type, leaves(found))) <= {str, bool}


def leaves(part: Any) -> list[Any]:
    if isinstance(part, dict):
        return [leaf for value in part.values() for leaf in leaves(value)]
    return [leaf for value in part for leaf in leaves(value)] if isinstance(part, list) else [part]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (("actions",), "actions"),
        (("actions", 0, "action_id"), "actions.0.action_id"),
        (("user", "id"), "user.id"),
        (("container",), "container"),
    ],
)
def test_a_refusal_names_what_is_wrong(path: tuple[Any, ...], field: str) -> None:
    """And quotes nothing of it."""
    with pytest.raises(PayloadError) as refused:
        read(put(GENUINE["click"], path, 7))
    assert refused.value.field == field
    assert "7" not in refused.value.message


def test_a_button_of_nobody_s_is_none_of_ours() -> None:
    """A mention by a bot may name no user; one by nobody at all is no mention."""
    bot = put(put(GENUINE["mention"], ("event", "user"), None), ("event", "bot_id"), "B1")
    assert isinstance(judged(bot), dict)
    assert judged(put(GENUINE["mention"], ("event", "user"), None)) is None
