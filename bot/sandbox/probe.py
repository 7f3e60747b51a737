"""The floor's own measure of its Redis: p99 of real PINGs to the primary, in microseconds (`redis_latency_p99`).

Runs `pinger` as a child and follows the primary with it. `assembly` gives it a task; `api_state` exports the gauge, and
the sandbox's own alert rule listens. Under a simulated network fault the PINGs go by way of a delaying `Wire`, as
everything between the trading services and Redis would; Andon's own way to the servers stays as it is.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from bot.sandbox.children import TETHER

_PINGER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("pinger.py")))

Listener = Callable[[float | None], Awaitable[None]]


class Probe:
    """The last p99, and where it was measured. One event loop owns it."""

    def __init__(self, address: str) -> None:
        self.p99_us: float | None = None  # None: not measured, or nobody answers
        self._address = address
        self._process: asyncio.subprocess.Process | None = None
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell `listener` every measure, four times a second (the sandbox's own alerts hang here)."""
        self._listeners.append(listener)

    def aim(self, address: str) -> None:
        """Measure the server at `address` from now on."""
        self._address = address
        self.p99_us = None
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{address}\n".encode())

    async def run(self) -> None:
        """Measure for ever; the child is ended with this task."""
        process = await asyncio.create_subprocess_exec(
            *TETHER, str(os.getpid()), *_PINGER, self._address,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                measured = json.loads(line)
                if measured["address"] != self._address:  # measured before it was aimed elsewhere
                    continue
                self.p99_us = measured["p99_us"]
                for listener in self._listeners:
                    await listener(self.p99_us)
            raise RuntimeError("the process that measures Redis has ended")
        finally:
            process.stdin.close()
            if process.returncode is None:
                process.terminate()
            await process.wait()
