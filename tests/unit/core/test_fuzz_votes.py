"""Any votes in any order: what is granted was said yes to by enough different people, in time, to exactly this, and
nobody said no; and what is redeemed was granted by people who may."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bot.core.approval import Approval, Vote
from bot.core.orders import ApprovalVoted
from bot.core.record import Applied, Denied
from bot.core.words import Millis
from policies import approvals
from policies.guardrails import Allow
from tests.unit.core.builders import MINUTE
from tests.unit.core.test_incident_orders import asking
from tests.unit.fuzzing import examples
from tests.unit.policies.test_policy_approvals import asked, people, terms

WHO = ("demo-approver", "demo-second", "demo-third", "demo-oncall", "demo-chief", "nobody", "")


@dataclass(frozen=True)
class Click:
    """One answer as it arrives. Each `good_…` says whether it is as the card showed it."""

    by: str
    verdict: str
    good_id: bool
    good_digest: bool
    refusal: str
    break_glass: bool
    after: Millis

    @property
    def counts(self) -> bool:
        """To exactly what is asked, by somebody whom the door let decide."""
        return self.good_id and self.good_digest and not self.refusal


CLICKS = st.builds(
    Click,
    by=st.sampled_from(WHO),
    verdict=st.sampled_from(["approve", "approve", "approve", "deny"]),
    good_id=st.sampled_from([True, True, True, False]),
    good_digest=st.sampled_from([True, True, True, False]),
    refusal=st.sampled_from(["", "", "", "may not"]),
    break_glass=st.sampled_from([False, False, False, False, True]),
    after=st.sampled_from([0, 0, 1_000, 2 * MINUTE, 6 * MINUTE]),
)


@examples(50)
@given(st.lists(CLICKS, max_size=8), st.integers(1, 2))
def test_no_votes_grant_what_too_few_people_wanted(clicks: list[Click], quorum: int) -> None:
    """Folded by the incident's machine; judged by counting the votes apart from it."""
    floor = asking(quorum=quorum)
    question = floor.incident().approval
    assert question is not None
    yes: set[str] = set()
    for number, click in enumerate(clicks):
        floor.wait(click.after)
        still = floor.incident().approval
        event = ApprovalVoted(
            id=f"v{number}", at=floor.now, by=click.by, approval=question.id if click.good_id else "dec-other",
            digest=question.terms.digest if click.good_digest else "d-other", verdict=click.verdict,  # type: ignore[arg-type]
            refusal=click.refusal, break_glass=click.break_glass, reason="because",
        )  # fmt: skip
        runs = len(floor.runs)
        decision = floor.tell("inc-1", event)
        if still is None or not click.counts:
            assert not isinstance(decision, Applied) or click.verdict == "deny", "an answer to nothing does nothing"
            assert len(floor.runs) == runs
            continue
        if click.verdict == "deny":
            assert floor.incident().approval is None
            assert len(floor.runs) == runs
        elif click.by in yes:
            assert isinstance(decision, Denied)
        else:
            yes.add(click.by)
            granted = len(yes) >= quorum or click.break_glass
            assert (floor.incident().approval is None) == granted
            assert len(floor.runs) == runs + granted
            assert not granted or {vote.by for vote in floor.runs[-1].approval.votes} == yes  # type: ignore[union-attr]


@examples(80)
@given(
    st.lists(
        st.builds(
            Vote, by=st.sampled_from(WHO), at=st.just(1), verdict=st.sampled_from(["approve", "approve", "deny"]),
            reason=st.sampled_from(["", " ", "because"]), break_glass=st.booleans(),
        ),
        max_size=5,
    ),
    st.lists(st.sampled_from(WHO), max_size=2),
)  # fmt: skip
def test_nothing_is_redeemed_without_enough_people_who_may(votes: list[Vote], requesters: list[str]) -> None:
    """The halt is critical: two approvers, neither of them a requester; or its one person who may break the glass."""
    question = asked(requesters=tuple(requesters))
    outcome = approvals.redeem(Approval(id="dec-1", terms=terms(question), votes=tuple(votes)), question, people())
    last = {vote.by: vote for vote in votes if vote.verdict == "approve"}
    able = {"demo-approver", "demo-second"} - set(requesters)
    plain = {by for by, vote in last.items() if not vote.break_glass and by in able}
    broken = {
        by
        for by, vote in last.items()
        if vote.break_glass and by == "demo-chief" and vote.reason.strip() and by not in requesters
    }
    if isinstance(outcome, Allow):
        assert set(last) == plain | broken, "everybody who said yes may"
        assert len(plain) >= 2 or broken
    elif set(last) == plain | broken:
        assert len(plain | broken) < 2
        assert not broken
