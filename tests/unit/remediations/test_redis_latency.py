"""`redis.latency`: memory, slow commands, clients, network, each told by the server's own figures."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.plan import EvidenceDecl
from bot.engine.action_ports import ActionContext, Finding
from bot.engine.connector_ports import RedisValue
from bot.errors import TargetError
from bot.testing.redis_twin import HEALTHY, MemoryRedis
from remediations.diagnosis_kit import MAX_DETAIL, Replies, told
from remediations.redis_latency import RULES, RedisLatency, Server, judge, measure

NOW = 1_700_000_000  # the server's clock, seconds
MB = 1024 * 1024
CALM = Server(
    p99_us=200, used_bytes=100 * MB, resident_bytes=120 * MB, maxmemory_share=0.3, machine_share=0.1, clients=40,
    max_clients=10_000,
)  # fmt: skip
SLOW_RANGES = tuple(("TS.RANGE", 120_000.0) for _ in range(3))
SLOW_SCANS = tuple(("KEYS", 40_000.0) for _ in range(3))


def signs(seen: Server) -> list[str]:
    return [rule.row.sign for rule in RULES if rule.holds(seen)]


MEMORY, SERIES, CROWD, OTHERS, NETWORK = (rule.row.sign for rule in RULES)


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        ({"resident_bytes": 89 * MB}, [MEMORY]),
        ({"resident_bytes": 91 * MB}, [NETWORK]),
        ({"used_bytes": 32 * MB, "resident_bytes": 8 * MB}, [NETWORK]),  # too little to say anything
        ({"machine_share": 0.9}, [MEMORY]),
        ({"maxmemory_share": 0.94}, [MEMORY]),
        ({"maxmemory_share": 0.89}, [NETWORK]),
        ({"slow": SLOW_RANGES}, [SERIES]),
        ({"slow": SLOW_SCANS}, [OTHERS]),
        ({"slow": (*SLOW_SCANS, *SLOW_RANGES)}, [SERIES, OTHERS]),
        ({"slow": SLOW_SCANS[:2]}, []),  # too few for a cause, too many for a quick server
        ({"clients": 8_000}, [CROWD]),
        ({"clients": 7_999}, [NETWORK]),
        ({"clients": 8_000, "maxmemory_share": 0.95, "slow": SLOW_RANGES}, [MEMORY, SERIES, CROWD]),
        ({"clients": 8_000, "slow": SLOW_SCANS}, [CROWD, OTHERS]),  # the runbook's row leads
        ({"clients": 7_999, "slow": SLOW_SCANS}, [OTHERS]),
        ({"events": (("aof-fsync-always", 40.0),)}, []),
        ({"p99_us": 9_000}, [NETWORK]),
        ({"p99_us": None}, []),
    ],
)
def test_where_each_row_begins(figures: dict[str, object], found: list[str]) -> None:
    """The runbook's rows by their figures, from both sides; the network is what remains."""
    assert signs(replace(CALM, **figures)) == found  # type: ignore[arg-type]  # field names with their figures


@pytest.mark.parametrize(
    ("figures", "cause", "fix", "figure"),
    [
        ({"maxmemory_share": 0.94}, "swapping to disk", "add more RAM or enable Redis maxmemory", "94% of maxmemory"),
        ({"slow": SLOW_RANGES}, "large TimeSeries operations", "TS retention", "TS.RANGE 3 times, up to 120,000 us"),
        ({"slow": SLOW_SCANS}, "keep the server from all others", "find who sends them", "KEYS 3 times"),
        ({"clients": 9_000, "busiest": "strategist (8000)"}, "too many", "connection pool", "from strategist (8000)"),
        ({}, "network congestion", "local Redis instance", "from here the server is quick (p99 200 us)"),
        ({"p99_us": 9_000}, "network congestion", "local Redis instance", "9,000 us at p99"),
    ],
)
def test_each_row_of_the_table(figures: dict[str, object], cause: str, fix: str, figure: str) -> None:
    """Cause and fix of the runbook, with the figure that tells."""
    found = judge("redis", replace(CALM, **figures))  # type: ignore[arg-type]  # field names with their figures
    assert cause in found.cause
    assert fix in found.fix
    assert figure in found.summary


def test_what_the_runbook_has_no_row_for_is_told_without_a_cause() -> None:
    """A disk that stalls the server: its own events, and nothing made up."""
    found = judge("redis", replace(CALM, events=(("aof-fsync-always", 40.0),)), ["who"])
    assert (found.cause, found.fix) == ("", "")
    assert "latency events: aof-fsync-always 1 times, up to 40 ms" in found.summary
    assert "not read: who" in found.summary


