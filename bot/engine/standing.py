"""What the Alertmanagers' own lists prove about an alert, and what they do not (law 13). Pure.

`bot.engine.antientropy` takes the views and acts on these judgements. Absence counts only where it means something: in
every configured Alertmanager, each of which answers, has run long enough to have been told everything again (it keeps
no alerts over a restart), and is being told something now. Presence counts anywhere, also silenced or inhibited.
What none of them ever listed came from somewhere else, and that they do not list it says nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

from bot.core.alert import Alert
from bot.core.words import Millis
from handlers.alertmanager_api import HeldAlert

MAX_LISTED: Final = 50_000  # fingerprints remembered, some 5 MB; more than two of the largest answers hold

Kind: TypeAlias = Literal["firing", "silenced", "gone", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One Alertmanager's answer. Times are measured by its own clock: `uptime_ms`, and `fed_ms` since any alert of its
    was last told to it (None: it holds none). `unread`: fingerprints it lists of alerts that cannot be read."""

    held: Mapping[str, HeldAlert]  # by fingerprint
    uptime_ms: Millis
    fed_ms: Millis | None
    unread: frozenset[str] = frozenset()


class AlertSource(Protocol):
    """An Alertmanager that can be asked. `receiver` is ours in its configuration, or "" where that is not said."""

    @property
    def name(self) -> str: ...

    @property
    def receiver(self) -> str: ...

    @property
    def every_ms(self) -> Millis: ...

    async def look(self) -> View:
        """What it holds now; bounded in time. Raises SourceError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """One look at all of them: the answers, and who did not answer and why, by name."""

    views: Mapping[str, View]
    away: Mapping[str, str] = field(default_factory=dict)

    def held(self, fingerprint: str) -> list[HeldAlert]:
        """The alert, wherever it is still there."""
        return [view.held[fingerprint] for view in self.views.values() if fingerprint in view.held]

    def lists(self, fingerprint: str) -> bool:
        """Whether the alert is anywhere, in a form that can be read or not."""
        return any(fingerprint in view.held or fingerprint in view.unread for view in self.views.values())


class Listed:
    """What the Alertmanagers that are asked can be expected to list: only what belongs there can be missing.

    That is an alert one of them has listed, or one made by a Prometheus whose other alerts they list: it tells all of
    its Alertmanagers everything. Its generatorURL names it, so each Prometheus needs an external URL of its own. In
    memory: after a restart the first look finds it again by whatever still fires, a Watchdog at least.
    """

    def __init__(self) -> None:
        self._known: dict[str, None] = {}  # fingerprints and generators, listed longest ago first

    def note(self, looks: Looks) -> None:
        """These were listed just now."""
        for view in looks.views.values():
            generators = {_generator(held.alert) for held in view.held.values()} - {""}
            for name in (*view.held, *view.unread, *generators):
                self._known.pop(name, None)
                self._known[name] = None
        while len(self._known) > MAX_LISTED:
            del self._known[next(iter(self._known))]

    def __contains__(self, alert: object) -> bool:
        return isinstance(alert, Alert) and (alert.fingerprint in self._known or _generator(alert) in self._known)


def _generator(alert: Alert) -> str:
    """The Prometheus that made it, as an address without the rule's expression; "" where that is not told."""
    return alert.generator_url.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Standing:
    """How an incident's alerts stand right now.

    `gone` is proved absence. `unknown` proves nothing either way (nobody to ask, no answer, an Alertmanager that just
    restarted): it is no reason to stop, and none to believe that the trouble is over.
    """

    kind: Kind
    why: str


def doubt(name: str, view: View, *, settle_ms: Millis, fed_within_ms: Millis) -> str:
    """Why nothing follows from what this Alertmanager does not list; "" when its silence may be believed."""
    if view.uptime_ms < settle_ms:
        return (
            f"Alertmanager {name} runs for {view.uptime_ms // 1000} s only and keeps no alerts over a restart "
            f"(believed after {settle_ms // 1000} s)"
        )
    if view.fed_ms is None:
        return f"Alertmanager {name} holds no alert at all, not even a Watchdog, so nobody may be telling it anything"
    if view.fed_ms > fed_within_ms:
        return f"nobody has told Alertmanager {name} anything for {view.fed_ms // 1000} s"
    return ""


def doubts(looks: Looks, *, settle_ms: Millis, fed_within_ms: Millis) -> dict[str, str]:
    """By name, why an absence proves nothing; empty when it does."""
    found = {name: f"Alertmanager {name} does not answer: {why}" for name, why in looks.away.items()}
    for name, view in looks.views.items():
        why = doubt(name, view, settle_ms=settle_ms, fed_within_ms=fed_within_ms)
        if why:
            found[name] = why
    return found


def judge(alerts: Sequence[Alert], looks: Looks, doubted: Mapping[str, str], listed: Container[Alert]) -> Standing:
    """How these alerts of Alertmanager's stand. One that fires outweighs all others, then one that is silenced.

    `listed`: those that these Alertmanagers can be expected to list.
    """
    names = _names(alerts)
    silenced: list[str] = []
    present = False
    for alert in alerts:
        for held in looks.held(alert.fingerprint):
            present = True
            if not held.muted_by:
                return Standing("firing", f"{alert.name} still fires in Alertmanager")
            silenced.append(f"{alert.name} still fires, muted by {held.muted_by} in Alertmanager")
    if present:
        return Standing("silenced", silenced[0])
    unread = [alert for alert in alerts if looks.lists(alert.fingerprint)]
    if unread:
        return Standing("unknown", f"{_names(unread)} is listed by an Alertmanager in a form that cannot be read")
    if doubted:
        return Standing("unknown", f"nothing shows that {names} is over: {next(iter(doubted.values()))}")
    foreign = [alert for alert in alerts if alert not in listed]
    if foreign:
        return Standing("unknown", f"no Alertmanager that Andon asks ever listed {_names(foreign)}")
    return Standing("gone", f"no Alertmanager lists {names} any more")


def _names(alerts: Iterable[Alert]) -> str:
    return ", ".join(sorted({alert.name for alert in alerts})[:5])
