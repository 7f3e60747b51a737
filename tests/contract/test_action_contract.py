"""The suite every registered action passes, over the real connectors, against a local twin of the runbook's API.

Being registered is enough to be tested: an action without an entry in CASES fails the first test.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from bot.adapters.connectors import Connectors
from bot.engine.action_ports import Action, ActionContext, AlreadySo, CannotTell, Proceed, Unfit
from bot.errors import DeliveryError, NotSent, Rejected, Unknown
from remediations.catalogue import CATALOGUE
from tests.contract.runbook_api import RunbookApi, targets

CASES: dict[str, str] = {  # arguments with which the action has something to do in a fresh RunbookApi
    "http.call": '{"method":"POST","path":"/api/router/pause","body":{"for":"60s"}}',
    "notify": '{"message":"VaR breach on BTC-USD"}',
    "risk.reduce_kelly": '{"kelly_fraction":0.1,"reason":"VaR breach on BTC-USD"}',
    "trading.halt": '{"reason":"VaR over its limit for 5 minutes"}',
}
SILENCE_SECONDS = 0.3  # how long these tests wait for an answer that never comes


@dataclass
class World:
    """One action with everything it touches."""

    name: str
    action: Action
    arguments: str
    api: RunbookApi
    context: ActionContext
    connectors: Connectors
    said: list[str] = field(default_factory=list)
    deaf: bool = False

    @property
    def effects(self) -> int:
        return len(self.api.requests) + len(self.said)

    @property
    def over_http(self) -> bool:
        return self.name != "notify"

    async def proceed(self) -> Proceed:
        inspection = await self.action.inspect(self.context, self.arguments)
        assert isinstance(inspection, Proceed)
        return inspection


@pytest.fixture(params=CATALOGUE.names())
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with RunbookApi().serving() as api:
        connectors = Connectors(targets(api.url), {}, send_seconds=SILENCE_SECONDS)
        action = CATALOGUE.action(request.param)
        assert action is not None

        async def say(text: str) -> str:
            if made.deaf:
                raise DeliveryError("chat is down")
            made.said.append(text)
            return "ref"

        context = ActionContext(
            system="trading-core", component="risk-engine", targets=connectors, now=0, intent="int-1", fence=7, say=say
        )
        made = World(request.param, action, CASES[request.param], api, context, connectors)
        yield made
        await connectors.close()


def test_every_registered_action_is_tested() -> None:
    """Registering an action without a case here is a failure, not a gap."""
    assert set(CASES) == set(CATALOGUE.names())


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_the_declaration_and_the_parameters_hold_together(name: str) -> None:
    """Lint, docs and editors read these; canonical arguments stay what they are when made canonical again."""
    spec = CATALOGUE.spec(name)
    assert spec is not None
    assert spec.name == name
    assert spec.summary.endswith(".")
    assert spec.direction != "raises" or spec.risk in ("risky", "critical")
    assert CATALOGUE.check_arguments(name, CASES[name], partial=False) == ()
    once = CATALOGUE.canonical_arguments(name, CASES[name])
    assert CATALOGUE.canonical_arguments(name, once) == once
    assert json.loads(CATALOGUE.params_schema(name))["additionalProperties"] is False


async def test_inspection_has_no_effect(world: World) -> None:
    """Inspecting runs in shadow and before approval: it must never do anything."""
    before = world.api.kelly
    proceed = await world.proceed()
    assert world.effects == 0
    assert world.api.kelly == before
    for text in (proceed.before, proceed.wanted, proceed.arguments, proceed.restore):
        assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


async def test_sending_does_it_once_with_key_and_fence(world: World) -> None:
    """One send is one request, carrying the intent's id and the fence, and the read-back does not contradict it."""
    proceed = await world.proceed()
    await world.action.send(world.context, proceed)
    assert world.effects == 1
    if world.over_http:
        _, headers, _ = world.api.requests[0]
        assert headers["Idempotency-Key"] == "int-1"
        assert headers["X-Fence"] == "7"
    seen = await world.action.read_back(world.context, proceed)
    spec = CATALOGUE.spec(world.name)
    assert spec is not None
    assert seen.as_wanted is (True if spec.delivery == "absolute" else None)


async def test_what_is_already_so_is_not_sent(world: World) -> None:
    """An absolute action that has nothing to do says so, and sending it all the same changes nothing."""
    spec = CATALOGUE.spec(world.name)
    assert spec is not None
    if spec.delivery != "absolute":
        return
    proceed = await world.proceed()
    await world.action.send(world.context, proceed)
    assert isinstance(await world.action.inspect(world.context, world.arguments), AlreadySo)
    with pytest.raises(NotSent):
        await world.action.send(world.context, proceed)
    assert world.effects == 1
    assert len(world.api.changes) == 1


async def test_two_sends_at_once_leave_one_change(world: World) -> None:
    """Absolute means: however often it arrives, the state changes once."""
    spec = CATALOGUE.spec(world.name)
    assert spec is not None
    if spec.delivery != "absolute":
        return
    proceed = await world.proceed()
    sends = (world.action.send(world.context, proceed) for _ in range(4))
    for outcome in await asyncio.gather(*sends, return_exceptions=True):
        assert outcome is None or isinstance(outcome, NotSent)
    assert len(world.api.changes) == 1


async def test_a_refusal_is_told_as_one(world: World) -> None:
    """4xx (or chat saying no): provably not done."""
    proceed = await world.proceed()
    world.api.mood, world.deaf = "refusing", True
    with pytest.raises(Rejected if world.over_http else NotSent):
        await world.action.send(world.context, proceed)
    assert world.api.changes == []
    assert world.said == []


@pytest.mark.parametrize("mood", ["silent", "torn", "failing"])
async def test_an_unanswered_request_is_unknown(world: World, mood: str) -> None:
    """Silence, a cut connection and a 500 prove nothing; here it was done each time."""
    if not world.over_http:
        return
    proceed = await world.proceed()
    world.api.mood = mood  # type: ignore[assignment]  # parametrised text
    with pytest.raises(Unknown):
        await world.action.send(world.context, proceed)
    assert len(world.api.requests) == 1


async def test_a_target_that_is_away_got_nothing(world: World) -> None:
    """Connection refused: NotSent, and an inspection that needs the target cannot tell."""
    if not world.over_http:
        return
    proceed = await world.proceed()
    closed = Connectors(targets("http://127.0.0.1:1"), {})
    away = ActionContext(system="trading-core", component="risk-engine", targets=closed, now=0)
    with pytest.raises(NotSent):
        await world.action.send(away, proceed)
    inspection = await world.action.inspect(away, world.arguments)
    spec = CATALOGUE.spec(world.name)
    assert spec is not None
    assert isinstance(inspection, CannotTell if spec.delivery == "absolute" else Proceed)
    await closed.close()


async def test_without_its_place_it_is_unfit_or_cannot_tell(world: World) -> None:
    """A component that targets.yaml does not list (or no chat) never ends in an attempt."""
    nowhere = ActionContext(system="trading-core", component="gone", targets=world.connectors, now=0)
    assert isinstance(await world.action.inspect(nowhere, world.arguments), (CannotTell, Unfit))