def replies(**given: RedisValue) -> Replies:
    """A calm server's replies, and those given."""
    calm: dict[str, RedisValue] = {
        "memory": f"# Memory\r\nused_memory:{100 * MB}\r\nused_memory_rss:{120 * MB}\r\nmaxmemory:0\r\n"
        f"total_system_memory:{1_000 * MB}\r\n",
        "clients": "connected_clients:40\r\nmaxclients:10000\r\n",
        "stats": "instantaneous_ops_per_sec:900\r\n",
        "time": [str(NOW), "12"],
        "slow": [],
        "events": [],
        "history": [],
        "who": "id=1 addr=10.0.0.1:5001 name= cmd=get\nid=2 addr=10.0.0.1:5002 name=\nid=3 addr=10.0.0.2:1 name=ui\n",
    }
    return Replies({**calm, **given})


def test_replies_become_figures() -> None:
    """Also that old entries of log and monitor are another story, and that no maxmemory is no share."""
    slow: RedisValue = [
        [9, NOW - 10, 120_000, ["ts.range", "x"], "10.0.0.1:5", ""],
        [8, NOW - 301, 90_000, ["KEYS", "*"]],
        [7, NOW - 10, 900, ["GET", "x"]],
    ]
    events: RedisValue = [["fork", NOW - 20, 60, 90], ["command", NOW - 4_000, 100, 100]]
    seen = measure(replies(slow=slow, events=events, history=[[NOW - 5, 12], [NOW - 900, 30]]), 321.0)
    assert seen == Server(
        p99_us=321.0, used_bytes=100 * MB, resident_bytes=120 * MB, maxmemory_share=None, machine_share=0.12,
        slow=(("TS.RANGE", 120_000.0),), events=(("fork", 60.0),), spikes=1, clients=40, max_clients=10_000,
        busiest="10.0.0.1 (2)", ops_per_second=900,
    )  # fmt: skip


_VALUES: st.SearchStrategy[RedisValue] = st.recursive(
    st.none() | st.text(max_size=70) | st.integers(-5, 10**12), lambda inner: st.lists(inner, max_size=6), max_leaves=20
)


@given(st.dictionaries(st.sampled_from(sorted(replies().values)), _VALUES), st.none() | st.floats(0, 1e6))
def test_whatever_a_server_answers_is_data(given: dict[str, RedisValue], p99: float | None) -> None:
    """No reply breaks it, and what it says is bounded, printable and one line."""
    found = judge("redis", measure(replies(**given), p99))
    assert found.summary.isprintable()
    assert len(found.summary) < 1_000
    assert len(found.detail) <= MAX_DETAIL
    json.loads(found.detail)


class Place:
    """Targets with one Redis, called `redis`."""

    def __init__(self, twin: MemoryRedis) -> None:
        self.twin = twin

    def redis(self, system: str, name: str) -> MemoryRedis:
        if name != "redis":
            raise TargetError(f"{system} has no component named {name}")
        return self.twin


async def look(twin: MemoryRedis, *, component: str = "redis", declares: bool = True) -> Finding:
    evidence = EvidenceDecl(name="p99", kind="redis_hash", component=component, query="metrics:x")
    context = ActionContext(
        system="trading-core", component="", targets=Place(twin), now=0,  # type: ignore[arg-type]  # only redis()
        declared={"p99": evidence} if declares else {},
    )  # fmt: skip
    return await RedisLatency().look(context)


async def test_it_reads_what_it_may_and_says_what_it_could_not() -> None:
    """Every command is one that only reads; one that fails stops no other; nothing is ever sent."""
    twin = MemoryRedis()
    for command, reply in (("INFO memory", "memory"), ("INFO clients", "clients"), ("INFO stats", "stats")):
        twin.answers[command] = replies().values[reply]
    twin.answers |= {"TIME": [str(NOW), "0"], "SLOWLOG GET 10": [], "LATENCY LATEST": [], "LATENCY HISTORY": []}
    twin.answers["CLIENT LIST"] = TargetError("more than may be read")
    found = await look(twin)
    assert found.summary.startswith("redis: p99 of a PING from here is 200 us, not read: who;")
    assert told(found.detail)["clients"] == 40
    assert twin.sent == []


async def test_a_redis_that_cannot_be_asked_is_said_to_be_so() -> None:
    """Down, unknown, or not named by the plan: one sentence each, none with a cause."""
    down = MemoryRedis(replace(HEALTHY, primary=replace(HEALTHY.primary, error="connection refused")))
    down.unseen = TargetError("no primary answers")
    for found, why in (
        (await look(down), "redis answers nothing"),
        (await look(MemoryRedis(), component="gone"), "no component named gone"),
        (await look(MemoryRedis(), declares=False), "declares no evidence from a Redis"),
    ):
        assert why in found.summary
        assert found.cause == ""
