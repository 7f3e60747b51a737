"""people.yaml: who may do what, one human across every place they are known by.

Read by `policies.loader`; asked by the API (`by_uid`), by guardrails (is `by` a person) and, for every decision, by
`policies.approvals` (may this person approve it, may they break the glass). Two people who share an identity would let
one human count as two approvers, so that is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from bot.core.words import Risk, risk_rank
from policies.durations import Duration
from policies.models import StrictModel
from policies.problems import Path, did_you_mean
from policies.targets import Reference
from policies.texts import EVERY, Name, NameOrEvery

VIEWER = "viewer"  # the one role that means something to Andon itself


class SlackIdentity(StrictModel):
    """A user is only unique together with the workspace."""

    team: str = Field(description="The workspace's id, T…")
    user: str = Field(description="The member's id, U… or W…")


class Person(StrictModel):
    """One human, or one role that a human fills."""

    id: Name
    name: str = ""
    os_uid: int | None = Field(None, ge=0, description="`id -u` on the machine that runs Andon; for the local socket.")
    os_user: str = ""
    email: str = ""
    slack: SlackIdentity | None = None
    pagerduty: str = Field("", description="The user's id in PagerDuty, P…")
    roles: list[Name] = Field(
        default_factory=list, description="What the person is to the floor; `viewer` may look and never act."
    )
    api_token: Reference = Field("", description="Token for the operators' API on TCP: env:NAME or file:PATH.")

    def identities(self) -> Iterator[tuple[str, str]]:
        """(key, value) of everything this person is known by."""
        yield "id", self.id
        if self.os_uid is not None:
            yield "os_uid", str(self.os_uid)
        if self.os_user:
            yield "os_user", self.os_user
        if self.email:
            yield "email", self.email.lower()
        if self.slack is not None:
            yield "slack", f"{self.slack.team}/{self.slack.user}"
        if self.pagerduty:
            yield "pagerduty", self.pagerduty
        if self.api_token:
            yield "api_token", self.api_token


Finding: TypeAlias = tuple[Path, str, str]  # path, message, fix


SlackGroup: TypeAlias = Annotated[str, Field(pattern=r"^S[A-Z0-9]{2,20}$")]


class ApproverRoster(StrictModel):
    """Who may approve steps of this risk, and of every lesser one."""

    system: NameOrEvery = Field(EVERY, description="A system of targets.yaml, or * for every one.")
    risk: Literal["safe", "risky", "critical"]
    people: list[Name] = Field(default_factory=list, description="Ids of people:.")
    slack_groups: list[SlackGroup] = Field(
        default_factory=list, description="Ids of Slack user groups, S…; their members count who are in people:."
    )


class BreakGlassRoster(StrictModel):
    """Who may act alone in an emergency, where a policy's step names them too."""

    system: NameOrEvery = Field(EVERY, description="A system of targets.yaml, or * for every one.")
    people: list[Name] = Field(default_factory=list, description="Ids of people:.")


class RostersDoc(StrictModel):
    """Who may decide."""

    approvers: list[ApproverRoster] = Field(default_factory=list)
    break_glass: list[BreakGlassRoster] = Field(default_factory=list)


class ContactDoc(StrictModel):
    """Who answers when a service is paged: what ladders name in `page: {service}`."""

    service: Name
    people: list[Name] = Field(default_factory=list, description="Ids of people:.")
    how: str = Field("", max_length=200, description="How to reach them by hand: a channel, a phone line.")
    url: str = Field(
        "", max_length=500, pattern=r"^(https?://\S+)?$",
        description="Where the pager shows this service, like https://ACME.pagerduty.com/service-directory/P…; linked.",
    )  # fmt: skip
    respond_within: Duration = Field(900_000, description="How soon they promised to answer.")


