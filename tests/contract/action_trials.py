"""How each action of the catalogue is tried: its simulated target. `test_action_contract` runs the suite over all.

A new action needs one line in `TRIALS` and, mostly, a few lines for its world; docs/actions.md explains them.
"""

from __future__ import annotations

from collections.abc import Callable

from bot.testing.action_contract import HttpWorld, Trial
from bot.testing.action_world import State
from remediations import http_call, notify, reduce_kelly, router_pause, router_resume, trading_halt
from tests.contract.program_trials import PROGRAM_TRIALS
from tests.contract.redis_trials import REDIS_TRIALS


def _put(**fields: str) -> Callable[[State, State], None]:
    """A route that sets these fields of the state: from the body where the body has them."""

    def route(state: State, body: State) -> None:
        state.update({name: body.get(name, value) for name, value in fields.items()})

    return route


def _risk(kelly: object = 0.25, floor: float = 0.05) -> HttpWorld:
    return HttpWorld(
        {"kelly_fraction": kelly} if isinstance(kelly, (float, str)) else {},
        {"POST /api/risk/emergency-reduce": lambda state, body: state.update(kelly_fraction=body["kelly_fraction"])},
        role="risk",
        floors={"kelly_fraction": floor},
    )


def _trading(state: str = "on") -> HttpWorld:
    return HttpWorld({"trading": state}, {"POST /api/stop-trading": _put(trading="off")}, role="risk")


def _router(state: str, owner: str, model: str = "BTC-USD lstm-v2") -> HttpWorld:
    def turned(word: str) -> Callable[[State, State], None]:
        return lambda state, body: state.update(router=word, owner=body["owner"] if word == "paused" else "")

    return HttpWorld(
        {"router": state, "model": model, "owner": owner},
        {"POST /api/router/pause": turned("paused"), "POST /api/router/resume": turned("running")},
        role="router",
    )


def _any_api() -> HttpWorld:
    return HttpWorld({"calls": 0}, {"POST /api/router/pause": lambda state, _: state.update(calls=1)}, role="router")


TRIALS: dict[str, Trial] = {
    **PROGRAM_TRIALS,
    **REDIS_TRIALS,
    "http.call": Trial(
        entry=http_call.ENTRY,
        world=_any_api,
        refusals={"the component does not allow it": lambda: HttpWorld(role="router")},
        hostile=({"path": "/x?y"}, {"path": "//evil\n"}, {"path": "/x", "method": "GET"}),
    ),
    "notify": Trial(entry=notify.ENTRY, world=HttpWorld),
    "risk.reduce_kelly": Trial(
        entry=reduce_kelly.ENTRY,
        world=_risk,
        refusals={
            "nothing says where Kelly is read": lambda: _risk(None),
            "Kelly reads as no fraction": lambda: _risk(7.0),
        },
        also=(lambda: _risk(1.0), lambda: _risk(0.11), lambda: _risk(0.0)),
        meanwhile={"somebody cut it further": lambda world: world.state.update(kelly_fraction=0.02)},
        hostile=({"kelly_fraction": 1.01, "reason": "x"}, {"kelly_fraction": -0.1, "reason": "x"}),
    ),
    "router.pause": Trial(
        entry=router_pause.ENTRY,
        world=lambda: _router("running", ""),
        refusals={"its state reads oddly": lambda: _router("odd", "")},
        meanwhile={"a person paused it": lambda world: world.state.update(router="paused", owner="ops")},
    ),
    "router.resume": Trial(
        entry=router_resume.ENTRY,
        world=lambda: _router("paused", "andon"),
        refusals={
            "somebody else paused it": lambda: _router("paused", "ops"),
            "it was changed since": lambda: _router("paused", "andon", "BTC-USD gru-v1"),
        },
        meanwhile={"it was changed": lambda world: world.state.update(model="BTC-USD gru-v1")},
        left='{"model":"BTC-USD lstm-v2","owner":"andon","router":"paused"}',
    ),
    "trading.halt": Trial(
        entry=trading_halt.ENTRY, world=_trading, refusals={"trading is neither on nor off": lambda: _trading("maybe")}
    ),
}
