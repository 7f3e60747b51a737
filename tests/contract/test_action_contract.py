"""The suite every registered action passes: on twins, and over HTTP with the real connector and a server.

Being registered is enough to be tested: an action without a trial fails the first test.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from bot.testing.action_checks import an_unanswered_send_that_was_done
from bot.testing.action_contract import CHECKS, HttpWorld, Trial, World, run_check
from remediations.catalogue import CATALOGUE
from tests.contract.action_trials import TRIALS
from tests.contract.wire_world import WireWorld


def test_every_registered_action_is_tried() -> None:
    """Registering an action without a trial is a failure, not a gap; and each trial tries what is registered."""
    assert set(TRIALS) == set(CATALOGUE.names())
    for name, trial in TRIALS.items():
        assert trial.entry is CATALOGUE.entry(name)


@pytest.mark.looptime  # some wait for what never comes
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(TRIALS))
async def test_it_keeps_the_contract(name: str, check: object) -> None:
    """One law, one action, on twins."""
    await run_check(check, TRIALS[name])  # type: ignore[arg-type]  # parametrised


def over_http() -> list[str]:
    """The actions that are tried on a component behind HTTP."""
    return sorted(name for name, trial in TRIALS.items() if isinstance(trial.world(), HttpWorld) and name != "notify")


def wired(trial: Trial, unanswered: Literal["silent", "torn", "failing"] = "silent") -> Trial:
    """The same trial over a real connection."""

    def world() -> World:
        made = trial.world()
        assert isinstance(made, HttpWorld)
        return WireWorld(made, unanswered)

    return replace(trial, world=world)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", over_http())
async def test_it_keeps_the_contract_over_the_wire(name: str, check: object) -> None:
    """One law, one action, over the real connector and a server."""
    await run_check(check, wired(TRIALS[name]))  # type: ignore[arg-type]  # parametrised


@pytest.mark.parametrize("how", ["torn", "failing"])
@pytest.mark.parametrize("name", over_http())
async def test_a_cut_connection_and_a_server_error_prove_nothing(name: str, how: Literal["torn", "failing"]) -> None:
    """Done, and then the connection is cut or 500 is answered: as unknown as silence."""
    await run_check(an_unanswered_send_that_was_done, wired(TRIALS[name], how))
