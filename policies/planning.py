"""From a policy document to the core's `Plan`: everything resolved, pinned, and named by its content hash.

Called by `policies.loader` once a policy has passed `policies.lint`, which uses the same resolving functions to report
what cannot be resolved. Law 4 is decided here: `automatic` says whether a step may ever run without a person.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from pydantic import JsonValue

from bot.core.action import ActionSpec, Catalogue
from bot.core.plan import EvidenceDecl, Page, Plan, Rung, Step, Verify
from bot.core.words import Millis, Risk, risk_rank
from policies.arguments import Schema, mistakes
from policies.document import (
    CatchAllDoc,
    EvidenceDoc,
    PageDoc,
    PolicyDoc,
    PolicyFile,
    PreAuthorisedDoc,
    RungDoc,
    StepDoc,
)
from policies.people import PeopleDocument
from policies.plan_forms import Placed, placed
from policies.problems import UnclearError, did_you_mean, spell
from policies.rendering import canonical, texts
from policies.targets import ComponentDoc, Connector, TargetsDocument
from policies.texts import instant

CATCH_ALL = "catch-all"
ORDER = "order"  # the policy of what a person orders
ANY_ROLE = "*"  # an action with this role acts on whichever component the step names
ONCALL = PageDoc(service="trading-oncall")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a policy is resolved against. `now` None: nothing is known to be still signed.

    `parameters` are the argument schemas of the catalogue's actions, read once because making them is slow.
    """

    system: str
    catalogue: Catalogue
    targets: TargetsDocument
    people: PeopleDocument
    now: Millis | None
    parameters: Mapping[str, Schema]

    @classmethod
    def of(cls, catalogue: Catalogue, targets: TargetsDocument, people: PeopleDocument, now: Millis | None) -> Setting:
        """The setting of one load; `system` is filled in for each file."""
        parameters = {name: json.loads(catalogue.params_schema(name)) for name in catalogue.names()}
        return cls("", catalogue, targets, people, now, parameters)


def plan(policy: PolicyDoc, file: PolicyFile, setting: Setting) -> Plan:
    """The plan of a policy without problems. Raises UnclearError where lint would have found one."""
    steps = tuple(_planned(place, policy, file, setting) for place in placed(policy.plan))
    rungs = tuple(_rung(n, rung, policy, file, setting) for n, rung in enumerate(policy.ladder, start=1))
    unnamed = Plan(
        policy=policy.name,
        system=file.system,
        policy_hash="",
        mode=policy.mode,
        row=policy.row,
        severity=policy.severity,
        channel=policy.channel,
        runbook=policy.runbook,
        dashboard=policy.dashboard,
        mttr_target_ms=policy.mttr_target,
        evidence=_readings(policy, setting),
        diagnose=tuple(policy.diagnose),
        steps=steps,
        ladder=rungs,
        healthy=policy.healthy or _last_verification(policy),
        page_on_park=_page(file.oncall),
        hold_ms=policy.hold,
        close_ms=policy.close,
    )
    return _named(unnamed, canonical(policy.model_dump(mode="json", by_alias=True)))


def catch_all(system: str, document: CatchAllDoc | None, oncall: PageDoc = ONCALL) -> Plan:
    """The plan for alerts that no policy matches: page, and wait for a person. Built in where the file has none."""
    document = document or CatchAllDoc(page=oncall)
    unnamed = Plan(
        policy=CATCH_ALL,
        system=system,
        policy_hash="",
        mode="suggest",
        channel=document.channel,
        runbook=document.runbook,
        dashboard=document.dashboard,
        ladder=tuple(map(_calling, document.ladder)),
        page_on_open=_page(document.page),
        page_on_park=_page(oncall),
        hold_ms=document.hold,
        close_ms=document.close,
    )
    return _named(unnamed, canonical(document.model_dump(mode="json", by_alias=True)))


def order(action: str, component: str, arguments: Mapping[str, JsonValue], setting: Setting) -> Plan:
    """The plan of one action that a person orders on `setting.system`. Raises UnclearError.

    Its mode is `suggest`: nothing in it runs but by the yes that the order itself carries, or that others give.
    """
    if setting.system not in setting.targets.systems:
        listed = ", ".join(setting.targets.systems) or "none"
        raise UnclearError(f"no system {setting.system!r} in targets.yaml", f"it has: {listed}")
    spec_of(action, setting.catalogue)
    if any("${" in text for _, text in texts(dict(arguments))):
        raise UnclearError("an order has no alert to fill ${…} from", "write the value out")
    schema = setting.parameters.get(action, {})
    for path, message, fix in mistakes(action, arguments, setting.catalogue, schema, partial=False):
        where = spell(path)
        raise UnclearError(message if not where or repr(where) in message else f"{where}: {message}", fix)
    whole = json.loads(setting.catalogue.canonical_arguments(action, canonical(dict(arguments))))
    step = StepDoc.model_construct(action=action, component=component, with_=whole)
    unnamed = Plan(
        policy=ORDER,
        system=setting.system,
        policy_hash="",
        mode="suggest",
        severity="warning",
        steps=(_step(f"1-{action}", step, None, setting),),
    )
    return _named(unnamed, canonical({"order": action}))


