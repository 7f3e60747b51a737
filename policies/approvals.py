"""Who may say yes to what, and whether a yes still counts: law 5, as pure functions.

`terms` is called when a step asks, `refusal` at every click, `redeem` right before sending. Nothing here remembers
anything: the incident keeps the question and its votes (`bot.core.approval`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from bot.core.approval import Approval, Terms, bind
from bot.core.plan import Plan, Step
from bot.core.words import AggregateId, JsonText, Millis, Risk, risk_rank
from policies.guardrails import Allow, Ask, Authorisation, counterpart, difference
from policies.people import PeopleDocument
from policies.rendering import canonical

_NOBODY: Mapping[str, str] = MappingProxyType({})
_QUORUM = {"critical": 2}  # distinct people; one for everything less


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One step as it stands right now: what is asked when it needs people, and compared when they have answered."""

    system: str
    incident: AggregateId
    episode: int
    plan: Plan
    step: Step
    current: Plan | None
    arguments: JsonText
    arguments_current: JsonText | None  # as the policy in force gives them; None: it does not give this step
    pins: JsonText
    ask: str = ""  # what the action itself asks a person to weigh
    blind: bool = False  # its guard could not be told; only a yes that knew so counts
    requesters: tuple[str, ...] = ()
    now: Millis

    @property
    def stricter(self) -> Step:
        """The step with the graver risk of the two policies, and broken glass only where both name the same person."""
        ours = counterpart(self.step, self.current)
        if ours is None:
            return self.step
        risk = max(self.step.risk, ours.risk, key=risk_rank)
        return replace(
            self.step, risk=risk, break_glass=self.step.break_glass if ours.break_glass == self.step.break_glass else ""
        )

    @property
    def barred(self) -> str:
        """Why the policy in force does not let anybody do this, or "": both policies must give the very same step."""
        current = self.current
        if current is not None and current.mode == "shadow":
            return f"{self.plan.policy} only watches now"
        return difference(self.plan, self.step, current, self.arguments, self.arguments_current)


def quorum(risk: Risk) -> int:
    """How many distinct people must say yes."""
    return _QUORUM.get(risk, 1)


def pinned(state: JsonText, names: Sequence[str]) -> JsonText:
    """The fields of a target's state that an approval is bound to; all of it where the action names none."""
    whole = json.loads(state)
    return canonical({name: whole.get(name) for name in names} if names else whole)


def terms(asked: Asked, people: PeopleDocument, *, wanted: JsonText, by_hand: str) -> Terms:
    """What a yes to this step would be bound to, from now until it expires."""
    step = asked.stricter
    needed, expires_at = quorum(step.risk), asked.now + step.approve_within_ms
    able = people.approvers(asked.system, step.risk)
    return Terms(
        digest=_digest(asked, needed, expires_at),
        pins=asked.pins,
        wanted=wanted,
        policy_hash=asked.plan.policy_hash,
        current_hash=_hash(asked.current),
        quorum=needed,
        asked_at=asked.now,
        expires_at=expires_at,
        risk=step.risk,
        break_glass=step.break_glass,
        barred=asked.barred,
        blind=asked.blind,
        requesters=asked.requesters,
        eligible=tuple(person for person in able if person not in asked.requesters),
        by_hand=by_hand,
        ask=asked.ask,
    )


def refusal(
    people: PeopleDocument,
    system: str,
    step: Step,
    person: str,
    requesters: Sequence[str],
    *,
    break_glass: bool = False,
    reason: str = "",
    deny: bool = False,
) -> str:
    """Why this person may not decide on this step, in one sentence; "" when they may. A requester may only deny."""
    if people.by_id(person) is None:
        return f"{person} is nobody in people.yaml"
    if person in requesters and not deny:
        return f"{person} brought this about, and nobody approves what they asked for themselves"
    if break_glass:
        return _unbreakable(people, system, step, person, reason)
    able = people.approvers(system, step.risk)
    if person not in able:
        others = ", ".join(other for other in able if other not in requesters)
        return f"{person} may not decide on {step.risk} steps of {system}; {others or 'nobody'} may"
    return ""


