"""The local Slack's Web API, asked by the real slack-sdk: what it takes, what it refuses and by which name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.manifest import SCOPES as MANIFEST_SCOPES
from bot.sandbox.slack.population import APPROVER, CHANNELS, GONE, GUEST, ONCALL, QUIET, STRANGER
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.slack.world import SCOPES

OPS = "C0OPS"
CARD: dict[str, Any] = {"event_type": "andon_card", "event_payload": {"incident": "I1", "nonce": "n1"}}
BLOCKS = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "VaR is high"}},
    {"type": "actions", "elements": [
        {"type": "button", "text": {"type": "plain_text", "text": "Ack"}, "action_id": "andon:ack", "value": "I1||"},
    ]},
]  # fmt: skip


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.at = 1_767_225_600_000

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slack(clock: Clock) -> AsyncIterator[LocalSlack]:
    async with LocalSlack(clock) as slack:
        yield slack


@pytest.fixture
async def client(slack: LocalSlack) -> AsyncIterator[AsyncWebClient]:
    async with ClientSession() as session:
        yield AsyncWebClient(slack.world.app.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])


def test_the_app_has_the_scopes_of_the_manifest() -> None:
    """Whatever works with the local Slack works with an app that was made from the shipped manifest."""
    assert set(SCOPES) == set(MANIFEST_SCOPES)


async def refused(call: Any) -> Any:
    """What Slack says to a call that it does not take."""
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response


async def test_a_card_is_posted_found_again_and_edited(slack: LocalSlack, client: AsyncWebClient) -> None:
    """A card posted by name is found by its metadata, edited in place, and every version of it can be looked at."""
    posted = await client.chat_postMessage(channel="#trading-ops-alerts", text="one", blocks=BLOCKS, metadata=CARD)
    assert posted["channel"] == OPS
    found = await client.conversations_history(channel=OPS, include_all_metadata=True)
    assert found["messages"][0]["metadata"] == CARD
    plain = await client.conversations_history(channel=OPS)
    assert "metadata" not in plain["messages"][0]
    await client.chat_update(channel=OPS, ts=posted["ts"], text="two")
    message = slack.world.message(OPS, posted["ts"])
    assert message is not None
    assert [(each.text, len(each.blocks)) for each in message.versions] == [("one", 2), ("two", 0)]


async def test_a_thread_keeps_to_itself(client: AsyncWebClient) -> None:
    """Replies stand in the thread only, unless broadcast; a reply to a reply joins the same thread."""
    parent = (await client.chat_postMessage(channel=OPS, text="card"))["ts"]
    reply = (await client.chat_postMessage(channel=OPS, text="line", thread_ts=parent))["ts"]
    await client.chat_postMessage(channel=OPS, text="decision", thread_ts=reply, reply_broadcast=True)
    top = await client.conversations_history(channel=OPS)
    assert [(each["text"], each.get("subtype")) for each in top["messages"]] == [
        ("decision", "thread_broadcast"), ("card", None),
    ]  # fmt: skip
    thread = await client.conversations_replies(channel=OPS, ts=parent)
    assert [each["text"] for each in thread["messages"]] == ["card", "line", "decision"]


async def test_history_comes_in_pages(slack: LocalSlack, client: AsyncWebClient) -> None:
    """Whoever does not follow the cursor sees the newest only."""
    slack.rates.enforced = False
    for number in range(5):
        await client.chat_postMessage(channel=OPS, text=str(number))
    seen, cursor = [], ""
    while True:
        page = await client.conversations_history(channel=OPS, limit=2, cursor=cursor)
        seen += [each["text"] for each in page["messages"]]
        cursor = page["response_metadata"]["next_cursor"]
        if not cursor:
            break
    assert seen == ["4", "3", "2", "1", "0"]


async def test_channels_come_in_pages_that_may_be_short(slack: LocalSlack, client: AsyncWebClient) -> None:
    """Archived ones leave gaps, an empty page is not the last one, and a thousand at once are too many."""
    slack.rates.enforced = False
    for name in ("gone-1", "gone-2", "gone-3"):
        slack.world.add_channel(name, [slack.world.app.user], archived=True)
    slack.world.add_channel("still", [slack.world.app.user])
    for listed, others in ((client.conversations_list, {"not-joined"}), (client.users_conversations, set[str]())):
        sizes, names, cursor = [], set[str](), ""
        while cursor or not sizes:
            page = await listed(limit=2, cursor=cursor, exclude_archived=True)
            sizes.append(len(page["channels"]))
            names |= {each["name"] for each in page["channels"]}
            cursor = page["response_metadata"]["next_cursor"]
        assert min(sizes) < 2
        assert sizes[-1] > 0
        assert names == {"still", *CHANNELS.values(), *others}
        with pytest.raises(SlackApiError, match="invalid_limit"):
            await listed(limit=1_000)
    (first,) = (await client.users_conversations(limit=1))["channels"]
    assert not {"is_member", "num_members"} & first.keys()


async def test_refusals_have_the_names_that_slack_gives_them(slack: LocalSlack, client: AsyncWebClient) -> None:
    """An app that looks at `error` meets here what it would meet at Slack."""
    slack.rates.enforced = False
    slack.world.app.scopes += ("users:read.email",)
    slack.world.app.messages_tab = False
    mine = (await client.chat_postMessage(channel=OPS, text="mine"))["ts"]
    theirs = (await slack.people.say(ONCALL, OPS, "theirs")).ts
    whispered = (await client.chat_postEphemeral(channel=OPS, user=ONCALL, text="psst"))["message_ts"]
    wide = [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]
    long = [{"type": "section", "text": {"type": "plain_text", "text": "x" * 3_000}}] * 4
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("channel_not_found", "chat.postMessage", {"channel": "#nowhere", "text": "x"}),
        ("channel_not_found", "chat.update", {"channel": "#trading-ops-alerts", "ts": mine, "text": "x"}),
        ("no_text", "chat.postMessage", {"channel": OPS}),
        ("not_in_channel", "chat.postMessage", {"channel": QUIET, "text": "x"}),
        ("messages_tab_disabled", "chat.postMessage", {"channel": ONCALL, "text": "x"}),
        ("cannot_reply_to_message", "chat.postMessage", {"channel": OPS, "text": "x", "thread_ts": "1.000001"}),
        ("invalid_blocks_format", "chat.postMessage", {"channel": OPS, "text": "x", "blocks": "[{"}),
        ("msg_too_long", "chat.update", {"channel": OPS, "ts": mine, "text": "x" * 4_001}),
        ("msg_blocks_too_long", "chat.postMessage", {"channel": OPS, "text": "x", "blocks": long}),
        ("message_not_found", "chat.update", {"channel": OPS, "ts": "1.000001", "text": "x"}),
        ("cant_update_message", "chat.update", {"channel": OPS, "ts": theirs, "text": "x"}),
        ("cant_update_message", "chat.update", {"channel": OPS, "ts": whispered, "text": "x"}),
        ("cant_delete_message", "chat.delete", {"channel": OPS, "ts": theirs}),
        ("user_not_in_channel", "chat.postEphemeral", {"channel": OPS, "user": GONE, "text": "x"}),
        ("not_in_channel", "conversations.history", {"channel": QUIET}),
        ("thread_not_found", "conversations.replies", {"channel": OPS, "ts": "1.000001"}),
        ("user_not_found", "users.info", {"user": "U0NOBODY"}),
        ("users_not_found", "users.lookupByEmail", {"email": "nobody@example.org"}),
        ("no_such_subteam", "usergroups.users.list", {"usergroup": "S0NOBODY"}),
        ("invalid_metadata_format", "chat.postMessage", {"channel": OPS, "text": "x", "metadata": {"event_type": 1}}),
        ("invalid_trigger_id", "views.open", {"trigger_id": "made-up", "view": modal()}),
        ("unknown_method", "chat.shout", {}),
    ]
    for error, method, args in calls:
        assert (method, (await refused(client.api_call(method, json=args)))["error"]) == (method, error)
    answer = await refused(client.chat_postMessage(channel=OPS, text="x", blocks=wide))
    assert answer["error"] == "invalid_blocks"
    assert "must be less than 151 characters" in answer["response_metadata"]["messages"][0]


async def test_tokens_and_scopes_count(slack: LocalSlack, client: AsyncWebClient) -> None:
    """A wrong token, the wrong kind of token, and a scope that is missing are three different answers."""
    app = slack.world.app
    assert (await refused(client.auth_test(token="xoxb-other")))["error"] == "invalid_auth"
    assert (await refused(client.auth_test(token=app.app_token)))["error"] == "not_allowed_token_type"
    app.scopes = ("chat:write",)
    answer = await refused(client.usergroups_list())
    assert (answer["error"], answer["needed"]) == ("missing_scope", "usergroups:read")
    assert (await refused(client.chat_postMessage(channel=QUIET, text="x")))["error"] == "not_in_channel"
    assert (await client.auth_test()).headers["x-oauth-scopes"] == "chat:write"


async def test_people_are_shown_as_what_they_are(slack: LocalSlack, client: AsyncWebClient) -> None:
    """Guests, deactivated people, strangers and bots can be told from members, and groups list their users."""
    slack.world.app.scopes += ("users:read.email",)
    seen = {who: (await client.users_info(user=who))["user"] for who in (ONCALL, GUEST, GONE, STRANGER)}
    assert [seen[GUEST]["is_restricted"], seen[GONE]["deleted"]] == [True] * 2
    assert seen[STRANGER]["team_id"] != seen[ONCALL]["team_id"]
    assert "is_stranger" not in seen[STRANGER], "Slack marks only those who are in no channel that the app sees"
    for channel in slack.world.channels.values():
        channel.members.discard(STRANGER)
    assert (await client.users_info(user=STRANGER))["user"]["is_stranger"] is True
    groups = (await client.usergroups_list(include_users=True))["usergroups"]
    assert APPROVER in next(each for each in groups if each["handle"] == "trading-approvers")["users"]
    assert (await client.users_lookupByEmail(email="demo-oncall@example.org"))["user"]["id"] == ONCALL


async def test_a_channel_takes_one_message_a_second(slack: LocalSlack, client: AsyncWebClient, clock: Clock) -> None:
    """After a short burst a channel answers 429 and says for how long; another channel is not concerned."""
    for _ in range(slack.rates.burst):
        await client.chat_postMessage(channel=OPS, text="x")
    answer = await refused(client.chat_postMessage(channel="#trading-ops-alerts", text="x"))
    assert (answer.status_code, answer["error"], answer.headers["Retry-After"]) == (429, "ratelimited", "1")
    await client.chat_postMessage(channel="#quant-emergency", text="x")
    clock.at += 1_000
    await client.chat_postMessage(channel=OPS, text="x")


async def test_a_tier_is_a_number_of_calls_a_minute(slack: LocalSlack, client: AsyncWebClient, clock: Clock) -> None:
    """The 51st chat.update of a minute is told to wait until the first one is a minute old."""
    ts = (await client.chat_postMessage(channel=OPS, text="x"))["ts"]
    for number in range(50):
        await client.chat_update(channel=OPS, ts=ts, text=str(number))
    clock.at += 40_000
    answer = await refused(client.chat_update(channel=OPS, ts=ts, text="x"))
    assert answer.headers["Retry-After"] == "20"
    clock.at += 20_000
    await client.chat_update(channel=OPS, ts=ts, text="x")


async def test_an_outage_does_nothing_and_says_nothing(slack: LocalSlack, client: AsyncWebClient) -> None:
    """While Slack is down nothing is posted, however it is down; afterwards all is as before."""
    slack.outage("cut")
    with pytest.raises(ClientError):
        await client.chat_postMessage(channel=OPS, text="x")
    slack.outage("error")
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel=OPS, text="x")
    slack.outage("")
    assert slack.world.shown(OPS) == []
    await client.chat_postMessage(channel=OPS, text="x")
    assert [call.error for call in slack.called("chat.postMessage")] == ["outage:cut", "outage:error", ""]


async def test_a_lost_reply_hides_an_effect(slack: LocalSlack, client: AsyncWebClient) -> None:
    """The message is there although the caller saw its connection end: posting again would double it."""
    slack.faults.lose_replies = 1
    with pytest.raises(ClientError):
        await client.chat_postMessage(channel=OPS, text="x", metadata=CARD)
    assert [each.metadata for each in slack.world.shown(OPS)] == [CARD]


async def test_everything_shown_is_searched_for_mentions(slack: LocalSlack, client: AsyncWebClient) -> None:
    """A mention that stood in a card for a moment has rung: older versions count."""
    ts = (await client.chat_postMessage(channel=OPS, text="<!channel> <https://x.example>"))["ts"]
    await client.chat_update(channel=OPS, ts=ts, text="quiet")
    assert (slack.pinged, slack.linked) == ({"!channel"}, {"https://x.example"})


async def test_a_stopped_slack_comes_back_where_it_was(client: AsyncWebClient, slack: LocalSlack) -> None:
    """A restart keeps the address and everything that was shown."""
    await client.chat_postMessage(channel=OPS, text="before")
    await slack.stop()
    with pytest.raises(ClientError):
        await client.auth_test()
    await slack.start()
    assert (await client.conversations_history(channel=OPS))["messages"][0]["text"] == "before"


async def test_a_chart_is_uploaded_into_a_thread(slack: LocalSlack, client: AsyncWebClient) -> None:
    """The SDK's three steps end in a message with the file, and a card may show the file from then on."""
    parent = (await client.chat_postMessage(channel=OPS, text="card"))["ts"]
    done = await client.files_upload_v2(content=b"\x89PNG...", filename="var.png", channel=OPS, thread_ts=parent)
    file = done["files"][0]["id"]
    assert [each.files for each in slack.world.replies(OPS, parent)] == [[file]]
    shown = [{"type": "image", "slack_file": {"id": file}, "alt_text": "VaR"}]
    await client.chat_update(channel=OPS, ts=parent, text="card", blocks=shown)
    shown = [{"type": "image", "slack_file": {"id": "F0NONEOFIT"}, "alt_text": "VaR"}]
    assert (await refused(client.chat_update(channel=OPS, ts=parent, text="x", blocks=shown)))[
        "error"
    ] == "invalid_blocks"
    assert (await refused(client.files_upload_v2(content=b"x", filename="x", channel="#ops")))[
        "error"
    ] == "channel_not_found"


