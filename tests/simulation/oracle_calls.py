"""The laws that people are called, told and left in peace again: an Andon without a ladder or a voice keeps all others.

    a rung's time has come while its alert fires on          its service has been paged by `PROMPT_MS` later
    the halt's has, and VaR is still high                    somebody has been paged to decide on it
    what was done under a lease has outlived it              somebody has been paged to decide whether to take it back
    the Watchdog has been silent for longer than it may      somebody has been paged about that
    an incident opens                                        chat has been told
    an incident is over                                      none of its pages is open any more

As in `oracle_due`, that is demanded where it is certain: nothing has been wrong since the run began, and no hand was
on what it is about. Called by `oracle`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET, Millis
from tests.simulation.components import KELLY
from tests.simulation.facts import Facts
from tests.simulation.oracle_due import BREACH, PROMPT_MS, calls, fires_on, is_first, named, values
from tests.simulation.oracle_sends import batch_of
from tests.simulation.oracle_votes import FLATTEN, PAUSE
from tests.simulation.senders import Firing
from tests.simulation.world import EPOCH

if TYPE_CHECKING:
    from tests.simulation.floor import Paged

CALM: Final = 1.6  # below this var-breach is mitigated
RUNGS: Final[dict[str, tuple[tuple[Millis, str], ...]]] = {  # by alert: after how long, which service
    "VaRBreach": ((10_000, "pm"), (16_000, "cro")),
    "RunawayOrders": ((9_000, "cro"),),
    "PeopleOnly": ((6_000, "lead"), (12_000, "head")),
}
HALT_MS: Final[Millis] = 16_000  # the rung that would halt trading
LEASE_MS: Final[Millis] = 10_000  # of a pause
SILENCE_MS: Final[Millis] = 12_000  # what the Watchdog may be silent
BATCHED: Final = ("RunawayOrders", "Unhedged", "StuckGate", "OnlyWatched")  # each batch is an incident
AUTOMATION: Final = ("freeze", "disarm", "run")  # what may keep a step from being asked about


def called(facts: Facts) -> Iterator[str]:
    """Rungs, the halt's question, leases and silence: see the module."""
    for firing in facts.firings:
        if is_first(facts, firing, firing.name in BATCHED):
            yield from _climbed(facts, firing)
            yield from _halt_asked(facts, firing)
    yield from _leases(facts)
    yield from _silence(facts)


def _climbed(facts: Facts, firing: Firing) -> Iterator[str]:
    for after, service in RUNGS.get(firing.name, ()):
        until = firing.began + after + PROMPT_MS
        if not _is_left_alone(facts, firing, until) or _is_mitigated(facts, firing, service, until):
            continue
        if not any(page.service == service for page in calls(facts, firing, until)):
            yield f"{named(firing)} and fired on, and {service} was not paged by {until / 1_000:.3f} s"


def _halt_asked(facts: Facts, firing: Firing) -> Iterator[str]:
    due = firing.began + HALT_MS
    until = due + PROMPT_MS
    if firing.name != "VaRBreach" or not _is_left_alone(facts, firing, until) or _is_hindered(facts, until):
        return
    on = values(facts, "risk-engine", "trading", firing.began, until) == ["on"]
    if on and _var(facts, firing.began, until) > BREACH and not _asked(facts, "trading.halt", due, until):
        yield f"{named(firing)}, VaR stayed high, and nobody was asked to halt by {until / 1_000:.3f} s"


def _leases(facts: Facts) -> Iterator[str]:
    """The first pause of a run is asked about when its lease is over, if nobody has touched the router since."""
    pauses = [send for send in facts.sends() if (send.component, send.request) == ("model-router", PAUSE)]
    for pause in pauses[:1]:
        due = pause.at + LEASE_MS
        until = due + PROMPT_MS
        others = (a for a in facts.arrivals if a.component == "model-router" and a.field == "router" and a is not pause)
        calm = until < facts.now and facts.is_calm(0, until) and not _is_hindered(facts, until)
        if calm and not any(other.at <= until for other in others) and not _asked(facts, "router.resume", due, until):
            yield f"the router was paused at {pause.at / 1_000:.3f} s, and its lease was never asked about"


def _silence(facts: Facts) -> Iterator[str]:
    for sign, following in zip(facts.signs, (*facts.signs[1:], facts.now), strict=False):
        due = sign + SILENCE_MS
        until = due + PROMPT_MS
        if until >= min(following, facts.now) or not facts.is_calm(0, until):
            continue
        if not any("AndonSourceSilent" in page.summary for page in _pages(facts, sign, until)):
            yield f"no sign of life came after {sign / 1_000:.3f} s, and nobody was paged by {until / 1_000:.3f} s"


