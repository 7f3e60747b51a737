"""The law that what was due was done: an Andon that never acts, asks nobody and sends nothing keeps all other laws.

    an alert fires for the first time, and its policy acts by itself    its request is at its target within `PROMPT_MS`
    the same, and its policy asks                                       somebody has been paged for a decision by then
    enough people have said yes                                         the request is at its target by then
    somebody who may has ordered a halt                                 trading is off by then

Where a component cools down, that time begins when it is over. So much is certain only where nothing was wrong since
the run began: no trouble, nothing frozen, disarmed or reloaded, no budget spent, no order and no hand on the component
or the incident, the alert firing all the while, and the guard true by the target's own figures. Elsewhere this law says
nothing. Called by `oracle`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bot.core.words import Millis
from tests.simulation.components import KELLY, Arrival, Value, machines
from tests.simulation.facts import Facts
from tests.simulation.oracle_sends import CUT, CYCLE, HEDGE, KICK, WAIT_MS, batch_of
from tests.simulation.oracle_votes import ACTION, FLATTEN, PAUSE
from tests.simulation.people import Deed, Shown
from tests.simulation.policies_floor import VARIANTS
from tests.simulation.senders import Firing
from tests.simulation.world import EPOCH

if TYPE_CHECKING:
    from tests.simulation.floor import Paged

PROMPT_MS: Final[Millis] = 1_000  # from the alert or the yes to its effect, where nothing is wrong: some milliseconds
SEEN_MS: Final[Millis] = 2_000  # from asking people until they look
BUSY_MS: Final[Millis] = 10_000  # a cut and its verification
CUT_TO: Final = 0.1  # of Kelly, by var-breach
BREACH, RESTLESS = 1.8, 20  # what their guards ask for
HANDS: Final = ("take", "hold", "resolve")  # of a person on an incident: automation may stand back
NOT_BASE: Final = frozenset(VARIANTS) - {"base"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a policy owes to an alert of its own."""

    policy: str
    component: str
    request: str
    cooldown: Millis = 0  # between two such requests
    batches: bool = False  # each batch is an incident of its own
    quorum: int = 0  # of people who must say yes; 0: it acts by itself
    changed: frozenset[str] = frozenset()  # the variants of the configuration in which it may not


DUE: Final = {
    "VaRBreach": Due(
        policy="var-breach", component="risk-engine", request=CUT, changed=frozenset({"suggesting", "retuned"})
    ),
    "ModelSwitching": Due(policy="model-switching", component="model-router", request=PAUSE),
    "StaleFeeds": Due(policy="stale-feeds", component="feed-a", request=CYCLE),
    "Unhedged": Due(
        policy="unhedged", component="order-gate", request=HEDGE, cooldown=3_000, batches=True,
        changed=frozenset({"stricter"}),
    ),
    "StuckGate": Due(
        policy="stuck-gate", component="order-gate", request=KICK, cooldown=6_000, batches=True, quorum=1,
        changed=NOT_BASE,
    ),
    "RunawayOrders": Due(
        policy="runaway-orders", component="order-book", request=FLATTEN, cooldown=5_000, batches=True, quorum=2,
        changed=NOT_BASE,
    ),
}  # fmt: skip


def done(facts: Facts) -> Iterator[str]:
    """See the module."""
    for firing in facts.firings:
        due = DUE.get(firing.name)
        if due is None or not is_first(facts, firing, due.batches):
            continue
        until = _until(facts, firing, due, firing.began)
        if not _is_sure(facts, firing, due, until):
            continue
        if due.quorum:
            yield from _asked(facts, firing, due, until)
        else:
            yield from _acted(facts, firing, due, until)
    yield from _approved(facts)
    yield from _ordered(facts)


def _acted(facts: Facts, firing: Firing, due: Due, until: Millis) -> Iterator[str]:
    """It acts by itself; of a sequence, the second step follows the first."""
    sent = [send for send in _sends(facts, due) if firing.began <= send.at <= until and _is_its(send, firing, due)]
    if sent and due.request == CYCLE:
        yield from _followed(facts, firing, due, sent[0].at)
    elif not sent and _is_needed(facts, due, firing.began, until):
        yield f"{named(firing)}, nothing was wrong, and no {due.request} came by {until / 1_000:.3f} s"


