"""Foreign text in Slack: it shows what it says and does nothing, and what is cut is cut between words of the markup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.slack.cards import blocks, text
from bot.adapters.slack.cards.shapes import Ref
from bot.sandbox.slack.limits import MAX_ALL_BLOCKS, problems, text_length
from tests.unit.fuzzing import examples

NOW = 1_790_000_000_000
WHOLE = re.compile(r"(?:<[^<>]*>|&(?:amp|lt|gt);|[^<>&])*…?")
ANY = st.text(max_size=60) | st.text(alphabet="<>&;!@#|*_~`: \nabc\U0001f4a5", max_size=60)


@given(ANY)
@examples(200)
def test_escaped_text_has_no_token_no_format_and_no_control_character(value: str) -> None:
    """What a label says is never a mention, a link, a code span, an emoji or a line of its own."""
    shown = text.escape(value)
    assert not re.search(r"[<>`\n\r\x00-\x1f\u202e\u200b]", shown)
    assert not re.search(r"&(?!amp;|lt;|gt;)", shown)
    assert not re.search(r"(?<!\w)[*~]|[*~](?!\w)", shown)
    assert not re.search(r"[<>]", text.literal(value))
    assert "`" not in text.code(value)[1:-1]


@given(ANY, ANY, st.integers(1, 80))
@examples(200)
def test_a_cut_never_goes_through_an_entity_or_a_token(one: str, other: str, limit: int) -> None:
    """Half of ``&lt;`` or of a date would be shown as it stands; and no cut makes a text too long."""
    whole = text.escape(one) + text.moment(NOW) + text.link("https://runbooks.example/a?b=1&c=2", other)
    cut = text.clip(whole, limit)
    assert text.length(cut) <= limit
    assert WHOLE.fullmatch(cut), cut


def test_words_stay_readable() -> None:
    """Names with underscores, stream keys and times are not touched; only what would format is."""
    assert text.escape("kelly_fraction of metrics:var_pct:BTC at 14:05:09") == (
        "kelly_fraction of metrics:var_pct:BTC at 14:05:09"
    )
    assert text.escape("*_all clear_* :tada:") == "∗＿all clear＿∗ ∶tada:"
    assert text.escape("a\nb") == "a\\x0ab"


def test_a_command_is_shown_letter_by_letter() -> None:
    """What a person copies from a card is what they have to type."""
    assert text.code('severity=~".*_x"') == '`severity=~".*_x"`'


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "//evil.example",
        "https://",
        "https://a b/",
        "https://a<b>/",
        "",
        "mailto:a@b",
        "http://[x",
    ],
)
def test_what_is_no_web_address_makes_no_link(address: str) -> None:
    """A runbook that is a path or worse is told in words."""
    assert text.link(address, "Runbook") == "Runbook"
    assert blocks.link_button("Runbook", address, "runbook") is None


def test_a_link_cannot_be_broken_out_of() -> None:
    """Neither the address nor the words end the token early."""
    made = text.link("https://runbooks.example/a|<!here>", "a|b> <!here>")
    assert made == "<https://runbooks.example/a%7C%3C!here%3E|a¦b&gt; &lt;!here&gt;>"


def test_ages_are_left_out_where_two_renderings_are_compared_and_countdowns_are_slacks() -> None:
    """Otherwise each look would differ from the last, and each card would be edited all the time."""
    assert text.coming(1_700_000_000_000) == "at <!date^1700000000^{time_secs} ({ago})|2023-11-14 22:13:20Z>"
    assert "(" not in text.aged(NOW, text.TIMELESS)
    assert text.aged(NOW, NOW + 12_400).endswith("(12 s old when written)")


def test_a_date_has_words_for_those_whose_client_shows_none() -> None:
    """And the reader's own zone for all others; no moment is too far away."""
    assert text.moment(NOW) == "<!date^1790000000^{date_short_pretty} {time_secs}|2026-09-21 14:13:20Z>"
    assert "|9999-12-31 23:59:59Z>" in text.clock(2**62)
    assert "|1970-01-01 00:00:00Z>" in text.clock(-1)


def test_lines_that_do_not_fit_are_counted() -> None:
    """Nobody takes a part for the whole."""
    lines = ["x" * 20] * 10
    assert text.joined(lines, 1_000, most=3).splitlines()[-1] == "and 7 more"
    for limit in (30, 60, 90, 219):
        told = text.joined(lines, limit)
        assert len(told) <= limit
        assert told.endswith("more")
    assert text.joined(lines, 1_000) == "\n".join(lines)
    assert text.joined(["", "a", ""], 10) == "a"


def test_a_message_that_is_too_much_loses_words_and_no_button() -> None:
    """Slack refuses all blocks together past a length; a decision must stay possible."""
    buttons = blocks.actions([blocks.button("Approve", "approve", Ref("inc-1", "dec-1", "d"))])
    made = blocks.message("x" * 9_000, [*(blocks.section("é" * 9_000) for _ in range(60)), buttons])
    assert problems(list(made.blocks)) == []
    assert made.blocks[-1] == buttons
    assert text_length(made.blocks) <= MAX_ALL_BLOCKS
    assert len(made.text) <= 4_000


def test_empty_words_are_no_empty_block() -> None:
    """Slack refuses a message because of one empty text."""
    made = blocks.message("", [blocks.section(""), blocks.header(""), blocks.context(), blocks.section(fields=[""])])
    assert problems(list(made.blocks)) == []
    assert made.text
