"""Incidents as somebody who wants to do harm, or a tired system, would label them; seeded, so a failure comes again."""

from __future__ import annotations

import json
import random
from typing import Any

from bot.core.alert import Alert
from bot.core.approval import PendingApproval, Terms, Vote
from bot.core.incident import AlertState, Incident, StepResult
from bot.core.plan import Page, Plan, Rung, Step, Verify
from bot.core.reading import Reading
from bot.core.record import Timer

TEXTS = 1_200  # of one seed; making each anew would cost more than what is tested with it
NOW = 1_790_000_000_000
SCRIPTS = (
    "<!here>", "<!channel>", "<!everyone>", "<@U0001>", "<#C0001>", "<!subteam^S0001>", "<https://evil.example|ok>",
    "<mailto:x@evil.example|mail>", "<!date^1^{ago}|never>", "&lt;!here&gt;", "&amp;lt;!channel&gt;",
    "*bold*", "_it_", "~gone~", "`code`", "```block```", ":white_check_mark:", "\n> quote", "https://evil.example/a",
    "\n• list", "@here", "@channel",
    "\u202eright to left", "\u200b", "\x00\x1b[31m", "\ud800", "\U0001f4a5", "é" * 40,
    "&" * 30, "<" * 30, "<!", "|", "^",
    "inc-1|dec-1|x", '{"a": 1}', "${labels.x}", "BTC", "metrics:var_pct:BTC", "", " ", "a",
)  # fmt: skip
STATUSES = (
    "open", "diagnosing", "acting", "verifying", "awaiting_approval", "parked", "mitigated", "resolved", "closed",
)  # fmt: skip
OUTCOMES = (
    "succeeded", "unneeded", "shadowed", "asked", "not_sent", "unknown", "denied", "unverified", "verified", "branched",
)  # fmt: skip
SEVERITIES = ("critical", "error", "warning", "info")


