"""One deliberate break for each law, and more for the laws that machines watch: what is changed, and who must notice.

A literal table, read by `__main__` (which breaks), by `docs/generate.py` (which lists it in docs/reliability.md) and by
a test (which sees that every old text still stands where it says). Texts are short, and each is found exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SIM: Final = ("-m", "tests.simulation", "--seeds", "60", "--jobs", "1", "--json")
CALM: Final = ("-m", "tests.simulation", "--calm", "--seeds", "60", "--jobs", "1", "--json")  # nothing excuses
CRASH: Final = ("-m", "tests.crash", "--trials", "1", "--jobs", "1", "--point")
TAMPER: Final = ("-m", "tests.tamper", "--edits", "40", "--jobs", "1")
LAWS: Final = range(1, 14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """`old` becomes `new` in `file`; then `machine` (arguments of Python) must fail, and say one of `shows`."""

    law: int
    says: str
    file: str
    old: str
    new: str
    machine: tuple[str, ...]
    shows: str

    @property
    def command(self) -> str:
        """As a person would type it."""
        return " ".join(("python", *self.machine))


def pytest(*nodes: str) -> tuple[str, ...]:
    """The machine that is these tests."""
    return ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *nodes)


BREAKS: Final[tuple[Break, ...]] = (
    Break(
        law=1,
        says="of a webhook with several alerts, only the first is looked at",
        file="bot/engine/engine.py",
        old="for alert in entry.alerts:",
        new="for alert in entry.alerts[:1]:",
        machine=SIM,
        shows="nothing accepted is lost",
    ),
    Break(
        law=1,
        says="what could not be handled is set aside, and nobody is paged",
        file="bot/engine/engine.py",
        old="await self.store.commit(shard, Commit(effects=(page,)))",
        new="await self.store.commit(shard, Commit())",
        machine=pytest("tests/unit/engine/test_absorbing.py::test_a_poison_entry_is_set_aside_and_paged"),
        shows="test_a_poison_entry_is_set_aside_and_paged",
    ),
    Break(
        law=1,
        says="a step is left out as unneeded although its guard holds",
        file="bot/engine/activity.py",
        old="if isinstance(guard, Fails):",
        new="if isinstance(guard, Fails) or self._step.guard:",
        machine=SIM,
        shows="what was due was done",
    ),
    Break(
        law=1,
        says="no step is ever sent: each is parked for a person",
        file="bot/engine/activity.py",
        old="""        ready = await self._prepare(action, earlier)
""",
        new="""        if earlier is None:
            return self._said.failed("not today")
        ready = await self._prepare(action, earlier)
""",
        machine=CALM,
        shows="what was due was done",
    ),
    Break(
        law=1,
        says="every alert is suppressed, with a reason",
        file="bot/core/incident_alerts.py",
        old="""    if incident.episode == 0:
        return _open(draft, event)""",
        new="""    if incident.episode == 0:
        return Applied("suppressed: it is probably nothing")""",
        machine=CALM,
        shows="what was due was done",
    ),
    Break(
        law=1,
        says="no rung of a ladder is ever climbed",
        file="bot/core/incident_moves.py",
        old="if number in incident.climbed:",
        new="if number >= 0:",
        machine=CALM,
        shows="people are called",
    ),
    Break(
        law=1,
        says="a rung calls people, and does not run its own step",
        file="bot/core/incident_ladder.py",
        old="""        _branch(draft, number)
