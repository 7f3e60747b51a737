"""Every PromQL expression that is shipped about Andon: of its dashboard and of its rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))

_METRIC = re.compile(r"\b(up|andon_\w+)\b")
_STRING = re.compile(r'"[^"]*"')


def dashboards() -> dict[str, dict[str, Any]]:
    """By file name."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}


def expressions() -> dict[str, str]:
    """Where -> the expression, with Grafana's variables as it would fill them in."""
    found = {
        f"{file}: {panel['title']} {target['refId']}": _filled(target["expr"])
        for file, board in dashboards().items()
        for panel in panels(board)
        for target in panel.get("targets", [])
    }
    rules = yaml.safe_load((DEPLOY / "prometheus/rules/andon.yml").read_text(encoding="utf-8"))
    return found | {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All of them, those in collapsed rows too."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def metrics(expression: str) -> set[str]:
    """The series it reads."""
    return set(_METRIC.findall(_STRING.sub('""', expression)))


def _filled(text: str) -> str:
    return text.replace("$__rate_interval", "1m").replace("$instance", ".*")
