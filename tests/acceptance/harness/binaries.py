"""Finds the real programs the acceptance tests run, or says how to get them.

A missing program skips a test on somebody's laptop and fails it where `CI` is set: there, skipping proves nothing.
"""

from __future__ import annotations

import os
import shutil

import pytest

# Debian's names first; the second is what the projects' own archives call theirs.
_NAMES: dict[str, tuple[tuple[str, ...], str]] = {
    "prometheus": (("prometheus",), "prometheus"),
    "promtool": (("promtool",), "prometheus"),
    "alertmanager": (("prometheus-alertmanager", "alertmanager"), "prometheus-alertmanager"),
    "amtool": (("amtool",), "prometheus-alertmanager"),
    "redis-server": (("redis-server",), "redis-server"),
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "chromium"),
}


def binary(name: str) -> str:
    """The path of a program; skips the test (fails it in CI) with the install line when it is missing."""
    names, package = _NAMES[name]
    for candidate in names:
        if found := shutil.which(candidate):
            return found
    missing = f"{name} is not installed; on Debian or Ubuntu: apt-get install -y --no-install-recommends {package}"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(missing)
    pytest.skip(missing)