def _followed(facts: Facts, firing: Firing, due: Due, first: Millis) -> Iterator[str]:
    until = first + WAIT_MS + PROMPT_MS
    fresh = values(facts, "feed-a", "state", first, until) == ["fresh"]
    stale = values(facts, "feed-b", "state", firing.began, until) == ["stale"]  # all the while: nobody cycled it
    if fresh and stale and _is_sure(facts, firing, due, until):
        yield f"{named(firing)}, feed-a was cycled, and feed-b was not by {until / 1_000:.3f} s"


def _asked(facts: Facts, firing: Firing, due: Due, until: Millis) -> Iterator[str]:
    """It asks: a page of its incident wakes somebody, unless somebody has seen the incident by then."""
    if any(deed.verb == "ack" and firing.began <= deed.at <= until for deed in facts.deeds):
        return
    if not any(calls(facts, firing, until)) and _is_needed(facts, due, firing.began, until):
        yield f"{named(firing)}, nothing was wrong, and nobody was asked by {until / 1_000:.3f} s"


def _approved(facts: Facts) -> Iterator[str]:
    """Enough people have said yes, and nobody no: it is sent."""
    questions: dict[str, list[Deed]] = {}
    for deed in facts.deeds:
        if deed.shown is not None:
            questions.setdefault(deed.shown.approval, []).append(deed)
    for deeds in questions.values():
        for firing in facts.firings:
            due, shown = DUE.get(firing.name), deeds[0].shown
            if due is not None and due.quorum and shown is not None and _is_about(shown, firing, due):
                yield from _redeemed(facts, firing, due, deeds, shown)


def _redeemed(facts: Facts, firing: Firing, due: Due, deeds: list[Deed], shown: Shown) -> Iterator[str]:
    said = {d.person: d for d in reversed(deeds) if d.verb == "approve" and d.answer == "applied"}
    times = sorted(deed.answered_at for deed in said.values())
    if len(times) < due.quorum or times[due.quorum - 1] < firing.began:
        return
    since = times[due.quorum - 1]
    until = _until(facts, firing, due, since)
    no = any(deed.verb == "deny" and deed.at <= until for deed in deeds)
    if no or EPOCH + until >= shown.expires_at or not _is_sure(facts, firing, due, until):
        return
    asked = min(deed.seen_at for deed in deeds) - SEEN_MS  # what the yes is bound to
    clicked = min(deed.at for deed in deeds)
    sent = any(clicked <= send.at <= until and _is_its(send, firing, due) for send in _sends(facts, due))
    if not sent and _is_needed(facts, due, asked, until):
        names = ", ".join(sorted(said))
        yield f"{named(firing)}, {names} said yes in time, and no {due.request} came by {until / 1_000:.3f} s"


def _ordered(facts: Facts) -> Iterator[str]:
    """What a person ordered who needs nobody else's yes; on an engine that nothing else acts on."""
    for deed in facts.deeds:
        if (deed.verb, deed.action, deed.answer) != ("run", "trading.halt", "applied"):
            continue
        until = deed.answered_at + PROMPT_MS
        busy = any(
            send.component == "risk-engine" and send.request == CUT and deed.at - BUSY_MS <= send.at <= until
            for send in facts.sends()
        )
        others = (other for other in facts.deeds if other is not deed and other.at <= until)
        hands = any(other.verb == "freeze" or other.to == deed.to for other in others)
        may = deed.person in facts.surely("risky", deed.at, until)
        on = values(facts, deed.component, "trading", deed.at, until) == ["on"]
        if may and on and not busy and not hands and facts.is_calm(0, until):
            yield f"{deed.person} ordered a halt at {deed.at / 1_000:.3f} s, and trading is on at {until / 1_000:.3f} s"


def _is_about(shown: Shown, firing: Firing, due: Due) -> bool:
    arguments = json.loads(shown.arguments)
    batch = (arguments.get("body") or arguments).get("batch")
    return (shown.action, shown.component) == (ACTION[due.request], due.component) and batch == firing.labels["batch"]


# --- what is certain ---------------------------------------------------------------------------------------------


