"""Calls to Slack over HTTP as slack-sdk makes them, against the local Slack: once, in time, told what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.line.api import LIST_PAGE, MOST_PAGES, SlackApi, SlackRefusedError, SlackThrottledError
from bot.adapters.slack.line.pacing import POST, Pace
from bot.errors import DeliveryError, DeliveryUncertain
from bot.sandbox.slack.population import QUIET
from bot.sandbox.slack.server import LocalSlack

WORDS = Message("words", ({"type": "section", "text": {"type": "mrkdwn", "text": "*words*"}},))


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack() as local:
        yield local


@pytest.fixture
async def api(slack: LocalSlack) -> AsyncIterator[SlackApi]:
    found = SlackApi(slack.api_url, SecretStr(slack.world.app.bot_token))
    yield found
    await found.close()


@pytest.fixture
async def channel(slack: LocalSlack) -> str:
    """A channel that the bot is in."""
    return next(one.id for one in slack.world.channels.values() if slack.world.app.user in one.members)


async def test_a_message_is_posted_found_by_its_name_edited_and_taken_back(
    slack: LocalSlack, api: SlackApi, channel: str
) -> None:
    """What `find` finds is ours and of this name, in channels and in threads; its address is Slack's."""
    ts = await api.post(channel, WORDS, name="card:s|inc-1", nonce="n1")
    assert await api.find(channel, name="card:s|inc-1", nonce="", oldest=0) == ts
    assert await api.find(channel, name="card:s|inc-1", nonce="n2", oldest=0) == ""
    assert await api.find(channel, name="card:s|inc-2", nonce="", oldest=0) == ""
    await api.update(channel, ts, Message("other words", ()), name="card:s|inc-1")
    assert slack.world.messages[channel][ts].now.text == "other words"
    assert await api.find(channel, name="card:s|inc-1", nonce="", oldest=0) == ts
    reply = await api.post(channel, WORDS, name="question:s|inc-1|a", nonce="n3", thread=ts, aloud=True)
    assert await api.find(channel, name="question:s|inc-1|a", nonce="n3", oldest=0, thread=ts) == reply
    assert slack.world.messages[channel][reply].broadcast
    assert (await api.permalink(channel, ts)).endswith(f"/archives/{channel}/p{ts.replace('.', '')}")
    await api.delete(channel, ts)
    assert await api.find(channel, name="card:s|inc-1", nonce="", oldest=0) == ""


async def test_channels_are_known_by_name_and_the_bot_by_itself(slack: LocalSlack, api: SlackApi) -> None:
    """Names and ids agree with Slack's; who we are is asked once."""
    listed = await api.channels(())
    assert dict(listed) == {
        one.name: one.id for one in slack.world.channels.values()
        if not one.dm_with and not one.archived and slack.world.app.user in one.members
    }  # fmt: skip
    assert "not-joined" not in listed
    assert (await api.channels({"#not-joined"}))["not-joined"] == QUIET  # public: it can join that when it is to post
    assert (await api.me())["user_id"] == slack.world.app.user
    await api.me()
    assert len(slack.called("auth.test")) == 1


async def test_the_channels_it_is_in_are_known_in_a_workspace_of_any_size(slack: LocalSlack, api: SlackApi) -> None:
    """The last of 2,500 that the bot is in is found by its name, among archived ones and as many others."""
    bot = slack.world.app.user
    for number in range(2_500):
        slack.world.add_channel(f"room-{number}")
        slack.world.add_channel(f"ours-{number}", [bot], archived=number % 3 == 0)
    last = slack.world.add_channel("the-last", [bot], private=True)
    listed = await api.channels(())
    assert listed["the-last"] == last.id
    assert "ours-2498" in listed
    assert "ours-0" not in listed
    assert "room-2499" not in listed
    assert len(slack.called("users.conversations")) == 3
    assert slack.called("conversations.list") == []


async def test_a_large_workspace_is_listed_to_its_end(slack: LocalSlack, api: SlackApi) -> None:
    """Channels that nobody joined are found on the last page, archived ones too; of each it is told whether it is."""
    for number in range(2_500):
        slack.world.add_channel(f"room-{number}", archived=number % 3 == 0)
    listing = await api.listed(["#room-2499", "#nowhere", "#trading-ops-alerts"])
    assert listing.named["trading-ops-alerts"]["is_member"] is True
    assert listing.named["room-2498"]["is_member"] is False
    assert listing.named["room-2499"]["is_archived"] is True
    assert (listing.seen, listing.short) == (2_505, "")
    assert len(slack.called("conversations.list")) == 3


async def test_a_listing_has_a_bound_and_says_so(slack: LocalSlack, api: SlackApi) -> None:
    """It stays within what Slack allows in a minute; the channels that the bot is in are seen all the same."""
    for number in range(MOST_PAGES * LIST_PAGE):
        slack.world.add_channel(f"room-{number}")
    ours = slack.world.add_channel("ours", [slack.world.app.user], private=True)
    slack.world.add_channel("unseen")
    listing = await api.listed(["unseen"])
    assert listing.named["ours"]["id"] == listing.named[ours.id]["id"] == ours.id
    assert "unseen" not in listing.named
    assert listing.short == f"no more than {MOST_PAGES * LIST_PAGE:,} channels are looked through"
    assert [call.error for call in slack.called("conversations.list")] == [""] * MOST_PAGES


