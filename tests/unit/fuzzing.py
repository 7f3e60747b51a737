"""How many examples a property gets: few and always the same in the suite, many and new ones under `make fuzz`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def examples(in_suite: int, *, weight: int = 1) -> settings:
    """For a property; `weight`: how many times dearer than most it is, which `make fuzz` divides its thousands by."""
    profile = settings()
    return settings(
        max_examples=in_suite if profile.derandomize else max(in_suite, profile.max_examples // weight),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
    )
