"""Laws about where it all ends: accepted alerts, parked incidents, poison, rest, pages.

Each takes the run's `Facts` and yields a sentence for each breach. Called by `oracle`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from bot.core.incident import Incident
from bot.core.words import AggregateId
from tests.simulation.facts import Facts
from tests.simulation.senders import Firing
from tests.simulation.world import EPOCH

if TYPE_CHECKING:
    from tests.simulation.floor import Paged

PROMPT_MS: Final = 2_000  # from an accepted webhook to the chain, where nothing is wrong
RESTING: Final = frozenset({"closed", "resolved", "parked", "awaiting_approval"})
AWAY: Final = "Andon was away"  # how the chain begins to say that people have two minutes
MAX_OPENED: Final = 8  # pages that one firing, order or click may open, ladder and calls anew together
MAX_HEARD: Final = 5  # times that the pager is told of one page, and says that it has it: kills may come in between
MAX_SAME: Final = 12  # times that it is told of one page in a short while, answered or not
SHORT_MS: Final = 10_000


def accounted(facts: Facts) -> Iterator[str]:
    """Each firing that was answered 2xx stands in some chain, itself or a newer one of the same alert."""
    newest: dict[str, int] = {}
    known: dict[tuple[str, int], int] = {}  # since when a firing is
    for line in facts.lines:
        if line.kind in ("alert_fired", "alert_resolved"):  # a newer end makes an older beginning stale
            alert = line.event["alert"]
            newest[alert["fingerprint"]] = max(newest.get(alert["fingerprint"], 0), alert["starts_at"])
            firing_of, at = (alert["fingerprint"], alert["starts_at"]), line.at - EPOCH
            known[firing_of] = min(known.get(firing_of, at), at)
    for firing in facts.firings:
        if firing.accepted is None or _is_unheard(firing) or facts.forgot(firing.accepted):
            continue
        if newest.get(firing.fingerprint, 0) < firing.starts_at:
            yield f"{_named(firing)} was accepted at {firing.accepted / 1_000:.3f} s, and no chain knows it"
        elif facts.is_calm(firing.accepted, firing.accepted + PROMPT_MS):
            late = known.get((firing.fingerprint, firing.starts_at), 0) - firing.accepted
            if late > PROMPT_MS:
                yield f"{_named(firing)} was accepted at {firing.accepted / 1_000:.3f} s, and folded {late} ms later"


def _is_unheard(firing: Firing) -> bool:
    """Nothing matches it, and it is too mild for the catch-all."""
    return firing.name == "Unheard" and firing.labels["severity"] == "info"


def told(facts: Facts) -> Iterator[str]:
    """Who is waited for knows it: a page for what is parked or asked, unless people have had their hands on it."""
    paged = {page.incident for page in facts.paged if page.kind == "page"}
    touched = {
        d.to for d in facts.deeds if d.verb in ("ack", "take", "deny", "resolve", "run") and d.answer != "denied"
    }
    for name, incident in facts.incidents.items():
        waits = incident.status in ("parked", "awaiting_approval")
        quiet = incident.acknowledged_by or incident.severity != "critical"
        if waits and not quiet and name not in paged and not {name, incident.parent} & touched:
            yield f"{name} is {incident.status} ({incident.why[:120]}), and nobody was paged"
    yield from _parked(facts, paged, touched)
    for firing in facts.firings:
        if firing.name != "Unheard" or _is_unheard(firing):
            continue
        if firing.accepted is not None and not facts.forgot(firing.accepted) and not _caught(facts, firing):
            yield f"{_named(firing)} matches nothing and is critical, and nobody was paged"


def _parked(facts: Facts, paged: set[AggregateId], touched: set[AggregateId]) -> Iterator[str]:
    """Also of what has ended since: whenever it was parked, somebody was called."""
    for at, name in facts.parked:
        incident = facts.incidents.get(name)
        if incident is None or name in paged or facts.forgot(at) or {name, incident.parent} & touched:
            continue
        if not incident.acknowledged_by and incident.severity == "critical":
            yield f"{name} ({_policy(incident)}) was parked at {at / 1_000:.3f} s, and nobody was paged"


def _caught(facts: Facts, firing: Firing) -> bool:
    """Whether somebody was paged about it: then, as a relapse, or before by a page that was open when it began."""
    for page in facts.paged:
        if page.kind != "page" or not (firing.name in page.summary or page.summary.startswith("catch-all:")):
            continue
        back = (p.at for p in facts.paged if p.kind == "resolve" and p.key == page.key and p.at >= page.at)
        if page.at >= firing.began or min(back, default=facts.now) >= firing.began:
            return True
    return False


def poison(facts: Facts) -> Iterator[str]:
    """What cannot be read is set aside, and somebody is paged."""
    planted = [at for at in facts.poisoned if not facts.forgot(at)]
    pages = {page.key for page in facts.paged if page.kind == "page" and ":dead-letter:" in page.key}
    if len(facts.dead) < len(planted):
        yield f"{len(planted)} entries were planted, and {len(facts.dead)} are set aside"
    if planted and not pages:  # one page stands for a minute's letters
        yield f"{len(planted)} entries were planted, and nobody was paged"
    strange = [reason for _, reason in facts.dead if "seal" not in reason]
    if strange:
        yield f"something of Andon's own was set aside: {strange[0]}"


def at_rest(facts: Facts) -> Iterator[str]:
    """Soon after the trouble is over, everything has ended or waits for a person."""
    for name, incident in sorted(facts.incidents.items()):
        if incident.status not in RESTING and not _watches(incident) and not _has_window(facts, incident):
            yield f"{name} ({_policy(incident)}) is still {incident.status}: {incident.why[:160]}"
    if facts.left != (0, 0):
        yield f"{facts.left[0]} entries are left in the inbox, {facts.left[1]} effects in the outbox"


def _watches(incident: Incident) -> bool:
    """The plan is done, and its alert still fires: it waits for that to end, or for its patience to."""
    return incident.status == "mitigated" and bool(incident.firing) and "patience" in incident.timers


def _has_window(facts: Facts, incident: Incident) -> bool:
    """Andon was away, or a clock said so: people were called, and have a window before the plan goes on (law 9)."""
    called = any(page.kind == "page" and page.incident == incident.id for page in facts.paged)
    away = any(line.aggregate == incident.id and line.why.startswith(AWAY) for line in facts.lines)
    return incident.status == "open" and called and away and "retry" in incident.timers


def _policy(incident: Incident) -> AggregateId:
    return incident.plan.policy if incident.plan is not None else "never opened"


def no_storm(facts: Facts) -> Iterator[str]:
    """Pages are few: for each thing that happened, a handful; and one page is not told again and again.

    What was not answered must be told again, be it the page to the pager, or to the outbox (whose copy is one more).
    """
    happened = len(facts.firings) + len(facts.deeds) + len(facts.poisoned) + 1
    opened = [page for page in facts.paged if page.kind == "page" and page.opened]
    if len(opened) > MAX_OPENED * happened:
        yield f"{len(opened)} pages for {happened} things that happened"
    told: dict[str, list[Paged]] = defaultdict(list)
    for page in facts.paged:
        if page.kind == "page":
            told[page.key].append(page)
    for key, pages in told.items():
        copies = sum(facts.unheard.get(f"commit {effect}", 0) for effect in {page.effect for page in pages})
        heard = len(pages) - facts.unheard.get(f"page {key}", 0)
        if heard > MAX_HEARD + copies:
            yield f"the pager was told {len(pages)} times of {key}, and answered {heard} times"
        most = max(sum(0 <= other.at - page.at < SHORT_MS for other in pages) for page in pages)
        if most > MAX_SAME + copies:
            yield f"the pager was told {most} times of {key} within {SHORT_MS / 1_000:g} s"


def _named(firing: Firing) -> str:
    return f"{firing.name} {firing.labels.get('batch', '')}".strip() + f" ({firing.fingerprint} at {firing.starts_at})"