def _until(facts: Facts, firing: Firing, due: Due, since: Millis) -> Millis:
    """When it has to be done: at once, or right after the cool-down of those who had their turn before."""
    until = since + PROMPT_MS
    for send in _sends(facts, due):
        before = send.at < since or not _is_its(send, firing, due)
        if before and since - due.cooldown <= send.at <= until:
            until = max(until, send.at + due.cooldown + PROMPT_MS)
    return until


def _sends(facts: Facts, due: Due) -> list[Arrival]:
    sends = (send for send in facts.sends() if (send.component, send.request) == (due.component, due.request))
    return sorted(sends, key=lambda send: send.at)


def _is_its(send: Arrival, firing: Firing, due: Due) -> bool:
    return not due.batches or batch_of(send) == firing.labels.get("batch")


def is_first(facts: Facts, firing: Firing, batches: bool) -> bool:
    """Nothing of its incident has been before: what relapses may join what was. `batches`: each is an incident."""
    batch = firing.labels.get("batch")
    ours = (f for f in facts.firings if f.name == firing.name and (not batches or f.labels.get("batch") == batch))
    return next(ours) is firing


def _is_sure(facts: Facts, firing: Firing, due: Due, until: Millis) -> bool:
    """Whether nothing and nobody may have kept Andon from it by then."""
    if not fires_on(facts, firing, until) or not facts.is_calm(0, until) or facts.in_force(0, until) & due.changed:
        return False
    if any(_hinders(deed, firing, due) for deed in facts.deeds if deed.at <= until):
        return False
    budget = facts.budget  # when it is spent, automation stands still until a person says otherwise
    times = sorted({send.key: send.sent_at for send in facts.sends() if send.sent_at <= until}.values())
    most = max((sum(at <= other < at + budget.within_ms for other in times) for at in times), default=0)
    return most < budget.limit - budget.reserve


def fires_on(facts: Facts, firing: Firing, until: Millis) -> bool:
    """Whether it was told, and is not over by then."""
    return firing.accepted is not None and (facts.now if firing.ended is None else firing.ended) > until


def calls(facts: Facts, firing: Firing, until: Millis) -> Iterator[Paged]:
    """The pages of its incident, from its beginning until then."""
    fired = [line for line in facts.lines if line.kind == "alert_fired"]
    its = {line.aggregate for line in fired if line.event["alert"]["fingerprint"] == firing.fingerprint}
    return (p for p in facts.paged if p.kind == "page" and firing.began <= p.at <= until and p.incident in its)


def _hinders(deed: Deed, firing: Firing, due: Due) -> bool:
    """Whether a person may have kept Andon from it."""
    if deed.verb in ("freeze", "disarm"):
        return deed.verb == "freeze" or deed.action == due.policy
    if deed.verb == "run":
        return deed.component == due.component
    return deed.verb in HANDS and deed.at >= firing.began


def _is_needed(facts: Facts, due: Due, since: Millis, until: Millis) -> bool:
    """Whether, by the target's own figures, the guard was true and there was something to do, all the while."""

    def was(field: str) -> list[Value]:
        return values(facts, due.component, field, since, until)

    match due.component:
        case "risk-engine":
            kelly, stress = min(map(float, was("kelly_fraction"))), min(map(float, was("stress")))
            return kelly > CUT_TO and stress * kelly / KELLY > BREACH
        case "model-router":
            left = any(a.field == "router" and a.at <= until for a in facts.arrivals)  # somebody may own its state
            return not left and min(map(float, was("restless"))) > RESTLESS
        case "feed-a":
            return was("state") == ["stale"]
        case "order-book":
            return len(was("open_orders")) == 1 and was("open_orders") != [0.0]
        case _:
            return True


def values(facts: Facts, component: str, field: str, since: Millis, until: Millis) -> list[Value]:
    """What a field of a component was between the two, one after the other."""
    held, found = machines()[component].state[field], list[Value]()
    for arrival in facts.arrivals:
        if (arrival.component, arrival.field) == (component, field) and arrival.at <= until:
            found += [held] if arrival.at > since else []
            held = arrival.after
    return [*found, held]


def named(firing: Firing) -> str:
    return f"{firing.name} {firing.labels.get('batch', '')}".strip() + f" fired at {firing.began / 1_000:.3f} s"
