"""What a policy means, judged: does everything it names exist, may it do what it says, would it ever hold together.

`policies.loader` calls `check` for every policy whose shape is right; each finding becomes a `Problem` with its line.
Findings are collected, never raised. The checks of conditions and readings are in `policies.lint_evidence`.
"""

from __future__ import annotations

from collections.abc import Iterator

from bot.core.action import ActionSpec
from bot.core.words import risk_rank
from policies import arguments, lint_allow, lint_evidence, lint_people, matchers, planning
from policies.arguments import Schema
from policies.document import CatchAllDoc, PolicyDoc, PolicyFile, RungDoc, StepDoc
from policies.durations import spell
from policies.lint_evidence import Finding, Known
from policies.plan_forms import idle_waits, placed
from policies.planning import Setting
from policies.problems import Path, UnclearError, did_you_mean
from policies.rendering import references, texts

MIN_APPROVE_MS = 1_000  # people need minutes; a drill on a fast clock needs less
MAX_APPROVE_MS = 24 * 3_600_000  # by then the incident is another one
ALWAYS_LABELS = frozenset({"alertname", "severity"})  # what Prometheus and our severity rule expect on every alert


def check(policy: PolicyDoc, file: PolicyFile, setting: Setting) -> Iterator[Finding]:
    """Everything wrong with one policy; paths are relative to it."""
    known = known_labels(policy, file)
    for index, label in enumerate(policy.group_by):
        if label not in known.labels:
            yield ("group_by", index), *_unknown_label(label, known)
    yield from _matchers(policy)
    yield from lint_evidence.readings(policy, known, setting)
    for place in placed(policy.plan):
        for path, message, fix in _step(place.step, policy, known, setting):
            yield (*place.at, *path), message, fix
    yield from _forms(policy, setting)
    diagnoses = setting.catalogue.diagnoses()
    for index, name in enumerate(policy.diagnose):
        if name not in diagnoses:
            fix = did_you_mean(name, diagnoses, "known: " + ", ".join(diagnoses))
            yield ("diagnose", index), f"no diagnosis named {name!r}", fix
    if policy.healthy is not None:
        yield from lint_evidence.condition(("healthy",), policy.healthy, policy, known, needs_reading=True)
    elif policy.evidence and not any(place.step.verify for place in placed(policy.plan)):
        message = "readings are declared, but none says that all is well again: the incident would resolve on silence"
        yield ("evidence",), message, "add healthy: CONDITION to the policy, or verify: to a step"
    yield from ladder(policy.ladder)
    for index, rung in enumerate(policy.ladder):
        branch = rung.step()
        if branch is not None:
            for path, message, fix in _step(branch, policy, known, setting):
                yield ("ladder", index, *(("run",) if path == ("action",) else path)), message, fix
    yield from lint_people.deciders(policy, setting)
    yield from lint_people.policy_pages(policy, setting.people)


def _forms(policy: PolicyDoc, setting: Setting) -> Iterator[Finding]:
    """Waits that delay nothing, failures that cannot be asked about, and steps of a sequence without a gate."""
    for at in idle_waits(policy.plan):
        yield (*at, "wait"), "nothing comes after this wait", "remove it, or put it before the step it delays"
    for place in placed(policy.plan):
        spec = setting.catalogue.spec(place.step.action)
        gated = place.step.verify is not None or place.step.guard is not None
        if place.sequence and spec is not None and spec.role and not gated:
            message = f"{place.step.action} is part of a sequence, and nothing says that it went well"
            yield (*place.at, "action"), message, "give it verify: or guard:"


def check_catch_all(document: CatchAllDoc) -> Iterator[Finding]:
    """Everything wrong with a catch-all; paths are relative to it."""
    yield from ladder(document.ladder)
    for index, rung in enumerate(document.ladder):
        if rung.run:
            message = f"the catch-all knows nothing about its alerts, so it never runs {rung.run}"
            yield ("ladder", index, "run"), message, "write a policy for the alerts you mean, or page somebody"


def check_pre_authorised(file: PolicyFile, setting: Setting) -> Iterator[Finding]:
    """Signatures under nothing, by nobody, or under what is never automatic; paths are relative to the file."""
    by_name = {policy.name: policy for policy in file.policies}
    for index, entry in enumerate(file.pre_authorised):
        at: Path = ("pre_authorised", index)
        policy = by_name.get(entry.policy)
        try:
            spec = planning.spec_of(entry.action, setting.catalogue)
        except UnclearError as error:
            yield (*at, "action"), error.message, error.fix
            continue
        if policy is None:
            yield (*at, "policy"), f"no policy named {entry.policy!r} in this file", did_you_mean(entry.policy, by_name)
        elif entry.action not in {step.action for _, step in lint_people.steps(policy)}:
            message = f"{entry.policy} has no step with {entry.action}"
            yield (*at, "action"), message, "name a step of its plan or its ladder"
        elif spec.direction == "raises":
            message = f"{entry.action} raises exposure, which is never automatic"
            yield (*at, "action"), message, "remove this entry: a person approves it each time"
        if entry.by and setting.people.by_id(entry.by) is None:
            known = [person.id for person in setting.people.people]
            yield (
                (*at, "by"),
                f"{entry.by!r} is nobody in people.yaml",
                did_you_mean(entry.by, known, "use a person's id"),
            )


