"""`risk.reduce_kelly` only ever lowers, never goes below the floor, and asks when it cannot tell (row T2)."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.action_ports import ActionContext, AlreadySo, CannotTell, HttpReply, Proceed
from bot.errors import ConfigError, NotSent
from bot.testing import MemoryHttpTarget, MemoryTargets
from remediations.reduce_kelly import PATH, ReduceKelly

PLACE = ("trading-core", "risk-engine")
FIELD = (*PLACE, "kelly_fraction")


def arguments(kelly: float = 0.1) -> str:
    return json.dumps({"kelly_fraction": kelly, "reason": "VaR breach"})


class Floor:
    """A risk engine in memory whose Kelly fraction follows the requests it gets."""

    def __init__(self, kelly: object = 0.25, floor: float = 0.05) -> None:
        self.targets = MemoryTargets()
        self.http: MemoryHttpTarget = self.targets.add(*PLACE, role="risk", floors={"kelly_fraction": floor})
        self.http.answers[f"POST {PATH}"] = HttpReply(200, b"{}")
        self.http.on_send = lambda request: self.put(json.loads(request.body)["kelly_fraction"])
        self.put(kelly)
        self.context = ActionContext(
            system=PLACE[0], component=PLACE[1], targets=self.targets, now=0, intent="int-1", fence=4
        )

    def put(self, kelly: object) -> None:
        self.targets.fields[FIELD] = kelly  # type: ignore[assignment]  # wrong types are the point of some tests


async def test_it_cuts_to_what_was_asked_and_remembers_what_was() -> None:
    """Before, wanted, absolute arguments and the value to go back to are all in the intent."""
    floor = Floor(0.25)
    proceed = await ReduceKelly().inspect(floor.context, arguments())
    assert proceed == Proceed(
        before='{"kelly_fraction":0.25}',
        wanted='{"kelly_fraction":0.1}',
        arguments='{"kelly_fraction":0.1,"reason":"VaR breach"}',
        restore='{"kelly_fraction":0.25}',
        by_hand='POST /api/risk/emergency-reduce {"kelly_fraction":0.1,"reason":"VaR breach"}',
    )
    await ReduceKelly().send(floor.context, proceed)
    (sent,) = floor.http.sent
    assert (sent.method, sent.path, sent.body) == ("POST", PATH, proceed.arguments)
    assert (sent.idempotency_key, sent.fence) == ("int-1", 4)
    seen = await ReduceKelly().read_back(floor.context, proceed)
    assert (seen.after, seen.as_wanted) == ('{"kelly_fraction":0.1}', True)


@given(current=st.floats(0, 1), asked=st.floats(0, 1), lowest=st.floats(0, 1))
async def test_it_never_raises_and_never_undercuts_the_floor(current: float, asked: float, lowest: float) -> None:
    """Whatever is in force, asked for and configured: a request lowers Kelly, to no less than the floor."""
    floor = Floor(current, lowest)
    inspection = await ReduceKelly().inspect(floor.context, arguments(asked))
    if isinstance(inspection, AlreadySo):
        assert current <= max(lowest, asked) + 1e-9
        return
    assert isinstance(inspection, Proceed)
    wanted = json.loads(inspection.wanted)["kelly_fraction"]
    assert max(lowest, asked) <= wanted < current


@pytest.mark.parametrize("current", [0.1, 0.05, 0.0, 0.03])
async def test_what_is_low_enough_is_left_alone(current: float) -> None:
    """A current value at or below what was asked (also below the floor) is as wanted; a send of it is refused."""
    floor = Floor(current)
    inspection = await ReduceKelly().inspect(floor.context, arguments(0.1))
    assert isinstance(inspection, AlreadySo)
    assert f"Kelly is {current:g} already" in inspection.why
    assert floor.http.sent == []


@pytest.mark.parametrize("current", [None, math.nan, math.inf, -0.1, 1.5, 25.0, "0.2", "high", True])
async def test_a_value_that_is_no_kelly_fraction_asks_a_person(current: object) -> None:
    """Unreadable, not a number, out of range (perhaps percent): it cannot be told whether a request would lower it."""
    floor = Floor(current)
    inspection = await ReduceKelly().inspect(floor.context, arguments())
    assert isinstance(inspection, CannotTell)
    assert "Kelly fraction in force" in inspection.why
    proceed = Proceed(before="{}", wanted="{}", arguments=arguments())
    with pytest.raises(NotSent):
        await ReduceKelly().send(floor.context, proceed)
    assert (await ReduceKelly().read_back(floor.context, proceed)).as_wanted is None
    assert floor.http.sent == []


@pytest.mark.parametrize("lowest", [-0.1, 1.1, math.nan])
async def test_a_floor_that_is_no_kelly_fraction_asks_a_person(lowest: float) -> None:
    """A mistaken floor must not decide how far automation goes."""
    assert isinstance(await ReduceKelly().inspect(Floor(0.25, lowest).context, arguments()), CannotTell)


async def test_somebody_cutting_deeper_meanwhile_is_not_undone() -> None:
    """Between intent and request a person cut to 0.05: sending 0.1 would raise it, so nothing is sent."""
    floor = Floor(0.25)
    proceed = await ReduceKelly().inspect(floor.context, arguments(0.1))
    assert isinstance(proceed, Proceed)
    floor.put(0.05)
    with pytest.raises(NotSent, match="could only raise it"):
        await ReduceKelly().send(floor.context, proceed)
    assert floor.http.sent == []
    seen = await ReduceKelly().read_back(floor.context, proceed)
    assert (seen.as_wanted, seen.why) == (True, "Kelly is 0.05, cut further")


async def test_a_read_back_above_the_wanted_value_is_not_as_wanted() -> None:
    """The target said yes and did not do it, or somebody raised it again."""
    floor = Floor(0.25)
    proceed = await ReduceKelly().inspect(floor.context, arguments(0.1))
    assert isinstance(proceed, Proceed)
    seen = await ReduceKelly().read_back(floor.context, proceed)
    assert (seen.as_wanted, seen.why) == (False, "Kelly is 0.25, not 0.1")


@pytest.mark.parametrize(
    "wrong",
    ['{"kelly_fraction":"0.1","reason":"x"}', '{"kelly_fraction":1.1,"reason":"x"}',
     '{"kelly_fraction":NaN,"reason":"x"}', '{"kelly_fraction":true,"reason":"x"}',
     '{"kelly_fraction":0.1}', '{"kelly_fraction":0.1,"reason":" "}',
     '{"kelly_fraction":0.1,"reason":"a\\u0000b"}', '{"kelly_fraction":0.1,"reason":"x","factor":2}', "[]", "no"],
)  # fmt: skip
async def test_arguments_that_do_not_fit_are_refused(wrong: str) -> None:
    """Nothing is converted or guessed: a text is no number, and an unknown key is an error."""
    with pytest.raises(ConfigError):
        await ReduceKelly().inspect(Floor().context, wrong)
