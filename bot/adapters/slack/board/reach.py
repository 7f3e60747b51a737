"""Whether Slack takes what is sent: the pauses after a failure, and the alarm when it lasts.

One for each way that may fail apart from the others, kept by `standing`. An outage costs delay only; but people who
look at Slack would wait in vain, so after a while the catch-all pages. A 429 is no failure, nor is a refusal of one
message.
"""

from __future__ import annotations

from typing import Final

from bot.engine.alarms import Alarms

NAME: Final = "AndonSlackUnreachable"
ALARM_S: Final = 30.0  # without a call that worked, before anybody is told
ASIDE_S: Final = 15.0  # before another replica may try, so that nobody is paged for one that is cut off alone
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 10.0  # between two tries while it is away: how late the cards are when it is back
FIX: Final = (
    "Read and decide with `andon incidents` and `andon approve` meanwhile; see https://slack-status.com and run "
    "`andon slack check`."
)
SHUT: Final = "AndonSlackChannelShut"
HOME_FIX: Final = (
    "What has no other channel is not shown. Unarchive or make it, `/invite @andon` in it, or name another one as "
    "`slack.channel` in andon.yaml; `andon slack check` tells more. Read and decide with `andon incidents` and "
    "`andon approve` meanwhile."
)
PUT_OFF: Final = "AndonSlackPutsOff"
PUT_OFF_S: Final = 120.0  # of nothing but 429: Slack names 30 s or less as a rule
STUCK: Final = "AndonSlackBoardStuck"
STUCK_FIX: Final = (
    "Cards stay as they are: read and decide with `andon incidents` and `andon approve` meanwhile, and see in Andon's "
    "log and the store's what the store refuses."
)


class Reach:
    """The way to Slack, or (`name`, `lacks`, `fix` of its alarm) another one. Times: seconds of the loop's clock."""

    def __init__(
        self, alarms: Alarms, shard: str, *, name: str = NAME, lacks: str = "Slack has taken nothing", fix: str = FIX,
        after_s: float = ALARM_S,
    ) -> None:  # fmt: skip
        self._alarms = alarms
        self._shard = shard
        self._name, self._lacks, self._fix, self._after_s = name, lacks, fix, after_s
        self._failing_since: float | None = None
        self._pause_s = 0.0
        self.problem = ""
        self.in_writing = False  # whether a message was not taken since, and not only a question not answered
        self.until = 0.0  # nothing is tried before
        self.worked_at: float | None = None
        self._told = False

    @property
    def failing(self) -> bool:
        """Whether the last word was a failure."""
        return self._failing_since is not None

    @property
    def standing(self) -> str:
        """How it stands, in words."""
        return f"not reached: {self.problem}" if self.failing else "takes messages"

    def failed(self, problem: str, now: float, *, writing: bool = True) -> None:
        """A call was not taken, for a reason that would keep the next from being taken too. `writing`: a message."""
        self.problem = problem
        self.in_writing = self.in_writing or writing
        if self._failing_since is None:
            self._failing_since, self._pause_s = now, 0.0
        if now >= self.until:  # several calls of one round fail together
            self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, self._pause_s * 2))
            self.until = now + self._pause_s

    async def worked(self, now: float) -> None:
        """A call was taken. The alarm ends, also one that a predecessor raised."""
        first = self.worked_at is None
        self._failing_since, self._pause_s, self.until, self.worked_at = None, 0.0, 0.0, now
        self.in_writing = False
        if self._told or first:
            self._told = False
            await self._alarms.clear(self._shard, self._name)

    def away(self, now: float, seconds: float) -> bool:
        """Whether it has taken nothing for so long."""
        return self._failing_since is not None and now - self._failing_since >= seconds

    async def judge(self, now: float, more: str = "") -> bool:
        """Whether it has been away for long; then people are told, with `more` about it."""
        if not self.away(now, self._after_s):
            return False
        self._told = True
        why = f"{self.problem}; {more}" if more else self.problem
        await self._alarms.raise_(
            self._shard, self._name, f"{self._lacks} for {self._after_s:.0f} s ({why}). {self._fix}"
        )
        return True
