"""andon.yaml: how this Andon itself is set up — store, doors, routes, systems, arming, budgets.

Read first: it names the other files. `bot.app` hands its routes, with `matchers.test`, to the ingress's routing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from pydantic import Field

from policies.durations import Duration, spell
from policies.models import StrictModel
from policies.problems import Path
from policies.targets import Reference
from policies.texts import MatcherText, Name

MIN_BUDGET_WINDOW = 1_000  # ms; in less, no two actions ever meet, so there would be no limit
MAX_PEERS = 32  # Alertmanagers, and watches: each is a task or a timer of its own
UNROUTED = "unrouted"  # the shard of alerts that no route claims


class StoreDoc(StrictModel):
    """Where state lives. Without `url`: an embedded Valkey in `data_dir`."""

    url: str = Field("", description="redis://, rediss:// or unix://; empty: the embedded store.")
    username: str = Field("", description="ACL user at `url`; empty: the server's default user.")
    credentials: Reference = Field("", description="The password at `url`: env:NAME or file:PATH.")
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
    every: Duration = 30_000
    credentials: Reference = ""


class SecondRouteDoc(StrictModel):
    """A webhook that takes the pages the pager did not."""

    url: str = Field("", description="Gets each page as JSON by POST; empty: none.")
    credentials: Reference = ""


class RetentionDoc(StrictModel):
    """How long closed incidents stay in the store before they move to compressed, verifiable archives."""

    after: Duration = 30 * 86_400_000
    archive: str = Field("", description="A directory; empty: archive in the data directory.")


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
    policies: list[str] = Field(default_factory=lambda: ["policies/*.yaml"])
    people: str = "people.yaml"
    targets: str = "targets.yaml"


def mistakes(document: AndonDocument) -> Iterator[tuple[Path, str, str]]:
    """What the models cannot see: routes to nowhere, a budget that limits nothing, an open door."""
    for index, route in enumerate(document.routes):
        if route.system not in document.systems and route.system != UNROUTED:
            yield ("routes", index, "system"), f"system {route.system!r} is not listed", "add it to systems:"
        if not route.receiver and not route.match:
            yield (
                ("routes", index),
                "this route takes every alert, so none comes after it",
                "give it receiver: or match:",
            )
    for index, system in enumerate(document.systems):
        if system == UNROUTED:
            yield ("systems", index), f"{UNROUTED!r} is the name for alerts nobody claims", "choose another name"
        if system in document.systems[:index]:
            yield ("systems", index), f"system {system!r} is listed twice", "remove one"
    yield from _budget_mistakes(document.budget)
    yield from _store_mistakes(document.store)
    if not document.listen.auth.bearer and document.listen.auth.basic is None and not is_loopback(document.listen.host):
        where = document.listen.host or "every address"
        yield (
            ("listen", "host"),
            f"webhooks on {where} would be open to the whole network",
            "give listen.auth a bearer or basic credential, or listen on 127.0.0.1",
        )


def _budget_mistakes(budget: BudgetDoc) -> Iterator[tuple[Path, str, str]]:
    if budget.reserve >= budget.limit:
        yield ("budget", "reserve"), "the reserve is the whole budget", "make it smaller than limit"
    if budget.within < MIN_BUDGET_WINDOW:
        shown = spell(budget.within)
        yield ("budget", "within"), f"a budget within {shown} limits nothing", "write at least 1s; 10m is usual"


def _store_mistakes(store: StoreDoc) -> Iterator[tuple[Path, str, str]]:
    if store.username and not store.credentials:
        yield ("store", "username"), "a user without a password", "add credentials: env:NAME or file:PATH"
    if store.credentials and not store.url:
        yield (
            ("store", "credentials"),
            "these credentials belong to no url, so nothing uses them",
            "add url: beside them, or write the user into ANDON_STORE_URL",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name may resolve to anything, so it is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
