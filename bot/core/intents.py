"""The durable promise to act, and what happens to it when the store forgets what it had acknowledged (law 2).

`IntentDeclared` is made by `bot.engine.activity` right before sending; the others by `bot.engine.reconcile`, which
compares the store with this replica's journal. Part of `bot.core.events`; folded by `system_machine`, `target_machine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.core.words import AggregateId, Delivery, Direction, JsonText, Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """At most `limit` automatic actions in `within_ms` per system; the last `reserve` are for protective ones."""

    limit: int = 10
    within_ms: Millis = 600_000
    reserve: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentDeclared:
    """The durable promise to act, made right before sending. Goes to `target:*` first (freeze, arming, budget),
    then to the component's target, which records it only for the holder of the current fence."""

    kind: Literal["intent_declared"] = "intent_declared"
    id: str
    at: Millis
    intent: str
    incident: AggregateId
    episode: int
    step: str
    action: str
    target: AggregateId
    policy: str
    policy_hash: str
    arguments: JsonText
    before: JsonText
    direction: Direction
    delivery: Delivery
    fence: int
    attempt: int
    deadline: Millis
    budget: Budget = Budget()
    approval: str = ""  # the approval it uses up; "" when it is automatic
    ordered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WritesLost:
    """A replica found that the store has forgotten what it had acknowledged: nothing is sent until this is cleared.

    `others` were at work lately: what only their journals know is to be told first, too.
    """

    kind: Literal["writes_lost"] = "writes_lost"
    id: str
    at: Millis
    by: str  # the replica
    why: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WritesReconciled:
    """That replica has told the store again what its journal remembers; `why` says what that was."""

    kind: Literal["writes_reconciled"] = "writes_reconciled"
    id: str
    at: Millis
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentRecalled:
    """An intent that only a replica's journal remembers: whoever runs its step again must know that it was declared."""

    kind: Literal["intent_recalled"] = "intent_recalled"
    id: str
    at: Millis
    by: str
    intent: IntentDeclared
    outcome: Literal["open", "done", "not_sent", "unknown"]
