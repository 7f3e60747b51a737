"""Loading: every problem of every file at once, the shipped configuration is clean, and nothing in it is armed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.alert import Alert
from policies import schema
from policies.loader import Loaded, Source, kind_of, load
from remediations.catalogue import CATALOGUE

Load = Callable[..., Loaded]
CONFIGS = Path(__file__).parents[3] / "configs"
POLICY = "system: trading-core\npolicies:\n  - {name: p, match: ['alertname=\"A\"'], mode: auto}\n"


def shipped() -> list[Source]:
    return [
        Source(str(f.relative_to(CONFIGS)), f.read_text(), kind_of(f.name)) for f in sorted(CONFIGS.rglob("*.yaml"))
    ]


def test_the_shipped_configuration_is_clean_and_nothing_is_armed() -> None:
    """What we ship loads without a problem, acts on nothing until somebody arms it, and knows the runbook's row."""
    loaded = load(shipped(), CATALOGUE)
    assert [str(problem) for problem in loaded.problems] == []
    assert loaded.book is not None
    assert loaded.armed == ()
    plan = loaded.book.current("trading-core", "var-breach")
    assert plan is not None
    assert (plan.row, plan.steps[0].automatic) == ("T2", True)


def test_the_shipped_ladders_are_the_runbooks() -> None:
    """T2: 2 minutes the PM, 5 minutes halt and CRO, asked until signed; T1: 5 minutes Quant, 15 minutes the PM."""
    loaded = load(shipped(), CATALOGUE)
    assert loaded.book is not None
    breach, switching = (loaded.book.current("trading-core", name) for name in ("var-breach", "model-switching"))
    assert breach is not None
    assert switching is not None
    climbs = [(r.after_ms, r.page.service if r.page else "", r.step.id if r.step else "") for r in breach.ladder]
    assert climbs == [(120_000, "pm", ""), (300_000, "cro", "rung2-trading.halt")]
    halt = breach.ladder[1]
    assert halt.step is not None
    assert (halt.step.automatic, halt.step.guard, halt.until) == (False, "evidence.var > 1.8", "resolved")
    assert [(w.policy, w.action) for w in loaded.waiting_for_signature] == [("var-breach", "trading.halt")]
    assert [r.after_ms for r in switching.ladder] == [300_000, 900_000]
    (pause,) = switching.steps
    assert (pause.action, pause.component, pause.automatic) == ("router.pause", "model-router", True)
    assert (pause.lease_ms, pause.undo) == (900_000, "router.resume")
    assert pause.undo_plan is not None
    (resume,) = pause.undo_plan.steps
    assert (resume.action, resume.component, resume.automatic) == ("router.resume", "model-router", False)


def test_the_shipped_stream_rule_opens_t1(alert: Callable[..., Alert]) -> None:
    """Its alert, and the one that Prometheus raises under the same name, are taken by the same policy."""
    book = load(shipped(), CATALOGUE).book
    assert book is not None
    (stream,) = book.streams
    (rule,) = stream.rules
    assert (stream.key, stream.component, rule.count, rule.within_ms) == ("model.switch.log", "redis", 100, 300_000)
    from_prometheus = {"alertname": "ExcessiveModelSwitching", "severity": "warning", "job": "router"}
    for labels in (dict(rule.labels), from_prometheus):
        (match,) = book.match("trading-core", alert(**labels))
        assert (match.plan.row, match.key) == ("T1", "model-switching{}")


def test_every_shipped_file_tells_editors_its_schema_and_the_schemas_are_up_to_date() -> None:
    """Editors complete and underline; a schema that lags behind the models would underline what is right."""
    made = schema.schemas(CATALOGUE)
    for file in CONFIGS.rglob("*.yaml"):
        head = file.read_text().splitlines()[0]
        assert head.startswith("# yaml-language-server: $schema=")
        assert (file.parent / head.partition("=")[2]).resolve().name in made
    for name, text in made.items():
        assert (CONFIGS / "schemas" / name).read_text() == text


def test_the_policy_schema_knows_each_actions_arguments() -> None:
    """`with:` completes by `action:`, and every reference leads somewhere."""
    text = schema.schemas(CATALOGUE)["policies.schema.json"]
    document = json.loads(text)
    step = document["$defs"]["StepDoc"]
    assert {choice["const"] for choice in step["properties"]["action"]["oneOf"]} == set(CATALOGUE.names())
    assert "kelly_fraction" in document["$defs"]["with risk.reduce_kelly"]["properties"]
    for reference in _references(document):
        assert reference.removeprefix("#/$defs/") in document["$defs"]


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [r for value in node.values() for r in _references(value)]
    return [r for value in node for r in _references(value)] if isinstance(node, list) else []


