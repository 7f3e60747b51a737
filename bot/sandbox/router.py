"""How the simulated model router behaves: which model serves each symbol, when it switches, and that a pause ends that.

Pure but for its own state: time and the seed are arguments, like `model`. `routing` advances it and publishes every
switch to the stream; faults, a pause and a resume reach it through the HTTP API in `api_router` and `api_faults`.

A fault is one of the runbook's four symptoms of excessive switching (its root-cause table):
* `pingpong`: every symbol goes to and fro between the same two models — a bad threshold in the routing rules;
* `random`: any symbol to any model — the market is halted, or volume is low;
* `slow`: as random, and every switch takes seconds — the model server is overloaded;
* `oscillation`: one symbol only, never sure of its model (confidence below 0.6) — the confidence threshold is too low.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bot.core.words import Millis

Pattern: TypeAlias = Literal["pingpong", "random", "slow", "oscillation"]
PATTERNS: tuple[Pattern, ...] = ("pingpong", "random", "slow", "oscillation")

MODELS = ("lstm-v2", "gru-v1", "xgb-v3", "tcn-v1")
BASELINE_PER_MINUTE = 3.0  # of all symbols together; the runbook calls fewer than 15 normal
FAULT_PER_MINUTE = 60.0  # what a fault adds where it says nothing else; three times the runbook's 20
MAX_PER_MINUTE = 6_000.0  # a hundred a second: more would only measure the sandbox
MAX_AT_ONCE = 2_000  # switches of one `advance`; after a longer sleep of the process the rest never happened
MINUTE: Millis = 60_000

_SURE = (0.66, 0.93)  # confidence of a switch that the rules mean
_UNSURE = (0.50, 0.59)  # of one that a minimum of 0.6 would have kept from happening
_QUICK_MS = (15, 60)  # how long a switch takes
_SLOW_MS = (900, 3_500)
_PING, _PONG = MODELS[0], MODELS[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One change of model. `latency_ms`: how long it took; `confidence`: of the new model, 0 to 1."""

    at: Millis
    symbol: str
    from_: str
    to: str
    confidence: float
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Whether the router stands still, by whose hand, why, and since when ("" and the start: it never did)."""

    paused: bool = False
    owner: str = ""
    reason: str = ""
    since: Millis = 0


class ModelRouter:
    """The moving state. Not thread-safe; one event loop owns it."""

    def __init__(self, *, now: Millis, seed: int, symbols: tuple[str, ...]) -> None:
        self.held = Held(since=now)
        self.pattern: Pattern | None = None
        self._random = random.Random(seed)  # noqa: S311 - a simulated market, no secret
        self._models = {symbol: MODELS[index % len(MODELS)] for index, symbol in enumerate(symbols)}
        self._per_minute = 0.0  # of the fault, over the baseline
        self._at = now
        self._next_calm = now + self._gap(BASELINE_PER_MINUTE)
        self._next_fault: Millis = 0
        self._recent: list[Millis] = []

    @property
    def models(self) -> dict[str, str]:
        """The model that serves each symbol now."""
        return dict(self._models)

    @property
    def serving(self) -> str:
        """The same for people and for pins, like "BTC-USD lstm-v2, ETH-USD gru-v1"."""
        return ", ".join(f"{symbol} {model}" for symbol, model in self._models.items())

    def per_minute(self, now: Millis) -> int:
        """Switches of the last minute."""
        return sum(1 for at in self._recent if at > now - MINUTE)

    def advance(self, now: Millis) -> tuple[Switch, ...]:
        """Let time pass up to `now`; every switch that happened meanwhile, in order. None while it is paused."""
        switches: list[Switch] = []
        while not self.held.paused and len(switches) < MAX_AT_ONCE:
            faulty = self.pattern is not None and self._next_fault <= self._next_calm
            at = self._next_fault if faulty else self._next_calm
            if at > now:
                break
            if faulty:
                switches.append(self._switch(at, self.pattern))
                self._next_fault = at + self._gap(self._per_minute)
            else:
                switches.append(self._switch(at, None))
                self._next_calm = at + self._gap(BASELINE_PER_MINUTE)
        self._at = max(self._at, now)
        if self.held.paused or len(switches) == MAX_AT_ONCE:
            self._begin_anew()
        self._recent = [at for at in self._recent if at > now - MINUTE] + [switch.at for switch in switches]
        return tuple(switches)

    def break_down(self, pattern: Pattern, per_minute: float, now: Millis) -> None:
        """A fault: `per_minute` more switches of this pattern from `now` on, whenever the router is not paused."""
        self.pattern, self._per_minute = pattern, per_minute
        self._next_fault = now + self._gap(per_minute)

    def mend(self) -> None:
        """The fault is over; what it switched stays switched."""
        self.pattern, self._per_minute = None, 0.0

    def hold(self, *, owner: str, reason: str, now: Millis) -> bool:
        """Pause, or take a pause over from another owner. Returns whether that changed anything."""
        if self.held.paused and self.held.owner == owner:
            return False
        self.held = Held(paused=True, owner=owner, reason=reason, since=now)
        return True

    def release(self, *, owner: str, reason: str, now: Millis) -> bool:
        """Switch again from `now` on, whoever paused it. Returns whether that changed anything."""
        if not self.held.paused:
            return False
        self.held = Held(owner=owner, reason=reason, since=now)
        self._at = max(self._at, now)
        self._begin_anew()
        return True

    def _begin_anew(self) -> None:
        """Nothing is made up for afterwards: the next switches lie after the time reached."""
        self._next_calm = self._at + self._gap(BASELINE_PER_MINUTE)
        if self.pattern is not None:
            self._next_fault = self._at + self._gap(self._per_minute)

    def _gap(self, per_minute: float) -> Millis:
        """Until the next one: irregular, as switches are, and never nothing."""
        return max(1, round(self._random.expovariate(per_minute / MINUTE)))

    def _switch(self, at: Millis, pattern: Pattern | None) -> Switch:
        symbols = tuple(self._models)
        symbol = symbols[0] if pattern == "oscillation" else self._random.choice(symbols)
        before = self._models[symbol]
        match pattern:
            case "pingpong":
                after = _PONG if before == _PING else _PING
            case "oscillation":
                after = MODELS[0] if before == MODELS[1] else MODELS[1]
            case _:
                after = self._random.choice([model for model in MODELS if model != before])
        self._models[symbol] = after
        low, high = _UNSURE if pattern == "oscillation" else _SURE
        latency = self._random.randint(*(_SLOW_MS if pattern == "slow" else _QUICK_MS))
        confidence = round(self._random.uniform(low, high), 3)
        return Switch(at=at, symbol=symbol, from_=before, to=after, confidence=confidence, latency_ms=latency)
