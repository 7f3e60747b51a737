"""Processes of a run: the targets' one, and a worker's successive lives on one data directory.

Used by `tests.crash.round`. A worker dies by SIGKILL, sent to its own process id; the embedded store behind it lives
on, as on a real host. The next life takes it over, or an heir uses it: another replica with a journal of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
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
START_SECONDS = 60.0  # a worker that has not opened its doors by then is broken; two share two processors with others
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
async def target_process(folder: Path, seed: str) -> AsyncIterator[Target]:
    """The trading systems until the block ends."""
    ledger = folder / "ledger.jsonl"
    ledger.touch()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.crash.target", str(ledger), seed, cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), START_SECONDS))
        async with aiohttp.ClientSession(timeout=CONTROL) as session:
            yield Target(port, ledger, session)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


class BrokenWorker(Exception):
    """A worker that did not start, or ended by itself."""


@dataclass(slots=True)
class Life:
    """One worker from its start to its death, with CLOCK_MONOTONIC ns of each; `killed_at` 0 while it lives."""

    number: int
    process: asyncio.subprocess.Process
    notes: Path
    log: Path
    begun_at: int
    address: str = ""
    opened_at: int = 0
    killed_at: int = 0

    def noted(self, what: str = "") -> int:
        """How many notes it has written (of this kind)."""
        return notes.count(self.notes, what)

    def check(self) -> None:
        """Raises BrokenWorker when it is gone without having been killed."""
        if self.process.returncode is not None and not self.killed_at:
            tail = self.log.read_text(errors="replace")[-2_000:]
            raise BrokenWorker(f"a worker ended by itself with code {self.process.returncode}:\n{tail}")

    async def kill(self) -> None:
        """SIGKILL."""
        self.check()
        self.killed_at = time.monotonic_ns()
        self.process.kill()
        await self.process.wait()

    async def end(self) -> None:
        """SIGTERM, and SIGKILL if it does not end in time."""
        if self.process.returncode is None:
            self.process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
                return
            self.process.kill()
            await self.process.wait()


class Workers:
    """The lives of one worker."""

    def __init__(self, folder: Path, config: Path, pager: str) -> None:
        self._folder = folder
        self._pager = pager
        self._environment = {
            **os.environ,
            "ANDON_CONFIG": str(config),
            "ANDON_DATA_DIR": str(self.data),
            "ANDON_LOG_FORMAT": "json",
            "ANDON_LOG_LEVEL": "warning",
            "PYTHONPATH": str(ROOT),
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
        number = len(self.lives) + 1
        written, log = self._folder / f"notes-{number}", self._folder / f"log-{number}"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.crash.worker", str(written), self._pager, *([point] if point else []),
                cwd=ROOT, env=self._environment, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=out,
            )  # fmt: skip
        self.lives.append(Life(number, process, written, log, time.monotonic_ns()))
        return self.now

    async def opened(self) -> Life:
        """Wait until the newest life has opened its doors. Raises BrokenWorker."""
        life = self.now
        assert life.process.stdout is not None
        try:
            line = await asyncio.wait_for(life.process.stdout.readline(), START_SECONDS)
        except TimeoutError:
            raise BrokenWorker(f"a worker did not open its doors within {START_SECONDS:g} s") from None
        if not line:
            await life.process.wait()
            life.check()
        life.address, life.opened_at = line.decode().strip(), time.monotonic_ns()
        return life

    async def close(self) -> None:
        """End the newest life in order, and the store behind it."""
        if self.lives:
            await self.now.end()
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
