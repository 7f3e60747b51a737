"""The shipped Prometheus and Alertmanager files hold before the real programs that read them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.harness.binaries import binary

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES_DIR = DEPLOY / "prometheus" / "rules"
RULES = sorted(RULES_DIR.glob("*.yml"))
ALERTMANAGER = DEPLOY / "alertmanager" / "alertmanager.yml"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_promtool_accepts_the_configuration_and_the_rules_pass_their_tests() -> None:
    """A typo in a rule would otherwise show in production, as an alert that never comes."""
    promtool = binary("promtool")
    said = _run(promtool, "check", "config", str(DEPLOY / "prometheus/prometheus.yml"))
    assert said.count("rules found") == len(RULES)
    _run(promtool, "test", "rules", *(str(path) for path in sorted((DEPLOY / "prometheus/tests").glob("*.yml"))))


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.stem)
def test_every_rule_has_a_test_in_which_it_fires(rules: Path) -> None:
    """A rule that cannot fire is no rule; the one that always fires needs no test of its silence."""
    alerts = {rule["alert"] for group in _yaml(rules)["groups"] for rule in group["rules"]}
    looks = [
        look for test in _yaml(DEPLOY / "prometheus/tests" / rules.name)["tests"] for look in test["alert_rule_test"]
    ]
    assert {look["alertname"] for look in looks if look["exp_alerts"]} == alerts
    assert {look["alertname"] for look in looks if not look["exp_alerts"]} == alerts - {"Watchdog"}


def test_rules_are_named_as_the_policies_and_the_runbook_have_them() -> None:
    """A policy that matches another name than Prometheus sends would never act. The runbook's limits stand in them."""
    rules = {r["alert"]: r for group in _yaml(RULES_DIR / "trading-core.yml")["groups"] for r in group["rules"]}
    assert rules["ExcessiveModelSwitching"]["expr"] == "sum(increase(model_switch_total[5m])) / 5 > 20"
    assert rules["VaRBreach"]["expr"] == "trading_var_pct > 1.8"
    assert rules["RedisLatencyHigh"]["expr"] == "redis_latency_p99 > 5000"
    severities = {name: rule["labels"]["severity"] for name, rule in rules.items()}
    assert severities == {
        "VaRBreach": "critical",
        "VaRUnknown": "critical",
        "ExcessiveModelSwitching": "warning",
        "RedisLatencyHigh": "warning",
        "Watchdog": "none",
    }
    assert {rule["labels"]["system"] for rule in rules.values()} == {"trading-core"}


def test_amtool_accepts_the_configuration() -> None:
    """Resolved alerts are sent, groups are never truncated, and requests carry the token from a file."""
    _run(binary("amtool"), "check-config", str(ALERTMANAGER))
    webhooks = [hook for receiver in _yaml(ALERTMANAGER)["receivers"] for hook in receiver.get("webhook_configs", [])]
    (webhook,) = webhooks
    assert (webhook["send_resolved"], webhook["max_alerts"]) == (True, 0)
    assert webhook["http_config"]["authorization"] == {"type": "Bearer", "credentials_file": "andon.token"}


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=VaRBreach", "severity=critical", "system=trading-core"), "andon"),
        (("alertname=Watchdog", "severity=none", "system=trading-core"), "andon"),
        (("alertname=Anything",), "andon"),
        (("alertname=AndonDown", "severity=critical", "about=andon"), "past-andon"),
        (("alertname=AndonConfigRefused", "andon=self"), "andon"),
    ],
)
def test_alerts_about_andon_go_past_it_and_everything_else_to_it(labels: tuple[str, ...], receiver: str) -> None:
    """An Andon that is down cannot page about it; an alert that went past Andon would never be acted on."""
    routed = _run(binary("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels)
    assert routed.strip() == receiver


def test_every_rule_about_andon_goes_past_it() -> None:
    """Each carries the label that the route looks for, and says what to do."""
    rules = [rule for group in _yaml(RULES_DIR / "andon.yml")["groups"] for rule in group["rules"]]
    assert {rule["labels"]["about"] for rule in rules} == {"andon"}
    assert all(rule["annotations"].keys() == {"summary", "fix"} for rule in rules)
