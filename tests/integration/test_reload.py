"""A running house follows its files: whatever way they are written, as one set, and never to a wrong one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from bot.adapters.http_services import Check
from bot.configuration import read
from bot.core.effects import PageOncall, PostMessage
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.errors import DeliveryError, StoreUnavailable, TargetError
from bot.house import House
from bot.reload import QUIET_SECONDS, SETTLE_SECONDS
from bot.testing import FakeClock, MemoryArchive, MemoryChat, MemoryPager, MemoryStore
from policies.andon import UNROUTED

SYSTEM = "trading-core"
WITHIN = 10.0  # seconds for a change to be in force; half a second is usual


def policy(*names: str) -> str:
    lines = [f"  - {{name: {name}, match: ['alertname=\"{name}\"'], mode: auto}}\n" for name in names]
    return f"system: {SYSTEM}\npolicies:\n{''.join(lines)}"


def _component(connector: str, url: str) -> str:
    """targets.yaml with one component at this address."""
    return f"systems: {{{SYSTEM}: {{components: [{{name: s, role: store, connector: {connector}, url: '{url}'}}]}}}}"


class Files:
    """The configuration on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("andon.yaml", f"systems: [{SYSTEM}]\narmed: [one]\n")
        self.write("people.yaml", "people: [{id: demo-oncall}]\n")
        self.write("targets.yaml", f"systems: {{{SYSTEM}: {{}}}}\n")
        (folder / "policies").mkdir()
        self.write("policies/p.yaml", policy("one"))

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


class Running:
    """A house whose reload runs, over the store's twin."""

    def __init__(self, files: Files) -> None:
        self.files, self.store, self.clock, self.pager = files, MemoryStore(), FakeClock(), MemoryPager()
        self.house = House(
            floor=read(files.folder / "andon.yaml", self.clock.now()), store=self.store, clock=self.clock,
            folder=files.folder / "data", replica="r1", chat=MemoryChat(), pager=self.pager, archive=MemoryArchive(),
        )  # fmt: skip

    @property
    def policies(self) -> list[str]:
        return [plan.policy for plan in self.house.policies() if plan.system == SYSTEM][:-1]

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        async with asyncio.timeout(WITHIN):
            while not holds():
                await asyncio.sleep(0.02)
        assert holds(), what

    def check(self) -> Check:
        return next(check for check in self.house.checks() if check.name == "configuration")

    def metric(self, name: str, **labels: str) -> float | None:
        return self.house.registry.get_sample_value(name, labels)

    async def posts(self) -> list[str]:
        waiting = await self.store.read_outbox(UNROUTED, 100, 1)
        return [delivery.effect.text for delivery in waiting if isinstance(delivery.effect, PostMessage)]

    async def alarms(self) -> list[str]:
        """What was said to UNROUTED's inbox, as `name status`."""
        waiting = await self.store.read_inbox(UNROUTED, 100, 1)
        return [f"{a.name} {a.status}" for d in waiting if d.entry is not None for a in d.entry.alerts]


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    """The house's reload at work on the files in `folder`."""
    held = Running(Files(folder))
    async with asyncio.TaskGroup() as tasks:
        eternal = [tasks.create_task(held.house.reloader.watch_files()), tasks.create_task(held.house.reloader.obey())]
        await held.alarms()  # the predecessor's, cleared at the start
        yield held
        for task in eternal:
            task.cancel()
    await held.house.close()


def plainly(path: Path, text: str) -> None:
    path.write_text(text)


def as_editors_do(path: Path, text: str) -> None:
    """vim, sed -i: a new file takes the old one's name."""
    draft = path.with_name("4913~")
    draft.write_text(text)
    draft.replace(path)


