"""people.yaml: who may do what, one human across every place they are known by.

Read by `policies.loader`; asked by the API (`by_uid`) and by guardrails (is `by` a person). Two people who share an
identity would let one human count as two approvers, so that is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from policies.models import StrictModel
from policies.problems import Path
from policies.targets import Reference
from policies.texts import Name


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
    roles: list[Name] = Field(default_factory=list)
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


class PeopleDocument(StrictModel):
    """The whole file."""

    people: list[Person] = Field(default_factory=list)

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
