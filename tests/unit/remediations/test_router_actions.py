"""`router.pause` names what it freezes and yields to whoever was faster; `router.resume` ends only Andon's own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bot.core.alert import Alert
from bot.engine.action_ports import (
    ActionContext,
    AlreadySo,
    CannotTell,
    HttpReply,
    Inspection,
    Proceed,
    ReadPoint,
    Unfit,
)
from bot.errors import NotSent
from bot.testing import MemoryHttpTarget, MemoryTargets
from bot.testing.targets import SentRequest
from remediations import router_pause, router_resume
from remediations.router_pause import RouterPause
from remediations.router_resume import RouterResume

PLACE = ("trading-core", "model-router")
WHY = '{"reason":"21 switches in a minute"}'
MODEL = "BTC-USD lstm-v2, ETH-USD gru-v1"
LEFT = json.dumps({"router": "paused", "owner": "andon", "model": MODEL, "frozen": MODEL})


class Desk:
    """A router in memory. `tells`: the fields that targets.yaml says can be read."""

    def __init__(
        self, router: object = "running", model: object = MODEL, owner: object = None, *,
        tells: tuple[str, ...] = ("router", "model", "owner"), left: str = "{}",
    ) -> None:  # fmt: skip
        self.targets = MemoryTargets()
        reads = {name: ReadPoint("http", "/api/router/status", name, PLACE[1]) for name in tells}
        self.http: MemoryHttpTarget = self.targets.add(*PLACE, role="router", reads=reads)
        self.http.answers = {f"POST {path}": HttpReply(200, b"{}") for path in (router_pause.PATH, router_resume.PATH)}
        self.http.on_send = self._take
        self._tells = tells
        self.put(router=router, model=model, owner=owner)
        self.context = ActionContext(
            system=PLACE[0], component=PLACE[1], targets=self.targets, now=0, intent="int-1", fence=4, left=left
        )

    def put(self, **fields: object) -> None:
        """Fields now read so; None: cannot be read."""
        for name, value in fields.items():
            if name not in self._tells or value is None:
                self.targets.fields.pop((*PLACE, name), None)
            else:
                self.targets.fields[*PLACE, name] = value  # type: ignore[assignment]  # wrong types are the point

    def _take(self, request: SentRequest) -> None:
        paused = request.path == router_pause.PATH
        self.put(router="paused" if paused else "running", owner=json.loads(request.body or "{}").get("owner"))

    async def pause(self) -> Inspection:
        return await RouterPause().inspect(self.context, WHY)

    async def resume(self) -> Inspection:
        return await RouterResume().inspect(self.context, WHY)


def proceeds(inspection: Inspection) -> Proceed:
    assert isinstance(inspection, Proceed), inspection
    return inspection


def loaded(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


async def test_a_pause_names_the_model_it_freezes_and_whose_it_is() -> None:
    """Card, request and read-back carry the models in force, Andon as the owner and the policy's reason."""
    desk = Desk(owner="desk")
    proceed = proceeds(await desk.pause())
    assert loaded(proceed.before) == {"router": "running", "model": MODEL, "frozen": "nothing", "owner": "desk"}
    assert loaded(proceed.wanted) == {"router": "paused", "frozen": MODEL, "owner": "andon"}
    assert proceed.ask == ""
    await RouterPause().send(desk.context, proceed)
    (sent,) = desk.http.sent
    assert (sent.method, sent.path, sent.idempotency_key, sent.fence) == ("POST", "/api/router/pause", "int-1", 4)
    assert loaded(sent.body) == {"owner": "andon", "reason": "21 switches in a minute"}
    assert proceed.by_hand == ('POST /api/router/pause {"owner":"YOUR-NAME","reason":"21 switches in a minute"}')
    seen = await RouterPause().read_back(desk.context, proceed)
    assert (loaded(seen.after), seen.as_wanted) == (loaded(LEFT), True)
    assert seen.why == f"the router is paused, by Andon; frozen: {MODEL}"


async def test_one_more_switch_before_the_pause_took_hold_is_told() -> None:
    """What was frozen in truth is in the read-back, and that is what a resume compares with."""
    desk = Desk()
    proceed = proceeds(await desk.pause())
    await RouterPause().send(desk.context, proceed)
    desk.put(model="BTC-USD gru-v1, ETH-USD gru-v1")
    seen = await RouterPause().read_back(desk.context, proceed)
    assert seen.as_wanted is True
    assert loaded(seen.after)["frozen"] == "BTC-USD gru-v1, ETH-USD gru-v1"


