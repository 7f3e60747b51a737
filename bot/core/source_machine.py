"""The machine of sources: takes what they tell once, counts and remembers, and raises alerts from it.

The laws of this file:

1. A batch of a stream counts only from where the last one ended; a cron fire only once, after the last one; so replays
   and further replicas change nothing.
2. A stream rule's alert fires exactly while more than its count is in its window (`source_windows` says exactly how).
3. A fire that nobody told in time is not run late: it is reported as missed. What ran on time ends that report.
4. What a clock that had jumped forward left in the future counts as of now, once the clock is right again.
5. A watch's time runs on however often Andon starts; only a sign of life moves it. If Andon itself was away when it ran
   out, one fresh time is given before silence is called silence.
6. What ends a firing alert is what the source tells, or a fire's time; a stream that cannot be read ends nothing. What
   was lost (a gap) is ended by a person alone.

Called by `bot.engine.fold`, which matches every `RaiseAlert` to policies in the same pass and commit: the position and
the incident it opened are never apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from bot.core import source_streams
from bot.core.events import TimerFired
from bot.core.record import Applied, Decision, Ignored, Transition
from bot.core.source import Source, SourceKind
from bot.core.source_events import ScheduleDue, SchedulePlanned, SignOfLife, SourceEvent, StreamRead, WatchExpected
from bot.core.source_moves import SourceDraft, notes
from bot.core.words import Millis

AWAY_MS: Millis = 60_000  # a timer this late says that Andon, its store or its clock was away, not that time was given
AHEAD_MS: Millis = 60_000  # clocks of two replicas differ by less; further ahead, a wrong clock took it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# --- schedules ---------------------------------------------------------------------------------------------------


def ahead(source: Source, now: Millis) -> bool:
    """Whether a clock that ran ahead left its mark on this source, so that it would be deaf until then."""
    if source.what == "watch":
        timer = source.timers.get("silence")
        return source.last_at > now or (timer is not None and timer.due > now + source.within_ms)
    return source.last_at > now + AHEAD_MS


def _planned(draft: SourceDraft, event: SchedulePlanned) -> Decision:
    source = draft.source
    if event.cron == source.cron:
        if not ahead(source, draft.now):
            return Ignored("planned so already")
        draft.change(last_at=draft.now)
        return Applied("its last fire was taken by a clock that ran ahead: planned from now on")
    if not event.cron:
        draft.end("fire")
        draft.end("missed")
        draft.change(cron="", timers={})
        return Applied("no longer planned")
    draft.change(cron=event.cron, last_at=draft.now if ahead(source, draft.now) else max(source.last_at, draft.now))
    return Applied(f"planned from now on: {event.cron}")


def _due(draft: SourceDraft, event: ScheduleDue) -> Decision:
    if event.due <= draft.source.last_at and not ahead(draft.source, draft.now):
        return Ignored("this fire was taken before")
    draft.change(last_at=event.due)
    late = draft.now - event.due > event.grace_ms
    missed = event.skipped + (1 if late else 0)
    when = event.when or _clock_words(event.due)
    if missed:
        _missed(draft, event, when, missed, late=late)
    else:
        draft.end("missed")
    if late:
        return Applied(f"{missed} missed, the last at {when}; not run late")
    labels = {"schedule": draft.source.name, **dict(event.labels)}
    draft.fire("fire", tuple(sorted(labels.items())), event.annotations, event.due)
    draft.arm("lasts", event.due + event.lasts_ms)
    return Applied(f"fires, due at {when}" + (f"; {missed} missed before it" if missed else ""))


def _missed(draft: SourceDraft, event: ScheduleDue, when: str, missed: int, *, late: bool) -> None:
    name = draft.source.name
    if late:
        many = f", and {missed - 1} before it" if missed > 1 else ""
        summary = (
            f"schedule {name} should have run at {when}{many}, and was not run: Andon was not running then, or was "
            f"more than {event.grace_ms // 1000} s late. Do by hand what it does, if it is still needed"
        )
    else:
        summary = (
            f"{missed} runs of schedule {name} before the one at {when} were missed: Andon was not running then. "
            "Do by hand what they do, if it is still needed"
        )
    draft.fire("missed", draft.self_labels("AndonScheduleMissed", "critical"), notes(summary), event.due)


def _lasted(draft: SourceDraft, event: TimerFired) -> Decision:
    draft.disarm(event.name)
    draft.end("fire")
    return Applied("its time is over, so that the next fire is a new one")


# --- watches -----------------------------------------------------------------------------------------------------


def _expected(draft: SourceDraft, event: WatchExpected) -> Decision:
    source = draft.source
    wrong = ahead(source, draft.now)
    same = (event.within_ms, event.labels, event.annotations) == (source.within_ms, source.labels, source.annotations)
    if same and not wrong:
        return Ignored("expected so already")
    changed = event.within_ms != source.within_ms or wrong
    draft.change(within_ms=event.within_ms, labels=event.labels, annotations=event.annotations)
    if not event.within_ms:
        draft.disarm("silence")
        draft.end("silent")
        draft.change(last_at=0, forgiven=False)
        return Applied("no longer watched")
    if changed:
        draft.change(last_at=min(source.last_at or draft.now, draft.now))
        if "silent" not in source.raised:
            draft.arm("silence", draft.source.last_at + event.within_ms)
    return Applied(f"a sign of life is expected every {event.within_ms // 1000} s")


def _alive(draft: SourceDraft, event: SignOfLife) -> Decision:
    source = draft.source
    if not source.within_ms:
        return Ignored("nobody waits for it")
    at = min(event.at, draft.now)
    if at + source.within_ms <= draft.now:
        return Ignored("a sign of life from too long ago")
    wrong = ahead(source, draft.now)
    if at <= source.last_at and "silent" not in source.raised and not wrong:
        return Ignored("a copy of a known sign of life")
    draft.change(last_at=at if wrong else max(at, source.last_at), forgiven=False)
    draft.arm("silence", draft.source.last_at + source.within_ms)
    draft.end("silent")
    return Applied("a sign of life")


def _silent(draft: SourceDraft, event: TimerFired) -> Decision:
    source = draft.source
    due = source.timers[event.name].due
    if draft.now - due > AWAY_MS and not source.forgiven:
        draft.change(forgiven=True)
        draft.arm("silence", draft.now + source.within_ms)
        return Applied("its time ran out while Andon was away; it is given a fresh one, once")
    draft.disarm(event.name)
    summary = (
        f"watch {source.name}: no sign of life since {_clock_words(source.last_at)}, though one is due every "
        f"{source.within_ms // 1000} s, so alerts may not reach Andon. Check the sender (Prometheus, Alertmanager), "
        "its route to Andon and its credentials; until it is back, watch the trading system yourself"
    )
    labels = (*draft.self_labels("AndonSourceSilent", "critical"), *source.labels)
    draft.fire("silent", tuple(sorted(dict(labels).items())), (*notes(summary), *source.annotations), draft.now)
    return Applied("silent: no sign of life in time")


def _clock_words(at: Millis) -> str:
    return f"{_EPOCH + timedelta(milliseconds=at):%Y-%m-%d %H:%M:%S} UTC"


# --- the table ---------------------------------------------------------------------------------------------------

Timers: TypeAlias = Mapping[tuple[SourceKind, str], Callable[[SourceDraft, TimerFired], Decision]]

TABLE: Mapping[tuple[SourceKind, type], Callable[..., Decision]] = {
    ("stream", StreamRead): source_streams.read,
    ("schedule", SchedulePlanned): _planned,
    ("schedule", ScheduleDue): _due,
    ("watch", WatchExpected): _expected,
    ("watch", SignOfLife): _alive,
}

TIMERS: Timers = {
    ("schedule", "lasts"): _lasted,
    ("watch", "silence"): _silent,
}


@dataclass(frozen=True, slots=True)
class _Nothing:
    """The row of a pair that is not listed."""

    why: str

    def __call__(self, _: SourceDraft, __: object) -> Decision:
        return Ignored(self.why)


def step(source: Source, event: SourceEvent | TimerFired, now: Millis) -> Transition[Source]:
    """Fold one event. Total: what means nothing to this source is ignored with a reason."""
    draft = SourceDraft(source, now)
    decision = _row(source, event)(draft, event)
    if isinstance(decision, Applied):
        return Transition(draft.source, tuple(draft.effects), decision)
    return Transition(source, (), decision)


def _row(source: Source, event: SourceEvent | TimerFired) -> Callable[..., Decision]:
    nothing = _Nothing(f"{event.kind} means nothing to {source.id}")
    if not isinstance(event, TimerFired):
        return TABLE.get((source.what, type(event)), nothing)
    timer = source.timers.get(event.name)
    if timer is None or timer.token != event.token:
        return _Nothing("a timer nobody waits for any more")
    return TIMERS.get((source.what, event.name), nothing)