async def test_a_listing_ends_when_all_that_is_wanted_was_found(slack: LocalSlack, api: SlackApi) -> None:
    """Channels that the bot is in cost one call, by name or by id, whatever else there is."""
    for number in range(2_500):
        slack.world.add_channel(f"room-{number}")
    listing = await api.listed(["#trading-ops-alerts", "C0DATA"])
    assert {"trading-ops-alerts", "C0DATA"} <= listing.named.keys()
    assert listing.short == ""
    assert (len(slack.called("users.conversations")), len(slack.called("conversations.list"))) == (1, 0)
    await api.listed(["trading-ops-alerts", "room-5"])
    assert len(slack.called("conversations.list")) == 1


async def test_a_name_means_the_channel_that_is_not_archived(slack: LocalSlack, api: SlackApi) -> None:
    """An archived one may have left its name to another, before or after it in the list."""
    bot = slack.world.app.user
    slack.world.add_channel("moved", [bot], archived=True)
    now = slack.world.add_channel("moved", [bot])
    slack.world.add_channel("moved", [bot], archived=True)
    assert (await api.channels(()))["moved"] == now.id
    assert (await api.listed(["moved"])).named["moved"]["id"] == now.id


async def test_a_limit_in_the_middle_of_the_list_leaves_what_was_found(slack: LocalSlack, api: SlackApi) -> None:
    """The channels that the bot is in are told, and that there may be more."""
    slack.faults.failing = {"conversations.list": "ratelimited"}
    listing = await api.listed(["#nowhere"])
    assert "takes no more conversations.list" in listing.short
    assert "trading-ops-alerts" in listing.named
    slack.faults.failing = {"users.conversations": "ratelimited"}
    with pytest.raises(SlackThrottledError):
        await api.listed(["#nowhere"])


async def test_a_second_message_in_a_channel_waits_for_its_turn(slack: LocalSlack, api: SlackApi, channel: str) -> None:
    """Whoever posts keeps the pace; Slack never has to say so."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(api.post(channel, WORDS, name=f"words:{n}") for n in range(2)))
    assert loop.time() - began >= 1.0
    assert [call.error for call in slack.called(POST)] == ["", ""]


async def test_a_429_is_told_with_its_wait_and_kept_in_mind(slack: LocalSlack, api: SlackApi, channel: str) -> None:
    """Nothing is sent again by itself, and the next caller is told without asking Slack."""
    slack.faults.limited_s = 30
    with pytest.raises(SlackThrottledError) as told:
        await api.post(channel, WORDS)
    assert told.value.seconds == 30
    with pytest.raises(SlackThrottledError):
        await api.post(channel, WORDS)
    assert len(slack.called(POST)) == 1


async def test_a_lost_answer_is_uncertain_and_nothing_is_posted_twice(
    slack: LocalSlack, api: SlackApi, channel: str
) -> None:
    """The SDK's own handler would post again when the connection breaks; here one call is one request."""
    slack.faults.lose_replies = 1
    with pytest.raises(DeliveryUncertain):
        await api.post(channel, WORDS, name="card:s|inc-1", nonce="n")
    assert len(slack.called(POST)) == 1
    assert await api.find(channel, name="card:s|inc-1", nonce="n", oldest=0) in slack.world.messages[channel]


@pytest.mark.parametrize("outage", ["cut", "error"])
async def test_an_outage_never_looks_like_a_refusal(
    slack: LocalSlack, api: SlackApi, channel: str, outage: str
) -> None:
    """A 503 without JSON and a cut connection say nothing about what became of it."""
    slack.outage("cut" if outage == "cut" else "error")
    with pytest.raises(DeliveryUncertain):
        await api.post(channel, WORDS)


async def test_a_refusal_carries_slacks_word_for_it(slack: LocalSlack, api: SlackApi, channel: str) -> None:
    """So that the board can tell a channel that is gone from a token that is."""
    with pytest.raises(SlackRefusedError) as told:
        await api.post("C0NOWHERE", WORDS)
    assert told.value.code == "channel_not_found"
    with pytest.raises(SlackRefusedError) as told:
        await api.update(channel, "1.000001", WORDS)
    assert told.value.code == "message_not_found"


async def test_a_slack_that_is_not_there_was_provably_not_reached() -> None:
    """Nothing listens: nothing was posted, so it may be posted at once when it is back."""
    nowhere = SlackApi("http://127.0.0.1:9/api/", SecretStr("xoxb-none"), pace=Pace())
    with pytest.raises(DeliveryError) as told:
        await nowhere.post("C0000OPS", WORDS)
    assert not isinstance(told.value, DeliveryUncertain)
    assert "xoxb-none" not in str(told.value)
    await nowhere.close()


async def test_a_proxy_of_the_environment_is_not_used(
    slack: LocalSlack, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK takes HTTP_PROXY for loopback addresses too; cards do not go through whatever stands there."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    api = SlackApi(slack.api_url, SecretStr(slack.world.app.bot_token))
    assert await api.post(channel, WORDS)
    await api.close()
