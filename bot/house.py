"""Everything that runs, joined: the engine and its hands, the sources, the doors' services, the reload, the alarms.

Made and run by `bot.app`, which opens the store and the doors. The only place, with `bot.app`, that names adapters
together with policies and the action catalogue. What a reload changes is swapped here, in one go (`_prepared`); what
each part does is in its own module.
"""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry

from bot import ordering
from bot.adapters.checkpoint_export import DirectoryExport, EndpointExport
from bot.adapters.checkpoint_files import FOLDER as CHECKPOINTS
from bot.adapters.checkpoint_files import LocalChain
from bot.adapters.checkpoint_reading import CheckpointReading
from bot.adapters.codec import event_text
from bot.adapters.connectors import Connectors
from bot.adapters.desk_silences import Silences
from bot.adapters.destination_look import DestinationLook
from bot.adapters.evidence import Evidence
from bot.adapters.foreign_streams import RedisStreams
from bot.adapters.heartbeat import OutgoingHeartbeat
from bot.adapters.http_services import Check, PersonToken, Reloaded, Source
from bot.adapters.journal import FileJournal
from bot.adapters.kill_switch import FILE, KillSwitch
from bot.adapters.metrics import Metrics
from bot.adapters.second_route import ring
from bot.adapters.signing import FILE as CHECKPOINT_KEY
from bot.adapters.signing import Signer
from bot.adapters.targets_credentials import resolve
from bot.adapters.unsaid import FILE as UNSAID
from bot.adapters.unsaid import UnsaidFile
from bot.adapters.witnessed_store import WitnessedStore
from bot.configuration import Floor, person_tokens, routes_of, webhook_sources
from bot.core.events import Budget, Event
from bot.core.plan import Plan
from bot.core.record import Decision
from bot.core.words import AggregateId
from bot.engine.action_ports import Component, Inspection
from bot.engine.alarms import Alarms
from bot.engine.antientropy import Antientropy
from bot.engine.arming import arm_as_listed
from bot.engine.astray import Astray
from bot.engine.beside import Eternal, Keeper
from bot.engine.checkpoints import Checkpoints, Destination
from bot.engine.clockwatch import ClockWatch
from bot.engine.custody import Custody
from bot.engine.engine import Engine
from bot.engine.following import BookFollower
from bot.engine.forgotten import tell_forgotten
from bot.engine.judge import Hands
from bot.engine.loop import BLOCK_MS
from bot.engine.ports import Archive, Chat, Clock, Pager, Store
from bot.engine.reconcile import Reconciler
from bot.engine.retention import Retention
from bot.engine.routed_pager import RoutedPager
from bot.engine.runtime import Runtime
from bot.engine.schedule import CronSchedules
from bot.engine.streams import StreamTailer
from bot.engine.watches import Watches
from bot.errors import StoreError
from bot.outside import alertmanagers, second_route
from bot.reload import Reloader
from bot.switchboard import Switchboard
from handlers.routing import Route
from policies.andon import UNROUTED, AndonDocument
from policies.called_hosts import Place, places
from policies.people import PeopleDocument

if TYPE_CHECKING:  # slack-bolt takes half a second to import; without `slack:` in andon.yaml it never is
    from bot.slack_face import SlackFace

STALLED_SECONDS: Final = 3 * BLOCK_MS / 1000  # a loop that has not gone round for this long does not keep up
WRITABLE_SECONDS: Final = 2.0  # a store slower than this is not well, and the outgoing heartbeat stops