""",
        new="",
        machine=pytest(
            "tests/simulation/test_seeds.py::test_a_breach_that_stays_calls_everybody_and_asks_for_the_halt"
        ),
        shows="test_a_breach_that_stays",
    ),
    Break(
        law=1,
        says="what a dead replica had in hand waits for it for ever",
        file="bot/engine/runtime.py",
        old="                await self._reclaim(shard, RECLAIM_IDLE_MS, tasks)\n",
        new="",
        machine=pytest("tests/integration/engine/test_engine_survivor.py"),
        shows="test_a_dead_replicas",
    ),
    Break(
        law=2,
        says="a request leaves without its intent",
        file="bot/engine/promise.py",
        old="await self._given_up() or await self._make(proceed, attempt) or self._stopped()",
        new="await self._given_up()",
        machine=SIM,
        shows="explained by the audit",
    ),
    Break(
        law=3,
        says="an earlier run of the same step may declare under a later one's fence",
        file="bot/core/target_machine.py",
        old=" or slot.fence != event.fence:",
        new=":",
        machine=pytest("tests/unit/core/test_target_machine.py"),
        shows="test_an_earlier_run_of_the_same_step_declares_nothing",
    ),
    Break(
        law=3,
        says="what may be sent only once is sent again after a kill",
        file="bot/engine/activity.py",
        old='if earlier.delivery != "absolute":',
        new='if earlier.delivery == "keyed":',
        machine=SIM,
        shows="no double effect",
    ),
    Break(
        law=3,
        says="what may be sent only once is sent again when no answer comes",
        file="bot/engine/activity.py",
        old="""self._said.unanswered = True
            if self._step.delivery == "absolute":""",
        new="""self._said.unanswered = True
            if self._step.delivery != "keyed":""",
        machine=SIM,
        shows="no double effect",
    ),
    Break(
        law=3,
        says="after a crash, what may be sent only once is sent again",
        file="bot/engine/activity.py",
        old='if earlier.delivery != "absolute":',
        new='if earlier.delivery == "keyed":',
        machine=(*CRASH, "sent"),
        shows="doubled: shown-",
    ),
    Break(
        law=1,
        says="an effect is acknowledged before it is performed",
        file="bot/engine/dispatch.py",
        old="async with asyncio.timeout(ACTIVITY_SECONDS):",
        new="""await self._hands.engine.tell_all(self._shard, [], outbox_acks=(delivery.delivery,))
            async with asyncio.timeout(ACTIVITY_SECONDS):""",
        machine=(*CRASH, "declared"),
        shows="lost: absolute-",
    ),
    Break(
        law=4,
        says="a policy that was disarmed since its turn was granted acts",
        file="bot/core/system_machine.py",
        old="if not event.ordered and event.policy not in target.armed:",
        new='if event.policy == "":',
        machine=pytest("tests/unit/core/test_system_machine.py"),
        shows="test_disarming_stops_even_what_was_granted_before",
    ),
    Break(
        law=4,
        says="what raises exposure may be signed for and then runs by itself",
        file="policies/planning.py",
        old='return spec.direction != "raises" and (harmless or signed is not None)',
        new="return harmless or signed is not None",
        machine=pytest("tests/unit/policies/test_policy_planning.py"),
        shows="test_risk_and_direction_decide_what_runs_by_itself",
    ),
    Break(
        law=5,
        says="one yes is enough, whatever the risk",
        file="policies/approvals.py",
        old="return _QUORUM.get(risk, 1)",
        new="return 1",
        machine=SIM,
        shows="approved where due",
    ),
    Break(
        law=5,
        says="who may say yes is not looked up again right before sending",
        file="policies/approvals.py",
        old="""        if why:
            return Ask(f"since""",
        new="""        if why == "never":
            return Ask(f"since""",
        machine=SIM,
        shows="approved where due",
    ),
    Break(
        law=6,
        says="a guard that cannot be told counts as one that holds",
        file="bot/engine/judge.py",
        old="if guard.blind:\n",
        new="if guard.blind is None:\n",
        machine=pytest(
            "tests/integration/test_trading_core_ladder.py::test_signed_for_it_still_asks_when_the_evidence_is_stale"
        ),
        shows="test_signed_for_it_still_asks",
    ),
    Break(
        law=6,
        says="a kill switch that is engaged while the intent is written stops nothing",
        file="bot/engine/promise.py",
        old="await self._make(proceed, attempt) or self._stopped()",
        new="await self._make(proceed, attempt)",
        machine=pytest("tests/integration/engine/test_engine_hazards.py"),
        shows="test_what_stops_it_between_declaring_and_sending",
    ),
    Break(
        law=7,
        says="the budget has no end",
        file="bot/core/system_machine.py",
        old="if len(recent) >= min(allowed, MAX_RECENT):",
        new="if len(recent) >= MAX_RECENT:",
        machine=pytest("tests/unit/core/test_system_machine.py"),
        shows="test_the_budget_trips_automation",
    ),
    Break(
        law=8,
        says="an acknowledgement stops no page",
        file="bot/core/incident_ladder.py",
        old='seen = draft.incident.acknowledged_by and rung.until != "resolved"',
        new='seen = draft.incident.acknowledged_by == "never"',
        machine=pytest("tests/unit/core/test_incident_ladder.py"),
        shows="test_an_ack_stops_a_rungs_page",
    ),
    Break(
        law=8,
        says="who takes an incident is thanked, and automation goes on there",
        file="bot/core/incident_orders.py",
        old="draft.change(taken_by=event.by, acknowledged_by=incident.acknowledged_by or event.by)\n",
        new='return Applied(f"{event.by} has it")\n',
        machine=SIM,
        shows="a hand is heeded",
    ),
    Break(
        law=8,
        says="what somebody changed at the target by hand is not noticed",
        file="bot/engine/judge.py",
        old="names = [name for name in left if name in now and left[name] != now[name]]",
        new="names: list[str] = []",
        machine=pytest("tests/integration/engine/test_engine_hands_on.py"),
        shows="test_what_somebody_changed_at_the_target",
    ),
    Break(
        law=8,
        says="people are asked about a step although somebody has its incident",
        file="bot/core/incident_turns.py",
        old='    if incident.taken_by:\n        park(draft, f"{incident.taken_by} has it; Andon would ask',
        new='    if not incident:\n        park(draft, f"{incident.taken_by} has it; Andon would ask',
        machine=pytest("tests/unit/core/test_incident_orders.py"),
        shows="test_hands_on_asks_nobody",
    ),
    Break(
        law=9,
        says="timers fire early",
        file="bot/engine/sweeper.py",
        old="""now = self._clock.now()
        while due""",
        new="""now = self._clock.now() + 60_000
        while due""",
        machine=pytest("tests/unit/engine/test_sweeping.py"),
        shows="test_nothing_is_claimed_early",
    ),
    Break(
        law=10,
        says="nobody compares the audit with what was signed of it",
        file="bot/core/checkpoint.py",
        old="if known.get(each.version) != each.head and",
        new="if known is None and",
        machine=TAMPER,
        shows="MISSED",
    ),
    Break(
        law=10,
        says="a link's hash no longer covers what the link says",
        file="bot/core/audit.py",
        old='return hashlib.sha256(f"{seq}\\n{previous}\\n{body}".encode()).hexdigest()',
        new='return hashlib.sha256(f"{seq}\\n{previous}".encode()).hexdigest()',
        machine=TAMPER,
        shows="MISSED",
    ),
    Break(
        law=11,
        says="a label's text is looked through for further labels",
        file="policies/rendering.py",
        old="rendered = _PLACE.sub(replace, text)",
        new="rendered = _PLACE.sub(replace, _PLACE.sub(replace, text))",
        machine=pytest("tests/unit/policies/test_policy_rendering.py"),
        shows="test_a_label_is_data_whatever_it_holds",
    ),
    Break(
        law=12,
        says="pages are acknowledged, and never sent",
        file="bot/engine/speech.py",
        old="reference = await self._pager.page(effect)",
        new="reference = effect.dedup_key",
        machine=CALM,
        shows="what was due was done",
    ),
    Break(
        law=12,
        says="a page that is told again after it was taken back stays open",
        file="bot/core/incident_alerts.py",
        old="if ours and event.page not in",
        new='if event.page == "never" and event.page not in',
        machine=pytest("tests/unit/core/test_incident_alerts.py"),
        shows="test_incident_alerts.py::test_",
    ),
    Break(
        law=12,
        says="when the first page route fails, the second is not tried",
        file="bot/engine/routed_pager.py",
        old="""{problem}")
        why =""",
        new="""{problem}")
            break
        why =""",
        machine=pytest("tests/unit/engine/test_routed_pager.py"),
        shows="test_routed_pager.py::test_",
    ),
    Break(
        law=13,
        says="an alert that has gone resolves its incident, whatever the evidence says",
        file="bot/core/incident_end.py",
        old="if draft.plan.healthy:",
        new='if draft.plan.healthy == "never":',
        machine=pytest("tests/unit/core/test_incident_course.py", "tests/unit/core/test_incident_alerts.py"),
        shows="test_incident_course.py::test_",
    ),
)
