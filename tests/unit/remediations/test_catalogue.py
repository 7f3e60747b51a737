"""The catalogue names what exists, judges arguments at load, and gives the engine what runs them."""

from __future__ import annotations

import json

import pytest

from bot.engine.action_ports import ActionContext, Proceed
from bot.errors import ConfigError, DeliveryError, NotSent
from bot.testing import MemoryTargets
from remediations import notify, reduce_kelly
from remediations.catalogue import CATALOGUE, ActionCatalogue, Entry


def test_names_lead_to_declarations_and_implementations() -> None:
    """Every name has all it needs; an unknown name has nothing, and says so."""
    assert CATALOGUE.names() == tuple(sorted(CATALOGUE.names()))
    for name in CATALOGUE.names():
        assert CATALOGUE.action(name) is not None
        assert CATALOGUE.spec(name) is not None
        assert json.loads(CATALOGUE.params_schema(name))["type"] == "object"
    for name in CATALOGUE.diagnoses():
        assert CATALOGUE.diagnosis(name) is not None
    assert CATALOGUE.action("risk.reduce_kely") is None
    assert CATALOGUE.diagnosis("nope") is None
    assert CATALOGUE.spec("nope") is None
    assert CATALOGUE.check_arguments("nope", "{}", partial=True)
    for call in (CATALOGUE.params_schema, lambda name: CATALOGUE.canonical_arguments(name, "{}")):
        with pytest.raises(ConfigError, match="no action named"):
            call("nope")


def test_an_entry_listed_under_another_name_stops_the_start() -> None:
    """The name in the list is the name in the declaration."""
    entry = Entry(notify.SPEC, notify.NotifyParams, notify.Notify)
    with pytest.raises(ConfigError, match="calls itself notify"):
        ActionCatalogue({"say": entry}, {})


def test_declarations_are_as_the_design_has_them() -> None:
    """Delivery, risk, direction and role decide what may run alone; they change on purpose only."""
    assert reduce_kelly.SPEC.delivery == "absolute"
    assert (reduce_kelly.SPEC.risk, reduce_kelly.SPEC.direction, reduce_kelly.SPEC.role) == ("safe", "lowers", "risk")
    call = CATALOGUE.spec("http.call")
    assert call is not None
    assert (call.delivery, call.risk, call.direction) == ("once", "risky", "neutral")
    say = CATALOGUE.spec("notify")
    assert say is not None
    assert (say.risk, say.direction, say.role) == ("safe", "neutral", "")


@pytest.mark.parametrize(
    ("arguments", "partial", "paths"),
    [
        ({"kelly_fraction": 0.1, "reason": "VaR on ${labels.symbol}"}, True, []),
        ({"kelly_fraction": "${labels.kelly}", "reason": "x"}, True, []),
        ({"kelly_fraction": "${labels.kelly}", "reason": "x"}, False, ["kelly_fraction"]),
        ({"kelly_fraction": 7, "reason": "${labels.symbol}"}, True, ["kelly_fraction"]),
        ({"kelly_fraction": 0.1}, True, ["reason"]),
        ({"kelly_fraction": 0.1, "reason": "x", "kely": "${labels.x}"}, True, []),
        ({"kelly_fraction": 0.1, "reason": "x", "kely": 1}, True, ["kely"]),
    ],
)
def test_what_waits_for_an_incident_is_not_judged(
    arguments: dict[str, object], partial: bool, paths: list[str]
) -> None:
    """At load `${…}` is left alone and everything beside it is judged, each problem at its path."""
    found = CATALOGUE.check_arguments("risk.reduce_kelly", json.dumps(arguments), partial=partial)
    assert [problem.path for problem in found] == paths


def test_placeholders_inside_a_body_wait_too() -> None:
    """A nested value that holds a placeholder leaves its argument unjudged."""
    arguments = {"path": "/x", "body": {"a": [{"b": "${labels.x}"}]}}
    assert CATALOGUE.check_arguments("http.call", json.dumps(arguments), partial=True) == ()


@pytest.mark.parametrize("path", ["x", "", "/a b", "/a?b=1", "/a#b", "/a\nb", "http://host/x", "/" + "x" * 500])
def test_a_call_s_path_is_a_plain_path(path: str) -> None:
    """Host, query and fragment are the component's business."""
    assert CATALOGUE.check_arguments("http.call", json.dumps({"path": path}), partial=False)


def test_canonical_arguments_carry_their_defaults() -> None:
    """Two spellings of the same call have one digest."""
    short = CATALOGUE.canonical_arguments("http.call", '{"path": "/x"}')
    assert short == CATALOGUE.canonical_arguments("http.call", '{"body": null, "method": "POST", "path": "/x"}')
    assert short == '{"body":null,"method":"POST","path":"/x"}'


async def test_a_notification_says_its_words_once() -> None:
    """The words reach the context's voice unchanged; a deaf chat means provably not said."""
    said: list[str] = []

    async def say(text: str) -> str:
        said.append(text)
        if len(said) > 1:
            raise DeliveryError("chat is down")
        return "ref"

    context = ActionContext(system="s", component="", targets=MemoryTargets(), now=0, say=say)
    proceed = await notify.Notify().inspect(context, '{"message":"<!channel> *VaR*"}')
    assert isinstance(proceed, Proceed)
    await notify.Notify().send(context, proceed)
    assert said == ["<!channel> *VaR*"]
    with pytest.raises(NotSent):
        await notify.Notify().send(context, proceed)
