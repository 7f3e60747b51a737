"""A trading system's API that notes when each request arrives. Started by `tests.bench.house`, alone in its process.

Paths begin with a lane (`/lane-07/api/risk/…`), each lane a component of its own. Kelly reads 0.25 until a request cuts
it; the next read shows the cut (that is Andon's read-back), and then it is 0.25 again for the lane's next incident.
Protocol of the process: its port on stdout; the line `arrivals` on stdin is answered with `{seq: CLOCK_MONOTONIC ns}`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

import uvloop

BEFORE, AFTER = 0.25, 0.1
SEQ = re.compile(rb"seq (\d{8})")


class Ledger:
    """What arrived, and which lanes were cut and not read since."""

    def __init__(self) -> None:
        self.arrivals: dict[str, int] = {}
        self.cut: set[bytes] = set()


class Api(asyncio.Protocol):
    """One connection. Knows enough HTTP for a client that sends one small request at a time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._buffer = b""
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        arrived = time.monotonic_ns()
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._buffer = b""
        method, path, _ = head.split(b" ", 2)
        answer = self._answer(method, path.split(b"/")[1], body, arrived)
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        self._transport.write(reply % (len(answer), answer))  # type: ignore[union-attr]  # it is a stream transport

    def _answer(self, method: bytes, lane: bytes, body: bytes, arrived: int) -> bytes:
        if method == b"POST":
            found = SEQ.search(body)
            if found is not None:
                self._ledger.arrivals.setdefault(found[1].decode(), arrived)
            self._ledger.cut.add(lane)
            return b'{"status":"ok"}'
        kelly = AFTER if lane in self._ledger.cut else BEFORE
        self._ledger.cut.discard(lane)
        return json.dumps({"kelly_fraction": kelly, "var": 1.93, "at": time.time()}).encode()  # noqa: TID251


async def serve() -> None:
    """Serve until stdin ends."""
    ledger = Ledger()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Api(ledger), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "arrivals":
            print(json.dumps(ledger.arrivals), flush=True)
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
