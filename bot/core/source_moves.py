"""What the rows of the source machine have in common: the draft of a fold, and how its alerts begin and end. Pure."""

from __future__ import annotations

from typing import Any

from bot.core.alert import Alert
from bot.core.effects import Effect, RaiseAlert
from bot.core.ids import label_fingerprint
from bot.core.record import Timer, private_copy
from bot.core.source import Raised, Source
from bot.core.words import Millis, Severity

Pairs = tuple[tuple[str, str], ...]

SELF = ("andon", "self")  # the label of alerts that Andon raises about what it should hear
SAY_AGAIN_MS: Millis = 60_000  # the same occurrence sooner than this is one with the last: a flood is told once


class SourceDraft:
    """A source being folded: the record so far and the effects so far."""

    def __init__(self, source: Source, now: Millis) -> None:
        self.source = private_copy(source)
        self.now = now
        self.effects: list[Effect] = []

    def change(self, **fields: Any) -> None:  # the fields are Source's own; its slots refuse other names
        for name, value in fields.items():
            object.__setattr__(self.source, name, value)

    def arm(self, name: str, due: Millis) -> None:
        """Wait until `due`, in place of what the timer waited for before."""
        self.change(counter=self.source.counter + 1)
        timer = Timer(due=due, token=f"{self.source.id}/{name}/{self.source.counter}", since=self.now)
        self.change(timers={**self.source.timers, name: timer})

    def disarm(self, name: str) -> None:
        self.change(timers={key: timer for key, timer in self.source.timers.items() if key != name})

    def fire(self, key: str, labels: Pairs, annotations: Pairs, since: Millis) -> None:
        """An alert of this source fires since `since`, until `end` of the same key."""
        raised = Raised(labels=labels, annotations=annotations, since=since)
        self.change(raised={**self.source.raised, key: raised})
        self._raise(raised, None)

    def end(self, key: str) -> None:
        """The alert under this key is over, if it fires."""
        raised = self.source.raised.get(key)
        if raised is None:
            return
        self.change(raised={other: kept for other, kept in self.source.raised.items() if other != key})
        self._raise(raised, self.now)

    def say(self, name: str, summary: str, severity: Severity = "critical") -> None:
        """Something happened that a person must know of; nobody but a person ends this alert."""
        last = self.source.said.get(name)
        if last is not None and abs(self.now - last) < SAY_AGAIN_MS:  # abs: a clock that was set back mutes nothing
            return
        self.change(said={**self.source.said, name: self.now})
        self._raise(Raised(labels=self.self_labels(name, severity), annotations=notes(summary), since=self.now), None)

    def self_labels(self, name: str, severity: Severity) -> Pairs:
        """The labels of what Andon says about this source."""
        return (("alertname", name), ("severity", severity), SELF, (self.source.what, self.source.name))

    def _raise(self, raised: Raised, ends_at: Millis | None) -> None:
        labels = dict(raised.labels)
        alert = Alert(
            fingerprint=label_fingerprint(labels),
            status="firing" if ends_at is None else "resolved",
            labels=labels,
            starts_at=raised.since,
            ends_at=ends_at,
            annotations=dict(raised.annotations),
            source=f"{self.source.what}:{self.source.name}",
        )
        self.effects.append(RaiseAlert(alert=alert, at=self.now))


def notes(summary: str) -> Pairs:
    """The annotations of an alert that Andon writes itself."""
    return (("summary", summary),)
