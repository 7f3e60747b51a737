"""What the live demo knows and does: it watches the sandbox and the bot, and carries out what a key asked for.

Made by `bot.demo.live`, which draws `scene()` and passes keys to `press`. Every wish runs on its own, in order;
whatever a wish leads to is seen through the same API and ledger as everything else.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from itertools import cycle
from typing import Any

import aiohttp

from bot.demo import faults
from bot.demo.config import APPROVER, PERSON, SYSTEM
from bot.demo.faults import BAD_FAULT_PCT, FAULT_PCT, Fault
from bot.demo.stage import DemoError, Stage
from bot.demo.view import HISTORY, Card, Floor, Scene, Waiting
from bot.sandbox.children import Unmet
from bot.sandbox.faults import CAUSES
from bot.sandbox.model import BASELINE_KELLY
from bot.sandbox.router import PATTERNS

SYSTEM_SECONDS = 0.25  # between looks at the sandbox: one bar of a sparkline
BOT_SECONDS = 0.4  # between looks at the bot's API
CORPSE_SECONDS = 1.0  # a killed bot stays dead this long, for people to see
STUCK = ("parked", "awaiting_approval")  # where an incident waits for people, and a second fault would only join it
MAX_NOTES = 20


class Show:
    """The state behind the picture."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._var: dict[str, deque[float]] = {}
        self._cards: tuple[Card, ...] = ()
        self._kelly = BASELINE_KELLY
        self._effects = 0
        self._requests = 0
        self._frozen = False
        self._slack_down = False
        self._trading = True
        self._waiting: tuple[Waiting, ...] = ()
        self._bot = "running"
        self._alerts_by = "sandbox"
        self._notes: deque[str] = deque(maxlen=MAX_NOTES)
        self._wishes: asyncio.Queue[str] = asyncio.Queue(maxsize=8)  # nobody means more keys than that at once
        self._faults = 0
        self._floor: Floor | None = None
        self._patterns, self._causes = cycle(PATTERNS), cycle(CAUSES)
        self.keys: Mapping[str, Callable[[], Awaitable[None]]] = {
            "v": self.break_var,
            "w": self.break_badly,
            "s": self.break_router,
            "l": self.break_redis,
            "r": self.cut_replica_or_not,
            "a": self.approve,
            "d": self.deny,
            "t": self.take,
            "c": self.calm,
            "f": self.freeze_or_not,
            "o": self.break_slack_or_not,
            "k": self.kill,
            "b": self.break_audit,
        }

    @property
    def cards(self) -> tuple[Card, ...]:
        """Incidents as last seen, newest first."""
        return self._cards

    def scene(self) -> Scene:
        """Everything, as the view wants it."""
        return Scene(
            now=self._stage.clock.now(),
            scale=self._stage.scale,
            alerts_by=self._alerts_by,
            bot=self._bot,
            frozen=self._frozen,
            kelly_before=BASELINE_KELLY,
            kelly=self._kelly,
            var={symbol: tuple(values) for symbol, values in self._var.items()},
            effects=self._effects,
            requests=self._requests,
            trading=self._trading,
            floor=self._floor,
            cards=self._cards,
            waiting=self._waiting,
            socket=str(self._stage.place.socket),
            slack=self._stage.slack_page,
            slack_down=self._slack_down,
            notes=tuple(self._notes),
        )

    def press(self, key: str) -> None:
        """Remember a wish; keys that mean nothing, and too many of them, are dropped."""
        if key in self.keys and not self._wishes.full():
            self._wishes.put_nowait(key)

    async def fulfil(self) -> None:
        """Carry out wishes, one after another, for ever."""
        while True:
            key = await self._wishes.get()
            try:
                await self.keys[key]()
            except (DemoError, Unmet, aiohttp.ClientError, OSError) as problem:
                self._note(str(problem).splitlines()[0])

    async def watch_system(self) -> None:
        """Look at the sandbox, for ever."""
        while True:
            status = await self._stage.sandbox("GET", "/api/risk/status")
            self._kelly = status["kelly_fraction"]
            self._trading = status["trading"] == "on"
            for symbol, value in status["var_pct"].items():
                self._var.setdefault(symbol, deque(maxlen=HISTORY)).append(value)
            self._floor = _floor(
                await self._stage.sandbox("GET", "/api/router/status"), await self._stage.sandbox("GET", "/redis")
            )
            self._effects = len(await self._stage.effects())
            self._requests = len(await self._stage.requests())
            self._alerts_by = (await self._stage.sandbox("GET", "/alerts"))["by"]
            await asyncio.sleep(SYSTEM_SECONDS)

    async def watch_bot(self) -> None:
        """Look at the bot, for ever; while it is dead, the last picture stays."""
        while True:
            try:
                self._cards = await self._stage.cards()
                self._waiting = await self._stage.waiting()
                systems = (await self._stage.api("GET", "/status"))["systems"]
                self._frozen = any(line["automation"]["state"] == "frozen" for line in systems)
                self._bot = "running"
            except (DemoError, aiohttp.ClientError, OSError):
                self._bot = "recovering" if self._stage.bot_pid else "killed"
            await asyncio.sleep(BOT_SECONDS)

    # --- wishes ---------------------------------------------------------------------------------------------------

    async def break_var(self) -> None:
        """[v]: the next symbol's VaR jumps; Kelly's cut will be enough."""
        await self._break(FAULT_PCT)

    async def break_badly(self) -> None:
        """[w]: it jumps so high that the cut is not enough, and after five minutes a person must decide."""
        await self._break(BAD_FAULT_PCT)

    async def _break(self, var_pct: float) -> None:
        """The next symbol's VaR jumps. A Kelly cut before is first taken back, as a person would."""
        stuck = next((card for card in self._cards if card.status in STUCK), None)
        if stuck is not None:
            self._note(f"{stuck.id} still waits for people; c lets the desk calm it, then break the next thing")
            return
        symbols = sorted(self._var)
        symbol = symbols[self._faults % len(symbols)] if symbols else "BTC-USD"
        self._faults += 1
        if self._kelly != BASELINE_KELLY:
            await self._stage.calm()
            self._note(f"the desk put Kelly back to {BASELINE_KELLY:g}: Andon never raises it by itself")
        await self._stage.inject(symbol, var_pct)
        self._note(f"VaR of {symbol} jumps to {var_pct} %")

    async def break_router(self) -> None:
        """[s]: the router switches too often, in the next of four patterns."""
        await self.inject(faults.fault(f"switching:{next(self._patterns)}"))

    async def break_redis(self) -> None:
        """[l]: the Redis primary is slow, for the next of four causes."""
        await self.inject(faults.fault(f"latency:{next(self._causes)}"))

    async def cut_replica_or_not(self) -> None:
        """[r]: the replica is cut off from its primary, or follows it again."""
        stale = self._floor is not None and self._floor.replica_state != "up"
        await self._stage.sandbox("POST", "/faults/replica", {"state": "up" if stale else "stale"})
        self._note("the replica follows again" if stale else "the replica is cut off: l, and the failover is refused")

    async def inject(self, fault: Fault) -> None:
        """Break it, and say what is to be seen."""
        await faults.inject(self._stage, fault)
        self._note(f"{fault.what}: {fault.see}")

    async def approve(self) -> None:
        """[a]: a second person says yes to what waits."""
        await self._decide("approve")

    async def deny(self) -> None:
        """[d]: a second person says no."""
        await self._decide("deny")

    async def _decide(self, verdict: str) -> None:
        if not self._waiting:
            self._note("nothing waits for a decision; w breaks something badly enough, and five minutes later it does")
            return
        told = await self._stage.decide(verdict, self._waiting[0], person=APPROVER)
        self._note(f"{APPROVER}: {told}")

    async def take(self) -> None:
        """[t]: "I have it": automation stands down on the newest incident that is open."""
        open_ = next((card for card in self._cards if card.status not in ("resolved", "closed")), None)
        if open_ is None:
            self._note("no incident is open that you could take")
            return
        answer = await self._stage.api("POST", f"/incidents/{open_.id}/take")
        self._note(f"{open_.id}: {answer['decisions'][0]['why']}")

    async def calm(self) -> None:
        """[c]: the desk puts everything back; the incident then resolves by itself, on fresh evidence."""
        await self._stage.calm()
        self._note(
            "the desk put everything back: no fault, Kelly at its baseline, trading and router on; Redis stays put"
        )

    async def freeze_or_not(self) -> None:
        """[f]: automation off, or on again."""
        if self._frozen:
            await self._stage.api("POST", "/unfreeze", {"system": SYSTEM})
            self._note("automation is on again; what was denied meanwhile does not start by itself: c calms it")
        else:
            reason = "demo: what happens while automation is off"
            await self._stage.api("POST", "/freeze", {"system": SYSTEM, "reason": reason})
            self._note(f"frozen by {PERSON}: alerts are taken in, nothing is done, people are paged")

    async def break_slack_or_not(self) -> None:
        """[o]: Slack is down, or back."""
        down = not self._slack_down
        await self._stage.slack("/control/faults", {"outage": "cut" if down else ""})
        self._slack_down = down
        self._note(
            "Slack is down: Andon acts, asks and pages all the same; approve with a, or from another terminal"
            if down
            else "Slack is back: within ten seconds its cards show what is, nothing twice"
        )

    async def kill(self) -> None:
        """[k]: kill -9, a moment of silence, and a new process on the same data."""
        pid = await self._stage.kill_bot()
        self._bot = "killed"
        self._note(f"kill -9 {pid}: alerts are retried until somebody is there to take them")
        await asyncio.sleep(CORPSE_SECONDS)
        self._bot = "recovering"
        await self._stage.start_bot()
        self._note(f"back as process {self._stage.bot_pid}, with everything it had promised")

    async def break_audit(self) -> None:
        """[b]: edit one stored line, let verify find it, put the line back."""
        if not self._cards:
            self._note("there is no audit to break yet; press v first")
            return
        incident = self._cards[0].id
        broken = await self._stage.break_audit(incident)
        self._note(f"line {broken.index + 1} of {incident}'s audit was edited in the store, behind the bot's back")
        code, output = await self._stage.command("audit", "verify", "--json")
        self._note(f"andon audit verify: exit code {code}: {_finding(output)}")
        await self._stage.mend_audit(broken)
        code, _ = await self._stage.command("audit", "verify", "--json")
        self._note(f"put back; andon audit verify: exit code {code}")

    def _note(self, text: str) -> None:
        self._notes.append(text)


def _floor(router: Mapping[str, Any], redis: Mapping[str, Any]) -> Floor:
    """The router and Redis from what the sandbox answers."""
    return Floor(
        router=router["state"],
        owner=router["owner"],
        models=router["model"],
        switches=router["switches_per_min"],
        primary=redis["primary"],
        replica=redis["replica"],
        replica_state=redis["fault"]["replica"],
        p99_us=redis["p99_us"],
        cause=redis["fault"]["cause"],
    )


def _finding(output: str) -> str:
    """The first problem that verify names."""
    try:
        problems = json.loads(output)["problems"]
        return str(problems[0]["problem"]) if problems else "nothing found"
    except (ValueError, KeyError, IndexError, TypeError):
        return output.strip()[:200]
