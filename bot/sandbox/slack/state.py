"""Everything the local Slack remembers besides who and what is there: open views, triggers, answer addresses, files.

Put together by `server`; used by the Web API's methods and by `acts`.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bot.core.words import Millis
from bot.sandbox.slack.calls import Refused
from bot.sandbox.slack.faults import Faults
from bot.sandbox.slack.world import World

TRIGGER_MS: Final = 3_000  # https://docs.slack.dev/interactivity/handling-user-interaction (trigger_id)
RESPONSE_MS: Final = 30 * 60_000  # how long a response_url lives
RESPONSE_USES: Final = 5
MAX_STACK: Final = 3  # modals over each other
KEPT: Final = 10_000  # triggers, addresses and files that are remembered; the oldest are forgotten


@dataclass(slots=True, kw_only=True)
class View:
    """A modal or a Home tab. `body`: as the app gave it. `values`: what is entered, by block and action."""

    id: str
    user: str
    body: dict[str, Any]
    hash: str
    root: str = ""
    previous: str = ""
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)  # by block, what the last submission was refused for


@dataclass(slots=True)
class Trigger:
    """Permission to open a modal for `user`."""

    user: str
    at: Millis
    used: bool = False


@dataclass(slots=True)
class Answering:
    """A response_url: about which message, for whom, and how often it was used."""

    channel: str
    user: str
    at: Millis
    message_ts: str = ""
    uses: int = 0


@dataclass(slots=True)
class File:
    """An upload. `content` is empty until it came; `shared`: where."""

    id: str
    name: str
    length: int
    title: str = ""
    alt: str = ""
    content: bytes = b""
    ready_at: Millis | None = None  # from when on it can be shown; None: it was not completed
    channels: list[str] = field(default_factory=list)


class Triggers:
    """Single-use permissions to open a modal, good for three seconds."""

    def __init__(self, now: Callable[[], Millis]) -> None:
        self._now = now
        self._given: OrderedDict[str, Trigger] = OrderedDict()

    def give(self, user: str) -> str:
        """A new one."""
        key = f"{self._now()}.{secrets.token_hex(8)}"
        self._given[key] = Trigger(user, self._now())
        while len(self._given) > KEPT:
            self._given.popitem(last=False)
        return key

    def use(self, key: str) -> str:
        """Whose it is. Raises Refused when it is none, used, or too old."""
        trigger = self._given.get(key)
        if trigger is None:
            raise Refused("invalid_trigger_id")
        if trigger.used:
            raise Refused("exchanged_trigger_id")
        if self._now() - trigger.at > TRIGGER_MS:
            raise Refused("expired_trigger_id")
        trigger.used = True
        return trigger.user


class State:
    """All of it. One event loop owns it."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.world = world
        self.faults = faults
        self.base = ""  # address of the server, set once it listens
        self.aside = ""  # where uploads and answers go, at another host as with Slack's own; the same server
        self.triggers = Triggers(world.clock)
        self.homes: dict[str, View] = {}
        self.stacks: dict[str, list[View]] = {}
        self.answering: OrderedDict[str, Answering] = OrderedDict()
        self.files: OrderedDict[str, File] = OrderedDict()
        self.tickets: set[str] = set()  # of sockets that may be opened, each once

    def response_url(self, channel: str, user: str, message_ts: str = "") -> str:
        """A new address to answer at."""
        key = secrets.token_hex(12)
        self.answering[key] = Answering(channel, user, self.world.clock(), message_ts)
        while len(self.answering) > KEPT:
            self.answering.popitem(last=False)
        return f"{self.aside}/respond/{key}"

    def view(self, view_id: str) -> View | None:
        """An open modal or a Home tab."""
        return next((view for view in self.views() if view.id == view_id), None)

    def views(self) -> list[View]:
        """All that are open."""
        return [*self.homes.values(), *(view for stack in self.stacks.values() for view in stack)]

    def showable(self, file_id: str) -> bool:
        """Whether an upload is complete and Slack is through with it, which may take it a moment."""
        file = self.files.get(file_id)
        return file is not None and file.ready_at is not None and self.world.clock() >= file.ready_at

    def keep(self, file: File) -> None:
        """Remember an upload."""
        self.files[file.id] = file
        while len(self.files) > KEPT:
            self.files.popitem(last=False)
