"""The shipped configuration, bent to a place where everything runs on loopback under one roof.

Used by the demo and by the acceptance floor: both run the very files of `configs/`. Only addresses, the data directory,
who the person is, arming and four waits are replaced; matchers, evidence, steps and verification never are. One figure
may be: from which latency on a Redis is slow, since a demo shares its machine with everything else that runs there.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

import configs
from bot.errors import ConfigError
from bot.sandbox import ctl
from policies.people import VIEWER

PERSON = "demo-oncall"  # a role, held by whoever runs the demo
APPROVER = "demo-approver"  # a role too: the second person, known by a token
VISITOR = "demo-visitor"  # somebody known who stands in no roster; only the demo has them
SYSTEM = "trading-core"
MEASURE_EVERY = "15s"  # on the demo's clock, one real second: PINGs for half a second, whatever the clock says
SHIPPED_US = 5_000  # the runbook's limit for the p99 of Redis, in the shipped policy

_LATENCY = re.compile(r"(evidence\.latency [<>] )(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the configuration is written, and what it points at.

    `urls`: by connector (`http`, `redis`, `prometheus`), the address of every component of trading-core that uses it.
    `sentinels`, `master`: who watches its Redis; none: nobody does. Programs restart services of the sandbox at `http`.
    `hold`, `close`, `cooldown`, `lease`: shorter waits for every policy; "" leaves them as shipped.
    `latency_us`: another limit than the shipped 5,000 us for a slow Redis, in the same proportions; 0 leaves it.
    `port`: the webhooks' TCP port. `token_file`: holds the bearer token of the webhooks; None asks for none.
    `tokens`: by person, the file with their token for the operators' API; who is not in people.yaml is added to it.
    `slack`: the `slack:` section, pointing at the local Slack; empty: Andon has no Slack. `members`: its user ids, by
    person; who is not in people.yaml is added to it, and may look only.
    """

    directory: Path
    data_dir: Path
    port: int
    urls: Mapping[str, str]
    sentinels: tuple[str, ...] = ()
    master: str = ""
    token_file: Path | None = None
    hold: str = ""
    close: str = ""
    cooldown: str = ""
    lease: str = ""
    latency_us: int = 0
    tokens: Mapping[str, Path] = field(default_factory=dict)
    slack: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)

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
        document = _load(source)
        for policy in document["policies"]:
            armed.append(f"{document['system']}/{policy['name']}")
            _shorten(policy, place)
        _dump(document, place.directory / "policies" / source.name)
    _dump(_people(_load(shipped / "people.yaml"), place), place.directory / "people.yaml")
    _dump(_targets(_load(shipped / "targets.yaml"), place), place.directory / "targets.yaml")
    _dump(_andon(_load(shipped / "andon.yaml"), place, armed), place.andon_yaml)
    return place.andon_yaml


def write_with(place: Place, urls: Mapping[str, str]) -> Path:
    """`write`, once the addresses of the trading system are known."""
    return write(replace(place, urls=urls))


def write_for(place: Place, ready: Mapping[str, Any]) -> Path:
    """`write`, for the sandbox that printed this ready line: its API, its Redis, its Sentinels."""
    url = str(ready["url"])  # it answers for Prometheus too, where none is named
    urls = {"prometheus": url, **place.urls, "http": url, "redis": str(ready["valkey_url"])}
    return write(replace(place, urls=urls, sentinels=tuple(ready["sentinels"]), master=str(ready["master"])))


def environment(place: Place) -> dict[str, str]:
    """The variables that make any `andon` command use this place."""
    return {**os.environ, "ANDON_CONFIG": str(place.andon_yaml), "ANDON_SOCKET": str(place.socket)}


def _shorten(policy: dict[str, Any], place: Place) -> None:
    """Replace a policy's waits in place."""
    policy |= {key: wait for key, wait in (("hold", place.hold), ("close", place.close)) if wait}
    measures = any("redis_state" in each for each in policy.get("evidence", {}).values())
    for step in _steps(policy.get("plan", [])):
        if place.latency_us and measures:
            _relax(step, place.latency_us)
        for key, wait in (("cooldown", place.cooldown), ("lease", place.lease)):
            if key in step and wait:
                step[key] = wait


def _relax(step: dict[str, Any], limit_us: int) -> None:
    """Every figure of the evidence `latency` and of the failover's own limit, in proportion; looks as far apart as
    measuring takes, which no scaled clock shortens."""
    verify = step.get("verify", {})
    for where, key in ((step, "guard"), (verify, "until")):
        if key in where:
            where[key] = _LATENCY.sub(lambda m: f"{m[1]}{int(m[2]) * limit_us // SHIPPED_US}", where[key])
    if verify:
        verify["every"] = MEASURE_EVERY
    if step.get("action") == "redis.failover":
        step["with"] |= {"slow_us": limit_us}


def _steps(plan: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every step of a plan, those in sequences too."""
    for step in plan:
        yield step
        yield from _steps(step.get("sequence", []))


def _people(document: dict[str, Any], place: Place) -> dict[str, Any]:
    """Whoever runs this is `PERSON`: the socket knows them by their user id. The others are known by their tokens."""
    known = {person["id"] for person in document["people"]}
    document["people"] += [{"id": person} for person in place.tokens if person not in known]
    lookers = sorted(place.members.keys() - known - place.tokens.keys())
    document["people"] += [{"id": person, "roles": [VIEWER]} for person in lookers]
    for person in document["people"]:
        if person["id"] in place.members:
            person["slack"] = {"team": place.slack["team"], "user": place.members[person["id"]]}
        if person["id"] == PERSON:
            person["os_uid"] = os.getuid()
        if person["id"] in place.tokens:
            person["api_token"] = f"file:{place.tokens[person['id']]}"
    return document


def _targets(document: dict[str, Any], place: Place) -> dict[str, Any]:
    """Names, roles, reads and what is allowed stay as shipped, except the program that restarts a service."""
    for component in document["systems"][SYSTEM]["components"]:
        kind = component["connector"]
        if kind in place.urls:
            component["url"] = place.urls[kind]
        if kind == "redis":
            component |= {"sentinels": list(place.sentinels), "master": place.master}
        if kind == "command" and "http" in place.urls:
            component["allow"] = [f"{sys.executable} -I {ctl.__file__} {place.urls['http']} restart"]
    return document


def _andon(document: dict[str, Any], place: Place, armed: list[str]) -> dict[str, Any]:
    auth = {"bearer": f"file:{place.token_file}"} if place.token_file else {}
    return document | {
        "replica": "demo",
        "store": {"data_dir": str(place.data_dir)},
        "listen": {"host": "127.0.0.1", "port": place.port, "auth": auth},
        "api": {"socket": str(place.socket)},
        "armed": armed,
        "slack": dict(place.slack),
    }


def _load(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: not a mapping")
    return document


def _dump(document: object, path: Path) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
