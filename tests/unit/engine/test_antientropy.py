"""Silence is not health: what follows from Alertmanager's own list, and above all what does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Literal

import pytest

from bot.core.alert import INJECTED
from bot.core.effects import PageOncall
from bot.core.orders import OperatorResolved
from bot.engine.antientropy import GONE, NOTE
from bot.engine.belief import read_beliefs
from bot.engine.reach import EMPTY, UNREACHABLE
from bot.engine.standing import View
from bot.testing import MemoryAlertmanager
from bot.testing.clock import START
from tests.unit.engine.ears import MINUTE, SYSTEM, WATCHDOG, House, alert


@pytest.fixture
def house() -> House:
    return House()


# --- what was never told ------------------------------------------------------------------------------------------


async def test_an_alert_whose_webhook_never_came_is_found(house: House) -> None:
    """After two looks, in the shard its route names; the webhook that comes late is a copy."""
    house.manager.fire(alert())
    await house.minute()
    assert await house.firing() == [], "the webhook may still be on its way"
    await house.minute()
    assert await house.firing() == ["VaRBreach"]
    [incident] = await house.incidents()
    await house.webhook(alert())
    await house.minute(3)
    assert [found.id for found in await house.incidents()] == [incident.id]


async def test_what_is_known_is_left_alone(house: House) -> None:
    """Nothing is written when both agree."""
    house.manager.fire(alert())
    await house.webhook(alert())
    await house.minute(2)
    sequence = (await house.store.audit(SYSTEM, (await house.incidents())[0].id))[-1].seq
    await house.minute(5)
    assert (await house.store.audit(SYSTEM, (await house.incidents())[0].id))[-1].seq == sequence
    assert await house.store.lag(SYSTEM) == (0, (await house.store.lag(SYSTEM))[1])


async def test_a_newer_firing_of_a_known_alert_is_found(house: House) -> None:
    """Its end and its new beginning were both missed."""
    await house.webhook(alert())
    house.manager.fire(alert(at=START + 5))
    await house.minute(2)
    [incident] = await house.incidents()
    assert incident.firing[0].starts_at == START + 5


async def test_an_alert_thought_over_that_still_fires_is_told_again(house: House) -> None:
    """A resolve that was not true (Prometheus restarted) does not stand against Alertmanager's list."""
    await house.webhook(alert())
    await house.webhook(replace(alert(), status="resolved"))
    assert await house.firing() == []
    house.manager.fire(alert())
    await house.minute(2)
    assert await house.firing() == ["VaRBreach"]


async def test_what_a_person_dismissed_does_not_come_back(house: House) -> None:
    """It still fires, and somebody decided about this very firing."""
    await house.webhook(alert())
    house.manager.fire(alert())
    [incident] = await house.incidents()
    event = OperatorResolved(id="r1", at=house.clock.now(), by="demo-oncall", note="known", force=True)
    await house.engine.tell(SYSTEM, incident.id, event)
    await house.minute(4)
    assert await house.firing() == []
    await house.webhook(replace(alert(), status="resolved"))
    assert not (await read_beliefs(house.engine, SYSTEM, [alert()])).unknown(alert()), "nor is it told in vain"


@pytest.mark.parametrize("how", ["muted", "unprocessed"])
async def test_what_is_muted_or_not_yet_routed_is_not_brought_in(
    house: House, how: Literal["muted", "unprocessed"]
) -> None:
    """Somebody silenced it on purpose; or Alertmanager itself has not decided yet."""
    house.manager.fire(alert(), muted_by="1 silence" if how == "muted" else "")
    held = house.manager.held["fp-VaRBreach"]
    house.manager.held["fp-VaRBreach"] = replace(held, settled=how == "muted")
    await house.minute(4)
    assert await house.incidents() == []


async def test_alerts_for_other_receivers_are_left_alone(house: House) -> None:
    """An Alertmanager that serves others too: only what its routing sends to us is ours."""
    house.manager.receiver = "andon"
    house.manager.fire(alert("Theirs"), receivers=("slack",))
    house.manager.fire(alert("Ours"), receivers=("slack", "andon"))
    await house.minute(3)
    assert await house.firing() == ["Ours"]


