"""Every host that Andon calls by HTTP, as the configuration names them: what may have `allow_private` beside its url.

`bot.adapters.destination_look` resolves them and judges where they lead; `andon check --probe` tells their lines.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from policies.andon import UNROUTED, AndonDocument
from policies.destinations import Destination
from policies.problems import Path
from policies.targets import TargetsDocument

AT_START: Final = ("heartbeat", "second_route", "checkpoints")  # read by a start only


class Called(Protocol):
    """A part of the configuration with an address that is called; empty: none."""

    @property
    def url(self) -> str: ...
    @property
    def allow_private(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Place:
    """One `url` of the configuration. `setting` names it in alarms; `path` is where it stands in `file`."""

    setting: str
    to: Destination
    file: str
    path: Path
    system: str = UNROUTED


def places(targets: TargetsDocument, andon: AndonDocument, started: AndonDocument) -> list[Place]:
    """Every HTTP address there is; those that only a start reads as the start read them (`started`)."""
    found: list[Place] = []

    def add(setting: str, called: Called, file: str, path: Path, system: str = UNROUTED) -> None:
        with suppress(ValueError):  # empty, or no address at all, which `andon check` tells
            to = Destination.of(called.url, allow_private=called.allow_private)
            found.append(Place(setting, to, file, (*path, "url"), system))

    for system, parts in targets.systems.items():
        for number, part in enumerate(parts.components):
            if part.connector in ("http", "prometheus"):
                add(f"{system}/{part.name}", part, andon.targets, ("systems", system, "components", number), system)
    for number, peer in enumerate(andon.alertmanagers):
        add(f"alertmanagers/{peer.name}", peer, "andon.yaml", ("alertmanagers", number))
    for name in AT_START:
        add(name, getattr(started, name), "andon.yaml", (name,))
    return found
