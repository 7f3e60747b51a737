"""What must not happen when time, disks and other workers misbehave. Real engine, real store, a twin of the target."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.core.orders import OperatorTook
from bot.core.reading import Reading
from bot.core.record import Applied
from bot.engine import promise, runtime
from bot.errors import Rejected, Unknown
from tests.integration.engine.floor import PLAN, SHARD, Floor, Hang


async def test_an_intent_that_grew_old_before_it_left_is_not_sent(floor, breach, monkeypatch):
    """The journal's disk hangs: what is declared and not on its way in time stays here, and a human is called."""
    monkeypatch.setattr(promise, "DECLARE_SECONDS", 0.2)
    hangs = asyncio.Event()

    async def hang(intent, system: str = "") -> None:
        await hangs.wait()

    floor.people.intend = hang
    await floor.fire(breach)
    incident = await floor.status("parked")
    assert "durable in time" in incident.why
    hangs.set()
    await floor.quiet()
    assert floor.risk.requests == []


@pytest.mark.parametrize(("meanwhile", "outcome"), [("kill switch", "not_sent"), ("loss", "unknown")])
async def test_what_stops_it_between_declaring_and_sending_stops_it(floor, breach, meanwhile, outcome):
    """The switch is engaged, or a loss is found, while the intent is written: declared, and never sent.

    After a loss nobody knows whether the store has forgotten an earlier send, so a person is told that.
    """
    write = floor.people.intend

    async def written(intent, system: str = "") -> None:
        await write(intent, system)
        if meanwhile == "loss":
            floor.store.marks.forgot("trading-core", "a record stands behind")
        else:
            floor.people.switch = "the kill switch is engaged by demo-oncall: fire drill"

    floor.people.intend = written
    await floor.fire(breach)
    incident = await floor.status("parked")
    assert ("a record stands behind" if meanwhile == "loss" else "fire drill") in incident.why
    (intent, concluded) = floor.people.intents
    assert concluded == f"{intent.rpartition('/')[0]}:{outcome}"
    assert floor.risk.requests == []


async def test_an_intent_that_no_replica_has_is_not_acted_upon(floor, breach):
    """The store should have a replica and has none: alerts are taken, nothing is sent, and a human is called."""
    await floor.kill()
    floor.wait_replicas = 1
    await floor.start()
    await floor.fire(breach)
    incident = await floor.status("parked")
    assert "0 of 1 replicas confirmed it" in incident.why
    await floor.quiet()
    assert floor.risk.requests == []
    assert floor.store.standing.startswith("no replica confirms writes")


async def test_what_was_not_declared_when_somebody_took_it_is_not_sent(floor, breach):
    """A step was handed out, its worker dies before it promises anything, and a person takes the incident meanwhile:
    whoever runs the step again sends nothing, and calls nobody."""
    hang = Hang()
    floor.risk.before_look = hang
    await floor.fire(breach)
    await asyncio.wait_for(hang.reached.wait(), 5)
    acting = await floor.status("acting")
    took = OperatorTook(id="take-1", at=floor.engine.clock.now(), by="demo-oncall")
    assert isinstance(await floor.engine.tell(SHARD, acting.id, took), Applied)
    await floor.kill()
    floor.risk.before_look = None
    await floor.start()
    incident = await floor.status("parked")
    assert "demo-oncall has it" in incident.why
    await floor.quiet()
    assert floor.risk.requests == []
    assert floor.people.disk.intents == {}, "nothing was promised"
    assert incident.paged == {}


async def test_a_second_attempt_is_not_made_once_somebody_took_it(floor, breach):
    """The first had no answer, and meanwhile a person has it: they hear that nobody knows, and it is not repeated."""

    async def taken() -> None:
        acting = await floor.status("acting")
        took = OperatorTook(id="take-1", at=floor.engine.clock.now(), by="demo-oncall")
        await floor.engine.tell(SHARD, acting.id, took)
        raise Unknown("no answer")

    floor.risk.before_send = taken
    await floor.fire(breach)
    incident = await floor.status("parked")
    assert "nobody can tell whether it took effect" in incident.why
    assert "demo-oncall has it" in incident.why
    assert [intent.attempt for intent in floor.people.disk.intents.values()] == [1]


async def test_what_is_taken_up_again_must_still_be_guarded(floor, breach):
    """Killed between intent and send, and the evidence is stale at the restart: nothing is sent, a human decides."""
    hang = Hang()
    floor.risk.before_send = hang
    await floor.fire(breach)
    await asyncio.wait_for(hang.reached.wait(), 5)
    await floor.kill()
    floor.risk.before_send = None

    async def stale(system, declared, alerts, now):
        return tuple(Reading(name=name, value=None, error="is 300 s old, older than 60 s") for name in declared)

    floor.risk.read = stale
    await floor.start()
    incident = await floor.status("parked")
    assert "not sent again" in incident.why
    assert "300 s old" in incident.why
    assert floor.risk.requests == []


