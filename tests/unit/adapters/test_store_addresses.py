"""What a store URL that cannot be used says, and what it must never say."""

from __future__ import annotations

import traceback

import pytest

from bot.adapters.redis_link import connect
from bot.errors import ConfigError


@pytest.mark.parametrize(
    "url",
    [
        "redis://andon:hunter2#1@h",
        "redis://andon:hunter2/1@h",
        "redis://andon:hunter2?1@h",
        "redis://hunter2#1@h:6379/0",
        "redis://hunter2/1@h",
        "redis://:2222#hunter2@h",
        "redis://h:hunter2",
        "redis://[hunter2@h",
        "hunter2://h",
        "unix://andon:hunter2/1@/run/redis.sock",
        "hunter2",
    ],
)
def test_an_unreadable_store_url_is_never_quoted(url: str) -> None:
    """A character that should have been percent-encoded makes part of a password look like a host or a port."""
    with pytest.raises(ConfigError) as refused:
        connect(url)
    told = "".join(traceback.format_exception(refused.value)).replace(f'connect("{url}")', "")
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in told
    assert "2222" not in str(refused.value)
    assert "%23" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["redis://andon:hunter2%231@h:6379/0", "rediss://:p@h", "unix:///run/a@b.sock", "unix://u:p@/run/redis.sock?db=1"],
)
async def test_a_readable_store_url_is_taken(url: str) -> None:
    """Nothing connects yet."""
    await connect(url).aclose()
