"""The judge of the simulation, fed bad ledgers: each law must complain of its breach, and of nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.alert import Alert
from bot.core.events import Budget
from bot.core.incident import AlertState
from bot.core.record import Timer
from tests.simulation import oracle
from tests.simulation.floor import Paged
from tests.simulation.people import Deed
from tests.simulation.servers import Heard
from tests.simulation.small_ledgers import (
    CUT,
    CYCLE,
    FLATTEN,
    GOOD,
    H1,
    HEDGE,
    K1,
    KICKED,
    ONE,
    behind,
    fired,
    incident,
    known,
    laws,
    line,
    send,
    vote,
    with_sends,
)


def test_a_good_run_is_not_complained_of() -> None:
    """One hedge for one firing, one kick that somebody approved, all of it explained: nothing to say."""
    assert oracle.complaints(GOOD) == []


# --- once --------------------------------------------------------------------------------------------------------


def test_two_effects_under_one_intent_are_doubled() -> None:
    """What counts arrives twice with one key."""
    assert laws(replace(GOOD, arrivals=(*GOOD.arrivals, replace(ONE, sent_at=7_000, at=7_001)))) == {"no double effect"}


def test_an_effect_that_nothing_brought_about_is_doubled() -> None:
    """One firing, and a second hedge for it under another intent, long after."""
    assert laws(with_sends(send(HEDGE, "int-9", 20_000))) == {"no double effect"}


def test_an_order_and_a_firing_anew_bring_about_one_effect_each() -> None:
    """Two firings and an order explain three hedges."""
    again = fired(at=15_000)
    ordered = Deed(at=29_000, person="demo-oncall", verb="run", id="op", to="inc-o", action="orders.hedge",
                   component="order-gate", arguments='{"batch":"h1"}', answer="applied")  # fmt: skip
    more = with_sends(send(HEDGE, "int-3", 16_000), send(HEDGE, "int-4", 30_000), firings=(*GOOD.firings, again))
    assert laws(replace(more, deeds=(*GOOD.deeds, ordered), lines=(*more.lines, known(again)))) == set()


@pytest.mark.parametrize(
    ("heard", "broken"),
    [
        ("firing resolved firing", False),  # a copy that came after the end counts as a firing of its own
        ("firing firing resolved", True),  # a copy before it does not
        ("resolved firing firing", True),  # nor does an end that came first
        ("", True),
    ],
)
def test_a_copy_taken_in_after_the_end_may_bring_about_another_effect(heard: str, broken: bool) -> None:
    """What a dead or slow replica had in hand is folded late; what counts is what was folded, in which order."""
    firing = GOOD.firings[0]
    taken = tuple(Heard(firing.fingerprint, firing.starts_at, status) for status in heard.split())  # type: ignore[arg-type]
    more = replace(with_sends(send(HEDGE, "int-9", 20_000)), heard=taken)
    assert laws(more) == ({"no double effect"} if broken else set())
    other = tuple(replace(each, starts_at=firing.starts_at - 1) for each in taken)
    assert laws(replace(more, heard=other)) == {"no double effect"}, "of another firing"


def test_a_fourth_request_under_one_intent_is_too_many() -> None:
    """An absolute action is sent three times at the most."""
    sends = [send(CUT, "int-5", 3_000 + n, body={"kelly_fraction": 0.1}, after=0.1, before=0.2) for n in range(4)]
    assert "no double effect" in laws(with_sends(*sends))


def test_a_repeated_key_that_took_effect_at_the_book_is_doubled() -> None:
    """The book keeps keys; if it did one twice, the fence and the key were not what they are said to be."""
    sends = [send(FLATTEN, "int-6", at, "r1") for at in (9_000, 9_500)]
    deeds = (*GOOD.deeds, *(vote(who, FLATTEN, 5_000, "r1", question="dec-2") for who in ("demo-second", "demo-chief")))
    assert laws(replace(with_sends(*sends), deeds=deeds)) == {"no double effect"}


# --- explained ---------------------------------------------------------------------------------------------------


def test_a_request_without_an_intent_in_any_chain_is_unexplained() -> None:
    """The ledger shows a hedge of which no chain knows."""
    assert laws(replace(GOOD, lines=(known(H1), known(K1), *behind(KICKED)))) == {"explained by the audit"}


def test_an_outcome_that_denies_what_arrived_is_a_lie() -> None:
    """It arrived, and the chain says that it was not sent."""
    lines = (known(H1), known(K1), *behind(KICKED), *behind(ONE, outcome="step_not_sent"))
    assert laws(replace(GOOD, lines=lines)) == {"explained by the audit"}


def test_a_request_without_an_outcome_is_unexplained() -> None:
    """An intent that nothing ever came of."""
    lines = [known for known in GOOD.lines if known.kind != "step_succeeded" or known.event["intent"] != "int-1"]
    assert laws(replace(GOOD, lines=lines)) == {"explained by the audit"}


def test_what_is_said_to_be_done_must_have_arrived() -> None:
    """The chain says a hedge was placed, and the gateway knows of none."""
    declared = line("intent_declared", "target:x", intent="int-8", action="orders.hedge", approval="", ordered=False)
    lines = (*GOOD.lines, declared, line("step_succeeded", intent="int-8"))
    assert laws(replace(GOOD, lines=lines)) == {"explained by the audit"}


def test_an_intent_that_a_journal_gave_back_explains_too() -> None:
    """After a failover only the journal remembers it; the chain says so."""
    intent = {"intent": "int-1", "action": "orders.hedge", "approval": "", "ordered": False}
    told = line("intent_recalled", "target:x", intent=intent)
    rest = [each for each in GOOD.lines if each.kind != "intent_declared" or each.event["intent"] != "int-1"]
    assert laws(replace(GOOD, lines=(*rest, told))) == set()


def test_a_page_that_no_chain_names_is_unexplained() -> None:
    """The pager was told something that stands nowhere."""
    page = Paged(at=1, kind="page", key="x", service="pm", incident="inc-1", effect="inc-1/page/7", opened=True)
    assert laws(replace(GOOD, paged=(page,))) == {"explained by the audit"}
    assert laws(replace(GOOD, paged=(page,), explained=frozenset({"inc-1/page/7"}))) == set()


def test_a_chain_that_does_not_verify_is_told() -> None:
    """Whatever `audit.verify` says of a chain."""
    assert laws(replace(GOOD, chain_problems=("inc-1: entry 3 was edited",))) == {"chains are whole"}


# --- towards safety ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(0.2, 0.25), (0.06, 0.01)])
def test_kelly_is_neither_raised_nor_cut_below_its_floor(before: float, after: float) -> None:
    """A cut that raises, and one below the floor."""
    cut = send(CUT, "int-7", 9_000, field="kelly_fraction", before=before, after=after)
    assert laws(with_sends(cut)) == {"towards safety only"}


def test_what_only_watches_does_nothing() -> None:
    """A hedge for a batch that only an unarmed policy knows."""
    watched = fired("OnlyWatched", "p1")
    more = with_sends(send(HEDGE, "int-7", 9_000, "p1"), firings=(*GOOD.firings, watched))
    assert laws(replace(more, lines=(*more.lines, known(watched)))) == {"nothing unarmed acts"}


def test_nothing_is_sent_to_what_is_frozen() -> None:
    """A freeze was heard, and half a minute later something is sent there; not so where it was lifted."""
    again = fired(at=39_000)
    more = with_sends(send(HEDGE, "int-7", 40_000), firings=(*GOOD.firings, again))
    more = replace(more, lines=(*more.lines, known(again)))
    freeze = Deed(at=9_900, person="demo-chief", verb="freeze", id="op/f", to="target:*", answer="applied")
    freeze.answered_at = 10_000
    assert laws(replace(more, deeds=(*GOOD.deeds, freeze))) == {"a freeze holds"}
    lift = Deed(at=20_000, person="demo-chief", verb="unfreeze", id="op/u", to="target:*")
    assert laws(replace(more, deeds=(*GOOD.deeds, freeze, lift))) == set()


def test_automation_keeps_to_its_budget() -> None:
    """Nine automatic actions within a few seconds, where eight are allowed; and a reserve that is kept."""
    cycles = [send(CYCLE, f"int-c{n}", 9_000 + n, "again", component="feed-a") for n in range(8)]
    assert laws(with_sends(*cycles)) == {"within budget"}
    few, kept = with_sends(*cycles[2:]), Budget(limit=8, within_ms=30_000, reserve=2)
    assert laws(replace(few, budget=replace(kept, reserve=0))) == set()
    assert laws(replace(few, budget=kept)) == {"within budget"}


# --- time --------------------------------------------------------------------------------------------------------


def test_a_cool_down_is_kept() -> None:
    """Two hedges of the policy, a second apart; a clock that was off by more excuses it."""
    other = fired(batch="h2")
    more = with_sends(send(HEDGE, "int-7", 3_000, "h2"), firings=(*GOOD.firings, other))
    more = replace(more, lines=(*more.lines, known(other)))
    assert laws(more) == {"not early"}
    assert laws(replace(more, offsets=((2_500, "r1", 60_000),))) == set()


def test_a_pause_in_a_sequence_is_kept() -> None:
    """The second feed a second after the first, where three are asked for."""
    first = send(CYCLE, "int-a", 9_000, "stale", component="feed-a")
    cycles = [first, send(CYCLE, "int-b", 10_000, "stale", component="feed-b")]
    assert laws(with_sends(*cycles)) == {"not early"}


def test_a_rung_is_not_climbed_before_its_time() -> None:
    """The lead is paged four seconds after the alert began, where six are asked for."""
    people = fired("PeopleOnly", "p1", at=10_000)
    page = Paged(at=14_000, kind="page", key="x", service="lead", incident="inc-1", effect="e", opened=True)
    more = replace(GOOD, firings=(*GOOD.firings, people), lines=(*GOOD.lines, known(people)), explained=frozenset("e"))
    assert laws(replace(more, paged=(page,))) == {"not early"}
    assert laws(replace(more, paged=(replace(page, at=16_000),))) == set()


# --- ends --------------------------------------------------------------------------------------------------------


def test_an_accepted_alert_that_no_chain_knows_is_lost() -> None:
    """It was answered 2xx; what is too mild for the catch-all may go unheard."""
    assert laws(replace(GOOD, firings=(*GOOD.firings, fired("VaRBreach", "x")))) == {"nothing accepted is lost"}
    assert laws(replace(GOOD, firings=(*GOOD.firings, fired("Unheard", "x", severity="info")))) == set()
    assert laws(replace(GOOD, firings=(*GOOD.firings, fired("VaRBreach", "x", accepted=None)))) == set()


def test_a_critical_alert_that_nothing_matches_is_paged() -> None:
    """A chain knows it, and nobody was called."""
    alert = fired("Unheard", "x")
    assert laws(replace(GOOD, firings=(*GOOD.firings, alert), lines=(*GOOD.lines, known(alert)))) == {"parked is told"}


def test_whoever_is_waited_for_knows_it() -> None:
    """A parked incident that nobody was paged about; a page or a person's hand on it is enough."""
    run = replace(GOOD, incidents={"inc-1": incident()}, deeds=())
    run = replace(run, arrivals=(ONE,), lines=(known(H1), known(K1), *behind(ONE)))
    assert laws(run) == {"parked is told"}
    page = Paged(at=1, kind="page", key="x", service="pm", incident="inc-1", effect="e", opened=True)
    assert laws(replace(run, paged=(page,), explained=frozenset("e"))) == set()
    assert (
        laws(replace(run, deeds=(Deed(at=1, person="p", verb="ack", id="op", to="inc-1", answer="applied"),))) == set()
    )


