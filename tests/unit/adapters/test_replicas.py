"""How many replicas a write waits for, and since when Sentinels must have heard the primary where one is missing."""

from __future__ import annotations

import asyncio

from bot.adapters.redis_replicas import Replicas


def info(offset: int, *replicas: int) -> bytes:
    """`INFO replication` of a primary at this offset, with replicas at theirs."""
    lines = [f"slave{n}:ip=h,port={n},state=online,offset={at},lag=0" for n, at in enumerate(replicas)]
    return "\r\n".join(["role:master", *lines, f"master_repl_offset:{offset}"]).encode()


def waits(replicas: Replicas, *, needed: bool = False) -> int:
    """For how many a write would wait."""
    return sum(count for _, count, _ in replicas.wait(needed=needed))


async def test_everything_waits_for_every_replica_that_the_sentinels_know() -> None:
    """Confirmed by all of them: no word of a Sentinel is needed. By fewer: a new one, for each write in vain."""
    replicas = Replicas(1)
    replicas.known(2)
    wait = replicas.wait(needed=False)
    assert waits(replicas) == 2
    assert replicas.told(2, wait) is None
    before = asyncio.get_running_loop().time()
    first = replicas.told(1, wait)
    again = replicas.told(1, wait)  # it was on its way at the same time
    assert first is not None
    assert again is not None
    assert before <= first <= again


async def test_a_replica_that_has_just_become_known_is_missing_in_what_was_on_its_way() -> None:
    """The write waited for one, and two are known when its answer comes: the Sentinels must have heard since."""
    replicas = Replicas(1)
    wait = replicas.wait(needed=False)
    replicas.known(2)
    assert replicas.told(1, wait) is not None


async def test_while_a_replica_is_away_nobody_waits_for_it_and_the_word_may_be_a_little_old() -> None:
    """Never older than the moment when it was found missing. It is back once it has all of the look before."""
    replicas = Replicas(1)
    replicas.known(2)
    missed = replicas.told(1, replicas.wait(needed=False))
    assert waits(replicas) == 1
    assert replicas.told(1, replicas.wait(needed=False)) == missed  # no earlier word counts
    replicas.seen(info(100, 100, 10))
    replicas.seen(info(200, 200, 99))
    assert waits(replicas) == 1
    replicas.seen(info(300, 300, 200))
    assert waits(replicas) == 2
    assert replicas.doubt() is None


async def test_alone_only_what_needs_a_replica_waits_for_one() -> None:
    """Writes do not wait in vain; an intent asks again."""
    replicas = Replicas(1)
    replicas.known(1)
    assert replicas.told(0, replicas.wait(needed=False)) is not None
    assert (waits(replicas), waits(replicas, needed=True)) == (0, 1)


async def test_who_asks_no_replica_is_asked_for_nothing() -> None:
    """`wait_replicas: 0`: no wait, no doubt, nothing to say."""
    replicas = Replicas(0)
    replicas.known(2)
    assert (waits(replicas, needed=True), replicas.told(-1, ()), replicas.doubt(), replicas.standing) == (
        0,
        None,
        None,
        "",
    )


async def test_on_another_primary_nobody_waits_for_the_one_that_fell() -> None:
    """The Sentinels know two, one is there: they must have heard since, before anything is written."""
    replicas = Replicas(1)
    replicas.begin(info(100, 100), 2)
    assert waits(replicas) == 1
    assert replicas.doubt() is not None
    replicas.begin(info(100, 100, 90), 2)
    assert waits(replicas) == 2
    assert replicas.doubt() is None
