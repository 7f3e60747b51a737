"""The shipped configuration as deploy/compose.yaml mounts it: the same files, with the addresses of containers.

Called by docs/generate.py. Nothing else may differ, so each file is made from its original by literal replacements, and
one that finds nothing (or more than it should) stops the generation: somebody changed the original's line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FLOOR: Final = "deploy/compose/floor"
_SCHEMA: Final = ("$schema=schemas/", "$schema=../../../configs/schemas/")
_TRADING_CORE: Final = "host.docker.internal"  # compose.yaml's name for the host

# file -> (its original, what is replaced exactly once, in this order)
_FILES: Final[dict[str, tuple[str, tuple[tuple[str, str], ...]]]] = {
    f"{FLOOR}/andon.yaml": (
        "configs/andon.yaml",
        (
            _SCHEMA,
            ('\npolicies: ["policies/*.yaml"]', '\npolicies: ["../policies/*.yaml"]'),
            (
                "\nstore: {}\n",
                '\nstore: {url: "redis://valkey:6379/0", username: andon, '
                'credentials: "file:/run/secrets/store_password"}\n',
            ),
            (
                "\nlisten: {host: 127.0.0.1, port: 9099}\n",
                '\nlisten: {host: 0.0.0.0, port: 9099, auth: {bearer: "file:/run/secrets/andon_token"}}\n',
            ),
            ("\napi: {}\n", "\napi: {host: 0.0.0.0, port: 9098}\n"),
            (
                '\nalertmanagers: []\n#  - {name: main, url: "http://127.0.0.1:9093", receiver: andon, every: 60s}\n',
                '\nalertmanagers:\n  - {name: main, url: "http://alertmanager:9093", receiver: andon, every: 60s}\n',
            ),
        ),
    ),
    f"{FLOOR}/people.yaml": (
        "configs/people.yaml",
        (
            _SCHEMA,
            ("# api_token: env:ANDON_TOKEN_ONCALL", "api_token: file:/run/secrets/oncall_token"),
            (
                "  - id: demo-approver\n",
                "  - id: demo-approver\n    api_token: file:/run/secrets/approver_token\n",
            ),
        ),
    ),
    f"{FLOOR}/targets.yaml": ("configs/targets.yaml", (_SCHEMA, ("http://127.0.0.1:9090", "http://prometheus:9090"))),
    "deploy/compose/prometheus.yml": (
        "deploy/prometheus/prometheus.yml",
        (("127.0.0.1:9093", "alertmanager:9093"), ("127.0.0.1:9099", "andon:9099")),
    ),
    "deploy/compose/alertmanager.yml": (
        "deploy/alertmanager/alertmanager.yml",
        (
            ("http://127.0.0.1:9099/", "http://andon:9099/"),
            (
                " are files beside this one:\n#   andon.token ",
                " are files that compose.yaml hands over:\n#   andon_token ",
            ),
            ("#   pagerduty.key ", "#   pagerduty_key "),
            ("credentials_file: andon.token", "credentials_file: /run/secrets/andon_token"),
            ("routing_key_file: pagerduty.key", "routing_key_file: /run/secrets/pagerduty_key"),
        ),
    ),
}


def compose_files(root: Path) -> dict[str, str]:
    """Path from the repository's root -> what must be in the file."""
    return {name: _made(root, name, *recipe) for name, recipe in _FILES.items()}


def _made(root: Path, name: str, source: str, replacements: tuple[tuple[str, str], ...]) -> str:
    text = (root / source).read_text(encoding="utf-8")
    for old, new in replacements:
        if text.count(old) != 1:
            raise SystemExit(
                f"{name} is made from {source}, where {old.strip()!r} stands {text.count(old)} times, not once; "
                "adapt docs/compose_files.py to the changed line"
            )
        text = text.replace(old, new)
    text = text.replace("127.0.0.1", _TRADING_CORE)  # what is left is the trading system
    first, newline, rest = text.partition("\n")
    note = f"# Made from {source} by `make docs`, for deploy/compose.yaml; edit a copy, not this file."
    return f"{first}{newline}{note}\n{rest}" if first.startswith("# yaml-language-server") else f"{note}\n{text}"
