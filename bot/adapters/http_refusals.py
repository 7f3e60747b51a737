"""What the webhook door refuses, and who hears of it: nothing is turned away in silence (law 1).

Called by `http_ingress`. A sender answered with 4xx does not send again, and Grafana sends nothing twice, so what was
refused is not known here unless somebody is told. Four cases:

    a body that cannot be read             page (`refused`); from Grafana, AndonGrafanaAlertRefused (`lost`)
    one alert that cannot be read          dead letter and page, and its neighbours are stored (`set_aside`)
    Grafana's webhook could not be stored  AndonGrafanaAlertRefused, kept by `Alarms` until the store is back (`lost`)
    wrong credentials, from Grafana once,  AndonWebhookUnauthorised (`Strangers`): a token was changed on one side only
    from others twice within the hour
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from bot.core.effects import PageOncall
from bot.core.target_moves import ONCALL
from bot.core.words import SYSTEM_TARGET
from bot.engine.alarms import Alarms
from bot.engine.ports import Clock, Commit, Store
from bot.errors import InputError, StoreUnavailable
from handlers.routing import UNROUTED
from handlers.webhook import Webhook

log = structlog.get_logger(__name__)

REFUSED: Final = "AndonWebhookRefused"
GRAFANA_LOST: Final = "AndonGrafanaAlertRefused"
UNAUTHORISED: Final = "AndonWebhookUnauthorised"

TELL_EVERY_SECONDS: Final = 60.0  # between two log lines, or pages, about the same sender's mistake
MAX_TOLD: Final = 1_024  # mistakes told apart; their names hold configured sources and fields of a payload
MAX_ASIDE: Final = 16_384  # bytes kept of one webhook's bad alerts; a whole body is 1 MiB, and letters are many
MAX_SEEN: Final = 256  # contents set aside that are remembered: a group is sent again with the same bad alert in it

STRANGER_WINDOW_SECONDS: Final = 3_600.0  # Alertmanager knocks again at its group interval, five minutes or so
STRANGER_LIMIT: Final = 2  # refused within the window: once is a typing error, twice is a configuration
NEVER_AGAIN: Final = frozenset({"/webhooks/grafana"})  # where one refusal is one lost alert: nothing is sent twice
QUIET_SECONDS: Final = 86_400.0  # a door nobody is welcomed at, and nobody is refused at either, is not used any more
MAX_STRANGERS: Final = 64  # refusals remembered; only whether there are two matters, and who the last ones were
SHOWN_PEERS: Final = 5  # addresses named in a summary


class Refusals:
    """Tells people what was not taken."""

    def __init__(
        self, store: Store, clock: Clock, alarms: Alarms, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self._monotonic = monotonic
        self._told: dict[str, float] = {}
        self._seen: dict[bytes, None] = {}

    def due(self, what: str) -> bool:
        """Whether `what` was not told within `TELL_EVERY_SECONDS`; a flood of mistakes is one mistake."""
        now = self._monotonic()
        if now < self._told.get(what, 0.0):
            return False
        if len(self._told) >= MAX_TOLD:
            self._told.clear()  # told once too often is better than never
        self._told[what] = now + TELL_EVERY_SECONDS
        return True

    async def refused(self, source: str, error: InputError) -> None:
        """A known sender's webhook was answered with 4xx, and it never sends it again."""
        if not self.due(f"rejected:{source}"):
            return
        summary = f"a webhook from {source} was refused, so its alerts are not known here ({error})"
        try:
            await self._page("rejected", source, summary)
        except StoreUnavailable:  # the alarm is kept until the store is back
            await self._alarms.raise_(UNROUTED, REFUSED, summary, labels=(("source", source),), anew=True)

    async def lost(self, source: str, problem: str) -> None:
        """Grafana sent something, we did not take it, and it will not come again. Told until the store has it."""
        summary = (
            f"an alert that Grafana sent ({source}) may be lost: {problem}; Grafana does not send again, "
            "so look there for what fires now"
        )
        await self._alarms.raise_(UNROUTED, GRAFANA_LOST, summary, labels=(("source", source),), anew=True)

    async def set_aside(self, source: str, webhook: Webhook) -> None:
        """Keep a webhook's bad alerts as a dead letter and page, naming the field. Raises StoreUnavailable."""
        first, more = webhook.refused[0], len(webhook.refused) - 1
        raw = (b"[" + b",".join(refused.raw for refused in webhook.refused) + b"]")[:MAX_ASIDE]
        content = hashlib.sha256(raw).digest()
        if content in self._seen:
            return
        reason = f"{source}: {first.field}: {first.problem}" + (f", and {more} more" if more else "")
        log.error("alert_set_aside", source=source, field=first.field, problem=first.problem, more=more)
        if self.due(f"aside:{source}"):  # not for each field: a label's name may be another one every time
            summary = (
                f"an alert in a webhook from {source} cannot be read and was set aside ({first.field}: {first.problem}"
                f"{f', and {more} more' if more else ''}); mend the rule that makes it, `andon dead-letters` shows it"
            )
            await self._page("aside", source, summary)
        await self._store.dead_letter(UNROUTED, "inbox", "", raw, reason)
        self._seen[content] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.pop(next(iter(self._seen)))

    async def _page(self, what: str, source: str, summary: str) -> None:
        page = PageOncall(
            id=f"{what}/{source}/{self._clock.now()}",
            incident=SYSTEM_TARGET,
            service=ONCALL,
            severity="error",
            dedup_key=f"webhook-{what}:{source}",
            summary=summary,
        )
        await self._store.commit(UNROUTED, Commit(effects=(page,)))