def test_poison_is_set_aside_and_paged() -> None:
    """Two were planted: one is set aside, none was paged about."""
    run = replace(GOOD, poisoned=(1_000, 2_000), dead=(("1-0", "the record does not carry our seal"),))
    assert [each.law for each in oracle.complaints(run)] == ["poison is told", "poison is told"]


def test_nothing_of_andons_own_is_set_aside() -> None:
    """An entry that folding failed on is a defect, however well it was paged."""
    page = Paged(at=1, kind="page", key="s:dead-letter:inbox:1", service="x", incident="target:*",
                 effect="dead-letter/inbox/1", opened=True)  # fmt: skip
    run = replace(GOOD, poisoned=(1_000,), dead=(("1-0", "AssertionError: x"),), paged=(page,))
    assert laws(run) == {"poison is told"}


@pytest.mark.parametrize("status", ["open", "diagnosing", "acting", "verifying", "mitigated"])
def test_what_has_not_come_to_rest_is_told(status: str) -> None:
    """Everything has ended or waits for a person."""
    assert laws(replace(GOOD, incidents={"inc-1": incident(status)})) == {"at rest"}


def test_a_mitigated_incident_may_watch_what_still_fires() -> None:
    """Its patience runs, and its alert fires."""
    alert = Alert(fingerprint="f", status="firing", labels={}, starts_at=1)
    state = AlertState(alert=alert, firing=True, changed_at=1)
    watching = incident("mitigated", alerts={"f": state}, timers={"patience": Timer(due=1, token="t")})
    assert laws(replace(GOOD, incidents={"inc-1": watching})) == set()


