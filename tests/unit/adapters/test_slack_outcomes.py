"""What a decision card says about the policy's last incidents: which ones, in which words, at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bot.adapters.slack.board.outcomes import KEPT_MS, LAST, NEWEST, OLDEST, PER_LOOK, PER_PAGE, Outcomes
from bot.adapters.slack.cards.outcome_words import WORDS, summary
from bot.core.approval import Terms
from bot.core.events import ApprovalNeeded, StepNotSent
from bot.core.incident import Incident, StepResult
from bot.core.orders import ApprovalVoted, OperatorTook
from bot.core.words import AggregateId, Millis
from bot.engine.ports import Versioned
from bot.engine.retention import LAST_KEPT
from bot.errors import RecordForged
from bot.testing import MemoryStore
from tests.contract.store_records import SHARD, put
from tests.unit.core.builders import MINUTE, START, Floor, alert, plan, step

POLICY = "var-breach"
DAY = "2023-11-14"  # of START


class HandClock:
    """Wall time that only the test moves."""

    def __init__(self) -> None:
        self.at: Millis = START

    def now(self) -> Millis:
        return self.at

    def real_seconds(self, duration_ms: Millis) -> float:
        return duration_ms / 1_000


class CountingStore(MemoryStore):
    """Counts records read; `forged`: ids whose seal does not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[AggregateId] = []
        self.forged: set[AggregateId] = set()

    async def load(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Versioned]:
        self.read += ids
        if forged := self.forged.intersection(ids):
            raise RecordForged(f"{min(forged)}: its seal does not hold")
        return await super().load(shard, ids)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def outcomes(store: CountingStore, clock: HandClock) -> Outcomes:
    return Outcomes(store, clock)


def ran(number: int, *, policy: str = POLICY, **changes: object) -> Incident:
    """One whose Kelly cut was done and seen; it resolved after four minutes. The higher `number`, the newer."""
    done = StepResult(step="cut", episode=1, outcome="verified", at=START, why="var 1.2 < 1.6")
    usual = Incident(
        id=f"inc-{number}", key=f"{policy}/{number}", system=SHARD, plan=plan(policy=policy), episode=1,
        status="closed", results=(done,), opened_at=START + number, resolved_at=START + number + 4 * MINUTE,
        closed_at=START + number + 5 * MINUTE,
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]  # the fields are Incident's own


def told(number: int) -> str:
    return f"{DAY} risk.reduce_kelly: done, its effect was seen; resolved after 4 min (inc-{number})"


# --- which ----------------------------------------------------------------------------------------------------------


async def test_the_last_five_of_the_policy_are_told_newest_first(store: CountingStore, outcomes: Outcomes) -> None:
    """Of six the oldest is left out; the incident that asks is none of them, and no other policy's is."""
    await put(store, *(ran(number) for number in range(6)), ran(90, policy="other"))
    assert await outcomes.of(SHARD, POLICY, "inc-99") == tuple(told(number) for number in (5, 4, 3, 2, 1))
    assert await outcomes.of(SHARD, POLICY, "inc-5") == tuple(told(number) for number in (4, 3, 2, 1, 0))
    assert await outcomes.of(SHARD, "other", "inc-99") == (told(90),)
    assert await outcomes.of(SHARD, "other", "inc-90") == ()
    assert await outcomes.of("py-rt", POLICY, "inc-99") == ()


async def test_a_storm_of_others_hides_nothing(store: CountingStore, outcomes: Outcomes) -> None:
    """However many newer incidents other policies have, the next looks find what the first one did not come to."""
    await put(store, *(ran(number) for number in range(6)))
    for start in range(1_000, 2_200, 400):
        await put(store, *(ran(number, policy="storm") for number in range(start, start + 400)))
    looks = [await outcomes.of(SHARD, POLICY, "inc-99") for _ in range(4)]
    assert looks[-1] == tuple(told(number) for number in (5, 4, 3, 2, 1))
    assert looks[0] == ()


