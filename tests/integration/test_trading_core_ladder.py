"""The shipped ladders of trading-core, to the second: the real engine, activities and actions on a clock that is moved.

configs/ is loaded as it ships; store, trading system, evidence, chat and pager are twins. Time stands still until
everything that is due has been done, then jumps to the next timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import configs
from bot.adapters.codec import event_text
from bot.core.alert import Alert
from bot.core.effects import PageOncall, ResolvePage
from bot.core.events import AlertsReceived, Budget
from bot.core.incident import Incident
from bot.core.orders import ApprovalVoted, OperatorAcked, PolicyArmed
from bot.core.words import SYSTEM_TARGET, Millis
from bot.engine.action_ports import HttpReply, ReadPoint
from bot.engine.dispatch import Dispatch
from bot.engine.engine import Engine
from bot.engine.judge import Hands
from bot.engine.loop import Heartbeat
from bot.testing import FakeClock, MemoryChat, MemoryEvidence, MemoryJournal, MemoryStore, MemoryTargets
from bot.testing.clock import START
from bot.testing.targets import SentRequest
from policies.loader import Source, kind_of, load
from remediations.catalogue import CATALOGUE

SYSTEM = "trading-core"
CUT, HALT = "POST /api/risk/emergency-reduce", "POST /api/stop-trading"
PAUSE, RESUME = "POST /api/router/pause", "POST /api/router/resume"
UNSIGNED = 'policy: var-breach, by: "", until: ""'
SIGNED = 'policy: var-breach, by: demo-approver, until: "2023-12-31T00:00:00Z"'  # the twins' clock begins in 2023-11
ONCALL = "trading-oncall"
MINUTE = 60.0


class Deaf:
    """Telemetry nobody reads."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Floor:
    """trading-core on the twins. Times are seconds since the alert."""

    def __init__(self, *, signed: bool) -> None:
        self.clock, self.store, self.chat = FakeClock(), MemoryStore(), MemoryChat()
        self.evidence, self.targets = MemoryEvidence({"var": 2.4, "switches": 60.0}), MemoryTargets()
        self.paged: list[tuple[float, str]] = []
        self.sent: list[tuple[float, str]] = []
        risk = self.targets.add(SYSTEM, "risk-engine", role="risk", floors={"kelly_fraction": 0.05})
        risk.answers = {CUT: HttpReply(200, b"{}"), HALT: HttpReply(200, b"{}")}
        risk.on_send = self._take_effect
        fields = ("router", "model", "owner")
        reads = {name: ReadPoint("http", "/api/router/status", name, "model-router") for name in fields}
        router = self.targets.add(SYSTEM, "model-router", role="router", reads=reads)
        router.answers = {PAUSE: HttpReply(200, b"{}"), RESUME: HttpReply(200, b"{}")}
        router.on_send = self._take_effect
        self.set_router(router="running", model="BTC-USD lstm-v2", owner="desk")
        self._set("kelly_fraction", 0.25)
        self._set("trading", "on")
        loaded = load(_shipped(signed), CATALOGUE, now=START)
        assert loaded.book is not None, loaded.problems
        self.engine = Engine(
            store=self.store, book=loaded.book, text=event_text, clock=self.clock, telemetry=Deaf(), shards=[SYSTEM]
        )
        hands = Hands(
            engine=self.engine, toolbox=CATALOGUE, targets=self.targets, evidence=self.evidence,
            journal=MemoryJournal(), chat=self.chat, budget=Budget(),
        )  # fmt: skip
        self.dispatch = Dispatch(hands, self, Deaf(), SYSTEM, Heartbeat())
        self.tasks = asyncio.TaskGroup()

    # --- the world --------------------------------------------------------------------------------------------------

    def _set(self, field: str, value: float | str) -> None:
        self.targets.fields[SYSTEM, "risk-engine", field] = value

    def set_router(self, **fields: str) -> None:
        for name, value in fields.items():
            self.targets.fields[SYSTEM, "model-router", name] = value

    def _take_effect(self, request: SentRequest) -> None:
        what = f"{request.method} {request.path}"
        self.sent.append((self.seconds, what))
        if what == CUT:
            self._set("kelly_fraction", 0.1)
        elif what in (PAUSE, RESUME):
            self.set_router(router="paused" if what == PAUSE else "running", owner="andon")
        else:
            self._set("trading", "off")

    async def page(self, page: PageOncall) -> str:
        self.paged.append((self.seconds, page.service))
        return page.dedup_key

    async def resolve(self, page: ResolvePage) -> str:
        return page.dedup_key

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        return (self.clock.now() - START) / 1000

    async def until(self, seconds: float) -> None:
        """Everything due up to then is done, each at its own time."""
        end: Millis = START + int(seconds * 1000)
        await self._settle()
        while (due := await self.store.next_due(SYSTEM)) is not None and due <= end:
            self.clock.advance(max(0, due - self.clock.now()))
            await self.store.claim_due(SYSTEM, self.clock.now(), 100)
            await self._settle()
        self.clock.advance(end - self.clock.now())

    async def _settle(self) -> None:
        """Fold and perform until nothing is left to do."""
        while True:
            entries = await self.store.read_inbox(SYSTEM, 100, 0)
            await self.engine.absorb(SYSTEM, entries)
            effects = await self.store.read_outbox(SYSTEM, 100, 0)
            if not entries and not effects:
                return
            self.dispatch.take(effects, self.tasks)
            await asyncio.wait_for(self.dispatch.drained(), 5)

    # --- what happens and what is seen ------------------------------------------------------------------------------

    async def fire(self, alertname: str, severity: str, *, over: bool = False) -> None:
        labels = {"alertname": alertname, "severity": severity, "system": SYSTEM, "symbol": "BTC-USD"}
        alert = Alert(
            fingerprint="f" * 16, status="resolved" if over else "firing", labels=labels, starts_at=START,
            ends_at=self.clock.now() if over else None,
        )  # fmt: skip
        entry = AlertsReceived(id=f"w{over}", at=self.clock.now(), source="am", receiver="andon", alerts=(alert,))
        await self.store.append(SYSTEM, [entry])
        await self._settle()

    async def incidents(self) -> list[Incident]:
        """Oldest first."""
        lines = await self.store.incidents(SYSTEM, closed=True, limit=10)
        return sorted((line.incident for line in lines), key=lambda each: each.opened_at)

    async def approve(self, person: str) -> None:
        """Yes to the one question that is asked."""
        (asking,) = [each for each in await self.incidents() if each.approval is not None]
        vote = ApprovalVoted(
            id=f"yes/{person}", at=self.clock.now(), by=person, approval=asking.approval.id,
            digest=asking.approval.terms.digest, verdict="approve",
        )  # fmt: skip
        await self.engine.tell(SYSTEM, asking.id, vote)
        await self._settle()


