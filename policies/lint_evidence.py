"""Readings and conditions, judged: can every reading be taken and dated, and does every condition look at what exists.

Called by `policies.lint`; resolves components with `policies.planning` and compares conditions with
`policies.hysteresis`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from policies import expressions, planning
from policies.document import EvidenceDoc, PolicyDoc, StepDoc
from policies.durations import spell
from policies.hysteresis import overlap
from policies.planning import Setting
from policies.problems import Path, UnclearError, did_you_mean
from policies.rendering import references

Finding: TypeAlias = tuple[Path, str, str]  # path, message, fix

MAX_WITHIN_MS = 3_600_000  # of a stream: its entries are read to be counted
MIN_EVERY_MS = 500  # verifying more often than this would load the target it looks at


@dataclass(frozen=True, slots=True)
class Known:
    """Labels the policy's alerts carry; `shared` ones have one value for the whole incident."""

    labels: frozenset[str]
    shared: frozenset[str]


# which keys belong to which kind of reading, and which of them it cannot do without
_KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    "redis_hash": (("field", "field"), ("at_field", "at_field")),
    "http": (("json_path", "json"), ("at_json", "at_json")),
    "promql": (),
    "redis_state": (),
    "redis_stream": (("within", "within"),),
}
_ALL_KEYS = tuple(pair for pairs in _KEYS.values() for pair in pairs)
_UNDATED = "an undated reading can never be shown to be fresh"


def readings(policy: PolicyDoc, known: Known, setting: Setting) -> Iterator[Finding]:
    """Everything wrong with the declared evidence."""
    for name, decl in policy.evidence.items():
        at: Path = ("evidence", name)
        kinds = [kind for kind in _KEYS if getattr(decl, kind) is not None]
        if len(kinds) != 1:
            said = " and ".join(kinds) or "no source"
            yield at, f"a reading has one source; this has {said}", f"keep one of {', '.join(_KEYS)}"
            continue
        yield from _keys(at, decl, kinds[0])
        try:
            asked = planning.component_for_evidence(decl, setting)
        except UnclearError as error:
            yield (*at, "component") if decl.component else at, error.message, error.fix
        else:
            if decl.redis_state == "sentinels_agreeing" and not asked.sentinels:
                message = f"no Sentinels watch {asked.name}"
                yield (*at, "redis_state"), message, "list its sentinels: in targets.yaml, or read another figure"
        yield from _query(at, decl, kinds[0], known)
        yield from _history(at, decl, kinds[0], known, setting)


def _keys(at: Path, decl: EvidenceDoc, kind: str) -> Iterator[Finding]:
    for attribute, key in _KEYS[kind]:
        if not getattr(decl, attribute):
            fix = "add within: 1m" if key == "within" else f"add {key}: NAME"
            fix += f"; {_UNDATED}" if key.startswith("at_") else ""
            yield at, f"a {kind} reading needs {key}", fix
    for attribute, key in _ALL_KEYS:
        if (attribute, key) not in _KEYS[kind] and getattr(decl, attribute):
            yield (*at, key), f"{key} does not belong to a {kind} reading", "remove it"
    if decl.max_age == 0:
        yield (*at, "max_age"), "every reading is older than 0s", "write how old it may be, like 60s"
    if kind == "redis_stream" and decl.within > MAX_WITHIN_MS:
        yield (*at, "within"), f"{spell(decl.within)} is too long to count", f"at most {spell(MAX_WITHIN_MS)}"
    if kind == "http" and not (decl.http or "").startswith("/"):
        yield (*at, "http"), f"{decl.http!r} is not a path", "write the path only, like /api/risk/status"


def _query(at: Path, decl: EvidenceDoc, kind: str, known: Known) -> Iterator[Finding]:
    try:
        found = references(getattr(decl, kind))
    except UnclearError as error:
        yield (*at, kind), error.message, error.fix
        return
    varied = False
    for reference in found:
        if reference.root != "labels":
            yield (*at, kind), "only labels are substituted into a reading", "use ${labels.NAME}"
        elif reference.name not in known.labels:
            fix = did_you_mean(
                reference.name, known.labels, "add it to labels: at the head of the file, if alerts carry it"
            )
            yield (*at, kind), f"label {reference.name!r} is not known here", fix
        else:
            varied = varied or reference.name not in known.shared
    if varied and decl.over != "alerts":
        message = "its labels may differ from alert to alert, but one reading is taken for the incident"
        yield at, message, "add over: alerts and take: max (or min, sum)"
    elif decl.over == "alerts" and decl.take is None:
        yield at, "it does not say how the readings of several alerts become one", "add take: max (or min, sum, only)"
    elif decl.over == "incident" and decl.take not in {None, "only"}:
        yield (*at, "take"), "there is only one reading to take from", "add over: alerts, or remove take:"


def _history(at: Path, decl: EvidenceDoc, kind: str, known: Known, setting: Setting) -> Iterator[Finding]:
    """The picture's own query: of the system's one Prometheus, with labels the alerts carry."""
    if not decl.history:
        return
    if kind == "promql":
        yield (*at, "history"), "a promql reading is drawn by its own query", "remove history:"
        return
    try:
        planning.component_by_connector("prometheus", "", setting)
        found = references(decl.history)
    except UnclearError as error:
        yield (*at, "history"), error.message, error.fix
        return
    for reference in found:
        if reference.root != "labels" or reference.name not in known.labels:
            fix = did_you_mean(reference.name, known.labels, "use ${labels.NAME} with a label that alerts carry")
            yield (*at, "history"), f"{reference.name!r} is no label known here", fix


def condition(at: Path, text: str, policy: PolicyDoc, known: Known, *, needs_reading: bool) -> Iterator[Finding]:
    """Everything wrong with what a condition looks at."""
    compiled = expressions.compile(text)
    for error in expressions.check(compiled, policy.evidence, known.shared):
        yield at, error.message, error.fix
    if needs_reading and not compiled.evidence:
        yield at, "it looks at no reading, and labels never change", "compare evidence.NAME with something"


def step_conditions(step: StepDoc, policy: PolicyDoc, known: Known) -> Iterator[Finding]:
    """Guard and verification, each by itself and against each other."""
    if step.guard is not None:
        yield from condition(("guard",), step.guard, policy, known, needs_reading=False)
    if step.verify is None:
        return
    yield from condition(("verify", "until"), step.verify.until, policy, known, needs_reading=True)
    if step.verify.every < MIN_EVERY_MS:
        yield ("verify", "every"), f"{spell(step.verify.every)} is too often", f"at least {spell(MIN_EVERY_MS)}"
    elif step.verify.within < step.verify.every:
        message = f"within {spell(step.verify.within)} the evidence would never be read"
        yield ("verify", "within"), message, f"at least every: {spell(step.verify.every)}"
    if step.guard is None:
        return
    name = overlap(expressions.compile(step.guard).tree, expressions.compile(step.verify.until).tree)
    if name:
        message = (
            f"no hysteresis: {step.verify.until!r} can hold while the guard {step.guard!r} does, or right beside it"
        )
        yield ("verify", "until"), message, f"leave a gap in evidence.{name} between the two"