def test_every_problem_of_every_file_is_told_sorted() -> None:
    """One run of the check is enough to mend everything."""
    sources = [
        Source("z.yaml", "system: trading-core\npolicies:\n  - {name: P, match: []}\n  - {name: q}\n", "policies"),
        Source("targets.yaml", "systems:\n  trading-core:\n    components:\n      - {name: a}\n", "targets"),
        Source("people.yaml", "people: yes\n", "people"),
        Source("a.yaml", POLICY.replace("auto", "automatic"), "policies"),
    ]
    problems = load(sources, CATALOGUE).problems
    assert [p.source for p in problems] == sorted(p.source for p in problems)
    assert {p.source for p in problems} == {"a.yaml", "people.yaml", "targets.yaml", "z.yaml"}
    told = "\n".join(map(str, problems))
    for part in (
        "'automatic' is not one of",
        "'P' is not a name",
        "the key 'match' is missing",
        "the key 'role' is missing",
    ):
        assert part in told


def test_a_broken_policy_does_not_hide_its_neighbours_mistakes(load_text: Load) -> None:
    """Shape, meaning and order are judged for each policy on its own."""
    loaded = load_text(
        POLICY + "  - {name: q, macth: []}\n  - {name: r, match: ['alertname=\"B\"'], plan: [{action: nope}]}\n"
    )
    assert [(p.line, p.path) for p in loaded.problems] == [
        (4, "policies[1]"), (4, "policies[1].macth"), (5, "policies[2].plan[0].action"),
    ]  # fmt: skip


def test_names_are_unique_in_a_system_across_files(load_text: Load) -> None:
    """`andon arm POLICY` must mean one policy."""
    loaded = load_text(POLICY + "  - {name: p, match: ['alertname=\"B\"']}\n")
    assert "a policy named 'p' is already at p.yaml:3" in str(loaded.problems[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("    group_by: [symbl]", "label 'symbl' is not known here"),
        ("    diagnose: [risk.var_concentratoin]", "no diagnosis named"),
        (
            "    ladder: [{after: 5m, page: {service: a}}, {after: 2m, page: {service: b}}]",
            "not later than the one before",
        ),
        ("    healthy: labels.alertname == 'A'", "looks at no reading"),
        ("    healthy: evidence.nope > 1", "evidence.nope is not declared"),
        ("    evidence: {x: {redis_timeseries: a}}", "'redis_timeseries': not available yet"),
        ("    evidence: {x: {max_age: 5s}}", "this has no source"),
        ("    evidence: {x: {promql: up, http: /x}}", "http and promql"),
        ("    evidence: {x: {promql: up, field: f}}", "field does not belong to a promql reading"),
        ("    evidence: {x: {promql: up, take: max}}", "only one reading to take from"),
        ("    evidence: {x: {promql: 'up{i=\"${labels.symbol}\"}'}}", "may differ from alert to alert"),
        ("    evidence: {x: {promql: 'up{i=\"${labels.symbol}\"}', over: alerts}}", "become one"),
        ("    evidence: {x: {promql: 'up{i=\"${annotations.a}\"}'}}", "only labels are substituted"),
        ("    evidence: {x: {promql: up, component: redis}}", "no component 'redis' with connector prometheus"),
        ("    on_resolved: []", "'on_resolved': not available yet"),
        ("    plan: [{action: trading.halt, when: x}]", "'when': not available yet"),
        ("    plan: [{action: trading.halt, with: {reson: x}}]", "has no argument 'reson'"),
        ("    plan: [{action: risk.reduce_kelly, with: {kelly_fraction: 0.1}}]", "needs the argument 'reason'"),
        ("    plan: [{action: trading.halt, with: {reason: '${evidence.x}'}}]", "is not a path that is substituted"),
        ("    plan: [{action: trading.halt, on_no_evidence: act}]", "no guard to do without"),
        ("    plan: [{action: notify, component: redis}]", "acts on no component"),
        ("    plan: [{action: trading.halt, component: redis}]", "no component 'redis' with role risk"),
        ("    mttr_target: 400d", "longer than a year"),
        ("    hold: two minutes", "not a duration"),
        ("    group_by: symbol", "not a list"),
        ("    continue: 1", "not true or false"),
    ],
)
def test_each_mistake_of_meaning_is_found(load_text: Load, change: str, message: str) -> None:
    """Everything a policy names must exist, and everything it says must be able to happen."""
    text = f"system: trading-core\nlabels: [symbol]\npolicies:\n  - name: p\n    match: ['alertname=\"A\"']\n{change}\n"
    text += "    healthy: evidence.x > 0\n" if "evidence: {x: " in change else ""
    (problem,) = load_text(text).problems
    assert message in problem.message
    assert problem.line == 6


