"""The contract suite itself: a sound action passes, and each way of breaking one is found by the check for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import pytest

from bot.testing.action_contract import CHECKS, ActionContract, HttpWorld, Trial, broken
from remediations.kit import (
    ActionContext,
    ActionSpec,
    AlreadySo,
    CannotTell,
    Entry,
    Field,
    Inspection,
    JsonText,
    NotSent,
    Params,
    Proceed,
    ReadBack,
    Rejected,
    Text,
    Unfit,
    Unknown,
    canonical,
    parse,
)

PATH = "/api/limit"


class LimitParams(Params):
    """The ceiling, and why."""

    limit: Annotated[float, Field(ge=0, le=100)]
    reason: Text


class Sound:
    """Lowers a limit to a ceiling, as it should be done."""

    async def current(self, context: ActionContext) -> float | CannotTell:
        reading = await context.targets.read_field(context.system, context.component, "limit", context.now)
        if reading.error or not isinstance(reading.value, float):
            return CannotTell(f"the limit cannot be read: {reading.error}")
        return reading.value

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        asked = parse(LimitParams, arguments)
        now = await self.current(context)
        if isinstance(now, CannotTell):
            return now
        before = canonical({"limit": now})
        if now < 0:
            return Unfit(f"the limit is {now:g}, which is no limit", before)
        if now <= asked.limit:
            return AlreadySo(before, f"the limit is {now:g} already")
        return Proceed(before=before, wanted=canonical({"limit": asked.limit}), arguments=canonical(asked.model_dump()))

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        now = await self.current(context)
        if isinstance(now, CannotTell):
            raise NotSent(now.why)
        if now <= parse(LimitParams, proceed.arguments).limit:
            raise NotSent(f"the limit fell to {now:g} meanwhile")
        await self.post(context, proceed.arguments)

    async def post(self, context: ActionContext, body: JsonText) -> None:
        target = context.targets.http(context.system, context.component)
        await target.send("POST", PATH, body, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        now = await self.current(context)
        if isinstance(now, CannotTell):
            return ReadBack("{}", None, now.why)
        return ReadBack(canonical({"limit": now}), now <= parse(LimitParams, proceed.arguments).limit)


SPEC = ActionSpec(
    name="limit.lower", summary="Lower the limit to a ceiling.", delivery="absolute", risk="safe", direction="lowers",
    role="risk", pins=("limit",),
)  # fmt: skip
ENTRY = Entry(
    spec=SPEC,
    params=LimitParams,
    action=Sound,
    example={"limit": 5.0, "reason": "too many losses"},
    refuses={"the limit is below zero": "the limit is -1, which is no limit"},
)


def world(limit: float = 9.0) -> HttpWorld:
    routes = {f"POST {PATH}": lambda state, body: state.update(limit=body["limit"])}
    return HttpWorld({"limit": limit}, routes, role="risk")


def trial(**changes: Any) -> Trial:
    """The sound action's trial, its entry changed."""
    entry = replace(ENTRY, **changes)
    refusals = {name: lambda: world(-1.0) for name in entry.refuses}
    return Trial(entry=entry, world=world, refusals=refusals, also=(lambda: world(100.0), lambda: world(5.0)))


class TestTheSoundAction(ActionContract):
    """Somebody else's test file looks like this."""

    trial: ClassVar[Trial] = trial()


def test_the_class_to_inherit_has_every_check() -> None:
    """A check that is in the list and not in the class would be missed by everybody outside this repository."""
    assert {name for name in vars(ActionContract) if name.startswith("test_")} == {f"test_{c.__name__}" for c in CHECKS}


# --- broken on purpose ----------------------------------------------------------------------------------------------


class ActsWhileLooking(Sound):
    """Sends from inspect."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        found = await super().inspect(context, arguments)
        if isinstance(found, Proceed):
            await self.post(context, found.arguments)
        return found


class ActsWhileVerifying(Sound):
    """Sends once more from read_back."""

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        await self.post(context, proceed.arguments)
        return await super().read_back(context, proceed)


class RetriesByItself(Sound):
    """Repeats an unanswered request."""

    async def post(self, context: ActionContext, body: JsonText) -> None:
        try:
            await super().post(context, body)
        except Unknown:
            await super().post(context, body)


class SwallowsSilence(Sound):
    """Takes no answer for success."""

    async def post(self, context: ActionContext, body: JsonText) -> None:
        try:
            await super().post(context, body)
        except Unknown:
            return


class SwallowsRefusals(Sound):
    """Takes a refusal for success."""

    async def post(self, context: ActionContext, body: JsonText) -> None:
        try:
            await super().post(context, body)
        except Rejected:
            return


class CallsSilenceUnsent(Sound):
    """Says that nothing left when nobody knows."""

    async def post(self, context: ActionContext, body: JsonText) -> None:
        try:
            await super().post(context, body)
        except Unknown as error:
            raise NotSent(str(error)) from error


class Hopes(Sound):
    """Says that it is as wanted without looking."""

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        return ReadBack("{}", True)


class Denies(Sound):
    """Says no where it could not look."""

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        seen = await super().read_back(context, proceed)
        return ReadBack(seen.after, bool(seen.as_wanted))


class Remembers(Sound):
    """Verifies by `wanted`, which is not there any more after a restart."""

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        seen = await super().read_back(context, proceed)
        return seen if seen.as_wanted is None else ReadBack(seen.after, seen.after == proceed.wanted)


class SendsBlindly(Sound):
    """Does not read again before sending."""

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        await self.post(context, proceed.arguments)


class Halves(Sound):
    """A change instead of a state: what it sends depends on when it is sent."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        now = await self.current(context)
        if isinstance(now, CannotTell):
            return now
        asked = parse(LimitParams, arguments)
        half = canonical({"limit": now / 2, "reason": asked.reason})
        return Proceed(before=canonical({"limit": now}), wanted=canonical({"limit": now / 2}), arguments=half)


