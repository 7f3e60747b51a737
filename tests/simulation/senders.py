"""Who tells Andon of alerts: an Alertmanager that repeats itself until it is heard, with a ledger of what was accepted.

It groups by name: what begins, ends or fires on at the same moment goes out in one webhook, for several incidents.

Made by `floor`; told by the script's steps what fires and what ends. Every webhook goes the real way (JSON, the real
parser, the real routes) and is answered by `world.deliver`. What was answered 2xx must not be lost: the oracle reads
`firings` for that.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from bot.core.alert import INJECTED, Alert
from bot.core.words import Millis
from handlers import alertmanager
from handlers.routing import Route, split
from policies import matchers
from tests.simulation import policies_floor
from tests.simulation.world import EPOCH

if TYPE_CHECKING:
    from tests.simulation.floor import Floor

REPEAT_S: Final = 7.0  # how often what fires is told again
RETRY_S: Final = 0.8  # after a refusal or no answer
CALM_MS: Final = 3_000  # after everything has ended: the last words on what was told out of turn
SLOW_MS: Final = 3_000  # what is unanswered for longer may still be done, who knows when
TRIES: Final = 60  # a webhook is given up when the next one would tell the same
WATCHDOG_S: Final = 4.0
PROMETHEUS: Final = "http://prometheus.invalid/graph"  # whose rules make all that nobody fires by hand
WATCHDOG: Final = {"alertname": "Watchdog", "severity": "none", "system": policies_floor.SHARD}


@dataclass(slots=True)
class Firing:
    """One firing of one label set. Times are true ones; `accepted` is when a webhook that said so was answered 2xx."""

    labels: dict[str, str]
    fingerprint: str
    starts_at: Millis  # wall time
    began: Millis
    by: str = ""  # the person who injected it
    ended: Millis | None = None
    accepted: Millis | None = None
    ended_accepted: Millis | None = None
    told: list[Alert] = field(default_factory=list)
    echoes: int = 0  # times it may have been told as firing when it was over: each may count as a firing of its own

    @property
    def name(self) -> str:
        return self.labels["alertname"]


def fingerprint_of(labels: dict[str, str]) -> str:
    """As Alertmanager's: the same for the same labels."""
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]