def spec_of(action: str, catalogue: Catalogue) -> ActionSpec:
    """The action's declaration. Raises UnclearError with the nearest name."""
    spec = catalogue.spec(action)
    if spec is None:
        fix = did_you_mean(action, catalogue.names(), "`andon schema` lists the actions")
        raise UnclearError(f"no action named {action!r}", fix)
    return spec


def component_for_action(spec: ActionSpec, named: str, setting: Setting) -> ComponentDoc | None:
    """The component the action works on, by its role; None when it needs none. Raises UnclearError."""
    if not spec.role:
        if named:
            raise UnclearError(f"{spec.name} acts on no component", "remove component:")
        return None
    if spec.role == ANY_ROLE:
        if not named:
            raise UnclearError(f"{spec.name} acts on the component that the step names", "add component: NAME")
        return _one(setting.targets.components(setting.system), named, "any role", setting)
    return _one(setting.targets.by_role(setting.system, spec.role), named, f"role {spec.role}", setting)


def component_for_evidence(decl: EvidenceDoc, setting: Setting) -> ComponentDoc:
    """The component a reading is taken from. Raises UnclearError when there is not exactly one."""
    connector: Connector = "prometheus" if decl.promql is not None else "http" if decl.http is not None else "redis"
    return component_by_connector(connector, decl.component, setting)


def component_by_connector(connector: Connector, named: str, setting: Setting) -> ComponentDoc:
    """The component reached this way; of several Redis ones, the only store. Raises UnclearError."""
    found = setting.targets.by_connector(setting.system, connector)
    stores = tuple(c for c in found if c.role == "store")
    if connector == "redis" and len(stores) == 1 and not named:
        return stores[0]
    return _one(found, named, f"connector {connector}", setting)


def risk_of(step: StepDoc, spec: ActionSpec) -> Risk:
    """The action's own risk, or the higher one that the policy asks for."""
    return step.risk if step.risk is not None and risk_rank(step.risk) > risk_rank(spec.risk) else spec.risk


def is_signed(entry: PreAuthorisedDoc, people: PeopleDocument, now: Millis | None) -> bool:
    """Whether a pre-authorisation counts now: a known person's, and not over."""
    if not entry.by or not entry.until or people.by_id(entry.by) is None:
        return False
    return now is not None and now < instant(entry.until)


def signature(
    action: str, policy: str, entries: Sequence[PreAuthorisedDoc], setting: Setting
) -> PreAuthorisedDoc | None:
    """The pre-authorisation that counts now for this action of this policy."""
    ours = (entry for entry in entries if (entry.action, entry.policy) == (action, policy))
    return next((entry for entry in ours if is_signed(entry, setting.people, setting.now)), None)


def is_automatic(step: StepDoc, spec: ActionSpec, signed: PreAuthorisedDoc | None) -> bool:
    """Law 4: what does not raise exposure may run by itself, if it is safe or somebody has signed for it."""
    harmless = risk_rank(risk_of(step, spec)) <= risk_rank("safe")
    return spec.direction != "raises" and (harmless or signed is not None)


def _one(found: Sequence[ComponentDoc], named: str, what: str, setting: Setting) -> ComponentDoc:
    if named:
        match = next((c for c in found if c.name == named), None)
        if match is not None:
            return match
        listed = [c.name for c in found]
        raise UnclearError(
            f"no component {named!r} with {what} in {setting.system}",
            did_you_mean(named, listed, f"targets.yaml has: {', '.join(listed) or 'none'}"),
        )
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnclearError(f"{setting.system} has no component with {what}", "add it to targets.yaml")
    raise UnclearError(
        f"{setting.system} has {len(found)} components with {what}",
        f"add component: and one of {', '.join(c.name for c in found)}",
    )


def _step(name: str, step: StepDoc, lent: PreAuthorisedDoc | None, setting: Setting) -> Step:
    spec = spec_of(step.action, setting.catalogue)
    component = component_for_action(spec, step.component, setting)
    risk = risk_of(step, spec)
    harmless = risk_rank(risk) <= risk_rank("safe")
    if harmless or spec.direction == "raises":
        lent = None
    return Step(
        id=name,
        action=step.action,
        component=component.name if component else "",
        arguments=canonical(step.with_),
        risk=risk,
        direction=spec.direction,
        delivery=spec.delivery,
        automatic=is_automatic(step, spec, lent),
        authority=f"pre-authorised by {lent.by} until {lent.until}: {lent.reason}" if lent else "",
        automatic_until=instant(lent.until) if lent else None,
        guard=step.guard or "",
        verify=Verify(until=step.verify.until, within_ms=step.verify.within, every_ms=step.verify.every)
        if step.verify
        else None,
        cooldown_ms=step.cooldown,
        lease_ms=step.lease,
        undo=spec.undo if setting.catalogue.spec(spec.undo) is not None else "",
        on_failure=step.on_failure,
        on_no_evidence=step.on_no_evidence,
        approve_within_ms=step.approve_within,
        break_glass=step.break_glass,
    )