class House:
    """Implements `http_services.Services` for the doors. `pager` is the first page route."""

    def __init__(
        self,
        *,
        floor: Floor,
        store: WitnessedStore,
        clock: Clock,
        folder: Path,
        replica: str,
        chat: Chat,
        pager: Pager,
        archive: Archive,
        replicated: Callable[[], str] = lambda: "",
        left_to_newer: Callable[[], Mapping[str, str]] = dict,
        slack: SlackFace | None = None,
    ) -> None:
        self._floor = self._started = floor
        self._metrics = Metrics()
        self._store = store
        self._clock = clock
        self._slack = slack
        self._replica = replica
        self._archive = archive
        self._replicated = replicated  # what the store says of its replicas; "" when it has none to ask
        self._left_to_newer = left_to_newer  # the shards that a newer Andon works on, and why this one does not
        self._metrics.follow_newer(floor.shards, left_to_newer)
        self._furnish(floor, store, pager, folder)
        if slack is not None:
            self._join(slack, folder)
        keeper = Keeper(self.alarms, shard=UNROUTED, replica=replica)
        self.runtime = Runtime(self._hands(chat), self.pager, self._metrics, self._eternal(), keeper)

    def _furnish(self, floor: Floor, store: WitnessedStore, pager: Pager, folder: Path) -> None:
        """Everything that stands by itself, each made from what stands before it."""
        clock, replica, setup = self._clock, self._replica, floor.loaded.andon
        self._journal = FileJournal(folder / "journal" / "intents.jsonl", replica=replica)
        self._connectors = Connectors(
            floor.loaded.targets, os.environ, killed=self._journal.killed, clock=clock.now
        )  # fmt: skip
        self._streams = RedisStreams(floor.loaded.targets, os.environ)
        self._sources, self._tokens = webhook_sources(setup.listen.auth), person_tokens(floor.loaded.people)
        self._routes = routes_of(setup)
        self.alarms = Alarms(store, clock, UnsaidFile(folder / "journal" / UNSAID))  # the doors run it
        self.engine = Engine(
            store=store, book=floor.book, text=event_text, clock=clock, telemetry=self._metrics, shards=floor.shards,
        )  # fmt: skip
        self._astray = Astray(self.engine)
        self._reconciler = Reconciler(self.engine, self._journal, replica=replica)
        self._follower = BookFollower(self.engine)
        self._alertmanagers = alertmanagers(setup.alertmanagers)
        self._antientropy = Antientropy(self.engine, clock, self._alertmanagers, self.alarms, routes=self._routes)
        self._second = second_route(setup)
        self.pager = RoutedPager(pager, self._second, ring, self._metrics)
        self._heartbeat = self._outgoing(setup)
        self._switchboard = Switchboard(KillSwitch(folder / "journal" / FILE), self.engine)
        self.reloader = Reloader(
            floor, store=store, clock=clock, alarms=self.alarms, metrics=self._metrics, replica=replica,
            prepare=self._prepared, settle=self.arm_configured,
        )  # fmt: skip
        self._checkpoints, self.witnesses = self._signed(store, folder, replica)
        self._destinations = DestinationLook(self._called, self.alarms, floor.shards)

    def _join(self, slack: SlackFace, folder: Path) -> None:
        silences = Silences(self, lambda: self._alertmanagers)
        slack.join(
            services=self, engine=self.engine, alarms=self.alarms, catalogue=self._floor.catalogue,
            budget=self._budget, silences=silences, switch=KillSwitch(folder / "journal" / FILE),
            connectors=self._connectors,
        )  # fmt: skip

    @property
    def _budget(self) -> Budget:
        budget = self._started.loaded.andon.budget
        return Budget(limit=budget.limit, within_ms=budget.within, reserve=budget.reserve)

    def _hands(self, chat: Chat) -> Hands:
        return Hands(
            engine=self.engine,
            toolbox=self._floor.catalogue,
            targets=self._connectors,
            evidence=Evidence(self._connectors, self._clock.now),
            journal=self._journal,
            budget=self._budget,
            chat=chat,
            standing=self._antientropy.standing,
            membership=self._slack.members if self._slack is not None else None,
        )

    def _outgoing(self, setup: AndonDocument) -> OutgoingHeartbeat | None:
        beat = setup.heartbeat
        if not beat.url:
            return None
        secret = resolve(beat.credentials, os.environ, owner="heartbeat.credentials")
        return OutgoingHeartbeat(
            beat.url, self._clock.real_seconds(beat.every), self.unwell, secret, allow_private=beat.allow_private
        )

    def _signed(self, store: WitnessedStore, folder: Path, replica: str) -> tuple[Checkpoints, CheckpointReading]:
        """What signs the audit, and what reads that back."""
        setup = self._floor.loaded.andon.checkpoints
        key = Signer.from_file(folder / CHECKPOINT_KEY)
        copies = Path(setup.directory).expanduser() if setup.directory else None
        destinations: list[Destination] = [] if copies is None else [DirectoryExport(copies)]
        if setup.url:
            secret = resolve(setup.credentials, os.environ, owner="checkpoints.credentials")
            destinations.append(EndpointExport(setup.url, secret, allow_private=setup.allow_private))
        making = Checkpoints(
            ledger=store, chain=LocalChain(folder / CHECKPOINTS / key.id), key=key, destinations=destinations,
            clock=self._clock, alarms=self.alarms, shards=self._floor.shards, home=UNROUTED, replica=replica,
            every_ms=setup.every,
        )  # fmt: skip
        store.witnessed_by(making.witness)
        reading = CheckpointReading(
            folder=folder / CHECKPOINTS, copies=copies, signer=key, replica=replica, ledger=store,
            making=making,
        )  # fmt: skip
        return making, reading

    def _eternal(self) -> dict[str, Eternal]:
        """Everything that runs beside the engine's own loops for as long as the process lives."""
        retention = Retention(
            store=self._store, archive=self._archive, clock=self._clock, alarms=self.alarms, shards=self._floor.shards,
            after_ms=self._floor.loaded.andon.retention.after, book=lambda: self.engine.book,
        )  # fmt: skip
        custody = Custody(
            store=self._store, clock=self._clock, alarms=self.alarms, shards=self._floor.shards, home=UNROUTED
        )
        tasks: dict[str, Eternal] = {
            "kill switch": self._switchboard.run,
            "configuration": self.reloader.watch_files,
            "reload": self.reloader.obey,
            "connectors": self._connectors.close_retired,
            "streams": StreamTailer(self.engine, self._streams, self.alarms, self._metrics, self._follower).run,
            "schedules": CronSchedules(self.engine, self.alarms, self._follower).run,
            "watches": Watches(self.engine, self._follower).run,
            "clock": ClockWatch(
                self._clock, self.alarms, self._metrics, shard=UNROUTED, went_back=self._astray.poke
            ).run,
            "astray": self._astray.run,
            "antientropy": self._antientropy.run,
            "retention": retention.run,
            "checkpoints": self._checkpoints.run,
            "reconcile": self._reconciler.run,
            "custody": custody.run,
            "destinations": self._destinations.run,
        }
        if self._heartbeat is not None:
            tasks["heartbeat"] = self._heartbeat.run
        if self._slack is not None:
            tasks |= self._slack.tasks()
        return tasks

    def _called(self) -> list[Place]:
        return places(self._floor.loaded.targets, self._floor.loaded.andon, self._started.loaded.andon)

    async def begin(self) -> None:
        """What a start says to the store: what only the journal remembers, what is armed now, and which systems are
        listed no more but have work left. Raises StoreUnavailable.
        """
        await self._reconciler.begin()
        await self.arm_configured()
        await tell_forgotten(self._store, self.alarms, self._floor.shards, shard=UNROUTED)

    async def arm_configured(self) -> None:
        """Arm what andon.yaml arms, except what a person has disarmed since; disarm what it armed and lists no more."""
        await arm_as_listed(self.engine, self._floor.shards, self._floor.loaded.armed)

    async def last_words(self) -> None:
        """The engine has stopped: what it committed last is signed too."""
        await self._checkpoints.finish()

    async def close(self) -> None:
        """Close every connection to the outside but the store's."""
        await self._connectors.close()
        await self._streams.close()
        for api in self._alertmanagers:
            await api.close()
        if self._second is not None:
            await self._second.close()

    # --- reload -----------------------------------------------------------------------------------------------------

    def _prepared(self, new: Floor) -> Callable[[], None]:
        """What puts the set in force at once. Raises ConfigError, as for a credential that is missing."""
        connectors = self._connectors.prepare(new.loaded.targets)
        tokens = person_tokens(new.loaded.people)
        routes = routes_of(new.loaded.andon)
        same = new.loaded.andon.alertmanagers == self._floor.loaded.andon.alertmanagers
        listed = self._alertmanagers if same else alertmanagers(new.loaded.andon.alertmanagers)

        def adopt() -> None:
            self._floor, self._tokens, self._routes = new, tokens, routes
            self.engine.book = new.book
            self._connectors.adopt(connectors)
            self._streams.replace(new.loaded.targets)
            self._alertmanagers = listed
            self._antientropy.follow(listed, routes)
            self._follower.poke()
            self._destinations.poke()

        return adopt

    async def reload(self) -> Reloaded:
        return await self.reloader.now()

    # --- is all well ------------------------------------------------------------------------------------------------

    def checks(self) -> Sequence[Check]:
        stalled = self._stalled()
        found = [
            Check("loops", not stalled, stalled or "all go round"),
            self.reloader.check(),
            self._switchboard.check(),
            Check("pages", True, self.pager.standing),
            Check("version", not self._left_to_newer(), "; ".join(self._left_to_newer().values()) or "none is newer"),
        ]
        if self._replicated():
            found.append(Check("replicas", True, self._replicated()))
        if self._heartbeat is not None:
            found.append(Check("heartbeat", True, self._heartbeat.standing))
        if self._slack is not None:
            found.append(self._slack.check())
        return found

    def _stalled(self) -> str:
        seconds = self.runtime.heartbeat.oldest_seconds()
        return f"one has not gone round for {seconds:.1f} s" if seconds >= STALLED_SECONDS else ""

    async def unwell(self) -> str:
        """Why nobody should rely on this replica now, or ""; the outgoing heartbeat asks."""
        problem = self._stalled() or self.pager.problem
        if problem:
            return problem
        try:
            async with asyncio.timeout(WRITABLE_SECONDS):
                await self._store.check_writable()
        except TimeoutError:
            return f"no durable write within {WRITABLE_SECONDS:g} s"
        except StoreError as error:
            return str(error)
        return ""

    # --- the other Services -----------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        return self._store

    @property
    def archive(self) -> Archive:
        return self._archive

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
        people = self.roster()
        person = people.by_uid(uid)
        if person is None:
            try:
                person = people.by_os_user(pwd.getpwuid(uid).pw_name)
            except KeyError:  # a uid without a login name, as in many containers
                return None
        return person.id if person is not None else None

    def roster(self) -> PeopleDocument:
        people = self._floor.loaded.people
        return people if self._slack is None else self._slack.members.complete(people)

    def order_plan(self, system: str, action: str, component: str, arguments: Mapping[str, Any], reason: str) -> Plan:
        return ordering.plan(
            self._floor.catalogue, self._floor.loaded.targets, self.roster(), system=system, action=action,
            component=component, arguments=arguments, reason=reason, now=self._clock.now(),
        )  # fmt: skip

    async def inspect(self, system: str, plan: Plan) -> Inspection:
        return await ordering.look(self._floor.catalogue, self._connectors, system, plan, self._clock.now())

    def policies(self) -> Sequence[Plan]:
        return self.engine.book.policies()

    def policy_fingerprint(self) -> str:
        return self.engine.book.fingerprint

    def components(self) -> Sequence[Component]:
        return self._connectors.components

    async def tell(self, shard: str, to: AggregateId, event: Event) -> Decision:
        return await self.engine.tell(shard, to, event)
