"""What people change at the target by hand stands automation down there. Real engine, real store (law 8)."""

from __future__ import annotations

from dataclasses import replace

from tests.integration.engine.floor import PLAN, STEP, Floor

FURTHER = replace(
    PLAN,
    steps=(
        replace(
            STEP, arguments='{"kelly_fraction":0.2}', on_failure="continue", verify=replace(STEP.verify, within_ms=400)
        ),
        replace(STEP, id="1"),
    ),
)


async def test_what_somebody_changed_at_the_target_is_not_changed_again(valkey, breach):
    """Andon cut to 0.2, somebody sets 0.22 by hand: the further cut is asked about, with what was changed."""
    floor = Floor(valkey, FURTHER)
    evidence = floor.risk.read

    async def read(*asked):
        if floor.risk.requests:  # the first cut is being verified
            floor.risk.kelly = 0.22
        return await evidence(*asked)

    floor.risk.read = read
    await floor.start()
    await floor.arm()
    await floor.fire(breach)
    try:
        asking = await floor.status("awaiting_approval")
        assert "somebody changed kelly_fraction from 0.2 to 0.22" in asking.why
        await floor.quiet()
        assert floor.risk.requests == [0.2]
    finally:
        await floor.kill()


async def test_what_nobody_touched_is_cut_further(valkey, breach):
    """The same plan with nobody's hand in it: both steps are sent, so it is the hand that stands it down above."""
    floor = Floor(valkey, FURTHER)
    await floor.start()
    await floor.arm()
    await floor.fire(breach)
    try:
        await floor.status("mitigated")
        assert floor.risk.requests == [0.2, 0.1]
    finally:
        await floor.kill()
