"""`andon serve` on a store that a test is about to harm, under load, with a target that counts.

Four desks (delivery `once`: to repeat is to double) get an order for each case, all at the same time; risk engines
(delivery `absolute`) are cut one by one. Whatever becomes of the store, the same must hold in the end
(`FaultHouse.accounts`), and it is asked of the target's ledger, the pages and the journal, never of Andon's word alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp

from bot.adapters.codec import decode_intent
from bot.sandbox.children import Child, python, until
from bot.sandbox.topology import Topology
from tests.acceptance.harness.own_store import ONCALL, SYSTEM, StoreHouse
from tests.faults.target import CUT, KELLY, Target, components, trading_system

BUSY: Final = 4  # desks under load, each with a sender of its own
DESKS: Final = (*(f"desk-{number}" for number in range(BUSY)), "desk-probe")  # the last only says whether Andon acts
EVERY_S: Final = 0.25  # between two alerts of a sender
LAST_BEAT_S: Final = 0.7  # a beat that was on its way when the store went
ACCOUNTED_S: Final = 40.0  # what lost its answer is looked at again after ten seconds; some of it twice
STARTED_S: Final = 60.0  # takes two; this is for a machine that does something else besides
SAID_AGAIN: Final = 3  # times that people may hear the same thing: once more for each kill in its very midst
UNTIL: Final = "2099-01-01T00:00:00Z"
_CHATTER: Final = ('"chat_message"', '"append_failed"', '"store_unavailable"')
Json = dict[str, Any]


class FaultHouse(StoreHouse):
    """What a scenario holds. Made by `open_fault_house`."""

    target: Target
    data: Path
    recoveries: list[float]  # seconds that `acts_again` took, in order

    def runs(self) -> Counter[str]:
        """How often each case was ordered, by the target's ledger."""
        return Counter(self.target.ledger)

    @asynccontextmanager
    async def loaded(self, every: float = EVERY_S) -> AsyncIterator[None]:
        """Alerts come in all the time meanwhile, at every busy desk."""
        senders = [asyncio.create_task(self._send(desk, every)) for desk in range(BUSY)]  # noqa: TID251  # ended below
        try:
            yield
        finally:
            for sender in senders:
                sender.cancel()
            ended = await asyncio.gather(*senders, return_exceptions=True)
        assert [one for one in ended if not isinstance(one, asyncio.CancelledError)] == []

    async def _send(self, desk: int, every: float) -> None:
        for number in count():
            await self.alert(f"Work{desk}", f"work-{desk}-{number}")
            await asyncio.sleep(every)

    async def cut(self, engine: int) -> None:
        """Ask for a cut of one risk engine's Kelly fraction."""
        await self.alert(f"Cut{engine}", f"cut-{engine}")

    async def is_cut(self, engine: int) -> None:
        """Return once it is."""

        async def look() -> bool:
            return list(self.target.kelly.values())[engine] == CUT

        await until(f"risk engine {engine} is cut", look, within=ACCOUNTED_S)

    # --- while the store is away ------------------------------------------------------------------------------------

    async def refuses(self, within: float) -> float:
        """Return when senders hear 503 from now on; when that was."""
        before = self.refused[503]

        async def look() -> bool:
            return self.refused[503] > before

        await until("alerts are refused", look, within=within)
        return asyncio.get_running_loop().time()

    async def acts_again(self, within: float) -> float:
        """Return when a new alert has been taken and acted upon; how many seconds that took."""
        began = asyncio.get_running_loop().time()
        case = f"after-{len(self.accepted)}"
        async with asyncio.timeout(within):
            for number in count():  # one that is taken in the midst of the trouble may end with a person
                await self.alert(f"Work{BUSY}", f"work-{case}-{number}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self.ran(f"work-{case}-{number}")
                        break
        took = asyncio.get_running_loop().time() - began
        self.recoveries.append(round(took, 1))
        return took

    def beats(self, begin: float, end: float) -> int:
        """Outgoing heartbeats in this time, on the event loop's clock."""
        return sum(begin <= at < end for at in self.target.heartbeats)

    async def beats_again(self, within: float) -> None:
        """Return when somebody outside hears that Andon is well."""
        now = asyncio.get_running_loop().time()

        async def look() -> bool:
            return self.beats(now, float("inf")) > 0

        await until("the outgoing heartbeat comes again", look, within=within)

    # --- in the end -------------------------------------------------------------------------------------------------

    async def accounts(self, *, forgetful: bool = False) -> Counter[str]:
        """Nothing was doubled, all that was accepted was done or is with a person who was paged; how many of each.

        And nobody was told that the store had forgotten anything, unless it has (`forgetful`).
        """
        ends = await until("every accepted alert is accounted for", self._ends, within=ACCOUNTED_S)
        runs = self.runs()
        assert set(runs.values()) <= {1}, [case for case, times in runs.items() if times > 1]
        assert len(self.target.keys) == len(set(self.target.keys))
        assert set(self.target.keys) <= self.journalled()  # law 2: the second place, before the first byte
        assert set(self.target.kelly.values()) <= {KELLY, CUT}
        assert self.andon.running
        said = await self.ask("GET", "/audit/verify")
        assert said["ok"], said
        assert bool(self.said("writes_lost")) == forgetful
        words = Counter((one["incident_id"], one["topic"], one["text"]) for one in self.said("chat_message"))
        pages = Counter(one["dedup_key"] for one in self.said("PAGE"))
        assert [what for what, times in (words + pages).items() if times > SAID_AGAIN] == []
        found = Counter("ran" if end == "ran" else "person" for end in ends.values())
        print(f"{dict(found)}, refused {dict(self.refused)}, acted again after {self.recoveries} s")  # with -rP
        return found

    async def _ends(self) -> dict[str, str] | None:
        lines, runs, paged = await self._lines(), self.runs(), self.paged()
        ends = {
            case: "ran" if runs[case] else _with_a_person(lines.get(case), paged)
            for case in self.accepted
            if case.startswith("work")
        }
        return ends if all(ends.values()) else None

    async def _lines(self) -> dict[str, Json]:
        """Every incident's line, by case. What was refused first may have come twice: the newest counts."""
        listed = (await self.ask("GET", "/incidents?all=1&limit=500"))["incidents"]
        return {each["group"]["case"]: each for each in reversed(listed) if each["policy"].startswith(("work", "cut"))}

    def paged(self) -> set[str]:
        """Incidents that somebody was paged about."""
        return {entry["incident_id"] for entry in self.said("PAGE")}

    def said(self, event: str) -> list[Json]:
        """What Andon logged under this name."""
        found = []
        for line in (self.folder / "andon.log").read_text(errors="replace").splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == event:
                    found.append(entry)
        return found

    def journalled(self) -> set[str]:
        """Every intent in the journal's files."""
        found = set()
        for path in (self.data / "journal").glob("intents.jsonl*"):
            for line in path.read_text(errors="replace").splitlines():
                with suppress(ValueError):
                    entry = json.loads(line)
                    if "intent" in entry:
                        found.add(decode_intent(entry["intent"].encode()).intent)
        return found

    def story(self) -> str:
        """What Andon logged last, without what it says at every turn: for a person who must find the fault."""
        log = self.folder / "andon.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([line[:600] for line in lines if not any(word in line for word in _CHATTER)][-40:])

    # --- configuration ----------------------------------------------------------------------------------------------

    async def begin(self, store: Json, *, data: Path, **more: Any) -> None:
        """Write the configuration with this `store`, start `andon serve`, and wait until it is ready."""
        self.data = data
        configs = self.folder / "configs"
        (configs / "policies").mkdir(parents=True)
        for name, document in self._documents(store, more).items():
            (configs / f"{name}.yaml").write_text(json.dumps(document))  # which is YAML too
        await self.serve()

    async def serve(self) -> None:
        """Start it, for the first time or again."""
        self.andon = await Child.start(
            "andon", python("bot.cli", "serve"), self.folder / "andon.log", environment={
                "ANDON_CONFIG": str(self.folder / "configs" / "andon.yaml"), "ANDON_DATA_DIR": str(self.data),
                "ANDON_SOCKET": str(self.folder / "data" / "andon.sock"), "ANDON_LOG_FORMAT": "json",
            },
        )  # fmt: skip

        async def ready() -> bool:
            assert self.andon.running
            async with self._web.get(f"http://127.0.0.1:{self._port}/readyz") as answer:
                return answer.status == 200

        await until("andon is ready", ready, within=STARTED_S)

    async def end(self) -> None:
        """SIGTERM to the one that runs now, if any was started."""
        if hasattr(self, "andon"):
            await self.andon.end()

    def _documents(self, store: Json, more: Json) -> dict[str, Json]:
        work = [f"work{number}" for number in range(len(DESKS))]
        cuts = [f"cut{number}" for number in range(len(self.target.kelly))]
        signed = {"by": ONCALL, "reason": "each case once", "until": UNTIL}
        return {
            "andon": {
                "systems": [SYSTEM], "armed": [*work, *cuts], "listen": {"port": self._port}, "store": store,
                "routes": [{"match": [f'system="{SYSTEM}"'], "system": SYSTEM}],
                "budget": {"limit": 250, "within": "1s", "reserve": 3},
                "heartbeat": {"url": f"{self.target.url}/heartbeat", "every": "1s"}, **more,
            },
            "people": {
                "people": [{"id": ONCALL, "os_uid": os.getuid()}],
                "rosters": {"approvers": [{"system": SYSTEM, "risk": "critical", "people": [ONCALL]}]},
            },
            "targets": {"systems": {SYSTEM: {"components": components(self.target, DESKS)}}},
            "policies/store": {
                "system": SYSTEM, "labels": ["case"],
                "policies": [
                    *(_policy(name, _order(DESKS[number])) for number, name in enumerate(work)),
                    *(_policy(name, _cut(f"risk-{number}")) for number, name in enumerate(cuts)),
                ],
                "pre_authorised": [{"action": "http.call", "policy": name, **signed} for name in work],
            },
        }  # fmt: skip


def _with_a_person(line: Json | None, paged: set[str]) -> str:
    """Why a person has it, if one does and was told."""
    if line is None or line["status"] != "parked" or line["id"] not in paged:
        return ""
    return str(line["why"])


def _order(desk: str) -> Json:
    body = {"method": "POST", "path": "/orders", "body": {"case": "${labels.case}"}}
    return {"action": "http.call", "component": desk, "with": body}


def _cut(engine: str) -> Json:
    return {"action": "risk.reduce_kelly", "component": engine, "with": {"kelly_fraction": CUT, "reason": "a drill"}}


def _policy(name: str, step: Json) -> Json:
    return {
        "name": name, "match": [f'alertname="{name.title()}"'], "group_by": ["case"], "mode": "auto",
        "channel": "#store", "plan": [step],
    }  # fmt: skip


@asynccontextmanager
async def open_fault_house(
    store: Json, *, data: Path | None = None, servers: Topology | None = None, **more: Any
) -> AsyncIterator[FaultHouse]:
    """Andon at work on this `store` (as andon.yaml has it); cleared away afterwards, its log's end with any failure.

    `data`: its data directory, where that is not to be an ordinary one. `more`: into andon.yaml.
    """
    folder = Path(tempfile.mkdtemp(prefix="andon-fault-"))  # short: a unix socket's path has some 100 bytes
    (folder / "data").mkdir(mode=0o700)
    try:
        async with AsyncExitStack() as stack:
            target = await stack.enter_async_context(trading_system())
            web = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)))
            house = FaultHouse(folder, web, servers)  # type: ignore[arg-type]  # not every scenario has Sentinels
            house.target, house.recoveries = target, []
            try:
                stack.push_async_callback(house.end)
                await house.begin(store, data=data or folder / "data", **more)
                yield house
            except BaseException as problem:
                problem.add_note(house.story())
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
