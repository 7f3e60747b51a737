"""What people do in Slack, heard through slack-bolt: who did it, within 3 s an answer, and the answer's delivery.

Built by `bot.slack_face`; `door` (HTTP) and `socket_line` (Socket Mode) bring what `incoming` has judged and `payloads`
reads. Every listener works first and acknowledges last, or after `ACK_SECONDS`; what takes longer goes on in a task of
`run` and is answered elsewhere. So an acknowledged click is a stored one, or one whose answer still comes. Buttons are
`clicks`, modals `submissions`, words `spoken`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.error import BoltUnhandledRequestError
from slack_bolt.response import BoltResponse

from bot.adapters.slack.cards import answers
from bot.adapters.slack.cards.shapes import PREFIX, Ref, verb_of
from bot.adapters.slack.heard import payloads
from bot.adapters.slack.heard.clicks import Clicks
from bot.adapters.slack.heard.copies import Copies, Copy, said_by
from bot.adapters.slack.heard.homes import Homes
from bot.adapters.slack.heard.members import Known, Members, Stranger
from bot.adapters.slack.heard.person import Answer, Deed, Errors, Show, Tell, problem
from bot.adapters.slack.heard.speaking import Speaking
from bot.adapters.slack.heard.spoken import Spoken, is_typed
from bot.adapters.slack.heard.submissions import Submissions
from bot.adapters.slack.pages import modals
from bot.errors import AndonError

ACK_SECONDS: Final = 2.0  # of Slack's three; the way back takes some
LATE_SECONDS: Final = 30.0  # an answer that takes longer is none
COMMAND: Final = "/andon"
SHORTCUT: Final = f"{PREFIX}about"  # "What is this?" on a message
_OURS: Final = re.compile(rf"^{re.escape(PREFIX)}")

Ack: TypeAlias = Callable[..., Awaitable[Any]]
Work: TypeAlias = Callable[[Known], Awaitable[Answer]]

_BOLT = "andon.slack_bolt"  # the app's name: bolt gives the logger of that name a level of its own

log = structlog.get_logger(__name__)


class Listeners:
    """Everything that Slack tells Andon."""

    def __init__(
        self,
        members: Members,
        clicks: Clicks,
        submissions: Submissions,
        spoken: Spoken,
        homes: Homes,
        speaking: Speaking,
        copies: Copies,
    ) -> None:
        self._members = members
        self._copies = copies
        self._clicks = clicks
        self._submissions = submissions
        self._spoken = spoken
        self._homes = homes
        self._speaking = speaking
        self._tasks: asyncio.TaskGroup | None = None

    def application(self) -> AsyncApp:
        """slack-bolt's application with all listeners. Requests were verified before they get here."""
        speaking = self._speaking

        async def authorize(**_: object) -> AuthorizeResult:  # a method would be called with a second `self`
            return await speaking.identity()

        app = AsyncApp(
            name=_BOLT, client=speaking.client, authorize=authorize, request_verification_enabled=False,
            ssl_check_enabled=False, url_verification_enabled=False, logger=_quiet(),
            raise_error_for_unhandled_request=True,
        )  # fmt: skip
        app.error(_failed)
        app.action(_OURS)(self._clicked)
        app.view(_OURS)(self._submitted)
        app.command(COMMAND)(self._commanded)
        app.shortcut(SHORTCUT)(self._asked_about)
        app.event("app_mention")(self._mentioned)
        app.event("app_home_opened")(self._opened)
        return app

    async def run(self) -> None:
        """Give late answers a place to live, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._tasks = None

    # --- one listener each ------------------------------------------------------------------------------------------

    async def _clicked(self, ack: Ack, body: Mapping[str, Any]) -> None:
        action = body["actions"][0]
        deed = payloads.clicked(body, action)
        value = str(action.get("value") or (action.get("selected_option") or {}).get("value") or "")

        async def work(who: Known) -> Answer:
            verb = verb_of(action["action_id"])
            if is_typed(action["action_id"]):
                return await self._spoken.opened(who, value, deed)
            if verb == "refresh":
                await self._homes.opened(deed.team, deed.user)
                return None
            if verb in ("run", "silence"):
                return await self._spoken.answer(who, verb, deed)  # as if it were typed: opens the form
            if verb == "show":
                return await self._spoken.answer(who, f"show {Ref.read(value).incident}", deed)
            return await self._clicks.clicked(who, verb, value, deed)

        if action.get("type") == "button" and not action.get("url"):
            await self._answered(ack, deed, work)
        else:
            await ack()  # a menu inside a modal, or a link that was followed

    async def _submitted(self, ack: Ack, body: Mapping[str, Any]) -> None:
        view = body["view"]
        deed = payloads.submitted(body)

        async def work(who: Known) -> Answer:
            values = view.get("state", {}).get("values", {})
            return await self._submissions.submitted(
                who, view["callback_id"], view.get("private_metadata", ""), values, deed
            )

        await self._answered(ack, deed, work)

    async def _commanded(self, ack: Ack, body: Mapping[str, Any]) -> None:
        deed = payloads.commanded(body)

        async def work(who: Known) -> Answer:
            return await self._spoken.answer(who, str(body.get("text", "")), deed)

        await self._answered(ack, deed, work, by_ack=True)

    async def _asked_about(self, ack: Ack, body: Mapping[str, Any]) -> None:
        deed = payloads.asked_about(body)
        message = body.get("message", {})

        async def work(who: Known) -> Answer:
            place = str(message.get("thread_ts") or message.get("ts", ""))  # in a thread: that of its card
            return await self._spoken.about(who, deed.channel, place, deed)

        await self._answered(ack, deed, work)

    async def _mentioned(self, ack: Ack, body: Mapping[str, Any]) -> None:
        event = body["event"]
        if event.get("bot_id"):
            await ack()
            return
        deed = payloads.mentioned(body)

        async def work(who: Known) -> Answer:
            if "edited" in event:
                return self._spoken.edited(deed, str(event.get("ts", "")))
            return await self._spoken.answer(who, _without_mention(str(event.get("text", ""))), deed)

        await self._answered(ack, deed, work)

    async def _opened(self, ack: Ack, body: Mapping[str, Any]) -> None:
        deed = payloads.mentioned(body)
        self._later(lambda: self._homes.opened(deed.team, deed.user))
        await ack()

    # --- answering --------------------------------------------------------------------------------------------------

    async def _answered(self, ack: Ack, deed: Deed, work: Work, *, by_ack: bool = False) -> None:
        """Work, then acknowledge with the answer; after `ACK_SECONDS` acknowledge without, and answer later."""
        tasks = self._tasks
        if tasks is None:
            raise _StoppingError("Andon stops")
        working = tasks.create_task(self._worked(deed, work))
        done, _ = await asyncio.wait({working}, timeout=ACK_SECONDS)
        if not done:
            self._later(lambda: self._late(deed, working))
            late = modals.told("Andon", "It is taking longer than usual; the answer comes by itself.")
            await ack(**({"response_action": "update", "view": late} if _is_modal(deed) else {}))
            return
        match working.result():
            case None:
                await ack()
            case Errors(problems=problems):
                await ack(response_action="errors", errors=dict(problems))
            case Show(view=view) if _is_modal(deed):
                await ack(response_action="update", view=dict(view))
            case Tell() if _is_modal(deed):
                await ack()  # a form that closes says: done
            case Tell(message=message, in_channel=aloud) if by_ack:
                kind = "in_channel" if aloud else "ephemeral"
                await ack(text=message.text, blocks=list(message.blocks), response_type=kind)
            case Show() | Tell() as answer:
                self._later(lambda: self._delivered(deed, answer))
                await ack()

    async def _worked(self, deed: Deed, work: Work) -> Answer:
        """A supervision point: whoever asked hears a sentence, whatever went wrong."""
        try:
            async with asyncio.timeout(LATE_SECONDS):
                who = await self._members.who(deed.team, deed.user, deed.home)
                if isinstance(who, Stranger):
                    log.warning("slack_refused", team=deed.team, home=deed.home, user=deed.user, why=who.why)
                    return _wrong(deed, who.why)
                return await self._done(who, deed, work)
        except AndonError as error:
            return _wrong(deed, problem(error))
        except TimeoutError:
            return _wrong(deed, "it took too long; look at the card before you do it again")
        except Exception:  # a defect costs this answer, not the bot
            log.exception("slack_failed", deed=deed.id)
            return _wrong(deed, "Andon failed on this; the log says where. `andon` on the command line still works")

    async def _done(self, who: Known, deed: Deed, work: Work) -> Answer:
        """Work; where that ended a form, take the buttons from the answer that the form was opened from."""
        try:
            answer = await work(who)
        except AndonError as error:
            answer = _wrong(deed, problem(error))
        copy = self._copies.done(deed, answer)
        if copy is not None:
            self._later(lambda: self._anew(who, copy, said_by(answer)))
        return answer

    async def _late(self, deed: Deed, working: asyncio.Task[Answer]) -> None:
        answer = await working
        if answer is not None:
            await self._delivered(deed, answer)

    async def _delivered(self, deed: Deed, answer: Answer) -> None:
        opened = await self._speaking.deliver(deed, answer)
        self._copies.opened(opened, deed, answer.about if isinstance(answer, Show) else "")

    async def _anew(self, who: Known, copy: Copy, safe: str) -> None:
        await self._speaking.replace(copy.address, await self._copies.anew(copy.about, who.person, safe))

    def _later(self, work: Callable[[], Awaitable[None]]) -> None:
        tasks = self._tasks
        if tasks is not None:
            tasks.create_task(_supervised(work))


async def _supervised(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except AndonError as error:
        log.warning("slack_answer_lost", error=str(error))
    except Exception:  # supervision point: an answer that failed must not end the others
        log.exception("slack_answer_failed")


class _StoppingError(AndonError):
    """Not to be acknowledged: Slack tells it again, to another replica or to the next start."""


async def _failed(error: Exception, response: BoltResponse | None) -> BoltResponse | None:
    """A supervision point: what slack-bolt answers where no listener did. `response` None: it is acknowledged already.

    A button, a form or a command that is none of Andon's is acknowledged, and nothing is done.
    """
    match error:
        case BoltUnhandledRequestError():
            log.info("slack_payload_unheard", kind="of another app")
            status = 200
        case _StoppingError():
            status = 503
        case _:
            log.error("slack_listener_failed", exc_info=error)
            status = 500
    return BoltResponse(status=status) if response is not None else None


def _wrong(deed: Deed, words: str) -> Answer:
    return Show(modals.told("Not done", words)) if _is_modal(deed) else Tell(answers.wrong(words))


def _is_modal(deed: Deed) -> bool:
    return bool(deed.view) and not deed.channel and not deed.trigger


def _quiet() -> logging.Logger:
    quiet = logging.getLogger(_BOLT)
    quiet.setLevel(logging.ERROR)  # below that it writes whole payloads, signatures included
    return quiet


def _without_mention(text: str) -> str:
    return re.sub(r"^\s*<@[A-Z0-9]+(\|[^>]*)?>\s*", "", text)
