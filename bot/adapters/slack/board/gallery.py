"""Charts on their way onto decision cards: drawn and uploaded beside the board, and shown once Slack has them.

A question goes out at once, without its picture; when the picture stands, the board is nudged and edits the card. A
picture that fails is simply not there. Uploads: https://docs.slack.dev/messaging/working-with-files
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from bot.adapters.slack.board.charts import Charts, installed
from bot.adapters.slack.board.shelf import subject
from bot.adapters.slack.board.sights import Sight
from bot.adapters.slack.line.api import SlackApi
from bot.core.incident import Incident
from bot.core.words import Millis
from bot.engine.ports import Clock, Store
from bot.errors import DeliveryError, StoreError

MAX_WANTED: Final = 20  # questions that wait for their picture; past it they stay without
MAX_KEPT: Final = 500  # pictures whose place is remembered
READY_SECONDS: Final = 15.0  # Slack works on an upload for a while; a card that names it before is refused
LOOK_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


class Gallery:
    """Pictures by question. `changed` nudges the board."""

    def __init__(
        self, charts: Charts, api: SlackApi, store: Store, clock: Clock, changed: Callable[[Sequence[str]], None]
    ) -> None:
        self._charts = charts
        self._store = store
        self._api = api
        self._clock = clock
        self._changed = changed
        self._kept: OrderedDict[str, tuple[str, str]] = OrderedDict()  # approval -> file, and what it shows
        self._wanted: asyncio.Queue[tuple[str, Incident]] = asyncio.Queue(MAX_WANTED)

    def of(self, sight: Sight) -> tuple[str, str]:
        """The picture of the question that is asked: file id and words, ("", "") while there is none."""
        asked = sight.incident.approval
        if asked is None or not installed():
            return "", ""
        if asked.id not in self._kept and not self._wanted.full():
            self._keep(asked.id, ("", ""))
            self._wanted.put_nowait((sight.shard, sight.incident))
        return self._kept.get(asked.id, ("", ""))

    def _keep(self, approval: str, picture: tuple[str, str]) -> None:
        self._kept[approval] = picture
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    async def run(self) -> None:
        """Draw and upload what is wanted, one after another, for ever."""
        while True:
            shard, incident = await self._wanted.get()
            asked, plan = incident.approval, incident.plan
            if asked is None or plan is None:
                continue
            guard = next((step.guard for step in plan.steps if step.id == asked.step), "")
            now = self._clock.now()
            marks = sorted([*_marks(incident), *await self._marks_before(shard, incident)])
            picture = await self._charts.picture(plan, guard, incident.firing, marks, now)
            if picture is None:
                continue
            try:
                file = await self._upload(picture[0], picture[1], asked.id)
            except DeliveryError as error:
                log.warning("chart_not_uploaded", incident_id=incident.id, error=str(error))
                continue
            if file:
                self._keep(asked.id, (file, picture[1]))
                self._changed([subject(shard, incident.id)])

    async def _marks_before(self, shard: str, incident: Incident) -> list[tuple[Millis, str]]:
        """What was done in the incident that this is a branch of."""
        if not incident.parent:
            return []
        try:
            stored = (await self._store.load(shard, [incident.parent])).get(incident.parent)
        except StoreError:
            return []
        return _marks(stored.record) if stored is not None and isinstance(stored.record, Incident) else []

    async def _upload(self, content: bytes, words: str, name: str) -> str:
        """The file's id, once Slack shows it; "" when that took too long."""
        file = await self._api.upload(content, f"{name}.png", words)
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            told = await self._api.ask("files.info", self._api.client.files_info(file=file))
            if (told.get("file") or {}).get("mimetype"):
                return file
            await asyncio.sleep(LOOK_SECONDS)
        return ""


def _marks(incident: Incident) -> list[tuple[Millis, str]]:
    """What was done when in this episode, and when people were asked for what."""
    steps = {step.id: step.action for step in incident.plan.steps} if incident.plan is not None else {}
    done = [r for r in incident.results if r.episode == incident.episode and r.outcome in ("succeeded", "unknown")]
    asked = incident.approval
    asking = [(asked.terms.asked_at, f"asked: {steps.get(asked.step, asked.step)}")] if asked is not None else []
    return [(result.at, steps.get(result.step, result.step)) for result in done] + asking
