"""What the configuration says about files, people and the store is what a start does with it."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.config_files import find_config, read_all
from bot.adapters.redis_link import bounded, connect
from bot.app import read_floor
from bot.errors import ConfigError, StoreUnavailable
from bot.house import House
from bot.own_store import open_store
from bot.places import read_setup
from bot.sandbox.ports import free_port
from bot.settings import Settings
from bot.testing import FakeClock, MemoryArchive, MemoryChat, MemoryPager, MemoryStore
from tests.acceptance.harness.binaries import binary
from tests.contract.conftest import wait_until_it_answers

PASSWORD = "hunter2-of-the-store"
POLICY = "system: trading-core\npolicies:\n  - {name: p, match: ['alertname=\"A\"'], mode: auto}\n"


def configuration(folder: Path, *, andon: str = "", people: str = "{}\n", config: str = "andon.yaml") -> Settings:
    """A small floor on disk, and the settings that name it."""
    (folder / config).write_text(f"systems: [trading-core]\n{andon}")
    (folder / "people.yaml").write_text(people)
    (folder / "targets.yaml").write_text("systems: {trading-core: {}}\n")
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "p.yaml").write_text(POLICY)
    return Settings(config=folder / config, data_dir=folder)


def test_what_a_file_is_comes_from_who_names_it_not_from_its_name(tmp_path: Path) -> None:
    """`--config open.yaml` and `people: staff.yaml` are what they are named as; a policy file may be called people."""
    settings = configuration(
        tmp_path, andon="people: staff.yaml\ntargets: floor.yaml\npolicies: ['policies/*.yaml']\n", config="open.yaml"
    )
    (tmp_path / "people.yaml").rename(tmp_path / "staff.yaml")
    (tmp_path / "targets.yaml").rename(tmp_path / "floor.yaml")
    (tmp_path / "policies" / "p.yaml").rename(tmp_path / "policies" / "people.yaml")
    config = find_config(settings)
    sources = read_all(config, read_setup(config))
    assert [source.kind for source in sources] == ["andon", "people", "targets", "policies"]
    floor = read_floor(settings, FakeClock())
    assert floor.loaded.book is not None
    assert [plan.policy for plan in floor.loaded.book.policies()][:1] == ["p"]


@pytest.mark.parametrize("key", ["os_uid: {uid}", "os_user: {user}"])
def test_a_person_on_this_machine_is_known_by_uid_or_by_login_name(tmp_path: Path, key: str) -> None:
    """Either is what people.yaml offers, so either is enough; others, and uids without a name, are nobody."""
    uid = os.getuid()
    said = key.format(uid=uid, user=pwd.getpwuid(uid).pw_name)
    settings = configuration(tmp_path, people=f"people: [{{id: demo-oncall, {said}}}]\n")
    clock = FakeClock()
    house = House(
        floor=read_floor(settings, clock), store=MemoryStore(), clock=clock, folder=tmp_path, replica="a",
        chat=MemoryChat(), pager=MemoryPager(),
            archive=MemoryArchive(),
    )  # fmt: skip
    assert house.person_of(uid) == "demo-oncall"
    assert house.person_of(uid + 1) is None
    assert house.person_of(3_999_999_999) is None


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[int]:
    """A Redis that asks for a user and a password, with settings that lose nothing. Yields its port."""
    port = free_port()
    (tmp_path / "redis.conf").write_text(
        f"bind 127.0.0.1\nport {port}\nunixsocket {tmp_path}/r.sock\ndir {tmp_path}\nappendonly yes\n"
        f'appendfsync always\nsave ""\nlogfile {tmp_path}/redis.log\nuser andon on >{PASSWORD} ~* &* +@all\n'
        "user default on nopass ~* -@all +ping\n"
    )
    process = subprocess.Popen([binary("redis-server"), str(tmp_path / "redis.conf")])
    try:
        wait_until_it_answers(f"unix://{tmp_path}/r.sock")
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def test_the_store_is_opened_with_the_user_and_credentials_of_the_configuration(
    tmp_path: Path, guarded: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The password comes by reference, reaches the server, and is in no text; another one is refused."""
    monkeypatch.setenv("STORE_PASSWORD", PASSWORD)
    store = f"store: {{url: 'redis://127.0.0.1:{guarded}/0', username: andon, credentials: 'env:STORE_PASSWORD'}}\n"
    settings = configuration(tmp_path, andon=store)
    floor = read_floor(settings, FakeClock())
    async with open_store(settings, floor, tmp_path, "a") as own:
        opened, server = own.store, own.server
        assert server is None
        await opened.check_writable()
    elsewhere = Settings(config=settings.config, store_url=f"redis://127.0.0.1:{guarded}")
    with pytest.raises(StoreUnavailable):  # these credentials are not for what the environment names
        async with open_store(elsewhere, floor, tmp_path, "a"):
            pass
    monkeypatch.setenv("STORE_PASSWORD", "wrong-" + PASSWORD)
    with pytest.raises(StoreUnavailable) as refused:
        async with open_store(settings, floor, tmp_path, "a"):
            pass
    monkeypatch.delenv("STORE_PASSWORD")
    with pytest.raises(ConfigError, match=r"store\.credentials: .*STORE_PASSWORD is not set"):
        async with open_store(settings, floor, tmp_path, "a"):
            pass
    told = capfd.readouterr()
    assert PASSWORD not in str(refused.value) + told.out + told.err


async def test_a_user_in_the_url_is_never_mixed_with_another_password(guarded: int) -> None:
    """Whoever is in the URL is who connects."""
    client: Any = connect(f"redis://andon:{PASSWORD}@127.0.0.1:{guarded}", username="x", password="y")
    try:
        async with bounded("ask"):
            assert await client.execute_command("ACL", "WHOAMI") == b"andon"
    finally:
        await client.aclose()


def test_one_login_under_two_names_is_one_human(tmp_path: Path) -> None:
    """One entry by number and one by name: two approvers that are one person, which only this machine can tell."""
    uid = os.getuid()
    name = pwd.getpwuid(uid).pw_name
    people = f"people: [{{id: demo-oncall, os_uid: {uid}}}, {{id: demo-approver, os_user: {name}}}]\n"
    with pytest.raises(ConfigError, match=r"demo-approver .* and demo-oncall .* are the same login"):
        read_floor(configuration(tmp_path, people=people), FakeClock())
