"""One alert, normalised: what every source is turned into before anything else looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from bot.core.words import Millis, Severity, severity_of

ANDON: Final = "andon"  # the source of what Andon says about itself, and the label that nobody else may set
INJECTED = "andon fire"  # the source of alerts that a person injected; annotation `fired_by` says who


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert as its source last told it.

    `fingerprint` identifies the label set; together with `starts_at` it identifies one firing of it.
    `ends_at` is None while firing (Alertmanager's year-1 time is never stored).
    """

    fingerprint: str
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: Millis
    ends_at: Millis | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    generator_url: str = ""
    source: str = "alertmanager"
    receiver: str = ""

    @property
    def severity(self) -> Severity:
        """From the `severity` label."""
        return severity_of(self.labels)

    @property
    def name(self) -> str:
        """From the `alertname` label."""
        return self.labels.get("alertname", "(unnamed)")

    @property
    def own(self) -> bool:
        """Whether Andon itself raised it: about itself, a missed schedule, a source that fell silent."""
        return self.source == ANDON or self.source.startswith(("watch:", "schedule:"))

    @property
    def injected_by(self) -> str:
        """The person who fired it by hand; "" for an alert of a real source."""
        return self.annotations.get("fired_by", "") if self.source == INJECTED else ""
