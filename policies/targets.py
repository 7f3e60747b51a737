"""targets.yaml: each trading system's components, by role, with how to reach and read them.

Planning resolves an action's role to a component here; `bot.adapters` builds connectors from it. Credentials are
references (`env:NAME`, `file:PATH`), never literals, and nothing outside a component's `allow` list is ever requested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from policies import local_targets, redis_commands
from policies.destinations import written_problem
from policies.durations import Duration
from policies.models import StrictModel
from policies.problems import Path, UnclearError
from policies.texts import Name

Connector: TypeAlias = Literal["http", "redis", "prometheus", "command", "process"]

LOCAL: frozenset[Connector] = frozenset({"command", "process"})  # of this host: no address, no credentials
ALLOWING: frozenset[Connector] = frozenset({"http", "redis", "command"})  # they have an `allow` list
SCHEMES: dict[Connector, tuple[str, ...]] = {
    "http": ("http", "https"),
    "redis": ("redis", "rediss", "unix"),
    "prometheus": ("http", "https"),
}
_REFERENCE = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)\Z")
_SENTINEL = re.compile(r"[^\s/@]+:[1-9]\d{0,4}\Z", re.ASCII)
_REQUEST = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/[^\s?#]*)\Z")


def _reference(value: str) -> str:
    if value and _REFERENCE.match(value) is None:
        raise UnclearError("this is not a reference to a credential", "write env:NAME or file:/path, never the secret")
    return value


Reference: TypeAlias = Annotated[str, AfterValidator(_reference)]


class ReadDoc(StrictModel):
    """Where a field of a component's own state can be read: exactly one of `http`, `redis_hash`.

    A component answers GET with its state of now; a hash holds what somebody wrote some time, so it must be dated.
    """

    http: str | None = Field(None, description="A path that answers GET with JSON.")
    json_path: str = Field("", alias="json", description="http: dotted path of the value in the answer.")
    redis_hash: str | None = Field(None, description="The hash's key.")
    at_json: str = Field("", description="http: dotted path of the time of the value, where the answer has one.")
    field: str = Field("", description="redis_hash: the field with the value.")
    at_field: str = Field("", description="redis_hash: the field with the time of the value.")
    max_age: Duration = Field(10_000, description="An older value is stale, and a person is asked.")
    component: str = Field("", description="Which component is read, when it is another one.")


class ComponentDoc(StrictModel):
    """One component of a trading system."""

    name: Name
    role: Name = Field(description="What actions look for: risk, router, store, metrics …")
    connector: Connector
    url: str = Field("", description="http, redis, prometheus: where it is reached.")
    allow_private: bool = Field(
        False, description="http, prometheus: whether a public name in url may lead to a private or loopback address."
    )
    username: str = ""
    credentials: Reference = Field("", description="env:NAME or file:/path of the token or password; never the secret.")
    sentinels: list[str] = Field(default_factory=list, description="redis: host:port of each Sentinel that watches it.")
    master: str = Field("", description="redis: its name there; streams are then followed to whichever is primary.")
    allow: list[str] = Field(
        default_factory=list,
        description="All that may ever be asked of it. http: requests; redis: commands with their key; "
        "command: how the command line begins.",
    )
    pidfile: str = Field("", description="process: the file that holds its pid.")
    program: str = Field("", description="process: how its command line begins; a name, or a path from /.")
    owner: str = Field("", description="process: the user it runs as; the one Andon runs as when it is not said.")
    read: dict[str, ReadDoc] = Field(default_factory=dict)
    floors: dict[str, float] = Field(default_factory=dict, description="Automation never pushes a field below this.")


class SystemDoc(StrictModel):
    """One trading system."""

    components: list[ComponentDoc] = Field(default_factory=list)


class TargetsDocument(StrictModel):
    """The whole file."""

    systems: dict[Name, SystemDoc] = Field(default_factory=dict)

    def components(self, system: str) -> tuple[ComponentDoc, ...]:
        """The system's components; none when the system is not listed."""
        found = self.systems.get(system)
        return tuple(found.components) if found else ()

    def component(self, system: str, name: str) -> ComponentDoc | None:
        """One component by name."""
        return next((c for c in self.components(system) if c.name == name), None)

    def by_role(self, system: str, role: str) -> tuple[ComponentDoc, ...]:
        """The components with this role."""
        return tuple(c for c in self.components(system) if c.role == role)

    def by_connector(self, system: str, connector: Connector) -> tuple[ComponentDoc, ...]:
        """The components reached this way."""
        return tuple(c for c in self.components(system) if c.connector == connector)


Finding: TypeAlias = tuple[Path, str, str]  # path, message, fix


def mistakes(document: TargetsDocument) -> Iterator[Finding]:
    """What the models cannot see: addresses, names used twice, reads that nothing allows."""
    for system, parts in document.systems.items():
        names: set[str] = set()
        for index, component in enumerate(parts.components):
            at: Path = ("systems", system, "components", index)
            if component.name in names:
                yield (*at, "name"), f"a second component is called {component.name!r}", "names are unique in a system"
            names.add(component.name)
            yield from _address(at, component)
            yield from _allow(at, component)
            yield from _process(at, component)
            yield from _sentinels(at, component)
            for name, read in component.read.items():
                where: Path = (*at, "read", name)
                yield from tuple(_read(where, document, system, component, read)) or _dates(where, read)
            for name, floor in component.floors.items():
                if floor < 0:
                    yield (*at, "floors", name), f"the floor {floor:g} is negative", "write the least allowed value"


