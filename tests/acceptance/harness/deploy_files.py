"""The files of deploy/, loaded, with only addresses and intervals replaced by those of this floor."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"

# The shipped 5 s and 10 s make a scenario slow, not different. Alertmanager's flush deadline stays 10 s by itself.
SCRAPE = "500ms"
EVALUATE = "500ms"
GROUP_WAIT = "200ms"
GROUP_INTERVAL = "1s"
SLOW = "redis_latency_p99 > 5000"  # the shipped rule of row T3


def prometheus(into: Path, *, trading_core: str, andon: str, alertmanagers: list[str], latency_us: int = 0) -> Path:
    """Write prometheus.yml and its rules below `into`; addresses are `host:port`. Returns the configuration's path.

    `latency_us`: from where on Redis is slow, for a machine on which any server answers late; 0 leaves it as shipped.
    """
    config = _load(DEPLOY / "prometheus" / "prometheus.yml")
    config["global"] |= {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": EVALUATE}
    (manager,) = config["alerting"]["alertmanagers"]
    manager["static_configs"] = [{"targets": alertmanagers}]
    where = {"trading-core": trading_core, "andon": andon}
    assert {job["job_name"] for job in config["scrape_configs"]} == where.keys()
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [where[job["job_name"]]]}]
    shutil.copytree(DEPLOY / "prometheus" / "rules", into / "rules")
    if latency_us:
        rules = into / "rules" / "trading-core.yml"
        text = rules.read_text(encoding="utf-8")
        assert text.count(SLOW) == 1
        rules.write_text(text.replace(SLOW, f"redis_latency_p99 > {latency_us}"), encoding="utf-8")
    return _dump(config, into / "prometheus.yml")


def alertmanager(into: Path, *, andon: str, token: str) -> Path:
    """Write alertmanager.yml and its token file below `into`. Returns the configuration's path."""
    config = _load(DEPLOY / "alertmanager" / "alertmanager.yml")
    config["route"] |= {"group_wait": GROUP_WAIT, "group_interval": GROUP_INTERVAL}
    receiver, past_andon = config["receivers"]
    (webhook,) = receiver["webhook_configs"]
    del past_andon["pagerduty_configs"]  # a real service, which no test may call
    webhook["url"] = f"http://{andon}/webhooks/alertmanager"
    (into / webhook["http_config"]["authorization"]["credentials_file"]).write_text(token)
    return _dump(config, into / "alertmanager.yml")


def _load(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def _dump(document: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path
