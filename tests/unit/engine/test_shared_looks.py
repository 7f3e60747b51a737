"""Steps that come together share a look at the Alertmanagers, but no look proves more than it could see."""

from __future__ import annotations

import asyncio

from tests.unit.engine.ears import SYSTEM, House, alert


async def test_a_look_from_before_an_alert_fired_is_no_proof_that_it_has_gone() -> None:
    """Another step looked a moment ago; what has begun since is on no list of then."""
    house = House()
    await house.known(alert())
    assert (await house.antientropy.standing(SYSTEM, [alert()])).kind == "gone"
    house.manager.fire(alert())
    assert (await house.antientropy.standing(SYSTEM, [alert()])).kind == "firing"


async def test_absences_that_are_asked_about_together_share_a_look() -> None:
    """Each is judged by a look that began after it was asked about; ten of them are two looks at the most."""
    house = House()
    await house.known(alert())
    await house.antientropy.standing(SYSTEM, [alert()])
    looks = house.manager.looks
    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(house.antientropy.standing(SYSTEM, [alert()]))
    assert looks < house.manager.looks <= looks + 2