class Hostile:
    """Makes them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._texts = [self._made(number) for number in range(TEXTS)]

    def text(self) -> str:
        """A few of the scripts, now and then far too much of one."""
        return self._texts[int(self.chance.random() * TEXTS)]

    def _made(self, number: int) -> str:
        words = "".join(self.chance.choices(SCRIPTS, k=self.chance.choice((1, 1, 1, 2, 3))))
        return words * (1 if number % 50 else self.chance.choice((40, 2_000 // (len(words) or 1) + 2)))

    def many(self, most: int) -> int:
        """Mostly none or one, now and then more than a card shows."""
        return self.chance.choice((0, 0, 0, 1, 1, 1, 1, 1, 2, most))

    def at(self) -> int:
        return self.chance.choice((0, 1, NOW - 60_000, NOW, NOW + 90_000, 2**53))

    def state(self) -> str:
        return json.dumps(
            {self.text(): self.chance.choice((0.25, True, None, self.text(), [1])) for _ in range(self.many(9))}
        )

    def alert(self, number: int) -> AlertState:
        told = {name: self.text() for name in self.chance.sample(("summary", "value", "threshold", "description"), k=2)}
        labels = {"alertname": self.text(), "severity": self.text(), self.text() or "x": self.text()}
        alert = Alert(
            fingerprint=f"{number}", status="firing", labels=labels, starts_at=self.at(), annotations=told,
            source=self.chance.choice(("alertmanager", "andon fire", self.text())),
        )  # fmt: skip
        return AlertState(
            alert=alert, firing=self.chance.random() < 0.7, changed_at=0, dismissed=self.chance.random() < 0.1
        )

    def step(self, name: str) -> Step:
        return Step(
            id=name, action=self.text() or "act", component=self.text(), arguments=self.state(), risk="risky",
            direction="lowers", delivery="absolute", automatic=False, guard=self.text(),
            verify=Verify(until=self.text(), within_ms=1, every_ms=1),
        )  # fmt: skip

    def plan(self) -> Plan:
        rung = Rung(
            after_ms=1, page=Page(service=self.text(), severity="error"), notify=self.text(), step=self.step("r")
        )
        return Plan(
            policy=self.text(), system="s", policy_hash="h" * 64, mode="auto", row=self.text(), channel="#c",
            runbook=self.chance.choice(("", "https://runbooks.example/x", "javascript:alert(1)", "https://a b<>|")),
            steps=(self.step("s1"), self.step("s2")), ladder=(rung,) * 2, mttr_target_ms=180_000,
        )  # fmt: skip

    def readings(self) -> tuple[Reading, ...]:
        return tuple(
            Reading(
                name=self.text(), value=self.chance.choice((1.5, True, self.text())), taken_at=NOW, source=self.text()
            )
            for _ in range(self.many(10))
        )

    def approval(self) -> PendingApproval:
        terms = Terms(
            digest="d" * 64, pins="{}", wanted=self.state(), policy_hash="h", current_hash="h", quorum=2, asked_at=NOW,
            expires_at=self.at(), by_hand=self.text(),
        )  # fmt: skip
        votes = tuple(Vote(by=self.text(), at=NOW, verdict="approve") for _ in range(2))
        return PendingApproval(
            id="dec-0123456789abcdefghij", step="s1", why=self.text(), arguments=self.state(), before=self.state(),
            terms=terms, readings=self.readings(), votes=votes,
        )  # fmt: skip

    def incident(self) -> Incident:
        pick = self.chance.choice
        results = tuple(
            StepResult(
                step=pick(("s1", self.text())), episode=1, outcome=pick(OUTCOMES), at=self.at(), why=self.text(),
                before=self.state(), after=self.state(),
            )
            for _ in range(self.many(8))
        )  # fmt: skip
        names = self.chance.sample(
            ("rung:0", "rung:1", "rung:9", "verify", "verify:again", "retry", "turn", "hold", "close", self.text()), k=3
        )
        return Incident(
            id="inc-abcdefghijklmnop", key="k", system="s", status=pick(STATUSES), why=self.text(),
            severity=pick(SEVERITIES), plan=self.plan() if pick((True, True, False)) else None, episode=1,
            results=results, alerts={f"{n}": self.alert(n) for n in range(self.many(7))}, untracked=pick((0, 5)),
            findings={self.text(): self.text() for _ in range(self.many(6))}, opened_at=self.at(),
            timers={name: Timer(due=self.at(), token="t") for name in names}, acknowledged_by=pick(("", self.text())),
            acknowledged_at=pick((None, NOW)), taken_by=pick(("", "", self.text())),
            approval=self.approval() if pick((True, False, False)) else None,
            branches=(self.text(),), parent=pick(("", self.text())), ordered_by=pick(("", self.text())),
            doubt=pick(("", self.text())), frozen=pick((True, False)), held_until=pick((0, NOW)),
            paged={self.text(): "k" for _ in range(2)}, resolved_at=pick((None, NOW)),
        )  # fmt: skip

    def question(self) -> dict[str, Any]:
        """What `http_cards.card` tells, of a hostile question."""
        pick, text = self.chance.choice, self.text
        return {
            "system": text(), "incident": "inc-abcdefghijklmnop", "severity": pick(SEVERITIES), "policy": text(),
            "approval": "dec-0123456789abcdefghij", "digest": "d" * 64, "policy_hash": "h" * 64, "action": text(),
            "policy_changed": pick((True, False)), "component": text(), "risk": pick(("risky", "critical")),
            "direction": pick(("lowers", "raises", text())), "delivery": pick(("once", text())), "why": text(),
            "arguments": self.state(), "before": self.state(), "wanted": self.state(), "pins": "{}", "guard": text(),
            "guard_untold": pick((True, False)), "verify": text(), "findings": {text(): text()},
            "readings": [
                {"name": one.name, "value": one.value, "taken_at": one.taken_at, "source": one.source, "error": text()}
                for one in self.readings()
            ],
            "votes": [{"by": text(), "at": NOW, "verdict": "approve", "break_glass": pick((True, False))}],
            "quorum": 2, "missing": 1, "may_still_vote": [text() for _ in range(self.many(60))],
            "requesters": [text()], "break_glass": pick(("", text())), "asked_at": NOW, "expires_at": self.at(),
            "silence": text(), "by_hand": text(),
            "you": {"person": None, "not_approve": "", "not_deny": "", "may_break_glass": False},
        }  # fmt: skip