def _when(wall: Millis) -> str:
    return datetime.fromtimestamp(wall / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Alertmanager:
    """Keeps telling what fires, and what ended, until it is heard."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self.firings: list[Firing] = []
        self.signs: list[Millis] = []  # when a sign of life was accepted
        self.watchdog = True
        self.under_way = 0  # webhooks not heard yet
        self._next: dict[tuple[str, str], list[Firing]] = {}  # by name and status: what goes out together
        self.routes = tuple(_routes(floor))
        self._parsed: dict[tuple[object, ...], Alert] = {}

    # --- what the script says -------------------------------------------------------------------------------------

    def fires(self, labels: dict[str, str], by: str = "") -> Firing:
        """A label set begins to fire, unless it does already."""
        floor, found = self._floor, self.current(labels)
        if found is not None and found.ended is None:
            return found
        firing = Firing(labels, fingerprint_of(labels), floor.world.wall, floor.now, by)
        self.firings.append(firing)
        floor.world.trace.note("alertmanager", "fires", _named(labels) + (f" (by {by})" if by else ""))
        self._soon(firing, "firing")
        return firing

    def ends(self, labels: dict[str, str]) -> None:
        """Its current firing ends."""
        firing = self.current(labels)
        if firing is None or firing.ended is not None:
            return
        firing.ended = self._floor.now
        self._floor.world.trace.note("alertmanager", "ends", _named(labels))
        self._soon(firing, "resolved")

    def repeat(self, number: int) -> None:
        """An old firing is told once more, as a webhook that was held up on the way."""
        told = [firing for firing in self.firings if firing.told]
        if told:
            firing = told[number % len(told)]
            self._floor.world.trace.note("alertmanager", "an old webhook arrives", _named(firing.labels))
            firing.echoes += 1
            self._floor.world.spawn("webhook", self._deliver([firing.told[number % len(firing.told)]]))

    def calm(self) -> None:
        """Everything ends. What a person fired, and what was told out of turn, stands in no list that shows its end."""
        for firing in list(self.firings):
            self.ends(firing.labels)
            if firing.by and firing.echoes and self.current(firing.labels) is firing:
                self._floor.world.later(CALM_MS, partial(self._once_more, firing))
        self.watchdog = True

    def _once_more(self, firing: Firing) -> None:
        self._soon(firing, "resolved")

    def _soon(self, firing: Firing, status: str) -> None:
        """It goes out with whatever else of its group has come to the same at this very moment."""
        group = (firing.name if not firing.by else f"{firing.name} by {firing.by}", status)
        if group not in self._next:
            self._next[group] = []
            self._floor.world.later(0, partial(self._send_group, group))
        self._next[group].append(firing)

    def _send_group(self, group: tuple[str, str]) -> None:
        self._floor.world.spawn("webhook", self._tell(self._next.pop(group), group[1]))

    def current(self, labels: dict[str, str]) -> Firing | None:
        """The newest firing of a label set."""
        return next((f for f in reversed(self.firings) if f.labels == labels), None)

    def firing(self) -> list[Alert]:
        """What its API lists."""
        listed = [self._alert(f, "firing") for f in self.firings if f.ended is None and not f.by]
        return [*listed, self._parse(WATCHDOG, EPOCH, None)] if self.watchdog else listed

    @property
    def is_busy(self) -> bool:
        """Whether something that was said is not heard yet."""
        return self.under_way > 0

    # --- what it does ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Repeat what fires, and the Watchdog, for as long as the run lasts."""
        since = 0.0
        while True:
            if self.watchdog:
                self._floor.world.spawn("watchdog", self._sign())
            await asyncio.sleep(WATCHDOG_S)
            since += WATCHDOG_S
            if since >= REPEAT_S:
                since = 0.0
                for firing in self.firings:
                    if firing.ended is None:
                        self._soon(firing, "firing")

    async def _tell(self, group: list[Firing], status: str) -> None:
        self.under_way += 1
        try:
            await self._insist(group, status)
        finally:
            self.under_way -= 1

    async def _insist(self, group: list[Firing], status: str) -> None:
        """One notification, tried until it is accepted or what it says is over."""
        for _ in range(TRIES):
            group = [firing for firing in group if self._holds(firing, status)]
            if not group:
                return
            alerts = [self._alert(firing, status) for firing in group]
            for firing, alert in zip(group, alerts, strict=True):
                if alert not in firing.told:
                    firing.told.append(alert)
            began = self._floor.now
            heard = await self._deliver(alerts)
            slow = not heard and self._floor.now - began > SLOW_MS  # a replica that is held still may take it yet
            for firing in group:
                self._heard(firing, status, slow=slow, heard=heard)
            if heard:
                return
            await asyncio.sleep(RETRY_S)

    def _holds(self, firing: Firing, status: str) -> bool:
        """Whether it is still so: else its end is being told instead, or a newer firing."""
        return firing.ended is None if status == "firing" else self.current(firing.labels) is firing

    def _heard(self, firing: Firing, status: str, *, slow: bool, heard: bool) -> None:
        """Keep what is known of a webhook that has gone out."""
        if status == "firing" and (slow or firing.ended is not None):
            firing.echoes += 1
        if heard and status == "firing":
            firing.accepted = firing.accepted if firing.accepted is not None else self._floor.now
        elif heard:
            firing.ended_accepted = self._floor.now

    async def _sign(self) -> None:
        now = self._floor.world.wall
        alert = replace(self._parse(WATCHDOG, EPOCH, None), starts_at=now, source="alertmanager")
        if await self._deliver([alert]):
            self.signs.append(self._floor.now)

    def _alert(self, firing: Firing, status: str) -> Alert:
        ended = None
        if status == "resolved" and firing.ended is not None:
            ended = firing.starts_at + max(1, firing.ended - firing.began)
        alert = self._parse(firing.labels, firing.starts_at, ended)
        if not firing.by:
            return alert
        return replace(alert, source=INJECTED, annotations={"fired_by": firing.by}, generator_url="")

    def _parse(self, labels: dict[str, str], starts_at: Millis, ended: Millis | None) -> Alert:
        """By the real parser; what is told again says the same."""
        same = (*labels.items(), starts_at, ended)
        if same not in self._parsed:
            self._parsed[same] = self._read(labels, starts_at, ended)
        return self._parsed[same]

    def _read(self, labels: dict[str, str], starts_at: Millis, ended: Millis | None) -> Alert:
        told = {
            "status": "firing" if ended is None else "resolved",
            "labels": labels,
            "annotations": {},
            "startsAt": _when(starts_at),
            "endsAt": _when(ended) if ended is not None else "0001-01-01T00:00:00Z",
            "fingerprint": fingerprint_of(labels),
            "generatorURL": f"{PROMETHEUS}?g0.expr={labels['alertname']}",
        }
        body = {"version": "4", "groupKey": "{}", "receiver": "andon", "alerts": [told]}
        return alertmanager.salvage(json.dumps(body).encode()).alerts[0]

    async def _deliver(self, alerts: list[Alert]) -> bool:
        first = alerts[0]
        webhook = alertmanager.Webhook(
            id=f"am-{first.fingerprint}-{first.starts_at}-{first.status}-{len(alerts)}", source=first.source,
            receiver="andon", group_key="{}", alerts=tuple(alerts),
        )  # fmt: skip
        world = self._floor.world
        for shard, entry in split(webhook, self.routes, world.wall).items():
            if not await world.deliver(shard, entry):
                return False
        return True


def _routes(floor: Floor) -> list[Route]:
    """andon.yaml's routes, as `bot.configuration` compiles them."""
    return [
        Route(system=route.system, receiver=route.receiver, matches=matchers.test(route.match))
        for route in floor.loaded().andon.routes
    ]


def _named(labels: dict[str, str]) -> str:
    rest = [f"{name}={value}" for name, value in labels.items() if name in ("batch", "symbol", "severity")]
    return " ".join([labels["alertname"], *rest])
