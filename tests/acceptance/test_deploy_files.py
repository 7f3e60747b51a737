"""The shipped Prometheus and Alertmanager files hold before the real programs that read them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from tests.acceptance.harness.binaries import binary

DEPLOY = Path(__file__).parents[2] / "deploy"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_promtool_accepts_the_configuration_and_the_rules_pass_their_tests() -> None:
    """A typo in a rule would otherwise show in production, as an alert that never comes."""
    promtool = binary("promtool")
    assert "4 rules found" in _run(promtool, "check", "config", str(DEPLOY / "prometheus/prometheus.yml"))
    _run(promtool, "test", "rules", str(DEPLOY / "prometheus/rules/trading-core.test.yml"))


def test_amtool_accepts_the_configuration_and_everything_is_routed_to_andon(tmp_path: Path) -> None:
    """Resolved alerts are sent, groups are never truncated, and requests carry the token from a file."""
    amtool = binary("amtool")
    file = DEPLOY / "alertmanager/alertmanager.yml"
    _run(amtool, "check-config", str(file))
    routed = _run(
        amtool, "config", "routes", "test", f"--config.file={file}", "alertname=VaRBreach", "severity=critical"
    )
    assert routed.strip() == "andon"
    (receiver,) = yaml.safe_load(file.read_text())["receivers"]
    (webhook,) = receiver["webhook_configs"]
    assert (webhook["send_resolved"], webhook["max_alerts"]) == (True, 0)
    assert webhook["http_config"]["authorization"] == {"type": "Bearer", "credentials_file": "andon.token"}
