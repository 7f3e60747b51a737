"""An incident being folded: its private copy, the effects so far, and the few ways to change them.

Made by `incident_machine` for each event and handed to the rows; the moves they share are in `incident_moves`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from bot.core.alert import Alert
from bot.core.effects import Effect, PageOncall, PostMessage, Tell, Topic
from bot.core.events import BranchEnded, ParentResolved, SlotReleased, SlotRequested, VerificationEnded
from bot.core.incident import AGAIN, Incident
from bot.core.orders import StepOrdered
from bot.core.plan import Page, Plan, Step
from bot.core.record import Timer, private_copy
from bot.core.words import Millis

MAX_CALLS = 4  # open pages of one service for one incident; who did not come for four is not woken by a fifth
MAX_DEDUP_KEY = 255  # characters; https://developer.pagerduty.com/docs/events-api-v2-overview


Told: TypeAlias = SlotRequested | SlotReleased | VerificationEnded | StepOrdered | BranchEnded | ParentResolved


class Draft:
    """An incident being folded: the record so far and the effects so far."""

    def __init__(self, incident: Incident, now: Millis) -> None:
        self.incident = private_copy(incident)
        self.now = now
        self.effects: list[Effect] = []

    @property
    def plan(self) -> Plan:
        """The pinned plan; every incident past its opening has one."""
        assert self.incident.plan is not None
        return self.incident.plan

    @property
    def step(self) -> Step:
        """The plan's current step."""
        return self.plan.steps[self.incident.cursor]

    def change(self, **fields: Any) -> None:  # the fields are Incident's own; its slots refuse other names
        for name, value in fields.items():
            object.__setattr__(self.incident, name, value)

    def fresh(self, what: str) -> str:
        """An id that this incident has never used before."""
        self.change(counter=self.incident.counter + 1)
        return f"{self.incident.id}/{what}/{self.incident.counter}"

    def arm(self, name: str, due: Millis) -> str:
        """Set (or move) a durable timer; returns its token."""
        token = self.fresh(name)
        self.change(timers={**self.incident.timers, name: Timer(due=due, token=token, since=self.now)})
        return token

    def disarm(self, *names: str) -> None:
        self.change(timers={name: timer for name, timer in self.incident.timers.items() if name not in names})

    def alerts(self) -> tuple[Alert, ...]:
        """The alerts an activity works on: all that fire, or all tracked ones (`MAX_ALERTS`) when none does any more.

        None is left out: evidence about some of them is no evidence about the incident. How much is read for them is
        bounded by the reader, which says so in an error of the reading.
        """
        return self.incident.firing or tuple(s.alert for _, s in sorted(self.incident.alerts.items()))

    def tell(
        self,
        to: str,
        event: SlotRequested | SlotReleased | VerificationEnded | StepOrdered | BranchEnded | ParentResolved,
    ) -> None:
        self.effects.append(Tell(to=to, event=event))

    def say(self, topic: Topic, text: str, channel: str = "") -> None:
        """Say it in the policy's channel, or in another."""
        self.effects.append(
            PostMessage(
                id=self.fresh("post"),
                incident=self.incident.id,
                channel=channel or self.plan.channel,
                topic=topic,
                text=text,
            )
        )

    def page(self, page: Page, summary: str, *, anew: bool = False) -> None:
        """Page a service. While its page is open a repeat is the same page, unless `anew`; after that a new one has a
        new key, so that taking back the old one, tried again late, never takes back the new one (law 12)."""
        incident = self.incident
        made = self.fresh("page")
        open_page = page.service
        calls = [name for name in incident.paged if name.partition(AGAIN)[0] == page.service]
        if anew and 0 < len(calls) < MAX_CALLS:
            open_page = f"{page.service}{AGAIN}{len(calls) + 1}"
        key = incident.paged.get(open_page) or _page_key(incident, page.service)
        self.effects.append(
            PageOncall(
                id=made,
                incident=incident.id,
                service=page.service,
                severity=page.severity,
                dedup_key=key,
                summary=summary if incident.id in summary else f"{summary} ({incident.id})",
            )
        )
        self.change(paged={**incident.paged, open_page: key})


def _page_key(incident: Incident, service: str) -> str:
    """A key that no page of this incident had before: its counter never stands still between two pages."""
    tail = f":{incident.episode}.{incident.counter}"
    return f"{incident.id}:{service}"[: MAX_DEDUP_KEY - len(tail)] + tail