def test_a_policy_that_takes_every_alert_is_refused(load_text: Load) -> None:
    """It would silence the catch-all and everything after it."""
    (problem,) = load_text(POLICY.replace('alertname="A"', 'alertname=~".*"')).problems
    assert "these matchers take every alert" in problem.message


def test_an_unknown_system_is_one_problem_not_twenty(load_text: Load) -> None:
    """Nothing is resolved against a system that is not there."""
    (problem,) = load_text(POLICY.replace("trading-core", "trading-cor")).problems
    assert problem.path == "system"


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("url: redis://127.0.0.1", "a http address does not start with redis"),
        ("url: 'http://user:secret@127.0.0.1'", "the address carries a credential"),
        ("url: 'http://andon:hunter2#1@h'", "the address carries a credential"),
        ("url: 'http://andon:hunter2/1@h'", "the address carries a credential"),
        ("url: 'http://h:hunter2'", "not an address"),
        ("url: 'http://127.0.0.1', credentials: hunter2", "not a reference to a credential"),
        ("url: 'http://127.0.0.1', allow: [POST]", "is not a request"),
        ("url: 'http://127.0.0.1', read: {k: {http: /x, json: k}}", "does not allow GET /x"),
        ("url: 'http://127.0.0.1', read: {k: {redis_hash: x, field: k}}", "is reached by http, not redis"),
        (
            "url: 'http://127.0.0.1', allow: [GET /x], read: {k: {http: /x, json: k, at_field: t}}",
            "at_field does not belong",
        ),
        (
            "url: 'http://127.0.0.1', allow: [GET /x], read: {k: {http: /x, json: k, max_age: 0s}}",
            "every value is older",
        ),
        ("url: 'http://127.0.0.1', read: {k: {}}", "not exactly one of http and redis_hash"),
        ("url: 'http://127.0.0.1', floors: {k: -1}", "is negative"),
        ("url: 'http://[::1'", "not an address"),
        ("url: 'http://'", "names no host"),
    ],
)
def test_targets_are_reachable_allowed_and_without_secrets(load_text: Load, targets: str, message: str) -> None:
    """A literal secret, an address that cannot work, a read that nothing allows: all before the first alert."""
    text = f"systems:\n  trading-core:\n    components:\n      - {{name: a, role: risk, connector: http, {targets}}}\n"
    (problem,) = load_text(POLICY, targets=text).problems
    assert message in problem.message
    assert (problem.source, problem.line) == ("targets.yaml", 4)
    assert "secret" not in str(problem).replace("never the secret", "")
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        ("{redis_hash: x, field: k}", "does not say when the value was written"),
        ("{redis_hash: x, field: k, at_field: t, at_json: t}", "at_json does not belong"),
    ],
)
def test_a_field_in_a_hash_must_be_dated(load_text: Load, read: str, message: str) -> None:
    """What somebody wrote some time may be anything by now; a cut computed from it could raise."""
    component = f"{{name: a, role: risk, connector: redis, url: 'redis://127.0.0.1', read: {{k: {read}}}}}"
    text = f"systems:\n  trading-core:\n    components:\n      - {component}\n"
    (problem,) = load_text(POLICY, targets=text).problems
    assert message in problem.message
    assert (problem.source, problem.line) == ("targets.yaml", 4)


def test_one_human_is_one_entry(load_text: Load) -> None:
    """Two entries that share an identity would let one person approve twice."""
    people = "people:\n  - {id: a, os_uid: 1000}\n  - {id: b, os_uid: 1000}\n  - {id: a}\n"
    problems = load_text(POLICY, people=people).problems
    assert [(p.line, p.message) for p in problems] == [
        (3, "os_uid 1000 already belongs to a"), (4, "id a already belongs to a"),
    ]  # fmt: skip


def test_people_are_found_by_everything_they_are_known_by(load_text: Load) -> None:
    """The same human from the terminal, Slack and PagerDuty."""
    people = "people:\n  - {id: a, os_uid: 0, os_user: root, slack: {team: T1, user: U1}, pagerduty: P1}\n  - {id: b}\n"
    document = load_text(POLICY, people=people).people
    found = [
        document.by_uid(0), document.by_os_user("root"), document.by_slack("T1", "U1"), document.by_pagerduty("P1"),
    ]  # fmt: skip
    assert all(person is not None and person.id == "a" for person in found)
    strangers = [document.by_uid(1), document.by_os_user(""), document.by_slack("T2", "U1"), document.by_pagerduty("")]
    assert strangers == [None] * 4