@pytest.mark.parametrize("write", [plainly, as_editors_do])
async def test_a_change_is_taken_however_it_is_written(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    """Also a second time: a watch on a replaced file must not go blind."""
    async with running(tmp_path) as held:
        write(tmp_path / "policies" / "p.yaml", policy("one", "two"))
        await held.until(lambda: held.policies == ["one", "two"], "the first change")
        write(tmp_path / "policies" / "p.yaml", policy("one", "three"))
        await held.until(lambda: held.policies == ["one", "three"], "the second change")


async def test_a_kubernetes_volume_is_followed(tmp_path: Path) -> None:
    """A mounted ConfigMap changes by one rename of the link `..data`; no file of it is ever written."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    first = Files(_folder(mounted / "..1"))
    (mounted / "..data").symlink_to("..1")
    for name in ("andon.yaml", "people.yaml", "targets.yaml", "policies"):
        (mounted / name).symlink_to(f"..data/{name}")
    second = Files(_folder(mounted / "..2"))
    second.write("policies/p.yaml", policy("one", "two"))
    first.folder = mounted
    held = Running(first)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(held.house.reloader.watch_files())
        (mounted / "..data_tmp").symlink_to("..2")
        os.replace(mounted / "..data_tmp", mounted / "..data")
        await held.until(lambda: held.policies == ["one", "two"], "the swap")
        watching.cancel()
    await held.house.close()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


async def test_a_wrong_set_keeps_the_old_one_and_says_so_everywhere(tmp_path: Path) -> None:
    """Log aside: metric, /readyz (which stays ready), chat and an alarm; the next good set clears it all."""
    async with running(tmp_path) as held:
        held.files.write("policies/p.yaml", policy("one").replace("mode: auto", "mood: auto"))
        await held.until(lambda: "REFUSED" in held.check().detail, "the refusal")
        assert held.policies == ["one"]
        assert held.check().ok
        assert "mood" in held.check().detail
        assert "p.yaml:3" in held.check().detail
        assert (held.metric("andon_config_valid"), held.metric("andon_config_reloads_total", outcome="refused")) == (
            0,
            1,
        )
        assert [text.split(":")[0] for text in await held.posts()] == ["r1"]
        assert await held.alarms() == ["AndonConfigRefused firing"]
        held.files.write("policies/p.yaml", policy("one", "two"))
        await held.until(lambda: held.policies == ["one", "two"], "the mended set")
        await held.until(lambda: held.metric("andon_config_reloads_total", outcome="applied") == 1, "it is counted")
        assert held.metric("andon_config_valid") == 1
        await held.house.reload()  # which waits until everything about the one before is told
        assert any("policy added: trading-core/two" in text for text in await held.posts())
        assert await held.alarms() == ["AndonConfigRefused resolved"]


async def test_a_file_in_the_middle_of_being_written_is_waited_for(tmp_path: Path) -> None:
    """Half a file is no refusal: it is read once more after a moment, and nobody is woken."""
    async with running(tmp_path) as held:
        held.files.write("policies/p.yaml", policy("one", "two")[:40])
        outcome, _ = await asyncio.gather(held.house.reload(), later("policies/p.yaml", policy("one", "two"), held))
        assert (outcome.ok, held.policies) == (True, ["one", "two"])
        assert held.metric("andon_config_reloads_total", outcome="refused") is None


async def test_half_a_file_that_is_right_by_itself_is_waited_for_too(tmp_path: Path) -> None:
    """Its first half may arm nothing, or watch nothing: between two pieces of one write no set is taken."""
    whole = f"systems: [{SYSTEM}]\narmed: [one]\nroutes: [{{receiver: core, system: {SYSTEM}}}]\n"
    async with running(tmp_path) as held:
        held.files.write("andon.yaml", whole)
        await held.until(lambda: len(held.house.routes) == 1, "the routes")
        held.files.write("andon.yaml", whole[: whole.index("routes")])
        await asyncio.sleep(QUIET_SECONDS * 0.7)  # real time: it is what the writer takes
        held.files.write("andon.yaml", whole)
        outcome = await held.house.reload()  # comes after the look that is under way
        assert (outcome.ok, outcome.changes) == (True, ())
        assert not any("routes" in text for text in (await held.posts())[1:])


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        ("andon.yaml", 'people: "peo\\0ple.yaml"', "no file can have this name"),
        ("andon.yaml", 'policies: ["pol\\0*/*.yaml"]', "armed"),
        ("andon.yaml", f"alertmanagers: [{{name: a, url: 'http://{'ü' * 70}.de'}}]", "not an http or https address"),
        (
            "andon.yaml",
            'alertmanagers: [{name: a, url: "http://a:9093", credentials: "file:/x\\0y"}]',
            "credentials in",
        ),
        ("targets.yaml", _component("http", "http://a..ü"), "not an address"),
        ("targets.yaml", _component("redis", "redis://h/0?socket_timeout=x"), "address cannot be used"),
    ],
    ids=["path", "pattern", "host", "secret", "target's host", "target's options"],
)
async def test_no_content_ends_the_process(tmp_path: Path, name: str, line: str, told: str) -> None:
    """What no reader of ours expects is refused like any other wrong set."""
    held = Running(Files(tmp_path))
    before = (tmp_path / name).read_text() if name == "andon.yaml" else ""
    held.files.write(name, f"{before}{line}\n")
    outcome = await held.house.reload()
    assert (outcome.ok, held.policies) == (False, ["one"])
    assert told in outcome.summary
    await held.house.close()


async def test_a_name_that_is_no_text_ends_no_watch(tmp_path: Path) -> None:
    """The watch on the files cannot tell such a name; it is refused all the same, and the mended set is seen."""
    name = os.fsdecode(b"policies/b\xf6rse.yaml")
    async with running(tmp_path) as held:
        held.files.write(name, "system: x\n")
        await held.until(lambda: "name is not UTF-8" in held.check().detail, "the refusal")
        (tmp_path / name).unlink()
        await held.until(lambda: "REFUSED" not in held.check().detail, "the mended set")


async def test_a_part_that_fails_does_not_end_the_house(tmp_path: Path) -> None:
    """It is told of by an incident, and the others go on."""

    async def broken() -> None:
        raise ValueError("a defect")

    held = Running(Files(tmp_path))
    held.house.runtime._beside["broken"] = broken
    async with asyncio.TaskGroup() as tasks:
        at_work = tasks.create_task(held.house.runtime.run())
        async with asyncio.timeout(WITHIN):
            while not (lines := await held.store.incidents(UNROUTED, closed=False, limit=9)):
                await asyncio.sleep(0.02)
        assert [alert.name for line in lines for alert in line.incident.firing] == ["AndonPartFailed"]
        held.house.runtime.stop()
        await at_work
    await held.house.close()


async def later(name: str, text: str, held: Running) -> None:
    """Write once the half of it has been looked at; well before it is looked at again."""
    await asyncio.sleep(SETTLE_SECONDS / 3)
    held.files.write(name, text)


async def test_everything_of_a_set_comes_at_once(tmp_path: Path) -> None:
    """People, routes, targets and what is armed; a signal asks for it as a file change does."""
    async with running(tmp_path) as held:
        await held.house.arm_configured()
        held.files.write("people.yaml", "people: [{id: demo-oncall}, {id: demo-lead}]\n")
        held.files.write("policies/p.yaml", policy("one", "two"))
        held.files.write(
            "targets.yaml",
            f"systems: {{{SYSTEM}: {{components: [{{name: store, role: store, connector: redis, url: 'redis://h'}}]}}}}\n",
        )
        held.files.write(
            "andon.yaml", f"systems: [{SYSTEM}]\narmed: [two]\nroutes: [{{receiver: core, system: {SYSTEM}}}]\n"
        )
        held.house.reloader.ask()
        await held.until(lambda: held.house.roster().by_id("demo-lead") is not None, "the people")
        assert held.policies == ["one", "two"]
        assert [route.receiver for route in held.house.routes] == ["core"]
        assert [component.name for component in held.house.components()] == ["store"]
        outcome = await held.house.reload()
        assert (outcome.ok, outcome.changes) == (True, ())
        record = (await held.store.load(SYSTEM, [SYSTEM_TARGET]))[SYSTEM_TARGET].record
        assert isinstance(record, Target)
        assert list(record.armed) == ["two"]


async def test_what_only_a_start_reads_is_named(tmp_path: Path) -> None:
    """The rest of the set is in force; the reminder stays until the restart."""
    async with running(tmp_path) as held:
        held.files.write("andon.yaml", f"systems: [{SYSTEM}]\nlisten: {{port: 9100}}\narmed: [one]\n")
        assert (await held.house.reload()).restart == ("listen",)
        assert (await held.house.reload()).restart == ("listen",)


async def test_another_system_waits_for_a_restart(tmp_path: Path) -> None:
    """Its alerts would be stored where nothing reads them."""
    async with running(tmp_path) as held:
        held.files.write("andon.yaml", f"systems: [{SYSTEM}, second-desk]\n")
        outcome = await held.house.reload()
        assert not outcome.ok
        assert "second-desk" in outcome.problems[0]
        assert "restart" in outcome.problems[0]
        assert held.house.shards == (SYSTEM, UNROUTED)


async def test_a_missing_credential_changes_nothing(tmp_path: Path) -> None:
    """Neither the policies nor the connectors: a set is taken whole or not at all."""
    async with running(tmp_path) as held:
        held.files.write("policies/p.yaml", policy("one", "two"))
        component = "name: store, role: store, connector: redis, url: 'redis://h', credentials: 'env:NOT_SET_ANYWHERE'"
        held.files.write("targets.yaml", f"systems: {{{SYSTEM}: {{components: [{{{component}}}]}}}}\n")
        outcome = await held.house.reload()
        assert "NOT_SET_ANYWHERE" in outcome.summary
        assert held.policies == ["one"]
        with pytest.raises(TargetError, match="no component"):
            held.house._connectors.redis(SYSTEM, "store")


async def test_files_that_are_gone_are_a_refusal_too(tmp_path: Path) -> None:
    """A volume that was unmounted takes no policy away."""
    async with running(tmp_path) as held:
        with _moved(tmp_path / "andon.yaml"):
            outcome = await held.house.reload()
            assert not outcome.ok
            assert "cannot be read" in outcome.summary
            assert held.policies == ["one"]
        assert (await held.house.reload()).ok


async def test_the_house_says_why_nobody_should_rely_on_it(tmp_path: Path) -> None:
    """What holds the outgoing heartbeat back: a store that takes no write, and pages that reach nobody."""

    class Away(MemoryStore):
        async def check_writable(self) -> None:
            raise StoreUnavailable("the disk is full")

    held = Running(Files(tmp_path))
    held.house.runtime.heartbeat.beat("inbox")
    assert await held.house.unwell() == ""
    held.pager.broken = "HTTP 500"
    page = PageOncall(id="p", incident="i", service="s", severity="critical", dedup_key="k", summary="VaR")
    with pytest.raises(DeliveryError):
        await held.house.pager.page(page)
    assert "no page route works: first: HTTP 500" in await held.house.unwell()
    assert held.metric("andon_pages_total", route="first", outcome="failed") == 1
    held.pager.broken = ""
    await held.house.pager.page(page)
    held.house._store = Away()
    assert await held.house.unwell() == "the disk is full"
    await held.house.close()


@contextmanager
def _moved(path: Path) -> Iterator[None]:
    away = path.with_suffix(".away")
    path.rename(away)
    yield
    away.rename(path)
