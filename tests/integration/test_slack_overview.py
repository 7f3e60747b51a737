"""What the Home tab and the answers are made of, read from a store through the real engine."""

from __future__ import annotations

import json

from bot.adapters.slack.cards import answers, home
from bot.adapters.slack.cards.overview import look, recent
from bot.core.intents import Budget
from bot.core.orders import OperatorResolved, OperatorTook, TargetFrozen
from bot.core.words import SYSTEM_TARGET
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import PLAN, ask

HOUR = 3_600_000


async def test_home_shows_what_the_store_holds() -> None:
    """The open incident, its question with the buttons of whoever may answer, the armed policy, the freeze."""
    services = TwinServices(plans=(PLAN,))
    incident = await ask(services)
    now = services.clock.now()
    await services.tell(SYSTEM, SYSTEM_TARGET, TargetFrozen(id="fr", at=now, by="demo-oncall", reason="deploy"))
    view = await look(services, "demo-approver", Budget())
    text = json.dumps(home.render(view, {incident: "https://slack.example/archives/C1/p1"}), ensure_ascii=False)
    assert incident in text
    assert "trading true → *false*" in text
    assert "andon:approve:home0" in text
    assert "armed by demo-oncall" in text
    assert "*frozen* trading-core by demo-oncall" in text
    assert "deploy" in text
    assert "page cro (critical)" in text
    assert "<https://slack.example/archives/C1/p1|its card and thread>" in text


async def test_whoever_may_not_decide_is_told_why() -> None:
    """The requester sees the question without its yes; a no is theirs to give."""
    services = TwinServices(plans=(PLAN,))
    await ask(services, requesters=("demo-oncall",))
    text = json.dumps(home.render(await look(services, "demo-oncall", Budget())))
    assert "andon:approve" not in text
    assert "andon:deny:home0" in text


async def test_a_handoff_tells_what_the_shift_saw() -> None:
    """What ended lately is told, what ended before the shift is not; what is open stands on top."""
    services = TwinServices(plans=(PLAN,))
    incident = await ask(services)
    now = services.clock.now()
    await services.tell(SYSTEM, incident, OperatorTook(id="took", at=now, by="demo-oncall"))
    view = await look(services, "demo-oncall", Budget())
    told = answers.handoff(view, now - HOUR, await recent(services, now - HOUR))
    assert told.text == "Handoff: 1 open, 0 to be decided, 0 frozen"
    assert "*demo-oncall* has it" in json.dumps(told.blocks)
    done = OperatorResolved(id="over", at=now, by="demo-oncall", note="it was a bad tick", force=True)
    await services.tell(SYSTEM, incident, done)
    assert [each.id for each in await recent(services, now - HOUR)] == [incident]
    assert await recent(services, now + HOUR) == []