async def test_a_watchdog_on_the_list_is_no_sign_of_life(house: House) -> None:
    """What the dead-man proves is the way to us; that Alertmanager holds the alert proves nothing of it."""
    critical = replace(WATCHDOG, labels=WATCHDOG.labels | {"severity": "critical"})
    house.manager.fire(critical)
    assert not (await read_beliefs(house.engine, SYSTEM, [critical])).unknown(critical)
    await house.minute(4)
    assert await house.store.load(SYSTEM, ["source:watch:watchdog"]) == {}


# --- ends that were never told ------------------------------------------------------------------------------------


async def test_an_end_that_was_never_delivered_is_found(house: House) -> None:
    """Missing from a healthy Alertmanager in two looks running: over, and the record says how we know."""
    await house.known(alert())
    await house.minute()
    assert await house.firing() == ["VaRBreach"]
    await house.minute()
    assert await house.firing() == []
    [incident] = await house.incidents()
    [state] = incident.alerts.values()
    assert state.alert.annotations[NOTE] == GONE
    assert incident.status == "resolved"


async def test_what_no_alertmanager_that_is_asked_ever_listed_is_left_alone(house: House) -> None:
    """One that posts here and stands in no `alertmanagers:` is the only one who knows when its alerts end."""
    await house.webhook(alert())
    await house.minute(5)
    assert await house.firing() == ["VaRBreach"]
    found = await house.antientropy.standing(SYSTEM, [alert()])
    assert (found.kind, found.why) == ("unknown", "no Alertmanager that Andon asks ever listed VaRBreach")


async def test_an_alert_shorter_than_a_look_ends_where_its_prometheus_is_known(house: House) -> None:
    """A Prometheus tells its Alertmanagers everything: what it made and none lists is over. Another's is not."""
    graph = "http://prometheus:9090/graph?g0.expr="
    house.manager.fire(replace(WATCHDOG, generator_url=graph + "vector(1)"))
    await house.webhook(
        replace(alert(), generator_url=graph + "var"),
        replace(alert("Theirs"), generator_url="http://elsewhere:9090/graph?g0.expr=var"),
    )
    await house.minute(2)
    assert await house.firing() == ["Theirs"]


async def test_what_one_listed_that_is_asked_no_more_is_left_alone(house: House) -> None:
    """It was taken out of the configuration and goes on posting: its alerts do not end because others lack them."""
    await house.known(alert())
    other = MemoryAlertmanager("b")
    other.fire(WATCHDOG)
    house.antientropy.follow([other], [])
    await house.minute(5)
    assert await house.firing() == ["VaRBreach"]


async def test_an_alert_that_is_listed_in_a_form_that_cannot_be_read_has_not_ended(house: House) -> None:
    """It is there; what it says is another matter."""
    await house.known(alert())
    house.manager.unread = frozenset({alert().fingerprint})
    await house.minute(5)
    assert await house.firing() == ["VaRBreach"]
    assert (await house.antientropy.standing(SYSTEM, [alert()])).kind == "unknown"


@pytest.mark.parametrize("predecessor", [False, True])
async def test_an_alarm_about_one_that_is_asked_no_more_is_over(house: House, predecessor: bool) -> None:
    """Nobody will ever find it well again; taken out while Andon was away, the next process clears it."""
    house.manager.down = "connection refused"
    await house.minute(5)
    assert await house.alarms() == [UNREACHABLE]
    now = House((MemoryAlertmanager("b"),), house.store, house.clock) if predecessor else house
    now.antientropy.follow([MemoryAlertmanager("b")], [])
    await now.minute()
    assert await now.alarms() == []


async def test_two_looks_running_means_running(house: House) -> None:
    """Missing, back, missing again: the alert flaps, nothing is concluded."""
    await house.known(alert())
    for _ in range(3):
        await house.minute()
        house.manager.fire(alert())
        await house.minute()
        house.manager.end("fp-VaRBreach")
    assert await house.firing() == ["VaRBreach"]


