"""The chart on a decision card: from a real Prometheus's history to a picture that Slack shows."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest
from pydantic import SecretStr

from bot.adapters.evidence_history import Histories, History, Line, limit_in
from bot.adapters.slack.board.charts import Charts, begin, described, draw
from bot.adapters.slack.board.gallery import Gallery
from bot.adapters.slack.board.sights import Sight
from bot.adapters.slack.line.api import SlackApi
from bot.core.alert import Alert
from bot.core.approval import PendingApproval, Terms
from bot.core.incident import Incident, StepResult
from bot.core.plan import Plan, Step
from bot.core.words import Millis
from bot.engine.ports import Versioned
from bot.sandbox.slack.server import LocalSlack
from bot.testing import MemoryStore
from bot.testing.clock import FakeClock
from tests.integration.slack_line import HOST, here

NOW: Millis = 1_767_225_600_000
HOUR: Millis = 3_600_000


def history(name: str = "var", label: str = "symbol=BTC-USD") -> History:
    points = tuple((NOW - HOUR + at * 60_000, 1.2 + at / 40) for at in range(60))
    return History(name, "var_pct", (Line(label, points), Line("flat", points[:1])), 1.8, NOW - HOUR, NOW)


class Known(Histories):
    """Knows one history, whatever is asked."""

    def __init__(self, found: History | None) -> None:
        self._found = found

    async def read(self, plan: Plan, guard: str, alerts: Sequence[Alert], now: Millis) -> History | None:
        return self._found


class Seen(Charts):
    """Draws nothing, and tells what it was to mark."""

    def __init__(self) -> None:
        super().__init__(Known(None))
        self.marks: asyncio.Future[list[tuple[Millis, str]]] = asyncio.get_running_loop().create_future()

    async def picture(
        self, plan: Plan, guard: str, alerts: Sequence[Alert], marks: Sequence[tuple[Millis, str]], now: Millis
    ) -> None:
        self.marks.set_result(list(marks))


class Parents(MemoryStore):
    """Holds one incident."""

    def __init__(self, incident: Incident) -> None:
        super().__init__()
        self._incident = incident

    async def load(self, shard: str, ids: Sequence[str]) -> dict[str, Versioned]:
        return {self._incident.id: Versioned(record=self._incident, version=1, head="")}


def asking(approval: str = "dec-1") -> Sight:
    """An incident that asks a question."""
    step = Step(
        id="1", action="risk.reduce_kelly", component="risk", arguments="{}", risk="risky", direction="lowers",
        delivery="absolute", automatic=False, guard="evidence.var > 1.8",
    )  # fmt: skip
    terms = Terms(
        digest="d", pins="{}", wanted="{}", policy_hash="", current_hash="", quorum=1, asked_at=NOW, expires_at=NOW + 1
    )
    asked = PendingApproval(id=approval, step="1", why="", arguments="{}", before="{}", terms=terms)
    plan = Plan(policy="var-breach", system="trading-core", policy_hash="h", mode="auto", steps=(step,))
    return Sight(shard="trading-core", incident=Incident(id="inc-1", key="k", system="s", plan=plan, approval=asked))


@pytest.mark.parametrize("label", ["symbol=BTC-USD", r"$\frac{1}{0}$", "日本\x00\n<!channel>", "x" * 5_000, "_^{}%"])
def test_whatever_a_label_holds_is_drawn_and_never_interpreted(label: str) -> None:
    """`$` would begin mathematics, a glyph may be missing, a name may be long: there is a picture all the same."""
    png = draw(history(name=label, label=label), [(NOW - 600_000, label)])
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    assert (600 <= width <= 900, 200 <= height <= 400) == (True, True)


def test_the_picture_is_told_in_words() -> None:
    """For whoever cannot see it."""
    assert described(history()) == "var over the last hour: from 1.2 to 2.675, now 2.675, limit 1.8"
    assert limit_in("evidence.var > 1.8 && evidence.other < 3", "other") == 3.0
    assert limit_in("evidence.variance > 9", "var") is None


async def test_a_question_gets_its_picture_once_slack_has_it() -> None:
    """Nothing is shown before Slack can show it; then the board is nudged, and the same picture stays."""
    nudged: list[str] = []
    came = asyncio.Event()

    def changed(names: Sequence[str]) -> None:
        nudged.extend(names)
        came.set()

    charts = Charts(Known(history()))
    async with LocalSlack(host=HOST) as slack:  # which takes uploads at another host than its API's
        slack.faults.files_late_ms = 700
        api = SlackApi(slack.api_url, SecretStr(slack.world.app.bot_token), lookup=here)
        gallery = Gallery(charts, api, MemoryStore(), FakeClock(), changed)
        try:
            async with asyncio.TaskGroup() as tasks:
                hanging = tasks.create_task(gallery.run())
                assert gallery.of(asking()) == ("", "")
                async with asyncio.timeout(20):
                    await came.wait()
                file, words = gallery.of(asking())
                hanging.cancel()
        finally:
            await api.close()
        assert nudged == ["trading-core|inc-1"]
        assert slack.state.showable(file)
        assert words.startswith("var over the last hour")
        assert slack.state.files[file].content.startswith(b"\x89PNG")


@pytest.mark.parametrize("scope", ["files:read", "files:write"])
async def test_an_app_that_may_not_upload_has_no_pictures_and_goes_on(scope: str) -> None:
    """The board waits for none of them, and the next question is tried again: somebody may have mended it."""
    async with LocalSlack(host=HOST) as slack:
        whole = slack.world.app.scopes
        slack.world.app.scopes = tuple(each for each in whole if each != scope)
        api = SlackApi(slack.api_url, SecretStr(slack.world.app.bot_token), lookup=here)
        came = asyncio.Event()
        gallery = Gallery(Charts(Known(history())), api, MemoryStore(), FakeClock(), lambda names: came.set())
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            hanging = tasks.create_task(gallery.run())
            assert gallery.of(asking("dec-1")) == ("", "")
            while not any(call.error == "missing_scope" for call in slack.calls):
                await asyncio.sleep(0.02)
            slack.world.app.scopes = whole
            gallery.of(asking("dec-2"))
            await came.wait()
            hanging.cancel()
        await api.close()
        assert gallery.of(asking("dec-1")) == ("", "")
        assert gallery.of(asking("dec-2"))[0]


async def test_a_branchs_picture_marks_what_its_incident_did_before() -> None:
    """Whoever decides about the halt sees where the cut was."""
    cut = StepResult(step="1", episode=1, outcome="succeeded", at=NOW - 60_000, why="")
    sight = asking()
    parent = replace(sight.incident, id="inc-0", episode=1, results=(cut,), approval=None)
    store, seen = Parents(parent), Seen()
    async with LocalSlack() as slack:
        api = SlackApi(slack.api_url, SecretStr(slack.world.app.bot_token))
        gallery = Gallery(seen, api, store, FakeClock(), lambda names: None)
        gallery.of(replace(sight, incident=replace(sight.incident, parent="inc-0")))
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            drawing = tasks.create_task(gallery.run())
            assert await seen.marks == [(NOW - 60_000, "risk.reduce_kelly"), (NOW, "asked: risk.reduce_kelly")]
            drawing.cancel()
        await api.close()


async def test_a_first_questions_picture_marks_what_is_asked_and_when() -> None:
    """Nothing was done yet, and whoever decides sees where on the curve they were called, however much was done."""
    sight = asking()
    done = tuple(
        StepResult(step="1", episode=0, outcome="succeeded", at=NOW - 1_000 * at, why="") for at in range(1, 20)
    )
    for results in ((), done):
        seen = Seen()
        async with LocalSlack() as slack:
            api = SlackApi(slack.api_url, SecretStr(slack.world.app.bot_token))
            gallery = Gallery(seen, api, MemoryStore(), FakeClock(), lambda names: None)
            gallery.of(replace(sight, incident=replace(sight.incident, results=results)))
            async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
                drawing = tasks.create_task(gallery.run())
                marks = await seen.marks
                drawing.cancel()
            await api.close()
        assert marks[-1] == (NOW, "asked: risk.reduce_kelly")
        assert marks == sorted(marks)


def test_a_short_past_is_not_drawn_as_a_corner() -> None:
    """The picture begins where the figure does, yet shows five minutes at least and the hour at most."""
    for minutes, shown in ((1, 5.25), (20, 21), (60, 60)):
        line = Line("", ((NOW - minutes * 60_000, 1.0), (NOW, 2.0)))
        assert (NOW - begin(replace(history(), lines=(line,)))) / 60_000 == pytest.approx(shown)


async def test_without_a_history_there_is_no_picture_and_no_upload() -> None:
    """Most policies ask no Prometheus; their cards are simply without."""
    assert await Charts(Known(None)).picture(asking().incident.plan or Plan(
        policy="p", system="s", policy_hash="", mode="auto"), "", (), (), NOW) is None  # fmt: skip
