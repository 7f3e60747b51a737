"""`andon report` and `andon audit verify` as a person types them: where the text goes, exit codes, archives."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bot import cli
from bot.adapters.archive import FileArchive
from bot.adapters.seal import Sealer
from bot.core.alert import Alert
from bot.core.events import AlertFired
from bot.engine.fold import Letter
from bot.engine.ports import Archived
from tests.contract.archived_incidents import closed
from tests.integration.door_twin import PLAN, SYSTEM, TwinServices, on_socket, opened

Andon = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def services(tmp_path: Path) -> TwinServices:
    archive = FileArchive(tmp_path / "archive", Sealer(bytes(range(32))))
    return TwinServices(archive=archive, people={os.getuid(): "demo-oncall"})


@pytest.fixture
async def andon(
    services: TwinServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> AsyncIterator[Andon]:
    """Runs a command in a thread while this loop serves; returns (exit code, output, errors)."""
    monkeypatch.setenv("ANDON_SOCKET", str(tmp_path / "andon.sock"))
    monkeypatch.setenv("NO_COLOR", "1")

    async def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = await asyncio.to_thread(cli.run, list(arguments))
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    async with opened(services, on_socket(tmp_path)):
        yield run


async def fired(services: TwinServices) -> str:
    alert = Alert(fingerprint="f", status="firing", labels={"alertname": "VaRBreach"}, starts_at=1)
    event = AlertFired(id="f-1", at=services.clock.now(), alert=alert, plan=PLAN)
    await services.engine.tell_all(SYSTEM, [Letter(event, key="k")])
    return (await services.store.resolve_keys(SYSTEM, ["k"]))["k"]


async def test_a_report_goes_to_the_screen_a_file_or_a_script(
    services: TwinServices, andon: Andon, tmp_path: Path
) -> None:
    """Markdown on standard output and nothing else; -o writes it; --json is the same facts."""
    incident = await fired(services)
    code, markdown, err = await andon("report", incident[:9])
    assert (code, err) == (0, "")
    assert markdown.startswith(f"# {incident}: var-breach\n")
    code, out, err = await andon("report", incident, "-o", str(tmp_path / "report.md"))
    assert (code, out) == (0, "")
    assert "report.md" in err
    assert (tmp_path / "report.md").read_text() == markdown
    code, out, _ = await andon("report", incident, "--json")
    assert (code, json.loads(out)["incident"]) == (0, incident)


async def test_what_cannot_be_reported_is_a_sentence_and_an_exit_code(
    services: TwinServices, andon: Andon, tmp_path: Path
) -> None:
    """No such incident; no such folder; as JSON where a script asked."""
    incident = await fired(services)
    code, _, err = await andon("report", "inc-zzzzzzzzzz")
    assert (code, "there is no incident inc-zzzzzzzzzz" in err) == (2, True)
    code, _, err = await andon("report", incident, "-o", str(tmp_path / "none" / "report.md"))
    assert (code, "No such file" in err) == (2, True)
    code, out, _ = await andon("report", "inc-zzzzzzzzzz", "--json")
    assert (code, json.loads(out)["exit_code"]) == (2, 2)


async def test_verify_and_show_know_the_archive(services: TwinServices, andon: Andon, tmp_path: Path) -> None:
    """Archived incidents are counted, shown and reported; a damaged one turns the exit code to 1 and is named."""
    kept: Archived = closed()
    await services.archive.keep(kept, 5)
    code, out, _ = await andon("audit", "verify")
    assert code == 0
    for words in ("archived incidents: 1,", "signed checkpoints: 0; every link holds", "nothing was signed yet"):
        assert words in " ".join(out.split())
    code, out, _ = await andon("show", kept.incident.id)
    assert (code, "read back from the archive" in out) == (0, True)
    code, out, _ = await andon("report", kept.incident.id)
    assert (code, "Read back from the archive" in out) == (0, True)
    (path,) = (tmp_path / "archive").rglob("*.json.gz")
    path.unlink()
    code, out, _ = await andon("audit", "verify")
    assert code == 1
    assert f"archive {kept.incident.id}" in out
    assert "missing" in out
