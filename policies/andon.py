"""andon.yaml: how this Andon itself is set up — store, doors, routes, systems, arming, budgets.

Read first: it names the other files; judged by `policies.lint_andon`. `bot.app` hands its routes, with `matchers.test`,
to the ingress's routing.
"""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import Field, model_validator

from policies.durations import Duration
from policies.models import StrictModel
from policies.targets import Reference
from policies.texts import MatcherText, Name

MAX_PEERS = 32  # Alertmanagers, and watches: each is a task or a timer of its own
MAX_REPLICAS = 5  # that confirm a write; each more is one more that can hold all of them up
UNROUTED = "unrouted"  # the shard of alerts that no route claims


class StoreDoc(StrictModel):
    """Where state lives. Without `url`: an embedded Valkey in `data_dir`."""

    url: str = Field("", description="redis://, rediss:// or unix://; empty: the embedded store.")
    username: str = Field("", description="ACL user at `url`; empty: the server's default user.")
    credentials: Reference = Field("", description="The password at `url`: env:NAME or file:PATH.")
    sentinels: list[str] = Field(
        default_factory=list, max_length=MAX_PEERS, description="host:port of each Sentinel that watches the store."
    )
    master: str = Field("", description="The store's name there; whichever server is primary is then used.")
    sentinel_username: str = Field("", description="ACL user at the Sentinels; empty: their default user.")
    sentinel_credentials: Reference = Field("", description="The password at the Sentinels: env:NAME or file:PATH.")
    wait_replicas: int | None = Field(
        None,
        ge=0,
        le=MAX_REPLICAS,
        description="Replicas that confirm an intent; empty: 1 behind Sentinels, else 0.",
    )
    data_dir: str = Field("", description="Embedded store, journal, keys; empty: ~/.local/state/andon.")
    accept_weak_durability: bool = Field(False, description="Start even if the store may lose acknowledged writes.")


class BasicDoc(StrictModel):
    """HTTP basic authentication."""

    username: str
    password: Reference


class AuthDoc(StrictModel):
    """How senders of webhooks prove themselves. Either is enough."""

    bearer: Reference = ""
    basic: BasicDoc | None = None


class ListenDoc(StrictModel):
    """Where webhooks come in."""

    host: str = "127.0.0.1"
    port: int = Field(9099, ge=0, le=65_535)
    auth: AuthDoc = Field(default_factory=AuthDoc)


class ApiDoc(StrictModel):
    """Where the operators' CLI comes in: a unix socket, or TCP with a token for each person (people.yaml)."""

    socket: str = Field("", description="Path of the socket; empty: andon.sock in the data directory.")
    host: str = Field("", description="Empty: no TCP.")
    port: int = Field(0, ge=0, le=65_535)


class RouteDoc(StrictModel):
    """Alerts of this receiver, or with these labels, belong to this system. First match wins."""

    receiver: str = ""
    match: list[MatcherText] = Field(default_factory=list)
    system: Name


class BudgetDoc(StrictModel):
    """At most `limit` automatic actions `within` this time per system; the last `reserve` are for protective ones."""

    limit: int = Field(10, ge=1, le=250)
    within: Duration = 600_000
    reserve: int = Field(3, ge=0)


class AlertmanagerDoc(StrictModel):
    """An Alertmanager that is asked what fires, every so often and before anything risky: silence is not health."""

    name: Name
    url: str = Field(description="Its address, http or https, like http://127.0.0.1:9093.")
    allow_private: bool = Field(
        False, description="Whether a public name in url may lead to a private or loopback address."
    )
    credentials: Reference = Field("", description="Bearer token for it: env:NAME or file:PATH.")
    receiver: str = Field("", description="Only alerts of this receiver are Andon's; empty: all of them.")
    every: Duration = Field(60_000, description="How often it is asked.")


class WatchDoc(StrictModel):
    """A dead-man: an alert that always fires (Watchdog). When it has not come for so long, that is an alert."""

    name: Name
    match: list[MatcherText] = Field(min_length=1, description="Which alert it is; all must hold.")
    within: Duration = Field(300_000, description="The longest silence; more than its group's repeat_interval.")
    system: Name = Field(description="The system whose route the alert takes.")


class HeartbeatDoc(StrictModel):
    """The outgoing sign of life: somebody outside notices when Andon is gone."""

    url: str = Field("", description="Called with POST; empty: no heartbeat.")
    allow_private: bool = Field(
        False, description="Whether a public name in url may lead to a private or loopback address."
    )
    every: Duration = 30_000
    credentials: Reference = ""


