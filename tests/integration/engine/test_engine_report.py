"""The account of a course: asked, refused, approved, acted, verified, over, closed, archived. On a real Valkey."""

from __future__ import annotations

from dataclasses import asdict, replace

from bot.adapters.archive import FileArchive
from bot.adapters.report_markdown import changes, render
from bot.adapters.seal import Sealer
from bot.core.incident import Incident
from bot.engine.alarms import Alarms
from bot.engine.report import attempts_in, build
from bot.engine.report_form import Report
from bot.engine.retention import Retention
from policies.book import PolicyBook
from tests.integration.engine.floor import KEY, PLAN, SHARD, STEP, Floor
from tests.integration.engine.test_engine_approvals import asking, vote

RISKY = replace(STEP, automatic=False, risk="risky")


async def account(floor: Floor, incident: str) -> Report:
    stored = (await floor.store.load(SHARD, [incident]))[incident]
    assert isinstance(stored.record, Incident)
    chain = await floor.store.audit(SHARD, incident)
    attempts = attempts_in(await floor.store.audit(SHARD, "target:risk-engine"), incident)
    return build(
        stored.record, chain, version=stored.version, head=stored.head, now=floor.engine.clock.now(), attempts=attempts
    )


async def test_the_account_of_an_approved_step_is_complete_and_survives_archiving(valkey, breach, over, tmp_path):
    """Who was refused and why, who said yes, what changed by which promise, on which evidence, and how long it took."""
    floor = Floor(valkey, replace(PLAN, steps=(RISKY,), mttr_target_ms=60_000))
    asked = await asking(floor, breach)
    try:
        await vote(floor, asked, "demo-oncall")
        await vote(floor, asked, "demo-approver", reason="seen the book")
        await floor.status("mitigated")
        await floor.fire(over)
        incident = (await floor.status("closed")).id
        await floor.quiet()
        report = await account(floor, incident)
        assert report.audit_problems == ()
        verdicts = [(each.who, each.verdict) for each in report.decisions if each.who]
        assert verdicts == [("demo-oncall", "refused"), ("demo-approver", "yes")]
        assert "may not decide on risky steps" in next(d.reason for d in report.decisions if d.verdict == "refused")
        assert "asked" in {each.verdict for each in report.decisions}
        (effect,) = [each for each in report.effects if each.outcome == "done"]
        assert (effect.action, effect.attempt, effect.intent != "") == ("risk.reduce_kelly", 1, True)
        assert changes(effect.before, effect.after) == ["kelly\\_fraction 0.25 → 0.1"]
        assert {"var"} == {each.name for each in report.evidence}
        (times,) = report.episodes
        assert (times.verdict, times.to_mitigate is not None, times.to_resolve is not None) == ("met", True, True)
        assert "page" in {each.kind for each in report.said}
        assert "something unreadable" not in render(report)

        archive = FileArchive(tmp_path / "archive", Sealer(KEY))
        alarms = Alarms(floor.store, floor.engine.clock)
        retention = Retention(
            store=floor.store, archive=archive, clock=floor.engine.clock, alarms=alarms, shards=[SHARD], after_ms=1,
            book=lambda: PolicyBook({}),
        )  # fmt: skip
        assert await retention.sweep() == 1
        assert await floor.incident() is None
        kept = await archive.find(incident)
        assert kept is not None
        attempts = attempts_in(await floor.store.audit(SHARD, "target:risk-engine"), incident)
        again = build(
            kept.incident, kept.audit, version=kept.version, head=kept.head, now=report.told_at, attempts=attempts
        )
        assert asdict(again) == asdict(report)
        assert (await archive.verify()).problems == ()
        assert await floor.audit_problems() == []
    finally:
        await floor.kill()
