"""From INFO and the Sentinels' words to a look: what stands against a failover, with its figure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.adapters.sentinel_words import Word, newest
from bot.adapters.targets_redis_look import Names, assemble, fields, figure, followers, how, node
from bot.adapters.targets_redis_wire import MAX_ITEMS, MAX_TEXT, bounded, percentile_99
from bot.engine.connector_ports import RedisLook
from bot.errors import TargetError

A, B = "10.0.0.5:6379", "10.0.0.6:6379"
PRIMARY = fields(
    "# Replication\r\nrole:master\r\n"
    "slave0:ip=10.0.0.6,port=6379,state=online,offset=90,lag=0\r\nmaster_repl_offset:100\r\n"
    "redis_version:7.2.4\r\nrun_id:aa\r\nmaster_failover_state:no-failover\r\nmaster_replid:cc\r\n"
)
REPLICA = fields(
    "role:slave\r\nmaster_host:redis-a\r\nmaster_port:6379\r\nmaster_link_status:up\r\nslave_repl_offset:90\r\n"
    "slave_read_only:1\r\nrun_id:bb\r\nrdb_last_bgsave_status:err\r\nmaster_replid:cc\r\n"
)
WORD = Word(sentinel="s1:26379", primary=A, epoch=4, quorum=2, replicas=(B,), coordinated=True)
WORDS = (WORD, replace(WORD, sentinel="s2:26379"), replace(WORD, sentinel="s3:26379"))


def looked(words: tuple[Word, ...] = WORDS, **primary: str) -> RedisLook:
    told = {A: PRIMARY | primary, B: REPLICA, "redis-a:6379": PRIMARY}
    names = Names(told, told)
    replica = node(B, REPLICA, names, 900.0)
    return assemble(node(A, told[A], names, 7_000.0), [replica], words, names, "redis-a:6379", told[A])


def test_a_name_and_an_address_of_one_server_are_one() -> None:
    """Home, claims and whom the replica follows all carry the name that the Sentinels use."""
    look = looked()
    (replica,) = look.replicas
    assert (look.home, look.claims, replica.of, replica.link_up) == (A, (A,), A, True)
    assert replica.persistence == "the last background save failed"
    assert followers(PRIMARY) == [B]


def test_a_replica_that_the_primary_does_not_send_to_is_not_linked() -> None:
    """Its own word alone is not enough: FAILOVER would refuse it."""
    look = looked(slave0="ip=10.0.0.6,port=6379,state=send_bulk,offset=0,lag=0")
    assert not look.replicas[0].link_up


@pytest.mark.parametrize(
    ("words", "primary", "why"),
    [
        (WORDS, {}, ""),
        ((), {}, ""),
        (WORDS, {"master_failover_state": "waiting-for-sync"}, "is under way (waiting-for-sync)"),
        ((), {"redis_version": "6.0.16"}, "runs Redis 6.0.16"),
        (tuple(replace(one, error="no answer in time") for one in WORDS), {}, "none of 3 Sentinels answers"),
        ((replace(WORD, flags=frozenset({"failover_in_progress"})), *WORDS[1:]), {}, "s1:26379 is failing it over"),
        (tuple(replace(one, coordinated=False) for one in WORDS), {}, "517 of 1,213"),
        (tuple(replace(one, no_quorum="1 usable Sentinels") for one in WORDS), {}, "1 usable Sentinels"),
        (tuple(replace(one, tilted=True) for one in WORDS), {}, "holds still for 30 s"),
        ((replace(WORD, tilted=True), *WORDS[1:]), {}, ""),
    ],
)
def test_there_are_means_or_a_reason(words: tuple[Word, ...], primary: dict[str, str], why: str) -> None:
    """Only ways that stop writes first are means; everything else has its figure."""
    told = PRIMARY | primary
    means, said = how(A, words, told, Names([], {}))
    assert why in said
    assert means == ("" if why else "sentinel" if words else "server")


def test_the_newest_epoch_counts_and_both_claims_are_kept() -> None:
    """One Sentinel that slept through a failover neither misleads nor is forgotten."""
    stale = replace(WORD, primary=B, epoch=3)
    assert newest([stale, replace(stale, sentinel="s2:26379"), replace(WORD, sentinel="s3:26379")]).primary == A  # type: ignore[union-attr]
    look = looked((stale, *WORDS[1:]))
    assert (look.agreeing, look.claims) == (2, (B, A))


def test_a_sentinel_that_holds_still_does_not_count_as_agreeing() -> None:
    """It names the right primary and would do nothing about it."""
    look = looked((replace(WORD, tilted=True), *WORDS[1:]))
    assert (look.agreeing, look.tilted, look.sentinels) == (2, 1, 3)


def test_figures_for_evidence() -> None:
    """As the policy names them; what was not measured is an error."""
    look = looked()
    names = ("p99_us", "replica_p99_us", "replica_lag_bytes", "sentinels_agreeing", "primaries")
    assert [figure(look, name) for name in names] == [7_000, 900, 10, 3, 1]
    down = replace(look, replicas=(replace(look.replicas[0], error="nobody listens there", p99_us=None),))
    for name in ("replica_p99_us", "replica_lag_bytes"):
        with pytest.raises(TargetError, match="nobody listens there"):
            figure(down, name)


def test_replies_are_cut_off_not_swallowed() -> None:
    """Text, length and depth have bounds; the figures within them are kept."""
    assert bounded([b"a", None, 7, ["x"]]) == ["a", None, 7, ["x"]]
    assert len(str(bounded("x" * (MAX_TEXT + 1)))) == MAX_TEXT
    assert len(bounded([1] * (MAX_ITEMS + 5))) == MAX_ITEMS  # type: ignore[arg-type]


def test_the_99th_percentile() -> None:
    """Of a hundred, one may be worse; of fewer, none."""
    assert percentile_99([1.0] * 99 + [9.0]) == 1.0
    assert percentile_99([1.0] * 98 + [9.0] * 2) == 9.0
    assert percentile_99([3.0]) == 3.0
