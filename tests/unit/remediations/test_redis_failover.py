"""`redis.failover` and `redis.failback`: what is refused with which figure, what asks, what proves what (row T3)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot.engine.action_ports import AlreadySo, Inspection, Proceed, Unfit
from bot.engine.connector_ports import RedisLook
from bot.errors import NotSent, Rejected, TargetError, Unknown
from bot.testing.redis_twin import MemoryRedis
from remediations import failover_proof
from remediations.redis_failback import SPEC as FAILBACK
from remediations.redis_failback import RedisFailback
from remediations.redis_failover import SPEC, RedisFailover
from tests.unit.remediations.redis_floor import INFO, LOOK, PRIMARY, REPLICA, A, B, C, context, redis

pytestmark = pytest.mark.looptime  # what is waited for in vain takes no real time
ARGUMENTS = '{"reason":"Redis p99 above 5 ms"}'
SERVER = replace(LOOK, sentinels=0, agreeing=0, quorum=0, epoch=0, means="server")  # nobody watches it
AWAY = replace(  # after a failover: home (A) follows B
    LOOK,
    primary=replace(PRIMARY, address=B),
    replicas=(replace(REPLICA, address=A, of=B),),
    claims=(B,),
    epoch=5,
)
THIRD = replace(REPLICA, address=C, offset=980)


async def inspect(twin: MemoryRedis, action: type[RedisFailover] = RedisFailover) -> Inspection:
    return await action().inspect(context(twin), ARGUMENTS)


async def proceed(twin: MemoryRedis, action: type[RedisFailover] = RedisFailover) -> Proceed:
    found = await inspect(twin, action)
    assert isinstance(found, Proceed), found
    return found


def with_replica(**changes: object) -> RedisLook:
    return replace(LOOK, replicas=(replace(REPLICA, **changes),))  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("look", [LOOK, SERVER])
async def test_it_moves_the_primary_once_and_proves_it(look: RedisLook) -> None:
    """Every precondition is on the card with its figure; afterwards roles, epoch or history, offset and a canary."""
    twin = redis(look)
    found = await proceed(twin)
    before = json.loads(found.before)
    assert (before["primary"], before["replica"], before["behind_bytes"]) == (A, B, 10)
    assert (before["primary_p99_us"], before["replica_p99_us"], before["primaries"]) == (9_000, 200, 1)
    assert (json.loads(found.wanted), found.ask, twin.sent) == ({"primary": B}, "", [])
    assert {*SPEC.pins} <= {*before}
    assert before["fit"] == [B]
    await RedisFailover().send(context(twin), found)
    assert [command[:2] for command in twin.sent] == [
        ("SENTINEL", "FAILOVER") if look.sentinels else ("FAILOVER", "TO")
    ]
    seen = await RedisFailover().read_back(context(twin), replace(found, wanted="{}"))
    assert seen.as_wanted is True, seen.why
    assert json.loads(seen.after)["canary"] == "arrived"
    assert twin.sent[1:] == [("SET", failover_proof.CANARY, "int-1 5", "EX", "3600")]


REFUSALS = {
    "no replica": (replace(LOOK, replicas=()), "has no replica"),
    "replica down": (with_replica(error="Connection refused"), f"replica {B} is down: Connection refused"),
    "link down": (with_replica(link_up=False, offset=400), "link to the primary is down, and it is 600 bytes behind"),
    "another's": (with_replica(of=C), f"follows {C}, not {A}"),
    "writable": (with_replica(read_only=False), "no read-only replica"),
    "another history": (with_replica(replid="c" * 40), "another history (cccccccc)"),
    "behind": (
        replace(LOOK, primary=replace(PRIMARY, offset=2_000_000), replicas=(REPLICA,)),
        "1999010 bytes behind; at most 1048576",
    ),
    "persistence": (with_replica(persistence="the last background save failed"), "the last background save failed"),
    "slow": (with_replica(p99_us=5_000.0), "slow itself: p99 5000 us, the limit is 5000 us"),
    "split brain": (replace(LOOK, claims=(A, B)), f"split brain: {A} and {B}"),
    "no quorum": (replace(LOOK, agreeing=1), "only 1 of 3 Sentinels"),
    "no majority": (replace(LOOK, agreeing=2, quorum=1, sentinels=5), "only 2 of 5 Sentinels"),
    "no way": (replace(LOOK, means="", why_not="know no COORDINATED"), "COORDINATED; by hand, at that risk: redis-cli"),
    "home": (AWAY, f"the only replica is at {A}, where this Redis is at home"),
    "sentinel may choose a slow one": (
        replace(LOOK, replicas=(REPLICA, replace(THIRD, p99_us=7_000.0))),
        f"could choose another one: replica {C} is slow itself",
    ),
    "sentinel may choose home": (
        replace(AWAY, replicas=(*AWAY.replicas, replace(THIRD, of=B))),
        f"could choose {A} instead of {C}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("look", "why"), REFUSALS.values(), ids=REFUSALS)
async def test_what_could_lose_writes_is_refused_with_its_figure(look: RedisLook, why: str) -> None:
    """None of these is ever sent, and a person reads the number that spoke against it."""
    twin = redis(look)
    found = await inspect(twin)
    assert isinstance(found, Unfit)
    assert why in found.why
    assert twin.sent == []


async def test_a_failover_under_way_is_not_run_into() -> None:
    """The primary itself says that it is handing over."""
    found = await inspect(redis(info=INFO.replace("no-failover", "waiting-for-sync")))
    assert isinstance(found, Unfit)
    assert "under way already (waiting-for-sync)" in found.why


@pytest.mark.parametrize(
    ("twin", "why"),
    [
        (redis(replace(LOOK, primary=replace(PRIMARY, p99_us=300))), "not slow as seen from here (p99 300 us"),
        (redis(info=INFO.replace("_clients:12", "_clients:8000")), "8000 of 10000 clients"),
        (redis(replace(LOOK, home="10.9.9.9:6379")), "none of the servers is at 10.9.9.9:6379"),
        (redis(replace(LOOK, primary=replace(PRIMARY, p99_us=None))), "could not be measured"),
        (redis(replace(LOOK, primary=replace(PRIMARY, persistence="disk full"))), "disk full"),
    ],
)
async def test_a_cause_that_may_not_be_the_primarys_own_is_asked_about(twin: MemoryRedis, why: str) -> None:
    """It may be done, but only if a person says so, whatever the policy allows."""
    assert why in (await proceed(twin)).ask


@pytest.mark.parametrize(
    "look",
    [
        replace(LOOK, epoch=5),
        replace(AWAY, epoch=4),
        replace(LOOK, replicas=(replace(REPLICA, link_up=False),)),
        replace(LOOK, claims=(A, B)),
    ],
    ids=["epoch", "roles", "replica", "split brain"],
)
async def test_what_changed_since_the_inspection_is_not_sent(look: RedisLook) -> None:
    """Between approval and request another failover may have happened, or the replica may have gone."""
    twin = redis()
    found = await proceed(twin)
    twin.seen = look
    with pytest.raises(NotSent):
        await RedisFailover().send(context(twin), found)
    assert twin.sent == []


@pytest.mark.parametrize("error", [NotSent("no connection"), Rejected("-NOGOODSLAVE"), Unknown("no answer")])
async def test_how_the_request_ends_is_told_as_it_is(error: TargetError) -> None:
    """The connector's word stands: only NotSent and Rejected say that nothing was done."""
    twin = redis(failing=error)
    with pytest.raises(type(error)):
        await RedisFailover().send(context(twin), await proceed(twin))


