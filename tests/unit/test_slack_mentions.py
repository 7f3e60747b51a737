"""What is live in a message: the measure by which text out of alerts is found to be harmless."""

from __future__ import annotations

from typing import Any

import pytest

from bot.sandbox.slack.mentions import links, pings


def block(text: str, **marks: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, **marks}}


@pytest.mark.parametrize(
    ("text", "blocks", "live"),
    [
        ("<!channel> look", [], {"!channel"}),
        ("x", [block("<@U0ONCALL> and <!subteam^S0ONCALL|@oncall>")], {"@U0ONCALL", "!subteam^S0ONCALL"}),
        ("x", [block("wake @here")], {"!here"}),
        ("x", [block("wake @here", verbatim=True)], set()),
        ("x", [{"type": "context", "elements": [{"type": "mrkdwn", "text": "<!everyone>"}]}], {"!everyone"}),
        ("&lt;!channel&gt;", [block("&lt;@U0ONCALL&gt;", verbatim=True)], set()),
        ("x", [{"type": "header", "text": {"type": "plain_text", "text": "<!channel>"}}], set()),
    ],
)
def test_live_mentions_are_found(text: str, blocks: list[dict[str, Any]], live: set[str]) -> None:
    """Marked-up text pings, escaped and plain text does not, and Slack parses what is not verbatim by itself."""
    assert pings(text, blocks) == live


def test_live_links_are_found() -> None:
    """A link, a bare address in parsed text, and a button all lead somewhere; an address in verbatim text does not."""
    buttons = {"type": "actions", "elements": [{"type": "button", "url": "https://button.example"}]}
    shown = [block("<https://link.example|runbook>", verbatim=True), block("see https://bare.example"), buttons]
    assert links("x", shown) == {"https://link.example", "https://bare.example", "https://button.example"}
    assert links("https://x.example", [block("https://y.example", verbatim=True)]) == frozenset()
