"""`trading.halt` stops trading once, is content when it is stopped, and asks when it cannot tell (row T2)."""

from __future__ import annotations

import json

import pytest

from bot.engine.action_ports import ActionContext, AlreadySo, CannotTell, HttpReply, Proceed
from bot.errors import NotSent
from bot.testing import MemoryHttpTarget, MemoryTargets
from remediations.trading_halt import PATH, SPEC, TradingHalt

PLACE = ("trading-core", "risk-engine")
ARGUMENTS = '{"reason":"VaR over its limit for 5 minutes"}'


class Floor:
    """A risk engine in memory that stops trading when it is told to."""

    def __init__(self, trading: object = "on") -> None:
        self.targets = MemoryTargets()
        self.http: MemoryHttpTarget = self.targets.add(*PLACE, role="risk")
        self.http.answers[f"POST {PATH}"] = HttpReply(200, b"{}")
        self.http.on_send = lambda _request: self.put("off")
        self.put(trading)
        self.context = ActionContext(
            system=PLACE[0], component=PLACE[1], targets=self.targets, now=0, intent="int-1", fence=4
        )

    def put(self, trading: object) -> None:
        self.targets.fields[(*PLACE, "trading")] = trading  # type: ignore[assignment]  # wrong types are the point

    async def proceed(self) -> Proceed:
        inspection = await TradingHalt().inspect(self.context, ARGUMENTS)
        assert isinstance(inspection, Proceed)
        return inspection


async def test_it_stops_trading_with_the_reason_and_reads_it_back() -> None:
    """Before and wanted state, the runbook's request with the reason, and proof afterwards."""
    floor = Floor()
    proceed = await floor.proceed()
    assert (proceed.before, proceed.wanted) == ('{"trading":"on"}', '{"trading":"off"}')
    await TradingHalt().send(floor.context, proceed)
    (sent,) = floor.http.sent
    assert (sent.method, sent.path, json.loads(sent.body)) == ("POST", "/api/stop-trading", json.loads(ARGUMENTS))
    assert (sent.idempotency_key, sent.fence) == ("int-1", 4)
    seen = await TradingHalt().read_back(floor.context, proceed)
    assert (seen.after, seen.as_wanted) == ('{"trading":"off"}', True)


async def test_what_is_stopped_is_left_alone() -> None:
    """No slot, no request: also when somebody stopped it between the inspection and the request."""
    floor = Floor()
    proceed = await floor.proceed()
    floor.put("off")
    assert isinstance(await TradingHalt().inspect(floor.context, ARGUMENTS), AlreadySo)
    with pytest.raises(NotSent, match="stopped meanwhile"):
        await TradingHalt().send(floor.context, proceed)
    assert floor.http.sent == []


async def test_a_halt_that_did_not_take_is_seen() -> None:
    """An answer of 200 proves nothing; the state does."""
    floor = Floor()
    floor.http.on_send = lambda _request: None
    proceed = await floor.proceed()
    await TradingHalt().send(floor.context, proceed)
    seen = await TradingHalt().read_back(floor.context, proceed)
    assert (seen.as_wanted, seen.why) == (False, "trading is on")


@pytest.mark.parametrize("value", [None, True, False, 1, "", "ON", "halted"])
async def test_what_is_neither_on_nor_off_is_not_guessed(value: object) -> None:
    """A person is asked; nothing is sent, and nothing is claimed afterwards."""
    floor = Floor()
    proceed = await floor.proceed()
    floor.put(value)
    assert isinstance(await TradingHalt().inspect(floor.context, ARGUMENTS), CannotTell)
    with pytest.raises(NotSent):
        await TradingHalt().send(floor.context, proceed)
    assert (await TradingHalt().read_back(floor.context, proceed)).as_wanted is None
    assert floor.http.sent == []


def test_it_lowers_exposure_and_still_needs_a_yes() -> None:
    """Law 4: a halt lowers, but costs trades; it is bound to whether trading is on."""
    assert (SPEC.risk, SPEC.direction, SPEC.delivery) == ("risky", "lowers", "absolute")
    assert (SPEC.pins, SPEC.undo) == (("trading",), "")
