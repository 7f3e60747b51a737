"""`service.restart`: a service is restarted on the current primary, or left alone where it is well."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from bot.engine.action_ports import ActionContext, AlreadySo, CannotTell, Proceed, Unfit
from bot.engine.connector_ports import ProgramReply
from bot.errors import NotSent, TargetError, Unknown
from bot.testing.local_targets import MemoryProgram, Ran
from bot.testing.redis_twin import HEALTHY, MemoryRedis
from bot.testing.targets import MemoryTargets
from remediations.service_restart import RUN_SECONDS, SPEC, ServiceRestart
from remediations.service_state import HEALTH_SECONDS

SYSTEM, NAME = "trading-core", "strategist"
RESTART = "/usr/local/bin/restart-service"
HERE, OLD = HEALTHY.primary.address, HEALTHY.replicas[0].address
UNKNOWN = "127.0.0.1:7009"  # no server of that Redis
ARGUMENTS = '{"reason":"redis was failed over","store":"redis"}'


@dataclass
class House:
    targets: MemoryTargets
    redis: MemoryRedis
    program: MemoryProgram
    context: ActionContext

    def stands(self, health: str, redis: str) -> None:
        self.targets.fields[SYSTEM, NAME, "health"] = health
        self.targets.fields[SYSTEM, NAME, "redis"] = redis

    async def proceed(self) -> Proceed:
        found = await ServiceRestart().inspect(self.context, ARGUMENTS)
        assert isinstance(found, Proceed)
        return found


@pytest.fixture
def house() -> House:
    targets = MemoryTargets()
    redis = targets.add_redis(SYSTEM, "redis", MemoryRedis())
    program = targets.add_program(SYSTEM, NAME, allow=[RESTART])
    made = House(targets, redis, program, ActionContext(system=SYSTEM, component=NAME, targets=targets, now=0))
    program.on_run = lambda ran: made.stands("healthy", ran.arguments[1])
    made.stands("healthy", OLD)
    return made


async def test_it_is_restarted_on_the_primary_of_now(house: House) -> None:
    """Healthy on yesterday's primary is not well: it writes where nothing is kept."""
    found = await house.proceed()
    assert found.before == f'{{"health":"healthy","primary":"{HERE}","redis":"{OLD}"}}'
    assert (found.by_hand, found.ask) == (f"{RESTART} {NAME} {HERE}", "")
    await ServiceRestart().send(house.context, found)
    assert house.program.ran == [Ran(RESTART, (NAME, HERE), RUN_SECONDS)]
    seen = await ServiceRestart().read_back(house.context, found)
    assert (seen.as_wanted, seen.why) == (True, f"{NAME} is healthy on {HERE}")


async def test_one_that_is_well_is_left_alone(house: House) -> None:
    """Asked for once more after a crash of Andon, it interrupts nobody."""
    found = await house.proceed()
    house.stands("healthy", HERE)
    assert isinstance(await ServiceRestart().inspect(house.context, ARGUMENTS), AlreadySo)
    with pytest.raises(NotSent, match="became healthy"):
        await ServiceRestart().send(house.context, found)
    assert house.program.ran == []


async def test_a_primary_that_moved_again_stops_it(house: House) -> None:
    """What was approved names an address; on another one nothing is restarted."""
    found = await house.proceed()
    house.redis.seen = replace(HEALTHY, primary=replace(HEALTHY.primary, address=OLD), claims=(OLD,))
    with pytest.raises(NotSent, match=f"the primary is {OLD} now, not {HERE}"):
        await ServiceRestart().send(house.context, found)
    assert house.program.ran == []


async def test_two_primaries_are_a_split_brain(house: House) -> None:
    """Whichever of them a service were put on, the writes of one are lost."""
    found = await house.proceed()
    house.redis.seen = replace(HEALTHY, claims=(HERE, OLD))
    refused = await ServiceRestart().inspect(house.context, ARGUMENTS)
    assert isinstance(refused, Unfit)
    assert refused.why == f"{HERE} and {OLD} are both called primary of redis: a split brain"
    with pytest.raises(NotSent, match="split brain"):
        await ServiceRestart().send(house.context, found)


@pytest.mark.parametrize(
    ("health", "asks"), [("starting", "is starting already"), ("", "its health cannot be read"), ("down", "")]
)
async def test_a_person_decides_about_one_that_starts_or_is_silent(health: str, asks: str, house: House) -> None:
    """Beginning its start anew may be the harm, and silence may be ours; a service that says it is down is clear."""
    house.stands(health, HERE)
    if not health:
        del house.targets.fields[SYSTEM, NAME, "health"]
    assert asks in (await house.proceed()).ask
    assert bool((await house.proceed()).ask) is bool(asks)


