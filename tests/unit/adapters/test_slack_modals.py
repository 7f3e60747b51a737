"""The modals of Slack: each within its limits whatever is put in, and what comes back is typed or told to be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bot.adapters.slack.cards.shapes import Ref
from bot.adapters.slack.pages import arm_modals, forms, lift_modals, modals, run_modals
from bot.adapters.slack.pages.forms import FieldErrors
from bot.core.incident import Incident, StepResult
from bot.core.plan import Plan, Rung, Step
from bot.engine.action_ports import Component
from bot.errors import InputError
from bot.sandbox.slack.limits import problems
from remediations.catalogue import CATALOGUE

REF = Ref("inc-abcdefghij", "dec-1", "f" * 64)
HOSTILE = "<!channel> <@U123> *b* `c` \x00\x1b[2J \u202e &lt; 😀" + "x" * 5_000
FLOOR = tuple(
    Component(system="trading-core", name=f"{role}-1", role=role, reads={}, floors={})
    for role in ("risk", "router", "router-process", "store", "service")
)
SPECS = tuple(spec for name in CATALOGUE.names() if (spec := CATALOGUE.spec(name)) is not None)


def said(**fields: Any) -> dict[str, Any]:
    """What Slack sends back: a text as it was typed, a `set` as an option chosen, a bool as a box."""
    values: dict[str, Any] = {}
    for name, value in fields.items():
        match value:
            case bool():
                element: dict[str, Any] = {"selected_options": [{"value": "yes"}] if value else []}
            case set():
                element = {"selected_option": {"value": next(iter(value))}}
            case _:
                element = {"value": value}
        values[name.replace("__", ".")] = {"value": element}
    return values


def wrong(callback: str, metadata: str, **fields: Any) -> dict[str, str]:
    """The sentences of a form that is refused, by field."""
    found = modals.read(callback, metadata, said(**fields))
    assert isinstance(found, FieldErrors)
    assert found.reply == {"response_action": "errors", "errors": dict(found.problems)}
    return dict(found.problems)


def every_modal(words: str) -> list[dict[str, Any]]:
    """Each modal there is, with these words wherever words go in."""
    short = words[:140]
    choice = forms.RunChoice(system="trading-core", component="risk-1", action="risk.reduce_kelly")
    order = forms.RunForm(
        system="trading-core", component="risk-1", action="risk.reduce_kelly", arguments={"kelly_fraction": 0.1}
    )
    seen = {
        "outcome": "would act", "why": words, "before": words, "wanted": words, "by_hand": words, "stopped": "",
        "your_word_is_enough": False, "approval": words, "may_approve": [words], "quorum": 2,
    }  # fmt: skip
    spec = CATALOGUE.spec(choice.action)
    assert spec is not None
    asked = forms.SilenceForm(matchers=(short,), for_ms=900_000, comment=short)
    return [
        modals.deny(REF, words),
        modals.alone(REF, words, words),
        modals.edit(REF, words, [modals.Bound("kelly_fraction", 0.05, 0.1)]),
        modals.hold(REF),
        modals.escalate(REF, words),
        modals.resolve(REF, 2),
        modals.freeze(["trading-core", short], [*FLOOR, Component("trading-core", short, "risk", {}, {})]),
        lift_modals.choose({"trading-core|": words, f"trading-core|{short}": words}),
        lift_modals.choose({}),
        modals.silence([words], 900_000, words),
        modals.silence_confirm(asked, [words] * 50),
        modals.told("done", words),
        run_modals.choose(SPECS, [*FLOOR, Component("trading-core", short, "risk", {}, {})], ["trading-core", short]),
        run_modals.fields(choice, spec, CATALOGUE.params_schema(choice.action), {"reason": words}),
        run_modals.preview(order, seen),
        run_modals.preview(order, seen | {"stopped": words}),
        run_modals.preview(order, seen | {"outcome": "nothing to do"}),
    ]


def test_every_modal_is_within_slacks_limits() -> None:
    """Slack refuses a view that is too long anywhere; nobody decides in a window that does not open."""
    for words in ("VaR stays high", "", HOSTILE, "😀" * 4_000, '"\\' * 3_000):
        for shown in every_modal(words):
            assert problems(shown) == [], shown["title"]


def test_foreign_words_are_never_marked_up_in_a_modal() -> None:
    """Text from alerts and targets mentions nobody: it is plain text without emoji codes, wherever it stands."""
    drawn = json.dumps([shown | {"private_metadata": ""} for shown in every_modal(HOSTILE)])
    assert '"mrkdwn"' not in drawn
    assert '"emoji": true' not in drawn
    assert "<!channel>" in drawn  # shown letter by letter, so the rest of this test is about something
    assert not any(hidden in drawn for hidden in ("\\u001b", "\\u202e"))


def test_each_action_can_be_filled_in() -> None:
    """Every parameter of every action has a field, in a view that Slack takes; what is required there is required."""
    for spec in SPECS:
        schema = json.loads(CATALOGUE.params_schema(spec.name))
        choice = forms.RunChoice(system="trading-core", component="x", action=spec.name)
        shown = run_modals.fields(choice, spec, CATALOGUE.params_schema(spec.name))
        assert problems(shown) == []
        fields = {block["block_id"]: block for block in shown["blocks"] if block["type"] == "input"}
        for name in schema["properties"]:
            assert fields[f"arg.{name}"]["optional"] is (name not in schema.get("required", ()))


def test_a_reason_that_was_typed_stands_in_the_form() -> None:
    """Also where the action itself takes none."""
    bare = '{"properties": {"kelly_fraction": {"type": "number"}}}'
    spec = CATALOGUE.spec("risk.reduce_kelly")
    assert spec is not None
    choice = forms.RunChoice(system="s", component="c", action=spec.name)
    for schema in (bare, CATALOGUE.params_schema(spec.name)):
        assert '"initial_value": "VaR is high"' in json.dumps(
            run_modals.fields(choice, spec, schema, {"reason": "VaR is high"})
        )


def test_an_order_keeps_its_types_from_field_to_order() -> None:
    """Numbers come back as numbers, lists as lists, JSON as JSON, what was left empty not at all."""
    for action, fields, arguments in (
        ("risk.reduce_kelly", {"kelly_fraction": "0.1", "reason": "VaR"}, {"kelly_fraction": 0.1, "reason": "VaR"}),
        ("redis.failover", {"slow_us": "4000", "announce": "", "reason": "r"}, {"slow_us": 4000, "reason": "r"}),
        ("redis.command", {"command": "HSET\nlimits\na\n1", "reason": "r"},
         {"command": ["HSET", "limits", "a", "1"], "reason": "r"}),
        ("http.call", {"method": {"PUT"}, "path": "/a", "body": '{"b": 1}'},
         {"method": "PUT", "path": "/a", "body": {"b": 1}}),
    ):  # fmt: skip
        spec = CATALOGUE.spec(action)
        assert spec is not None
        choice = forms.RunChoice(system="s", component="c", action=action)
        shown = run_modals.fields(choice, spec, CATALOGUE.params_schema(action))
        typed = {f"arg__{name}": value for name, value in fields.items()}
        if "reason" not in fields:
            typed["reason"] = "because"
        form = modals.read(shown["callback_id"], shown["private_metadata"], said(**typed))
        assert isinstance(form, forms.RunForm)
        assert (form.system, form.component, form.action, form.confirmed) == ("s", "c", action, False)
        assert form.arguments == arguments
        assert CATALOGUE.check_arguments(action, json.dumps(form.arguments), partial=False) == ()
        assert form.reason == fields.get("reason", "because")


def test_what_was_previewed_is_what_is_run() -> None:
    """The confirmation carries the order whole, and says that its effects were seen."""
    form = forms.RunForm(
        system="s", component="c", action="risk.reduce_kelly", arguments={"kelly_fraction": 0.1}, reason="é"
    )
    seen = {
        "outcome": "would act", "why": "", "before": "{}", "wanted": "{}", "by_hand": "", "stopped": "",
        "your_word_is_enough": True, "approval": "you may",
    }  # fmt: skip
    shown = run_modals.preview(form, seen)
    again = modals.read(shown["callback_id"], shown["private_metadata"], {})
    assert again == forms.RunForm(
        system="s", component="c", action="risk.reduce_kelly", arguments={"kelly_fraction": 0.1}, reason="é",
        confirmed=True,
    )  # fmt: skip
    assert shown["submit"]["text"] == "Run it"


@pytest.mark.parametrize("outcome", ["nothing to do", "cannot tell", "refused"])
def test_only_what_would_act_can_be_run(outcome: str) -> None:
    """A dry run that leads nowhere has no button to run it."""
    seen = {
        "outcome": outcome, "why": "it is so already", "before": "{}", "wanted": "{}", "by_hand": "", "stopped": "",
        "your_word_is_enough": True, "approval": "you may",
    }  # fmt: skip
    form = forms.RunForm(system="s", component="c", action="risk.reduce_kelly")
    assert "submit" not in run_modals.preview(form, seen)


def test_the_first_page_pairs_actions_with_what_they_act_on() -> None:
    """Nobody can choose a Kelly cut on a router; actions of any component stand under each."""
    shown = run_modals.choose(SPECS, FLOOR, ["trading-core"])
    groups = shown["blocks"][1]["element"]["option_groups"]
    offered = {option["value"] for group in groups for option in group["options"]}
    assert "trading-core|risk-1|risk.reduce_kelly" in offered
    assert "trading-core|router-1|risk.reduce_kelly" not in offered
    assert "trading-core|router-1|http.call" in offered
    form = modals.read(shown["callback_id"], "", said(what={"trading-core|risk-1|trading.halt"}))
    assert form == forms.RunChoice(system="trading-core", component="risk-1", action="trading.halt")
    assert wrong(shown["callback_id"], "") == {"what": "Choose one."}


def test_an_action_named_without_a_place_asks_only_for_the_place() -> None:
    """What was typed besides goes on to its fields; where there is one place only, it is chosen already."""
    cut = [spec for spec in SPECS if spec.name == "risk.reduce_kelly"]
    given = {"kelly_fraction": 0.1, "reason": "VaR"}
    shown = run_modals.choose(cut, FLOOR, ["trading-core"], given)
    assert problems(shown) == []
    element = shown["blocks"][1]["element"]
    assert element["initial_option"]["value"] == "trading-core|risk-1|risk.reduce_kelly"
    form = modals.read(shown["callback_id"], shown["private_metadata"], said(what={element["initial_option"]["value"]}))
    assert form == forms.RunChoice(system="trading-core", component="risk-1", action="risk.reduce_kelly", given=given)
    nowhere = run_modals.choose(cut, [], ["trading-core"])
    assert problems(nowhere) == []
    assert "submit" not in nowhere


def test_only_a_safer_value_comes_back() -> None:
    """Above what was proposed is refused, so is below the floor, so is no change at all."""
    bounds = modals.safer({"kelly_fraction": 0.1, "reason": "x", "hold": True}, {"kelly_fraction": 0.05, "hold": 0.0})
    assert bounds == (modals.Bound("kelly_fraction", 0.05, 0.1),)
    assert modals.safer({"kelly_fraction": 0.05}, {"kelly_fraction": 0.05}) == ()
    about = modals.edit(REF, "cut", bounds)["private_metadata"]
    form = modals.read("andon:edit", about, said(arg__kelly_fraction="0.07", reason="thin book"))
    assert form == forms.EditForm(ref=REF, arguments={"kelly_fraction": 0.07}, reason="thin book")
    for value in ("0.11", "0.25", "1e300", "0.049", "-1", "nan", "inf", "-inf", "0,07", "", "9" * 400, "0x1"):
        assert "arg.kelly_fraction" in wrong("andon:edit", about, arg__kelly_fraction=value, reason="r"), value
    assert "approve it" in wrong("andon:edit", about, arg__kelly_fraction="0.1", reason="r")["arg.kelly_fraction"]


def test_a_no_needs_its_reason() -> None:
    """Blanks are no reason, and a reason is as long as everywhere."""
    assert modals.read("andon:deny", REF.text, said(reason=" because ")) == forms.DenyForm(ref=REF, reason="because")
    assert "reason" in wrong("andon:deny", REF.text, reason="  ")
    assert "501" in wrong("andon:deny", REF.text, reason="x" * 501)["reason"]
    assert "reason" in wrong("andon:approve", REF.text, reason=None)


def test_times_have_an_end() -> None:
    """A hold ends within a day, a freeze within a month or when somebody lifts it; a duration is one."""
    hold = modals.read("andon:hold", REF.text, said(**{"for": {"30m"}}))
    assert hold == forms.HoldForm(ref=REF, for_ms=1_800_000, reason="")
    assert "for" in wrong("andon:hold", REF.text, **{"for": {"25h"}})
    assert "for" in wrong("andon:hold", REF.text, **{"for": "soon"})
    assert "for" in wrong("andon:hold", REF.text)
    where, until = {"trading-core|risk-1"}, {modals.FOREVER}
    frozen = modals.read("andon:freeze", "", said(where=where, reason="r", **{"for": until}))
    assert frozen == forms.FreezeForm(system="trading-core", component="risk-1", reason="r", for_ms=None)
    assert "for" in wrong("andon:freeze", "", where=where, reason="r", **{"for": {"31d"}})
    assert "where" in wrong("andon:freeze", "", where={"a|b|c"}, reason="r", **{"for": until})


def test_a_silence_names_what_it_silences() -> None:
    """Matchers are read as Alertmanager reads them, and a set that matches everything is refused."""
    fields = {"comment": "deploy", "for": {"1h"}}
    form = modals.read("andon:silence", "", said(matchers='alertname="VaRBreach"\n\nsystem=~"t.*"', **fields))
    assert isinstance(form, forms.SilenceForm)
    assert form.matchers == ('alertname="VaRBreach"', 'system=~"t.*"')
    shown = modals.silence_confirm(form, ["VaRBreach"])
    assert modals.read(shown["callback_id"], shown["private_metadata"], {}) == forms.SilenceForm(
        matchers=form.matchers, for_ms=3_600_000, comment="deploy", confirmed=True
    )
    for empty in ("", 'alertname=~".*"', 'alertname!="x"', "alertname==x", "\n".join(['a="b"'] * 21)):
        assert "matchers" in wrong("andon:silence", "", matchers=empty, **fields), empty


def test_what_is_not_ours_is_refused() -> None:
    """A form nobody made, or one whose contents were cut, is an error in words and no order."""
    for callback, metadata in (
        ("andon:nothing", ""), ("elsewhere", ""), ("andon:deny", "x"), ("andon:run:confirm", "{"), ("andon:edit", "[]"),
        ("andon:edit", "{}"), ("andon:run:confirm", '{"on": 1}'), ("andon:silence:confirm", '{"matchers": 1}'),
        ("andon:freeze:confirm", ""), ("andon:freeze:confirm", '{"on": ["s"], "for": null, "reason": ""}'),
        ("andon:hold:confirm", '{"ref": "inc-1||", "for": "x", "reason": ""}'), ("andon:hold:confirm", '{"for": 1}'),
    ):  # fmt: skip
        with pytest.raises(InputError):
            modals.read(callback, metadata, said(reason="r"))


def test_what_comes_in_may_have_any_shape() -> None:
    """State values that are none are read as empty fields, never as an exception."""
    for values in ({}, {"reason": None}, {"reason": {"value": 1}}, {"reason": {"value": {"value": ["x"]}}}):
        modals.read("andon:deny", REF.text, values)


@pytest.mark.parametrize("on", [True, False])
def test_a_policy_is_armed_or_disarmed_by_a_form_that_says_what_it_does(on: bool) -> None:
    """Each policy stands with its actions; one that has none cannot be chosen; nothing chosen is told."""
    step = Step(
        id="1", action="risk.reduce_kelly", component="risk", arguments="{}", risk="safe", direction="lowers",
        delivery="absolute", automatic=True,
    )  # fmt: skip
    made = Plan(policy="var-breach", system="trading-core", policy_hash="", mode="auto", steps=(step,))
    form = arm_modals.choose([made, Plan(policy="idle", system="trading-core", policy_hash="", mode="auto")], on=on)
    assert problems(form) == []
    assert ("risk.reduce_kelly" in str(form), "idle" in str(form)) == (True, False)
    chosen = {"policy": {"value": {"selected_option": {"value": "trading-core|var-breach"}}}}
    read = modals.read(form["callback_id"], "", chosen)
    assert read == forms.ArmForm(system="trading-core", policy="var-breach", on=on)
    assert isinstance(modals.read(form["callback_id"], "", {}), forms.FieldErrors)


def test_before_a_policy_is_armed_it_is_shown_what_it_would_do_and_did_not_do_lately() -> None:
    """Steps and rungs with their conditions, what runs by itself apart from what asks; then the button."""
    step = Step(
        id="1", action="risk.reduce_kelly", component="risk", arguments='{"kelly_fraction":0.1}', risk="safe",
        direction="lowers", delivery="absolute", automatic=True, guard="evidence.var > 1.8", cooldown_ms=900_000,
    )  # fmt: skip
    halt = replace(step, id="2", action="trading.halt", arguments="{}", automatic=False, guard="", cooldown_ms=0)
    plan = Plan(
        policy="var-breach", system="trading-core", policy_hash="h", mode="auto", steps=(step,),
        ladder=(Rung(after_ms=300_000, step=halt),),
    )  # fmt: skip
    past = StepResult(
        episode=1, step="1", outcome="shadowed", at=1, why="", before='{"kelly":0.25}', after='{"kelly":0.1}'
    )
    incident = Incident(id="inc-aaaaaaaaaa", key="k", system="trading-core", severity="critical")
    form = arm_modals.preview(plan, [(incident, past)])
    assert problems(form) == []
    for told in (
        "1. risk.reduce_kelly on risk kelly_fraction=0.1, by itself, only if evidence.var > 1.8, not again for 15m",
        "after 5m: trading.halt on risk, if people say yes", "inc-aaaaaaaaaa: risk.reduce_kelly kelly 0.25 → 0.1",
    ):  # fmt: skip
        assert told in "\n".join(str(block) for block in form["blocks"]).replace("\\n", "\n")
    read = modals.read(form["callback_id"], form["private_metadata"], {})
    assert read == forms.ArmForm(system="trading-core", policy="var-breach", on=True, seen="h")
    for idle in (replace(plan, steps=(), ladder=()), replace(plan, mode="shadow")):
        assert "submit" not in arm_modals.preview(idle, [])
