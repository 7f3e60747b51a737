"""`python pinger.py HOST:PORT`: how long a PING takes, 99th percentile of the last second, one JSON line a quarter.

Started by `bot.sandbox.probe` as a file, without the package and in a process of its own: what it measures is the
server and the way to it, not how busy the sandbox's own event loop is. Another `HOST:PORT` on standard input moves it
there; the end of standard input ends it. A line is {"address", "p99_us"}; null where nobody answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
from collections import deque

PERIOD = 0.004  # seconds between two PINGs
WINDOW = 1.0  # seconds that the percentile looks back: some 250 PINGs to a quick server, 20 to a slow one
EVERY = 0.25  # seconds between two lines
PATIENCE = 1.0  # seconds for one answer
FEWEST = 5  # PINGs that make a percentile: all that a server answers in a second which takes 200 ms for each


class Pinger:
    """One connection, and the round trips of the last second."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: socket.socket | None = None
        self._trips: deque[tuple[float, float]] = deque()

    def move(self, address: str) -> None:
        """Measure another server from now on."""
        self._address = address
        self._lost()

    def ping(self) -> None:
        """One round trip; an error is an empty second."""
        try:
            connection = self._connected()
            began = time.perf_counter()
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
            ended = time.perf_counter()
        except OSError:
            self._lost()
            return
        if not answer:
            self._lost()
            return
        self._trips.append((ended, ended - began))
        while self._trips[0][0] < ended - WINDOW:
            self._trips.popleft()

    def line(self) -> str:
        """What was measured."""
        trips = sorted(trip for _, trip in self._trips)
        p99 = round(trips[max(0, -(-len(trips) * 99 // 100) - 1)] * 1_000_000) if len(trips) >= FEWEST else None
        return json.dumps({"address": self._address, "p99_us": p99})

    def _connected(self) -> socket.socket:
        if self._connection is None:
            host, _, port = self._address.rpartition(":")
            self._connection = socket.create_connection((host, int(port)), PATIENCE)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def _lost(self) -> None:
        self._trips.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def run(address: str) -> None:
    """Measure until standard input ends."""
    pinger = Pinger(address)
    told = time.perf_counter()
    while True:
        if select.select([sys.stdin.fileno()], [], [], PERIOD)[0]:
            words = os.read(sys.stdin.fileno(), 4_096).decode().split()
            if not words:
                return
            pinger.move(words[-1])
        pinger.ping()
        if time.perf_counter() - told >= EVERY:
            told = time.perf_counter()
            sys.stdout.write(pinger.line() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):  # whoever listened is gone
        run(sys.argv[1])
