"""Policies against people.yaml: is there somebody who may decide, who may break the glass, and who answers a page.

Called by `policies.assembly` for every policy and by `policies.loader` for the rosters themselves. A step that waits
for people who do not exist would wait for ever, and a page that nobody answers calls nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bot.core.words import Mode, Risk
from policies import planning
from policies.andon import AndonDocument
from policies.approvals import quorum
from policies.document import CatchAllDoc, PageDoc, PolicyDoc, PolicyFile, RungDoc, StepDoc
from policies.lint_evidence import Finding
from policies.people import PeopleDocument
from policies.plan_forms import placed
from policies.planning import Setting
from policies.problems import Path, did_you_mean
from policies.targets import TargetsDocument
from policies.texts import EVERY


def steps(policy: PolicyDoc) -> Iterator[tuple[Path, StepDoc]]:
    """Every step of a policy, of its plan and of its ladder, with the path of its action."""
    for place in placed(policy.plan):
        yield (*place.at, "action"), place.step
    for index, rung in enumerate(policy.ladder):
        branch = rung.step()
        if branch is not None:
            yield ("ladder", index, "run"), branch


def deciders(policy: PolicyDoc, setting: Setting) -> Iterator[Finding]:
    """Steps that will ask, and whom nobody may answer; paths are relative to the policy.

    A signature changes nothing here: it ends one day, and then the step asks.
    """
    for at, step in steps(policy):
        if step.break_glass:
            yield from _glass((*at[:-1], "break_glass"), step, setting)
        spec = setting.catalogue.spec(step.action)
        if policy.mode == "shadow" or spec is None:
            continue
        if policy.mode == "auto" and planning.is_automatic(step, spec, None):
            continue
        risk = planning.risk_of(step, spec)
        yield from _enough(at, step.action, risk, policy.mode, setting)


def _enough(at: Path, action: str, risk: Risk, mode: Mode, setting: Setting) -> Iterator[Finding]:
    able, needed = setting.people.approvers(setting.system, risk), quorum(risk)
    if len(able) >= needed or setting.people.approving_groups(setting.system, risk):
        return
    who = "nobody" if not able else f"only {', '.join(able)}"
    people = "two people" if needed == 2 else "somebody"
    message = f"{action} ({risk}, mode {mode}) asks {people} of {setting.system}, and {who} may approve it"
    ids = "[ID, ID]" if needed == 2 else "[ID]"
    entry = f"{{system: {setting.system}, risk: {'safe' if risk == 'read' else risk}, people: {ids}}}"
    yield at, message, f"add to rosters: approvers: in people.yaml: {entry}"


def _glass(at: Path, step: StepDoc, setting: Setting) -> Iterator[Finding]:
    person = step.break_glass
    if setting.people.by_id(person) is None:
        known = [somebody.id for somebody in setting.people.people]
        yield at, f"{person!r} is nobody in people.yaml", did_you_mean(person, known, "use a person's id")
    elif not setting.people.may_break_glass(setting.system, person):
        message = f"{person} is not in the break_glass roster of {setting.system}"
        entry = f"{{system: {setting.system}, people: [{person}]}}"
        yield at, message, f"add to rosters: break_glass: in people.yaml: {entry}"


def oncall(file: PolicyFile, people: PeopleDocument) -> Iterator[Finding]:
    """The file's own on-call, once contacts are listed at all; paths are relative to the file."""
    yield from _unanswered(("oncall",), file.oncall, people)


def policy_pages(policy: PolicyDoc, people: PeopleDocument) -> Iterator[Finding]:
    """Pages that no contact answers; paths are relative to the policy."""
    yield from _ladder((), policy.ladder, people)


def catch_all(document: CatchAllDoc, people: PeopleDocument) -> Iterator[Finding]:
    """The same for a catch-all; paths are relative to the file."""
    yield from _unanswered(("catch_all", "page"), document.page, people)
    yield from _ladder(("catch_all",), document.ladder, people)


def _ladder(at: Path, ladder: Iterable[RungDoc], people: PeopleDocument) -> Iterator[Finding]:
    for index, rung in enumerate(ladder):
        if rung.page is not None:
            yield from _unanswered((*at, "ladder", index, "page"), rung.page, people)


def _unanswered(at: Path, page: PageDoc, people: PeopleDocument) -> Iterator[Finding]:
    if people.contacts and people.contact(page.service) is None:
        listed = [contact.service for contact in people.contacts]
        fix = did_you_mean(page.service, listed, f"add {{service: {page.service}, …}} to contacts: there")
        yield (*at, "service"), f"service {page.service!r} has no contact in people.yaml", fix


def rosters(people: PeopleDocument, targets: TargetsDocument) -> Iterator[Finding]:
    """Rosters for systems that are not there; paths are relative to people.yaml."""
    named = [(("approvers", index), roster.system) for index, roster in enumerate(people.rosters.approvers)]
    named += [(("break_glass", index), roster.system) for index, roster in enumerate(people.rosters.break_glass)]
    for at, system in named:
        if system != EVERY and system not in targets.systems:
            fix = did_you_mean(system, targets.systems, "add it there, or write * for every system")
            yield ("rosters", *at, "system"), f"system {system!r} is not in targets.yaml", fix


def unread_groups(people: PeopleDocument, setup: AndonDocument) -> Iterator[Finding]:
    """Rosters whose user groups nobody will ever read; paths are relative to people.yaml."""
    if setup.slack.mode:
        return
    for index, roster in enumerate(people.rosters.approvers):
        if roster.slack_groups:
            message = f"without slack: in andon.yaml nobody is in {', '.join(roster.slack_groups)}"
            fix = "set slack: there (docs/slack.md), or name people:"
            yield ("rosters", "approvers", index, "slack_groups"), message, fix


def built_in(people: PeopleDocument) -> Iterator[Finding]:
    """What no policy file says otherwise still pages the on-call: that contact must be there."""
    for _ in _unanswered((), planning.ONCALL, people):
        service = planning.ONCALL.service
        message = f"alerts that no system claims page {service}, which is not listed here"
        yield ("contacts",), message, f"add {{service: {service}, …}}"