class ForgetsItsKey(Sound):
    """Makes up a key of its own."""

    async def post(self, context: ActionContext, body: JsonText) -> None:
        target = context.targets.http(context.system, context.component)
        await target.send("POST", PATH, body, idempotency_key="1", fence=context.fence)


class Sprawls(Sound):
    """JSON as it comes, and without its pin."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        found = await super().inspect(context, arguments)
        return replace(found, before='{"l": 1}') if isinstance(found, Proceed) else found


class ActsAnywhere(Sound):
    """Goes on where it could not read."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        found = await super().inspect(context, arguments)
        if isinstance(found, CannotTell):
            return Proceed(before='{"limit":9.0}', wanted='{"limit":5.0}', arguments=arguments)
        return found


class Gushes(Sound):
    """Puts an endless text on the card."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        found = await super().inspect(context, arguments)
        return replace(found, ask="why? " * 10_000) if isinstance(found, Proceed) else found


class Stumbles(Sound):
    """Has an ordinary bug."""

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        return ReadBack("{}", {}["after"])


class Subtracts(Sound):
    """Computes from what it finds, and is right from the first start by chance."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        found = await super().inspect(context, arguments)
        if not isinstance(found, Proceed):
            return found
        now, asked = json.loads(found.before)["limit"], parse(LimitParams, arguments)
        less = {"limit": 5.0 if now == 9.0 else max(0.0, now - 96.0)}
        return replace(found, wanted=canonical(less), arguments=canonical(less | {"reason": asked.reason}))


class PostsWhileLooking(Sound):
    """Changes the target in inspect, and then finds nothing to do."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        await self.post(context, arguments)
        return await super().inspect(context, arguments)


class Loose(Params):
    """Text without an end, a number without bounds."""

    limit: float
    reason: str


MUTANTS: dict[type[Sound], str] = {
    ActsWhileLooking: "inspect_has_no_effect",
    ActsWhileVerifying: "one_send_is_one_request",
    RetriesByItself: "an_unanswered_send_that_was_not_done",
    SwallowsSilence: "an_unanswered_send_that_was_done",
    SwallowsRefusals: "a_refused_send_is_told_as_one",
    CallsSilenceUnsent: "an_unanswered_send_that_was_not_done",
    Hopes: "what_cannot_be_read_is_not_claimed",
    Denies: "a_target_that_is_away_got_nothing",
    Remembers: "one_send_is_one_request",
    SendsBlindly: "what_is_already_so_is_left_alone",
    Halves: "what_is_already_so_is_left_alone",
    ForgetsItsKey: "one_send_is_one_request",
    Sprawls: "proceed_is_canonical_and_bounded",
    ActsAnywhere: "nothing_is_tried_at_an_unknown_place",
    Stumbles: "one_send_is_one_request",
    Subtracts: "every_start_ends_alike",
    PostsWhileLooking: "inspect_has_no_effect",
    Gushes: "proceed_is_canonical_and_bounded",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
async def test_a_broken_action_is_found(mutant: type[Sound]) -> None:
    """Each way of being wrong turns the check red that is named for it."""
    found = await broken(trial(action=mutant))
    assert MUTANTS[mutant] in found
    assert all(sentence for sentence in found.values())


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"spec": replace(SPEC, direction="raises")}, "declaration_keeps_the_laws", "raises exposure"),
        ({"spec": replace(SPEC, role="")}, "declaration_keeps_the_laws", "acts on no component"),
        ({"spec": replace(SPEC, send_ms=60_000)}, "declaration_keeps_the_laws", "send_ms"),
        ({"spec": replace(SPEC, name="Limit Lower")}, "declaration_keeps_the_laws", "its name"),
        ({"spec": replace(SPEC, pins=("price",))}, "proceed_is_canonical_and_bounded", "price is not in"),
        ({"example": {"limit": 500.0, "reason": "x"}}, "declaration_keeps_the_laws", "its own params"),
        ({"example": {"limit": 50.0, "reason": "x"}}, "inspect_has_no_effect", "nothing to do"),
        ({"params": Loose}, "hostile_arguments_are_refused", "the params take"),
        ({"needs": lambda _: ("POST /elsewhere",)}, "one_send_is_one_request", "and needs names ('POST /elsewhere',)"),
        ({"refuses": {"it rains": "it rains"}}, "refusals_are_as_the_page_says", "it says"),
    ],
)
async def test_a_wrong_registration_is_found(changes: dict[str, Any], check: str, words: str) -> None:
    """A declaration that does not fit the action, or the laws, is told with its reason."""
    found = await broken(trial(**changes))
    assert words in found[check]


@pytest.mark.parametrize(
    "route",
    [
        lambda state, body: state.update(limit=state["limit"] - 1),
        lambda state, body: state.update(limit=body["limit"], calls=state.get("calls", 0) + 1),
    ],
    ids=["relative", "counting"],
)
async def test_a_target_on_which_repeating_does_harm_is_found(route: Callable[[Any, Any], object]) -> None:
    """Absolute is a promise about the target too: a late request that counts twice breaks it."""
    found = await broken(
        replace(trial(), world=lambda: HttpWorld({"limit": 9.0}, {f"POST {PATH}": route}, role="risk"))
    )
    assert "a_late_effect_does_no_harm" in found