def _planned(place: Placed, policy: PolicyDoc, file: PolicyFile, setting: Setting) -> Step:
    """A step of the plan, with what its place and its lease ask of it."""
    document = place.step
    lent = signature(document.action, policy.name, file.pre_authorised, setting)
    step = _step(f"{place.number}-{document.action}", document, lent, setting)
    step = replace(step, on_failure=place.on_failure, sequence=place.sequence, pause_ms=place.pause_ms)
    return replace(step, undo_plan=_undo(step, document, policy, file, setting))


def _undo(step: Step, document: StepDoc, policy: PolicyDoc, file: PolicyFile, setting: Setting) -> Plan | None:
    """What is ordered, and asked about, when the step's lease is over; None where nothing can be ordered."""
    if not step.lease_ms or not step.undo:
        return None
    parameters = setting.parameters.get(step.undo, {}).get("properties", {})
    same = {name: value for name, value in document.with_.items() if name in parameters and "${" not in str(value)}
    if "reason" in parameters:
        same["reason"] = f"the lease of {step.action} is over"
    if setting.catalogue.check_arguments(step.undo, canonical(same), partial=False):
        return None
    spec = spec_of(step.undo, setting.catalogue)
    back = StepDoc.model_construct(action=step.undo, component=step.component if spec.role else "", with_=same)
    unnamed = Plan(
        policy=ORDER,
        system=setting.system,
        policy_hash="",
        mode="suggest",
        severity="warning",
        channel=policy.channel,
        runbook=policy.runbook,
        dashboard=policy.dashboard,
        evidence=_readings(policy, setting),
        steps=(_step(f"1-{step.undo}", back, None, setting),),
        page_on_park=_page(file.oncall),
    )
    return _named(unnamed, canonical({"order": step.undo, "after": step.id}))


def _readings(policy: PolicyDoc, setting: Setting) -> dict[str, EvidenceDecl]:
    return {name: _evidence(name, decl, setting) for name, decl in policy.evidence.items()}


def _evidence(name: str, decl: EvidenceDoc, setting: Setting) -> EvidenceDecl:
    kind: Literal["redis_hash", "promql", "http", "redis_state", "redis_stream"]
    if decl.promql is not None:
        kind, query, field, at_field = "promql", decl.promql, "", ""
    elif decl.http is not None:
        kind, query, field, at_field = "http", decl.http, decl.json_path, decl.at_json
    elif decl.redis_state is not None:
        kind, query, field, at_field = "redis_state", decl.redis_state, "", ""
    elif decl.redis_stream is not None:
        kind, query, field, at_field = "redis_stream", decl.redis_stream, "", ""
    else:
        kind, query, field, at_field = "redis_hash", decl.redis_hash or "", decl.field, decl.at_field
    return EvidenceDecl(
        name=name,
        kind=kind,
        component=component_for_evidence(decl, setting).name,
        query=query,
        field=field,
        at_field=at_field,
        over=decl.over,
        take=decl.take or "only",
        max_age_ms=decl.max_age,
        within_ms=decl.within,
        history=decl.history,
        history_from=component_by_connector("prometheus", "", setting).name if decl.history else "",
    )


def _page(page: PageDoc) -> Page:
    return Page(service=page.service, severity=page.severity)


def _calling(rung: RungDoc) -> Rung:
    page = _page(rung.page) if rung.page is not None else None
    return Rung(after_ms=rung.after, page=page, notify=rung.notify, until=rung.until)


def _rung(number: int, rung: RungDoc, policy: PolicyDoc, file: PolicyFile, setting: Setting) -> Rung:
    step = rung.step()
    if step is None:
        return _calling(rung)
    lent = signature(step.action, policy.name, file.pre_authorised, setting)
    planned = _step(f"rung{number}-{step.action}", step, lent, setting)
    return replace(_calling(rung), step=replace(planned, undo_plan=_undo(planned, step, policy, file, setting)))


def _last_verification(policy: PolicyDoc) -> str:
    """What proves health where the policy does not say: the last step's own proof."""
    untils = [place.step.verify.until for place in placed(policy.plan) if place.step.verify is not None]
    return untils[-1] if untils and policy.evidence else ""


def _named(unnamed: Plan, document: str) -> Plan:
    """The plan with the hash of the policy's canonical text and of everything it resolved to."""
    content = canonical({"document": document, "plan": asdict(unnamed)})
    return replace(unnamed, policy_hash=hashlib.sha256(content.encode()).hexdigest())