UNPROVEN = {
    "nothing happened": (LOOK, f"the primary is still {A} (epoch 4)"),
    "epoch of before": (replace(AWAY, epoch=4), "epoch is 4, not above 4"),
    "a third server": (
        replace(AWAY, primary=replace(PRIMARY, address=C)),
        f"neither the old one nor a wanted one: {C}",
    ),
    "writes are lost": (
        replace(AWAY, primary=replace(PRIMARY, address=B, offset=900)),
        "at offset 900, below 1000 of the old primary: writes are lost",
    ),
    "split brain": (replace(AWAY, claims=(A, B)), f"{A} and {B} are called primary"),
    "never back": (replace(AWAY, replicas=()), f"the old primary {A} is not back as a replica"),
    "down": (replace(AWAY, replicas=(replace(AWAY.replicas[0], error="refused"),)), "not back as a replica: refused"),
    "not following": (replace(AWAY, replicas=(replace(AWAY.replicas[0], of=C),)), "does not follow"),
    "still writable": (replace(AWAY, replicas=(replace(AWAY.replicas[0], read_only=False),)), "is not read-only"),
}


@pytest.mark.parametrize(("look", "why"), UNPROVEN.values(), ids=UNPROVEN)
async def test_what_does_not_prove_it_is_never_called_done(look: RedisLook, why: str) -> None:
    """Each of roles, epoch, offset, claims and the old primary must be as a finished failover leaves it."""
    twin = redis()
    found = await proceed(twin)
    twin.seen = look
    seen = await RedisFailover().read_back(context(twin), found)
    assert seen.as_wanted is False
    assert why in seen.why
    assert twin.sent == [], "nothing is written to a Redis in such a state"


