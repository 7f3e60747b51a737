"""Which channel a name means: ids by name, and the default channel for what cannot be posted where it belongs.

Used by `scenery` for every incident and line. Slack takes names for posting only, and edits and look-ups by id; a name
of no channel that the bot is in, or one that refuses, falls back to `slack.channel` of andon.yaml: nothing is unheard.
A channel that refuses may have been replaced under its name, so the names are read again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

import structlog

from bot.adapters.slack.board.placing import Slack

REFRESH_S: Final = 60.0  # between two looks at the list while a name is missing: somebody may have invited the bot
SHUNNED_S: Final = 300.0  # a channel that refused is tried again after that
MAX_UNKNOWN: Final = 1_000  # names told about once each
_ID: Final = re.compile(r"[CGD][A-Z0-9]{6,}")

log = structlog.get_logger(__name__)


class Channels:
    """The channels of one workspace. `now` is in seconds of the loop's clock."""

    def __init__(self, slack: Slack, default: str, named: Callable[[], Collection[str]]) -> None:
        """`named`: what policies call their channels; the bot joins those that are public."""
        self._slack = slack
        self._default = default
        self._named = named
        self._ids: dict[str, str] = {}
        self._looked: float | None = None
        self._shunned: dict[str, float] = {}  # id -> until
        self._unknown: dict[str, None] = {}
        self._doubted = False  # a channel refused since the last look
        self._home_doubted = False

    @property
    def default(self) -> str:
        """The default channel as it is configured."""
        return self._default

    def home(self) -> str:
        """The default channel's id; "" until it is known."""
        return self._id(self._default)

    def of(self, name: str, now: float) -> str:
        """The id of the channel with this name; the default channel's where it has none that takes messages."""
        found = self._id(name) if name else ""
        if name and not found and name not in self._unknown and self._looked is not None:
            log.warning("slack_channel_unknown", channel=name, instead=self._default)
            if len(self._unknown) < MAX_UNKNOWN:
                self._unknown[name] = None
        if not found or self._shunned.get(found, 0.0) > now:
            return self.home()
        return found

    def shun(self, channel: str, now: float) -> None:
        """This channel refused: its name may mean another one now, and the default one has its messages for a while."""
        self._doubted = True
        if channel == self.home():
            self._home_doubted = True
            return
        log.warning("slack_channel_refused", channel=channel, instead=self._default)
        self._shunned = {each: until for each, until in self._shunned.items() if until > now}
        self._shunned[channel] = now + SHUNNED_S

    async def look(self, now: float) -> None:
        """Ask Slack for the list, when it may say something new and the last look is a while ago. DeliveryError."""
        home = self.home()
        urgent = not home or self._home_doubted or self._looked is None
        if urgent or ((self._unknown or self._doubted) and now - (self._looked or 0.0) >= REFRESH_S):
            self._ids = dict(await self._slack.channels({self._default, *self._named(), *self._unknown}))
            if home:  # archived, it is not in the list; it is known until its name means another one
                self._ids.setdefault(self._default.removeprefix("#"), home)
            self._looked, self._doubted, self._home_doubted = now, False, False
            self._unknown = {name: None for name in self._unknown if not self._id(name)}

    def _id(self, name: str) -> str:
        plain = name.removeprefix("#")
        return plain if _ID.fullmatch(plain) else self._ids.get(plain, "")
