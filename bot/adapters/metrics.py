"""Andon's own counters and timings, for `/metrics`.

Implements `ports.Telemetry` for the engine; `http_health` serves its registry. Everything lives in a registry of its
own, so two engines in one process (tests, the demo) do not meet. Label values are bounded: shards are the configured
systems, decisions, effects and outcomes come from closed vocabularies, and whatever exceeds the bound is `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

import bot

MAX_LABEL_VALUES = 64  # distinct values of one label; a mistake upstream must not grow the registry without end
MAX_LABEL_LENGTH = 80
SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LATENESS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0)


class _Bounded:
    """The label values seen so far, per label; at most MAX_LABEL_VALUES of them each."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}

    def __call__(self, label: str, value: str) -> str:
        seen = self._seen.setdefault(label, set())
        value = value[:MAX_LABEL_LENGTH]
        if value not in seen:
            if len(seen) >= MAX_LABEL_VALUES:
                return "other"
            seen.add(value)
        return value


def _is_in(shard: str, found: Callable[[], Mapping[str, str]]) -> float:
    return float(shard in found())


class Metrics:
    """Implements `ports.Telemetry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._bounded = _Bounded()
        r = self.registry
        self._folded = Counter("andon_events_folded", "Events folded", ["shard", "decision"], registry=r)
        self._committed = Counter("andon_commits", "Commits written", ["shard"], registry=r)
        self._events = Counter("andon_committed_events", "Events made durable by commits", ["shard"], registry=r)
        self._commit_seconds = Histogram(
            "andon_commit_seconds", "Time of one commit", ["shard"], buckets=SECONDS, registry=r
        )
        self._conflicts = Counter("andon_commit_conflicts", "Commits lost to a faster writer", ["shard"], registry=r)
        self._effects = Counter("andon_effects", "Effects performed", ["shard", "effect", "outcome"], registry=r)
        self._effect_seconds = Histogram(
            "andon_effect_seconds", "Time of one effect", ["shard", "effect"], buckets=SECONDS, registry=r
        )
        self._lateness = Histogram(
            "andon_timer_lateness_seconds", "How late timers fired", ["shard"], buckets=LATENESS, registry=r
        )
        self._dead = Counter("andon_dead_letters", "Deliveries set aside as poison", ["shard"], registry=r)
        self._jumps = Counter("andon_clock_jumps", "Jumps of the wall clock by a second or more", registry=r)
        self._entries = Counter("andon_stream_entries", "Entries read from foreign streams", ["stream"], registry=r)
        self._behind = Gauge("andon_stream_behind_seconds", "Age of the newest entry when read", ["stream"], registry=r)
        self._pages = Counter("andon_pages", "Pages and their taking back, by route", ["route", "outcome"], registry=r)
        self._reloads = Counter("andon_config_reloads", "Looks at new configuration files", ["outcome"], registry=r)
        self._valid = Gauge("andon_config_valid", "1 while the files on disk are the ones in force", registry=r)
        Gauge("andon_build_info", "Which Andon this is", ["version"], registry=r).labels(bot.__version__).set(1)

    def follow_newer(self, shards: Sequence[str], left: Callable[[], Mapping[str, str]]) -> None:
        """Tell which shards this process has left to a newer Andon (`left` knows them)."""
        gauge = Gauge(
            "andon_store_newer", "1 where a newer Andon has written and this one stands back", ["shard"],
            registry=self.registry,
        )  # fmt: skip
        for shard in shards:
            name = self._bounded("shard", shard)
            gauge.labels(name).set_function(partial(_is_in, shard, left))

    def render(self) -> bytes:
        """All of it, in the Prometheus text format (`CONTENT_TYPE_LATEST`)."""
        return generate_latest(self.registry)

    def folded(self, shard: str, decision: str, count: int) -> None:
        """`count` events were folded with this decision."""
        self._folded.labels(self._bounded("shard", shard), self._bounded("decision", decision)).inc(count)

    def committed(self, shard: str, seconds: float, events: int) -> None:
        """One commit of `events` events took `seconds`."""
        name = self._bounded("shard", shard)
        self._committed.labels(name).inc()
        self._events.labels(name).inc(events)
        self._commit_seconds.labels(name).observe(seconds)

    def conflicted(self, shard: str) -> None:
        """A commit lost its compare-and-set and is folded again."""
        self._conflicts.labels(self._bounded("shard", shard)).inc()

    def dispatched(self, shard: str, effect: str, outcome: str, seconds: float) -> None:
        """One effect was performed."""
        name, kind = self._bounded("shard", shard), self._bounded("effect", effect)
        self._effects.labels(name, kind, self._bounded("outcome", outcome)).inc()
        self._effect_seconds.labels(name, kind).observe(seconds)

    def timer_lateness(self, shard: str, seconds: float) -> None:
        """A timer fired this long after it was due."""
        self._lateness.labels(self._bounded("shard", shard)).observe(max(0.0, seconds))

    def dead_lettered(self, shard: str) -> None:
        """A delivery was set aside."""
        self._dead.labels(self._bounded("shard", shard)).inc()

    def clock_jumped(self, seconds: float) -> None:
        """The wall clock jumped by this much, forward or back (below 0)."""
        self._jumps.inc()

    def stream_read(self, stream: str, entries: int, behind_seconds: float) -> None:
        """`entries` of a foreign stream were taken; the newest was this old."""
        name = self._bounded("stream", stream)
        self._entries.labels(name).inc(entries)
        self._behind.labels(name).set(behind_seconds)

    def paged(self, route: str, outcome: str) -> None:
        """A page route took, or did not take, a page or its taking back."""
        self._pages.labels(self._bounded("route", route), self._bounded("page_outcome", outcome)).inc()

    def reloaded(self, outcome: str) -> None:
        """New configuration files were applied, unchanged or refused."""
        self._reloads.labels(self._bounded("reload", outcome)).inc()

    def configuration(self, *, valid: bool) -> None:
        """Whether the files on disk are the ones in force."""
        self._valid.set(1 if valid else 0)
