"""The configuration in force: read from its files, checked whole, and compared with the set before it.

`read` is called at start (`bot.app`) and at every reload (`bot.reload`); what it returns is immutable. Here also
stands what a reload cannot change in a running Andon: those parts of andon.yaml that something was opened with.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.adapters.config_files import read_all
from bot.adapters.http_services import PersonToken, Source
from bot.adapters.targets_credentials import resolve
from bot.core.words import Millis
from bot.errors import ConfigError
from bot.places import read_setup
from handlers.routing import Route
from policies import loader, matchers
from policies.andon import UNROUTED, AndonDocument, AuthDoc
from policies.book import PolicyBook
from policies.people import PeopleDocument
from remediations.catalogue import CATALOGUE, ActionCatalogue

# Parts of andon.yaml that only a start reads: something was opened, or is counted, with them.
NEEDS_RESTART: Final = (
    "replica", "store", "listen", "api", "budget", "heartbeat", "second_route", "retention", "checkpoints",
)  # fmt: skip
MAX_NAMES: Final = 10  # policies named in one sentence about a reload


@dataclass(frozen=True, slots=True)
class Floor:
    """What the files said, and where they are. `fingerprint` names exactly these texts.

    `catalogue` is what they were judged with: every action there is while this Andon runs.
    """

    config: Path
    loaded: loader.Loaded
    fingerprint: str = ""
    catalogue: ActionCatalogue = CATALOGUE

    @property
    def shards(self) -> tuple[str, ...]:
        """Every configured system, and the shard of alerts that no route claims."""
        return (*self.loaded.andon.systems, UNROUTED)

    @property
    def book(self) -> PolicyBook:
        """The policies. Only a set without problems has them."""
        assert self.loaded.book is not None  # whoever holds a Floor has looked at its problems
        return self.loaded.book


def read_texts(config: Path) -> list[loader.Source]:
    """Every configuration file's text, andon.yaml's first. Raises ConfigError when one cannot be read."""
    return read_all(config, read_setup(config))


def fingerprint_of(texts: Sequence[loader.Source]) -> str:
    """Names exactly these texts."""
    whole = hashlib.sha256()
    for text in texts:
        for part in (text.kind, text.name, text.text):
            whole.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


def checked(config: Path, texts: Sequence[loader.Source], now: Millis, catalogue: ActionCatalogue = CATALOGUE) -> Floor:
    """The set that these texts are. Raises ConfigError with every problem, one line each."""
    loaded = loader.load(texts, catalogue, now=now)
    if loaded.problems:
        raise ConfigError("\n".join(str(problem) for problem in loaded.problems))
    doubled = _one_login_as_two(loaded.people)
    if doubled:
        raise ConfigError(doubled)
    return Floor(config, loaded, fingerprint_of(texts), catalogue)


def _one_login_as_two(people: PeopleDocument) -> str:
    """Two entries that are one login of this machine, by its number and by its name; only the machine can tell."""
    for person in people.people:
        try:
            uid = pwd.getpwnam(person.os_user).pw_uid if person.os_user else None
        except KeyError:  # no such login here
            continue
        other = people.by_uid(uid) if uid is not None else None
        if other is not None and other.id != person.id:
            return (
                f"people.yaml: {person.id} (os_user {person.os_user}) and {other.id} (os_uid {uid}) are the same login "
                "here; one human is one entry: merge the two"
            )
    return ""


def read(config: Path, now: Millis, catalogue: ActionCatalogue = CATALOGUE) -> Floor:
    """Read and check every configuration file. Raises ConfigError with every problem, one line each."""
    return checked(config, read_texts(config), now, catalogue)


def webhook_sources(auth: AuthDoc) -> tuple[Source, ...]:
    """Who may post webhooks, with their secrets. Raises ConfigError when one is missing."""
    found: list[Source] = []
    bearer = resolve(auth.bearer, os.environ, owner="listen.auth.bearer")
    if bearer is not None:
        found.append(Source(name="bearer", scheme="bearer", secret=bearer.get_secret_value().encode()))
    if auth.basic is not None:
        password = resolve(auth.basic.password, os.environ, owner="listen.auth.basic")
        if password is None:
            raise ConfigError("listen.auth.basic.password: no credential is named; write env:NAME or file:PATH")
        secret = f"{auth.basic.username}:{password.get_secret_value()}".encode()
        found.append(Source(name=auth.basic.username, scheme="basic", secret=secret))
    return tuple(found)


def person_tokens(people: PeopleDocument) -> tuple[PersonToken, ...]:
    """Everybody's token for the API on TCP. Raises ConfigError when one is missing."""
    resolved = [(person.id, resolve(person.api_token, os.environ, owner=person.id)) for person in people.people]
    owners: dict[str, str] = {}
    for who, secret in resolved:
        other = owners.setdefault(secret.get_secret_value(), who) if secret else who
        if other != who:
            raise ConfigError(f"people.yaml: {other} and {who} have the same api_token; give each person their own")
    return tuple(
        PersonToken(person=who, secret=secret.get_secret_value().encode()) for who, secret in resolved if secret
    )


def routes_of(setup: AndonDocument) -> tuple[Route, ...]:
    """`routes:` compiled: receiver and matchers to systems."""
    return tuple(
        Route(
            system=route.system,
            receiver=route.receiver,
            matches=matchers.test(route.match) if route.match else None,
        )
        for route in setup.routes
    )


# --- from one set to the next -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class News:
    """What a reload changes, in words, and what of it waits for a restart."""

    changes: tuple[str, ...]
    restart: tuple[str, ...]


def news(old: Floor, new: Floor, started: Floor) -> News:
    """What is different, and what differs from what Andon was started with. Raises ConfigError for other systems."""
    before, after = old.loaded, new.loaded
    if set(before.andon.systems) != set(after.andon.systems):
        other = sorted(set(before.andon.systems) ^ set(after.andon.systems))
        raise ConfigError(
            f"andon.yaml: systems: {', '.join(other)}: a system is added or removed by a restart only; "
            "nothing of this set is taken until then"
        )
    restart = tuple(name for name in NEEDS_RESTART if getattr(started.loaded.andon, name) != getattr(after.andon, name))
    return News((*_policies(old.book, new.book), *_rest(old, new)), restart)


def _policies(old: PolicyBook, new: PolicyBook) -> Iterator[str]:
    before, after = ({f"{p.system}/{p.policy}": p.policy_hash for p in book.policies()} for book in (old, new))
    for word, names in (
        ("added", after.keys() - before.keys()),
        ("removed", before.keys() - after.keys()),
        ("changed", {name for name in before.keys() & after.keys() if before[name] != after[name]}),
    ):
        if names:
            shown = sorted(names)[:MAX_NAMES]
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            yield f"{'policy' if len(names) == 1 else 'policies'} {word}: {', '.join(shown)}{more}"


def _rest(old: Floor, new: Floor) -> Iterator[str]:
    before, after = old.loaded, new.loaded
    if before.people != after.people:
        yield "people"
    if before.targets != after.targets:
        yield "targets"
    if before.andon.routes != after.andon.routes:
        yield "routes"
    if before.armed != after.armed:
        yield "armed"
    if _watches(old.book) != _watches(new.book):
        yield "watches"
    if old.book.streams != new.book.streams:
        yield "streams"
    if old.book.schedules != new.book.schedules:
        yield "schedules"
    if before.andon.alertmanagers != after.andon.alertmanagers:
        yield "alertmanagers"


def _watches(book: PolicyBook) -> list[tuple[str, str, Millis, str]]:
    return [(watch.name, watch.system, watch.within_ms, watch.text) for watch in book.watches]