def test_who_was_called_has_a_window() -> None:
    """After an outage the plan goes on in two minutes, and people know it; nobody called is no window."""
    waits = incident("open", timers={"retry": Timer(due=1, token="t")})
    page = Paged(at=1, kind="page", key="x", service="pm", incident="inc-1", effect="e", opened=True)
    away = line("timer_fired", why="Andon was away; feed.cycle is looked at again in 120 s")
    run = replace(GOOD, incidents={"inc-1": waits}, explained=frozenset("e"), lines=(*GOOD.lines, away))
    assert laws(run) == {"at rest"}
    assert laws(replace(run, paged=(page,))) == set()
    assert laws(replace(run, paged=(page,), lines=GOOD.lines)) == {"at rest"}


def test_nothing_is_left_in_a_queue() -> None:
    """An effect that nobody performed."""
    assert laws(replace(GOOD, left=(0, 1))) == {"at rest"}


def test_pages_do_not_come_in_storms() -> None:
    """Hundreds of pages for a handful of things; and one page told over and over though it was answered."""
    page = Paged(at=1, kind="page", key="x", service="pm", incident="inc-1", effect="e", opened=True)
    run = replace(GOOD, explained=frozenset("e"))
    assert laws(replace(run, paged=tuple(replace(page, key=str(n)) for n in range(60)))) == {"no page storm"}
    assert laws(replace(run, paged=tuple(replace(page, at=3_000 * n, opened=not n) for n in range(6)))) == {
        "no page storm"
    }


