"""The load generator: one process, keep-alive connections, requests encoded beforehand, replies barely looked at.

`python -m tests.bench.load` reads one JSON `Order` from stdin, drives the server and prints one JSON result. It is the
same for the parse floor, the naive server and Andon, so what differs is the server. Started by `tests.bench.lab`.

Two manners: *closed* (each connection sends its next request when the last was answered; for throughput) and *open*
(a request every 1/rate seconds whatever the server does; its latency counts from the moment it was due, so a stalled
server cannot hide behind requests that were never sent).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import uvloop

from tests.bench.payloads import Requests, Shape

TICK = 0.001  # seconds between looks at what is due in the open manner; uvloop's timers are no finer


@dataclass(frozen=True, slots=True)
class Order:
    """What to drive: `count` requests, or as many as fit into `seconds`; `rate` 0 means the closed manner."""

    port: int
    path: str = "/webhooks/alertmanager"
    headers: tuple[str, ...] = ()
    shape: dict[str, Any] = field(default_factory=dict)
    connections: int = 32
    seconds: float = 2.0
    count: int = 0
    rate: float = 0.0
    first: int = 0


@dataclass(frozen=True, slots=True)
class Driven:
    """What came of it. Latencies in milliseconds; `answers` counts replies by status class ("2xx": 40312)."""

    requests: int
    seconds: float
    answers: dict[str, int]
    p50_ms: float
    p99_ms: float
    started_ns: int = 0  # CLOCK_MONOTONIC, shared by all processes of the machine
    sent_ns: tuple[int, ...] = ()  # open manner only: when each request left, by number

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds


class _Connection(asyncio.Protocol):
    """One keep-alive connection. It knows where a reply ends and nothing else about HTTP."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        self._buffer = b""
        self.transport: asyncio.Transport | None = None
        self.since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's

    def send(self, request: bytes, since: float) -> None:
        assert self.transport is not None
        self.since = since
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or len(buffer) < end + 4 + _content_length(buffer[:end]):
            self._buffer = buffer
            return
        self._buffer = b""
        self._driver.answered(self, buffer[9:12])

    def connection_lost(self, exc: Exception | None) -> None:
        self._driver.lost(exc)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    if at < 0:
        return 0
    return int(head[at + 15 :].split(b"\r\n", 1)[0])


class _Driver:
    """Hands requests to connections and keeps the figures."""

    def __init__(self, order: Order, requests: Requests) -> None:
        self._order = order
        self._requests = requests
        self._loop = asyncio.get_running_loop()
        self._total = order.count or int(order.rate * order.seconds)  # 0: as many as fit
        self._next = 0
        self._answered = 0
        self._answers: dict[str, int] = {}
        self._latencies: list[float] = []
        self._sent: list[int] = []
        self._idle: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._start = 0.0
        self._end = 0.0
        self._stopping = False
        self.finished: asyncio.Future[None] = self._loop.create_future()

    def _all_sent(self) -> bool:
        if self._total:
            return self._next >= self._total
        return time.perf_counter() >= self._end

    def _issue(self, connection: _Connection, since: float) -> None:
        number = self._next
        self._next = number + 1
        if self._order.rate:
            self._sent.append(time.monotonic_ns())
        connection.send(self._requests.make(number), since)

    def answered(self, connection: _Connection, status: bytes) -> None:
        now = time.perf_counter()
        self._latencies.append(now - connection.since)
        answer = status[:1].decode() + "xx"
        self._answers[answer] = self._answers.get(answer, 0) + 1
        self._answered += 1
        if self._order.rate:
            if self._due:
                self._issue(connection, self._due.popleft())
            else:
                self._idle.append(connection)
        elif not self._all_sent():
            self._issue(connection, now)
        if self._answered == self._next and self._all_sent() and not self._due and not self.finished.done():
            self.finished.set_result(None)

    def lost(self, exc: Exception | None) -> None:
        if not self._stopping and not self.finished.done():
            self.finished.set_exception(ConnectionError(f"the server closed a connection: {exc}"))

    def _tick(self, issued: int) -> None:
        now = time.perf_counter()
        due = min(self._total, int((now - self._start) * self._order.rate) + 1)
        for _ in range(due - issued):
            if self._idle:
                self._issue(self._idle.popleft(), now)
            else:
                self._due.append(now)
        if due < self._total:
            self._loop.call_later(TICK, self._tick, due)

    async def run(self) -> Driven:
        connections: list[_Connection] = []
        for _ in range(self._order.connections):
            _, connection = await self._loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._order.port)
            connections.append(connection)
        started_ns = time.monotonic_ns()
        self._start = time.perf_counter()
        self._end = self._start + self._order.seconds
        if self._order.rate:
            self._idle.extend(connections)
            self._tick(0)
        else:
            for connection in connections:
                if not self._all_sent():
                    self._issue(connection, self._start)
        await self.finished
        seconds = time.perf_counter() - self._start
        self._stopping = True
        for connection in connections:
            assert connection.transport is not None
            connection.transport.abort()
        ranked = sorted(self._latencies)
        return Driven(
            requests=self._answered,
            seconds=seconds,
            answers=self._answers,
            p50_ms=percentile(ranked, 0.50) * 1000,
            p99_ms=percentile(ranked, 0.99) * 1000,
            started_ns=started_ns,
            sent_ns=tuple(self._sent),
        )


def percentile(ranked: list[float], share: float) -> float:
    """The value below which `share` of the ranked values lie (nearest rank)."""
    if not ranked:
        return float("nan")
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))]


async def drive(order: Order) -> Driven:
    """Drive one order to its end."""
    requests = Requests(Shape(**order.shape), order.path, order.headers, order.first)
    return await _Driver(order, requests).run()


def main() -> None:
    """Read the order, drive it, print the result."""
    order = Order(**json.loads(sys.stdin.read()))
    print(json.dumps(asdict(uvloop.run(drive(order)))))


if __name__ == "__main__":
    main()