def _address(at: Path, component: ComponentDoc) -> Iterator[Finding]:
    if component.allow_private and component.connector not in ("http", "prometheus"):
        yield (*at, "allow_private"), f"allow_private means nothing for a {component.connector} component", "remove it"
    if component.connector in LOCAL:
        for key in ("url", "username", "credentials"):
            if getattr(component, key):
                yield (*at, key), f"{key} means nothing for a {component.connector} component", "remove it"
        return
    if not component.url:
        example = f"{SCHEMES[component.connector][0]}://host:port"
        yield at, f"does not say where {component.name} is reached", f"add url: {example}"
        return
    try:
        url = urlsplit(component.url)
        schemes = SCHEMES[component.connector]
        (url.hostname or "").encode("idna")  # as whoever connects will, or fail to
        if url.scheme not in schemes:
            yield (
                (*at, "url"),
                f"a {component.connector} address does not start with {url.scheme or 'this'}",
                f"write {schemes[0]}://host:port",
            )
        elif url.password or url.username or url.fragment or "@" in url.path + url.query:
            yield (*at, "url"), "the address carries a credential", "write it as credentials: env:NAME or file:/path"
        elif url.scheme != "unix" and not url.hostname:
            yield (*at, "url"), "the address names no host", f"write {schemes[0]}://host:port"
        elif url.port is not None and url.port < 1:
            yield (*at, "url"), "the port is 0", "write the real port"
        elif problem := written_problem(component.url):
            yield (*at, "url"), problem, "write the host's name, or its own address"
    except ValueError:  # its text may quote a password
        yield (*at, "url"), "not an address", "write it like http://127.0.0.1:8080"


def _allow(at: Path, component: ComponentDoc) -> Iterator[Finding]:
    """Every line of `allow`, by what the connector takes there."""
    if component.connector == "command" and not component.allow:
        yield at, "allows no program, so nothing can be done with it", 'add allow: ["/absolute/path/of/a/program"]'
    for index, line in enumerate(component.allow):
        if component.connector not in ALLOWING:
            yield (*at, "allow"), f"allow means nothing for a {component.connector} component", "remove it"
            return
        if problem := allow_problem(component.connector, line):
            yield ((*at, "allow", index), *problem)


def allow_problem(connector: Connector, line: str) -> tuple[str, str] | None:
    """What is wrong with a line of `allow`, and what to write instead; None when it is well."""
    match connector:
        case "http":
            return _request_problem(line)
        case "redis":
            return redis_commands.line_problem(line)
        case "command":
            return local_targets.program_problem(line)
        case _:
            return None


def _request_problem(line: str) -> tuple[str, str] | None:
    if _REQUEST.match(line) is None:
        return f"{line!r} is not a request", 'write method and path, like "POST /api/risk/emergency-reduce"'
    return None


def _process(at: Path, component: ComponentDoc) -> Iterator[Finding]:
    """What names a process belongs to a process, and there it is needed."""
    if component.connector == "process":
        for key, message, fix in local_targets.process_problems(component.pidfile, component.program):
            yield ((*at, key) if getattr(component, key) else at), message, fix
        return
    for key in ("pidfile", "program", "owner"):
        if getattr(component, key):
            yield (*at, key), f"{key} means nothing for a {component.connector} component", "remove it"


def is_host_and_port(text: str) -> bool:
    """Whether it is written like 10.0.0.5:26379."""
    return _SENTINEL.match(text) is not None


def _sentinels(at: Path, component: ComponentDoc) -> Iterator[Finding]:
    if component.sentinels and component.connector != "redis":
        yield (*at, "sentinels"), f"sentinels mean nothing for a {component.connector} component", "remove them"
    if bool(component.sentinels) != bool(component.master):
        yield (*at, "sentinels"), "sentinels and master belong together", "write both, or neither"
    for index, sentinel in enumerate(component.sentinels):
        if not is_host_and_port(sentinel):
            yield (*at, "sentinels", index), f"{sentinel!r} is not host:port", "write it like 10.0.0.5:26379"


def _read(
    at: Path, document: TargetsDocument, system: str, component: ComponentDoc, read: ReadDoc
) -> Iterator[Finding]:
    if (read.http is None) == (read.redis_hash is None):
        yield (
            at,
            "says not exactly one of http and redis_hash",
            "write {http: /path, json: field} or {redis_hash: key, field: name}",
        )
        return
    asked = document.component(system, read.component) if read.component else component
    if asked is None:
        yield (*at, "component"), f"no component {read.component!r} in {system}", "name one that is listed here"
    elif read.http is not None:
        if asked.connector != "http":
            yield (*at, "http"), f"{asked.name} is reached by {asked.connector}, not http", "name an http component"
        elif f"GET {read.http}" not in asked.allow:
            yield (
                (*at, "http"),
                f"{asked.name} does not allow GET {read.http}",
                f'add "GET {read.http}" to its allow list',
            )
        if not read.json_path:
            yield at, "does not say which part of the answer", "add json: field"
    elif asked.connector != "redis":
        yield (*at, "redis_hash"), f"{asked.name} is reached by {asked.connector}, not redis", "add component: NAME"
    elif not read.field:
        yield at, "does not say which field of the hash", "add field: name"


def _dates(at: Path, read: ReadDoc) -> Iterator[Finding]:
    other, key = (read.at_field, "at_field") if read.http is not None else (read.at_json, "at_json")
    if other:
        kind = "http" if read.http is not None else "redis_hash"
        yield (*at, key), f"{key} does not belong to a read over {kind}", "remove it"
    if read.redis_hash is not None and not read.at_field:
        yield at, "does not say when the value was written", "add at_field: NAME; an old value could raise, not lower"
    if read.max_age == 0:
        yield (*at, "max_age"), "every value is older than 0s", "write how old it may be, like 10s"
