"""What exists in the local Slack and everything that was ever shown there.

Changed by the Web API's methods and by what people do (`people`); read by the page, by tests and by `views`, `routes`.
One event loop owns it; nothing here waits. A message keeps every version of itself: what was shown once can be looked
at, and clicked, later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from bot.core.words import Millis

Block: TypeAlias = dict[str, Any]
ChangeKind: TypeAlias = Literal["posted", "updated", "deleted", "reaction", "view", "home", "notice", "place"]

MAX_MESSAGES: Final = 50_000  # of a channel; the oldest are forgotten. A storm test posts some thousands
MAX_CHANGES: Final = 10_000  # kept for a page that comes back; older than that, it asks for the state anyway
SCOPES: Final = (  # those of deploy/slack/manifest.yaml: what works here was asked for there
    "app_mentions:read", "channels:history", "channels:join", "channels:read", "chat:write", "commands", "files:read",
    "files:write", "groups:history", "groups:read", "usergroups:read", "users:read",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A member as the app sees one. `stranger`: from another workspace, in a shared channel.

    On Enterprise Grid: `org`, the organisation (E…); `teams`, all workspaces of hers; `team` is one of them, or `org`.
    """

    id: str
    name: str
    team: str
    email: str = ""
    bot: bool = False
    deleted: bool = False
    restricted: bool = False
    ultra_restricted: bool = False
    stranger: bool = False
    org: str = ""
    teams: tuple[str, ...] = ()

    def belongs_to(self, team: str) -> bool:
        """Whether they are a member of this workspace."""
        return team == self.team or team in self.teams


@dataclass(slots=True, kw_only=True)
class Channel:
    """A channel, or with `dm_with` the app's direct messages with one user."""

    id: str
    name: str
    members: set[str] = field(default_factory=set)
    private: bool = False
    archived: bool = False
    dm_with: str = ""


@dataclass(slots=True, kw_only=True)
class Group:
    """A user group, `@handle`."""

    id: str
    handle: str
    users: list[str]
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Version:
    """How a message looked from `at` on."""

    at: Millis
    text: str
    blocks: tuple[Block, ...]


