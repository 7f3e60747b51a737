"""Who and what is in the local Slack at first: the roles of a trading desk, and everybody who must not decide.

Used by `server.LocalSlack` unless it is told to start empty. Ids are fixed, so that a people file can name them.
"""

from __future__ import annotations

from typing import Any, Final

from bot.sandbox.slack.world import Channel, World

ONCALL: Final = "U0ONCALL"
APPROVER: Final = "U0APPROVER"
SECOND: Final = "U0SECOND"
VIEWER: Final = "U0VIEWER"
NEWCOMER: Final = "U0NEWCOMER"  # a full member whom no people file knows
GUEST: Final = "U0GUEST"
CHANNEL_GUEST: Final = "U0ULTRA"
GONE: Final = "U0GONE"
STRANGER: Final = "U0STRANGER"
OTHER_BOT: Final = "U0OTHERBOT"
OTHER_TEAM: Final = "T0OTHER"

# Channels that the shipped policies write to, and one that the app has not joined.
CHANNELS: Final = {
    "C0OPS": "trading-ops-alerts",
    "C0DATA": "trading-data-alerts",
    "C0QUANT": "quant-emergency",
    "C0SRE": "trading-sre-critical",
}
QUIET: Final = "C0QUIET"


def populate(world: World) -> None:
    """Fill an empty world."""
    members: dict[str, tuple[str, dict[str, Any]]] = {
        ONCALL: ("demo-oncall", {}),
        APPROVER: ("demo-approver", {}),
        SECOND: ("demo-second-approver", {}),
        VIEWER: ("demo-viewer", {}),
        NEWCOMER: ("demo-newcomer", {}),
        GUEST: ("demo-guest", {"restricted": True}),
        CHANNEL_GUEST: ("demo-channel-guest", {"restricted": True, "ultra_restricted": True}),
        GONE: ("demo-former-member", {"deleted": True}),
        STRANGER: ("demo-stranger", {"stranger": True, "team": OTHER_TEAM}),
        OTHER_BOT: ("demo-other-bot", {"bot": True}),
    }
    for user, (name, marks) in members.items():
        world.add_user(name, id=user, email=f"{name}@example.org", **marks)
    everybody = {user for user in members if user != GONE}
    for channel, name in CHANNELS.items():
        world.channels[channel] = Channel(id=channel, name=name, members={world.app.user, *everybody})
    world.channels[QUIET] = Channel(id=QUIET, name="not-joined", members=set(everybody))
    world.add_group("trading-approvers", [APPROVER, SECOND, GUEST], id="S0APPROVE")
    world.add_group("trading-oncall", [ONCALL], id="S0ONCALL")
