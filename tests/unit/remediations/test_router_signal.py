"""`router.pause_by_signal`: the first SIGHUP pauses; a second one to the same process is a person's to send."""

from __future__ import annotations

from dataclasses import replace

from bot.engine.action_ports import ActionContext, Proceed
from bot.engine.connector_ports import ProcessSeen
from bot.testing import MemoryTargets
from remediations.router_pause_by_signal import RouterPauseBySignal

ARGUMENTS = '{"reason":"model switches 34 a minute"}'
ROUTER = ProcessSeen(4711, 90_000, "model_router --config rules.yml", ("HUP",))
LEFT = '{"command":"model_router --config rules.yml","pid":4711,"started":90000}'


def desk(left: str = "{}") -> tuple[ActionContext, MemoryTargets]:
    targets = MemoryTargets()
    targets.add_process("trading-core", "router").running = ROUTER
    return ActionContext(system="trading-core", component="router", targets=targets, now=0, left=left), targets


async def proceeds(context: ActionContext) -> Proceed:
    found = await RouterPauseBySignal().inspect(context, ARGUMENTS)
    assert isinstance(found, Proceed)
    return found


async def test_what_was_left_paused_by_a_signal_is_not_signalled_again_unasked() -> None:
    """The next episode finds the very process that Andon left; another pid or a later start is another router."""
    assert (await proceeds(desk()[0])).ask == ""
    assert "Andon has sent SIGHUP to process 4711 before" in (await proceeds(desk(LEFT)[0])).ask
    for other in (LEFT.replace("4711", "4712"), LEFT.replace("90000", "80000")):
        assert (await proceeds(desk(other)[0])).ask == ""


async def test_a_signal_of_this_very_andon_is_remembered_where_nothing_was_left() -> None:
    """No lease carries it into the next episode: the target itself knows whom it signalled."""
    context, targets = desk()
    found = await proceeds(context)
    await RouterPauseBySignal().send(context, found)
    assert (await RouterPauseBySignal().read_back(context, found)).after == LEFT
    assert "a second one may let it go on" in (await proceeds(context)).ask
    targets.process("trading-core", "router").running = replace(ROUTER, started=95_000)
    assert (await proceeds(context)).ask == ""
