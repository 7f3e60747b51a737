"""What policy tests share: a catalogue with an action of every risk and direction, and a floor to resolve against."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from bot.core.action import ActionSpec, ParamProblem
from bot.core.alert import Alert
from policies.loader import Loaded, Source, load

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z

TARGETS = """
systems:
  trading-core:
    components:
      - name: risk-engine
        role: risk
        connector: http
        url: http://127.0.0.1:8080
        allow: ["POST /api/risk/emergency-reduce", "GET /api/risk/status"]
        read: {kelly_fraction: {http: /api/risk/status, json: kelly_fraction}}
        floors: {kelly_fraction: 0.05}
      - {name: redis, role: store, connector: redis, url: "redis://127.0.0.1:6379/0"}
      - {name: cache, role: cache, connector: redis, url: "redis://127.0.0.1:6380/0"}
      - {name: prometheus, role: metrics, connector: prometheus, url: "http://127.0.0.1:9090"}
"""
PEOPLE = """
people: [{id: demo-oncall, os_uid: 1000}, {id: demo-approver}]
rosters: {approvers: [{risk: critical, people: [demo-oncall, demo-approver]}]}
"""

_KELLY = {
    "properties": {
        "kelly_fraction": {"type": "number", "description": "Ceiling, 0 to 1."},
        "reason": {"type": "string"},
    },
    "required": ["kelly_fraction", "reason"],
}
_FREE: dict[str, Any] = {"properties": {"reason": {"type": "string"}}, "required": []}


def _spec(name: str, risk: str, direction: str, **more: Any) -> ActionSpec:
    return ActionSpec(name=name, summary=name, delivery="absolute", risk=risk, direction=direction, **more)  # type: ignore[arg-type]


class StubCatalogue:
    """One action of every risk and direction; arguments judged by a few words of JSON Schema."""

    actions: ClassVar[dict[str, tuple[ActionSpec, dict[str, Any]]]] = {
        "risk.reduce_kelly": (
            _spec("risk.reduce_kelly", "safe", "lowers", role="risk", floors=("kelly_fraction",)),
            _KELLY,
        ),
        "trading.halt": (_spec("trading.halt", "risky", "lowers", role="risk"), _FREE),
        "trading.close_all": (_spec("trading.close_all", "critical", "lowers", role="risk"), _FREE),
        "risk.restore_kelly": (_spec("risk.restore_kelly", "risky", "raises", role="risk"), _FREE),
        "trading.warm_up": (_spec("trading.warm_up", "safe", "raises", role="risk"), _FREE),
        "http.call": (_spec("http.call", "risky", "neutral", role="*"), _FREE),
        "cache.flush": (_spec("cache.flush", "safe", "neutral", role="cache"), _FREE),
        "notify": (_spec("notify", "safe", "neutral"), _FREE),
    }

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.actions))

    def diagnoses(self) -> tuple[str, ...]:
        return ("risk.var_pattern",)

    def spec(self, action: str) -> ActionSpec | None:
        return self.actions[action][0] if action in self.actions else None

    def check_arguments(self, action: str, arguments: str, *, partial: bool) -> tuple[ParamProblem, ...]:
        given, schema = json.loads(arguments), self.actions[action][1]
        wrong = [ParamProblem(path=n, message="Field required") for n in schema["required"] if n not in given]
        for name, value in given.items():
            wanted = schema["properties"].get(name)
            if wanted is None:
                wrong.append(ParamProblem(path=name, message="Extra inputs are not permitted"))
            elif partial and isinstance(value, str) and "${" in value:
                continue
            elif isinstance(value, str) != (wanted["type"] == "string"):
                wrong.append(ParamProblem(path=name, message=f"Input should be a valid {wanted['type']}"))
        return tuple(wrong)

    def canonical_arguments(self, action: str, arguments: str) -> str:
        return arguments

    def needs(self, action: str, arguments: str) -> tuple[str, ...]:
        return ()

    def params_schema(self, action: str) -> str:
        return json.dumps(self.actions[action][1])


@pytest.fixture
def catalogue() -> StubCatalogue:
    return StubCatalogue()


@pytest.fixture
def load_text(catalogue: StubCatalogue) -> Callable[..., Loaded]:
    """Load one policy text (and optionally other files) on the floor above."""

    def go(
        policies: str, *, targets: str = TARGETS, people: str = PEOPLE, andon: str = "", now: int | None = NOW
    ) -> Loaded:
        sources = [Source("targets.yaml", targets, "targets"), Source("people.yaml", people, "people")]
        if andon:
            sources.append(Source("andon.yaml", andon, "andon"))
        return load([*sources, Source("p.yaml", policies, "policies")], catalogue, now=now)

    return go


@pytest.fixture
def alert() -> Callable[..., Alert]:
    """An alert with these labels."""

    def make(**labels: str) -> Alert:
        return Alert(fingerprint="f", status="firing", labels=labels, starts_at=NOW)

    return make
