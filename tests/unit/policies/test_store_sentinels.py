"""The store behind Sentinels, in andon.yaml and in the environment: mistakes are told before anything connects."""

from __future__ import annotations

import pytest

from bot.errors import ConfigError
from bot.own_store import store_place
from bot.settings import Settings
from policies.andon import AndonDocument, StoreDoc
from policies.lint_andon import mistakes

ADDRESS = "10.0.0.5:26379"
WHOLE = {"url": "redis://store:6379/0", "sentinels": [ADDRESS], "master": "andon-store"}


@pytest.mark.parametrize(
    ("changes", "where", "problem"),
    [
        ({}, "", ""),
        ({"master": ""}, "sentinels", "master is missing"),
        ({"sentinels": []}, "master", "sentinels is missing"),
        ({"sentinels": ["10.0.0.5"]}, "sentinels", "'10.0.0.5' is not host:port"),
        ({"sentinels": [ADDRESS, ADDRESS]}, "sentinels", "a second Sentinel is called"),
        ({"url": ""}, "sentinels", "not how it is reached"),
        ({"url": "unix:///run/store.sock"}, "url", "a socket's"),
        ({"sentinel_username": "andon"}, "sentinel_username", "a user without a password"),
        ({"sentinels": [], "master": "", "sentinel_credentials": "env:X"}, "sentinel_credentials", "nothing uses them"),
        ({"url": "", "sentinels": [], "master": "", "wait_replicas": 1}, "wait_replicas", "has no replicas"),
    ],
)
def test_sentinels_of_the_store_are_checked_at_load(changes: dict[str, object], where: str, problem: str):
    """One sentence each, at the key that is wrong."""
    found = list(mistakes(AndonDocument.model_validate({"store": {**WHOLE, **changes}})))
    if not problem:
        assert found == []
        return
    ((path, message, fix),) = found
    assert path[:2] == ("store", where)
    assert problem in message
    assert fix


def test_replicas_confirm_intents_where_there_are_sentinels():
    """One by default; none without Sentinels; as many as are asked for."""
    assert store_place(Settings(), StoreDoc.model_validate(WHOLE)).wait_replicas == 1
    assert store_place(Settings(), StoreDoc(url="redis://store")).wait_replicas == 0
    assert store_place(Settings(), StoreDoc.model_validate({**WHOLE, "wait_replicas": 0})).wait_replicas == 0


def test_another_address_in_the_environment_takes_nothing_from_the_file():
    """The file's password and Sentinels are for the file's store; the environment may name its own Sentinels."""
    setup = StoreDoc.model_validate(WHOLE)
    other = "redis://other:6379/0"
    assert store_place(Settings.model_validate({"store_url": other}), setup).behind is None
    told = {"store_url": other, "store_sentinels": f"{ADDRESS}, b:2", "store_master": "theirs"}
    behind = store_place(Settings.model_validate(told), setup).behind
    assert behind is not None
    assert (behind.sentinels, behind.master) == ((ADDRESS, "b:2"), "theirs")


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"store_sentinels": ADDRESS}, "ANDON_STORE_MASTER belong together"),
        ({"store_sentinels": "here", "store_master": "m"}, "'here' is not host:port"),
        ({"store_sentinels": ADDRESS, "store_master": "m"}, "set ANDON_STORE_URL"),
    ],
)
def test_a_wrong_variable_is_named(variables: dict[str, str], problem: str):
    """Each with what to write instead."""
    with pytest.raises(ConfigError, match=problem):
        store_place(Settings.model_validate(variables), StoreDoc())
