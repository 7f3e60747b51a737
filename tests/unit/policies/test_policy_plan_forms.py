"""The forms of a plan: sequences, waits and leases, laid out as the steps that are run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bot.core.plan import Plan
from policies.guardrails import counterpart
from policies.loader import Loaded
from tests.unit.policies.conftest import StubCatalogue

Load = Callable[..., Loaded]

POLICY = """system: trading-core
policies:
  - name: p
    match: ['alertname="A"']
    mode: auto
    plan:
      - {action: notify, with: {reason: "begins"}}
      - wait: 10s
      - sequence:
          - {action: trading.halt, guard: "labels.alertname == 'A'"}
          - wait: 2s
          - wait: 3s
          - {action: cache.flush, guard: "labels.alertname == 'A'", on_failure: stop}
          - {action: notify, with: {reason: "done"}}
"""


def plan_of(loaded: Loaded) -> Plan:
    assert [str(p) for p in loaded.problems] == []
    assert loaded.book is not None
    plan = loaded.book.current("trading-core", "p")
    assert plan is not None
    return plan


def test_a_plan_is_laid_out_in_order_with_waits_before_what_they_delay(load_text: Load) -> None:
    """Waits add up; ids keep the place in the file; a failure in a sequence asks unless the step says otherwise."""
    plan = plan_of(load_text(POLICY))
    laid = [(step.id, step.sequence, step.pause_ms, step.on_failure) for step in plan.steps]
    assert laid == [
        ("1-notify", 0, 0, "escalate"),
        ("3.1-trading.halt", 3, 10_000, "ask"),
        ("3.4-cache.flush", 3, 5_000, "stop"),
        ("3.5-notify", 3, 0, "ask"),
    ]


def test_a_step_of_a_sequence_meets_its_counterpart_of_the_policy_in_force(load_text: Load) -> None:
    """The pinned-and-current rule holds for what stands in a sequence too."""
    plan = plan_of(load_text(POLICY))
    assert counterpart(plan.steps[2], plan) == plan.steps[2]
    assert counterpart(replace(plan.steps[2], id="3.9-cache.flush"), plan) is None


LEASED = """system: trading-core
policies:
  - name: p
    match: ['alertname="A"']
    mode: auto
    channel: "#floor"
    plan:
      - action: risk.reduce_kelly
        with: {kelly_fraction: 0.1, reason: "on ${labels.alertname}"}
        lease: 15m
"""


def test_a_lease_carries_how_it_is_taken_back(load_text: Load, catalogue: StubCatalogue) -> None:
    """As an order of one step that nobody has said yes to; text from alerts is not in it."""
    spec, schema = catalogue.actions["risk.reduce_kelly"]
    undoable = (replace(spec, undo="risk.restore_kelly"), schema)
    vars(catalogue)["actions"] = {**catalogue.actions, "risk.reduce_kelly": undoable}
    (step,) = plan_of(load_text(LEASED)).steps
    back = step.undo_plan
    assert back is not None
    assert (back.policy, back.mode, back.channel) == ("order", "suggest", "#floor")
    (undo,) = back.steps
    assert (undo.action, undo.component, undo.automatic) == ("risk.restore_kelly", "risk-engine", False)
    assert "${" not in undo.arguments
    assert "the lease of risk.reduce_kelly is over" in undo.arguments


def test_what_a_rung_runs_under_a_lease_is_taken_back_the_same_way(load_text: Load, catalogue: StubCatalogue) -> None:
    """The ladder's own actions end in the same question as the plan's."""
    spec, schema = catalogue.actions["trading.halt"]
    vars(catalogue)["actions"] = {
        **catalogue.actions, "trading.halt": (replace(spec, undo="risk.restore_kelly"), schema),
    }  # fmt: skip
    plan = plan_of(load_text(f"{LEASED}    ladder: [{{after: 5m, run: trading.halt, lease: 30m}}]\n"))
    step = plan.ladder[0].step
    assert step is not None
    assert step.undo_plan is not None
    assert [undo.action for undo in step.undo_plan.steps] == ["risk.restore_kelly"]


def test_without_an_action_that_takes_it_back_nothing_is_ordered(load_text: Load) -> None:
    """Then the end of the lease calls people, and they do it by hand."""
    (step,) = plan_of(load_text(LEASED)).steps
    assert step.lease_ms == 900_000
    assert step.undo_plan is None
