"""`andon` as a person types it, against a served API: what it prints, its exit codes, and never a traceback."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot import cli
from bot.core.alert import Alert
from bot.core.events import AlertFired, StepSucceeded
from bot.core.plan import Plan, Step
from bot.core.reading import Reading
from bot.engine.fold import Letter
from tests.integration.door_twin import PLAN, SYSTEM, TwinServices, on_socket, opened

ROOT = Path(__file__).parents[2]
BROKEN = ROOT / "tests" / "fixtures" / "broken"
ACTING = Plan(
    policy="var-breach", system=SYSTEM, policy_hash="h1", mode="auto", runbook="https://runbooks.example/var",
    steps=(
        Step(
            id="1", action="risk.reduce_kelly", component="risk-engine", arguments="{}", risk="safe",
            direction="lowers", delivery="absolute", automatic=True,
        ),
    ),
)  # fmt: skip


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Andon = Callable[..., Awaitable[Ran]]


@pytest.fixture
async def services() -> TwinServices:
    return TwinServices(people={os.getuid(): "demo-oncall"})


@pytest.fixture
async def andon(
    services: TwinServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> AsyncIterator[Andon]:
    """Runs a command in a thread while this loop serves."""
    monkeypatch.setenv("ANDON_SOCKET", str(tmp_path / "andon.sock"))
    monkeypatch.setenv("NO_COLOR", "1")

    async def run(*arguments: str) -> Ran:
        capfd.readouterr()
        code = await asyncio.to_thread(cli.run, list(arguments))
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Ran(code, out, err)

    async with opened(services, on_socket(tmp_path)):
        yield run


async def fire(services: TwinServices, plan: Plan = PLAN, **labels: str) -> str:
    alert = Alert(fingerprint="f", status="firing", labels={"alertname": "VaRBreach", **labels}, starts_at=1)
    event = AlertFired(id="f-1", at=services.clock.now(), alert=alert, plan=plan)
    await services.engine.tell_all(SYSTEM, [Letter(event, key="k")])
    return (await services.store.resolve_keys(SYSTEM, ["k"]))["k"]


async def test_a_story_from_alert_to_resolution(services: TwinServices, andon: Andon) -> None:
    """incidents, show, ack, resolve: each does what it says and says what it did."""
    incident = await fire(services)
    listed = await andon("incidents")
    assert listed.code == 0
    assert incident in listed.out
    assert "var-breach" in listed.out
    assert (await andon("ack", incident[:9])).code == 0
    assert (await andon("resolve", incident)).code == 1
    done = await andon("resolve", incident, "--force", "--note", "false alarm")
    assert (done.code, "applied" in done.out) == (0, True)
    shown = (await andon("show", incident)).out
    assert "RESOLVED" in shown
    assert "operator acked by demo-oncall" in shown
    assert "close the incident" in shown


async def test_show_tells_what_changed_on_which_evidence(services: TwinServices, andon: Andon) -> None:
    """Before -> after, the readings it was decided on, why, what comes next: everything for a tired person."""
    await services.engine.tell(SYSTEM, "target:*", _armed())
    incident = await fire(services, ACTING)
    record = (await services.store.load(SYSTEM, [incident]))[incident].record
    assert record.status == "acting"
    report = StepSucceeded(
        id="r", at=services.clock.now(), episode=1, step="1", why="kelly_fraction is 0.1 now", intent="int-1",
        before='{"kelly_fraction": 0.25}', after='{"kelly_fraction": 0.1}',
        readings=(Reading(name="var", value=2.31, source="redis metrics:var_pct:BTC", taken_at=1_700_000_000_000),),
    )  # fmt: skip
    await services.engine.tell(SYSTEM, incident, report)
    shown = (await andon("show", incident)).out
    assert "kelly_fraction  0.25 → 0.1" in shown
    assert "var = 2.31  (redis metrics:var_pct:BTC)" in shown
    assert "risk.reduce_kelly  succeeded  kelly_fraction is 0.1 now" in shown
    assert "https://runbooks.example/var" in shown
    assert "next" in shown


def _armed() -> Any:
    from bot.core.orders import PolicyArmed

    return PolicyArmed(id="a", at=1, by="demo-oncall", policy="var-breach")


async def test_text_from_alerts_cannot_dress_up_the_terminal(services: TwinServices, andon: Andon) -> None:
    """Markup, control sequences and line breaks in labels are shown as they are, on one line."""
    incident = await fire(services, symbol="[bold red]BTC[/] \x1b[2J\r\nOK", other="[/nonsense]")
    shown = (await andon("show", incident)).out
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "[bold red]BTC[/]" in shown
    assert "\\x1b[2J\\x0d\\x0aOK" in "".join(line.strip() for line in shown.splitlines())


async def test_freezing_and_arming(services: TwinServices, andon: Andon) -> None:
    """Everywhere, one system, one component; lifting it everywhere must be said."""
    assert (await andon("freeze", "--reason", "deploy", "--for", "10m")).code == 0
    assert (await andon("freeze", f"{SYSTEM}/risk-engine")).code == 0
    status = (await andon("status")).out
    assert "deploy" in status
    assert "target:risk-engine" in status
    assert "you are demo-oncall" in status
    refused = await andon("unfreeze")
    assert (refused.code, "--all" in refused.err) == (2, True)
    assert (await andon("unfreeze", "--all")).code == 0
    assert (await andon("arm", "var-breach")).code == 0
    assert "by demo-oncall" in (await andon("status")).out
    assert (await andon("disarm", "var-breach")).code == 0
    assert (await andon("targets")).code == 0
    for nothing in ("", f"{SYSTEM}/", "/risk-engine"):  # an unset variable in a script must not mean everywhere
        named = await andon("freeze", nothing)
        assert (named.code, "names nothing" in named.err) == (2, True)
    late = await andon("freeze", "--for", "soon")
    assert (late.code, "soon" in late.err) == (2, True)


async def test_fire_takes_a_name_and_labels(services: TwinServices, andon: Andon) -> None:
    """A word alone is the alertname; the alert is in the inbox of its system."""
    fired = await andon("fire", "VaRBreach", "system=py-rt", "symbol=a=b", "-a", "summary=by hand", "--json")
    assert fired.json["system"] == "py-rt"
    [entry] = await services.store.stored("py-rt")
    assert entry.alerts[0].labels == {"alertname": "VaRBreach", "system": "py-rt", "symbol": "a=b"}  # type: ignore[union-attr]


async def test_exit_codes(services: TwinServices, andon: Andon) -> None:
    """0 done, 1 refused, 2 the input is wrong, 3 nobody answers; with --json the error is JSON on stdout."""
    assert (await andon("show", "zzzzz")).code == 2
    assert (await andon("show")).code == 2
    assert (await andon("nonsense")).code == 2
    services.people.clear()
    stranger = await andon("freeze", "--json")
    assert stranger.code == 1
    assert set(stranger.json) == {"error", "exit_code", "fix"}
    services.store.down = "disk full"
    assert (await andon("incidents")).code == 3


async def test_nobody_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, and where it looked, and how to start it."""
    monkeypatch.setenv("ANDON_SOCKET", str(tmp_path / "none.sock"))
    assert await asyncio.to_thread(cli.run, ["status"]) == 3
    err = capsys.readouterr().err
    assert "none.sock" in err
    assert "andon serve" in err


