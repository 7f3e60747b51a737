"""The only one that calls Slack's Web API: through slack-sdk, over a session of Andon's own, each call bounded, once.

Made by the composition root; used by `board` (posts, edits, look-ups), and by listeners, `members`, `home` and `check`
through `ask` and `client`. Nothing is retried here: the SDK's own handler posts again when a connection breaks, and the
first post may have been taken. Writes keep the pace of `pacing`; a 429 is remembered there and told to the caller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import structlog
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.outgoing import Lookup
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.line.pacing import LEAST_WAIT_S, POST, UPDATE, Pace
from bot.adapters.slack.line.ways import Ways
from bot.errors import DeliveryError, DeliveryUncertain

CALL_SECONDS: Final = 10.0  # one call, answer included; Slack answers within one as a rule
LONGEST_TURN_S: Final = 5.0  # a caller that would wait longer for its channel's turn is told so instead
METADATA: Final = "andon_card"  # event_type of everything the board posts; the payload names the message
PAGE: Final = 200  # messages of one page; Slack advises no more
MAX_PAGES: Final = 10  # looked through for one message
LIST_PAGE: Final = 999  # channels of one page, https://docs.slack.dev/reference/methods/conversations.list: under 1000
KINDS: Final = ("public_channel", "private_channel")  # of channels; each needs a scope of its own
MOST_PAGES: Final = 15  # of channels at one look; Slack lets conversations.list be called 20 times a minute
LACKING: Final = "missing_scope"
SCOPE_FIX: Final = "`andon slack check` names every scope that is missing; add it, and install the app again"
UNSURE: Final = frozenset({"fatal_error", "internal_error", "service_unavailable", "request_timeout"})

log = structlog.get_logger(__name__)


class SlackRefusedError(DeliveryError):
    """Slack answered, and the answer is no; `code` is its word for why."""

    def __init__(self, doing: str, code: str, said: str = "") -> None:
        super().__init__(f"Slack refused {doing}: {code}{said and f' ({said})'}")
        self.code = code


class SlackThrottledError(DeliveryError):
    """Too many calls; nothing was done. `seconds` until the next try."""

    def __init__(self, doing: str, seconds: float) -> None:
        super().__init__(f"Slack takes no more {doing} for {seconds:.0f} s")
        self.seconds = seconds


@dataclass(slots=True)
class Listing:
    """Channels as Slack describes them. `short`: why there may be more than these, in words."""

    named: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by name and by id
    short: str = ""

    @property
    def seen(self) -> int:
        """How many there are."""
        return len({one["id"] for one in self.named.values()})

    def add(self, page: Iterable[Mapping[str, Any]]) -> None:
        """Those of one page. A name means the channel that is not archived, and the first description counts."""
        for one in page:
            self.named.setdefault(str(one["id"]), one)
            known = self.named.get(str(one["name"]))
            if known is None or (_is_archived(known) and not _is_archived(one)):
                self.named[str(one["name"])] = one


class SlackApi:
    """One workspace, as the bot's token sees it. `close` after use."""

    def __init__(
        self, url: str, token: SecretStr, *, pace: Pace | None = None, allow_private: bool = False,
        lookup: Lookup | None = None,
    ) -> None:  # fmt: skip
        self._url = url
        self._token = token
        self.ways = Ways(url, seconds=CALL_SECONDS, allow_private=allow_private, lookup=lookup)
        self.pace = pace if pace is not None else Pace()
        self._client: AsyncWebClient | None = None
        self._me: Mapping[str, Any] | None = None
        self._lacking: set[str] = set()  # calls that a scope is missing for: each is told once

    @property
    def client(self) -> AsyncWebClient:
        """The SDK's client, made inside the running loop. Bolt copies it, session and base address included."""
        if self._client is None:
            quiet = logging.getLogger("andon.slack_sdk")
            quiet.setLevel(logging.WARNING)  # at DEBUG the SDK writes whole messages to the log
            self._client = AsyncWebClient(
                token=self._token.get_secret_value(), base_url=self._url, timeout=int(CALL_SECONDS),
                session=self.ways.home, retry_handlers=[], logger=quiet,
            )  # fmt: skip
            self._client.proxy = None  # the SDK takes HTTP(S)_PROXY of the environment, for loopback too
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        await self.ways.close()

    async def ask(self, doing: str, call: Awaitable[Any], *, seconds: float = CALL_SECONDS) -> Mapping[str, Any]:
        """One call of `client`, bounded, its errors in Andon's words; the answer's fields.

        SlackRefusedError: Slack says no. SlackThrottledError: later. DeliveryUncertain: it may have been done all the
        same. Any other DeliveryError: nothing was sent.
        """
        try:
            async with asyncio.timeout(seconds):
                answer = await call
            return answer.data if isinstance(answer.data, dict) else {}
        except TimeoutError as error:
            raise DeliveryUncertain(f"{doing}: no answer from Slack within {seconds:g} s") from error
        except SlackApiError as error:
            raise self._refusal(doing, error) from error
        except aiohttp.ClientConnectorError as error:
            raise DeliveryError(f"{doing}: Slack cannot be reached: {type(error).__name__}") from error
        except (aiohttp.ClientError, OSError, SlackClientError, AttributeError, TypeError, ValueError) as error:
            # The last three: the SDK takes any body for JSON. Their texts may quote the request, so only the kind.
            raise DeliveryUncertain(
                f"{doing}: no answer of Slack's that can be read: {type(error).__name__}"
            ) from error

    async def send(self, doing: str, url: str, *, seconds: float, **what: Any) -> None:
        """POST to an address that Slack named, at one of its own hosts. Raises as `ask` does."""
        session = self.ways.to(url)
        if session is None:
            raise DeliveryError(f"{doing}: the address is not Slack's")
        try:
            async with asyncio.timeout(seconds), session.post(url, allow_redirects=False, **what) as response:
                if response.status != 200:
                    raise DeliveryError(f"{doing}: Slack answered HTTP {response.status}")
        except aiohttp.ClientConnectorError as error:
            raise DeliveryError(f"{doing}: {type(error).__name__}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise DeliveryUncertain(f"{doing}: {type(error).__name__}") from error

    def _refusal(self, doing: str, error: SlackApiError) -> DeliveryError:
        response = error.response
        status = getattr(response, "status_code", None) or getattr(response, "status", 0)
        data = getattr(response, "data", None)
        fields: Mapping[str, Any] = data if isinstance(data, dict) else {}
        code = str(fields.get("error", ""))
        if status == 429 or code in ("ratelimited", "rate_limited"):
            seconds = _seconds(getattr(response, "headers", {}))
            self.pace.throttled(doing, seconds, asyncio.get_running_loop().time())
            return SlackThrottledError(doing, seconds)
        if status != 200 or not code or code in UNSURE:
            return DeliveryUncertain(f"{doing}: Slack answered HTTP {status} {code}".rstrip())
        if code == LACKING and doing not in self._lacking:
            self._lacking.add(doing)
            log.warning("slack_scope_missing", call=doing, scope=str(fields.get("needed", ""))[:80], fix=SCOPE_FIX)
        more = _rows(_fields(fields.get("response_metadata")).get("messages")) or [fields.get("needed", "")]
        return SlackRefusedError(doing, code[:80], "; ".join(str(one) for one in more if one)[:200])

    # --- messages ---------------------------------------------------------------------------------------------------

    async def post(
        self, channel: str, message: Message, *, name: str = "", nonce: str = "", thread: str = "", aloud: bool = False
    ) -> str:
        """Post a message; its `ts`. `aloud`: a reply that the channel sees too. `name`, `nonce`: for `find`."""
        args: dict[str, Any] = _body(channel, message) | {"metadata": _metadata(name, nonce)}
        if thread:
            args |= {"thread_ts": thread, "reply_broadcast": aloud}
        answer = await self._write(POST, channel, lambda: self.client.chat_postMessage(**args))
        ts = answer.get("ts")
        if not ts or not isinstance(ts, str):
            raise DeliveryUncertain(f"{POST}: Slack did not say where the message stands")
        return ts

    async def update(self, channel: str, ts: str, message: Message, *, name: str = "") -> None:
        """Show something else in its place."""
        args = _body(channel, message, unfurls=False) | {"ts": ts, "metadata": _metadata(name, "")}
        await self._write(UPDATE, channel, lambda: self.client.chat_update(**args))

    async def delete(self, channel: str, ts: str) -> None:
        """Take a message back."""
        await self.ask("chat.delete", self.client.chat_delete(channel=channel, ts=ts))

    async def permalink(self, channel: str, ts: str) -> str:
        """The address of a message."""
        answer = await self.ask("chat.getPermalink", self.client.chat_getPermalink(channel=channel, message_ts=ts))
        return str(answer.get("permalink", ""))

    async def find(self, channel: str, *, name: str, nonce: str, oldest: float, thread: str = "") -> str:
        """The `ts` of our message of this name (and nonce, where one is given) since `oldest` (s); "": not there."""
        me, cursor = await self.me(), ""
        for _ in range(MAX_PAGES):
            args: dict[str, Any] = {
                "channel": channel, "limit": PAGE, "include_all_metadata": True, "oldest": f"{max(0.0, oldest):.6f}"
            }  # fmt: skip
            if cursor:
                args["cursor"] = cursor
            if thread:
                asked = self.client.conversations_replies(**args, ts=thread)
                answer = await self.ask("conversations.replies", asked)
            else:
                answer = await self.ask("conversations.history", self.client.conversations_history(**args))
            for message in filter(None, map(_fields, _rows(answer.get("messages")))):
                if _is_ours(message, me) and _is_named(message, name, nonce):
                    return str(message["ts"])
            cursor = _cursor(answer)
            if not cursor:
                break
        return ""

    async def upload(self, content: bytes, name: str, words: str) -> str:
        """A picture, in no channel; its id. `words`: what it shows, for who does not see it.

        https://docs.slack.dev/messaging/working-with-files#uploading_files
        """
        ask = self.client.files_getUploadURLExternal(filename=name, length=len(content), alt_txt=words[:1_000])
        place = await self.ask("files.getUploadURLExternal", ask)
        file, url = str(place.get("file_id", "")), str(place.get("upload_url", ""))
        if not file:
            raise DeliveryUncertain("files.getUploadURLExternal: Slack named no file")
        await self.send("upload", url, seconds=CALL_SECONDS, data=content)
        made = self.client.files_completeUploadExternal(files=[{"id": file, "title": words[:100]}])
        await self.ask("files.completeUploadExternal", made)
        return file

    async def join(self, channel: str) -> None:
        """Become a member of a public channel."""
        await self.ask("conversations.join", self.client.conversations_join(channel=channel))

    async def _write(self, method: str, channel: str, call: Any) -> Mapping[str, Any]:
        """A call that the pace counts. Waits for its turn, a little."""
        loop = asyncio.get_running_loop()
        wait = self.pace.wait(method, channel, loop.time())
        if wait > LONGEST_TURN_S:
            raise SlackThrottledError(method, wait)
        while wait > 0:
            await asyncio.sleep(wait)
            wait = self.pace.wait(method, channel, loop.time())
        self.pace.take(method, channel, loop.time())
        try:
            return await self.ask(method, call())
        finally:
            self.pace.done(channel, loop.time())

    # --- the workspace ----------------------------------------------------------------------------------------------

    @property
    def known(self) -> Mapping[str, Any]:
        """What `me` said, without waiting for it; nothing before."""
        return self._me or {}

    async def me(self) -> Mapping[str, Any]:
        """Who the token is (`auth.test`): `user_id`, `bot_id`, `team_id`, `url`; asked once."""
        return self._me if self._me is not None else await self.probe()

    async def probe(self) -> Mapping[str, Any]:
        """Ask Slack who we are, now: it answers while it is there."""
        self._me = await self.ask("auth.test", self.client.auth_test())
        return self._me

    async def channels(self, wanted: Collection[str]) -> Mapping[str, str]:
        """Names of the channels the bot is in, with their ids, and of those it could join that are `wanted`."""
        listing = await self.listed(wanted)
        if listing.short:
            log.warning("slack_channels_not_all", seen=listing.seen, why=listing.short)
        return {
            name: str(one["id"]) for name, one in listing.named.items() if name != one["id"] and not _is_archived(one)
        }

    async def listed(self, wanted: Collection[str]) -> Listing:
        """The channels the bot is in, then those it could be in, until all that is `wanted` (names or ids) was seen.

        Where it is costs a call or two in a workspace of any size; of the others, so many are looked through as Slack
        lets be listed in a minute.
        """
        missing = {name.removeprefix("#") for name in wanted}
        listing = await self._joined()
        if missing <= listing.named.keys():
            return listing
        try:
            async for page in self._pages("conversations.list", self.client.conversations_list, listing):
                listing.add(page)
                if missing <= listing.named.keys():
                    break
        except (SlackThrottledError, SlackRefusedError) as error:  # where it is, is known all the same
            listing.short = str(error)
        return listing

    async def _joined(self) -> Listing:
        listing = Listing()
        async for page in self._pages("users.conversations", self.client.users_conversations, listing):
            listing.add({**one, "is_member": True} for one in page)  # which Slack leaves out there
        return listing

    async def _pages(
        self, doing: str, asked: Callable[..., Awaitable[Any]], listing: Listing
    ) -> AsyncIterator[list[Mapping[str, Any]]]:
        """Of public and private ones; where a scope is missing for one kind, of the other."""
        try:
            async for page in self._pages_of(",".join(KINDS), doing, asked, listing):
                yield page
            return
        except SlackRefusedError as error:
            if error.code != LACKING:
                raise
            refused = [error]
        for kind in KINDS:
            try:
                async for page in self._pages_of(kind, doing, asked, listing):
                    yield page
            except SlackRefusedError as error:
                refused.append(error)
                listing.short = str(error)
        if len(refused) > len(KINDS):
            raise refused[-1]

    async def _pages_of(
        self, kinds: str, doing: str, asked: Callable[..., Awaitable[Any]], listing: Listing
    ) -> AsyncIterator[list[Mapping[str, Any]]]:
        cursor = ""
        for _ in range(MOST_PAGES):
            more = {"cursor": cursor} if cursor else {}
            answer = await self.ask(doing, asked(limit=LIST_PAGE, types=kinds, **more))
            yield [one for one in map(_fields, _rows(answer.get("channels"))) if "id" in one and "name" in one]
            cursor = _cursor(answer)
            if not cursor:
                return
        listing.short = f"no more than {MOST_PAGES * LIST_PAGE:,} channels are looked through"


def _body(channel: str, message: Message, *, unfurls: bool = True) -> dict[str, Any]:
    """What both posting and editing take. Nothing in it is parsed for names or addresses, nothing unfurls."""
    body: dict[str, Any] = {"channel": channel, "text": message.text, "blocks": list(message.blocks), "parse": "none"}
    return body | ({"unfurl_links": False, "unfurl_media": False, "link_names": False} if unfurls else {})


def _metadata(name: str, nonce: str) -> dict[str, Any]:
    return {"event_type": METADATA, "event_payload": {"name": name, "nonce": nonce}}


def _is_ours(message: Mapping[str, Any], me: Mapping[str, Any]) -> bool:
    """Any app may write any metadata: only a message of this very bot counts."""
    pairs = (("bot_id", me.get("bot_id")), ("user", me.get("user_id")))
    return any(own and message.get(field) == own for field, own in pairs)


def _is_named(message: Mapping[str, Any], name: str, nonce: str) -> bool:
    metadata = _fields(message.get("metadata"))
    payload = _fields(metadata.get("event_payload"))
    same = metadata.get("event_type") == METADATA and payload.get("name") == name
    return same and (not nonce or payload.get("nonce") == nonce)


def _is_archived(channel: Mapping[str, Any]) -> bool:
    return bool(channel.get("is_archived"))


def _cursor(answer: Mapping[str, Any]) -> str:
    return str(_fields(answer.get("response_metadata")).get("next_cursor") or "")


def _fields(value: object) -> Mapping[str, Any]:
    """An object of an answer; nothing where it is none."""
    return value if isinstance(value, dict) else {}


def _rows(value: object) -> list[Any]:
    """A list of an answer; nothing where it is none."""
    return value if isinstance(value, list) else []


def _seconds(headers: Mapping[str, Any]) -> float:
    value = next((held for key, held in headers.items() if key.lower() == "retry-after"), "")
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    try:
        return max(LEAST_WAIT_S, float(values[0]))
    except (ValueError, TypeError, IndexError):
        return LEAST_WAIT_S
