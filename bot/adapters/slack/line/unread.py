"""What Slack sent and Andon could not read: logged, counted, and told (law 12).

Called by `door` and `socket_line` with whatever `incoming` refused. Should Slack change one field, nobody could decide
there any more: whoever clicked is told in words, by the payload's own address or in the form they sent, and after a few
refusals within minutes an alarm pages. It is over after a quiet time. `bot.slack_face` gives `run` a task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import structlog
from prometheus_client import CollectorRegistry, Counter

from bot.adapters.slack.line.api import SlackApi
from bot.adapters.slack.line.incoming import MAX_URL, printable
from bot.adapters.slack.pages import modals
from bot.engine.alarms import Alarms
from bot.errors import DeliveryError, InputError

NAME: Final = "AndonSlackUnreadable"
FEW: Final = 3  # refused within
WITHIN_S: Final = 300.0  # is no slip: people click again when nothing happens
QUIET_S: Final = 900.0  # without one, and it is over
LOOK_S: Final = 15.0  # between two looks whether it is
RESPOND_S: Final = 5.0
MAX_WAITING: Final = 16  # people still to be told; whoever comes on top reads it from those who were
KINDS: Final[Mapping[str, str]] = {
    "block_actions": "click", "view_submission": "form", "message_action": "shortcut", "event_callback": "event",
}  # fmt: skip
COMMAND: Final = "command"
OTHER: Final = "other"
WORDS: Final = "Andon could not read this, so nothing was done; use `andon approve …` on the command line."
FIX: Final = (
    "Clicks and commands in Slack may do nothing: read and decide with `andon incidents` and `andon approve` now. "
    "`slack_payload_refused` in the log names each; a proxy that changes bodies, or a Slack newer than this Andon?"
)

REFUSED: Final = "andon_slack_payloads_refused"  # the counter; its series has `_total` besides

# Takes (the payload as far as it could be read, what is wrong); an answer for the acknowledgement, where there is one.
Noted: TypeAlias = Callable[[object, InputError], Mapping[str, Any] | None]

log = structlog.get_logger(__name__)


def logged(payload: object, error: InputError) -> None:
    """A line that names what is wrong, and holds nothing of the payload."""
    log.warning("slack_payload_refused", kind=kind_of(payload), field=error.field, why=error.message)


class Unread:
    """Counts them and tells people. One per process."""

    def __init__(self, api: SlackApi, alarms: Alarms, shard: str, registry: CollectorRegistry) -> None:
        """`shard` hears of the alarm."""
        self._api = api
        self._alarms = alarms
        self._shard = shard
        self._counter = Counter(REFUSED, "Payloads of Slack's that could not be read", ["kind"], registry=registry)
        for kind in (*KINDS.values(), COMMAND, OTHER):
            self._counter.labels(kind)  # shown from the start, so that a rate has a beginning
        self._times: deque[float] = deque(maxlen=FEW)  # of the last ones, seconds of the loop's clock
        self._waiting: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)  # addresses of people; "": nobody's
        self._last = ""
        self._fires: bool | None = None  # None: the process before this one may have raised it

    def noted(self, payload: object, error: InputError) -> Mapping[str, Any] | None:
        """One was refused. Returns at once; the answer is for whoever sent a form, which would close as if well."""
        logged(payload, error)
        kind = kind_of(payload)
        self._counter.labels(kind).inc()
        self._times.append(asyncio.get_running_loop().time())
        self._last = printable(f"{kind}, {error.field} {error.message}")
        if not self._waiting.full():
            self._waiting.put_nowait(_address(payload))
        if kind != "form":
            return None
        return {"response_action": "update", "view": modals.told("Not done", WORDS)}

    async def run(self) -> None:
        """Tell whoever is to be told, for ever."""
        began = asyncio.get_running_loop().time()
        while True:
            address = ""
            try:
                async with asyncio.timeout(LOOK_S):
                    address = await self._waiting.get()
            except TimeoutError:
                pass  # time to look whether it is over
            await self._judge(began)
            if address:
                await self._tell(address)

    async def _judge(self, began: float) -> None:
        now = asyncio.get_running_loop().time()
        last = self._times[-1] if self._times else began
        many = len(self._times) == FEW and now - self._times[0] <= WITHIN_S
        if now - last >= QUIET_S:
            if self._fires is not False:
                self._fires = False
                await self._alarms.clear(self._shard, NAME)
        elif many or self._fires:
            self._fires = True
            why = f"Andon could not read what Slack sent, {FEW} times within {WITHIN_S / 60:.0f} minutes"
            await self._alarms.raise_(self._shard, NAME, f"{why} (last: {self._last}). {FIX}")

    async def _tell(self, address: str) -> None:
        """By the payload's own address, if it is at Slack; nowhere else is anything sent."""
        if self._api.ways.to(address) is None:
            return
        body = {"text": WORDS, "response_type": "ephemeral", "replace_original": False}
        try:
            await self._api.send("response_url", address, seconds=RESPOND_S, json=body)
        except DeliveryError as error:
            log.warning("slack_answer_lost", error=str(error))


def kind_of(payload: object) -> str:
    """What was refused, in one of a few words."""
    if not isinstance(payload, Mapping):
        return OTHER
    named = payload.get("type")
    if named is None and "command" in payload:
        return COMMAND
    return KINDS.get(named, OTHER) if isinstance(named, str) else OTHER


def _address(payload: object) -> str:
    found = payload.get("response_url") if isinstance(payload, Mapping) else None
    return found if isinstance(found, str) and len(found) <= MAX_URL else ""
