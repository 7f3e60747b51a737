"""How often the local Slack lets a method be called: 429 with Retry-After, by tier and for each channel.

Asked by `web_api` before anything else. Source: https://docs.slack.dev/apis/web-api/rate-limits (Slack says "at least"
so many a minute; here it is exactly as many).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bot.core.words import Millis

MINUTE: Final = 60_000
TIER_1, TIER_2, TIER_3, TIER_4 = 10, 20, 50, 100  # calls a minute; tier 1 is 1+, and Slack lets sockets be reopened
POST: Final = 600  # chat.postMessage a minute in a workspace: "several hundred"
BURST: Final = 3  # messages a channel takes at once; it is owed one a second after that
_REFILL_MS: Final = 1_000
_TIERS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "apps.connections.open": TIER_1, "auth.test": POST, "chat.delete": TIER_3, "chat.getPermalink": POST,
        "chat.postEphemeral": TIER_4, "chat.postMessage": POST, "chat.update": TIER_3,
        "conversations.history": TIER_3, "conversations.info": TIER_3, "conversations.join": TIER_3,
        "conversations.list": TIER_2, "conversations.members": TIER_4, "conversations.open": TIER_3,
        "conversations.replies": TIER_3, "files.completeUploadExternal": TIER_4, "files.getUploadURLExternal": TIER_4,
        "files.info": TIER_4, "reactions.add": TIER_3, "usergroups.list": TIER_2, "usergroups.users.list": TIER_2,
        "users.conversations": TIER_3, "users.info": TIER_4, "users.list": TIER_2, "users.lookupByEmail": TIER_3,
        "views.open": TIER_4, "views.publish": TIER_4, "views.push": TIER_4, "views.update": TIER_4,
    }
)  # fmt: skip


class Rates:
    """What was called in the last minute. `enforced` off: everything goes through."""

    def __init__(self, now: Callable[[], Millis]) -> None:
        self.enforced = True
        self.burst = BURST
        self.tiers: dict[str, int] = dict(_TIERS)
        self._now = now
        self._called: dict[str, deque[Millis]] = {}
        self._owed: dict[str, tuple[float, Millis]] = {}  # by channel: messages it takes, as of then

    def wait_s(self, method: str, channel: str) -> int:
        """Seconds until this call is welcome; 0: it is, and it counts."""
        if not self.enforced:
            return 0
        now = self._now()
        called = self._called.setdefault(method, deque())
        while called and called[0] <= now - MINUTE:
            called.popleft()
        wait = called[0] + MINUTE - now if len(called) >= self.tiers.get(method, TIER_3) else 0
        if method == "chat.postMessage" and not wait:
            wait = self._channel(channel, now)
        if not wait:
            called.append(now)
        return math.ceil(wait / 1_000)

    def _channel(self, channel: str, now: Millis) -> int:
        """Milliseconds until `channel` takes one message more; 0 takes it."""
        left, then = self._owed.get(channel, (float(self.burst), now))
        left = min(float(self.burst), left + (now - then) / _REFILL_MS)
        if left < 1:
            self._owed[channel] = (left, now)
            return math.ceil((1 - left) * _REFILL_MS)
        self._owed[channel] = (left - 1, now)
        return 0