def known_labels(policy: PolicyDoc, file: PolicyFile) -> Known:
    """Which labels the policy's alerts are known to carry, and which of them are the same for a whole incident."""
    read = [matchers.parse(text) for text in policy.match]
    matched = {matcher.name for matcher in read}
    equal = {matcher.name for matcher in read if matcher.operator == "="}
    return Known(
        labels=ALWAYS_LABELS | matched | set(file.labels),
        shared=frozenset(equal | set(policy.group_by)),
    )


def _unknown_label(label: str, known: Known) -> tuple[str, str]:
    fix = did_you_mean(label, known.labels, f"add it to labels: at the head of the file, if alerts carry {label}")
    return f"label {label!r} is not known here", fix


def _matchers(policy: PolicyDoc) -> Iterator[Finding]:
    read = [matchers.parse(text) for text in policy.match]
    if all(matcher.accepts("") for matcher in read):
        yield (
            ("match",),
            "these matchers take every alert",
            'match at least one label by value, like alertname="VaRBreach"',
        )


def _step(step: StepDoc, policy: PolicyDoc, known: Known, setting: Setting) -> Iterator[Finding]:
    try:
        spec = planning.spec_of(step.action, setting.catalogue)
    except UnclearError as error:
        yield ("action",), error.message, error.fix
        return
    try:
        component = planning.component_for_action(spec, step.component, setting)
    except UnclearError as error:
        yield ("component",) if step.component else ("action",), error.message, error.fix
        component = None
    if step.cooldown and not spec.role:
        yield (
            ("cooldown",),
            f"{step.action} acts on no component, and a cool-down is its component's",
            "remove cooldown:",
        )
    if step.lease and not spec.role:
        yield ("lease",), f"{step.action} acts on no component, so nothing of it can stay in force", "remove lease:"
    yield from _arguments(step, known, setting)
    if component is not None:
        yield from lint_allow.check(step, spec, component, setting)
    yield from _floors(step, spec, dict(component.floors) if component else {})
    if step.risk is not None and risk_rank(step.risk) < risk_rank(spec.risk):
        message = f"{step.action} is {spec.risk}; a policy may raise a risk, not lower it"
        yield ("risk",), message, "sign a pre_authorised: entry instead"
    if step.on_no_evidence == "act" and spec.direction != "lowers":
        message = f"{step.action} does not lower exposure, so it never acts without evidence"
        yield ("on_no_evidence",), message, "write ask"
    if step.on_no_evidence == "act" and not step.guard:
        yield ("on_no_evidence",), "there is no guard to do without", "remove it, or add guard:"
    if not MIN_APPROVE_MS <= step.approve_within <= MAX_APPROVE_MS:
        bounds = f"write from {spell(MIN_APPROVE_MS)} to {spell(MAX_APPROVE_MS)}"
        yield ("approve_within",), f"nobody decides within {spell(step.approve_within)}", bounds
    yield from lint_evidence.step_conditions(step, policy, known)


def _arguments(step: StepDoc, known: Known, setting: Setting) -> Iterator[Finding]:
    schema = setting.parameters.get(step.action, {})
    for inner, message, fix in arguments.mistakes(step.action, step.with_, setting.catalogue, schema, partial=True):
        yield ("with", *inner), message, fix
    numbers = _number_parameters(schema)
    for path, text in texts(step.with_):
        at: Path = ("with", *path)
        try:
            found = references(text)
        except UnclearError as error:
            yield at, error.message, error.fix
            continue
        for reference in found:
            if reference.root == "labels" and reference.name not in known.labels:
                yield at, *_unknown_label(reference.name, known)
            elif path[0] in numbers:
                differs = "" if reference.name in known.shared else " that may differ from alert to alert"
                message = f"{path[0]} is a number, and {reference.root}.{reference.name} is text{differs}"
                yield at, message, "write the number"


def _number_parameters(schema: Schema) -> frozenset[str]:
    """The parameters that take numbers only."""
    properties = schema.get("properties", {})
    return frozenset(
        name for name, part in properties.items() if _kinds(part) and _kinds(part) <= {"number", "integer"}
    )


def _kinds(part: Schema) -> set[str]:
    kind = part.get("type")
    if isinstance(kind, str):
        return {kind} - {"null"}
    options = part.get("anyOf")
    return {k for option in options for k in _kinds(option)} if isinstance(options, list) else set()


def _floors(step: StepDoc, spec: ActionSpec, floors: dict[str, float]) -> Iterator[Finding]:
    for name in spec.floors:
        value, floor = step.with_.get(name), floors.get(name)
        if floor is not None and isinstance(value, int | float) and value < floor:
            message = f"{name} {value:g} is below its floor {floor:g} in targets.yaml"
            yield ("with", name), message, f"automation never goes below {floor:g}"


def ladder(rungs: list[RungDoc]) -> Iterator[Finding]:
    """Rungs that do something, in the order of time, each at its own time."""
    for index, rung in enumerate(rungs):
        at: Path = ("ladder", index)
        if rung.page is None and not rung.notify and not rung.run:
            yield at, "this rung does nothing", "give it page:, notify: or run:"
        for key in rung.stray():
            yield (*at, key), f"{key} belongs to a step, and this rung runs none", "add run: ACTION, or remove it"
        if index and rung.after <= rungs[index - 1].after:
            message = f"this rung comes after {spell(rung.after)}, not later than the one before it"
            yield (*at, "after"), message, "put the rungs in order of time"
