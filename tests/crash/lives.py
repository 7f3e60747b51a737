"""Processes of a run: the targets' one, the nursery, and a worker's successive lives on one data directory.

Used by `tests.crash.round`. A worker dies by SIGKILL, sent to its own process id; the embedded store behind it lives
on, as on a real host. The next life takes it over, or an heir uses it: another replica with a journal of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bot.adapters.embedded import EmbeddedValkey
from tests.crash import notes
from tests.crash.lanes import SYSTEM

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = (
    180.0  # a worker that has not opened its doors by then is broken; on a busy machine one may take a minute
)
STOP_SECONDS = 30.0  # SIGTERM to the end, as the runtime drains for 15 s
POLL = 0.005  # seconds between looks at what another process does
CONTROL = aiohttp.ClientTimeout(total=10.0)


@dataclass(slots=True)
class Target:
    """The trading systems' process."""

    port: int
    ledger: Path
    session: aiohttp.ClientSession

    def url(self, round_name: str) -> str:
        """Where a round's components are."""
        return f"http://127.0.0.1:{self.port}/{round_name}"

    async def order(self, round_name: str, word: str) -> dict[str, int]:
        """Tell it something; its counts of requests that arrived and that are held back."""
        async with self.session.post(f"http://127.0.0.1:{self.port}/control/{round_name}/{word}") as answer:
            counts: dict[str, int] = await answer.json()
            return counts


@asynccontextmanager
async def _module(name: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m name`, which ends with its stdin, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", name, *arguments, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _number(process: asyncio.subprocess.Process) -> int:
    """The number that it prints next."""
    assert process.stdout is not None
    return int(await asyncio.wait_for(process.stdout.readline(), START_SECONDS))


@asynccontextmanager
async def target_process(folder: Path, seed: str) -> AsyncIterator[Target]:
    """The trading systems until the block ends."""
    ledger = folder / "ledger.jsonl"
    ledger.touch()
    async with _module("tests.crash.target", str(ledger), seed) as process:
        port = await _number(process)
        async with aiohttp.ClientSession(timeout=CONTROL) as session:
            yield Target(port, ledger, session)


class Nursery:
    """The process that workers are forked from."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    async def bear(self, arguments: Sequence[str], environment: Mapping[str, str], out: Path, log: Path) -> int:
        """A worker's process id."""
        asked = {"arguments": arguments, "environment": environment, "out": str(out), "log": str(log)}
        async with self._turn:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            return await _number(self._process)


@asynccontextmanager
async def nursery_process() -> AsyncIterator[Nursery]:
    """The nursery until the block ends."""
    async with _module("tests.crash.nursery") as process:
        yield Nursery(process)


class BrokenWorker(Exception):
    """A worker that did not start, or ended by itself."""


@dataclass(slots=True)
class Life:
    """One worker from its start to its death, with CLOCK_MONOTONIC ns of each; `killed_at` 0 while it lives."""

    process: int  # a pidfd, so that no signal ever goes to somebody else
    notes: Path
    out: Path
    log: Path
    begun_at: int
    address: str = ""
    opened_at: int = 0
    killed_at: int = 0

    def noted(self, what: str = "") -> int:
        """How many notes it has written (of this kind)."""
        return notes.count(self.notes, what)

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return bool(select.select([self.process], [], [], 0)[0])

    def check(self) -> None:
        """Raises BrokenWorker when it is gone without having been killed."""
        if not self.killed_at and self.gone:
            tail = self.log.read_text(errors="replace")[-2_000:]
            raise BrokenWorker(f"a worker ended by itself:\n{tail}")

    async def kill(self) -> None:
        """SIGKILL."""
        self.check()
        self.killed_at = time.monotonic_ns()
        signal.pidfd_send_signal(self.process, signal.SIGKILL)
        await self._ended(STOP_SECONDS)

    async def end(self) -> None:
        """SIGTERM, and SIGKILL if it does not end in time."""
        if not self.gone:
            signal.pidfd_send_signal(self.process, signal.SIGTERM)
            if not await self._ended(STOP_SECONDS):
                signal.pidfd_send_signal(self.process, signal.SIGKILL)
                await self._ended(STOP_SECONDS)

    async def _ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.gone and time.monotonic() < deadline:
            await asyncio.sleep(POLL)
        return self.gone


class Workers:
    """The lives of one worker."""

    def __init__(self, nursery: Nursery, folder: Path, config: Path, pager: str) -> None:
        self._nursery = nursery
        self._folder = folder
        self._pager = pager
        self._environment = {
            "ANDON_CONFIG": str(config),
            "ANDON_DATA_DIR": str(self.data),
            "ANDON_LOG_FORMAT": "json",
            "ANDON_LOG_LEVEL": "warning",
        }
        self.lives: list[Life] = []

    @property
    def data(self) -> Path:
        """The data directory that all lives share."""
        return self._folder / "data"

    @property
    def now(self) -> Life:
        """The newest life."""
        return self.lives[-1]

    def bequeath(self) -> None:
        """Let the next life be another replica: it has the seal key and the way to the store, and no journal."""
        heir = self._folder / "heir"
        heir.mkdir(mode=0o700)
        shutil.copy(self.data / "seal.key", heir)
        url = EmbeddedValkey(self.data).url
        self._environment |= {"ANDON_DATA_DIR": str(heir), "ANDON_STORE_URL": url, "ANDON_REPLICA": "heir"}

    async def begin(self, point: str = "") -> Life:
        """Start the next life; it may not have opened its doors yet."""
        written, out, log = (self._folder / f"{name}-{len(self.lives) + 1}" for name in ("notes", "out", "log"))
        began = time.monotonic_ns()
        arguments = [str(written), self._pager, *([point] if point else [])]
        pid = await self._nursery.bear(arguments, self._environment, out, log)
        self.lives.append(Life(os.pidfd_open(pid), written, out, log, began))
        return self.now

    async def opened(self) -> Life:
        """Wait until the newest life has opened its doors. Raises BrokenWorker."""
        life = self.now
        deadline = time.monotonic() + START_SECONDS
        while not (life.out.exists() and life.out.read_text().endswith("\n")):
            life.check()
            if time.monotonic() > deadline:
                raise BrokenWorker(f"a worker did not open its doors within {START_SECONDS:g} s")
            await asyncio.sleep(POLL)
        life.address, life.opened_at = life.out.read_text().strip(), time.monotonic_ns()
        return life

    async def close(self) -> None:
        """End the newest life in order, and the store behind it."""
        if self.lives:
            await self.now.end()
        for life in self.lives:
            os.close(life.process)
        with suppress(OSError, ValueError):  # the store's own pid file; gone when it ended with its worker
            os.kill(int((self.data / "valkey" / "valkey.pid").read_text()), signal.SIGTERM)


async def waiting(data: Path) -> int | None:
    """Entries in the inbox and effects in the outbox that are not done; None while the store does not answer."""
    client = Redis(unix_socket_path=EmbeddedValkey(data).url.removeprefix("unix://"), socket_timeout=1.0)
    try:
        return sum([int(await client.xlen(f"andon:{{{SYSTEM}}}:{queue}")) for queue in ("inbox", "outbox")])
    except (RedisError, OSError):
        return None
    finally:
        await client.aclose()
