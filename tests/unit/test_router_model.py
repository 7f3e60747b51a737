"""The simulated router switches as the runbook describes it, and a pause ends that: time and seed are arguments."""

from __future__ import annotations

from collections import Counter

import pytest

from bot.sandbox.router import MINUTE, PATTERNS, ModelRouter, Pattern, Switch

SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")


def _router(seed: int = 3) -> ModelRouter:
    return ModelRouter(now=0, seed=seed, symbols=SYMBOLS)


def _broken(pattern: Pattern, per_minute: float = 600.0) -> tuple[Switch, ...]:
    """Two minutes of a fault, without the baseline's few switches: those come late in this seed's first minute."""
    router = _router()
    router.break_down(pattern, per_minute, 0)
    return router.advance(2 * MINUTE)


def test_when_all_is_well_it_switches_a_few_times_a_minute() -> None:
    """Under the runbook's normal of 15 a minute, over an hour and in every single minute of it."""
    router = _router()
    counts = [len(router.advance(minute * MINUTE)) for minute in range(1, 61)]
    assert 60 < sum(counts) < 300
    assert max(counts) < 15


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_fault_brings_its_rate(pattern: Pattern) -> None:
    """`per_minute` is what a stream rule will count, within chance."""
    assert 1_000 < len(_broken(pattern)) < 1_400


def test_ping_pong_is_between_two_models_on_every_symbol() -> None:
    """Bad rule threshold: two models, all symbols, quick and sure."""
    switches = [s for s in _broken("pingpong") if s.confidence > 0]
    models = Counter(s.to for s in switches)
    assert sum(count for _, count in models.most_common(2)) / len(switches) > 0.95
    assert {s.symbol for s in switches} == set(SYMBOLS)
    assert all(s.confidence >= 0.6 and s.latency_ms < 100 for s in switches)


def test_random_is_across_all_models_and_symbols() -> None:
    """Market halt: no model stands out."""
    switches = _broken("random")
    shares = [count / len(switches) for count in Counter(s.to for s in switches).values()]
    assert len(shares) == 4
    assert max(shares) < 0.35
    assert {s.symbol for s in switches} == set(SYMBOLS)


def test_slow_switches_take_seconds() -> None:
    """Model server overload: nearly all of them."""
    slow = [s for s in _broken("slow") if s.latency_ms >= 900]
    assert len(slow) / len(_broken("slow")) > 0.95


def test_oscillation_is_one_symbol_that_is_never_sure() -> None:
    """Confidence threshold too low: the runbook's fix is a minimum of 0.6, so these are below it."""
    unsure = [s for s in _broken("oscillation") if s.confidence < 0.6]
    assert len(unsure) / len(_broken("oscillation")) > 0.95
    assert {s.symbol for s in unsure} == {"BTC-USD"}


def test_switches_are_a_chain_in_order_of_time() -> None:
    """Every switch leaves the model that the last one on its symbol went to, and none goes to itself."""
    serving: dict[str, str] = _router().models
    at = 0
    for switch in _broken("random"):
        assert switch.at >= at
        assert serving[switch.symbol] == switch.from_ != switch.to
        at, serving[switch.symbol] = switch.at, switch.to


def test_a_pause_freezes_every_model_and_nothing_is_made_up_for() -> None:
    """No switch while it is paused, none dated into the pause after it, and the fault goes on."""
    router = _router()
    router.break_down("random", 600, 0)
    router.advance(MINUTE)
    assert router.hold(owner="andon", reason="too many", now=MINUTE)
    frozen = router.models
    assert router.advance(5 * MINUTE) == ()
    assert (router.models, router.per_minute(5 * MINUTE)) == (frozen, 0)
    assert router.release(owner="desk", reason="mended", now=6 * MINUTE)
    after = router.advance(7 * MINUTE)
    assert min(s.at for s in after) > 6 * MINUTE
    assert len(after) > 400


def test_whose_pause_it_is_can_be_told() -> None:
    """Owner, reason and since; the same owner again changes nothing, another one takes it over."""
    router = _router()
    router.hold(owner="andon", reason="too many", now=10)
    assert not router.hold(owner="andon", reason="again", now=20)
    assert (router.held.owner, router.held.reason, router.held.since) == ("andon", "too many", 10)
    assert router.hold(owner="desk", reason="mine", now=30)
    assert (router.held.paused, router.held.owner, router.held.since) == (True, "desk", 30)
    assert router.release(owner="desk", reason="", now=40)
    assert not router.release(owner="desk", reason="", now=50)


def test_the_same_seed_switches_the_same() -> None:
    """Chance is an argument: the demo can be told twice, and how often it looks does not matter."""
    one, two = _router(), _router()
    for router in (one, two):
        router.break_down("random", 60, 0)
    once = one.advance(MINUTE)
    often = tuple(switch for at in range(0, MINUTE + 1, 500) for switch in two.advance(at))
    assert once == often
    assert once != _router(seed=4).advance(MINUTE)