@pytest.mark.parametrize("said", ["localhost:7001", "[::ffff:127.0.0.1]:7001", "127.1:7001"])
async def test_a_healthy_service_that_uses_another_name_is_left_alone(said: str, house: House) -> None:
    """A host name and an IP address of one server are one place; what is well there is not interrupted."""
    found = await house.proceed()
    house.stands("healthy", said)
    inspection = await ServiceRestart().inspect(house.context, ARGUMENTS)
    assert isinstance(inspection, AlreadySo)
    with pytest.raises(NotSent, match="became healthy"):
        await ServiceRestart().send(house.context, found)
    seen = await ServiceRestart().read_back(house.context, found)
    assert (seen.as_wanted, seen.why) == (True, f"{NAME} is healthy on {said}")
    assert house.program.ran == []


@pytest.mark.parametrize("said", [UNKNOWN, "redis.invalid:7001", "redis", "", "localhost:seven"])
async def test_a_healthy_service_at_an_address_nobody_knows_is_a_person_s(said: str, house: House) -> None:
    """It may be the primary by a name that means nothing here: only what is known to be another server is elsewhere."""
    before = await house.proceed()
    house.stands("healthy", said)
    found = await house.proceed()
    assert found.ask == f"{NAME} is healthy on {said}, and nothing tells whether that is {HERE} by another name"
    with pytest.raises(NotSent, match=r"meanwhile .* nothing tells whether"):
        await ServiceRestart().send(house.context, before)  # nobody was asked about this
    await ServiceRestart().send(house.context, found)  # somebody said yes
    assert len(house.program.ran) == 1


async def test_one_that_names_another_server_by_its_host_name_is_elsewhere(house: House) -> None:
    """Yesterday's primary by any of its names; a home that does not answer may be the primary by another name."""
    house.stands("healthy", OLD.replace("127.0.0.1", "localhost"))
    assert (await house.proceed()).ask == ""
    house.redis.seen = replace(HEALTHY, home=UNKNOWN)
    house.stands("healthy", UNKNOWN)
    assert "by another name" in (await house.proceed()).ask


async def test_what_cannot_be_resolved_afterwards_is_not_proved(house: House) -> None:
    """It came up on a name that means nothing here: neither done nor failed."""
    found = await house.proceed()
    house.stands("healthy", "redis.invalid:7001")
    seen = await ServiceRestart().read_back(house.context, found)
    assert seen.as_wanted is None
    assert f"whether that is {HERE} cannot be told" in seen.why
    house.stands("healthy", OLD)
    assert (await ServiceRestart().read_back(house.context, found)).as_wanted is False


async def test_without_a_primary_nothing_can_be_told(house: House) -> None:
    """A restart onto nothing helps nobody."""
    found = await house.proceed()
    house.redis.unseen = TargetError("no primary of redis answers")
    assert isinstance(await ServiceRestart().inspect(house.context, ARGUMENTS), CannotTell)
    with pytest.raises(NotSent, match="no primary"):
        await ServiceRestart().send(house.context, found)


async def test_two_allowed_programs_are_one_too_many(house: House) -> None:
    """Which of them restarts the service is never guessed."""
    house.program.programs = (RESTART, "/usr/local/bin/stop-service")
    refused = await ServiceRestart().inspect(house.context, ARGUMENTS)
    assert isinstance(refused, Unfit)
    assert "allows 2 programs" in refused.why


async def test_a_program_that_fails_leaves_it_open(house: House) -> None:
    """Stopped and not started again is possible, so its code proves nothing; the next attempt looks again."""
    found = await house.proceed()
    house.program.answers[RESTART] = ProgramReply(3, "no such unit")
    with pytest.raises(Unknown, match="ended with 3 and wrote no such unit"):
        await ServiceRestart().send(house.context, found)


async def test_one_that_needs_long_is_waited_for_and_then_told_as_it_is(house: House) -> None:
    """A slow start is no reason to restart it once more: the send ends well, and the read-back says what it is."""
    found = await house.proceed()
    house.program.on_run = lambda ran: house.stands("starting", ran.arguments[1])
    await ServiceRestart(health_seconds=0.01).send(house.context, found)
    seen = await ServiceRestart().read_back(house.context, found)
    assert (seen.as_wanted, seen.why) == (False, f"{NAME} is starting on {HERE}")


def test_one_send_has_the_time_it_needs() -> None:
    """Program, its end by force, and the wait for health fit into what the dispatcher gives one send."""
    assert SPEC.send_ms / 1_000 >= RUN_SECONDS + 2.0 + HEALTH_SECONDS + 2.0