async def test_a_yes_to_a_pause_outlives_a_switch_and_one_to_a_resume_does_not() -> None:
    """A running router's model changes every few seconds; a paused one's only by a hand."""
    assert router_pause.SPEC.pins == ("router",)
    assert router_resume.SPEC.pins == ("router", "model", "owner")
    assert (router_pause.SPEC.risk, router_pause.SPEC.direction) == ("safe", "lowers")
    assert (router_resume.SPEC.risk, router_resume.SPEC.direction) == ("risky", "raises")
    assert router_pause.SPEC.undo == router_resume.SPEC.name


@pytest.mark.parametrize(
    ("owner", "said"),
    [("desk", "by desk"), ("andon", "by Andon"), (None, "by whom cannot be told (model-router has no readable owner)")],
)
async def test_a_router_that_is_paused_is_left_alone(owner: str | None, said: str) -> None:
    """Also by somebody else, whose pause must not become Andon's by being repeated."""
    desk = Desk("paused", owner=owner)
    inspection = await desk.pause()
    assert isinstance(inspection, AlreadySo)
    assert inspection.why == f"the router is paused already, {said}"


async def test_somebody_pausing_first_is_not_paused_again() -> None:
    """Between intent and request: nothing is sent, and the read-back says whose pause it is."""
    desk = Desk()
    proceed = proceeds(await desk.pause())
    desk.put(router="paused", owner="desk")
    with pytest.raises(NotSent, match="paused meanwhile, by desk"):
        await RouterPause().send(desk.context, proceed)
    assert desk.http.sent == []
    seen = await RouterPause().read_back(desk.context, proceed)
    assert (seen.as_wanted, "by desk" in seen.why) == (True, True)


@pytest.mark.parametrize("state", [None, "pausing", "PAUSED", True, 1.0, ""])
@pytest.mark.parametrize("action", [RouterPause, RouterResume])
async def test_a_state_that_is_neither_asks_a_person(
    state: object, action: type[RouterPause] | type[RouterResume]
) -> None:
    """Unreadable or unknown: nothing is sent, nothing is proved."""
    desk = Desk(state, left=LEFT)
    assert isinstance(await action().inspect(desk.context, WHY), CannotTell)
    proceed = Proceed(before="{}", wanted="{}", arguments=WHY)
    with pytest.raises(NotSent):
        await action().send(desk.context, proceed)
    assert (await action().read_back(desk.context, proceed)).as_wanted is None
    assert desk.http.sent == []


async def test_a_router_without_owner_and_model_is_paused_as_the_runbook_does_it() -> None:
    """A bare request; the card says that the model is not named."""
    desk = Desk(tells=("router",))
    proceed = proceeds(await desk.pause())
    assert loaded(proceed.before) == {"router": "running", "frozen": "nothing"}
    assert loaded(proceed.wanted) == {"router": "paused", "frozen": "a model that the router does not name"}
    assert proceed.ask == ""
    await RouterPause().send(desk.context, proceed)
    assert desk.http.sent[0].body == ""
    assert (await RouterPause().read_back(desk.context, proceed)).as_wanted is True


async def test_a_model_that_should_be_readable_and_is_not_asks() -> None:
    """Freezing nobody knows what is a person's to decide, where it can usually be known."""
    assert "cannot be read" in proceeds(await Desk(model=None).pause()).ask
    assert isinstance(await Desk("paused", None, "andon", left=LEFT).resume(), CannotTell)


async def test_a_pause_that_was_accepted_and_not_done_is_not_as_wanted() -> None:
    """The router said yes and runs on."""
    desk = Desk()
    proceed = proceeds(await desk.pause())
    desk.http.on_send = lambda _: None
    await RouterPause().send(desk.context, proceed)
    seen = await RouterPause().read_back(desk.context, proceed)
    assert (seen.as_wanted, seen.why) == (False, "the router still runs")


# --- resume -------------------------------------------------------------------------------------------------------


async def test_a_resume_ends_andons_own_pause() -> None:
    """As it was left, owner and all: one request, after which it runs."""
    desk = Desk("paused", owner="andon", left=LEFT)
    proceed = proceeds(await desk.resume())
    assert proceed.ask == ""
    assert loaded(proceed.wanted) == {"router": "running", "frozen": "nothing"}
    await RouterResume().send(desk.context, proceed)
    assert [(sent.path, loaded(sent.body)["owner"]) for sent in desk.http.sent] == [("/api/router/resume", "andon")]
    seen = await RouterResume().read_back(desk.context, proceed)
    assert (seen.as_wanted, seen.why) == (True, "the router runs")