async def test_a_silenced_alert_still_fires(house: House) -> None:
    """Silence is not health: muting resolves nothing."""
    await house.webhook(alert())
    house.manager.fire(alert())
    house.manager.mute("fp-VaRBreach")
    await house.minute(5)
    assert await house.firing() == ["VaRBreach"]


@pytest.mark.parametrize("source", ["grafana", INJECTED, "stream:gate", "andon"])
async def test_alerts_from_elsewhere_are_left_alone(house: House, source: str) -> None:
    """Alertmanager never had them, so that it does not list them says nothing."""
    await house.webhook(alert(source=source))
    await house.minute(5)
    assert await house.firing() == ["VaRBreach"]


async def test_an_alertmanager_that_restarted_empty_resolves_nothing_and_says_so(house: House) -> None:
    """It keeps no alerts over a restart. Only after being fed again for long enough is its silence believed."""
    await house.known(alert())
    house.manager.restart()
    await house.minute(3)
    assert await house.alarms() == [], "a restart wakes nobody: it is refilled within a minute"
    await house.minute()
    assert (await house.firing(), await house.alarms()) == (["VaRBreach"], [EMPTY])
    house.manager.fire(WATCHDOG)
    house.manager.uptime_ms = 9 * MINUTE
    await house.minute(3)
    assert await house.firing() == ["VaRBreach"]
    house.manager.uptime_ms = 10 * MINUTE
    await house.minute(2)
    assert (await house.firing(), await house.alarms()) == ([], [])


@pytest.mark.parametrize("fed_ms", [None, 5 * MINUTE + 1])
async def test_an_alertmanager_that_nobody_feeds_resolves_nothing(house: House, fed_ms: int | None) -> None:
    """Prometheus is dead: its alerts end here by themselves, its Watchdog too."""
    await house.known(alert())
    if fed_ms is None:
        house.manager.end(WATCHDOG.fingerprint)
    else:
        house.manager.fed_ms = fed_ms
    await house.minute(10)
    assert (await house.firing(), await house.alarms()) == (["VaRBreach"], [EMPTY])


async def test_an_empty_alertmanager_is_fine_while_nothing_is_at_stake(house: House) -> None:
    """No Watchdog, nothing fires, nothing is thought to fire: a quiet day."""
    house.manager.restart()
    await house.minute(10)
    assert await house.alarms() == []


async def test_one_that_does_not_answer_resolves_nothing_and_is_told_of_after_a_while(house: House) -> None:
    """Unreachable says nothing about alerts; for longer than the patience it is an alarm, and its return the end."""
    await house.known(alert())
    house.manager.down = "connection refused"
    await house.minute(3)
    assert await house.alarms() == []
    await house.minute()
    assert (await house.firing(), await house.alarms()) == (["VaRBreach"], [UNREACHABLE])
    house.manager.down = ""
    await house.minute()
    assert await house.alarms() == []


async def test_short_outages_do_not_add_up(house: House) -> None:
    """Each counts by itself, from its first look."""
    seen = set()
    for _ in range(5):
        house.manager.down = "connection refused"
        await house.minute(3)
        seen |= set(await house.alarms())
        house.manager.down = ""
        await house.minute()
    assert seen == set()


async def test_the_looks_before_and_after_an_outage_are_not_two_running() -> None:
    """What was missing once, before nobody answered, is counted anew."""
    house = House()
    await house.known(alert())
    await house.minute()
    house.manager.down = "connection refused"
    await house.minute()
    house.manager.down = ""
    await house.minute()
    assert await house.firing() == ["VaRBreach"]
    await house.minute()
    assert await house.firing() == []


async def test_with_several_all_must_answer_and_none_may_have_it() -> None:
    """Highly available: one that has it, or one that is silent, is enough to keep it."""
    house = House((MemoryAlertmanager("a"), MemoryAlertmanager("b")))
    a, b = house.managers
    await house.webhook(alert())
    b.fire(alert())
    await house.minute(3)
    b.end("fp-VaRBreach")
    b.down = "connection refused"
    await house.minute(3)
    assert await house.firing() == ["VaRBreach"]
    b.down = ""
    b.restart()
    b.fire(WATCHDOG)
    await house.minute(3)
    assert await house.firing() == ["VaRBreach"], "one that just came back has not been told everything yet"
    a.uptime_ms = b.uptime_ms = 20 * MINUTE
    await house.minute(2)
    assert await house.firing() == []


