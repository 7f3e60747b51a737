"""The shipped configuration, bent to a place where everything runs on loopback under one roof.

Used by the demo and by the acceptance floor: both run the very files of `configs/`, and only addresses, data
directory, people, arming and durations (never matchers, guards or steps) are replaced. `write` is the whole of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import configs

PERSON = "demo-oncall"  # a role, held by whoever runs the demo
SYSTEM = "trading-core"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the configuration is written, and what it points at.

    `urls`: by connector (`http`, `redis`, `prometheus`), the address of every component of trading-core that uses it.
    `durations`: replacements for keys of every policy, wherever they occur in it (`{"close": "5m"}`).
    `port`: the webhooks' TCP port. `token_file`: the bearer token of the webhooks, "" for none.
    """

    directory: Path
    data_dir: Path
    port: int
    urls: Mapping[str, str]
    token_file: Path | None = None
    durations: Mapping[str, str] = field(default_factory=dict)

    @property
    def socket(self) -> Path:
        """Where the operators' API listens."""
        return self.data_dir / "andon.sock"

    @property
    def andon_yaml(self) -> Path:
        """The file to start from."""
        return self.directory / "andon.yaml"


def write(place: Place) -> Path:
    """Write a complete configuration below `place.directory`; returns the path of its andon.yaml."""
    shipped = Path(configs.__path__[0])
    (place.directory / "policies").mkdir(parents=True, exist_ok=True)
    place.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    armed = []
    for source in sorted((shipped / "policies").glob("*.yaml")):
        document = yaml.safe_load(source.read_text(encoding="utf-8"))
        armed += [f"{document['system']}/{policy['name']}" for policy in document["policies"]]
        for policy in document["policies"]:
            _set_durations(policy, place.durations)
        _dump(document, place.directory / "policies" / source.name)
    _dump({"people": [{"id": PERSON, "os_uid": os.getuid(), "roles": ["oncall"]}]}, place.directory / "people.yaml")
    _dump(_targets(shipped, place), place.directory / "targets.yaml")
    _dump(_andon(shipped, place, armed), place.andon_yaml)
    return place.andon_yaml


def _targets(shipped: Path, place: Place) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((shipped / "targets.yaml").read_text(encoding="utf-8"))
    for component in document["systems"][SYSTEM]["components"]:
        if component["connector"] in place.urls:
            component["url"] = place.urls[component["connector"]]
        component.pop("credentials", None)
        component.pop("username", None)
    return document


def _andon(shipped: Path, place: Place, armed: list[str]) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((shipped / "andon.yaml").read_text(encoding="utf-8"))
    auth = {"bearer": f"file:{place.token_file}"} if place.token_file else {}
    return document | {
        "replica": "demo",
        "store": {"data_dir": str(place.data_dir)},
        "listen": {"host": "127.0.0.1", "port": place.port, "auth": auth},
        "api": {"socket": str(place.socket)},
        "armed": armed,
    }


def _set_durations(node: object, durations: Mapping[str, str]) -> None:
    for mapping in _mappings(node):
        for key in mapping.keys() & durations.keys():
            mapping[key] = durations[key]


def _mappings(node: object) -> Iterator[dict[str, Any]]:
    match node:
        case dict():
            yield node
            for value in node.values():
                yield from _mappings(value)
        case list():
            for value in node:
                yield from _mappings(value)


def _dump(document: object, path: Path) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