def told(facts: Facts) -> Iterator[str]:
    """Chat hears of an incident as it opens. A chain's own time counts for that, so clocks must have been right."""
    if facts.offsets:
        return
    heard = {incident: at for at, incident, topic in reversed(facts.posted) if topic == "opened"}
    for line in facts.lines:
        if line.kind != "alert_fired" or not line.why.startswith("opened"):
            continue
        until = line.at - EPOCH + PROMPT_MS
        if facts.is_calm(0, until) and heard.get(line.aggregate, until + 1) > until:
            yield f"{line.aggregate} was {line.why}, and chat was not told by {until / 1_000:.3f} s"


def taken_back(facts: Facts) -> Iterator[str]:
    """At the end, no page is open of an incident that is over, or of a freeze, a lease or a spent budget that is.

    But for one that was taken back, and whose request came to the pager after that: its sender had long given it up and
    said it anew, and nobody is told that it came.
    """
    if facts.forgotten:
        return
    open_: dict[str, Paged] = {}
    back = set[str]()
    for page in facts.paged:
        if page.kind != "page":
            open_.pop(page.key, None)
            back.add(page.key)
        elif page.key not in back or _is_heard(facts, page):
            open_.setdefault(page.key, page)
    for key, page in open_.items():
        incident = facts.incidents.get(page.incident) if key.startswith(page.incident) else None
        if incident is not None and incident.status in ("resolved", "closed"):
            yield f"{page.incident} is {incident.status}, and its page {key} is still open"
    for target in facts.targets.values():
        component = "" if target.id == SYSTEM_TARGET else f"{target.id.removeprefix('target:')}:"
        mine = f"{target.system}:{component}"
        names = [key.removeprefix(mine) for key in open_ if key.startswith(mine)]
        for name in names:
            if name.startswith(("freeze:", "lease:", "automation-tripped:")) and not _stands(target, name):
                yield f"{target.id}: what was paged as {name} is over, and the page is still open"


def _is_heard(facts: Facts, page: Paged) -> bool:
    """Whether Andon had the pager's answer to this one, or an answer since; a clock that was off tells nothing."""
    lines = (line for line in facts.lines if line.kind == "message_delivered" and line.event.get("page") == page.key)
    return not facts.offsets and any(line.at - EPOCH >= page.at for line in lines)


def _stands(target: Target, name: str) -> bool:
    """Whether what a target paged about itself is so still. The names end with when it began."""
    what, since = name.rsplit(":", 1)
    if what == "freeze":
        return target.freeze is not None and target.freeze.since == int(since)
    if what == "automation-tripped":
        return target.tripped_at == int(since)
    lease = target.leases.get(what.removeprefix("lease:"))
    return lease is not None and lease.since == int(since) and lease.asked > 0


# --- what is certain ---------------------------------------------------------------------------------------------


def _is_left_alone(facts: Facts, firing: Firing, until: Millis) -> bool:
    """Whether it fires on, nothing was wrong, and nobody had a hand on any incident since it began."""
    hands = ("ack", "take", "hold", "resolve")
    touched = any(deed.verb in hands and firing.began <= deed.at <= until for deed in facts.deeds)
    return fires_on(facts, firing, until) and facts.is_calm(0, until) and not touched


def _is_hindered(facts: Facts, until: Millis) -> bool:
    """Whether somebody froze, disarmed or ordered anything by then."""
    return any(deed.verb in AUTOMATION and deed.at <= until for deed in facts.deeds)


def _is_mitigated(facts: Facts, firing: Firing, service: str, until: Millis) -> bool:
    """Whether the plan may have come to its end by then, which ends this rung."""
    if firing.name == "VaRBreach":
        return service == "pm" and _var(facts, firing.began, until) <= CALM
    if firing.name != "RunawayOrders":
        return False
    flattened = any(
        s.request == FLATTEN and s.at <= until and batch_of(s) == firing.labels["batch"] for s in facts.sends()
    )
    return flattened or 0.0 in values(facts, "order-book", "open_orders", firing.began, until)


def _var(facts: Facts, since: Millis, until: Millis) -> float:
    """The lowest that VaR was between the two, by the engine's own figures."""
    kelly = min(map(float, values(facts, "risk-engine", "kelly_fraction", since, until)))
    return min(map(float, values(facts, "risk-engine", "stress", since, until))) * kelly / KELLY


def _pages(facts: Facts, since: Millis, until: Millis) -> Iterator[Paged]:
    return (page for page in facts.paged if page.kind == "page" and since <= page.at <= until)


def _asked(facts: Facts, action: str, since: Millis, until: Millis) -> bool:
    return any(action in page.summary for page in _pages(facts, since, until))
