"""Any body of any order is what its model says, or refused; any arguments of any action are a plan, or refused."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot import ordering
from bot.adapters.http_commands import ArmBody, FireBody, FreezeBody, LeaseBody, ResolveBody, UnfreezeBody
from bot.adapters.http_decisions import EscalateBody, HoldBody, RunBody, VoteBody
from bot.adapters.http_orders import Body, read
from bot.errors import InputError
from policies.rendering import canonical
from remediations.catalogue import CATALOGUE
from tests.integration.door_twin import ROSTER, SYSTEM, TARGETS
from tests.unit.fuzzing import examples

MODELS: tuple[type[Body], ...] = (
    VoteBody, EscalateBody, HoldBody, RunBody, ResolveBody, FreezeBody, UnfreezeBody, ArmBody, LeaseBody, FireBody,
)  # fmt: skip
FIELDS = sorted({name for model in MODELS for name in model.model_fields})
ODD = st.sampled_from(
    [
        "",
        "\0",
        "\n",
        "\x1b[2J",
        "x" * 501,
        "*",
        "../x",
        "${labels.x}",
        "-rf",
        "\u202e",
        "NaN",
        "true",
        SYSTEM,
        "risk-engine",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=8) | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | ODD, inner, max_size=3),
    max_leaves=6,
)


class Sent:
    """A request whose body is all there."""

    headers: dict[str, str] = {}  # noqa: RUF012  # never written
    content_length = None

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.content = self

    def is_eof(self) -> bool:
        return True

    async def read(self) -> bytes:
        return self._body


def judge(error: InputError) -> None:
    """It can be told: a 4xx, not too long, and text that can be sent."""
    assert 400 <= error.status < 500
    assert len(str(error)) < 2_000
    assert str(error).encode()


async def taken(body: bytes, model: type[Body]) -> Body | None:
    try:
        return await read(Sent(body), model)  # type: ignore[arg-type]  # all that is asked of a request
    except InputError as error:
        return judge(error)


def run(coroutine: Any) -> Any:
    """A coroutine that waits for nothing."""
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value


@examples(60)
@given(st.sampled_from(MODELS), st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=6), VALUES, max_size=5))
def test_any_fields_are_a_body_or_a_refusal(model: type[Body], fields: dict[str, Any]) -> None:
    """What is taken has only fields of its model."""
    found = run(taken(json.dumps(fields).encode(), model))
    assert found is None or set(fields) <= set(model.model_fields)


@examples(60)
@given(st.sampled_from(MODELS), st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode()))
@example(FreezeBody, b'{"reason":"\\ud800"}')
@example(FreezeBody, b'{"reason":"x","reason":"y"}')
@example(FreezeBody, '{"reason":"x"}'.encode("utf-16"))
@example(HoldBody, b'{"for_ms":' + b"9" * 4_300 + b"}")
@example(RunBody, b'{"arguments":' + b"[" * 33 + b"]" * 33 + b"}")
def test_any_bytes_are_a_body_or_a_refusal(model: type[Body], body: bytes) -> None:
    """Also what is no JSON, or JSON to one reader and none to another."""
    run(taken(body, model))


@st.composite
def orders(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """An action with its own example as arguments, and a few of them changed, added or taken away."""
    name = draw(st.sampled_from(sorted(CATALOGUE.names())))
    entry = CATALOGUE.entry(name)
    assert entry is not None
    arguments: dict[str, Any] = deepcopy(dict(entry.example))
    for _ in range(draw(st.integers(0, 3))):
        key = draw(st.sampled_from([*sorted(arguments), "reason", "extra"]) | ODD)
        if draw(st.booleans()):
            arguments[key] = draw(VALUES)
        else:
            arguments.pop(key, None)
    return name, arguments


@examples(30, weight=8)
@given(orders(), st.sampled_from(["", "risk-engine", "redis", "../x"]), ODD | st.just("drill"))
def test_any_arguments_are_a_plan_or_a_refusal(order: tuple[str, dict[str, Any]], component: str, reason: str) -> None:
    """What is planned can be written down: canonical JSON, without a number that is none."""
    action, arguments = order
    try:
        plan = ordering.plan(
            CATALOGUE, TARGETS, ROSTER, system=SYSTEM, action=action, component=component, arguments=arguments,
            reason=reason, now=1,
        )  # fmt: skip
    except InputError as error:
        judge(error)
        return
    [step] = plan.steps
    assert canonical(json.loads(step.arguments)) == step.arguments
    assert step.arguments.encode()