@pytest.mark.parametrize(
    ("andon", "message"),
    [
        ("systems: [trading-core]\narmed: [q]", "no policy named 'q'"),
        ("systems: [trading-core]\narmed: [other/p]", "no policy named 'other/p'"),
        ("systems: [trading-core]\narmed: [catch-al]", "no policy named 'catch-al'"),
        ("systems: [trading-core]\nroutes: [{system: x}]", "system 'x' is not listed"),
        ("systems: [trading-core]\nroutes: [{system: trading-core}]", "takes every alert"),
        ("budget: {limit: 3, reserve: 3}", "the reserve is the whole budget"),
        ("budget: {within: 0s}", "a budget within 0s limits nothing"),
        ("budget: {within: 999ms}", "limits nothing"),
        ("systems: [trading]", "system 'trading-core' is not in systems: of andon.yaml"),
        ("listen: {host: 0.0.0.0}", "open to the whole network"),
        ("listen: {host: alerts.internal}", "open to the whole network"),
        ("store: {url: 'redis://h', username: andon}", "a user without a password"),
        ("store: {credentials: 'env:A'}", "these credentials belong to no url"),
        ("api: {host: 0.0.0.0}", "on TCP knows nobody"),
        ("listen: {auth: {bearer: hunter2}}", "not a reference to a credential"),
    ],
)
def test_the_setup_file_is_judged_too(load_text: Load, andon: str, message: str) -> None:
    """Routes, arming, budget and doors."""
    assert message in "\n".join(map(str, load_text(POLICY, andon=andon).problems))


def test_a_file_of_a_system_that_is_not_listed_is_told_where_it_names_it(load_text: Load) -> None:
    """No route could lead an alert to it, and arming it would fail; the problem is at its own `system:`."""
    loaded = load_text(POLICY, andon="systems: [trading-cor]\narmed: [trading-core/p]")
    (problem,) = loaded.problems
    assert (problem.source, problem.line, problem.path) == ("p.yaml", 1, "system")
    assert loaded.armed == ()


@pytest.mark.parametrize(
    "setup",
    [
        "budget: {within: 1s, limit: 10, reserve: 3}",
        "listen: {host: '::1'}",
        "listen: {host: 0.0.0.0, auth: {bearer: 'env:A'}}",
    ],
)
def test_a_setup_at_the_edge_of_what_is_allowed_passes(load_text: Load, setup: str) -> None:
    """The bounds refuse what is wrong and nothing beside it."""
    assert load_text(POLICY, andon=f"systems: [trading-core]\n{setup}").problems == ()


def test_arming_names_one_policy(load_text: Load) -> None:
    """By name where that is enough, with its system where it is not."""
    assert load_text(POLICY, andon="systems: [trading-core]\narmed: [p]").armed == (("trading-core", "p"),)
    assert load_text(POLICY, andon="systems: [trading-core]\narmed: [trading-core/p]").armed == (("trading-core", "p"),)


def test_what_waits_for_a_signature_is_listed_and_what_is_signed_is_not(load_text: Load) -> None:
    """`andon check` shows what still asks, with its line."""
    text = (
        POLICY.replace("mode: auto", "plan: [{action: trading.halt}, {action: trading.close_all}]")
        + "pre_authorised:\n"
    )
    text += "  - {action: trading.halt, policy: p, reason: r}\n"
    text += "  - {action: trading.close_all, policy: p, reason: r, by: demo-oncall, until: 2026-06-01T00:00:00Z}\n"
    loaded = load_text(text)
    assert loaded.problems == ()
    assert [(w.action, w.line, w.why) for w in loaded.waiting_for_signature] == [("trading.halt", 5, "not signed")]


PIECES = """system: trading-core
system: 1
policies:
  - name: p
  - x
    match: ['a="b"']
    match: 1
    plan:
      - action: notify
      - action: [1]
        with: {a: 1}
        guard: evidence.x > 1
    evidence: {x: {promql: up}}
    ladder: {}
pre_authorised: [1]
catch_all: null
labels: {a: b}"""
LINES = st.lists(st.sampled_from(PIECES.splitlines(keepends=True)), max_size=14).map("".join)


@settings(deadline=None)  # machines that build are busy
@given(LINES)
def test_no_policy_file_makes_loading_raise(text: str) -> None:
    """Whatever is written, the answer is a book or problems."""
    loaded = load(
        [Source("targets.yaml", "systems: {trading-core: {}}", "targets"), Source("p.yaml", text, "policies")],
        CATALOGUE,
    )
    assert (loaded.book is None) == bool(loaded.problems)
