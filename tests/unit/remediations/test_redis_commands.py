"""`redis.command` and `redis.publish`: what they may send, what they refuse, and what they tell afterwards."""

from __future__ import annotations

import json
import re

import pytest

from bot.engine.action_ports import CannotTell, Inspection, Proceed, Unfit
from bot.errors import ConfigError, NotSent, Rejected
from policies.redis_commands import WRITES
from remediations.catalogue import CATALOGUE
from remediations.redis_command import RedisCommand
from remediations.redis_publish import RedisPublish
from remediations.redis_verbs import verbs
from tests.unit.remediations.redis_floor import context, redis

RELOAD = '{"channel":"param.reload","message":{"config_path":"risk.yml","component":"risk_harmoniser"}}'


def command(*words: str) -> str:
    return json.dumps({"command": words, "reason": "the limit service is down"})


async def inspect(*words: str) -> Inspection:
    return await RedisCommand().inspect(context(redis()), command(*words))


async def test_a_command_shows_what_is_there_before_and_after() -> None:
    """The card says what the key holds now; afterwards nothing is claimed, only told."""
    twin = redis()
    twin.hashes["metrics:limits"] = {"max": "5"}
    found = await RedisCommand().inspect(context(twin), command("HSET", "metrics:limits", "max", "0"))
    assert isinstance(found, Proceed)
    assert (json.loads(found.before), twin.sent) == ({"now": "5"}, [])
    assert found.by_hand == "redis-cli HSET metrics:limits max 0"
    await RedisCommand().send(context(twin), found)
    assert twin.hashes["metrics:limits"] == {"max": "0"}
    seen = await RedisCommand().read_back(context(twin), found)
    assert (seen.as_wanted, json.loads(seen.after)) == (None, {"now": "0"})


@pytest.mark.parametrize(
    "words",
    [
        ("EVAL", "return 1"), ("FCALL", "f"), ("FLUSHALL", "now"), ("CONFIG", "SET"), ("SHUTDOWN", "NOSAVE"),
        ("REPLICAOF", "NO", "ONE"), ("DEBUG", "SLEEP", "1"), ("BLPOP", "key", "0"), ("RENAME", "a", "b"),
        ("MSET", "a", "1"), ("INCR", "a"), ("XADD", "a", "*", "b", "c"), ("FAILOVER", "x"), ("PUBLISH", "a", "b"),
        ("set", "metrics:a", "1"), ("DEL", "metrics:a", "metrics:b"), ("SET", "metrics:a"),
    ],
    ids=" ".join,
)  # fmt: skip
async def test_what_is_not_in_the_table_is_refused(words: tuple[str, ...]) -> None:
    """Scripts, administration, emptying, waiting, several keys and relative changes: told at load, and never sent."""
    (problem,) = CATALOGUE.check_arguments("redis.command", command(*words), partial=True)
    assert problem.path == "command"
    with pytest.raises(ConfigError, match=re.escape(problem.message)):
        await inspect(*words)


@pytest.mark.parametrize(
    "words",
    ["EXPIRE metrics:a -1", "EXPIRE metrics:a 0", "EXPIRE metrics:a +5", "SET metrics:a 1 EX 0",
     "SET metrics:a 1 px -5", "SET metrics:a 1 EXAT 1",
     "SET metrics:a 1 PXAT 1", "SET metrics:a 1 NX", "SET metrics:a 1 EX"],
)  # fmt: skip
async def test_a_time_to_live_that_is_over_deletes_nothing(words: str) -> None:
    """Deleting is DEL, with its own allow line; no other verb does it under its name."""
    twin = redis()
    twin.allow = ["EXPIRE metrics:*", "SET metrics:*"]
    twin.strings["metrics:a"] = "5"
    with pytest.raises(ConfigError, match=r"no time to live|SET takes a key and a value here"):
        await RedisCommand().inspect(context(twin), command(*words.split()))


@pytest.mark.parametrize(
    "words", ["EXPIRE metrics:a 60", "SET metrics:a 1", "SET metrics:a 1 ex 60", "SET metrics:a EX"]
)
async def test_a_time_to_live_of_a_second_or_more_is_well(words: str) -> None:
    """What it is for: a mark that goes by itself."""
    twin = redis()
    twin.allow = ["EXPIRE metrics:*", "SET metrics:*"]
    assert isinstance(await RedisCommand().inspect(context(twin), command(*words.split())), Proceed)


async def test_a_listed_verb_still_needs_its_allow_line() -> None:
    """The table says what may ever be sent; targets.yaml to which key; told before anybody says yes."""
    found = await inspect("HSET", "positions:BTC-USD", "size", "0")
    assert found == Unfit("HSET positions:BTC-USD is not in the allow list of redis")


async def test_an_expiry_is_no_pin_that_ticks() -> None:
    """Whether a key expires is shown and pinned, not in how many seconds: a yes must outlive the next second."""
    twin = redis()
    twin.allow = ["PERSIST metrics:limits"]
    twin.answers["TTL"] = 60
    found = await RedisCommand().inspect(context(twin), command("PERSIST", "metrics:limits"))
    twin.answers["TTL"] = 59
    assert isinstance(found, Proceed)
    assert found == await RedisCommand().inspect(context(twin), command("PERSIST", "metrics:limits"))
    await RedisCommand().send(context(twin), found)
    twin.answers["TTL"] = -1
    with pytest.raises(NotSent, match="changed meanwhile from 'an expiry' to 'no expiry'"):
        await RedisCommand().send(context(twin), found)


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_of_the_table_takes_one_key_and_an_absolute_value(verb: str) -> None:
    """Of nothing else can it be said that it leaves the same when done twice."""
    assert verb in {"SET", "DEL", "EXPIRE", "PERSIST", "HSET", "HDEL", "SADD", "SREM"}
    assert verb in WRITES  # else no component could allow it


async def test_a_message_goes_out_once_as_canonical_json_and_its_receivers_are_told() -> None:
    """Subscribers are counted before; how many received it is told after, and no longer known after a restart."""
    twin, action = redis(), RedisPublish()
    found = await action.inspect(context(twin), RELOAD)
    assert isinstance(found, Proceed)
    assert json.loads(found.before)["subscribers"] == 2
    await action.send(context(twin), found)
    assert twin.sent == [("PUBLISH", "param.reload", '{"component":"risk_harmoniser","config_path":"risk.yml"}')]
    assert (await action.read_back(context(twin), found)).why == "2 subscribers received it"
    assert (await RedisPublish().read_back(context(twin), found)).as_wanted is None


async def test_a_message_that_nobody_hears_is_refused_before_and_not_done_after() -> None:
    """Publishing to nobody succeeds and changes nothing, so it must not pass for a reload."""
    twin = redis()
    found = await RedisPublish().inspect(context(twin), RELOAD)
    assert isinstance(found, Proceed)
    twin.subscribers = 0
    with pytest.raises(Rejected, match="nobody received it"):
        await RedisPublish().send(context(twin), found)
    refused = await RedisPublish().inspect(context(twin), RELOAD)
    assert isinstance(refused, Unfit)
    assert "0 subscribers" in refused.why


async def test_who_listens_must_be_known() -> None:
    """An answer of another form is no count of listeners."""
    twin = redis()
    twin.answers["PUBSUB NUMSUB"] = "OK"
    assert isinstance(await RedisPublish().inspect(context(twin), RELOAD), CannotTell)
