"""The names of the shards, kept in the store: on the twin, the embedded Valkey and Redis 7.0."""

from __future__ import annotations

from tests.contract.conftest import Bench


async def test_a_shard_once_configured_is_never_forgotten(bench: Bench) -> None:
    """Whoever starts with other shards still learns of those before, by every replica."""
    assert await bench.store.remember(["unrouted", "trading-core"]) == ["trading-core", "unrouted"]
    other = await bench.replica("b")
    assert await other.remember(["unrouted", "second-desk"]) == ["second-desk", "trading-core", "unrouted"]
    assert await bench.store.remember(["unrouted"]) == ["second-desk", "trading-core", "unrouted"]
