"""The words of the audit: one canonical JSON body per aggregate and commit: what came in, why, what goes out.

Called by `bot.engine.fold`; the bodies are chained by `bot.core.audit.link` and stored by the commit. Events stand
there whole; effects by what identifies them, since their content follows from the events and the plan.
Copies that changed nothing are counted in metrics and not chained.
"""

from __future__ import annotations

import json
from typing import Protocol, assert_never

from bot.core.effects import (
    ObserveEvidence,
    OutboxEffect,
    PageOncall,
    PostMessage,
    ResolvePage,
    RunDiagnosis,
    RunStep,
)
from bot.core.events import Event
from bot.core.incident import Incident
from bot.core.record import Applied, Decision, Denied, Ignored
from bot.core.source import Source
from bot.core.target import Target
from bot.core.words import JsonText, Millis


class EventText(Protocol):
    """Turns an event into canonical JSON; the codec's job, injected."""

    def __call__(self, event: Event) -> JsonText: ...


def event_line(text: JsonText, decision: Decision) -> JsonText:
    """An event with what was decided about it."""
    match decision:
        case Applied(why=why):
            word = "applied"
        case Denied(reason=why):
            word = "denied"
        case Ignored(reason=why):
            word = "ignored"
        case _:
            assert_never(decision)
    return f'{{"decision":"{word}","event":{text},"why":{json.dumps(why)}}}'


def effect_line(effect: OutboxEffect) -> JsonText:
    """An effect by what identifies it."""
    line: dict[str, str | int] = {"kind": effect.kind, "id": effect.id}
    match effect:
        case RunStep():
            line |= {
                "step": effect.step.id,
                "action": effect.step.action,
                "fence": effect.fence,
                "disposition": effect.disposition,
            }
        case RunDiagnosis():
            line |= {"diagnosis": effect.diagnosis}
        case ObserveEvidence():
            line |= {"purpose": effect.purpose, "condition": effect.condition}
        case PageOncall():
            line |= {"service": effect.service, "severity": effect.severity, "summary": effect.summary}
        case ResolvePage():
            line |= {"service": effect.service}
        case PostMessage():
            line |= {"channel": effect.channel, "topic": effect.topic, "text": effect.text}
        case _:
            assert_never(effect)
    return json.dumps(line, sort_keys=True, separators=(",", ":"))


def body(record: Incident | Target | Source, now: Millis, events: list[JsonText], effects: list[JsonText]) -> JsonText:
    """The body of one audit link."""
    where = json.dumps(record.status if isinstance(record, Incident) else record.kind)
    return f'{{"at":{now},"effects":[{",".join(effects)}],"events":[{",".join(events)}],"state":{where}}}'