async def test_a_chart_is_refused_until_slack_is_through_with_it(
    slack: LocalSlack, client: AsyncWebClient, clock: Clock
) -> None:
    """An upload that was just completed cannot be shown in a block yet; whoever does not try again loses the card."""
    slack.faults.files_late_ms = 500
    done = await client.files_upload_v2(content=b"\x89PNG...", filename="var.png")
    assert done["files"][0]["mimetype"] == ""
    shown = [{"type": "image", "slack_file": {"id": done["files"][0]["id"]}, "alt_text": "VaR"}]
    answer = await refused(client.chat_postMessage(channel=OPS, text="card", blocks=shown))
    assert (answer["error"], "invalid slack file" in answer["errors"][0]) == ("invalid_blocks", True)
    clock.at += 500
    await client.chat_postMessage(channel=OPS, text="card", blocks=shown)
    assert (await client.files_info(file=done["files"][0]["id"]))["file"]["mimetype"] == "image/png"
    slack.world.app.scopes = ("files:write",)
    assert (await refused(client.files_info(file=done["files"][0]["id"])))["needed"] == "files:read"


async def test_a_trigger_opens_one_modal_within_three_seconds(
    slack: LocalSlack, client: AsyncWebClient, clock: Clock
) -> None:
    """A trigger is good once and not for long; the view it opened is changed only by who knows its hash."""
    trigger = slack.state.triggers.give(ONCALL)
    view = (await client.views_open(trigger_id=trigger, view=modal()))["view"]
    assert (await refused(client.views_open(trigger_id=trigger, view=modal())))["error"] == "exchanged_trigger_id"
    late = slack.state.triggers.give(ONCALL)
    clock.at += 3_001
    assert (await refused(client.views_open(trigger_id=late, view=modal())))["error"] == "expired_trigger_id"
    await client.views_update(view_id=view["id"], hash=view["hash"], view=modal())
    again = client.views_update(view_id=view["id"], hash=view["hash"], view=modal())
    assert (await refused(again))["error"] == "hash_conflict"


def modal() -> dict[str, Any]:
    return {"type": "modal", "title": {"type": "plain_text", "text": "Deny"}, "blocks": [{"type": "divider"}]}