@pytest.mark.parametrize(
    ("found", "left", "why"),
    [
        ({"owner": "desk"}, LEFT, "paused by desk, not by Andon"),
        ({"owner": "desk"}, "{}", "paused by desk, not by Andon"),
        ({"owner": "andon", "model": "BTC-USD xgb-v3"}, LEFT, f"its model went from {MODEL} to BTC-USD xgb-v3"),
        ({"owner": None}, LEFT, "its owner went from andon to nobody"),
        ({"owner": "andon"}, '{"router":"running","owner":"andon"}', "it went from running to paused"),
    ],
)
async def test_a_human_s_own_pause_or_change_is_never_resumed_over(
    found: dict[str, object], left: str, why: str
) -> None:
    """Another owner, another model, a pause after Andon's own resume: refused, with what differs."""
    desk = Desk("paused", left=left)
    desk.put(**found)
    inspection = await desk.resume()
    assert isinstance(inspection, Unfit)
    assert why in inspection.why


async def test_a_change_between_yes_and_request_stops_the_resume() -> None:
    """The desk takes the pause over after the card was answered: nothing is sent."""
    desk = Desk("paused", owner="andon", left=LEFT)
    proceed = proceeds(await desk.resume())
    desk.put(owner="desk")
    with pytest.raises(NotSent, match="meanwhile its owner went from andon to desk"):
        await RouterResume().send(desk.context, proceed)
    desk.put(router="running", owner="desk")
    with pytest.raises(NotSent, match="meanwhile the router runs"):
        await RouterResume().send(desk.context, proceed)
    assert desk.http.sent == []


async def test_what_runs_is_not_resumed() -> None:
    """Somebody was faster."""
    inspection = await Desk(owner="desk", left=LEFT).resume()
    assert isinstance(inspection, AlreadySo)


async def test_without_an_owner_a_person_is_told_what_nobody_can_tell() -> None:
    """The state alone: as it was left proves little, and without that nothing shows whose pause it is."""
    left = json.dumps({"router": "paused", "model": MODEL})
    tells = ("router", "model")
    same = proceeds(await Desk("paused", tells=tells, left=left).resume())
    assert "as Andon left it, but by whom cannot be told" in same.ask
    unknown = proceeds(await Desk("paused", tells=tells).resume())
    assert "nothing shows that it was Andon" in unknown.ask
    assert isinstance(await Desk("paused", "BTC-USD xgb-v3", tells=tells, left=left).resume(), Unfit)


@pytest.mark.parametrize(
    ("left", "unsaid"),
    [
        ("{}", "router and model and owner"),
        ('{"router":"paused"}', "model and owner"),
        (json.dumps({"router": "paused", "owner": "andon"}), "model"),
    ],
)
async def test_where_nothing_tells_what_andon_left_people_are_told_so(left: str, unsaid: str) -> None:
    """An order by hand, a read-back that failed: a model that people chose since would look like Andon's own."""
    found = proceeds(await Desk("paused", "BTC-USD xgb-v3", "andon", left=left).resume())
    assert found.ask == f"nothing tells the {unsaid} that Andon left, so what people changed since cannot be told"


async def test_what_people_do_by_hand_bears_their_own_name() -> None:
    """Pasted as it is shown, it is still nobody's pause but a person's: Andon refuses to end it."""
    desk = Desk(tells=("router", "model", "owner"))
    shown = proceeds(await desk.pause()).by_hand
    desk.put(router="paused", owner=json.loads(shown.partition("pause ")[2])["owner"])
    inspection = await desk.resume()
    assert isinstance(inspection, Unfit)
    assert "paused by YOUR-NAME, not by Andon" in inspection.why
    asked = proceeds(await Desk("paused", owner="andon", left=LEFT).resume())
    assert '"owner":"YOUR-NAME"' in asked.by_hand


async def test_a_cause_that_is_still_there_is_said() -> None:
    """While its alert fires, nobody says yes without knowing."""
    desk = Desk("paused", owner="andon", left=LEFT)
    labels = {"alertname": "ExcessiveModelSwitching"}
    alert = Alert(fingerprint="f" * 16, status="firing", labels=labels, starts_at=0, ends_at=None)
    desk.context = replace(desk.context, alerts=(alert,))
    assert "ExcessiveModelSwitching still fires" in proceeds(await desk.resume()).ask
    desk.context = replace(desk.context, alerts=(replace(alert, status="resolved", ends_at=1),))
    assert proceeds(await desk.resume()).ask == ""


async def test_a_resume_that_was_accepted_and_not_done_is_not_as_wanted() -> None:
    """It stands still all the same, and the read-back says so."""
    desk = Desk("paused", owner="andon", left=LEFT)
    seen = await RouterResume().read_back(desk.context, proceeds(await desk.resume()))
    assert (seen.as_wanted, seen.why) == (False, "the router is paused, by Andon")


async def test_a_component_that_is_not_listed_cannot_be_told() -> None:
    """targets.yaml has no such router."""
    desk = Desk()
    nowhere = replace(desk.context, component="gone")
    assert isinstance(await RouterPause().inspect(nowhere, WHY), CannotTell)
