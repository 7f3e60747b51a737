"""`andon approve`, `deny`, `take`, `run` …: what is shown before a yes, what is sent, and how a no is told."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot import cli
from bot.engine.action_ports import Unfit
from tests.integration.door_twin import SYSTEM, TwinServices, on_socket, opened
from tests.integration.pending import ask, record


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Andon = Callable[..., Awaitable[Ran]]


class Keyboard(io.StringIO):
    """Standard input with a person at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
async def services() -> TwinServices:
    return TwinServices(people={os.getuid(): "demo-approver"})


@pytest.fixture
async def andon(
    services: TwinServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> AsyncIterator[Andon]:
    """Runs a command in a thread while this loop serves; `typed` is what the person answers."""
    monkeypatch.setenv("ANDON_SOCKET", str(tmp_path / "andon.sock"))
    monkeypatch.setenv("NO_COLOR", "1")

    async def run(*arguments: str, typed: str | None = None) -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO() if typed is None else Keyboard(typed))
        capfd.readouterr()
        code = await asyncio.to_thread(cli.run, list(arguments))
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Ran(code, out, err)

    async with opened(services, on_socket(tmp_path)):
        yield run


async def test_approve_shows_the_decision_and_sends_a_yes_to_that(services: TwinServices, andon: Andon) -> None:
    """Before → after, why, evidence with its age, votes, until when; y sends it, and the step goes on."""
    incident = await ask(services)
    ran = await andon("approve", incident[:8], "--reason", "agreed", typed="y\n")
    assert ran.code == 0, ran.err
    shown = " ".join(ran.out.split())
    for words in (
        "trading.halt on risk-engine", "risky, lowers exposure", "trading true → false",
        "VaR stays high after the cut", "var = 2.31 (redis metrics:var_pct:BTC), 4 s old", "1 of 1 still must say yes",
        "5 min left", "if nobody decides, nothing is sent and cro is paged", "curl -X POST", "you may approve",
        f"andon deny {incident}", "demo-second may decide alone", "Approve trading.halt?", "approved by demo-approver",
    ):  # fmt: skip
        assert words in shown
    assert "orders" not in ran.out, "a field that stays as it is is no change"
    assert (await record(services, incident)).status == "acting"


async def test_a_no_at_the_question_sends_nothing(services: TwinServices, andon: Andon) -> None:
    """Exit code 1, in words; the question waits on. `deny` is another thing: it ends the question."""
    incident = await ask(services)
    ran = await andon("approve", incident, typed="n\n")
    assert (ran.code, "nothing was sent" in ran.err) == (1, True)
    assert (await record(services, incident)).approval is not None
    assert (await andon("deny", incident, "--reason", "false alarm", typed="y\n")).code == 0
    denied = await record(services, incident)
    assert (denied.status, "denied by demo-approver: false alarm" in denied.why) == ("parked", True)


async def test_who_may_not_is_told_so_instead_of_being_asked(services: TwinServices, andon: Andon) -> None:
    """The reason and whom to ask; with --yes the click is made, refused with the same words, and audited."""
    incident = await ask(services, requesters=("demo-approver",))
    before = len(await services.store.audit(SYSTEM, incident))
    ran = await andon("approve", incident, typed="y\n")
    assert ran.code == 1
    assert "demo-approver brought this about" in ran.err
    assert "ask demo-oncall, demo-second" in " ".join(ran.err.split())
    assert len(await services.store.audit(SYSTEM, incident)) == before
    clicked = await andon("approve", incident, "--yes")
    assert (clicked.code, "brought this about" in clicked.err, "DECIDE" in clicked.out) == (1, True, True)
    assert len(await services.store.audit(SYSTEM, incident)) == before + 1


async def test_scripts_must_say_yes_themselves(services: TwinServices, andon: Andon) -> None:
    """--json or no terminal without --yes is a wrong command line, and nothing is decided."""
    incident = await ask(services)
    for arguments in (["--json"], []):
        ran = await andon("approve", incident, *arguments)
        assert (ran.code, "--yes" in ran.out + ran.err) == (2, True)
    assert (await record(services, incident)).approval is not None
    done = await andon("approve", incident, "--json", "--yes")
    assert done.json["decisions"][0]["decision"] == "applied"
    over = await andon("approve", incident, "--json", "--yes")
    assert (over.code, "nothing waits for a decision" in over.json["error"]) == (1, True)
    assert "andon decisions" in over.json["fix"]


