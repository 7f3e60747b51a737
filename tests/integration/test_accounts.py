"""From a closed incident to its archive and back, and its report, through the API as people use it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from markdown_it import MarkdownIt

from bot.adapters.archive import FileArchive
from bot.adapters.report_markdown import render
from bot.adapters.seal import Sealer
from bot.client import Api, BadRequestError, DeclinedError, Place, connect
from bot.core.alert import Alert
from bot.core.events import AlertFired, AlertResolved
from bot.core.orders import OperatorAcked
from bot.core.plan import Plan
from bot.engine.alarms import Alarms
from bot.engine.fold import Letter
from bot.engine.report import build
from bot.engine.report_form import Report
from bot.engine.retention import Retention
from policies.book import PolicyBook
from tests.integration.door_twin import SYSTEM, Open, TwinServices, on_socket, opened

DAY = 86_400_000
PLAN = Plan(
    policy="var-breach", system=SYSTEM, policy_hash="h1", mode="auto", mttr_target_ms=180_000,
    runbook="https://runbooks.example/var-breach", hold_ms=1_000, close_ms=2_000,
)  # fmt: skip
HOSTILE = "<script>alert(1)</script> **bold** [click](javascript:x) | `code` http://evil.example @all #1 ![i](x) :fire:"
SEALER = Sealer(bytes(range(32)))


@pytest.fixture
async def services(tmp_path: Path) -> TwinServices:
    archive = FileArchive(tmp_path / "archive", SEALER)
    return TwinServices(archive=archive, people={os.getuid(): "demo-oncall"})


@pytest.fixture
async def door(services: TwinServices, tmp_path: Path) -> AsyncIterator[Open]:
    async with opened(services, on_socket(tmp_path)) as door:
        yield door


@pytest.fixture
async def api(door: Open) -> AsyncIterator[Api]:
    async with connect(Place(socket=door.addresses.api_socket)) as api:
        yield api


async def closed_incident(services: TwinServices, key: str = "k", summary: str = "VaR above 1.8") -> str:
    """Fires, is seen after a minute, resolves after two, and is closed. Folded and committed by the engine itself."""
    clock, engine = services.clock, services.engine
    labels = {"alertname": "VaRBreach", "symbol": "BTC", "severity": "critical"}
    alert = Alert(
        fingerprint=f"f-{key}", status="firing", labels=labels, starts_at=clock.now(), annotations={"summary": summary}
    )
    fired = AlertFired(id=f"{key}-1", at=clock.now(), alert=alert, plan=PLAN)
    await engine.tell_all(SYSTEM, [Letter(fired, key=key)])
    incident = (await services.store.resolve_keys(SYSTEM, [key]))[key]
    clock.advance(60_000)
    await engine.tell(SYSTEM, incident, OperatorAcked(id=f"{key}-2", at=clock.now(), by="demo-oncall"))
    clock.advance(60_000)
    over = AlertResolved(id=f"{key}-3", at=clock.now(), alert=replace(alert, status="resolved", ends_at=clock.now()))
    await engine.tell_all(SYSTEM, [Letter(over, key=key)])
    for _ in range(9):
        if (await services.store.load(SYSTEM, [incident]))[incident].record.status == "closed":  # type: ignore[union-attr]  # it is an incident
            break
        clock.advance(60_000)
        await services.store.claim_due(SYSTEM, clock.now(), 100)
        await engine.absorb(SYSTEM, await services.store.read_inbox(SYSTEM, 100, 0))
    return incident


def retention(services: TwinServices) -> Retention:
    alarms = Alarms(services.store, services.clock)
    return Retention(
        store=services.store, archive=services.archive, clock=services.clock, alarms=alarms, shards=services.shards,
        after_ms=30 * DAY, book=lambda: PolicyBook({}),
    )  # fmt: skip


def the_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "archive").rglob("*.json.gz")
    return path


async def test_closed_archived_gone_verified_edited_found(services: TwinServices, api: Api, tmp_path: Path) -> None:
    """The whole way: what leaves the store can still be shown and verified, and one edited byte is found."""
    incident = await closed_incident(services)
    shown = await api.get(f"/incidents/{incident}")
    services.clock.advance(30 * DAY)
    assert await retention(services).sweep() == 1
    assert await services.store.load(SYSTEM, [incident]) == {}
    verdict = await api.get("/audit/verify")
    assert verdict["ok"] is True
    assert verdict["archives"] == {"files": 1, "entries": len(shown["audit"]), "problems": []}
    for text in (incident, incident[:9], incident[4:9].upper()):
        again = await api.get(f"/incidents/{text}")
        assert again["archived"] is True
        assert (again["incident"], again["audit"]) == (shown["incident"], shown["audit"])
    assert (await api.get(f"/audit/{SYSTEM}/{incident}"))["entries"] == shown["audit"]
    with pytest.raises(BadRequestError, match="closed and archived; `andon show`"):
        await api.post(f"/incidents/{incident}/ack")
    assert {"system": SYSTEM, "aggregate": incident} in (await api.get("/audit", system=SYSTEM))["chains"]
    assert (await api.get("/audit", system="py-rt"))["chains"] == []
    data = bytearray(the_file(tmp_path).read_bytes())
    data[len(data) // 2] ^= 1
    the_file(tmp_path).write_bytes(data)
    verdict = await api.get("/audit/verify")
    assert verdict["ok"] is False
    assert [problem["aggregate"] for problem in verdict["archives"]["problems"]] == [incident]
    with pytest.raises(DeclinedError) as refused:
        await api.get(f"/incidents/{incident}")
    assert "andon audit verify" in refused.value.fix


async def test_a_line_taken_out_of_the_index_is_found_but_a_crash_is_not_blamed(
    services: TwinServices, api: Api, tmp_path: Path
) -> None:
    """A file without a line: while the store still has the incident, retention was cut short; later, it is a crime."""
    incident = await closed_incident(services)
    services.clock.advance(30 * DAY)
    stored = await services.store.load(SYSTEM, [incident])
    chain = await services.store.audit(SYSTEM, incident)
    await retention(services).sweep()
    for name in ("index.jsonl", "index.head"):
        (tmp_path / "archive" / name).unlink()
    found = (await api.get("/audit/verify"))["archives"]["problems"]
    assert [(each["aggregate"], "taken out" in each["problem"]) for each in found] == [(incident, True), ("", False)]
    services.store._shard(SYSTEM).records |= stored
    services.store._shard(SYSTEM).chains[incident] = chain
    services.store._shard(SYSTEM).retired = 0
    assert (await api.get("/audit/verify"))["ok"] is True


async def test_an_archive_that_is_gone_as_a_whole_is_missed(services: TwinServices, api: Api, tmp_path: Path) -> None:
    """Nothing in the folder can tell that the folder was emptied; the store has counted what left it."""
    await closed_incident(services)
    services.clock.advance(30 * DAY)
    await retention(services).sweep()
    shutil.rmtree(tmp_path / "archive")
    services.archive = FileArchive(tmp_path / "archive", SEALER)
    verdict = await api.get("/audit/verify")
    assert verdict["ok"] is False
    assert "1 incidents of trading-core have left the store" in verdict["archives"]["problems"][0]["problem"]


async def test_the_same_alert_opens_anew_after_its_incident_was_archived(services: TwinServices, api: Api) -> None:
    """What left the store holds nothing up; the old story is still told under its id."""
    first = await closed_incident(services)
    services.clock.advance(30 * DAY)
    await retention(services).sweep()
    second = await closed_incident(services)
    services.clock.advance(30 * DAY)
    assert await retention(services).sweep() == 1
    assert (await api.get("/audit/verify"))["ok"] is True
    assert (await api.get(f"/incidents/{second}"))["archived"] is True
    assert (await api.get(f"/incidents/{first}"))["archived"] is True


async def test_an_archive_out_of_reach_is_a_problem_and_not_silence(
    services: TwinServices, api: Api, tmp_path: Path
) -> None:
    """Verification that could not look says so."""
    (tmp_path / "in-the-way").write_text("")
    services.archive = FileArchive(tmp_path / "in-the-way", SEALER)
    verdict = await api.get("/audit/verify")
    assert verdict["ok"] is False
    assert "in-the-way" in verdict["archives"]["problems"][0]["problem"]


async def test_a_report_is_told_as_json_and_as_markdown(services: TwinServices, api: Api) -> None:
    """Before and after archiving the same account: times against the target, who saw it, the policy's hash."""
    incident = await closed_incident(services)
    told = await api.get(f"/incidents/{incident}/report")
    (times,) = told["episodes"]
    assert (times["to_acknowledge"], times["to_resolve"]) == (60_000, 120_000)
    assert (times["verdict"], times["difference"], times["acknowledged_by"]) == ("met", 60_000, "demo-oncall")
    assert (told["policy_hash"], told["runbook"], told["audit_problems"]) == ("h1", PLAN.runbook, [])
    markdown = (await api.text(f"/incidents/{incident}/report", format="markdown"))["text"]
    assert markdown.startswith(f"# {incident}: var-breach\n")
    assert "after 1 min by demo-oncall" in markdown
    assert "met, 1 min to spare" in markdown
    assert "<https://runbooks.example/var-breach>" in markdown
    services.clock.advance(30 * DAY)
    await retention(services).sweep()
    later = await api.get(f"/incidents/{incident}/report")
    assert later["archived"] is True
    changed = {name for name in told if told[name] != later[name]}
    assert changed == {"archived", "told_at"}