async def test_what_is_kept_of_rare_policies_is_found_behind_any_number_of_newer_ones(
    store: CountingStore, outcomes: Outcomes, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention leaves a policy's last ones among the oldest of the store; each tells its day."""
    monkeypatch.setattr("bot.adapters.slack.board.outcomes.NEWEST", 400)
    year = 365 * 24 * 60 * MINUTE
    await put(store, *(ran(number, opened_at=START - year + number) for number in range(2)))
    for start in range(1_000, 1_900, 300):
        await put(store, *(ran(number, policy="storm") for number in range(start, start + 300)))
    clock.at += 60 * MINUTE
    looks = [await outcomes.of(SHARD, POLICY, "inc-99") for _ in range(3)]
    assert [line[:10] for line in looks[-1]] == ["2022-11-14", "2022-11-14"]
    assert "(inc-1)" in looks[-1][0]


async def test_what_is_read_at_a_time_is_bounded_and_read_once(
    store: CountingStore, outcomes: Outcomes, clock: HandClock
) -> None:
    """A look reads so many records at most; a minute later only what may have changed and is shown."""
    await put(store, ran(1), ran(2, status="mitigated", resolved_at=None, closed_at=None))
    for start in range(1_000, 1_900, 300):
        await put(store, *(ran(number, policy="storm") for number in range(start, start + 300)))
    store.read.clear()
    await outcomes.of(SHARD, POLICY, "inc-99")
    assert len(store.read) == PER_LOOK
    for _ in range(5):
        await outcomes.of(SHARD, POLICY, "inc-99")
    assert sorted(store.read) == sorted({*store.read})
    assert len(store.read) == 902
    store.read.clear()
    clock.at += KEPT_MS
    assert "mitigated" in (await outcomes.of(SHARD, POLICY, "inc-99"))[0]
    await outcomes.of(SHARD, POLICY, "inc-99")
    assert store.read == ["inc-2"]


async def test_no_more_is_read_than_is_shown(store: CountingStore, outcomes: Outcomes) -> None:
    """Once enough are found, what is older stays unread."""
    await put(store, *(ran(number) for number in range(3 * PER_PAGE)))
    store.read.clear()
    assert len(await outcomes.of(SHARD, POLICY, "inc-99")) == LAST
    assert len(store.read) == PER_PAGE


async def test_many_open_incidents_of_one_policy_do_not_hide_how_it_went_before(
    store: CountingStore, outcomes: Outcomes, clock: HandClock
) -> None:
    """Those without a result have nothing to tell, and reading them again does not use up each look."""
    await put(store, ran(1))
    for start in range(1_000, 1_900, 300):
        waiting = (ran(n, status="open", results=(), resolved_at=None) for n in range(start, start + 300))
        await put(store, *waiting)
    for _ in range(3):
        for _ in range(3):
            last = await outcomes.of(SHARD, POLICY, "inc-1899")
        assert last == (told(1),)
        clock.at += KEPT_MS


async def test_a_minute_later_it_is_read_anew(store: CountingStore, outcomes: Outcomes, clock: HandClock) -> None:
    """Within it the same is told, afterwards what became of it and what is new."""
    await put(store, ran(1, status="parked", why="nobody decided", resolved_at=None, closed_at=None))
    before = await outcomes.of(SHARD, POLICY, "inc-99")
    assert "parked, not resolved" in before[0]
    await put(store, ran(1, status="resolved", resumes="parked", closed_at=None), ran(2))
    clock.at += KEPT_MS - 1
    assert await outcomes.of(SHARD, POLICY, "inc-99") == before
    clock.at += 1
    assert await outcomes.of(SHARD, POLICY, "inc-99") == (
        told(2),
        f"{DAY} risk.reduce_kelly: done, its effect was seen; parked, resolved after 4 min (inc-1)",
    )


async def test_a_forged_record_hides_no_other(store: CountingStore, outcomes: Outcomes) -> None:
    """It is left out: whoever can change one line of the store does not empty the card."""
    await put(store, *(ran(number) for number in range(4)))
    store.forged = {"inc-2"}
    assert await outcomes.of(SHARD, POLICY, "inc-99") == (told(3), told(1), told(0))


def test_the_bounds_fit_each_other() -> None:
    """More is shown than one page could lack, and the deepest look ends within minutes."""
    assert LAST + 1 < PER_LOOK
    assert (NEWEST + OLDEST) / PER_LOOK <= 20
    assert LAST < LAST_KEPT


# --- in which words -------------------------------------------------------------------------------------------------


def asking(action: str = "trading.halt") -> Floor:
    """An incident of the real machine that waits for two people."""
    floor = Floor()
    floor.fire(alert(), plan(step(action=action, risk="critical", automatic=False)))
    terms = Terms(
        digest="d", pins="{}", wanted="{}", policy_hash="hash-1", current_hash="hash-1", quorum=2, asked_at=START,
        expires_at=START + 5 * MINUTE, eligible=("demo-approver", "demo-second"),
    )  # fmt: skip
    floor.report(floor.runs[-1], ApprovalNeeded, "critical: two must say yes", terms=terms)
    assert floor.incident().status == "awaiting_approval"
    return floor


def vote(floor: Floor, by: str, verdict: str, reason: str = "") -> None:
    asked = floor.incident().approval
    assert asked is not None
    floor.tell("inc-1", ApprovalVoted(
        id=f"vote/{by}", at=floor.now, by=by, approval=asked.id, digest=asked.terms.digest, reason=reason,
        verdict=verdict,
    ))  # type: ignore[arg-type]  # fmt: skip


def resolved(floor: Floor) -> Incident:
    """The same once all is well."""
    floor.wait(2 * MINUTE)
    floor.end(alert())
    assert floor.incident().status == "resolved", floor.incident()
    return floor.incident()


def test_a_denied_one_says_who_said_no_and_why() -> None:
    """While it is parked, and when it has resolved."""
    floor = asking()
    assert summary(floor.incident()) == "trading.halt: people are asked now; not over yet (inc-1)"
    vote(floor, "demo-second", "deny", "a bad tick")
    no = "trading.halt: NOT sent (trading.halt denied by demo-second: a bad tick); parked, "
    assert summary(floor.incident()) == no + "not resolved (inc-1)"
    assert summary(resolved(floor)) == no + "resolved after 2 min (inc-1)"


def test_an_expired_one_says_that_nobody_decided() -> None:
    """Silence is told as silence, also afterwards."""
    floor = asking()
    floor.wait(5 * MINUTE)
    nobody = "trading.halt: NOT sent (nobody decided on trading.halt in time: critical: two must say yes); parked, "
    assert summary(floor.incident()) == nobody + "not resolved (inc-1)"
    assert summary(resolved(floor)) == nobody + "resolved after 7 min (inc-1)"


def test_one_that_a_person_took_says_so() -> None:
    """I have it: nothing was sent, and by whose hand."""
    floor = asking()
    floor.tell("inc-1", OperatorTook(id="take", at=floor.now, by="demo-oncall"))
    assert "trading.halt: NOT sent (demo-oncall has it" in summary(floor.incident())
    assert "trading.halt: NOT sent (demo-oncall has it" in summary(resolved(floor))


def test_an_approved_one_tells_what_the_action_came_to() -> None:
    """Not that people were asked: that is why it was done."""
    floor = asking()
    vote(floor, "demo-approver", "approve")
    vote(floor, "demo-second", "approve")
    assert summary(floor.incident()) == "trading.halt: not sent yet; not over yet (inc-1)"
    floor.succeed(floor.runs[-1])
    floor.observe(holds=True)
    assert "trading.halt: done, its effect was seen; mitigated, not resolved yet" in summary(floor.incident())


def test_what_could_not_be_sent_says_why_in_few_words() -> None:
    """A parked incident whose action failed is told like any other."""
    floor = Floor()
    floor.fire(alert(), plan())
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepNotSent, "HTTP 503 " + "x" * 500)
    line = summary(floor.incident())
    assert line.startswith("risk.reduce_kelly: NOT sent (HTTP 503 xxx")
    assert line.endswith("…); parked, not resolved (inc-1)")
    assert len(line) < 200


def test_every_outcome_of_the_last_episode_has_words() -> None:
    """One line each; of several steps the last two, and nothing of an episode before."""
    for outcome, words in WORDS.items():
        result = StepResult(step="cut", episode=1, outcome=outcome, at=START, why="")
        assert summary(ran(1, results=(result,))) == f"risk.reduce_kelly: {words}; resolved after 4 min (inc-1)"
    steps = plan(*(step(name, action=f"act.{name}") for name in "abc"))
    made = [StepResult(step=n, episode=2, outcome="succeeded", at=START, why="") for n in "abc"]
    old = StepResult(step="a", episode=1, outcome="unknown", at=START, why="")
    line = summary(ran(1, plan=steps, episode=2, results=(old, *made)))
    assert line == "act.b: done, act.c: done; resolved after 4 min (inc-1)"
    assert "UNKNOWN" not in summary(ran(1, plan=steps, episode=2, results=(old, made[0])))
