"""The board keeps what Slack shows equal to what the store says, whatever fails in between.

Run beside the engine on every replica; one leads, by a lease that saves work and decides nothing. Every commit nudges
it (`committed`), on whatever replica it happened, and a sweep finds what no nudge told. A round looks at what changed,
asks `jobs` what does not look as it should, and has `showing` do the most urgent one in each channel, as often as
`pacing` allows. Nothing is queued but the lines of `chat`; so an outage, a 429, a storm or a crash costs time only.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from bot.adapters.slack.board.channels import Channels
from bot.adapters.slack.board.chat import SAID
from bot.adapters.slack.board.jobs import Job, Scene, jobs
from bot.adapters.slack.board.outcomes import Outcomes
from bot.adapters.slack.board.placing import SETTLE_MS, Placer, Slack
from bot.adapters.slack.board.reach import ALARM_S, ASIDE_S
from bot.adapters.slack.board.refusals import Refusals
from bot.adapters.slack.board.scenery import Scenery
from bot.adapters.slack.board.shelf import Placed, Shelf, card_name, digest_name, subject
from bot.adapters.slack.board.showing import Hands, Show
from bot.adapters.slack.board.sights import Brief, Drawing
from bot.adapters.slack.board.standing import Standing
from bot.adapters.slack.board.storm import STORM_CARDS, STORM_WITHIN_MS, Storm, weather
from bot.adapters.slack.board.taken import Taken
from bot.adapters.slack.board.tidying import tidy
from bot.adapters.slack.line.api import SlackRefusedError, SlackThrottledError
from bot.adapters.slack.line.pacing import Pace
from bot.core.words import AggregateId, Millis
from bot.engine.alarms import Alarms
from bot.engine.ports import Clock, Store
from bot.errors import DeliveryError, StoreError

LEASE_MS: Final[Millis] = 10_000
RENEW_S: Final = 3.0  # three tries within a lease
SWEEP_S: Final = 15.0  # between looks at everything that is open
PROBE_S: Final = 60.0  # a Slack that took nothing for so long is asked whether it is there
SWEEP_SHARE: Final = 50  # a sweep that took a second is not repeated before so many
LISTEN_MS: Final = 1_000  # one wait for nudges of other replicas
PER_LISTEN: Final = 500
MAX_TOLD: Final = 10_000  # nudges of this replica on their way; past it the sweep finds the rest
LOOK_COST_S: Final = 0.005  # pause after each record that was drawn: a fifth of the loop's time at most
BRIEF_COST_S: Final = 0.00004  # pause for each incident and line that a round weighs: 40 ms with a thousand
SHORTEST_S: Final = 0.005  # between two rounds: others want the loop too
AGAIN_S: Final = 2.0  # after a store that did not answer
SKIP_S: Final = 60.0  # a message that cannot be drawn is tried again after that

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How this board behaves; from andon.yaml, or shorter in tests."""

    storm_cards: int = STORM_CARDS
    storm_within_ms: Millis = STORM_WITHIN_MS
    settle_ms: Millis = SETTLE_MS
    lease_ms: Millis = LEASE_MS
    renew_s: float = RENEW_S
    sweep_s: float = SWEEP_S


