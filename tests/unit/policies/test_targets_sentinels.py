"""Sentinels in targets.yaml: both or neither, for a Redis, as host:port."""

from __future__ import annotations

import pytest

from policies.targets import TargetsDocument, mistakes


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sentinels": ["10.0.0.5:26379"], "master": "trading"}, ""),
        ({"sentinels": ["10.0.0.5:26379"]}, "sentinels and master belong together"),
        ({"master": "trading"}, "sentinels and master belong together"),
        ({"sentinels": ["10.0.0.5"], "master": "trading"}, "'10.0.0.5' is not host:port"),
        ({"sentinels": ["a:1"], "master": "m", "connector": "http", "url": "http://a"}, "mean nothing for a http"),
    ],
)
def test_sentinels_are_checked_at_load(changes: dict[str, object], problem: str):
    """A mistake is told before anything connects."""
    component = {"name": "redis", "role": "store", "connector": "redis", "url": "redis://a:6379", **changes}
    document = TargetsDocument.model_validate({"systems": {"trading-core": {"components": [component]}}})
    found = [message for _, message, _ in mistakes(document)]
    assert found == [] if not problem else [problem in message for message in found] == [True]
