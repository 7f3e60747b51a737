"""The components of the simulated floor: what each request does to them, and the ledger each keeps of its own.

Made by `floor`; a request arrives through `Machine.take`, at whatever time the wire lets it. `Machine.by_hand` is what
people change on the floor without Andon. Reading has no effect.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from bot.core.words import JsonText, Millis
from bot.errors import Rejected
from tests.simulation import actions

Value = float | str
Effect = Literal["changed", "nothing", "repeated", "stale", "by hand"]

KELLY: Final = 0.25  # at the start, and what people restore
SLOW_MS: Final[Millis] = 1_500  # how long a figure takes to follow what was done


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request at a component. `sent_at`: when it left the replica, `at`: when it arrived, both true time.

    repeated: a key seen before, refused by a component that keeps keys. stale: an older fence than one seen, refused.
    """

    sent_at: Millis
    at: Millis
    replica: str
    component: str
    request: str
    body: JsonText
    key: str
    fence: int
    field: str = ""  # of its state, which this changes
    effect: Effect = "nothing"
    before: Value = ""
    after: Value = ""


Change = Callable[["Machine", Arrival], tuple[str, Value]]  # which field becomes what


@dataclass(slots=True)
class Machine:
    """One component: its state, its ledger, what each request does. `keeps`: it refuses repeated keys, older fences."""

    name: str
    state: dict[str, Value]
    does: dict[str, Change]
    keeps: bool = False
    reads: tuple[str, ...] = ()
    ledger: list[Arrival] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    fence: int = 0
    figures: Callable[[Machine, Millis], dict[str, Value]] = lambda machine, now: {}

    def take(self, arrival: Arrival) -> JsonText:
        """A request has arrived. Raises Rejected where it is refused."""
        if self.keeps and arrival.fence < self.fence:
            self.ledger.append(replace(arrival, effect="stale"))
            raise Rejected(f"fence {arrival.fence} is older than {self.fence}")
        self.fence = max(self.fence, arrival.fence)
        if self.keeps and arrival.key in self.keys:
            self.ledger.append(replace(arrival, effect="repeated"))
            return "{}"
        name, value = self.does[arrival.request](self, arrival)
        before = self.state.get(name, "")
        counted = name.startswith("count:")
        after = float(before or 0) + 1 if counted else value
        self.state[name] = after
        if "owner" in self.state:
            self.state["owner"] = str(json.loads(arrival.body or "{}").get("owner", "somebody"))
        self.keys.append(arrival.key)
        effect: Effect = "changed" if after != before else "nothing"
        self.ledger.append(replace(arrival, field=name, effect=effect, before=before, after=after))
        return "{}"

    def by_hand(self, at: Millis, name: str, value: Value) -> None:
        """Somebody changes it without Andon."""
        before, self.state[name] = self.state.get(name, ""), value
        if name == "router":
            self.state["owner"] = "somebody"
        self.ledger.append(
            Arrival(
                sent_at=at, at=at, replica="", component=self.name, request=f"by hand {name}", body="", key="", fence=0,
                field=name, effect="by hand", before=before, after=value,
            )
        )  # fmt: skip

    def read(self, path: str, wall: Millis, now: Millis) -> JsonText:
        """`GET path`."""
        if path == actions.HEDGES:
            return json.dumps({"keys": self.keys})
        return json.dumps({**self.state, **self.figures(self, now), "updated_at": wall})

    def changed_at(self, name: str) -> Millis:
        """When a field last became what it is."""
        ours = [a.at for a in self.ledger if a.field == name and a.effect in ("changed", "by hand")]
        return ours[-1] if ours else 0


def _cut(_: Machine, arrival: Arrival) -> tuple[str, Value]:
    return "kelly_fraction", float(json.loads(arrival.body)["kelly_fraction"])


def _set(name: str, value: Value) -> Change:
    return lambda machine, arrival: (name, value)


def _count(machine: Machine, arrival: Arrival) -> tuple[str, Value]:
    body = json.loads(arrival.body)
    return f"count:{arrival.request}:{body.get('batch', '')}", 0.0


def _risk(machine: Machine, now: Millis) -> dict[str, Value]:
    """VaR follows Kelly, a little later."""
    settled = now - machine.changed_at("kelly_fraction") >= SLOW_MS
    kelly = float(machine.state["kelly_fraction"]) if settled else max(float(machine.state["kelly_fraction"]), 0.2)
    return {"var": float(machine.state["stress"]) * kelly / KELLY}


def _router(machine: Machine, now: Millis) -> dict[str, Value]:
    """Switching ends a little after a pause."""
    calm = machine.state["router"] == "paused" and now - machine.changed_at("router") >= SLOW_MS
    return {"switches": 0.0 if calm else machine.state["restless"]}


def machines() -> dict[str, Machine]:
    """The floor at the beginning of a run."""
    made = (
        Machine(
            "risk-engine",
            {"kelly_fraction": KELLY, "trading": "on", "stress": 0.5},
            {"POST /api/risk/emergency-reduce": _cut, "POST /api/stop-trading": _set("trading", "off")},
            figures=_risk,
        ),
        Machine(
            "model-router",
            {"router": "running", "model": "m1", "owner": "", "restless": 0.0},
            {"POST /api/router/pause": _set("router", "paused"), "POST /api/router/resume": _set("router", "running")},
            figures=_router,
        ),
        Machine("order-gate", {}, {f"POST {actions.HEDGE}": _count, "POST /api/gate/kick": _count}),
        Machine("order-book", {"open_orders": 40.0}, {f"POST {actions.FLATTEN}": _set("open_orders", 0.0)}, keeps=True),
        Machine("feed-a", {"state": "fresh"}, {f"POST {actions.CYCLE}": _set("state", "fresh")}),
        Machine("feed-b", {"state": "fresh"}, {f"POST {actions.CYCLE}": _set("state", "fresh")}),
    )
    return {machine.name: machine for machine in made}