async def test_without_sentinels_a_new_history_stands_for_the_epoch() -> None:
    """A server's promotion gives its history a new id; with the old one nobody was promoted."""
    twin = redis(SERVER)
    found = await proceed(twin)
    twin.seen = replace(SERVER, primary=AWAY.primary, replicas=AWAY.replicas, claims=(B,))
    assert "the history aaaaaaaa of before" in (await RedisFailover().read_back(context(twin), found)).why


async def test_somebody_elses_failover_that_forgot_writes_is_never_called_done() -> None:
    """Roles, epoch and offset are as wanted, and the old primary's last writes are gone: a person must compare."""
    twin = redis()
    found = await proceed(twin)
    twin.promote(B, plain=True)
    seen = await RedisFailover().read_back(context(twin), found)
    assert seen.as_wanted is None
    assert f"it moved to {B}, epoch 4 → 5, and nothing shows by whom; writes may be lost" in seen.why
    assert twin.sent == [], "a person compares first"


HANDED = {"former": "a" * 40, "former_until": 1_001}  # as both servers tell it after a coordinated handover


@pytest.mark.parametrize(
    ("new", "old", "as_wanted", "why"),
    [
        ({}, {}, True, "not a byte lost"),
        ({"former": ""}, {}, None, f"{B} does not continue the history that {A} had"),
        ({"former": "c" * 40}, {}, None, "does not continue the history"),
        ({}, {"former": "", "former_until": -1}, None, f"{A} had to copy everything from {B}"),
        ({}, {"former_until": 1_002}, None, f"{B} took over at offset 1001, and {A} gave up at 1002"),
        ({}, {"run_id": "3" * 40}, None, f"{A} was started anew since"),
        ({"former_until": 901}, {}, False, f"{B} took over at offset 900, below 1000 of the old primary"),
    ],
)
async def test_only_histories_without_a_fork_prove_that_nothing_is_lost(
    new: dict[str, object], old: dict[str, object], as_wanted: bool | None, why: str
) -> None:
    """After an interruption each part of that proof is needed, and an earlier take-over is a loss for sure."""
    twin = redis()
    found = await proceed(twin)
    after = replace(AWAY.replicas[0], **{"run_id": "1" * 40} | HANDED | old)  # type: ignore[arg-type]  # by name
    promoted = replace(AWAY.primary, run_id="2" * 40, offset=9_000, **HANDED | new)  # type: ignore[arg-type]  # by name
    twin.seen = replace(AWAY, primary=promoted, replicas=(after,))
    seen = await RedisFailover().read_back(context(twin), found)
    assert (seen.as_wanted, why in seen.why) == (as_wanted, True), seen.why


async def test_our_own_request_that_was_taken_needs_no_histories() -> None:
    """The server took it and the roles changed under our eyes; what the histories leave open is told all the same."""
    twin, action = redis(), RedisFailover()
    found = await action.inspect(context(twin), ARGUMENTS)
    assert isinstance(found, Proceed)
    await action.send(context(twin), found)
    twin.seen = replace(twin.seen, replicas=(replace(twin.seen.replicas[0], former=""),))
    seen = await action.read_back(context(twin), found)
    assert seen.as_wanted is True
    assert "the histories do not show that nothing is lost" in seen.why


async def test_what_an_older_version_recorded_is_never_proof() -> None:
    """An intent from before an upgrade of Andon names no process: a person decides."""
    twin = redis()
    found = await proceed(twin)
    before = json.loads(found.before)
    del before["run_id"]
    twin.promote(B)
    assert (await RedisFailover().read_back(context(twin), replace(found, before=json.dumps(before)))).as_wanted is None


@pytest.mark.parametrize(
    ("twin", "as_wanted", "why"),
    [
        (redis(failing=Rejected("-NOREPLICAS")), False, "takes no writes: -NOREPLICAS"),
        (redis(failing=NotSent("SET andon:canary is not allowed")), None, "no write was tried"),
        (redis(failing=Unknown("no answer")), None, "a write had no answer"),
        (redis(arrives=False), False, "did not arrive"),
    ],
)
async def test_roles_alone_are_not_enough(twin: MemoryRedis, as_wanted: bool | None, why: str) -> None:
    """Writes must land on the new primary and reach the old one; where that cannot be tried, nothing is claimed."""
    found = await proceed(twin)
    twin.promote(B)
    seen = await RedisFailover().read_back(context(twin), found)
    assert (seen.as_wanted, why in seen.why) == (as_wanted, True), seen.why


