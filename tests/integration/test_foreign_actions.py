"""Other distributions' actions: the one of docs/actions.md works as written, and an unsound one stops the start."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bot.adapters.config_files import read_all
from bot.configuration import Floor
from bot.engine.action_ports import Unfit
from bot.errors import ConfigError, InputError
from bot.extensions import ACTIONS, DIAGNOSES, gathered, installed
from bot.house import House
from bot.places import read_setup
from bot.testing import FakeClock, MemoryArchive, MemoryChat, MemoryPager, MemoryStore
from policies import loader
from remediations import notify, var_pattern
from remediations.catalogue import CATALOGUE
from remediations.kit import Entry

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs/andon.yaml"
FILE = re.compile(r"^<!-- file: (\S+) -->\n```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
HERE = "tests.integration.test_foreign_actions"
# Several commands in one process, which is what costs; each command's exit code and output, as JSON.
COMMANDS = """
import contextlib, io, json, sys
from bot import cli
told = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = cli.run(arguments)
    told.append([code, out.getvalue()])
print(json.dumps(told))
"""


class Desk:
    """The distribution of the guide, built, and installed into a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        for name, text in FILE.findall((ROOT / "docs/actions.md").read_text(encoding="utf-8")):
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """A file of it."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")

    def install(self) -> None:
        """What `pip install .` does, without asking any index."""
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
        self.run("-m", "pip", "install", *options, "--target", str(self.site), ".")

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Python beside Andon and what is installed here."""
        environment = os.environ | {"PYTHONPATH": f"{self.site}{os.pathsep}{ROOT}", "ANDON_LOG_LEVEL": "error"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def andon(self, *commands: list[str]) -> list[tuple[int, str]]:
        """What `andon` says to each, one after the other: exit code and standard output."""
        return [(code, out) for code, out in json.loads(self.run("-c", COMMANDS, json.dumps(commands)).stdout)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The guide's distribution, installed once."""
    made = Desk(tmp_path_factory.mktemp("desk"))
    made.install()
    return made


@pytest.mark.slow
def test_the_guide_works_as_written(desk: Desk) -> None:
    """Its files, word for word: the action passes the suite, and Andon takes it into a policy that is checked."""
    ran = desk.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(desk.folder), "tests")
    assert "55 passed" in ran.stdout
    desk.run("-W", "error", "-c", "from tests import worlds; worlds.listener().snapshot(); worlds.feed().snapshot()")
    told = desk.andon(
        ["check", "desk", "--json"], ["check", "desk"], ["actions", "orders.hold_symbol"], ["actions", "--json"],
        ["actions", "orders.unheard_of"],
    )  # fmt: skip
    assert [code for code, _ in told] == [0, 0, 0, 0, 2]
    checked, plainly, page, actions, _ = (out for _, out in told)
    report = json.loads(checked)
    assert report["ok"] is True
    assert [(each["kind"], each["name"], each["distribution"]) for each in report["foreign"]] == [
        ("action", "orders.cancel_all", "desk-actions"),
        ("action", "orders.cut_limit", "desk-actions"),
        ("action", "orders.hold_symbol", "desk-actions"),
        ("diagnosis", "orders.rejects", "desk-actions"),
    ]
    assert "# `orders.hold_symbol`" in page
    assert "SET hold:BTC-USD is not in the allow list of …" in page
    listed = {each["name"]: each["from"] for each in json.loads(actions)["actions"]}
    assert (listed["orders.cut_limit"], listed["orders.rejects"]) == ("desk-actions 1.0", "desk-actions 1.0")
    assert listed["trading.halt"] == "andon"
    assert "orders.cut_limit comes from desk-actions 1.0" in plainly


@pytest.mark.slow
def test_without_it_the_policy_is_wrong(desk: Desk) -> None:
    """The same policy without the distribution: exit 2, and the unknown action by name."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-m", "bot", "check", "desk"], cwd=desk.folder, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "orders.cut_limit" in ran.stdout


@pytest.mark.slow
def test_an_installed_action_that_breaks_stops_the_start(desk: Desk, tmp_path: Path) -> None:
    """Exit 2 and one line that names the distribution and the way out."""
    broken = Desk(tmp_path)
    shutil.copytree(desk.site, broken.site)
    for place in ("site/", ""):  # as installed, and beside it where Python looks first
        broken.write(f"{place}desk_actions/cut_limit.py", '"""Broken."""\nimport no_such_module\n')
    told = " ".join(broken.run("-m", "bot", "serve", "--config", "desk/andon.yaml", code=2).stderr.split())
    assert "desk-actions 1.0" in told
    assert "No module named 'no_such_module'" in told
    assert "pip uninstall desk-actions" in told


# --- what cannot be taken -------------------------------------------------------------------------------------------


class OnlySends:
    """An action without inspect and read_back."""

    async def send(self, context: object, proceed: object) -> None:
        """Nothing."""


ENTRY = replace(notify.ENTRY, spec=replace(notify.SPEC, name="desk.say"))
TAKEN = notify.ENTRY
CARELESS = replace(ENTRY, spec=replace(ENTRY.spec, direction="raises"))
ROOTLESS = replace(ENTRY, spec=replace(ENTRY.spec, delivery="absolute"))
HALF = Entry(ENTRY.spec, ENTRY.params, OnlySends, ENTRY.example)  # type: ignore[arg-type]  # what is tested
UNFIT = replace(ENTRY, example={"mesage": "x"})
GREEDY = replace(ENTRY, needs=lambda arguments: [json.loads(arguments)["mesage"]])  # type: ignore[return-value]  # tested
LOOK = replace(var_pattern.ENTRY, name="desk.look")


def point(attribute: str, name: str = "desk.say", group: str = ACTIONS) -> EntryPoint:
    """An entry point that leads into this file."""
    return EntryPoint(name, f"{HERE}:{attribute}", group)


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([point("NOBODY")], "cannot be imported: AttributeError"),
        ([EntryPoint("desk.say", "no_such_module_here:X", ACTIONS)], "cannot be imported: ModuleNotFoundError"),
        ([point("notify")], "let it lead to an object made with remediations.kit.Entry"),
        ([point("LOOK")], "let it lead to an object made with remediations.kit.Entry"),
        ([point("ENTRY", "desk.shout")], "calls itself 'desk.say'; name its entry point the same"),
        ([point("TAKEN", "notify")], "Andon itself has an action of that name already"),
        ([point("CARELESS")], "it raises exposure, so its risk cannot be safe"),
        ([point("ROOTLESS")], "so nothing can be absolute about it"),
        ([point("HALF")], "OnlySends has no `async def read_back(self, context, proceed)`"),
        ([point("GREEDY")], "its needs raise KeyError('mesage') for its example"),
        ([point("UNFIT")], "its example does not fit its own params: message: Field required"),
    ],
)
def test_what_cannot_be_taken_is_told_with_its_fix(points: list[EntryPoint], told: str) -> None:
    """An action that is silently missing, or breaks a law, would be found out in the middle of an incident."""
    with pytest.raises(ConfigError) as raised:
        gathered(points, [])
    assert told in str(raised.value)
    assert "pip uninstall" in str(raised.value)


def test_every_problem_is_told_at_once() -> None:
    """One line each, so that nobody starts Andon five times."""
    with pytest.raises(ConfigError) as raised:
        gathered([point("NOBODY", "a"), point("CARELESS")], [point("ENTRY", "desk.look", DIAGNOSES)])
    assert len(str(raised.value).splitlines()) == 3


def test_what_can_be_taken_stands_beside_ours() -> None:
    """Ours stay as they are, theirs are added, and where they come from is known."""
    found = gathered([point("ENTRY")], [point("LOOK", "desk.look", DIAGNOSES)])
    assert set(found.catalogue.names()) == {*CATALOGUE.names(), "desk.say"}
    assert set(found.catalogue.diagnoses()) == {*CATALOGUE.diagnoses(), "desk.look"}
    assert [(each.kind, each.name) for each in found.foreign] == [("action", "desk.say"), ("diagnosis", "desk.look")]
    assert found.catalogue.entry("desk.say") is ENTRY


async def test_a_running_andon_knows_it(tmp_path: Path) -> None:
    """Orders are judged by its params and run its code, in the very house that policies are checked for."""
    catalogue = gathered([point("ENTRY")], []).catalogue
    loaded = loader.load(read_all(CONFIGS, read_setup(CONFIGS)), catalogue, now=FakeClock().now())
    house = House(
        floor=Floor(CONFIGS, loaded, catalogue=catalogue), store=MemoryStore(), clock=FakeClock(), folder=tmp_path,
        replica="r1", chat=MemoryChat(), pager=MemoryPager(), archive=MemoryArchive(),
    )  # fmt: skip
    with pytest.raises(InputError, match="message"):
        house.order_plan("trading-core", "desk.say", "", {}, "")
    plan = house.order_plan("trading-core", "desk.say", "", {"message": "hello"}, "")
    assert await house.inspect("trading-core", plan) == Unfit("no chat is connected")
    await house.close()


def test_nothing_is_installed_beside_a_clean_andon() -> None:
    """The suite's own environment brings no action of its own."""
    assert installed().foreign == ()