async def test_what_waits_is_listed_and_told_where_people_look(services: TwinServices, andon: Andon) -> None:
    """decisions, incidents and show: until when, and the command to type."""
    assert "nothing waits" in (await andon("decisions")).out
    incident = await ask(services)
    listed = " ".join((await andon("decisions")).out.split())
    assert incident in listed
    assert "5 min" in listed
    assert "may approve" in listed
    assert "needs a decision until" in " ".join((await andon("incidents")).out.split())
    story = " ".join((await andon("show", incident)).out.split())
    assert "DECIDE" in story
    assert f"andon approve {incident}" in story
    assert "rung 1: page cro (critical), unless resolved" in story
    assert (await andon("decisions", "--json")).json["waiting"][0]["incident"] == incident


async def test_take_escalate_and_hold(services: TwinServices, andon: Andon) -> None:
    """Each says what it did, or why not; then `show` says who has it."""
    incident = await ask(services)
    assert "paged cro" in (await andon("escalate", incident, "--reason", "alone here")).out
    held = await andon("hold", incident, "--for", "10m")
    assert (held.code, "no action of the ladder" in held.err) == (1, True)
    assert (await andon("hold", incident, "--for", "soon")).code == 2
    assert "demo-approver has it" in (await andon("take", incident)).out
    assert "demo-approver has it; automation stands down here" in (await andon("show", incident)).out
    assert "demo-approver has it" in (await andon("incidents")).out


async def test_run_shows_what_it_would_do_and_then_does_it(services: TwinServices, andon: Andon) -> None:
    """A dry run changes nothing; the real one shows the same first, and says how to follow it."""
    order = ["run", "risk.reduce_kelly", "kelly_fraction=0.1", "--system", SYSTEM, "--reason", "drill"]
    dry = await andon(*order, "--dry-run")
    assert dry.code == 0, dry.err
    assert "kelly_fraction  0.25 → 0.1" in dry.out
    assert "ordered and confirmed by demo-approver" in dry.out
    assert await services.store.incidents(SYSTEM, closed=True, limit=9) == []
    ran = await andon(*order, typed="y\n")
    assert ran.code == 0, ran.err
    (line,) = await services.store.incidents(SYSTEM, closed=True, limit=9)
    assert "Run risk.reduce_kelly?" in ran.out
    assert f"andon show {line.incident.id}" in ran.out
    assert "ordered by  demo-approver" in (await andon("show", line.incident.id)).out
    assert (await andon(*order, "--json")).code == 2
    assert (await andon("run", "risk.reduce_kelly", "kelly", "--system", SYSTEM, "--yes")).code == 2


async def test_what_the_action_refuses_is_not_ordered(services: TwinServices, andon: Andon) -> None:
    """A yes beforehand does not turn a refusal into an order; an order that is taken is not called done."""
    order = ["run", "risk.reduce_kelly", "kelly_fraction=0.1", "reason=drill", "--system", SYSTEM, "--yes"]
    fit, services.seen = services.seen, Unfit("Kelly in force is 7, which is no fraction")
    refused = await andon(*order)
    assert refused.code == 1
    assert "risk.reduce_kelly refuses: Kelly in force is 7, which is no fraction" in refused.err
    assert await services.store.incidents(SYSTEM, closed=True, limit=9) == []
    services.seen = fit
    taken = await andon(*order)
    assert "order taken  risk.reduce_kelly ordered by demo-approver  what becomes of it" in taken.out


async def test_foreign_words_on_a_card_stay_words(services: TwinServices, andon: Andon) -> None:
    """What comes from a target or a policy cannot colour, clear or break the card."""
    incident = await ask(services, changes={"guard": "[red]x[/] \x1b[2J", "verify": None})
    for command in (["show", incident], ["decisions"]):
        shown = (await andon(*command)).out
        assert "\x1b" not in shown
    assert "[red]x[/] \\x1b[2J" in (await andon("show", incident)).out
