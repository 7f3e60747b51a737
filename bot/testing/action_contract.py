"""The contract suite that any action gets: a class to inherit, or one plain call.

An author declares a `Trial` and writes

    class TestMyAction(ActionContract):
        trial = TRIAL

in a test file; pytest finds the rest. `broken(trial)` says the same without pytest. Nothing here needs a server or a
plugin. Andon's own suite runs it over every registered action: over the twins, and for actions over HTTP over the real
connector and a local server too. docs/actions.md leads through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from bot.testing import action_checks as checks
from bot.testing import action_meanwhile as meanwhile
from bot.testing.action_gate import Broken, Mood, Request
from bot.testing.action_telling import need_trial, told
from bot.testing.action_trial import Run, Trial
from bot.testing.action_world import SYSTEM, HttpWorld, TwinWorld, World

__all__ = [
    "CHECKS",
    "SYSTEM",
    "ActionContract",
    "Broken",
    "HttpWorld",
    "Mood",
    "Request",
    "Trial",
    "TwinWorld",
    "World",
    "broken",
    "run_check",
]

Check: TypeAlias = Callable[[Run], Awaitable[None]]

CHECKS: Final[tuple[Check, ...]] = (
    checks.declaration_keeps_the_laws,
    checks.inspect_has_no_effect,
    checks.proceed_is_canonical_and_bounded,
    checks.hostile_arguments_are_refused,
    checks.refusals_are_as_the_page_says,
    checks.nothing_is_tried_at_an_unknown_place,
    checks.one_send_is_one_request,
    checks.what_is_already_so_is_left_alone,
    checks.sends_at_once_change_it_once,
    meanwhile.every_start_ends_alike,
    meanwhile.what_changed_meanwhile_is_not_overrun,
    checks.what_cannot_be_read_is_not_claimed,
    checks.a_refused_send_is_told_as_one,
    checks.a_target_that_is_away_got_nothing,
    checks.an_unanswered_send_that_was_done,
    checks.an_unanswered_send_that_was_not_done,
    checks.a_late_effect_does_no_harm,
    meanwhile.what_somebody_else_did_is_not_claimed,
)


async def run_check(check: Check, trial: Trial) -> None:
    """One check in a fresh world. Raises Broken when the action does not keep to it."""
    try:
        world = trial.world()
    except Exception as error:  # the author's world: whatever it raises is the finding
        raise Broken(f"the trial's world cannot be made: {error!r}") from error
    async with world:
        await check(Run(trial, world))


async def broken(trial: Trial) -> dict[str, str]:
    """Every check that the action does not pass, by name, with what it did; empty when it keeps the contract."""
    found: dict[str, str] = {}
    for check in CHECKS:
        try:
            await run_check(check, trial)
        except Broken as error:
            found[getattr(check, "__name__", "")] = str(error)
    return found


class ActionContract:
    """Inherit this in a class named Test…, and set `trial`."""

    trial: Trial

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        need_trial(cls, "trial = Trial(entry=…, world=…)")

    def _holds(self, check: Check) -> None:
        told(lambda: asyncio.run(run_check(check, self.trial)))

    def test_declaration_keeps_the_laws(self) -> None:
        """Name, delivery, risk, direction, params and methods fit together, and the example fits the params."""
        self._holds(checks.declaration_keeps_the_laws)

    def test_inspect_has_no_effect(self) -> None:
        """Inspecting happens in shadow and before approval: twice the same answer, nothing changed, nothing sent."""
        self._holds(checks.inspect_has_no_effect)

    def test_proceed_is_canonical_and_bounded(self) -> None:
        """What enters an intent and its digest is canonical JSON of bounded size; pins are fields of before."""
        self._holds(checks.proceed_is_canonical_and_bounded)

    def test_hostile_arguments_are_refused(self) -> None:
        """Unknown names, wrong types, control characters and endless text never get past the params."""
        self._holds(checks.hostile_arguments_are_refused)

    def test_refusals_are_as_the_page_says(self) -> None:
        """Every situation in `refuses` is refused (Unfit or CannotTell) in those words, with no effect."""
        self._holds(checks.refusals_are_as_the_page_says)

    def test_nothing_is_tried_at_an_unknown_place(self) -> None:
        """A component that targets.yaml does not list never ends in an attempt."""
        self._holds(checks.nothing_is_tried_at_an_unknown_place)

    def test_one_send_is_one_request(self) -> None:
        """One send is one request with the intent's id as key and with the fence; afterwards it is as wanted."""
        self._holds(checks.one_send_is_one_request)

    def test_what_is_already_so_is_left_alone(self) -> None:
        """An absolute action with nothing to do says AlreadySo; one that is sent all the same changes nothing."""
        self._holds(checks.what_is_already_so_is_left_alone)

    def test_sends_at_once_change_it_once(self) -> None:
        """Absolute means: however often it arrives, the target ends in the same state."""
        self._holds(checks.sends_at_once_change_it_once)

    def test_every_start_ends_alike(self) -> None:
        """An absolute action ends in the same state from every start: it asks for a state, never for a change."""
        self._holds(meanwhile.every_start_ends_alike)

    def test_what_changed_meanwhile_is_not_overrun(self) -> None:
        """Changed by somebody else between look and send: nothing is sent on a yes that no longer holds."""
        self._holds(meanwhile.what_changed_meanwhile_is_not_overrun)

    def test_what_cannot_be_read_is_not_claimed(self) -> None:
        """After an accepted send, a target that cannot be read leaves as_wanted None."""
        self._holds(checks.what_cannot_be_read_is_not_claimed)

    def test_a_refused_send_is_told_as_one(self) -> None:
        """A target that says no did nothing: Rejected or NotSent (a program that fails may be Unknown), never done."""
        self._holds(checks.a_refused_send_is_told_as_one)

    def test_a_target_that_is_away_got_nothing(self) -> None:
        """Without a connection: NotSent; inspect never says AlreadySo, and read_back neither true nor false."""
        self._holds(checks.a_target_that_is_away_got_nothing)

    def test_an_unanswered_send_that_was_done(self) -> None:
        """Done without an answer: send raises Unknown, and the probe does not deny it; an absolute one sees it done."""
        self._holds(checks.an_unanswered_send_that_was_done)

    def test_an_unanswered_send_that_was_not_done(self) -> None:
        """Lost without an answer: send raises Unknown, and the probe never says that it was done."""
        self._holds(checks.an_unanswered_send_that_was_not_done)

    def test_a_late_effect_does_no_harm(self) -> None:
        """Done long after the time-out: not seen before, seen after, and harmless to what was sent again meanwhile."""
        self._holds(checks.a_late_effect_does_no_harm)

    def test_what_somebody_else_did_is_not_claimed(self) -> None:
        """Lost without a trace, and then somebody else does it: that proves nothing about this request."""
        self._holds(meanwhile.what_somebody_else_did_is_not_claimed)