async def test_sentinels_may_choose_any_fit_replica() -> None:
    """With two of them Andon cannot say which; both were judged, so either one is the failover that was wanted."""
    twin = redis(replace(LOOK, replicas=(REPLICA, THIRD)))
    found = await proceed(twin)
    assert json.loads(found.before)["fit"] == [B, C]
    assert json.loads(found.wanted) == {"primary": f"{B} or {C}"}, "which of them is not ours to say"
    twin.promote(C)
    assert (await RedisFailover().read_back(context(twin), found)).as_wanted is True


@pytest.mark.parametrize("look", [LOOK, SERVER])
async def test_which_of_two_replicas_is_ahead_is_no_change(look: RedisLook) -> None:
    """Under load that changes with every write: it neither voids a yes nor stops the send, and is not told as one."""
    twin = redis(replace(look, replicas=(REPLICA, THIRD)))
    found = await proceed(twin)
    twin.seen = replace(twin.seen, replicas=(REPLICA, replace(THIRD, offset=999)))
    again = await proceed(twin)
    assert [json.loads(found.before)[pin] for pin in SPEC.pins] == [json.loads(again.before)[pin] for pin in SPEC.pins]
    assert found.wanted == again.wanted
    await RedisFailover().send(context(twin), found)
    assert len(twin.sent) == 1


async def test_a_server_is_told_the_replica_that_was_approved() -> None:
    """The better address has come back meanwhile: the yes was to the other one."""
    down = replace(REPLICA, error="Connection refused")
    twin = redis(replace(SERVER, replicas=(down, THIRD)))
    found = await proceed(twin)
    twin.seen = replace(twin.seen, replicas=(REPLICA, THIRD))
    await RedisFailover().send(context(twin), found)
    assert twin.sent == [("FAILOVER", "TO", C)]


@pytest.mark.parametrize(
    ("look", "why"),
    [
        (replace(LOOK, epoch=5), f"{A} is primary now, epoch 5; it was {A}, epoch 4"),
        (replace(LOOK, replicas=(REPLICA, THIRD)), f"{B} or {C} could become primary now; it was {B}"),
        (with_replica(error="Connection refused"), f"nobody could become primary now; it was {B}"),
    ],
)
async def test_what_changed_is_told_as_it_is(look: RedisLook, why: str) -> None:
    """The words name the change, and the very one."""
    twin = redis()
    found = await proceed(twin)
    twin.seen = look
    with pytest.raises(NotSent) as refused:
        await RedisFailover().send(context(twin), found)
    assert str(refused.value) == f"the servers changed: {why}"


async def test_a_replica_that_is_never_to_be_primary_is_no_candidate() -> None:
    """Sentinel never chooses priority 0: it neither counts as fit nor forbids the failover by what it is."""
    never = replace(THIRD, priority=0, p99_us=7_000.0)
    found = await proceed(redis(replace(LOOK, replicas=(REPLICA, never))))
    assert json.loads(found.before)["fit"] == [B]
    alone = await inspect(redis(with_replica(priority=0)))
    assert isinstance(alone, Unfit)
    assert f"{B} has replica-priority 0: it is never to become primary" in alone.why


async def test_failback_goes_home_only_and_is_always_asked_about() -> None:
    """It raises exposure, so no policy can do it by itself (law 4); at home there is nothing to do."""
    assert (FAILBACK.direction, FAILBACK.risk, FAILBACK.delivery) == ("raises", "risky", "once")
    twin = redis(AWAY)
    assert json.loads((await proceed(twin, RedisFailback)).before)["replica"] == A
    assert isinstance(await inspect(redis(), RedisFailback), AlreadySo)
    nowhere = redis(replace(AWAY, replicas=(replace(THIRD, of=B),)))
    found = await inspect(nowhere, RedisFailback)
    assert isinstance(found, Unfit)
    assert f"no replica is at home ({A})" in found.why


async def test_the_new_address_is_announced_where_a_channel_is_named() -> None:
    """After the roles have changed, once; where it cannot be told, the failover counts and the reason is kept."""
    twin, told = redis(SERVER), json.dumps({"announce": "param.reload", "reason": "x", "slow_us": 5_000})
    found = await RedisFailover().inspect(context(twin), told)
    assert isinstance(found, Proceed)
    await RedisFailover().send(context(twin), found)
    assert twin.sent[1:] == [("PUBLISH", "param.reload", json.dumps({"primary": B}, separators=(",", ":")))]
    twin = redis(SERVER)
    twin.allow.remove("PUBLISH param.reload")
    with pytest.raises(Unknown, match=r"param\.reload was not told the new address"):
        await RedisFailover().send(context(twin), found)
    assert (await RedisFailover().read_back(context(twin), found)).as_wanted is True
