"""The trading systems, alone in a process that outlives every worker: it does what it is asked, and keeps the ledger.

Started by `tests.crash.target_process` as `python -m tests.crash.target LEDGER SEED`; prints its port as its first line
and ends with its stdin. A component is a path, `/ROUND/LANE`, and answers `GET …/state` and its kind's POST:

    /api/risk/emergency-reduce   plain, absolute: Kelly becomes what was sent
    /keyed                       an order; a key that it has seen is answered as before, and nothing happens
    /fenced                      an order; a fence not above all it has seen is refused with 409
    /order                       an order, as often as it comes

and `/ROUND/pager` takes pages. The ledger has a line for every effect, every refusal and every page. Some first
requests of a lane (`LATE` of them, chosen by the seed) land late: they are received, never answered, and carried out
when `POST /control/ROUND/land` says so. Between `/control/ROUND/mute` and `/speak` requests are carried out at once,
but none is answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvloop

LATE = 0.2  # of first requests land only after the recovery
SLOWEST = 0.06  # seconds an answer takes at most: so that many are under way at any moment
KELLY = 0.25  # before anybody cuts it
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_KEY = re.compile(rb"(?i)\r\nidempotency-key: *([^\r]+)")
_FENCE = re.compile(rb"(?i)\r\nx-fence: *(\d+)")


@dataclass(slots=True)
class Lane:
    """One component's state."""

    kelly: float = KELLY
    names: list[str] = field(default_factory=list)  # orders carried out, in order
    keys: list[str] = field(default_factory=list)
    fences: list[int] = field(default_factory=list)
    requests: int = 0

    def shown(self) -> bytes:
        return json.dumps(
            {
                "kelly_fraction": self.kelly, "orders": len(self.names), "names": self.names, "keys": self.keys,
                "fences": self.fences,
            }
        ).encode()  # fmt: skip


@dataclass(slots=True)
class Round:
    """One round's components, whether they answer now, and what they hold back."""

    lanes: dict[str, Lane] = field(default_factory=dict)
    muted: bool = False
    arrived: int = 0
    late: list[Callable[[], object]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Request:
    """One POST to a lane."""

    round: str
    lane: str
    path: str
    key: str
    fence: int
    body: dict[str, object]


class TradingSystems:
    """Every round's components, and the ledger."""

    def __init__(self, ledger: int, seed: str) -> None:
        self._ledger = ledger
        self._seed = seed
        self._rounds: dict[str, Round] = {}

    def round(self, name: str) -> Round:
        return self._rounds.setdefault(name, Round())

    def lane(self, round_name: str, lane: str) -> Lane:
        return self.round(round_name).lanes.setdefault(lane, Lane())

    def write(self, what: str, round_name: str, lane: str, **more: object) -> None:
        """One line of the ledger, in the kernel when this returns."""
        line = {"at": time.monotonic_ns(), "what": what, "round": round_name, "lane": lane, **more}
        os.write(self._ledger, json.dumps(line).encode() + b"\n")

    def page(self, round_name: str, body: dict[str, object]) -> None:
        """A person was told; the page's first word is the policy's name, which is the lane's."""
        lane = str(body.get("summary", "")).partition(":")[0]
        self.write(str(body.get("event")), round_name, lane, summary=body.get("summary"), key=body.get("dedup_key"))

    def control(self, name: str, order: str) -> bytes:
        """What the run's own process asks for."""
        here = self.round(name)
        if order == "land":
            waiting, here.late = here.late, []
            for carry_out in waiting:
                carry_out()
        elif order in ("mute", "speak"):
            here.muted = order == "mute"
        return json.dumps({"arrived": here.arrived, "late": len(here.late)}).encode()

    def take(self, request: Request) -> tuple[int, bytes] | None:
        """A request has arrived. Its answer, or None when there is to be none."""
        here, lane = self.round(request.round), self.lane(request.round, request.lane)
        here.arrived += 1
        lane.requests += 1
        if lane.requests == 1 and self.chance("late", request) < LATE:
            here.late.append(partial(self._carry_out, request, late=True))
            return None
        answer = self._carry_out(request)
        return None if here.muted else answer

    def chance(self, of: str, request: Request) -> float:
        """Between 0 and 1, always the same for the same round, lane and seed."""
        return random.Random(f"{self._seed}/{of}/{request.round}/{request.lane}").random()

    def _carry_out(self, request: Request, *, late: bool = False) -> tuple[int, bytes]:
        lane = self.lane(request.round, request.lane)
        what, status = self._effect(lane, request)
        self.write(what, request.round, request.lane, key=request.key, fence=request.fence, late=late)
        return status, b'{"status":"%b"}' % what.encode()

    @staticmethod
    def _effect(lane: Lane, request: Request) -> tuple[str, int]:
        """Do it, as this kind of target does. The ledger's word for it, and the HTTP status."""
        if request.path == "/api/risk/emergency-reduce":
            wanted, before = float(str(request.body["kelly_fraction"])), lane.kelly
            lane.kelly = wanted
            return ("same", 200) if wanted == before else ("effect", 200)
        if request.path == "/keyed" and request.key in lane.keys:
            return "same", 200
        if request.path == "/fenced" and lane.fences and request.fence <= max(lane.fences):
            return "refused", 409
        lane.names.append(str(request.body.get("order")))
        lane.keys.append(request.key)
        lane.fences.append(request.fence)
        return "effect", 200


class Door(asyncio.Protocol):
    """One connection. Knows enough HTTP for clients that send one small request at a time."""

    def __init__(self, systems: TradingSystems) -> None:
        self._systems = systems
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._buffer = b""
        method, path, _ = head.split(b" ", 2)
        _, first, second, *rest = path.decode().split("/")
        if first == "control":
            self._answer(200, self._systems.control(second, rest[0]))
        elif method == b"GET":
            self._answer(200, self._systems.lane(first, second).shown())
        elif second == "pager":
            self._systems.page(first, json.loads(body))
            self._answer(200, b"{}")
        else:
            key, fence = _KEY.search(head), _FENCE.search(head)
            request = Request(
                first, second, "/" + "/".join(rest), key[1].decode() if key else "", int(fence[1]) if fence else 0,
                json.loads(body or b"{}"),
            )  # fmt: skip
            answer = self._systems.take(request)
            if answer is not None:
                wait = self._systems.chance("slow", request) * SLOWEST
                asyncio.get_running_loop().call_later(wait, self._answer, *answer)

    def _answer(self, status: int, body: bytes) -> None:
        if self._transport.is_closing():  # whoever asked is dead
            return
        reply = b"HTTP/1.1 %d -\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        self._transport.write(reply % (status, len(body), body))


async def serve(path: str, seed: str) -> None:
    """Serve until stdin ends."""
    ledger = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    systems = TradingSystems(ledger, seed)
    server = await asyncio.get_running_loop().create_server(lambda: Door(systems), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
