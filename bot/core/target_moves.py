"""What both kinds of target have in common: the draft of a fold, and how a freeze begins, is asked about and ends.

Used by `target_machine` (components) and `system_machine` (the system's own `*`). Pure. Here too: an intent recalled.
"""

from __future__ import annotations

from typing import Any

from bot.core.effects import Effect, PageOncall, ResolvePage, Tell
from bot.core.events import SlotDenied, SlotRequested, TimerFired
from bot.core.intents import IntentRecalled
from bot.core.orders import TargetFrozen
from bot.core.record import Applied, Decision, Ignored, Timer, private_copy
from bot.core.target import MAX_RECALLED, RECALLED_MS, Freeze, Target
from bot.core.words import SYSTEM_TARGET, AggregateId, Millis, Severity

ONCALL = "trading-oncall"  # the pager's service that is told about automation itself
REMINDER = "freeze"  # the timer of a freeze that is meant to last until then


class TargetDraft:
    """A target being folded: the record so far and the effects so far."""

    def __init__(self, target: Target, now: Millis) -> None:
        self.target = private_copy(target)
        self.now = now
        self.effects: list[Effect] = []
        self._drop_old()

    def _drop_old(self) -> None:
        """What was recalled is kept for three days, though no step runs longer than one: a clock may be a day ahead."""
        oldest = self.now - 3 * RECALLED_MS
        if self.target.recalled and self.target.recalled[0].at < oldest:
            self.change(recalled=tuple(each for each in self.target.recalled if each.at >= oldest))

    def change(self, **fields: Any) -> None:  # the fields are Target's own; its slots refuse other names
        for name, value in fields.items():
            object.__setattr__(self.target, name, value)

    def fresh(self, what: str) -> str:
        self.change(counter=self.target.counter + 1)
        return f"{self.target.id}/{what}/{self.target.counter}"

    def arm(self, name: str, due: Millis) -> None:
        token = self.fresh(name)
        self.change(timers={**self.target.timers, name: Timer(due=due, token=token, since=self.now)})

    def disarm(self, name: str) -> None:
        self.change(timers={key: timer for key, timer in self.target.timers.items() if key != name})

    def deny(self, request: SlotRequested, why: str, *, frozen: bool = False) -> None:
        event = SlotDenied(
            id=self.fresh("deny"), at=self.now, episode=request.episode, step=request.step, why=why, frozen=frozen
        )
        self.effects.append(Tell(to=request.incident, event=event))

    def page(self, what: str, severity: Severity, why: str, *, incident: AggregateId = "") -> None:
        """Page about this target; `what` is the page's name, never used twice, for `unpage`."""
        self.effects.append(
            PageOncall(
                id=self.fresh("page"), incident=incident or self.target.id, service=ONCALL, severity=severity,
                dedup_key=self._page_key(what), summary=why, owner=self.target.id,
            )
        )  # fmt: skip

    def unpage(self, what: str) -> None:
        """Take back the page of this name."""
        self.effects.append(
            ResolvePage(
                id=self.fresh("unpage"), incident=self.target.id, service=ONCALL, dedup_key=self._page_key(what)
            )
        )

    def page_named(self, dedup_key: str) -> str:
        """The name of the page with this key; "" of one that is not this target's."""
        prefix = self._page_key("")
        return dedup_key.removeprefix(prefix) if dedup_key.startswith(prefix) else ""

    def _page_key(self, what: str) -> str:
        return f"{name_of(self.target)}:{what}"


def name_of(target: Target) -> str:
    """The system, and the component where it is one."""
    return target.system if target.id == SYSTEM_TARGET else f"{target.system}:{target.id.removeprefix('target:')}"


# --- what the store has forgotten ---------------------------------------------------------------------------------


