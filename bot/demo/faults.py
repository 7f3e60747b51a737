"""The faults that `andon demo --fault NAME` plays and the live demo's keys inject, as one table.

Each is one or two requests to the simulated trading-core, and one sentence on what Andon will make of it.
`bot.demo.plain` and `bot.demo.show` carry them out; a name is KIND or KIND:VARIANT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.demo.stage import Stage
from bot.errors import InputError
from bot.sandbox.faults import CAUSES
from bot.sandbox.router import PATTERNS

Request = tuple[str, Mapping[str, Any]]

FAULT_PCT = 2.4
BAD_FAULT_PCT = 6.0  # also over the threshold once Kelly is cut to 0.1, so the ladder is climbed to its end
PER_MINUTE = 240  # switches; a hundred of them, which the stream rule wants, are there in two real seconds
_SLOW: Request = ("/faults/latency", {"cause": "slow_commands", "server": "primary"})


@dataclass(frozen=True, slots=True)
class Fault:
    """What to ask of the sandbox, and the words for it: what breaks, and what is to be seen.

    `asks`: it is played until a person is asked, which a ladder also does when the plan is over and people are paged.
    """

    what: str
    see: str
    requests: tuple[Request, ...]
    asks: bool = False


def _table() -> dict[str, Fault]:
    cut = "Kelly is cut to 0.1 once, and VaR is seen to fall"
    found = {
        "var": Fault(f"VaR of BTC-USD jumps to {FAULT_PCT} %, over 1.8 %", cut, (_var(FAULT_PCT),)),
        "var-bad": Fault(
            f"VaR of BTC-USD jumps to {BAD_FAULT_PCT} %: the cut will not be enough",
            "after five minutes the ladder wants to halt trading, and asks", (_var(BAD_FAULT_PCT),), asks=True,
        ),
    }  # fmt: skip
    pause = "the router is paused with the models in force; when the pause is over, people are asked"
    for pattern in PATTERNS:
        switching: Request = ("/faults/switching", {"pattern": pattern, "per_minute": PER_MINUTE})
        found[f"switching:{pattern}"] = Fault(f"the router switches too often ({pattern})", pause, (switching,))
    for cause in CAUSES:
        see = "the replica becomes primary, coordinated, and the services follow it"
        if cause == "network":
            see = "the servers are quick as Andon sees them: it moves nothing, and after five minutes calls people"
        if cause == "clients":
            see = "a crowd would come along to a new primary: Andon asks before it moves anything"
        slow: Request = ("/faults/latency", {"cause": cause, "server": "primary"})
        found[f"latency:{cause}"] = Fault(f"Redis is slow ({cause})", see, (slow,), asks=cause == "clients")
    for state in ("down", "stale"):
        found[f"replica-{state}"] = Fault(
            f"Redis is slow, and its replica is {state}",
            "the failover is refused with its figure, and people are paged",
            (("/faults/replica", {"state": state}), _SLOW),
        )  # fmt: skip
    return found | {"switching": found["switching:pingpong"], "latency": found["latency:slow_commands"]}


def _var(percent: float) -> Request:
    return ("/faults/var", {"symbol": "BTC-USD", "var_pct": percent})


def names() -> tuple[str, ...]:
    """Every name, sorted."""
    return tuple(sorted(_table()))


def fault(name: str) -> Fault:
    """The fault of this name. Raises InputError that lists them all."""
    found = _table().get(name)
    if found is None:
        raise InputError("--fault", f"no fault {name!r}; there are: {', '.join(names())}")
    return found


async def inject(stage: Stage, chosen: Fault) -> None:
    """Make it happen."""
    for path, body in chosen.requests:
        await stage.sandbox("POST", path, body)