async def test_the_audit_is_verified_and_exported(services: TwinServices, andon: Andon, tmp_path: Path) -> None:
    """verify is 0 on a whole store and 1 on a broken one; export has every entry with its exact text."""
    incident = await fire(services)
    assert (await andon("audit", "verify")).code == 0
    file = tmp_path / "audit.jsonl"
    assert (await andon("audit", "export", "-o", str(file))).code == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    stored = await services.store.audit(SYSTEM, incident)
    assert [line["body"] for line in lines if line["aggregate"] == incident] == [entry.body for entry in stored]
    counted = await andon("audit", "export", "--json", "-o", str(tmp_path / "again"))
    assert (counted.code, "entries" in json.loads(counted.err)) == (0, True)
    services.store._shard(SYSTEM).chains[incident].clear()
    broken = await andon("audit", "verify")
    assert (broken.code, "BROKEN" in broken.out) == (1, True)
    assert (await andon("audit", "verify", "--json")).json["ok"] is False
    assert (await andon("audit", "export", "-o", str(tmp_path))).code == 2


@pytest.mark.parametrize("arguments", [["status"], ["incidents", "--all"], ["targets"], ["dead-letters"], ["version"]])
async def test_every_answer_is_available_as_json(andon: Andon, arguments: list[str]) -> None:
    """One JSON document on stdout and nothing else."""
    ran = await andon(*arguments, "--json")
    assert ran.code == 0
    assert isinstance(ran.json, dict)
    assert ran.err == ""