def recall(draft: TargetDraft, event: IntentRecalled) -> Decision:
    """Keep an intent that only a journal remembered, so that its step, should it be run again, is not new.

    Its fence was given, so no later turn gets it again. What took effect, or may have, counts for the cool-down too.
    """
    target, intent = draft.target, event.intent
    held = target.slot.intent if target.slot is not None else None
    known = (each for each in (held, *target.loose, *target.recalled) if each is not None)
    if any(each.intent == intent.intent and each.attempt >= intent.attempt for each in known):
        return Ignored("the store knows this intent")
    others = tuple(each for each in target.recalled if each.intent != intent.intent)
    draft.change(recalled=(*others, intent), fence=max(target.fence, intent.fence))
    if len(draft.target.recalled) > MAX_RECALLED:
        _freeze_too_much(draft, event)
    if event.outcome != "not_sent":
        last = max(min(intent.at, draft.now), target.last_run.get(intent.action, 0))
        draft.change(last_run={**target.last_run, intent.action: last})
    return Applied(f"{event.by} remembers {intent.action} for {intent.incident} ({event.outcome})")


def _freeze_too_much(draft: TargetDraft, event: IntentRecalled) -> None:
    """More was forgotten than is kept, and the oldest would count as never done: a freeze that people lift."""
    draft.change(recalled=draft.target.recalled[-MAX_RECALLED:])
    if draft.target.freeze is not None:
        return
    name = name_of(draft.target)
    why = (
        f"the store has forgotten more than {MAX_RECALLED} actions of {name}: compare {event.by}'s journal with the "
        f"component, then `andon unfreeze {name.replace(':', '/')}`"
    )
    draft.page(f"too-much-recalled:{draft.now}", "critical", why)
    frozen = TargetFrozen(id=draft.fresh("too-much-recalled"), at=draft.now, by=event.by, reason=why)
    draft.effects.append(Tell(to=draft.target.id, event=frozen))


# --- freezes -----------------------------------------------------------------------------------------------------


def freeze(draft: TargetDraft, event: TargetFrozen) -> None:
    """Freeze from now on, in place of an earlier freeze, with a reminder where it is meant to end; a reminder asked for
    earlier stays where this freeze names none."""
    earlier = draft.target.timers.get(REMINDER)
    lift(draft)
    until = event.until if event.until is not None or earlier is None else earlier.due
    draft.change(freeze=Freeze(by=event.by, reason=event.reason, since=draft.now, until=until))
    if until is not None:
        draft.arm(REMINDER, until)


def lift(draft: TargetDraft) -> None:
    """End the freeze, and take back the page that it outlived its time, if it was sent: its timer is gone then."""
    frozen = draft.target.freeze
    if frozen is not None and is_asked_about(draft.target):
        draft.unpage(reminder_page(frozen))
    draft.change(freeze=None)
    draft.disarm(REMINDER)


def remind(draft: TargetDraft, event: TimerFired) -> Decision:
    """The freeze was meant to last until now: it stays, and a person is asked."""
    timer, frozen = draft.target.timers.get(event.name), draft.target.freeze
    if timer is None or timer.token != event.token or frozen is None:
        return Ignored("a timer nobody waits for any more")
    draft.disarm(event.name)
    where = name_of(draft.target).replace(":", "/")
    why = f"the freeze of {name_of(draft.target)} was meant to last until now; `andon unfreeze {where}` lifts it"
    draft.page(reminder_page(frozen), "warning", why)
    return Applied(why)


def is_asked_about(target: Target) -> bool:
    """Whether the freeze has outlived its time, and people were paged about that."""
    return target.freeze is not None and target.freeze.until is not None and REMINDER not in target.timers


def reminder_page(frozen: Freeze) -> str:
    """Each freeze has its own, so that taking one back late does not take back the next one's."""
    return f"freeze:{frozen.since}"


def trip_page(tripped_at: Millis) -> str:
    """The name of the page that the budget is used up: each trip has its own."""
    return f"automation-tripped:{tripped_at}"
