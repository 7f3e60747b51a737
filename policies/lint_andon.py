"""andon.yaml, judged: what its models cannot see, each with its path and how to mend it.

Called by `policies.loader` once the file's shape is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from policies import matchers
from policies.andon import UNROUTED, AlertmanagerDoc, AndonDocument, BudgetDoc, StoreDoc, is_loopback
from policies.destinations import written_problem
from policies.durations import MAX_MS, spell
from policies.problems import Path, did_you_mean
from policies.targets import is_host_and_port

MIN_BUDGET_WINDOW = 1_000  # ms; in less, no two actions ever meet, so there would be no limit
MIN_EVERY = 1_000  # ms; asking or knocking more often than that is load, not care
MAX_EVERY = 3_600_000  # ms; rarer than hourly, nobody would notice in time
MAX_SILENCE = 24 * 3_600_000  # ms; a sign of life that comes daily is a schedule's business
MIN_KEPT = 60_000  # ms; the close of an incident and its last questions take that long


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
    yield from _alertmanager_mistakes(document.alertmanagers)
    yield from _watch_mistakes(document)
    yield from _away_mistakes(document)
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
    yield from _sentinel_mistakes(store)


def _sentinel_mistakes(store: StoreDoc) -> Iterator[tuple[Path, str, str]]:
    if bool(store.sentinels) != bool(store.master):
        missing = "master" if store.sentinels else "sentinels"
        yield (
            ("store", "sentinels" if store.sentinels else "master"),
            f"sentinels and master belong together, and {missing} is missing",
            "write both, like sentinels: [10.0.0.5:26379, …] and master: andon-store; or neither",
        )
    for index, sentinel in enumerate(store.sentinels):
        if not is_host_and_port(sentinel):
            yield ("store", "sentinels", index), f"{sentinel!r} is not host:port", "write it like 10.0.0.5:26379"
        yield from _twice(("store", "sentinels", index), sentinel, store.sentinels[:index], "Sentinel")
    if store.sentinels and not store.url:
        message = "Sentinels say where the store is, but not how it is reached"
        yield ("store", "sentinels"), message, "add url: redis://HOST:PORT/0 with any of its servers"
    if store.sentinels and store.url.startswith("unix:"):
        message = "Sentinels name a host and a port, and this address is a socket's"
        yield ("store", "url"), message, "write it like redis://HOST:PORT/0"
    if store.sentinel_username and not store.sentinel_credentials:
        message = "a user without a password"
        yield ("store", "sentinel_username"), message, "add sentinel_credentials: env:NAME or file:PATH"
    if store.sentinel_credentials and not store.sentinels:
        message = "these credentials belong to no Sentinels, so nothing uses them"
        yield ("store", "sentinel_credentials"), message, "add sentinels: and master:"
    if store.wait_replicas and not store.url:
        message = "the embedded store has no replicas, so no intent would ever be confirmed"
        yield ("store", "wait_replicas"), message, "remove it, or add url:"


def _alertmanager_mistakes(peers: Sequence[AlertmanagerDoc]) -> Iterator[tuple[Path, str, str]]:
    for index, peer in enumerate(peers):
        at: Path = ("alertmanagers", index)
        yield from _url((*at, "url"), peer.url)
        yield from _twice((*at, "name"), peer.name, [p.name for p in peers[:index]], "Alertmanager")
        yield from _between((*at, "every"), peer.every, MIN_EVERY, MAX_EVERY, "asking every {}")


def _watch_mistakes(document: AndonDocument) -> Iterator[tuple[Path, str, str]]:
    for index, watch in enumerate(document.watches):
        at: Path = ("watches", index)
        yield from _twice((*at, "name"), watch.name, [w.name for w in document.watches[:index]], "watch")
        yield from _between((*at, "within"), watch.within, MIN_EVERY, MAX_SILENCE, "a silence of {}")
        if all(matchers.parse(text).accepts("") for text in watch.match):
            message = "any alert would be its sign of life, so it would never be missed"
            yield (*at, "match"), message, 'match the one that always fires, like alertname="Watchdog"'
        if watch.system not in document.systems and watch.system != UNROUTED:
            fix = did_you_mean(watch.system, document.systems, f"add it to systems:, or write {UNROUTED}")
            yield (*at, "system"), f"system {watch.system!r} is not listed", fix


def _away_mistakes(document: AndonDocument) -> Iterator[tuple[Path, str, str]]:
    heartbeat, second, signed = document.heartbeat, document.second_route, document.checkpoints
    for name, url, credentials in (
        ("heartbeat", heartbeat.url, heartbeat.credentials),
        ("second_route", second.url, second.credentials),
        ("checkpoints", signed.url, signed.credentials),
    ):
        if url:
            yield from _url((name, "url"), url)
        elif credentials:
            yield (name, "credentials"), "these credentials belong to no url, so nothing uses them", "add url:"
    yield from _between(("heartbeat", "every"), heartbeat.every, MIN_EVERY, MAX_EVERY, "a heartbeat every {}")
    yield from _between(("checkpoints", "every"), signed.every, MIN_EVERY, MAX_EVERY, "signing every {}")
    kept = document.retention.after
    yield from _between(("retention", "after"), kept, MIN_KEPT, MAX_MS, "keeping incidents for {}")


def _url(at: Path, text: str) -> Iterator[tuple[Path, str, str]]:
    try:
        url = urlsplit(text)
        wrong = url.scheme not in {"http", "https"} or not url.hostname or url.port == 0
        secret = bool(url.username or url.password or "@" in url.path + url.query)
        (url.hostname or "").encode("idna")  # as whoever connects will, or fail to
    except ValueError:  # its text may quote a password
        wrong, secret = True, False
    if secret:
        yield at, "the address carries a credential", "write it as credentials: env:NAME or file:/path"
    elif wrong:
        yield at, "this is not an http or https address", "write it like http://127.0.0.1:9093"
    elif problem := written_problem(text):
        yield at, problem, "write the host's name, or its own address"


def _twice(at: Path, name: str, before: Sequence[str], what: str) -> Iterator[tuple[Path, str, str]]:
    if name in before:
        yield at, f"a second {what} is called {name!r}", "names are unique"


def _between(at: Path, given: int, low: int, high: int, what: str) -> Iterator[tuple[Path, str, str]]:
    if not low <= given <= high:
        yield at, f"{what.format(spell(given))} does not make sense", f"write from {spell(low)} to {spell(high)}"