def _shipped(signed: bool) -> list[Source]:
    """configs/ as it ships; `signed`: with the one signature it waits for."""
    folder = Path(configs.__path__[0])
    names = ("andon.yaml", "people.yaml", "targets.yaml", "policies/trading-core.yaml")
    texts = {Path(name).name: (folder / name).read_text() for name in names}
    assert UNSIGNED in texts["trading-core.yaml"]
    if signed:
        texts["trading-core.yaml"] = texts["trading-core.yaml"].replace(UNSIGNED, SIGNED)
    return [Source(name, text, kind_of(name)) for name, text in texts.items()]


@asynccontextmanager
async def floor(*, signed: bool = False) -> AsyncIterator[Floor]:
    """A floor with everything armed."""
    made = Floor(signed=signed)
    async with made.tasks:
        forever = (made.dispatch.chat_forever(), made.dispatch.page_forever())
        voices = [made.tasks.create_task(work) for work in forever]
        for policy in ("var-breach", "model-switching"):
            armed = PolicyArmed(id=policy, at=START, by="demo-oncall", policy=policy)
            await made.engine.tell(SYSTEM, SYSTEM_TARGET, armed)
        yield made
        for voice in voices:
            voice.cancel()


async def test_var_breach_cuts_at_once_pages_pm_at_two_minutes_and_asks_for_the_halt_at_five() -> None:
    """Row T2, as shipped: nobody signed for the halt, so at 5:00 cro is paged and one approver's yes sends it."""
    async with floor() as core:
        await core.fire("VaRBreach", "critical")
        assert core.sent == [(0, CUT)]
        await core.until(299.999)
        assert core.paged == [(90, ONCALL), (120, "pm")]  # at 1:30 the cut has not helped, and its time is up
        await core.until(300)
        assert sorted(core.paged[2:]) == [(300, "cro"), (300, ONCALL)]  # the second one is asked to decide
        await core.until(330)
        assert core.sent == [(0, CUT)]
        await core.approve("demo-approver")
        assert core.sent == [(0, CUT), (330, HALT)]
        breach, halt = await core.incidents()
        assert (halt.parent, halt.status, breach.results[-1].outcome) == (breach.id, "resolved", "branched")


