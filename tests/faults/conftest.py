"""What everything that harms real servers stands on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

SECONDS: Final = 180.0  # most take twenty; this is for a machine that does something else besides


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests wait for real time to pass: longer than others are allowed to."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))