@dataclass(slots=True, kw_only=True)
class Posted:
    """A message. `only_for`: the one user who sees an ephemeral one; a reply's `thread_ts` is its parent's ts."""

    channel: str
    ts: str
    user: str
    versions: list[Version]
    thread_ts: str = ""
    broadcast: bool = False
    only_for: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    reactions: dict[str, list[str]] = field(default_factory=dict)
    deleted: bool = False

    @property
    def now(self) -> Version:
        """How it looks now."""
        return self.versions[-1]

    @property
    def reply(self) -> bool:
        """Whether it stands in somebody's thread."""
        return bool(self.thread_ts) and self.thread_ts != self.ts


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed, for whoever shows it: look at the world again."""

    seq: int
    kind: ChangeKind
    channel: str = ""
    ts: str = ""
    user: str = ""
    words: str = ""  # of a notice: what Slack says to `user` when the app did not answer


@dataclass(slots=True, kw_only=True)
class App:
    """The one app that is installed."""

    id: str = "A0ANDON"
    user: str = "U0ANDON"
    bot_id: str = "B0ANDON"
    name: str = "andon"
    bot_token: str = "xoxb-local-bot"  # noqa: S105  # of a Slack that only this machine reaches
    app_token: str = "xapp-local-app"  # noqa: S105  # the same
    signing_secret: str = "local-signing-secret"  # noqa: S105  # the same
    verification_token: str = "local-verification"  # noqa: S105  # the same
    scopes: tuple[str, ...] = SCOPES
    commands: tuple[str, ...] = ("/andon",)
    shortcuts: tuple[tuple[str, str], ...] = (("andon:about", "Ask Andon about this"),)  # of messages: id, name
    should_escape: bool = True
    messages_tab: bool = True  # whether the app can write to people directly
    request_url: str = ""  # HTTP mode: where commands, events and interactions are posted; "" is Socket Mode


class World:
    """A workspace with one app. `now` is its clock."""

    def __init__(self, now: Callable[[], Millis], *, team: str = "T0DESK", domain: str = "trading-desk") -> None:
        self.clock = now
        self.team = team
        self.domain = domain
        self.app = App()
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.groups: dict[str, Group] = {}
        self.messages: dict[str, dict[str, Posted]] = {}  # by channel and ts, oldest first
        self.threads: dict[tuple[str, str], list[Posted]] = {}  # replies, by channel and their parent's ts
        self.changes: deque[Change] = deque(maxlen=MAX_CHANGES)
        self._listeners: list[Callable[[Change], None]] = []
        self._last_ts = 0
        self._ids = 0
        self.add_user(self.app.name, id=self.app.user, bot=True)

    # --- who and where ---

    def add_user(self, name: str, *, id: str = "", team: str = "", **marks: Any) -> User:  # Slack's word
        """A new member; `marks` are User's fields. A stranger has a team of its own."""
        user = User(id=id or self.fresh("U"), name=name, team=team or self.team, **marks)
        self.users[user.id] = user
        self.note("place", user=user.id)
        return user

    def change_user(self, user: User) -> None:
        """Put a changed record in place of the old one, such as one that is deactivated now."""
        self.users[user.id] = user
        self.note("place", user=user.id)

    def add_channel(self, name: str, members: Iterable[str] = (), **marks: Any) -> Channel:
        """A new channel; the app is in it only if it is among `members` (`world.app.user`)."""
        channel = Channel(id=self.fresh("C"), name=name.removeprefix("#"), members=set(members), **marks)
        self.channels[channel.id] = channel
        self.note("place", channel=channel.id)
        return channel

    def add_group(self, handle: str, users: Iterable[str], *, id: str = "") -> Group:
        """A new user group."""
        group = Group(id=id or self.fresh("S"), handle=handle.removeprefix("@"), users=list(users))
        self.groups[group.id] = group
        return group

    def direct(self, user: str) -> Channel:
        """The app's direct messages with `user`."""
        for channel in self.channels.values():
            if channel.dm_with == user:
                return channel
        channel = Channel(id=self.fresh("D"), name=user, members={user, self.app.user}, private=True, dm_with=user)
        self.channels[channel.id] = channel
        return channel

    def named(self, text: str) -> Channel | None:
        """A channel by id, `#name` or `name`."""
        if text in self.channels:
            return self.channels[text]
        name = text.removeprefix("#")
        return next((channel for channel in self.channels.values() if channel.name == name), None)

    def fresh(self, letter: str) -> str:
        """A new id, such as C00000000A."""
        self._ids += 1
        return f"{letter}{self._ids:09X}"

    # --- messages ---

    def post(
        self, channel: str, user: str, text: str, blocks: Sequence[Block] = (), *, thread_ts: str = "",
        broadcast: bool = False, only_for: str = "", metadata: dict[str, Any] | None = None, files: Iterable[str] = (),
    ) -> Posted:  # fmt: skip
        """A new message, with a ts that no other has."""
        posted = Posted(
            channel=channel, ts=self.fresh_ts(), user=user, thread_ts=thread_ts, broadcast=broadcast, only_for=only_for,
            versions=[Version(self.clock(), text, self.named_blocks(blocks))], metadata=metadata or {},
            files=list(files),
        )  # fmt: skip
        room = self.messages.setdefault(channel, {})
        room[posted.ts] = posted
        if posted.reply:
            self.threads.setdefault((channel, thread_ts), []).append(posted)
        if len(room) > MAX_MESSAGES:
            oldest = room.pop(next(iter(room)))
            self.threads.pop((channel, oldest.ts), None)
        self.note("posted", channel=channel, ts=posted.ts, user=only_for)
        return posted

    def update(
        self, posted: Posted, text: str, blocks: Sequence[Block], *, metadata: dict[str, Any] | None = None
    ) -> None:
        """A new version of a message; without `blocks` it has none any more."""
        posted.versions.append(Version(self.clock(), text, self.named_blocks(blocks)))
        if metadata is not None:
            posted.metadata = metadata
        self.note("updated", channel=posted.channel, ts=posted.ts, user=posted.only_for)

    def delete(self, posted: Posted) -> None:
        """Shown no more; its versions are kept."""
        posted.deleted = True
        self.note("deleted", channel=posted.channel, ts=posted.ts, user=posted.only_for)

    def message(self, channel: str, ts: str) -> Posted | None:
        """One that is there now."""
        posted = self.messages.get(channel, {}).get(ts)
        return posted if posted is not None and not posted.deleted else None

    def shown(self, channel: str, *, to: str = "") -> list[Posted]:
        """What stands in a channel, oldest first, replies only where broadcast; ephemeral ones only `to` their user."""
        return [
            posted
            for posted in self.messages.get(channel, {}).values()
            if not posted.deleted and posted.only_for in ("", to) and (not posted.reply or posted.broadcast)
        ]

    def replies(self, channel: str, ts: str, *, to: str = "") -> list[Posted]:
        """What stands in a message's thread, oldest first."""
        found = self.threads.get((channel, ts), [])
        return [posted for posted in found if not posted.deleted and posted.only_for in ("", to)]

    def fresh_ts(self) -> str:
        """Seconds and microseconds, later than any before."""
        self._last_ts = max(self._last_ts + 1, self.clock() * 1_000)
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def named_blocks(self, blocks: Sequence[Block]) -> tuple[Block, ...]:
        """Every block has a block_id, as Slack gives one to those that came without."""
        return tuple(block if "block_id" in block else {**block, "block_id": self.fresh("b")} for block in blocks)

    # --- who is told ---

    def listen(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Have `listener` called at every change; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def note(self, kind: ChangeKind, *, channel: str = "", ts: str = "", user: str = "", words: str = "") -> None:
        """Tell everybody that something changed."""
        last = self.changes[-1].seq if self.changes else 0
        change = Change(last + 1, kind, channel, ts, user, words)
        self.changes.append(change)
        for listener in tuple(self._listeners):
            listener(change)
