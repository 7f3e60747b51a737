"""deploy/compose.yaml hangs together, and what it starts works: run here as processes, with its own words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from bot.adapters.slack.line.unread import REFUSED
from tests.acceptance.harness.composed import DEPLOY, Composed, binds, compose, open_composed
from tests.acceptance.harness.dockerfile import stages
from tests.acceptance.harness.expressions import expressions, metrics

SAFE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
    "protected-mode": "no",  # with it, nobody in another container could even log in
}
SERVICES = compose()["services"]
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?$")


@pytest.fixture
async def composed() -> AsyncIterator[Composed]:
    """Store and Andon."""
    async with open_composed((sys.executable, "-m", "bot.cli")) as running:
        yield running


def test_it_starts_what_a_floor_needs() -> None:
    """Andon, its store, Prometheus and Alertmanager; Grafana where it is asked for."""
    always = {name for name, service in SERVICES.items() if not service.get("profiles")}
    assert always == {"andon", "valkey", "prometheus", "alertmanager"}
    assert SERVICES["grafana"]["profiles"] == ["grafana"]


@pytest.mark.parametrize("name", SERVICES)
def test_service_refers_only_to_what_exists(name: str) -> None:
    """Each file, volume, network, secret and service it names is there."""
    document, service = compose(), SERVICES[name]
    assert [str(path) for path in binds(service).values() if not path.exists()] == []
    named = {v.split(":")[0] for v in service.get("volumes", []) if not v.startswith((".", "$"))}
    assert named <= document["volumes"].keys()
    assert set(service.get("networks", [])) <= document["networks"].keys()
    assert set(service.get("secrets", [])) <= document["secrets"].keys()
    assert set(service.get("depends_on", [])) <= SERVICES.keys()


def test_everything_declared_is_used() -> None:
    """A secret or volume nobody mounts is a mistake in a name."""
    document = compose()
    assert {secret for s in SERVICES.values() for secret in s.get("secrets", [])} == document["secrets"].keys()
    assert {v.split(":")[0] for s in SERVICES.values() for v in s["volumes"] if v[0] not in ".$"} == document[
        "volumes"
    ].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_pinned_hardened_and_watched(name: str) -> None:
    """No moving tag, no capability, nothing writable but volumes; and somebody notices when it is ill."""
    service = SERVICES[name]
    assert "build" in service or PINNED.match(service["image"]), service["image"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert "build" in service or service["healthcheck"]["test"][0] == "CMD"  # the built one brings its own


def test_nothing_is_published_past_this_machine() -> None:
    """Whoever wants more puts a proxy in front; the store is not even published here."""
    ports = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert [port for each in ports.values() for port in each if not port.startswith("127.0.0.1:")] == []
    assert ports["valkey"] == []
    assert compose()["networks"]["store"] == {"internal": True}
    assert SERVICES["valkey"]["networks"] == ["store"]
    assert {name for name, service in SERVICES.items() if "store" in service["networks"]} == {"andon", "valkey"}


def test_secrets_are_files_and_their_script_makes_each(tmp_path: Path) -> None:
    """No secret stands in the environment, in a command or in this file; a second run changes none of them."""
    secrets = {name: Path(entry["file"]).name for name, entry in compose()["secrets"].items()}
    folder = tmp_path / "secrets"
    subprocess.run(["sh", DEPLOY / "secrets.sh", folder], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert made.keys() == set(secrets.values())
    subprocess.run(["sh", DEPLOY / "secrets.sh", folder], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len({made[name] for name in ("andon_token", "oncall_token", "approver_token", "store_password")}) == 4
    assert made["store_password"] not in made["store_acl"]


def test_the_monitoring_is_mounted_where_it_looks_for_it() -> None:
    """Prometheus finds its rules beside its configuration, Grafana its provisioning and the dashboard in its folder."""
    prometheus = binds(SERVICES["prometheus"])
    assert prometheus["/etc/prometheus/prometheus.yml"] == DEPLOY / "compose/prometheus.yml"
    assert prometheus["/etc/prometheus/rules"] == DEPLOY / "prometheus/rules"
    grafana = binds(SERVICES["grafana"])
    (provider,) = _yaml(DEPLOY / "grafana/provisioning/dashboards/andon.yml")["providers"]
    assert grafana[provider["options"]["path"]] == DEPLOY / "grafana/dashboards"
    assert grafana["/etc/grafana/provisioning"] == DEPLOY / "grafana/provisioning"


def test_addresses_in_the_configuration_are_services_here() -> None:
    """A name in a mounted file that no service has would only show as an alert that never comes."""
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in (DEPLOY / "compose").rglob("*.y*ml") if path.is_file()
    ) + (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    lines = "\n".join(line.split(" #")[0] for line in text.splitlines() if not line.lstrip().startswith("#"))
    named = set(re.findall(r"(?:://|\")([a-z][a-z.]+):\d{4}\b", lines))
    assert named == {"andon", "valkey", "prometheus", "alertmanager", "host.docker.internal"}


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.slow
async def test_what_it_starts_works(composed: Composed) -> None:
    """Andon starts on its store, takes an alert with Alertmanager's token, and obeys who has a person's token."""
    await _the_store_is_safe_and_closed(composed)
    await _a_webhook_is_taken_with_its_token_only(composed)
    code, status = await composed.command("status", token=composed.secret("oncall_token"))
    assert code == 0, status
    assert status["replica"] == "andon-1", status
    assert (await composed.command("status", token="somebody"))[0] == 1
    await _the_dashboard_shows_what_is_exported(composed)
    check = stages()[-1].only("HEALTHCHECK").text.partition("CMD ")[2]
    words = json.loads(check.replace(":9099", f":{composed.port}"))
    assert subprocess.run([sys.executable, *words[1:]], timeout=10, check=False).returncode == 0
    await composed.andon.end()
    assert await composed.andon.wait(1) == 0, composed.andon.tail()
    assert subprocess.run([sys.executable, *words[1:]], timeout=10, capture_output=True, check=False).returncode == 1


async def _the_store_is_safe_and_closed(composed: Composed) -> None:
    """Its settings are what redis_safety wants; Andon's password opens Andon's keys, and without it there is a ping."""
    client = Redis(
        port=composed.store_port, username="andon", password=composed.secret("store_password"), decode_responses=True
    )
    async with client:
        assert await client.config_get(*SAFE) == SAFE
        with pytest.raises(NoPermissionError):
            await client.set("somebody-elses", "1")
        with pytest.raises(NoPermissionError):
            await client.flushall()
    async with Redis(port=composed.store_port) as stranger:
        assert await stranger.ping()
        with pytest.raises(NoPermissionError):
            await stranger.get("andon:anything")


async def _a_webhook_is_taken_with_its_token_only(composed: Composed) -> None:
    """The file that compose's Alertmanager reads holds the token that compose's Andon expects."""
    receivers = _yaml(DEPLOY / "compose/alertmanager.yml")["receivers"]
    (webhook,) = receivers[0]["webhook_configs"]
    file = webhook["http_config"]["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert file in SERVICES["alertmanager"]["secrets"]
    path = webhook["url"].removeprefix("http://andon:9099")
    body = {
        "version": "4", "groupKey": "{}", "status": "firing", "receiver": "andon", "groupLabels": {},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "",
        "alerts": [{
            "status": "firing", "labels": {"alertname": "Watchdog", "system": "trading-core"}, "annotations": {},
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "0123456789abcdef",
        }],
    }  # fmt: skip
    for token, status in ((composed.secret(file), 200), ("another", 401)):
        headers = {"Authorization": f"Bearer {token}"}
        async with composed.session.post(composed.url + path, json=body, headers=headers) as answer:
            assert answer.status == status, await answer.text()


async def _the_dashboard_shows_what_is_exported(composed: Composed) -> None:
    """Every metric that the dashboard or a rule about Andon reads is one that a running Andon has."""
    async with composed.session.get(f"{composed.url}/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    exported = {"up", f"{REFUSED}_total"}  # which Andon has where Slack is on
    for family in families:
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        exported |= {family.name + suffix for suffix in suffixes}
    unknown = {name: where for where, text in expressions().items() for name in metrics(text) - exported}
    assert unknown == {}