class SecondRouteDoc(StrictModel):
    """A webhook that takes the pages the pager did not."""

    url: str = Field("", description="Gets each page as JSON by POST; empty: none.")
    allow_private: bool = Field(
        False, description="Whether a public name in url may lead to a private or loopback address."
    )
    credentials: Reference = ""


class RetentionDoc(StrictModel):
    """How long closed incidents stay in the store before they move to compressed, verifiable archives."""

    after: Duration = 30 * 86_400_000
    archive: str = Field("", description="A directory; empty: archive in the data directory.")


class CheckpointsDoc(StrictModel):
    """How often the audit is signed, and where what was signed goes, so that it cannot be rewritten here."""

    every: Duration = Field(60_000, description="How long a change may wait for its signature.")
    directory: str = Field("", description="A directory on another machine (a mount) that takes a copy; empty: none.")
    url: str = Field("", description="Takes each checkpoint as JSON by POST, and keeps it; empty: none.")
    credentials: Reference = Field("", description="Bearer token for the url: env:NAME or file:PATH.")
    allow_private: bool = Field(
        False, description="Whether a public name in url may lead to a private or loopback address."
    )


class StormDoc(StrictModel):
    """When incidents come too fast for people to read a card each, one digest stands for them."""

    cards: int = Field(8, ge=1, le=100, description="More incidents than these, opened in one channel")
    within: Duration = Field(60_000, description="within this time, are a storm.")


class SlackDoc(StrictModel):
    """Where on-call people read and decide. Without `mode` Andon talks to the terminal and the log."""

    mode: Literal["", "socket", "http"] = Field(
        "", description="socket: Andon calls Slack, no public address is needed. http: Slack calls /slack/events."
    )
    credentials: Reference = Field("", description="The bot token, xoxb-…: env:NAME or file:PATH.")
    app_credentials: Reference = Field("", description="mode socket: the app-level token, xapp-….")
    signing_secret: Reference = Field("", description="mode http: the signing secret of the app.")
    channel: str = Field("", max_length=80, description="For what names no channel of its own, like #trading-ops.")
    team: str = Field("", max_length=20, description="The workspace's id, T…; empty: the one of the bot token.")
    api_url: str = Field("https://slack.com/api/", description="Slack's Web API.")
    storm: StormDoc = Field(default_factory=StormDoc)

    @model_validator(mode="after")
    def _whole(self) -> SlackDoc:
        """A face that could not speak, or could not hear, is a mistake to tell at load."""
        if not self.mode:
            return self
        missing = [name for name in ("credentials", "channel") if not getattr(self, name)]
        other = "app_credentials" if self.mode == "socket" else "signing_secret"
        missing += [] if getattr(self, other) else [other]
        if missing:
            raise ValueError(f"mode {self.mode} needs {', '.join(missing)}; docs/slack.md says where to find each")
        return self


class AndonDocument(StrictModel):
    """The whole file. Paths in it are relative to it."""

    replica: str = Field(
        "", description="This replica's name, stable over restarts; empty: made of host and data directory."
    )
    store: StoreDoc = Field(default_factory=StoreDoc)
    listen: ListenDoc = Field(default_factory=ListenDoc)
    api: ApiDoc = Field(default_factory=ApiDoc)
    systems: list[Name] = Field(default_factory=list)
    routes: list[RouteDoc] = Field(default_factory=list)
    armed: list[str] = Field(default_factory=list, description="POLICY or SYSTEM/POLICY that may act.")
    budget: BudgetDoc = Field(default_factory=BudgetDoc)
    alertmanagers: list[AlertmanagerDoc] = Field(default_factory=list, max_length=MAX_PEERS)
    watches: list[WatchDoc] = Field(default_factory=list, max_length=MAX_PEERS)
    heartbeat: HeartbeatDoc = Field(default_factory=HeartbeatDoc)
    second_route: SecondRouteDoc = Field(default_factory=SecondRouteDoc)
    retention: RetentionDoc = Field(default_factory=RetentionDoc)
    checkpoints: CheckpointsDoc = Field(default_factory=CheckpointsDoc)
    slack: SlackDoc = Field(default_factory=SlackDoc)
    policies: list[str] = Field(default_factory=lambda: ["policies/*.yaml"])
    people: str = "people.yaml"
    targets: str = "targets.yaml"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name may resolve to anything, so it is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
