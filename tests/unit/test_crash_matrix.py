"""The crash matrix's own judgement: a matrix that cannot see a doubled or a lost action proves nothing."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from types import ModuleType

from bot import app
from tests.crash import lanes, points, worker
from tests.crash.judge import Fate, fates
from tests.crash.notes import Notes, read
from tests.crash.publish import BEGIN, END, publish
from tests.crash.round import Plan, Played, Trial, draw
from tests.crash.tally import Tally, tally


def _line(what: str, lane: str, at: int = 5) -> str:
    return json.dumps({"at": at, "what": what, "round": "r0", "lane": lane, "late": False})


def _tally(ledger: list[str], *trials: Trial, accepted: tuple[str, ...] = ("once-00",), problem: str = "") -> Tally:
    played = Played(Plan("r0", points.SENT, 0, 0), accepted=accepted, trials=list(trials), problem=problem)
    return tally([played], fates(ledger), seed=1)


def _trial(lane: str = "once-00") -> Trial:
    return Trial("r0", lane, points.SENT.name, points.SENT.name, 1.5)


def test_an_effect_that_came_twice_is_doubled_whoever_was_paged() -> None:
    """Two effects in the target's ledger for one intent; a page about it excuses nothing."""
    found = _tally([_line("effect", "once-00"), _line("effect", "once-00"), _line("page", "once-00")], _trial())
    assert (found.doubled, found.rows[0].doubled, found.clean) == ([("r0", "once-00")], 1, False)


def test_a_request_that_the_target_refused_or_that_changed_nothing_doubles_nothing() -> None:
    """A second request under the same key or fence, or for the value that is there already, is no second effect."""
    found = _tally([_line("effect", "keyed-00"), _line("same", "keyed-00"), _line("refused", "keyed-00")])
    assert (found.doubled, fates([_line("refused", "keyed-00")])["r0", "keyed-00"].repeats) == ([], 1)


def test_an_accepted_alert_without_effect_or_page_is_lost_also_where_no_worker_had_it_in_hand() -> None:
    """The ledger knows nothing of it; a page makes it parked instead."""
    assert _tally([], accepted=("once-00", "once-01")).lost == [("r0", "once-00"), ("r0", "once-01")]
    assert _tally([_line("page", "once-00")], _trial()).rows[0].parked == 1
    assert _tally([_line("page", "once-00")], _trial()).clean


def test_what_was_done_once_without_a_person_is_recovered() -> None:
    """One effect, no page; the time is that from the kill to the outcome."""
    row = _tally([_line("effect", "once-00")], _trial()).rows[0]
    assert (row.recovered, row.parked, row.lost, row.median_seconds) == (1, 0, 0, 1.5)
    assert not Fate(effects=1, paged_at=7).recovered


def test_a_round_without_an_end_is_not_clean() -> None:
    """What still waits has not been judged."""
    assert not _tally([_line("effect", "once-00")], _trial(), problem="3 entries still wait").clean


def test_where_an_intent_was_is_told_by_its_worker_s_last_notes(tmp_path: Path) -> None:
    """Half a declaration is named by the half that is durable; a second attempt begins anew."""
    notes = Notes(tmp_path / "notes")
    for what in ("taken", "declaring", "stored"):
        notes.write(what, "int-1", "once-00")
    for what in ("taken", "declaring", "journalled", "stored", "declared", "sent", "declaring", "journalled"):
        notes.write(what, "int-2", "absolute-00")
    hands = read(tmp_path / "notes")
    assert points.stage(hands["int-1"].notes) == points.STORED.name
    assert points.stage(hands["int-2"].notes) == points.JOURNALLED.name
    assert points.stage(["taken", "declaring", "journalled", "stored"]) == points.DECLARED.name
    assert points.stage(["taken"]) == points.TAKEN


def test_every_point_has_its_turn_and_a_seed_plans_the_same_again() -> None:
    """However few trials are wanted, each named point, random moments and an heir are among them."""
    plans = [draw(7, number) for number in range(len(points.ALL))]
    assert {plan.point for plan in plans} >= {*points.NAMED, points.RANDOM, points.HEIR}
    assert plans == [draw(7, number) for number in range(len(points.ALL))] != [draw(8, n) for n in range(11)]


def test_lanes_fit_into_the_activities_of_one_shard() -> None:
    """More lanes than activities at once would wait in line, and be in flight at no kill."""
    from bot.engine.dispatch import MAX_ACTIVITIES

    assert len(lanes.LANES) == MAX_ACTIVITIES


def test_the_worker_is_composed_as_andon_serve_is() -> None:
    """Each part that `bot.app` gives the house, and all it asks of it; or something else is tried than what runs."""
    assert _composition(worker, "NotedHouse") == _composition(app, "House")


def _composition(module: ModuleType, house: str) -> tuple[set[str], set[str]]:
    """The parts a module makes the house of, and what it uses of it."""
    tree = list(ast.walk(ast.parse(inspect.getsource(module))))
    parts = {
        keyword.arg or ""
        for node in tree
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == house
        for keyword in node.keywords
    }
    used = {
        node.attr
        for node in tree
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "house"
    }
    return parts, used - {"reloader"}  # SIGHUP: no worker gets one


def test_publishing_replaces_what_stands_between_the_markers_and_nothing_else(tmp_path: Path) -> None:
    """The page around it is somebody else's."""
    page = tmp_path / "reliability.md"
    page.write_text(f"# Reliability\n\nwords\n\n{BEGIN}\nold\n{END}\n\nmore words\n")
    publish(page, _tally([_line("effect", "once-00")], _trial()), 100)
    text = page.read_text()
    assert text.startswith(f"# Reliability\n\nwords\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nmore words\n")
    assert "old" not in text
    assert "| once, plain target" in text
    assert "make crash TRIALS=100" in text
