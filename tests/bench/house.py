"""The whole of Andon, as it is shipped: `andon serve` in its own process, configured for the bench.

Used by `tests.bench.path` and `tests.bench.latency`. Progress is read from the lengths of the streams in the embedded
store, which costs it next to nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from bot.adapters.embedded import EmbeddedValkey
from bot.sandbox.ports import free_port
from tests.bench.lab import ROOT, START_SECONDS

SYSTEM = "bench"
LANES = 50  # components that are acted on in turn, so that no incident waits for another one's slot
POLL = 0.02  # seconds between looks at the streams


@dataclass(frozen=True, slots=True)
class House:
    """A running Andon."""

    port: int
    pid: int
    store: redis.Redis

    def cpu_seconds(self) -> float:
        """Processor time Andon's own process has used (the store's is not in it). NaN where there is no /proc."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return float("nan")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc(5)

    def waiting(self) -> int:
        """Entries in the inbox and effects in the outbox that are not done."""
        inbox: Any = self.store.xlen(f"andon:{{{SYSTEM}}}:inbox")
        outbox: Any = self.store.xlen(f"andon:{{{SYSTEM}}}:outbox")
        return int(inbox) + int(outbox)

    def open_incidents(self) -> int:
        """Incidents not closed."""
        count: Any = self.store.zcard(f"andon:{{{SYSTEM}}}:open")
        return int(count)

    def settle(self, seconds: float) -> int:
        """Wait until nothing waits; CLOCK_MONOTONIC ns of that moment. TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.waiting():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.waiting()} entries still wait after {seconds:g} s")
            time.sleep(POLL)
        return time.monotonic_ns()


def _documents(policies: list[Mapping[str, Any]], target_port: int) -> dict[str, Any]:
    component = {
        "role": "risk",
        "connector": "http",
        "allow": ["POST /api/risk/emergency-reduce", "GET /api/risk/status"],
        "read": {"kelly_fraction": {"http": "/api/risk/status", "json": "kelly_fraction"}},
        "floors": {"kelly_fraction": 0.05},
    }
    components = [
        {"name": f"lane-{lane:02d}", "url": f"http://127.0.0.1:{target_port}/lane-{lane:02d}", **component}
        for lane in range(LANES)
    ]
    return {
        "andon.yaml": {
            "systems": [SYSTEM],
            "routes": [{"receiver": "andon", "system": SYSTEM}],
            "armed": [policy["name"] for policy in policies],
            "budget": {"limit": 250, "within": "1s", "reserve": 0},
            "policies": ["policies.yaml"],
            "listen": {"host": "127.0.0.1", "port": free_port()},
        },
        "people.yaml": {"people": []},
        "targets.yaml": {"systems": {SYSTEM: {"components": components}}},
        "policies.yaml": {
            "system": SYSTEM,
            "labels": ["seq", "lane", "symbol"],
            "oncall": {"service": "trading-oncall"},
            "policies": policies,
        },
    }


@contextmanager
def andon(
    folder: Path,
    policies: list[Mapping[str, Any]],
    *,
    target_port: int = 9,
    instead: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[House]:
    """`andon serve` with these policies until the block ends; `instead`: by file, top-level keys that differ."""
    folder.mkdir(parents=True)
    documents = _documents(policies, target_port)
    for name, keys in (instead or {}).items():
        documents[name] |= keys
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))  # JSON is YAML
    port = documents["andon.yaml"]["listen"]["port"]
    data = folder / "data"
    environment = {
        **os.environ,
        "ANDON_CONFIG": str(folder / "andon.yaml"),
        "ANDON_DATA_DIR": str(data),
        "ANDON_LOG_FORMAT": "json",
        "ANDON_LOG_LEVEL": "warning",
        "PYTHONPATH": str(ROOT),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.cli", "serve"],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            _ready(port, process, folder / "log")
            with redis.Redis.from_url(EmbeddedValkey(data).url) as store:
                yield House(port, process.pid, store)
        finally:
            process.terminate()
            try:
                process.wait(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"andon serve ended with code {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL)
    raise RuntimeError(f"andon serve is not ready after {START_SECONDS:g} s:\n{log.read_text()[-2000:]}")