async def test_nobody_decides_on_the_halt() -> None:
    """Five minutes after it was asked: nothing is sent, the on-call is paged anew with the command to type."""
    async with floor() as core:
        await core.fire("VaRBreach", "critical")
        await core.until(599.999)
        assert len(core.paged) == 4
        await core.until(600)
        assert core.paged[4:] == [(600, ONCALL)]
        assert core.sent == [(0, CUT)]
        _, halt = await core.incidents()
        assert halt.status == "parked"
        assert "nobody decided on trading.halt in time" in halt.why
        assert f"by hand: {HALT}" in halt.why


async def test_signed_for_it_halts_by_itself_at_five_minutes() -> None:
    """With the runbook's signature filled in, and VaR still over 1.8: the halt is sent at 5:00 sharp, cro is paged."""
    async with floor(signed=True) as core:
        await core.fire("VaRBreach", "critical")
        await core.until(299.999)
        assert core.sent == [(0, CUT)]
        await core.until(300)
        assert core.sent == [(0, CUT), (300, HALT)]
        assert core.paged == [(90, ONCALL), (120, "pm"), (300, "cro")]
        await core.until(900)
        assert core.sent == [(0, CUT), (300, HALT)]


async def test_signed_for_it_does_not_halt_while_var_is_below_the_limit() -> None:
    """VaR is at 1.7 at 5:00: nothing is sent, though the alert fires; when it rises again, the halt follows at once."""
    async with floor(signed=True) as core:
        await core.fire("VaRBreach", "critical")
        await core.until(200)
        core.evidence.values["var"] = 1.7
        await core.until(400)
        assert core.sent == [(0, CUT)]
        core.evidence.values["var"] = 2.1
        await core.until(405)
        assert core.sent == [(0, CUT), (405, HALT)]


async def test_signed_for_it_still_asks_when_the_evidence_is_stale() -> None:
    """No news of VaR at 5:00 is no reason to act alone: a person is asked, and told that nobody can tell."""
    async with floor(signed=True) as core:
        await core.fire("VaRBreach", "critical")
        await core.until(200)
        core.evidence.stale.add("var")
        await core.until(310)
        assert core.sent == [(0, CUT)]
        _, halt = await core.incidents()
        assert halt.approval is not None
        assert "the evidence cannot be told" in halt.approval.why


async def test_a_breach_that_the_cut_ends_calls_nobody() -> None:
    """VaR falls within the minute, the alert resolves: no rung is climbed, not even hours later."""
    async with floor(signed=True) as core:
        await core.fire("VaRBreach", "critical")
        await core.until(40)
        core.evidence.values["var"] = 0.9
        await core.until(60)
        await core.fire("VaRBreach", "critical", over=True)
        await core.until(3 * 60 * MINUTE)
        assert core.sent == [(0, CUT)]
        assert core.paged == []
        assert [each.status for each in await core.incidents()] == ["closed"]


