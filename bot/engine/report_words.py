"""What happened, in words: one phrase for each kind of event and effect that an audit chain can hold. Pure.

Read from the audit's own JSON, so a chain written by an older or a newer Andon is told as well: a kind that is not in
the table is told by its name. Used by `bot.engine.report`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from bot.core.words import Millis

Json: TypeAlias = Mapping[str, Any]
Phrase: TypeAlias = Callable[[Json], str]

MAX_WORDS: Final = 2_000  # characters of one phrase; a report is read by people, and the audit has all of it


def event_words(event: Json) -> str:
    """What the event says happened."""
    kind = str(event.get("kind", "something unreadable"))
    phrase = _EVENTS.get(kind)
    return _bounded(phrase(event) if phrase is not None else kind.replace("_", " "))


def effect_words(effect: Json) -> str:
    """What went out because of it."""
    kind = str(effect.get("kind", "something unreadable"))
    phrase = _EFFECTS.get(kind)
    return _bounded(phrase(effect) if phrase is not None else kind.replace("_", " "))


def who_did(event: Json) -> str:
    """The person whose event it is; "" for automation, time and the outside."""
    return str(event.get("by") or "")


def span(duration_ms: Millis) -> str:
    """A duration as people say it: 950 ms, 12.4 s, 3 min 5 s, 2 h 4 min, 3 d 1 h."""
    if duration_ms < 1_000:
        return f"{max(0, duration_ms)} ms"
    if duration_ms < 60_000:
        return f"{duration_ms / 1_000:.1f}".removesuffix(".0") + " s"
    seconds = duration_ms // 1_000
    for size, unit, small, small_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // small
            return f"{seconds // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    raise AssertionError("a minute and more always fits a size")


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 1] + "…"


def _text(source: Json, name: str, otherwise: str = "?") -> str:
    value = source.get(name)
    return otherwise if value is None or value == "" else str(value)


def _alert_name(event: Json) -> str:
    alert = event.get("alert") or {}
    labels = alert.get("labels") or {}
    by_hand = (alert.get("annotations") or {}).get("fired_by") if alert.get("source") == "andon fire" else ""
    return _text(labels, "alertname", "(unnamed alert)") + (f", fired by hand by {by_hand}" if by_hand else "")


def _vote(event: Json) -> str:
    glass = ", breaking the glass" if event.get("break_glass") else ""
    said = "says yes" if event.get("verdict") == "approve" else "says no"
    return f"{_text(event, 'by')} {said}{glass}" + _because(event)


def _because(event: Json, name: str = "reason") -> str:
    return f": {event[name]}" if event.get(name) else ""


def _ordered(event: Json) -> str:
    steps = (event.get("plan") or {}).get("steps") or [{}]
    action = _text(steps[0], "action")
    if event.get("by"):
        return f"{event['by']} orders {action}" + _because(event)
    return f"{action} begins beside {_text(event, 'parent', 'its incident')}" + _because(event)


def _asked(event: Json) -> str:
    terms = event.get("terms") or {}
    return f"a person must decide about step {_text(event, 'step')}" + (
        f": {terms['quorum']} of {', '.join(terms.get('eligible') or ()) or 'nobody who can be reached'}"
        if terms.get("quorum")
        else ""
    )


def _delivered(event: Json) -> str:
    channel = _text(event, "channel")
    return f"the {channel} did not take it: {event['error']}" if event.get("error") else f"the {channel} took it"


def _observed(event: Json) -> str:
    told = {True: "holds", False: "does not hold"}.get(event.get("holds"), "cannot be told")  # type: ignore[arg-type]  # any JSON value may stand there
    aim = {"verify": "the effect", "resolve": "health"}.get(str(event.get("purpose")), "evidence")
    return f"{aim} was looked at: it {told}"


def _step(outcome: str) -> Phrase:
    return lambda event: f"step {_text(event, 'step')}: {outcome}"


def _unneeded(event: Json) -> str:
    why = "all is as wanted already" if event.get("already") else "its guard does not hold"
    return f"step {_text(event, 'step')}: nothing to do, {why}"


_EVENTS: Final[Mapping[str, Phrase]] = {
    "alert_fired": lambda e: f"{_alert_name(e)} fires",
    "alert_resolved": lambda e: f"{_alert_name(e)} no longer fires, says {_text(e.get('alert') or {}, 'source')}",
    "timer_fired": lambda e: f"time is up for {_text(e, 'name')}",
    "slot_granted": lambda e: f"step {_text(e, 'step')} has its turn: {_text(e, 'disposition')}",
    "slot_queued": lambda e: f"step {_text(e, 'step')} waits for its turn",
    "slot_denied": lambda e: f"step {_text(e, 'step')} gets no turn",
    "step_succeeded": _step("done and read back"),
    "step_unneeded": _unneeded,
    "step_shadowed": _step("would have run; nothing was sent"),
    "step_not_sent": _step("provably not done"),
    "step_unknown": _step("sent, and nothing proves what became of it"),
    "approval_needed": _asked,
    "approval_voted": _vote,
    "diagnosis_found": lambda e: f"diagnosis {_text(e, 'diagnosis')}: {_text(e, 'finding')}",
    "evidence_observed": _observed,
    "message_delivered": _delivered,
    "operator_acked": lambda e: f"{_text(e, 'by')} has seen it",
    "operator_took": lambda e: f"{_text(e, 'by')} has it",
    "operator_escalated": lambda e: f"{_text(e, 'by')} calls more people" + _because(e),
    "operator_held": lambda e: (
        f"{_text(e, 'by')} holds the ladder's actions for {span(int(e.get('for_ms') or 0))}" + _because(e)
    ),
    "operator_resolved": lambda e: (
        f"{_text(e, 'by')} closes the matter" + (" by force" if e.get("force") else "") + _because(e, "note")
    ),
    "step_ordered": _ordered,
    "branch_ended": lambda e: f"{_text(e, 'branch')} ended: {_text(e, 'outcome')}",
    "parent_resolved": lambda _: "the incident that began it is over",
    "stream_read": lambda e: (
        f"{len(e.get('entries') or ())} entries read up to {_text(e, 'next_position')}" + _because(e, "gap")
    ),
    "schedule_planned": lambda _: "the schedule's next fire is planned",
    "schedule_due": lambda _: "the schedule came due",
    "watch_expected": lambda e: f"a sign of life is expected every {span(int(e.get('within_ms') or 0))}",
    "sign_of_life": lambda _: "it showed a sign of life",
    "intent_declared": lambda e: f"intent {_text(e, 'intent')}: {_text(e, 'action')}, attempt {_text(e, 'attempt')}",
    "target_frozen": lambda e: f"{_text(e, 'by')} freezes automation" + _because(e),
    "target_unfrozen": lambda e: f"{_text(e, 'by')} lifts the freeze",
    "policy_armed": lambda e: f"{_text(e, 'by')} arms {_text(e, 'policy')}",
    "lease_renewed": lambda e: (
        f"{_text(e, 'by')} keeps what {_text(e, 'action')} did for another {span(int(e.get('for_ms') or 0))}"
    ),
    "lease_ended": lambda e: f"{_text(e, 'by')} ends the lease of what {_text(e, 'action')} did",
    "intent_recalled": lambda e: f"{_text(e, 'by')}'s journal remembers an intent the store has forgotten",
    "writes_lost": lambda e: f"{_text(e, 'by')} found that {_text(e, 'why')}",
    "writes_reconciled": lambda e: f"{_text(e, 'by')} compared its journal with the store: {_text(e, 'why')}",
    "policy_disarmed": lambda e: f"{_text(e, 'by')} disarms {_text(e, 'policy')}",
}

_EFFECTS: Final[Mapping[str, Phrase]] = {
    "page_oncall": lambda e: f"page {_text(e, 'service')} ({_text(e, 'severity')}): {_text(e, 'summary')}",
    "resolve_page": lambda e: f"take back the page to {_text(e, 'service')}",
    "post_message": lambda e: f"say in {_text(e, 'channel', 'the default channel')}: {_text(e, 'text')}",
    "run_step": lambda e: f"run {_text(e, 'action')} ({_text(e, 'disposition')}), fence {_text(e, 'fence')}",
    "run_diagnosis": lambda e: f"diagnose: {_text(e, 'diagnosis')}",
    "observe_evidence": lambda e: f"read the evidence: {_text(e, 'condition')}",
}
