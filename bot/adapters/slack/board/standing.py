"""How it stands between the board and Slack, and which of its ways people must be told about.

Kept by `board`: what each job came to is told here, and every round judges. Four ways fail apart, each with an alarm of
its own: Slack as a whole, the default channel (which takes what no other does), a Slack that puts everything off, and
the store. One way that works never says that another does.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.adapters.slack.board.jobs import DECISION, Job
from bot.adapters.slack.board.reach import HOME_FIX, PUT_OFF, PUT_OFF_S, SHUT, STUCK, STUCK_FIX, Reach
from bot.engine.alarms import Alarms


class Standing:
    """Times: seconds of the loop's clock."""

    def __init__(self, alarms: Alarms, shard: str, channel: str) -> None:
        """`shard` hears of alarms; `channel` is the default one, as it is configured."""
        self.slack = Reach(alarms, shard)
        self.home = Reach(
            alarms, shard, name=SHUT, lacks=f"Slack has taken nothing into the default channel {channel}", fix=HOME_FIX
        )
        self.jam = Reach(alarms, shard, name=PUT_OFF, lacks="Slack has only put messages off", after_s=PUT_OFF_S)
        self.memory = Reach(alarms, shard, name=STUCK, lacks="the store has not kept the Slack board", fix=STUCK_FIX)
        self._put_off: set[str] = set()  # methods that Slack said "later" to, and has not taken since
        self._homeless = False
        self._waiting = False

    @property
    def standing(self) -> str:
        """How it stands, in words."""
        if self.slack.failing or not self.home.failing:
            return self.slack.standing
        return f"takes messages, but not into the default channel: {self.home.problem}"

    async def took(self, job: Job, home: str, now: float) -> None:
        """Slack took what this job sent. `home`: the default channel's id."""
        await self.slack.worked(now)
        self._put_off.discard(job.method)
        if not self._put_off:
            await self.jam.worked(now)
        if job.channel == home:
            await self.home.worked(now)

    def put_off(self, job: Job, problem: str, now: float) -> None:
        """Slack said "later"."""
        self._put_off.add(job.method)
        self.jam.failed(problem, now)

    async def answered(self, now: float) -> None:
        """Slack says who we are: that ends an outage which only questions noticed, or which nothing waits for."""
        if not self._waiting or not self.slack.in_writing:
            await self.slack.worked(now)

    async def housed(self, home: str, missing: str, now: float) -> None:
        """Which id the default channel has; `missing`: why it has none."""
        if not home:
            self.home.failed(missing, now)
        elif self._homeless:
            await self.home.worked(now)
        self._homeless = not home

    async def weigh(self, todo: Sequence[Job], now: float) -> None:
        """This is all that waits: what nobody waits for is no trouble, and what waits too long is told."""
        self._waiting = bool(todo)
        if not todo:
            await self.memory.worked(now)
        if self._put_off:
            self._put_off &= {job.method for job in todo}
            late = [job for job in todo if job.method in self._put_off]
            if not late:
                await self.jam.worked(now)
            decisions = sum(job.rank[0] == DECISION for job in late)
            await self.jam.judge(now, f"{len(late)} waiting, {decisions} of them for a decision")
        await self.slack.judge(now)
        await self.home.judge(now)