async def test_model_switching_pauses_the_router_and_asks_after_a_quarter_of_an_hour() -> None:
    """Row T1: paused at 0:00, verified once the last minute has fewer than 15 switches, nobody paged. At 15:00 people
    are asked whether it may go on, and one yes resumes it."""
    async with floor() as core:
        await core.fire("ExcessiveModelSwitching", "warning")
        assert core.sent == [(0, PAUSE)]
        await core.until(45)
        core.evidence.values["switches"] = 14.0
        await core.until(48)
        await core.fire("ExcessiveModelSwitching", "warning", over=True)
        await core.until(899)
        assert (core.paged, core.sent) == ([], [(0, PAUSE)])
        await core.until(901)
        assert core.paged == [(900, ONCALL)]
        switching, resume = await core.incidents()
        assert (switching.status, resume.status) == ("resolved", "awaiting_approval")
        assert resume.approval is not None
        assert "router paused → running" in resume.approval.why
        await core.approve("demo-approver")
        assert core.sent == [(0, PAUSE), (901, RESUME)]


async def test_a_router_that_the_desk_took_over_is_never_resumed() -> None:
    """The desk pauses it as well, under its own name: at 15:00 the errand is refused with the reason, and not sent."""
    async with floor() as core:
        await core.fire("ExcessiveModelSwitching", "warning")
        await core.until(100)
        core.set_router(owner="desk")
        await core.until(1000)
        assert core.sent == [(0, PAUSE)]
        resume = (await core.incidents())[-1]
        assert resume.status == "parked"
        assert "paused by desk, not by Andon" in resume.why


async def test_a_resume_that_nobody_answers_is_not_sent() -> None:
    """Silence is no yes: the router stays paused, and the question is asked anew when as much time has passed."""
    async with floor() as core:
        await core.fire("ExcessiveModelSwitching", "warning")
        await core.until(20)
        core.evidence.values["switches"] = 0.0
        await core.until(40 * MINUTE)
        assert core.sent == [(0, PAUSE)]


async def test_switching_that_is_over_is_not_paused() -> None:
    """The alert counts five minutes, the guard the last one: a burst that has passed freezes no model."""
    async with floor() as core:
        core.evidence.values["switches"] = 12.0
        await core.fire("ExcessiveModelSwitching", "warning")
        await core.until(120)
        assert core.sent == []


async def test_model_switching_calls_quant_at_five_minutes_and_pm_with_quant_at_fifteen() -> None:
    """Row T1: switching goes on under the pause, so the on-call is called at 1:30; quant is told both times."""
    async with floor() as core:
        await core.fire("ExcessiveModelSwitching", "warning")
        await core.until(299.999)
        assert core.paged == [(90, ONCALL)]
        await core.until(899.999)
        assert core.paged[1:] == [(300, "quant")]
        assert len(core.chat.texts("#quant-emergency")) == 1
        await core.until(900)
        assert (900, "pm") in core.paged[2:]
        assert len(core.chat.texts("#quant-emergency")) == 2
        assert core.sent == [(0, PAUSE)]


async def test_model_switching_that_somebody_has_seen_climbs_no_further() -> None:
    """Acknowledged at 6:00: quant was called, pm is not."""
    async with floor() as core:
        await core.fire("ExcessiveModelSwitching", "warning")
        await core.until(6 * MINUTE)
        (incident,) = await core.incidents()
        await core.engine.tell(SYSTEM, incident.id, OperatorAcked(id="ack", at=core.clock.now(), by="demo-oncall"))
        await core.until(14 * MINUTE)
        assert core.paged == [(90, ONCALL), (300, "quant")]
        await core.until(60 * MINUTE)
        assert "pm" not in {service for _, service in core.paged}