async def test_a_report_of_nothing_or_in_no_known_form_is_refused(services: TwinServices, api: Api, door: Open) -> None:
    """404 and 400 with the field, like every question; Markdown is asked for by name."""
    incident = await closed_incident(services)
    with pytest.raises(BadRequestError, match="json, markdown"):
        await api.get(f"/incidents/{incident}/report", format="pdf")
    with pytest.raises((BadRequestError, DeclinedError), match="there is no incident"):
        await api.get("/incidents/inc-zzzzzzzzzz/report")
    connector = aiohttp.UnixConnector(str(door.addresses.api_socket))
    async with (
        aiohttp.ClientSession("http://andon", connector=connector) as session,
        session.get(f"/api/v1/incidents/{incident}/report?format=markdown") as answer,
    ):
        assert (answer.status, answer.content_type, answer.charset) == (200, "text/markdown", "utf-8")
        assert await answer.text()


async def report_about(services: TwinServices, text: str) -> Report:
    incident = await closed_incident(services, summary=text)
    stored = (await services.store.load(SYSTEM, [incident]))[incident]
    chain = await services.store.audit(SYSTEM, incident)
    record = replace(stored.record, why=text, group={text: text}, taken_by=text)  # type: ignore[arg-type]  # an incident
    return build(record, chain, version=stored.version, head=stored.head, now=services.clock.now())  # type: ignore[arg-type]


