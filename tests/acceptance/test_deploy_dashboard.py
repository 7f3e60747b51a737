"""Grafana's files: what the dashboard asks is PromQL over labels that exist, and Grafana finds it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bot.adapters.metrics import Metrics
from tests.acceptance.harness.binaries import binary
from tests.acceptance.harness.expressions import DEPLOY, dashboards, expressions, metrics, panels

# What Prometheus or the door adds; the registry of `Metrics` knows the rest.
OUTSIDE = {"instance", "job", "le", "source", "outcome"}


def test_promtool_reads_every_expression(tmp_path: Path) -> None:
    """A typo in a panel would show as an empty panel, at night."""
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions().values())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(
        [binary("promtool"), "check", "rules", "--lint=none", str(file)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_panels_and_rules_group_by_labels_that_exist() -> None:
    """`sum by (shrad)` is valid PromQL, and one nameless line instead of one for each shard."""
    telemetry = Metrics()
    telemetry.folded("s", "d", 1)
    telemetry.committed("s", 0.1, 1)
    telemetry.conflicted("s")
    telemetry.dispatched("s", "e", "o", 0.1)
    telemetry.timer_lateness("s", 0.1)
    telemetry.dead_lettered("s")
    telemetry.stream_read("s", 1, 0.1)
    telemetry.paged("r", "o")
    telemetry.reloaded("o")
    samples = [s for f in text_string_to_metric_families(telemetry.render().decode()) for s in f.samples]
    labels = {sample.name: set(sample.labels) for sample in samples}
    wrong = {
        where: sorted(asked - known)
        for where, text in expressions().items()
        if (asked := _labels(text)) - (known := OUTSIDE.union(*(labels.get(name, set()) for name in metrics(text))))
    }
    assert wrong == {}


def _labels(text: str) -> set[str]:
    """Every label that an expression groups by or matches."""
    grouped = re.findall(r"\b(?:by|without|on)\s*\(([^)]*)\)", text)
    matched = re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", text)
    return {label.strip() for group in grouped for label in group.split(",")} | set(matched)


@pytest.mark.parametrize("name", dashboards())
def test_dashboard_is_one_that_grafana_takes(name: str) -> None:
    """Own uid, panels with ids of their own that do not overlap, every one with a title and a word of explanation."""
    board = dashboards()[name]
    assert board["uid"]
    assert board["title"]
    shown = list(panels(board))
    assert len({panel["id"] for panel in shown}) == len(shown)
    cells: set[tuple[int, int]] = set()
    for panel in shown:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in own) < 24, panel["title"]
        assert not own & cells, panel["title"]
        cells |= own
        assert panel["type"] == "row" or (panel["description"] and panel["targets"]), panel["title"]
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"]))) - {"__rate_interval"}
    assert used == variables


def test_grafana_is_told_where_prometheus_and_the_dashboards_are() -> None:
    """The provisioning files are version 1, and the rate interval fits the scrape interval."""
    folder = DEPLOY / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources/prometheus.yml").read_text(encoding="utf-8"))
    boards = yaml.safe_load((folder / "dashboards/andon.yml").read_text(encoding="utf-8"))
    assert (sources["apiVersion"], boards["apiVersion"]) == (1, 1)
    scrape = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))["global"]
    assert sources["datasources"][0]["jsonData"]["timeInterval"] == scrape["scrape_interval"]