async def test_a_policy_that_no_longer_acts_is_not_taken_up_again(floor, breach):
    """Killed between intent and send, and the policy only suggests at the restart: nothing is sent."""
    hang = Hang()
    floor.risk.before_send = hang
    await floor.fire(breach)
    await asyncio.wait_for(hang.reached.wait(), 5)
    await floor.kill()
    floor.risk.before_send = None
    floor.plan = replace(PLAN, mode="suggest")
    await floor.start()
    incident = await floor.status("parked")
    assert "not sent again" in incident.why
    assert floor.risk.requests == []


async def test_a_second_worker_on_the_same_effect_reports_nothing(floor, valkey, breach):
    """The effect is handed to a second replica while the first is sending: one request, and its true outcome."""
    second = Floor(valkey)
    second.risk, second.people = floor.risk, floor.people
    sending, go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        sending.set()
        await go.wait()

    floor.risk.after_send = slow
    await floor.fire(breach)
    await asyncio.wait_for(sending.wait(), 5)
    await second.start("r2")
    try:
        outbox = []
        while not outbox:
            _, outbox = await second.store.reclaim("trading-core", 1, 100)
        async with asyncio.TaskGroup() as tasks:
            second.runtime._dispatch["trading-core"].take(outbox, tasks)
            await asyncio.sleep(0)
        go.set()
        await floor.status("mitigated")
        assert floor.risk.changes == [(0.25, 0.1)]
    finally:
        await second.kill()


async def test_what_is_handed_out_again_after_a_loss_is_not_begun_beside_itself(floor, breach):
    """The store is found to have forgotten something amid a send: its effect comes under a new name, and is known."""
    sending, go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        sending.set()
        await go.wait()

    floor.risk.before_send = slow
    await floor.fire(breach)
    await asyncio.wait_for(sending.wait(), 5)
    floor.store.marks.forgot("trading-core", "a record stands behind")
    _, outbox = await floor.store.reclaim("trading-core", 0, 100)
    assert any(each.delivery.endswith("@1") and each.effect.kind == "run_step" for each in outbox)
    dispatch = floor.runtime._dispatch["trading-core"]
    async with asyncio.TaskGroup() as tasks:
        dispatch.take(outbox, tasks)
        assert len(dispatch._running) == 1
        go.set()
    await floor.status("mitigated")
    await floor.quiet()  # acknowledged under the new name
    assert floor.risk.requests == [0.1]


async def test_a_hung_chat_does_not_keep_a_stop(floor, breach, monkeypatch):
    """Ctrl-C ends the bot in bounded time, whatever chat does."""
    hang = asyncio.Event()

    async def never(message) -> str:
        await hang.wait()
        return ""

    floor.people.post = never
    await floor.fire(breach)
    await floor.status("mitigated")
    monkeypatch.setattr(runtime, "DRAIN_SECONDS", 0.3)
    await asyncio.wait_for(floor.stop(), 10)


async def test_a_refusal_after_an_unanswered_attempt_is_not_called_unsent(floor, breach):
    """The first attempt has no answer, the second is refused: whether the first took effect, nobody knows."""
    attempts = 0

    async def answerless_then_refused(context, proceed) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise Unknown("connection reset after the request was sent")
        raise Rejected("409")

    floor.risk.send = answerless_then_refused
    await floor.fire(breach)
    incident = await floor.status("parked")
    assert [result.outcome for result in incident.results] == ["unknown"]
    assert attempts == 2


async def test_a_once_action_without_an_answer_is_sent_no_second_time(valkey, breach):
    """The request left and nothing came back, in the same process: only a person may send it again."""
    floor = Floor(valkey, replace(PLAN, steps=(replace(PLAN.steps[0], delivery="once"),)))
    await floor.start()
    await floor.arm()
    attempts = 0

    async def answerless(context, proceed) -> None:
        nonlocal attempts
        attempts += 1
        raise Unknown("connection reset after the request was sent")

    floor.risk.send = answerless
    try:
        await floor.fire(breach)
        incident = await floor.status("parked")
        assert [result.outcome for result in incident.results] == ["unknown"]
        assert attempts == 1
    finally:
        await floor.kill()


async def test_all_alerts_of_one_webhook_are_before_the_eyes_of_the_step(floor, breach):
    """The turn is asked for after the whole batch is folded, so the evidence covers every symbol that fires."""
    seen: list[int] = []
    read = floor.risk.read

    async def counting(system, declared, alerts, now):
        seen.append(len(alerts))
        return await read(system, declared, alerts, now)

    floor.risk.read = counting
    others = [replace(breach, fingerprint=f"{n:016x}", labels={**breach.labels, "symbol": f"S{n}"}) for n in range(30)]
    await floor.fire(*others)
    await floor.status("mitigated")
    assert seen[0] == 30
