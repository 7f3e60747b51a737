"""andon.yaml: how this Andon itself is set up — store, doors, routes, systems, arming, budgets.

Read first: it names the other files. `bot.app` hands its routes, with `matchers.test`, to the ingress's routing.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from policies.durations import Duration
from policies.models import StrictModel
from policies.problems import Path
from policies.targets import Reference
from policies.texts import MatcherText, Name

UNROUTED = "unrouted"  # the shard of alerts that no route claims


class StoreDoc(StrictModel):
    """Where state lives. Without `url`: an embedded Valkey in `data_dir`."""

    url: str = Field("", description="redis://, rediss:// or unix://; empty: the embedded store.")
    username: str = ""
    credentials: Reference = ""
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


class AndonDocument(StrictModel):
    """The whole file. Paths in it are relative to it."""

    replica: str = Field("", description="This replica's name, stable over restarts; empty: the host's name.")
    store: StoreDoc = Field(default_factory=StoreDoc)
    listen: ListenDoc = Field(default_factory=ListenDoc)
    api: ApiDoc = Field(default_factory=ApiDoc)
    systems: list[Name] = Field(default_factory=list)
    routes: list[RouteDoc] = Field(default_factory=list)
    armed: list[str] = Field(default_factory=list, description="POLICY or SYSTEM/POLICY that may act.")
    budget: BudgetDoc = Field(default_factory=BudgetDoc)
    policies: list[str] = Field(default_factory=lambda: ["policies/*.yaml"])
    people: str = "people.yaml"
    targets: str = "targets.yaml"


def mistakes(document: AndonDocument) -> Iterator[tuple[Path, str, str]]:
    """What the models cannot see: routes to nowhere, a budget that is all reserve."""
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
    if document.budget.reserve >= document.budget.limit:
        yield ("budget", "reserve"), "the reserve is the whole budget", "make it smaller than limit"
