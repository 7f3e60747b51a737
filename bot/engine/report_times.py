"""How long each episode took to be acknowledged, mitigated and resolved, against the policy's target. Pure.

Part of `bot.engine.report`. An episode begins with the first alert, or with the order that opened the incident; an
alert that comes back inside the hold joins it, and takes back that it had recovered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.core.words import Millis
from bot.engine.report_chain import Link
from bot.engine.report_form import EpisodeTimes, Verdict
from bot.engine.report_words import Json, who_did

_NEW_EPISODE: Final = re.compile(r"episode (\d+) begins")  # as `bot.core.incident_alerts` decides


@dataclass(slots=True)
class _Episode:
    """What is known of an episode while the chain is read."""

    number: int
    began_at: Millis
    acknowledged_by: str = ""
    reached: dict[str, Millis] = field(default_factory=dict)  # acknowledged, mitigated, resolved -> when


def episodes(links: Sequence[Link], target: Millis, now: Millis) -> Iterator[EpisodeTimes]:
    """One after another, as the chain tells them. `target` 0: the policy has none."""
    found: list[_Episode] = []
    before = ""
    for link in links:
        for line in link.events:
            if line.get("decision") == "applied":
                _follow(found, line, link.at, before)
        if found and link.state in ("mitigated", "resolved") and link.state != before:
            found[-1].reached.setdefault(link.state, link.at)
        before = link.state or before
    for episode in found:
        last = episode is found[-1]
        yield _times(episode, target, now if last else None)


def _follow(episodes: list[_Episode], line: Json, at: Millis, before: str) -> None:
    """What one applied event does to the episodes so far."""
    event, why = line.get("event") or {}, str(line.get("why", ""))
    kind, begins = event.get("kind"), _NEW_EPISODE.match(why)
    if kind in ("alert_fired", "step_ordered") and (not episodes or begins):
        episodes.append(_Episode(int(begins[1]) if begins else 1, at))
        _acknowledged(episodes[-1], str(event.get("acknowledged_by") or ""), at)
    elif kind == "alert_fired" and before == "resolved":  # a relapse inside the hold: it had not recovered
        episodes[-1].reached.pop("mitigated", None)
        episodes[-1].reached.pop("resolved", None)
    elif episodes and kind in ("operator_acked", "operator_took"):
        _acknowledged(episodes[-1], who_did(event), at)


def _acknowledged(episode: _Episode, who: str, at: Millis) -> None:
    if who and not episode.acknowledged_by:
        episode.acknowledged_by = who
        episode.reached["acknowledged"] = at


def _times(episode: _Episode, target: Millis, now: Millis | None) -> EpisodeTimes:
    """`now` for the episode that may still run; None for one that another has followed."""
    took = {name: at - episode.began_at for name, at in episode.reached.items()}
    recovered = min((took[name] for name in ("mitigated", "resolved") if name in took), default=None)
    so_far = recovered if recovered is not None else (now - episode.began_at if now is not None else None)
    verdict: Verdict = "no target"
    if target:
        over = so_far is None or so_far > target
        verdict = "missed" if over else "met" if recovered is not None else "running"
    return EpisodeTimes(
        number=episode.number,
        began_at=episode.began_at,
        acknowledged_by=episode.acknowledged_by,
        to_acknowledge=took.get("acknowledged"),
        to_mitigate=took.get("mitigated"),
        to_resolve=took.get("resolved"),
        to_recover=recovered,
        target=target,
        verdict=verdict,
        difference=abs(target - so_far) if target and so_far is not None else 0,
    )
