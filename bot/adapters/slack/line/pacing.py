"""When the next call to Slack may go out: a message a second for each channel, a budget for each method, and its waits.

Asked by `api` before every call that writes, and by `board` to choose what goes out now instead of waiting. Pure: time
is an argument, in seconds of the event loop's clock. Limits: https://docs.slack.dev/apis/web-api/rate-limits
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MESSAGE_GAP_S: Final = 1.05  # between messages (and edits) of one channel, counted from the end of the last call
MAX_CHANNELS: Final = 10_000  # whose last message is remembered; a workspace's channels of one bot are dozens
LEAST_WAIT_S: Final = 1.0  # a 429 without a readable Retry-After
NEARLY_S: Final = 0.001  # a wait shorter than this is none: no timer is that exact
LONGEST_WAIT_S: Final = 300.0  # a Retry-After beyond it is no word of Slack's; the next 429 says so again

POST: Final = "chat.postMessage"
UPDATE: Final = "chat.update"


@dataclass(frozen=True, slots=True)
class Budget:
    """So many calls at once, and so many a minute."""

    burst: int
    per_minute: int


# Below what Slack allows, so that people's clicks, which share it, find room.
BUDGETS: Final[dict[str, Budget]] = {
    POST: Budget(burst=20, per_minute=240),  # "several hundred messages per minute per workspace"
    UPDATE: Budget(burst=8, per_minute=40),  # tier 3: 50 a minute
}


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


@dataclass(slots=True)
class Pace:
    """What was sent when, and what Slack said to wait."""

    gap_s: float = MESSAGE_GAP_S
    _begun: float = 0.0
    _free: dict[str, float] = field(default_factory=dict)  # channel -> when it takes the next message
    _blocked: dict[str, float] = field(default_factory=dict)  # method -> when Slack takes it again
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def begin(self, now: float) -> None:
        """Another replica may have sent just now: every channel waits a gap."""
        self._begun = now + self.gap_s

    def wait(self, method: str, channel: str, now: float) -> float:
        """Seconds until this call may go out; 0: now."""
        until = max(self._begun, self._free.get(channel, 0.0), self._blocked.get(method, 0.0))
        wait = max(until - now, self._short(method, now))
        return wait if wait > NEARLY_S else 0.0

    def take(self, method: str, channel: str, now: float) -> None:
        """The call goes out now."""
        self._free.pop(channel, None)
        self._free[channel] = now + self.gap_s
        if len(self._free) > MAX_CHANNELS:
            self._free.pop(next(iter(self._free)))
        if method in BUDGETS:
            self._bucket(method, now).left -= 1.0

    def done(self, channel: str, now: float) -> None:
        """Its answer is here: Slack had it between then and now, so the gap counts from now."""
        self._free[channel] = max(self._free.get(channel, 0.0), now + self.gap_s)

    def throttled(self, method: str, seconds: float, now: float) -> None:
        """Slack answered 429 with this Retry-After."""
        wait = min(max(seconds, LEAST_WAIT_S), LONGEST_WAIT_S)
        self._blocked[method] = max(self._blocked.get(method, 0.0), now + wait)

    def _short(self, method: str, now: float) -> float:
        """Seconds until the method's budget has a call left."""
        if method not in BUDGETS:
            return 0.0
        missing = 1.0 - self._bucket(method, now).left
        return 0.0 if missing <= 1e-6 else missing * 60.0 / BUDGETS[method].per_minute

    def _bucket(self, method: str, now: float) -> _Bucket:
        budget = BUDGETS[method]
        bucket = self._buckets.setdefault(method, _Bucket(float(budget.burst), now))
        earned = (now - bucket.at) * budget.per_minute / 60.0
        bucket.left, bucket.at = min(float(budget.burst), bucket.left + max(0.0, earned)), now
        return bucket
