"""How a question ended, read from the incident's audit: the record forgets a question as soon as it is answered. Pure.

Called through `drawing` when a question that has a card in Slack is no longer pending; shown by `decision_card.closed`.
Whatever the chain holds, there is an ending: at worst, that it is no longer asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from bot.core.approval import Vote
from bot.core.incident import Incident
from bot.core.words import JsonText, Millis
from bot.engine import figures

Json: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["approved", "denied", "expired", "void"]

_NO_OUTCOME: Final = frozenset({"asked", "denied", "branched"})  # of a step: it was not sent, and nothing is settled
_AWAITED: Final = frozenset({"acting", "open"})  # there the approved step may still come to something


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How it ended: by whom, in the machine's own words, when, and what became of the action once that is known."""

    kind: Kind
    words: str
    at: Millis | None = None
    votes: tuple[Vote, ...] = ()
    became: str = ""
    last: bool = True  # nothing more will be told about it


def ending(kept: JsonText, chain: Sequence[JsonText], incident: Incident | None) -> Ending:
    """Of the question of which `decision_card.kept` was kept.

    `chain`: the bodies of the incident's audit, oldest first; `incident`: None when it has left the store.
    """
    asked = figures.parsed(kept)
    found, votes = Ending(kind="void", words=incident.why if incident is not None else ""), list[Vote]()
    left = False
    for at, state, lines in _after(asked, chain):
        said = [line for line in lines if _is_vote(line, asked)]
        votes += [_vote(line["event"], at) for line in said]
        denial = next((line for line in said if line["event"].get("verdict") == "deny"), None)
        if denial is not None:  # also one that overtook a yes which was not acted upon yet
            found = Ending(kind="denied", words=_why(denial), at=at)
            break
        if not left and (state != "awaiting_approval" or _is_asked_anew(lines)):
            found, left = _left(lines, said, at), True
    became, last = _became(asked, found, incident)
    return replace(found, votes=tuple(votes), became=became, last=last)


def _left(lines: Sequence[Json], said: Sequence[Json], at: Millis) -> Ending:
    """What took the incident out of waiting: enough people's yes, silence, or something else."""
    if said:
        return Ending(kind="approved", words=_why(said[-1]), at=at)
    late = next((each for each in lines if each["event"].get("name") == "approval"), None)
    if late is not None:
        return Ending(kind="expired", words=_why(late), at=at)
    if _is_asked_anew(lines):
        return Ending(kind="void", words="it is asked anew", at=at)
    return Ending(kind="void", words=_why(lines[-1]) if lines else "", at=at)


def _after(asked: Json, chain: Sequence[JsonText]) -> Iterator[tuple[Millis, str, list[Json]]]:
    """Each link after the one that asked: when, where the incident stood then, and what was applied."""
    begun = False
    for body in map(figures.parsed, chain):
        events = body.get("events")
        lines = [each for each in (events if isinstance(events, list) else ()) if _is_applied(each)]
        at = body.get("at")
        if begun:
            yield at if isinstance(at, int) else 0, str(body.get("state", "")), lines
        begun = begun or any(_digest(each) == asked.get("digest", "?") for each in lines)


def _is_applied(line: object) -> bool:
    return isinstance(line, dict) and line.get("decision") == "applied" and isinstance(line.get("event"), dict)


def _digest(line: Json) -> str:
    """Of the terms that an `ApprovalNeeded` asks about; "" for any other event."""
    terms = line["event"].get("terms") if line["event"].get("kind") == "approval_needed" else None
    return str(terms.get("digest", "")) if isinstance(terms, dict) else ""


def _is_asked_anew(lines: Sequence[Json]) -> bool:
    return any(_digest(line) for line in lines)


def _is_vote(line: Json, asked: Json) -> bool:
    event = line["event"]
    return bool(event.get("kind") == "approval_voted" and event.get("approval") == asked.get("approval", "?"))


def _vote(event: Json, at: Millis) -> Vote:
    return Vote(
        by=str(event.get("by", "")), at=at, verdict="deny" if event.get("verdict") == "deny" else "approve",
        reason=str(event.get("reason") or ""), break_glass=event.get("break_glass") is True,
    )  # fmt: skip


def _why(line: Json) -> str:
    return str(line.get("why") or "no reason was recorded")


def _became(asked: Json, found: Ending, incident: Incident | None) -> tuple[str, bool]:
    """What the approved action came to: the first outcome of its step after the answer; and whether more may come."""
    if found.kind != "approved" or incident is None or incident.plan is None:
        return "", True
    steps = {step.id for step in incident.plan.steps if step.action == asked.get("action")}
    for result in incident.results:
        if result.step in steps and result.at >= (found.at or 0) and result.outcome not in _NO_OUTCOME:
            outcome = result.outcome.replace("_", " ")
            return f"{outcome}: {result.why}" if result.why else outcome, True
    return "", incident.status not in _AWAITED
