"""Routing: every alert of a webhook lands in exactly one shard, by the first route that takes it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.core.alert import Alert
from handlers.alertmanager import Webhook
from handlers.routing import UNROUTED, Route, split

RISK = Route(system="risk", matches=lambda labels: labels.get("team") == "risk")
CORE = Route(system="core", receiver="core")
CORE_RISK = Route(system="core-risk", receiver="core", matches=lambda labels: labels.get("team") == "risk")


def webhook(*teams: str, receiver: str = "core", truncated: int = 0) -> Webhook:
    alerts = tuple(
        Alert(fingerprint=str(n), status="firing", labels={"team": team}, starts_at=n) for n, team in enumerate(teams)
    )
    return Webhook(id="am-1", receiver=receiver, group_key="g", alerts=alerts, truncated=truncated)


def test_the_first_route_that_takes_an_alert_has_it() -> None:
    """Order decides, for the receiver as for the labels."""
    found = split(webhook("risk", "desk"), [CORE_RISK, CORE, RISK], 5)
    assert {shard: [a.fingerprint for a in entry.alerts] for shard, entry in found.items()} == {
        "core-risk": ["0"],
        "core": ["1"],
    }
    assert list(split(webhook("risk"), [CORE, CORE_RISK], 5)) == ["core"]


def test_what_no_route_takes_is_unrouted() -> None:
    """Nothing is dropped: there is a shard for it."""
    assert list(split(webhook("desk"), [], 5)) == [UNROUTED]
    assert list(split(webhook("desk", receiver="other"), [CORE, RISK], 5)) == [UNROUTED]


def test_every_entry_tells_what_the_webhook_told() -> None:
    """Receiver, time, and that alerts were cut off; ids repeat for the same body and differ between shards."""
    found = split(webhook("risk", "desk", truncated=3), [CORE_RISK, CORE], 5)
    again = split(webhook("risk", "desk", truncated=3), [CORE_RISK, CORE], 9)
    assert {entry.truncated for entry in found.values()} == {3}
    assert {(entry.receiver, entry.at, entry.source) for entry in found.values()} == {("core", 5, "alertmanager")}
    assert [entry.id for entry in found.values()] == [entry.id for entry in again.values()]
    assert len({entry.id for entry in found.values()}) == 2


def test_a_webhook_without_alerts_is_no_entry() -> None:
    """There is nothing to keep."""
    assert split(webhook(), [CORE], 5) == {}


@given(
    st.lists(st.sampled_from(["risk", "desk", "x"]), max_size=20),
    st.permutations([CORE_RISK, RISK, CORE]),
    st.booleans(),
)
def test_no_alert_is_lost_or_doubled(teams: list[str], routes: list[Route], known: bool) -> None:
    """Whatever the routes, the shards together hold exactly the webhook's alerts, each shard in their order."""
    found = split(webhook(*teams, receiver="core" if known else "other"), routes, 1)
    spread = [int(a.fingerprint) for entry in found.values() for a in entry.alerts]
    assert sorted(spread) == list(range(len(teams)))
    assert all([a.starts_at for a in e.alerts] == sorted(a.starts_at for a in e.alerts) for e in found.values())
