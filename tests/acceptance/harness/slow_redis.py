"""The floor of row T3: real Prometheus and Alertmanager, and Andon that knows the Sentinels of trading-core's Redis.

A machine that runs all of this at once answers any PING late now and then. So that only the fault is slow, every
figure of the row is raised in proportion: the rule's, the policy's and the action's limit, and how slow the fault is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml

from bot.demo import config as demo_config
from bot.sandbox.children import Unmet, until
from bot.sandbox.topology import Node, ask
from tests.acceptance.harness.floor import Floor

POLICY = "redis-latency"
LIMIT_US = 20_000  # shipped: 5,000
QUICK_US = 16_000  # shipped: 4,000
STALL_MS = 30  # of one slow command; shipped: 12. Well over the limit, and 20 PINGs a second still tell a p99
PAUSE_MS = 1_500  # between the two services; shipped: 5 s
WITHIN = 45.0  # seconds for one thing to happen; failover and two restarts, the longest, take about nine
SERVICES = ("risk-harmoniser", "strategist")

Json = dict[str, Any]


class SlowRedisFloor(Floor):
    """What a scenario holds. Made by `open_floor(SlowRedisFloor)`."""

    sandbox_options = ("--stall-ms", str(STALL_MS))
    latency_us = LIMIT_US
    home: str  # host:port of the primary and of the replica, as they were at the start
    other: str
    sentinels: tuple[Node, ...]
    master: str

    def configure(self, ready: Mapping[str, Any]) -> None:
        """As shipped, with Sentinels; then the figures."""
        self.home, self.other = urlsplit(ready["valkey_url"]).netloc, urlsplit(ready["replica_url"]).netloc
        self.sentinels = tuple(Node("", int(one.rpartition(":")[2]), self.folder) for one in ready["sentinels"])
        self.master = ready["master"]
        demo_config.write_for(self.place, ready)
        path = self.place.directory / "policies" / "trading-core.yaml"
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        (policy,) = [each for each in document["policies"] if each["name"] == POLICY]
        failover, _, wait, strategist = policy["plan"][0]["sequence"]
        failover["with"]["slow_us"], wait["wait"] = LIMIT_US, f"{PAUSE_MS}ms"
        failover["guard"] = _replaced(failover["guard"], "5000", str(LIMIT_US))
        strategist["verify"]["until"] = _replaced(strategist["verify"]["until"], "4000", str(QUICK_US))
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    @property
    def _environment(self) -> dict[str, str]:
        return {**super()._environment, "ANDON_LOG_FORMAT": "json"}

    # --- the servers ------------------------------------------------------------------------------------------------

    async def slow(self) -> None:
        """Whoever is primary now becomes slow, by itself."""
        await self.sandbox("POST", "/faults/latency", {"cause": "slow_commands", "server": "primary"})

    async def quick(self) -> None:
        """That is over."""
        await self.sandbox("POST", "/faults/latency", {"clear": True})

    async def replica_is(self, state: str) -> None:
        """Stale, down, or up: then every Sentinel sees it follow again, too."""
        await self.sandbox("POST", "/faults/replica", {"state": state})
        if state != "up":
            return

        async def look() -> bool:
            told = [await ask(sentinel, "SENTINEL", "REPLICAS", self.master) for sentinel in self.sentinels]
            seen = [dict(zip(one[::2], one[1::2], strict=True)) for each in told for one in each or []]
            return len(seen) == len(self.sentinels) and all(
                (one["flags"], one["master-link-status"]) == ("slave", "ok") for one in seen
            )

        await until("the Sentinels see the replica follow", look, within=WITHIN)

    async def epoch(self) -> int:
        """The Sentinels' count of failovers, once all of them agree."""

        async def look() -> list[int]:
            told = [await ask(sentinel, "SENTINEL", "MASTER", self.master) for sentinel in self.sentinels]
            found = {dict(zip(one[::2], one[1::2], strict=True))["config-epoch"] for one in told if one}
            return [int(found.pop())] if len(found) == 1 else []

        return (await until("the Sentinels agree on their epoch", look, within=WITHIN))[0]

    async def moved(self, address: str, *, epoch: int) -> None:
        """Return once the ledger's last failover went there, and the Sentinels count so many."""

        async def look() -> bool:
            moves = [each["after"] for each in await self.effects() if each["what"] == "redis_primary"]
            return moves[-1:] == [address] and await self.epoch() == epoch

        await until(f"{address} is primary", look, within=WITHIN)

    async def effects(self) -> list[dict[str, Any]]:
        """What became of the primary and of the services, in order, from the ledger; injected faults are not in it."""
        return [each for each in await self.sandbox("GET", "/ledger?kind=effect") if each["author"] != "fault"]

    async def lost(self) -> int:
        """How many acknowledged writes of the services the primary of now does not have, once it can be asked."""

        async def look() -> Json | None:
            try:
                return dict(await self.sandbox("GET", "/ledger/writes"))
            except aiohttp.ClientResponseError as problem:  # right after a change of primary a connection may be gone
                if problem.status != 503:
                    raise
                return None

        writes = await until("the primary says what it has", look, within=WITHIN)
        assert all(each["acknowledged"] > 0 for each in writes["services"].values())
        return int(writes["lost"])

    async def health(self) -> dict[str, tuple[str, str]]:
        """Each service's health, and the Redis that it writes to."""
        told = {name: await self.sandbox("GET", f"/api/services/{name}/health") for name in SERVICES}
        return {name: (each["status"], each["redis"]) for name, each in told.items()}

    # --- Andon ------------------------------------------------------------------------------------------------------

    async def latency(self, what: str, is_so: Callable[[Json], bool], *, not_: tuple[str, ...] = ()) -> Json:
        """The newest incident of a slow Redis (none of `not_`), once it is so."""

        async def look() -> Json | None:
            lines = (await self.api("GET", "/incidents?all=1"))["incidents"]
            for line in (one for one in lines if one["policy"] == POLICY and one["id"] not in not_):
                incident = (await self.api("GET", f"/incidents/{line['id']}"))["incident"]
                seen.append(f"{incident['status']}: {incident['why']} {incident['results']}")
                return dict(incident) if is_so(incident) else None
            return None

        seen: list[str] = []
        try:
            return await until(what, look, within=WITHIN)
        except Unmet as problem:
            raise Unmet(f"{problem}; it was {', then '.join(dict.fromkeys(seen)) or 'never there'}") from None

    async def paged(self, incident: str) -> list[tuple[str, str]]:
        """(service, summary) of every page for an incident, once there is one."""

        async def look() -> list[tuple[str, str]]:
            lines = (self.folder / "andon.log").read_text(encoding="utf-8", errors="replace").splitlines()
            said = [json.loads(line) for line in lines if line.startswith("{")]
            return [
                (one["service"], one["summary"])
                for one in said
                if one.get("event") == "PAGE" and one.get("incident_id") == incident
            ]

        return await until("a person is paged", look, within=WITHIN)


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, text
    return text.replace(old, new)
