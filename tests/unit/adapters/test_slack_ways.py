"""Where Andon's connections to Slack may lead: the Web API's host, those below it, and nowhere else."""

from __future__ import annotations

import pytest

from bot.adapters.slack.line.ways import MAX_HOSTS, Ways


@pytest.mark.parametrize(
    ("address", "leads"),
    [
        ("https://slack.com/api/", True),
        ("https://files.slack.com/upload/v1/abc", True),
        ("https://hooks.slack.com/actions/T/1/x", True),
        ("https://HOOKS.Slack.com./x", True),
        ("http://hooks.slack.com/x", False),
        ("https://hooks.slack.com.evil.example/x", False),
        ("https://evilslack.com/x", False),
        ("https://u:p@hooks.slack.com/x", False),
        ("https://127.0.0.1/x", False),
        ("file:///x", False),
        ("http://[::x", False),
        ("", False),
    ],
)
async def test_an_address_in_a_payload_leads_to_slack_or_nowhere(address: str, leads: bool) -> None:
    """Uploads and answers have hosts of their own; a payload is no reason to go anywhere else."""
    ways = Ways("https://slack.com/api/", seconds=1.0)
    assert (ways.to(address) is not None) == leads
    await ways.close()


async def test_below_an_address_in_figures_there_is_no_host() -> None:
    """A local Slack's is the whole host."""
    ways = Ways("http://127.0.0.1:9/api/", seconds=1.0)
    assert ways.to("http://127.0.0.1:9/respond/x") is ways.home
    assert ways.to("http://1.127.0.0.1:9/x") is None
    await ways.close()


async def test_there_are_only_so_many_hosts() -> None:
    """Whoever could make up names below Slack's would get no connection for each of them."""
    ways = Ways("https://slack.com/api/", seconds=1.0)
    made = [ways.to(f"https://h{number}.slack.com/") for number in range(MAX_HOSTS + 1)]
    assert (made.count(None), made[0] is ways.to("https://h0.slack.com/")) == (1, True)
    await ways.close()