def carried(people: PeopleDocument, system: str, step: Step, person: str) -> Authorisation:
    """Whether a step that a person ordered needs no further yes: a risky one carries its eligible orderer's own."""
    if risk_rank(step.risk) > risk_rank("risky"):
        return Ask(f"{step.action} is {step.risk}: two people other than {person} must say yes")
    why = refusal(people, system, step, person, ())
    return Ask(f"{why}; somebody who may must say yes") if why else Allow(f"ordered and confirmed by {person}")


def redeem(
    approval: Approval, asked: Asked, people: PeopleDocument, unfit: Mapping[str, str] = _NOBODY
) -> Authorisation:
    """Whether this approval lets this step be sent now: in time, for exactly this, by people who still may.

    `unfit`: whose account does not count any more, and why.
    """
    given, step = approval.terms, asked.stricter
    if asked.now > given.expires_at:
        return Ask("the approval ran out before the step's turn came")
    if asked.barred:
        return Ask(asked.barred)
    if asked.blind and not given.blind:
        return Ask("the evidence could be told when this was approved, and cannot now")
    if asked.ask and _without_figures(asked.ask) != _without_figures(given.ask):
        return Ask(f"what the action asks to be weighed was not so when this was approved: {asked.ask}")
    if _digest(asked, given.quorum, given.expires_at, blind=given.blind) != given.digest:
        return Ask(_drift(given, asked))
    if quorum(step.risk) > given.quorum:
        return Ask(f"{step.action} is {step.risk} now")
    yes = {vote.by: vote for vote in approval.votes if vote.verdict == "approve"}
    for vote in yes.values():
        why = unfit.get(vote.by) or refusal(
            people, asked.system, step, vote.by, asked.requesters, break_glass=vote.break_glass, reason=vote.reason
        )
        if why:
            return Ask(f"since it was approved, {why}")
    if len(yes) < given.quorum and not any(vote.break_glass for vote in yes.values()):
        return Ask(f"{len(yes)} of {given.quorum} people have said yes")
    return Allow(f"approved by {', '.join(yes)}")


def _unbreakable(people: PeopleDocument, system: str, step: Step, person: str, reason: str) -> str:
    if step.break_glass != person:
        return f"the policy lets {step.break_glass or 'nobody'} break the glass for {step.action}, not {person}"
    if not people.may_break_glass(system, person):
        return f"{person} is not in the break_glass roster of {system}"
    if not reason.strip():
        return "breaking the glass needs a typed reason: say --reason"
    return ""


def _digest(asked: Asked, needed: int, expires_at: Millis, *, blind: bool | None = None) -> str:
    return bind(
        incident=asked.incident,
        episode=asked.episode,
        step=asked.stricter,
        arguments=asked.arguments,
        pins=asked.pins,
        policy_hash=asked.plan.policy_hash,
        current_hash=_hash(asked.current),
        quorum=needed,
        expires_at=expires_at,
        blind=asked.blind if blind is None else blind,
    )


def _drift(given: Terms, asked: Asked) -> str:
    """Which of the things a yes is bound to has changed."""
    before, now = json.loads(given.pins), json.loads(asked.pins)
    changed = [
        f"{name} was {before.get(name)} and is {now.get(name)}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        return f"the target has changed since it was approved: {'; '.join(changed)}"
    if given.current_hash != _hash(asked.current):
        return f"{asked.plan.policy} was changed since this was approved"
    return "its arguments have changed since it was approved"


def _without_figures(text: str) -> str:
    """The reason apart from its figures, which are a little different each time they are read."""
    return re.sub(r"\d[\d.,]*", "#", text)


def _hash(plan: Plan | None) -> str:
    return plan.policy_hash if plan is not None else ""