class Strangers:
    """Counts refused credentials over a sliding window of monotonic time; one alarm, however many knock.

    It is over once somebody was welcomed at every door where somebody was refused, after a window without a refusal:
    Alertmanager's webhooks say nothing about Grafana's password. A door's refusals are forgotten after a quiet day.
    """

    def __init__(self, alarms: Alarms, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._alarms = alarms
        self._monotonic = monotonic
        self._knocks: deque[tuple[float, str, str]] = deque(maxlen=MAX_STRANGERS)
        self._last: dict[str, float] = {}  # the last refusal at each door; there are two
        self._look_at = monotonic() + STRANGER_WINDOW_SECONDS
        self._may_fire = True  # the process before this one may have raised it

    async def knocked(self, peer: str, path: str) -> None:
        """Somebody's credentials were refused."""
        now = self._last[path] = self._monotonic()
        self._look_at = now + STRANGER_WINDOW_SECONDS
        self._may_fire = True
        self._knocks.append((now, peer, path))
        while now - self._knocks[0][0] > STRANGER_WINDOW_SECONDS:
            self._knocks.popleft()
        if len(self._knocks) < STRANGER_LIMIT and path not in NEVER_AGAIN:
            return
        peers = list(dict.fromkeys(peer for _, peer, _ in reversed(self._knocks)))
        shown = ", ".join(peers[:SHOWN_PEERS]) + (", …" if len(peers) > SHOWN_PEERS else "")
        paths = " and ".join(sorted({path for _, _, path in self._knocks}))
        summary = (
            f"webhooks to {paths} from {shown} are refused for their credentials, so alerts may be missing here: "
            "compare the token or password that the sender has with listen.auth in andon.yaml"
        )
        await self._alarms.raise_(UNROUTED, UNAUTHORISED, summary)

    @property
    def may_be_over(self) -> bool:
        """Whether a webhook that was stored may end the matter; asked for every one, so it costs little."""
        return self._may_fire and self._monotonic() > self._look_at

    async def welcomed(self, path: str) -> None:
        """A webhook was stored at this door after a quiet window: if no other is in doubt, the matter is over."""
        now = self._monotonic()
        self._last.pop(path, None)
        self._last = {door: last for door, last in self._last.items() if now - last <= QUIET_SECONDS}
        if self._last:
            return
        self._may_fire = False
        self._knocks.clear()
        await self._alarms.clear(UNROUTED, UNAUTHORISED)
