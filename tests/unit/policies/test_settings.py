"""Settings from the environment: wrong ones are named, secrets stay secret."""

from __future__ import annotations

import pytest

from bot.errors import ConfigError
from bot.settings import read


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set means it wins; empty means unset; a password in the store's address is not shown."""
    monkeypatch.setenv("ANDON_STORE_URL", "redis://:hunter2@127.0.0.1:6379/0")
    monkeypatch.setenv("ANDON_CLOCK", "20@1767225600000")
    monkeypatch.setenv("ANDON_DATA_DIR", "")
    settings = read()
    assert settings.scaled == (20.0, 1_767_225_600_000)
    assert settings.data_dir is None
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANDON_CLOCK", "fast"),
        ("ANDON_CLOCK", "0@1"),
        ("ANDON_LOG_FORMAT", "xml"),
        ("ANDON_ACCEPT_WEAK_DURABILITY", "perhaps"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The message says which variable, in one line."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        read()
