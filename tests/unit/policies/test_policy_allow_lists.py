"""Steps against the `allow` lists of their components: what can be known at load is told then, and nothing else."""

from __future__ import annotations

import pytest

from policies.loader import Source, load
from remediations.catalogue import CATALOGUE

PEOPLE = """
people: [{id: demo-oncall, os_uid: 1000}, {id: demo-approver}]
contacts: [{service: trading-oncall, people: [demo-oncall], respond_within: 5m}]
rosters: {approvers: [{system: "*", risk: risky, people: [demo-oncall, demo-approver]}]}
"""
FLOOR = """
systems:
  trading-core:
    components:
      - {{name: risk-engine, role: risk, connector: http, url: "http://127.0.0.1:8080", allow: [{http}]}}
      - {{name: router, role: router, connector: http, url: "http://127.0.0.1:8080", allow: [{http}]}}
      - {{name: redis, role: store, connector: redis, url: "redis://127.0.0.1:6379", allow: [{redis}]{sentinels}}}
"""
SENTINELS = ', sentinels: ["127.0.0.1:26379"], master: m'


def found(step: str, *, http: str = "", redis: str = "", sentinels: str = "") -> list[tuple[str, str]]:
    """(path, message) of what is wrong with a policy of this one step."""
    policy = f"""
system: trading-core
labels: [symbol]
policies:
  - name: p
    match: ['alertname="A"']
    group_by: [symbol]
    plan: [{step}]
"""
    sources = [
        Source("targets.yaml", FLOOR.format(http=http, redis=redis, sentinels=sentinels), "targets"),
        Source("people.yaml", PEOPLE, "people"),
        Source("p.yaml", policy, "policies"),
    ]
    problems = load(sources, CATALOGUE, now=None).problems
    return [(problem.path.removeprefix("policies[0].plan[0]."), problem.message) for problem in problems]


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("{action: risk.reduce_kelly, with: {kelly_fraction: 0.1, reason: r}}", "POST /api/risk/emergency-reduce"),
        ("{action: trading.halt, with: {reason: '${labels.symbol}'}}", "POST /api/stop-trading"),
        ("{action: router.pause, with: {reason: r}}", "POST /api/router/pause"),
        ("{action: router.resume, with: {reason: r}}", "POST /api/router/resume"),
    ],
)
def test_an_action_with_a_request_of_its_own_needs_its_line(step: str, line: str) -> None:
    """Nobody sees in a policy which request `trading.halt` is; the list of its component must still name it."""
    ((path, message),) = found(step)
    assert path == "action"
    assert f"asks for {line}, which" in message
    assert found(step, http=f'"{line}"') == []


@pytest.mark.parametrize("action", ["redis.failover", "redis.failback"])
@pytest.mark.parametrize(("sentinels", "line"), [("", "FAILOVER"), (SENTINELS, "SENTINEL FAILOVER")])
def test_a_failover_needs_the_way_it_will_go_and_its_proof(action: str, sentinels: str, line: str) -> None:
    """Where Sentinels watch, they are asked; the write that proves it has a line too."""
    step = f"{{action: {action}, with: {{reason: r}}}}"
    told = " ".join(message for _, message in found(step, sentinels=sentinels))
    assert f"asks for {line}, which redis" in told
    assert "asks for SET andon:canary, which redis" in told
    assert found(step, redis=f'"{line}", "SET andon:canary"', sentinels=sentinels) == []


@pytest.mark.parametrize(
    "step",
    [
        "{action: http.call, component: risk-engine, with: {path: '/api/${labels.symbol}'}}",
        "{action: redis.publish, with: {channel: '${labels.symbol}', message: m}}",
        "{action: redis.command, with: {reason: r, command: [SET, 'hold:${labels.symbol}', '1']}}",
        "{action: redis.command, with: {reason: r, command: ['${labels.symbol}', k, v]}}",
    ],
)
def test_what_an_incident_fills_in_is_left_to_it(step: str) -> None:
    """A line that holds `${…}` may be allowed or not; only the incident knows."""
    assert found(step) == []


@pytest.mark.parametrize("value", ["'1'", "'${labels.symbol}'"])
def test_a_key_is_matched_as_the_connector_does(value: str) -> None:
    """By its beginning where the line says so, whatever value is written to it."""
    step = f"{{action: redis.command, with: {{reason: r, command: [SET, 'hold:BTC', {value}]}}}}"
    assert found(step, redis='"SET hold:*"') == []
    assert [path for path, _ in found(step, redis='"SET held:*", "DEL hold:*"')] == ["with.command[1]"]


def test_a_lease_whose_end_could_not_be_done_is_told() -> None:
    """People would be asked to resume a router that never lets the request through."""
    step = "{action: router.pause, with: {reason: r}, lease: 10m}"
    ((path, message),) = found(step, http='"POST /api/router/pause"')
    assert path == "lease"
    assert "router.resume, asked for when the lease is over, asks for POST /api/router/resume" in message
    assert found(step, http='"POST /api/router/pause", "POST /api/router/resume"') == []