def test_check_passes_what_ships(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`andon check configs`, and without a path the same."""
    monkeypatch.chdir(ROOT)
    for arguments in (["check", "configs"], ["check"], ["check", "configs/policies", "--json"]):
        assert cli.run(arguments) == 0, capsys.readouterr()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ok"] is True


@pytest.mark.parametrize("file", sorted(path.name for path in BROKEN.glob("*.yaml")))
def test_check_names_file_and_line_of_each_broken_policy(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one clear problem, in the file that was named."""
    monkeypatch.chdir(ROOT)
    assert cli.run(["check", f"tests/fixtures/broken/{file}", "--json"]) == 2
    [problem] = json.loads(capsys.readouterr().out)["problems"]
    assert problem["source"] == f"tests/fixtures/broken/{file}"
    assert problem["line"] >= 1


def test_check_tells_people_all_broken_files_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As people read it: a directory, and every problem that scripts get, with its file and line."""
    monkeypatch.chdir(ROOT)
    assert cli.run(["check", "tests/fixtures/broken", "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert {Path(each["source"]).name for each in problems} >= {path.name for path in BROKEN.glob("*.yaml")}
    assert cli.run(["check", "tests/fixtures/broken"]) == 2
    told = capsys.readouterr().out
    assert [each for each in problems if f"{Path(each['source']).name}:{each['line']}: " not in told] == []


def test_check_of_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing path, an empty directory, no text: exit code 2 and the path."""
    (tmp_path / "latin.yaml").write_bytes(b"\xff")
    (tmp_path / "empty").mkdir()
    for path in ("missing.yaml", "empty", "latin.yaml"):
        assert cli.run(["check", str(tmp_path / path)]) == 2
        assert path in capsys.readouterr().err


def test_schemas_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """One by name, all without; an unknown one names the known."""
    assert cli.run(["schema", "policies"]) == 0
    assert "$schema" in json.loads(capsys.readouterr().out)
    assert cli.run(["schema"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"andon", "people", "policies", "targets"}
    assert cli.run(["schema", "x"]) == 2
    assert cli.run(["schema", "people", "--json"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "--jsn", "--json"], "--jsn"),
        (["nonsense", "--json"], "nonsense"),
        (["show", "--json"], "INCIDENT"),
        (["incidents", "--limit", "0", "--json"], "--limit"),
    ],
)
def test_a_wrong_command_line_is_json_for_scripts(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, nothing on standard output, one JSON object on standard error; without --json, as people read it."""
    assert cli.run(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    error = json.loads(told.err)
    assert words in error["error"]
    assert error["exit_code"] == 2
    assert cli.run([word for word in arguments if word != "--json"]) == 2
    assert "Usage:" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error() -> None:
    """`andon schema | head -1` ends quietly."""
    script = f"{sys.executable} -m bot.cli schema | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_environment_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The variable is named."""
    monkeypatch.setenv("ANDON_CLOCK", "fast")
    assert cli.run(["status"]) == 2
    assert "ANDON_CLOCK" in capsys.readouterr().err


def test_serve_with_a_broken_configuration_is_exit_code_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every problem with file and line, and no start."""
    config = tmp_path / "andon.yaml"
    config.write_text("systems: [a]\nlisten: {prot: 1}\n")
    for name in ("people", "targets"):
        (tmp_path / f"{name}.yaml").write_text(f"{'people: []' if name == 'people' else 'systems: {}'}\n")
    assert cli.run(["serve", "--config", str(config)]) == 2
    assert "andon.yaml:2" in capfd.readouterr().err