class Board:
    """One replica's part of it. `run` for ever; `committed` is for `engine.on_commit`."""

    def __init__(
        self, *, shelf: Shelf, slack: Slack, store: Store, shards: Sequence[str], clock: Clock, alarms: Alarms,
        drawing: Drawing, pace: Pace, channel: str, home: str, replica: str, nonce: Callable[[], str],
        manner: Manner | None = None, named: Callable[[], Collection[str]] = tuple,
    ) -> None:  # fmt: skip
        """`channel`: the default one. `named`: those that policies name. `home`: the shard that hears of alarms.

        `nonce`: something new at each call.
        """
        self._manner = manner if manner is not None else Manner()
        self._shelf, self._clock, self._pace, self._replica = shelf, clock, pace, replica
        self._slack = Taken(slack)
        self._drawing = drawing
        self.reach = Standing(alarms, home, channel)
        self.channels = Channels(self._slack, channel, named)
        self.placer = Placer(shelf, self._slack, clock, nonce, settle_ms=self._manner.settle_ms)
        self.outcomes = Outcomes(store, clock)
        self.scenery = Scenery(
            store=store, shards=shards, shelf=shelf, drawing=drawing, channels=self.channels,
            outcomes=self.outcomes, links=self._link,
            carded=lambda one: self._has_card(*one),
        )  # fmt: skip
        self._refusals = Refusals(self.reach, self.channels, self.scenery, self.placer)
        self._show = Show(
            Hands(
                store=store, shelf=shelf, clock=clock, drawing=drawing, scenery=self.scenery, placer=self.placer,
                seconds=self._seconds,
            )
        )  # fmt: skip
        self._told: dict[str, None] = {}
        self._tell = asyncio.Event()
        self._wake = asyncio.Event()
        self._leads = asyncio.Event()
        self._leads_until = 0.0
        self._aside_until = 0.0  # until then another replica may lead
        self._fresh = True  # the next round as leader begins by reading everything
        self._lines_due = False
        self._sweep_at = 0.0
        self._look_at = 0.0
        self._skipped: dict[str, float] = {}
        self._unlisted = ""  # why Slack does not list its channels, as it was told last

    # --- called by others -------------------------------------------------------------------------------------------

    def committed(self, shard: str, changed: Sequence[AggregateId]) -> None:
        """These records were committed on this replica. Returns at once."""
        self.nudge([subject(shard, one) for one in changed if one.startswith("inc-")])

    def nudge(self, names: Sequence[str]) -> None:
        """These may look different, or (`chat.SAID`) something is to be said. Returns at once."""
        if names and len(self._told) < MAX_TOLD:
            self._told |= dict.fromkeys(names)
            self._tell.set()

    @property
    def leading(self) -> bool:
        """Whether this replica does the work now."""
        return self._seconds() < self._leads_until

    async def run(self) -> None:
        """For ever, until cancelled; the lease is given back then."""
        try:
            async with asyncio.TaskGroup() as group:
                for each in (self._lead(), self._forward(), self._listen(), self._work()):
                    group.create_task(each)
        finally:
            if self.leading:
                self._leads_until = 0.0
                with suppress(StoreError):
                    await self._shelf.resign(self._replica)

    # --- who leads, and who tells whom ------------------------------------------------------------------------------

    async def _lead(self) -> None:
        while True:
            asked = self._seconds()
            try:
                await self._stand_aside(asked)
                if asked >= self._aside_until and await self._shelf.lead(self._replica, self._manner.lease_ms):
                    self._leads_until = asked + self._manner.lease_ms / 1000
                    if not self._leads.is_set():
                        self._fresh = True
                        self._leads.set()
                        log.info("slack_board_leads", replica=self._replica)
            except StoreError as error:
                log.warning("slack_shelf_unavailable", problem=str(error))
            if not self.leading:
                self._leads.clear()
            await asyncio.sleep(self._manner.renew_s)

    async def _stand_aside(self, now: float) -> None:
        """Slack may be away for this replica alone: for a lease's time another one may try; then this one again."""
        if self.leading and self.reach.slack.away(now, ASIDE_S) and now >= self._aside_until + ALARM_S:
            log.warning("slack_board_stands_aside", replica=self._replica, standing=self.reach.standing)
            self._leads_until = 0.0
            self._aside_until = now + self._manner.lease_ms / 1000
            await self._shelf.resign(self._replica)

    async def _forward(self) -> None:
        """What this replica committed goes to whoever leads."""
        while True:
            await self._tell.wait()
            self._tell.clear()
            names, self._told = list(self._told), {}
            if self.leading:
                self._heard(names)
                continue
            try:
                await self._shelf.nudge(names)
            except StoreError:
                await asyncio.sleep(AGAIN_S)
                self.nudge(names)

    async def _listen(self) -> None:
        """What other replicas committed."""
        while True:
            await self._leads.wait()
            try:
                names = await self._shelf.nudged(PER_LISTEN, LISTEN_MS)
            except StoreError:
                await asyncio.sleep(AGAIN_S)
                continue
            if names:
                self._heard(names)

    def _heard(self, names: Sequence[str]) -> None:
        self._lines_due = self._lines_due or SAID in names
        self.scenery.nudge(names)
        self.placer.heard(names)
        self._wake.set()

    # --- rounds -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            if not self.leading:
                self.scenery.forget()
                self._leads.clear()
                await self._leads.wait()
            self._wake.clear()
            began = self._seconds()
            try:
                wait = await self._round()
            except StoreError as error:
                log.warning("slack_board_waits", problem=str(error))
                await self._forgetful(error)
                wait = AGAIN_S
            with suppress(TimeoutError):
                async with asyncio.timeout(max(SHORTEST_S, wait)):
                    await self._wake.wait()
            pause = began + (len(self.scenery.briefs) + len(self.scenery.lines)) * BRIEF_COST_S - self._seconds()
            if pause > SHORTEST_S:
                await asyncio.sleep(pause)

    async def _round(self) -> float:
        """Look, and do the most urgent job of each channel. Returns in how many seconds there may be more to do."""
        now = self._seconds()
        await self._look(now)
        todo = [job for job in self._jobs(now) if job.channel]
        now = self._seconds()
        await self.reach.weigh(todo, now)
        soon = self._sweep_at - now
        if self.scenery.unseen:
            soon = min(soon, max(0.0, self._look_at - now))
        if todo and self.reach.slack.until > now:
            return min(soon, self.reach.slack.until - now)
        picked: dict[str, Job] = {}
        for job in todo:
            wait = max(
                self._pace.wait(job.method, job.channel, now), (job.due - self._clock.now()) / 1000,
                self._skipped.get(job.name, 0.0) - now, self._shut_until(job.channel) - now,
            )  # fmt: skip
            if wait > 0:
                soon = min(soon, wait)
            elif job.channel not in picked:
                picked[job.channel] = job
        if not picked:
            return soon
        async with asyncio.TaskGroup() as group:
            for job in picked.values():
                group.create_task(self._do(job))
        return 0.0

    async def _look(self, now: float) -> None:
        if self._fresh:
            self.scenery.forget()
            await self.placer.recall()
            if self.placer.places:  # somebody else led before
                self._pace.begin(now)
            self._fresh, self._sweep_at = False, now  # only now: a place that is not known keeps its buttons
        if now >= self._sweep_at:
            await self._ask_slack(now)
            began = self._seconds()
            await self.scenery.sweep(self.placer.places, now)
            took = self._seconds() - began
            self._sweep_at = now + max(self._manner.sweep_s, took * SWEEP_SHARE)
            self._lines_due = True
            await tidy(self.placer, self.scenery, self._tells, self._clock.now())
            self._skipped = {name: until for name, until in self._skipped.items() if until > now}
        if self._lines_due:
            self._lines_due = False
            try:
                await self.scenery.read_lines()
            except StoreError:
                self._lines_due = True
                raise
        if now >= self._look_at:
            looked = await self.scenery.look(now)
            self._look_at = self._seconds() + looked * LOOK_COST_S

    async def _ask_slack(self, now: float) -> None:
        """What must be known of Slack before anything is shown, and whether it is there at all."""
        if now < self.reach.slack.until:
            return
        try:
            slack = self.reach.slack
            quiet = slack.failing or slack.worked_at is None or now - slack.worked_at >= PROBE_S
            if not self.placer.workspace_url or quiet:
                self.placer.workspace_url = str((await self._slack.probe()).get("url", ""))
                await self.reach.answered(self._seconds())
            await self._find_channels(now)
        except SlackThrottledError:
            pass
        except DeliveryError as error:
            self.reach.slack.failed(str(error), self._seconds(), writing=False)

    async def _find_channels(self, now: float) -> None:
        """Ids by name. A Slack that does not list them is well all the same: they may be configured by id."""
        missing = f"the bot is in no channel {self.channels.default}"
        try:
            await self.channels.look(now)
        except SlackRefusedError as error:
            missing = str(error)
            if missing != self._unlisted:
                log.warning("slack_channels_not_listed", problem=missing)
            self._unlisted = missing
        await self.reach.housed(self.channels.home(), missing, now)

    def _jobs(self, now: float) -> list[Job]:
        storms = self._storms()
        places = self.placer.places
        scene = Scene(
            briefs=self.scenery.briefs, places=places, lines=self.scenery.lines, storms=storms,
            home=self.channels.home(), channel_of=lambda line: self.channels.of(line.channel, now),
            due=self.placer.due, pending=self.scenery.is_pending,
            digest_looks={channel: self._show.digest_look(storm) for channel, storm in storms.items()},
            tells=self._tells,
        )  # fmt: skip
        return jobs(scene)

    def _storms(self) -> dict[str, Storm]:
        by_channel: dict[str, list[Brief]] = defaultdict(list)
        for brief in self.scenery.briefs.values():
            by_channel[brief.channel].append(brief)
        found: dict[str, Storm] = {}
        for channel, briefs in by_channel.items():
            storm = weather(
                channel, briefs, self._carded, self.placer.places.get(digest_name(channel)), self._clock.now(),
                cards=self._manner.storm_cards, within_ms=self._manner.storm_within_ms,
            )  # fmt: skip
            if storm is not None:
                found[channel] = storm
        return found

    def _carded(self, brief: Brief) -> bool:
        return self._has_card(brief.shard, brief.incident)

    def _has_card(self, shard: str, incident: AggregateId) -> bool:
        placed = self.placer.places.get(card_name(shard, incident))
        return placed is not None and bool(placed.ts)

    def _tells(self, brief: Brief, card: Placed) -> bool:
        return card.facts != brief.facts and bool(self._drawing.told(card.facts, brief.facts, self._clock.now()))

    async def _do(self, job: Job) -> None:
        """One job; whatever becomes of it, the others go on."""
        if not self.leading:
            return
        self._slack.begin(job.channel)
        try:
            await self._show.do(job)
            await self.reach.memory.worked(self._seconds())
            if self._slack.heard(job.channel):
                await self.reach.slack.worked(self._seconds())
        except SlackThrottledError as error:
            log.info("slack_throttled", kind=job.kind, seconds=error.seconds)
            self.reach.put_off(job, str(error), self._seconds())
            self._skipped[job.name] = self._seconds() + min(error.seconds, SKIP_S)  # look-ups have no pace of their own
        except SlackRefusedError as error:
            await self._refused(job, error)
        except DeliveryError as error:
            log.warning("slack_unreachable", kind=job.kind, problem=str(error))
            self.reach.slack.failed(str(error), self._seconds())
        except StoreError as error:
            log.warning("slack_shelf_unavailable", kind=job.kind, problem=str(error))
            self._skipped[job.name] = self._seconds() + AGAIN_S
            await self._forgetful(error)
        except Exception:  # supervision point: a record that cannot be drawn must not stop the board
            log.exception("slack_job_failed", kind=job.kind, name=job.name)
            self._skipped[job.name] = self._seconds() + SKIP_S
        if self._slack.took(job.channel):
            await self.reach.took(job, self.channels.home(), self._seconds())

    async def _refused(self, job: Job, error: SlackRefusedError) -> None:
        try:
            self._skipped[job.name] = await self._refusals.met(job, error, self._seconds())
        except StoreError as lost:
            self._skipped[job.name] = self._seconds() + AGAIN_S
            await self._forgetful(lost)

    def _shut_until(self, channel: str) -> float:
        return self.reach.home.until if channel == self.channels.home() else 0.0

    async def _forgetful(self, error: StoreError) -> None:
        """The shelf or the store did not do its part; when that lasts, people are told: Slack itself is well."""
        self.reach.memory.failed(str(error), self._seconds())
        await self.reach.memory.judge(self._seconds())

    def _link(self, name: str) -> str:
        placed = self.placer.places.get(name)
        return self.placer.link(placed) if placed is not None else ""

    def _seconds(self) -> float:
        return asyncio.get_running_loop().time()