async def test_text_from_alerts_stays_text_in_markdown(services: TwinServices) -> None:
    """Neither markup, HTML, links, images, headings nor table cells come out of what an alert says (law 11)."""
    usual = await report_about(services, "plain")
    hostile = await report_about(TwinServices(), HOSTILE)
    parser = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    for report in (usual, hostile):
        tokens = [each for block in parser.parse(render(report)) for each in [block, *(block.children or ())]]
        kinds = {token.type for token in tokens}
        assert not kinds & {"html_inline", "html_block", "image", "code_block", "fence", "blockquote_open", "s_open"}
        links = {str(token.attrs.get("href")) for token in tokens if token.type == "link_open"}
        assert links == {PLAN.runbook}
    words = "".join(token.content for block in parser.parse(render(hostile)) for token in block.children or ())
    assert HOSTILE in words, "nothing of it is lost either"
    shape = [
        [token.type for token in parser.parse(render(report)) if token.type != "inline"] for report in (usual, hostile)
    ]
    assert shape[0] == shape[1]


async def test_control_characters_cannot_reach_a_terminal(services: TwinServices) -> None:
    """A label with an escape sequence is shown as such; a line end begins no line."""
    markdown = render(await report_about(services, "red \x1b[31m\n# heading\r\n- item"))
    assert "\x1b" not in markdown
    assert "\n# heading" not in markdown
    assert "\n- item" not in markdown


async def test_the_archive_is_readable_without_andon(services: TwinServices, tmp_path: Path) -> None:
    """zcat and jq are enough for an auditor."""
    incident = await closed_incident(services)
    services.clock.advance(30 * DAY)
    await retention(services).sweep()
    document = json.loads(gzip.decompress(the_file(tmp_path).read_bytes()))["archive"]
    kinds = [line["event"]["kind"] for link in document["audit"] for line in json.loads(link["body"])["events"]]
    assert document["incident"] == incident
    assert kinds[:3] == ["alert_fired", "operator_acked", "alert_resolved"]