def test_a_page_that_is_not_answered_is_told_again_though_not_in_haste() -> None:
    """Fourteen times in a minute without an answer; the same within ten seconds is a storm. So is one that answers."""
    page = Paged(at=1, kind="page", key="x", service="pm", incident="inc-1", effect="e", opened=True)
    slow = tuple(replace(page, at=4_000 * n, opened=not n) for n in range(14))
    run = replace(GOOD, explained=frozenset("e"), paged=slow)
    assert laws(replace(run, unheard={"page x": 14})) == set()
    assert laws(replace(run, unheard={"page y": 14})) == {"no page storm"}
    assert laws(replace(run, unheard={"commit e": 10})) == set(), (
        "as often it was written to the outbox, for all it knew"
    )
    hasty = tuple(replace(each, at=each.at // 10) for each in slow)
    assert laws(replace(run, paged=hasty, unheard={"page x": 14})) == {"no page storm"}


def test_what_a_failover_lost_excuses_only_what_came_before_it() -> None:
    """An alert accepted before a failover that forgot it is told otherwise; one accepted after it is lost."""
    lost = fired("VaRBreach", "x", at=10_000)
    run = replace(GOOD, firings=(*GOOD.firings, lost))
    assert laws(replace(run, forgotten=(11_000,))) == set()
    assert laws(replace(run, forgotten=(9_000,))) == {"nothing accepted is lost"}
