"""An approval: what people are asked, what their answers are bound to, and the digest that binds them (law 5).

`Terms` are made by `policies.approvals` when a step asks; the incident keeps them with its votes as `PendingApproval`;
when enough people have said yes, the run that follows carries an `Approval`, redeemed once, right before sending.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.core.ids import digest
from bot.core.plan import Step
from bot.core.reading import Reading
from bot.core.words import AggregateId, JsonText, Millis, Risk


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a yes would be bound to.

    `pins` are the fields of the target's state that must not change (canonical JSON); `policy_hash` and `current_hash`
    the policy as pinned and as in force; `requesters` who may not approve it; `eligible` who may, when it was asked.
    `by_hand` is the command that does the same without Andon; `blind`: the guard could not be told when it was asked.
    `risk` and `break_glass` are the stricter ones of the two policies; `barred` says why nobody may approve it at all.
    """

    digest: str
    pins: JsonText
    wanted: JsonText
    policy_hash: str
    current_hash: str
    quorum: int
    asked_at: Millis
    expires_at: Millis
    risk: Risk = "risky"
    break_glass: str = ""
    barred: str = ""
    blind: bool = False
    requesters: tuple[str, ...] = ()
    eligible: tuple[str, ...] = ()
    by_hand: str = ""
    ask: str = ""  # what the action itself asked a person to weigh


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's answer."""

    by: str
    at: Millis
    verdict: Literal["approve", "deny"]
    reason: str = ""
    break_glass: bool = False
    via: str = ""  # the account it came from, like slack:T1/U1; "" where the door itself knows the person


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingApproval:
    """A question to people, with the answers so far. `id` is opaque and used once."""

    id: str
    step: str
    why: str
    arguments: JsonText
    before: JsonText
    terms: Terms
    readings: tuple[Reading, ...] = ()
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Enough people have said yes: the question, and who they are."""

    id: str
    terms: Terms
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A question that waits no more: how it ended, and by whom, in the machine's words."""

    id: str
    why: str


def bind(
    *, incident: AggregateId, episode: int, step: Step, arguments: JsonText, pins: JsonText, policy_hash: str,
    current_hash: str, quorum: int, expires_at: Millis, blind: bool,
) -> str:  # fmt: skip
    """The digest of everything a yes is a yes to. Anything different is another question."""
    verify = (step.verify.until, step.verify.within_ms) if step.verify is not None else ("", 0)
    return digest(
        incident, episode, step.id, step.action, step.component, step.risk, step.direction, step.delivery, step.guard,
        *verify, arguments, pins, policy_hash, current_hash, quorum, expires_at, str(blind),
    )  # fmt: skip