class PeopleDocument(StrictModel):
    """The whole file."""

    people: list[Person] = Field(default_factory=list)
    rosters: RostersDoc = Field(default_factory=RostersDoc)
    contacts: list[ContactDoc] = Field(default_factory=list)

    def approvers(self, system: str, risk: Risk) -> tuple[str, ...]:
        """Ids of those who may approve a step of this risk on this system: rosters of that risk or a graver one."""
        named = [person for roster in self._counting(system, risk) for person in roster.people]
        return tuple(dict.fromkeys(person for person in named if self._may_act(person)))

    def approving_groups(self, system: str, risk: Risk) -> tuple[str, ...]:
        """The Slack user groups whose members may do the same; who they are is only known while Andon runs."""
        return tuple(dict.fromkeys(group for roster in self._counting(system, risk) for group in roster.slack_groups))

    def _counting(self, system: str, risk: Risk) -> Iterator[ApproverRoster]:
        """The rosters that count for a step of this risk on this system."""
        for roster in self.rosters.approvers:
            if roster.system in {system, EVERY} and risk_rank(roster.risk) >= risk_rank(risk):
                yield roster

    def slack_groups(self) -> tuple[str, ...]:
        """Every Slack user group a roster names."""
        return tuple(dict.fromkeys(group for roster in self.rosters.approvers for group in roster.slack_groups))

    def with_members(self, members: Mapping[str, Sequence[str]]) -> PeopleDocument:
        """The same document, with the people of each Slack user group in the rosters that name it."""
        rosters = [
            roster.model_copy(
                update={
                    "people": [
                        *roster.people,
                        *(
                            one
                            for group in roster.slack_groups
                            for one in members.get(group, ())
                            if one not in roster.people
                        ),
                    ]
                }
            )
            for roster in self.rosters.approvers
        ]
        return self.model_copy(update={"rosters": self.rosters.model_copy(update={"approvers": rosters})})

    def may_break_glass(self, system: str, person: str) -> bool:
        """Whether this person may act alone on this system, where a policy's step names them."""
        listed = any(r.system in {system, EVERY} and person in r.people for r in self.rosters.break_glass)
        return listed and self._may_act(person)

    def _may_act(self, person: str) -> bool:
        """Whether this is somebody, and not a viewer: a roster makes nobody more than their role does."""
        known = self.by_id(person)
        return known is not None and VIEWER not in known.roles

    def contact(self, service: str) -> ContactDoc | None:
        """Who answers for a paged service."""
        return next((c for c in self.contacts if c.service == service), None)

    def by_id(self, person: str) -> Person | None:
        """The person with this id."""
        return next((p for p in self.people if p.id == person), None)

    def by_uid(self, uid: int) -> Person | None:
        """The person whose operating-system user this is."""
        return next((p for p in self.people if p.os_uid == uid), None)

    def by_os_user(self, user: str) -> Person | None:
        """The person with this login name."""
        return next((p for p in self.people if p.os_user and p.os_user == user), None)

    def by_slack(self, team: str, user: str) -> Person | None:
        """The person behind a Slack member of a workspace."""
        return next((p for p in self.people if p.slack and (p.slack.team, p.slack.user) == (team, user)), None)

    def by_pagerduty(self, user: str) -> Person | None:
        """The person behind a PagerDuty user id."""
        return next((p for p in self.people if p.pagerduty and p.pagerduty == user), None)


def shared_identities(document: PeopleDocument) -> Iterator[tuple[Path, str, str]]:
    """(path, message, fix) for each identity that two entries claim."""
    seen: dict[tuple[str, str], str] = {}
    for index, person in enumerate(document.people):
        for key, value in person.identities():
            other = seen.setdefault((key, value), person.id)
            if other != person.id or (key == "id" and (key, value) in seen and _first(document, person.id) != index):
                message = f"{key} {value} already belongs to {other}"
                yield ("people", index, key), message, "one human is one entry: merge the two"


def _first(document: PeopleDocument, person: str) -> int:
    return next(i for i, p in enumerate(document.people) if p.id == person)


def mistakes(document: PeopleDocument) -> Iterator[Finding]:
    """(path, message, fix) for everything the models cannot see: shared identities, strangers, names given twice."""
    yield from shared_identities(document)
    known = {person.id for person in document.people}
    seen: set[tuple[str, str]] = set()
    for index, roster in enumerate(document.rosters.approvers):
        at: Path = ("rosters", "approvers", index)
        yield from _listed((*at, "people"), roster.people, known)
        if (roster.system, roster.risk) in seen:
            message = f"{roster.system} has a second roster of approvers for {roster.risk}"
            yield at, message, "one roster for each system and risk: merge the two"
        seen.add((roster.system, roster.risk))
    systems: set[str] = set()
    for index, glass in enumerate(document.rosters.break_glass):
        at = ("rosters", "break_glass", index)
        yield from _listed((*at, "people"), glass.people, known)
        if glass.system in systems:
            yield at, f"{glass.system} has a second break-glass roster", "one roster for each system: merge the two"
        systems.add(glass.system)
    services: set[str] = set()
    for index, contact in enumerate(document.contacts):
        at = ("contacts", index)
        yield from _listed((*at, "people"), contact.people, known)
        if contact.service in services:
            yield (*at, "service"), f"service {contact.service!r} is here twice", "merge the two"
        elif not contact.people and not contact.how:
            yield at, f"nobody answers for {contact.service}", "add people: [ID], or how: to reach them"
        if contact.respond_within == 0:
            yield (*at, "respond_within"), "nobody answers within 0s", "write what they promised, like 15m"
        services.add(contact.service)


def _listed(at: Path, people: Sequence[str], known: set[str]) -> Iterator[Finding]:
    """Each of them is somebody, and once: an id given twice must not look like two approvers."""
    for index, person in enumerate(people):
        if person not in known:
            fix = did_you_mean(person, known, "add this person to people:, or use the id of one who is there")
            yield (*at, index), f"{person!r} is nobody in people.yaml", fix
        elif person in people[:index]:
            yield (*at, index), f"{person} is here twice", "one human counts once: remove one"
