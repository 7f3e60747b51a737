"""The contract suite where somebody else acts too, where a trial starts elsewhere, and how its author is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bot.testing import MemoryProcess, MemoryProgram, MemoryRedis
from bot.testing.action_contract import ActionContract, HttpWorld, Trial, broken
from remediations.kit import (
    ActionContext,
    Entry,
    Inspection,
    JsonText,
    NotSent,
    Params,
    Proceed,
    ReadBack,
    Text,
    canonical,
)
from tests.unit.test_action_suite import PATH, SPEC, Hopes, PostsWhileLooking, trial, world

# --- somebody else acts too -----------------------------------------------------------------------------------------

RECONNECT = "/v1/reconnect"


class ReconnectParams(Params):
    """Why."""

    reason: Text


class Reconnect:
    """Drops a session for a new one; the target counts its sessions, and notes who asked."""

    async def seen(self, context: ActionContext) -> dict[str, Any]:
        names = ("generation", "by")
        read = [
            await context.targets.read_field(context.system, context.component, name, context.now) for name in names
        ]
        if any(one.error for one in read):
            raise NotSent("the session cannot be read")
        return {name: one.value for name, one in zip(names, read, strict=True)}

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        before = await self.seen(context)
        return Proceed(canonical(before), canonical({"generation": "a new one"}), arguments)

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        if (await self.seen(context))["generation"] != json.loads(proceed.before)["generation"]:
            raise NotSent("somebody reconnected meanwhile")
        await self.post(context, proceed)

    async def post(self, context: ActionContext, proceed: Proceed) -> None:
        target, body = context.targets.http(context.system, context.component), canonical({"id": context.intent})
        await target.send("POST", RECONNECT, body, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        now = await self.seen(context)
        return ReadBack(canonical(now), True if now["by"] == context.intent else None)


class TakesAnyGeneration(Reconnect):
    """A grown number is taken for its own doing."""

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        now = await self.seen(context)
        grown = now["generation"] > json.loads(proceed.before)["generation"]
        return ReadBack(canonical(now), True if grown else None)


class OverrunsAnybody(Reconnect):
    """Sends on a yes that was given for another session."""

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        await self.post(context, proceed)


def reconnects(action: type[Reconnect], **more: Any) -> Trial:
    """Its trial."""

    def session(state: dict[str, Any], body: dict[str, Any]) -> None:
        state.update(generation=state["generation"] + 1, by=body["id"])

    def made() -> HttpWorld:
        return HttpWorld({"generation": 7, "by": "none"}, {f"POST {RECONNECT}": session}, role="risk")

    spec = replace(SPEC, name="session.reconnect", delivery="once", pins=("generation",))
    entry = Entry(spec, ReconnectParams, action, {"reason": "its sequence is stuck"})
    return Trial(entry=entry, world=made, **more)


async def test_a_once_action_that_knows_its_own_mark_passes() -> None:
    """A pin that is read again before sending, and an effect that names the intent."""
    assert await broken(reconnects(Reconnect)) == {}


async def test_a_yes_for_another_state_is_not_sent_on() -> None:
    """Somebody else reconnected between look and send: the pin moved, so nothing may leave."""
    found = await broken(reconnects(OverrunsAnybody))
    assert list(found) == ["what_changed_meanwhile_is_not_overrun"]
    assert "generation, a pin, is 8.0 and was 7.0" in found["what_changed_meanwhile_is_not_overrun"]


async def test_further_changes_of_somebody_else_are_tried() -> None:
    """What the author names besides: the same rule."""
    changed = {"the session dropped": lambda world: world.state.update(generation=9)}
    assert await broken(reconnects(Reconnect, meanwhile=changed)) == {}
    found = await broken(reconnects(OverrunsAnybody, meanwhile=changed))
    assert "what_changed_meanwhile_is_not_overrun" in found


async def test_somebody_elses_effect_is_claimed_only_with_a_reason() -> None:
    """A lost request, and a colleague who does the same: True needs a word of the author, and not in vain."""
    claim = "what_somebody_else_did_is_not_claimed"
    found = await broken(reconnects(TakesAnyGeneration))
    assert list(found) == [claim]
    assert "somebody else did the same, and the probe claims it" in found[claim]
    assert await broken(reconnects(TakesAnyGeneration, anybodys="a fresh session is all that is wanted")) == {}
    assert "drop anybodys=" in (await broken(reconnects(Reconnect, anybodys="just in case")))[claim]


async def test_figures_are_tried_from_several_starts() -> None:
    """One start proves nothing about arithmetic."""
    assert "give the trial also=" in (await broken(replace(trial(), also=())))["every_start_ends_alike"]


# --- how the author is told -----------------------------------------------------------------------------------------


async def test_a_bug_in_the_world_is_told_as_one() -> None:
    """The author's own route, not the action, is named."""
    routes = {f"POST {PATH}": lambda state, body: state.update(limit=body["nothing"])}
    found = await broken(replace(trial(), world=lambda: HttpWorld({"limit": 9.0}, routes, role="risk")))
    assert (
        "the simulated target failed at 'POST /api/limit' with KeyError('nothing')" in found["one_send_is_one_request"]
    )


async def test_looking_that_acts_is_told_as_that() -> None:
    """Even where afterwards there is nothing to do."""
    found = await broken(trial(action=PostsWhileLooking))
    assert set(found.values()) >= {"inspect sent POST /api/limit; only send may"}


async def test_which_list_lacks_a_refusal_is_told() -> None:
    """The entry's, or the trial's."""
    untried = await broken(replace(trial(), refusals={}))
    assert "names ['the limit is below zero'], and the trial" in untried["refusals_are_as_the_page_says"]
    untold = await broken(replace(trial(refuses={}), refusals={"it rains": world}))
    assert "has a world for ['it rains'], and the entry" in untold["refusals_are_as_the_page_says"]


def test_a_class_without_a_trial_is_told_once() -> None:
    """Where it is written, not in every test of it."""
    with pytest.raises(TypeError, match=r"TestNothing has no trial: write `trial = Trial\(entry=…, world=…\)` into it"):
        type("TestNothing", (ActionContract,), {})


def test_a_red_test_is_one_sentence() -> None:
    """Without the suite's own tracebacks."""
    made = type("TestHopes", (ActionContract,), {"trial": trial(action=Hopes)})()
    with pytest.raises(pytest.fail.Exception) as failed:
        made.test_what_cannot_be_read_is_not_claimed()
    assert failed.value.pytrace is False
    assert str(failed.value).startswith("nothing can be read, and read_back says")


def test_a_twin_has_no_hooks_that_nobody_calls() -> None:
    """A misspelt hook is an error where it is written."""
    for twin, hook in ((MemoryRedis(), "on_expire"), (MemoryProgram([]), "on_start"), (MemoryProcess(), "on_hup")):
        with pytest.raises(AttributeError):
            setattr(twin, hook, print)
