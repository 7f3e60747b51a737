"""`armed:` of andon.yaml from one start to the next, over the real house and the store's twin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.adapters.config_files import read_all
from bot.configuration import Floor
from bot.core.alert import Alert
from bot.core.events import AlertsReceived
from bot.core.orders import PolicyArmed
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.house import House
from bot.places import read_setup
from bot.testing import FakeClock, MemoryArchive, MemoryChat, MemoryPager, MemoryStore
from policies import loader
from policies.andon import UNROUTED
from remediations.catalogue import CATALOGUE

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "andon.yaml"
SYSTEM, POLICY = "trading-core", "var-breach"
LABELS = {"alertname": "VaRBreach", "severity": "critical", "system": SYSTEM}
VAR = Alert(fingerprint="f", status="firing", labels=LABELS, starts_at=1)


class Starts:
    """Andon started again and again on the same store, with what `armed:` lists each time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.clock = folder, MemoryStore(), FakeClock()
        loaded = loader.load(read_all(CONFIGS, read_setup(CONFIGS)), CATALOGUE, now=self.clock.now())
        assert loaded.problems == ()
        self.loaded, self.setup = loaded, loaded.andon

    async def start(self, *listed: tuple[str, str]) -> House:
        house = House(
            floor=Floor(CONFIGS, replace(self.loaded, armed=listed, andon=self.setup)),
            store=self.store, clock=self.clock,
            folder=self.folder, replica="r1", chat=MemoryChat(), pager=MemoryPager(),
            archive=MemoryArchive(),
        )  # fmt: skip
        await house.begin()
        await house.close()
        return house

    async def system(self) -> Target:
        record = (await self.store.load(SYSTEM, [SYSTEM_TARGET]))[SYSTEM_TARGET].record
        assert isinstance(record, Target)
        return record


async def test_a_policy_taken_out_of_the_file_is_disarmed_at_the_next_start(tmp_path: Path) -> None:
    """The file is what somebody reads to know what may act; put back in, it is armed again."""
    floor = Starts(tmp_path)
    await floor.start((SYSTEM, POLICY))
    assert list((await floor.system()).armed) == [POLICY]
    await floor.start()
    assert ((await floor.system()).armed, (await floor.system()).disarmed) == ({}, {})
    await floor.start((SYSTEM, POLICY))
    assert list((await floor.system()).armed) == [POLICY]


async def test_what_a_person_armed_is_not_in_the_file_and_stays(tmp_path: Path) -> None:
    """A restart is nobody's word against `andon arm`."""
    floor = Starts(tmp_path)
    house = await floor.start()
    arm = PolicyArmed(id="op-1", at=floor.clock.now(), by="demo-oncall", policy=POLICY)
    await house.engine.tell(SYSTEM, SYSTEM_TARGET, arm)
    await floor.start()
    assert list((await floor.system()).armed) == [POLICY]


async def test_a_system_renamed_with_something_open_is_told_of(tmp_path: Path) -> None:
    """Nothing looks at its incidents any more, so a person has to."""
    floor = Starts(tmp_path)
    house = await floor.start()
    received = AlertsReceived(id="w", at=1, source="alertmanager", receiver="r", alerts=(VAR,))
    await floor.store.append(SYSTEM, [received])
    await house.engine.absorb(SYSTEM, await floor.store.read_inbox(SYSTEM, 10, 0))
    floor.clock.advance(60_000)
    floor.setup = floor.setup.model_copy(update={"systems": ["renamed"], "routes": []})
    house = await floor.start()
    await house.engine.absorb(UNROUTED, await floor.store.read_inbox(UNROUTED, 100, 0))
    told = [
        alert for line in await floor.store.incidents(UNROUTED, closed=False, limit=9) for alert in line.incident.firing
    ]
    assert [(alert.name, alert.labels["system"], alert.severity) for alert in told] == [
        ("AndonSystemForgotten", SYSTEM, "critical")
    ]
