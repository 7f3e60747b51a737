"""The composition root: reads the configuration, makes every concrete part, joins them, and runs them.

The only place that names adapters together with handlers, policies and the action catalogue. Called by `bot.cli`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pwd
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from bot import ordering
from bot.adapters import redis_safety
from bot.adapters.clock import ScaledClock, SystemClock
from bot.adapters.codec import event_text, warm_up
from bot.adapters.config_files import find_config, read_all
from bot.adapters.connectors import Connectors
from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.evidence import Evidence
from bot.adapters.http_app import Addresses, Listen, build
from bot.adapters.http_app import serve as serve_http
from bot.adapters.http_auth import require_authentication
from bot.adapters.http_services import Check, PersonToken, Source
from bot.adapters.journal import FileJournal
from bot.adapters.metrics import Metrics
from bot.adapters.redis_link import connect
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.adapters.targets_credentials import resolve
from bot.adapters.terminal import TerminalChat, TerminalPager
from bot.core.events import Budget, Event
from bot.core.orders import PolicyArmed, PolicyDisarmed
from bot.core.plan import Plan
from bot.core.record import Decision
from bot.core.requests import CONFIGURATION
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET, AggregateId
from bot.engine.action_ports import Component, Inspection
from bot.engine.engine import Engine
from bot.engine.judge import Hands
from bot.engine.loop import BLOCK_MS
from bot.engine.ports import Chat, Clock, Pager, Store
from bot.engine.runtime import Runtime
from bot.errors import AndonError, ConfigError
from bot.places import api_socket, data_dir, read_setup
from bot.settings import Settings
from handlers.routing import Route
from policies import loader, matchers
from policies.andon import UNROUTED, AndonDocument, AuthDoc
from policies.people import PeopleDocument
from remediations.catalogue import CATALOGUE

STALLED_SECONDS = 3 * BLOCK_MS / 1000  # a loop that has not gone round for this long does not keep up

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Floor:
    """The configuration in force: what the files said, and where they are."""

    config: Path
    loaded: loader.Loaded

    @property
    def shards(self) -> tuple[str, ...]:
        """Every configured system, and the shard of alerts that no route claims."""
        return (*self.loaded.andon.systems, UNROUTED)


def read_floor(settings: Settings, clock: Clock) -> Floor:
    """Read and check every configuration file. Raises ConfigError with every problem, one line each."""
    config = find_config(settings)
    loaded = loader.load(read_all(config, read_setup(config)), CATALOGUE, now=clock.now())
    if loaded.problems:
        raise ConfigError("\n".join(str(problem) for problem in loaded.problems))
    return Floor(config, loaded)


def make_clock(settings: Settings) -> Clock:
    """Real time, or the scaled clock that `ANDON_CLOCK` asks for."""
    return ScaledClock(*settings.scaled) if settings.scaled is not None else SystemClock()


@asynccontextmanager
async def open_store(
    settings: Settings, floor: Floor, folder: Path, replica: str
) -> AsyncIterator[tuple[RedisStore, EmbeddedValkey | None]]:
    """The store, checked and opened, with the embedded server behind it unless a URL is configured."""
    setup = floor.loaded.andon.store
    url = settings.store_url.get_secret_value() if settings.store_url is not None else setup.url
    async with AsyncExitStack() as stack:
        server = EmbeddedValkey(folder) if not url else None
        if server is not None:
            stack.push_async_callback(server.stop)
            url = await server.start()
        ours = url == setup.url  # its user and password are for it alone, never for what ANDON_STORE_URL names
        username = setup.username if ours else ""
        secret = resolve(setup.credentials, os.environ, owner="store.credentials") if ours else None
        password = secret.get_secret_value() if secret is not None else ""
        client = connect(url, username=username, password=password)
        stack.push_async_callback(client.aclose)
        redis_urls = [
            component.url
            for system in floor.loaded.targets.systems
            for component in floor.loaded.targets.components(system)
            if component.connector == "redis"
        ]
        warnings = await redis_safety.check(
            client,
            accept_weak=settings.accept_weak_durability or setup.accept_weak_durability,
            url=url,
            target_urls=redis_urls,
        )
        for warning in warnings:
            log.warning("store_is_weak", problem=warning)
        sealer = Sealer.from_file(folder / "seal.key")
        store = RedisStore(url, replica=replica, sealer=sealer, username=username, password=password)
        stack.push_async_callback(store.close)
        await store.open()
        yield store, server


class House:
    """Everything that runs, joined. Implements `http_services.Services` for the doors."""

    def __init__(
        self, *, floor: Floor, store: Store, clock: Clock, folder: Path, replica: str, chat: Chat, pager: Pager
    ) -> None:
        loaded = floor.loaded
        assert loaded.book is not None  # `read_floor` refuses a set with problems
        self._floor = floor
        self._book = loaded.book
        self._metrics = Metrics()
        self._store = store
        self._clock = clock
        self._replica = replica
        self._connectors = Connectors(loaded.targets, os.environ)
        self._sources = tuple(_sources(loaded.andon.listen.auth))
        self._tokens = tuple(_tokens(loaded.people))
        self._routes = tuple(_routes(loaded.andon))
        self.engine = Engine(
            store=store,
            book=loaded.book,
            text=event_text,
            clock=clock,
            telemetry=self._metrics,
            shards=floor.shards,
        )
        budget = loaded.andon.budget
        hands = Hands(
            engine=self.engine,
            toolbox=CATALOGUE,
            targets=self._connectors,
            evidence=Evidence(self._connectors),
            journal=FileJournal(folder / "journal" / "intents.jsonl"),
            budget=Budget(limit=budget.limit, within_ms=budget.within, reserve=budget.reserve),
            chat=chat,
        )
        self.runtime = Runtime(hands, pager, self._metrics)

    async def arm_configured(self) -> None:
        """Arm what andon.yaml arms, except what a person has disarmed since; disarm what it armed and lists no more."""
        listed = set(self._floor.loaded.armed)
        for system, policy in self._floor.loaded.armed:
            event = PolicyArmed(id=f"configuration/{policy}", at=self._clock.now(), by=CONFIGURATION, policy=policy)
            await self.engine.tell(system, SYSTEM_TARGET, event)
        for system in self._floor.shards:
            stored = (await self._store.load(system, [SYSTEM_TARGET])).get(SYSTEM_TARGET)
            armed = stored.record.armed if stored is not None and isinstance(stored.record, Target) else {}
            for policy in [
                name for name, by in armed.items() if by.by == CONFIGURATION and (system, name) not in listed
            ]:
                gone = PolicyDisarmed(
                    id=f"configuration/-{policy}", at=self._clock.now(), by=CONFIGURATION, policy=policy
                )
                await self.engine.tell(system, SYSTEM_TARGET, gone)

    async def close(self) -> None:
        """Close the connections to the trading systems."""
        await self._connectors.close()

    # --- Services -------------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        return self._store

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def registry(self) -> CollectorRegistry:
        return self._metrics.registry

    @property
    def replica(self) -> str:
        return self._replica

    @property
    def shards(self) -> Sequence[str]:
        return self._floor.shards

    @property
    def routes(self) -> Sequence[Route]:
        return self._routes

    @property
    def sources(self) -> Sequence[Source]:
        return self._sources

    @property
    def tokens(self) -> Sequence[PersonToken]:
        return self._tokens

    def person_of(self, uid: int) -> str | None:
        people = self._floor.loaded.people
        person = people.by_uid(uid)
        if person is None:
            try:
                person = people.by_os_user(pwd.getpwuid(uid).pw_name)
            except KeyError:  # a uid without a login name, as in many containers
                return None
        return person.id if person is not None else None

    def roster(self) -> PeopleDocument:
        return self.engine.book.people

    def order_plan(self, system: str, action: str, component: str, arguments: Mapping[str, Any], reason: str) -> Plan:
        return ordering.plan(
            CATALOGUE, self._floor.loaded.targets, self.roster(), system=system, action=action, component=component,
            arguments=arguments, reason=reason, now=self._clock.now(),
        )  # fmt: skip

    async def inspect(self, system: str, plan: Plan) -> Inspection:
        return await ordering.look(CATALOGUE, self._connectors, system, plan, self._clock.now())

    def policies(self) -> Sequence[Plan]:
        return self._book.policies()

    def policy_fingerprint(self) -> str:
        return self._book.fingerprint

    def components(self) -> Sequence[Component]:
        targets = self._floor.loaded.targets
        return [
            self._connectors.component(system, component.name)
            for system in targets.systems
            for component in targets.components(system)
        ]

    def checks(self) -> Sequence[Check]:
        stalled = self.runtime.heartbeat.oldest_seconds()
        fine = stalled < STALLED_SECONDS
        return [Check("loops", fine, "all go round" if fine else f"one has not gone round for {stalled:.1f} s")]

    async def tell(self, shard: str, to: AggregateId, event: Event) -> Decision:
        return await self.engine.tell(shard, to, event)


async def serve(settings: Settings, opened: Callable[[Addresses], None] = lambda _: None) -> None:
    """Run Andon until SIGTERM or SIGINT. Raises ConfigError, StoreUnsafe or StoreUnavailable when it cannot start."""
    clock = make_clock(settings)
    floor = read_floor(settings, clock)
    setup = floor.loaded.andon
    require_authentication(setup.listen.host, tuple(_sources(setup.listen.auth)))
    folder = data_dir(settings, setup)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replica = settings.replica or setup.replica or _replica_name(folder)
    warm_up()
    async with open_store(settings, floor, folder, replica) as (store, server), AsyncExitStack() as stack:
        house = House(
            floor=floor, store=store, clock=clock, folder=folder, replica=replica,
            chat=TerminalChat(), pager=TerminalPager(),
        )  # fmt: skip
        stack.push_async_callback(house.close)
        await house.arm_configured()
        doors_close = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, doors_close.set)
        listen = Listen(
            host=setup.listen.host,
            port=setup.listen.port,
            api_socket=api_socket(settings, setup),
            api_host=setup.api.host,
            api_port=setup.api.port,
        )
        log.info("starting", replica=replica, config=str(floor.config), data_dir=str(folder))
        try:
            async with asyncio.TaskGroup() as tasks:
                keeping = tasks.create_task(server.run()) if server is not None else None
                running = tasks.create_task(house.runtime.run())
                await serve_http(build(house), listen, doors_close, opened)
                house.runtime.stop()
                await running
                if keeping is not None:
                    keeping.cancel()
        except* AndonError as failures:
            raise failures.exceptions[0] from failures
        log.info("stopped", replica=replica)


def _replica_name(folder: Path) -> str:
    """The same after every restart on this data directory, and another on any other."""
    return f"{socket.gethostname()}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def _sources(auth: AuthDoc) -> list[Source]:
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
    return found


def _tokens(people: PeopleDocument) -> list[PersonToken]:
    resolved = [(person.id, resolve(person.api_token, os.environ, owner=person.id)) for person in people.people]
    return [PersonToken(person=who, secret=token.get_secret_value().encode()) for who, token in resolved if token]


def _routes(setup: AndonDocument) -> list[Route]:
    """`routes:` compiled: receiver and matchers to systems."""
    return [
        Route(
            system=route.system,
            receiver=route.receiver,
            matches=matchers.test(route.match) if route.match else None,
        )
        for route in setup.routes
    ]