async def test_many_are_brought_in_and_ended_in_bounded_writes(house: House) -> None:
    """A storm whose webhooks were all lost: everything is found, and later everything is over."""
    names = [f"A{number}" for number in range(1_200)]
    for name in names:
        house.manager.fire(alert(name))
    await house.minute(2)
    await house.work()
    assert len(await house.store.incidents(SYSTEM, closed=False, limit=2_000)) == 1_200
    for name in names:
        house.manager.end(f"fp-{name}")
    await house.minute(2)
    left = [line for line in await house.store.incidents(SYSTEM, closed=False, limit=2_000) if line.incident.firing]
    assert len(left) == 700, "five hundred are compared at a time; the others stay open"


# --- before anything risky ----------------------------------------------------------------------------------------


async def test_standing_says_what_is_so_right_now(house: House) -> None:
    """Asked afresh; firing outweighs silenced, and gone is only what a healthy Alertmanager does not list."""
    asked = [alert("A"), alert("B")]
    house.manager.fire(alert("A"), muted_by="1 silence")
    house.manager.fire(alert("B"))
    found = await house.antientropy.standing(SYSTEM, asked)
    assert (found.kind, found.why) == ("firing", "B still fires in Alertmanager")
    house = House()
    house.manager.fire(alert("A"), muted_by="1 silence")
    found = await house.antientropy.standing(SYSTEM, asked)
    assert (found.kind, found.why) == ("silenced", "A still fires, muted by 1 silence in Alertmanager")
    house = House()
    for one in asked:
        await house.known(one)
    found = await house.antientropy.standing(SYSTEM, asked)
    assert (found.kind, found.why) == ("gone", "no Alertmanager lists A, B any more")


async def test_standing_is_unknown_where_nobody_can_tell(house: House) -> None:
    """Never `gone`: an outage of Alertmanager's, its restart, or an alert of another source prove nothing."""
    house.manager.down = "connection refused"
    found = await house.antientropy.standing(SYSTEM, [alert()])
    assert found.kind == "unknown"
    assert "connection refused" in found.why
    house = House()
    house.manager.uptime_ms = 5_000
    assert (await house.antientropy.standing(SYSTEM, [alert()])).kind == "unknown"
    assert (await house.antientropy.standing(SYSTEM, [alert(source="grafana")])).kind == "unknown"
    assert (await House(()).antientropy.standing(SYSTEM, [alert()])).kind == "unknown"


async def test_what_was_not_foreseen_proves_nothing_and_breaks_nothing() -> None:
    """A bug while asking must not stop a step, nor pass for an alert that is gone."""

    class Broken(MemoryAlertmanager):
        async def look(self) -> View:
            raise KeyError("a bug")

    house = House((Broken(),))
    await house.webhook(alert())
    assert (await house.antientropy.standing(SYSTEM, [alert()])).kind == "unknown"
    await house.minute(5)
    assert (await house.firing(), await house.alarms()) == (["VaRBreach"], [UNREACHABLE])
    effects = [delivery.effect for delivery in await house.store.read_outbox("unrouted", 100, 0)]
    [page] = [effect for effect in effects if isinstance(effect, PageOncall)]
    assert "look whether it runs" in page.summary, "whoever is woken reads the sentence and the fix"


async def test_risky_steps_that_come_together_share_a_look(house: House) -> None:
    """Ten approvals at once are not ten questions."""
    house.manager.fire(alert())
    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(house.antientropy.standing(SYSTEM, [alert()]))
    assert house.manager.looks == 1


async def test_it_goes_on_for_ever_and_follows_the_configuration(house: House) -> None:
    """A look that fails is followed by the next; a new configuration is looked at straight away."""
    house.store.down = "disk full"
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(house.antientropy.run())
        while house.manager.looks < 1:
            await asyncio.sleep(0)
        other = MemoryAlertmanager("b")
        house.antientropy.follow([other], [])
        while other.looks < 1:
            await asyncio.sleep(0)
        running.cancel()
