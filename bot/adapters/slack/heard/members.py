"""Who somebody in Slack is: one human in people.yaml, in good standing in our workspace; and who is in which group.

`listeners` asks at every click and command (`who`), the engine asks about every vote again right before sending
(`unfit`, see `bot.engine.judge.Membership`), `bot.house` completes the rosters with user groups (`complete`). Law 5:
never a bot, a guest, a deactivated member or a stranger's workspace. A payload names our workspace for strangers in a
shared channel too, and another than ours for members on Enterprise Grid: Slack's own record of the account decides. Who
was in good standing a moment ago counts while Slack cannot be asked; whoever it never vouched for does not.
https://docs.slack.dev/reference/objects/user-object
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from bot.adapters.slack.line.api import SlackApi, SlackRefusedError
from bot.core.approval import Vote
from bot.errors import DeliveryError, DeliveryUncertain
from policies.people import PeopleDocument

FRESH_SECONDS: Final = 30.0  # one look serves the clicks of one decision; users.info allows 100 a minute
STALE_SECONDS: Final = 300.0  # while Slack cannot be asked; a decision waits no longer than that by default
ASK_SECONDS: Final = 1.0  # of the 3 s an acknowledgement may take
GROUPS_SECONDS: Final = 60.0  # usergroups.users.list allows 20 a minute
GROUPS_STALE_SECONDS: Final = 3_600.0  # a roster nobody could read for an hour is no roster
MAX_KNOWN: Final = 1_000  # members looked up and remembered
VIA: Final = "slack:"
# Slack's words for what is not there: an answer, and no reason to go by what was so before.
NOBODY: Final = frozenset({"user_not_found", "user_not_visible", "users_not_found"})
NO_GROUP: Final = frozenset({"no_such_subteam", "subteam_disabled", "subteam_not_found"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """A person, and the account they spoke through (`slack:T…/U…`)."""

    person: str
    via: str


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody who may not order anything here, and why in one sentence."""

    why: str


@dataclass(frozen=True, slots=True)
class _Well:
    """A member in good standing: when that was seen last, and every workspace and organisation of the account."""

    at: float
    homes: frozenset[str]


class Members:
    """The people of one workspace."""

    def __init__(
        self,
        api: SlackApi,
        people: Callable[[], PeopleDocument],
        team: Callable[[], str],
        now: Callable[[], float] = lambda: asyncio.get_running_loop().time(),
    ) -> None:
        """`people`: people.yaml as it is in force. `team`: our workspace's id. `now`: monotonic seconds."""
        self._api = api
        self._people = people
        self._team = team
        self._now = now
        self._well: dict[str, _Well] = {}  # who was in good standing
        self._groups: dict[str, tuple[tuple[str, ...], float]] = {}  # a group's member ids, and when they were read
        self._completed: tuple[PeopleDocument, tuple[str, int], PeopleDocument] | None = None
        self._revision = 0  # of the groups

    async def who(self, team: str, user: str, home: str = "") -> Known | Stranger:
        """The person behind a member of a workspace, as they stand now.

        `home`: where the payload says that the account is at home. It lets nobody in, and keeps out whoever has the
        member id of one of ours in another workspace.
        """
        ours = self._team()
        if team != ours:
            return Stranger(f"you are of another workspace ({team or 'unknown'}); only members of {ours} act here")
        person = self._people().by_slack(team, user)
        if person is None and home not in ("", ours):
            why = f"Slack member {user} of another workspace ({home}) is nobody in people.yaml"
            return Stranger(f"{why}; only members of {ours} act here, and are listed there with that workspace")
        if person is None:
            fix = f"add slack: {{team: {team}, user: {user}}} to your entry in people.yaml"
            return Stranger(f"Slack member {user} is nobody in people.yaml: {fix}")
        problem = await self._problem(user, FRESH_SECONDS)
        if not problem and self._people().by_slack(team, user) != person:  # the file was edited meanwhile
            return await self.who(team, user, home)
        well = self._well.get(user)
        if not problem and home and (well is None or home not in well.homes):
            problem = f"you are of another workspace ({home}), and not the member of {ours} with this id"
        return Stranger(problem) if problem else Known(person.id, f"{VIA}{team}/{user}")

    # --- bot.engine.judge.Membership --------------------------------------------------------------------------------

    async def unfit(self, votes: Sequence[Vote]) -> Mapping[str, str]:
        """Whose vote came through an account that is not theirs any more, or does not count now.

        Reads the user groups anew, so that `complete` knows who left one since.
        """
        if self._people().slack_groups():
            await self.look_at_groups()
        told = [vote for vote in votes if vote.via.startswith(VIA)]
        problems = await asyncio.gather(*(self._unfit(vote) for vote in told))
        return {vote.by: problem for vote, problem in zip(told, problems, strict=True) if problem}

    async def _unfit(self, vote: Vote) -> str:
        team, _, user = vote.via.removeprefix(VIA).partition("/")
        person = self._people().by_slack(team, user)
        if team != self._team() or person is None or person.id != vote.by:
            return f"{vote.by} is not known by the Slack account that said yes ({user})"
        problem = await self._problem(user, 0.0)
        return f"{vote.by} does not count: {problem}" if problem else ""

    def complete(self, people: PeopleDocument) -> PeopleDocument:
        """The same document, with the members of its user groups in the rosters that name them."""
        if not people.slack_groups():
            return people
        known, state = self._completed, (self._team(), self._revision)
        if known is None or known[0] is not people or known[1] != state:
            known = (people, state, people.with_members(self._members_of(people)))
            self._completed = known
        return known[2]

    def _members_of(self, people: PeopleDocument) -> dict[str, list[str]]:
        team = self._team()
        return {
            group: [person.id for user in users if (person := people.by_slack(team, user)) is not None]
            for group, (users, _) in self._groups.items()
        }

    # --- asking Slack -----------------------------------------------------------------------------------------------

    async def _problem(self, user: str, fresh: float) -> str:
        """What speaks against this member, from a look no older than `fresh` seconds where Slack answers."""
        well = self._well.get(user)
        if well is not None and self._now() - well.at < fresh:
            return ""
        try:
            looked = self._api.client.users_info(user=user)
            answer = await self._api.ask("users.info", looked, seconds=ASK_SECONDS)
        except DeliveryError as error:
            if isinstance(error, SlackRefusedError) and error.code in NOBODY:
                self._well.pop(user, None)
                return against(None, self._team())
            if well is not None and self._now() - well.at < STALE_SECONDS:
                return ""
            log.warning("member_not_told", user=user, error=str(error))
            return "Slack cannot be asked who you are now; use `andon` on the command line"
        told = answer.get("user")
        known = told if isinstance(told, Mapping) and told.get("id") == user else None
        problem = against(known, self._team())
        self._well.pop(user, None)
        if problem:  # asked anew each time: whoever is put right may act at once
            return problem
        self._well[user] = _Well(self._now(), _workspaces(known) | _organisation(known))
        while len(self._well) > MAX_KNOWN:
            self._well.pop(next(iter(self._well)))
        return ""

    async def run(self) -> None:
        """Keep the user groups that rosters name as Slack has them, for ever."""
        while True:
            await self.look_at_groups()
            await asyncio.sleep(GROUPS_SECONDS)

    async def look_at_groups(self) -> dict[str, str]:
        """Read every group that a roster names. Returns what is wrong, by group."""
        problems: dict[str, str] = {}
        named = self._people().slack_groups()
        for group in named:
            try:
                looked = self._api.client.usergroups_users_list(usergroup=group)
                answer = await self._api.ask("usergroups.users.list", looked, seconds=ASK_SECONDS)
                users = answer.get("users")
                if not isinstance(users, list):
                    raise DeliveryUncertain("usergroups.users.list: no list of users")
            except DeliveryError as error:
                problems[group] = str(error)
                self._outdate(group, gone=isinstance(error, SlackRefusedError) and error.code in NO_GROUP)
                log.warning("user_group_not_read", group=group, error=str(error))
                continue
            self._keep(group, tuple(map(str, users)))
        for group in [each for each in self._groups if each not in named]:
            del self._groups[group]
            self._revision += 1
        return problems

    def _keep(self, group: str, users: tuple[str, ...]) -> None:
        if group not in self._groups or self._groups[group][0] != users:
            self._revision += 1
        self._groups[group] = (users, self._now())

    def _outdate(self, group: str, *, gone: bool) -> None:
        known = self._groups.get(group)
        if known is not None and (gone or self._now() - known[1] > GROUPS_STALE_SECONDS):
            del self._groups[group]
            self._revision += 1


def against(user: object, team: str) -> str:
    """What speaks against letting this member of `team` decide, in one sentence; "" for nothing."""
    if not isinstance(user, Mapping):
        return "Slack does not know you"
    if user.get("deleted"):
        return "this Slack account is deactivated"
    if user.get("is_bot") or user.get("is_workflow_bot") or user.get("id") == "USLACKBOT":
        return "this is a bot's account; only humans decide"
    if user.get("is_restricted") or user.get("is_ultra_restricted"):
        return "guests of the workspace may not act here"
    if user.get("is_stranger") or not team or team not in _workspaces(user):
        return "you are of another workspace; only its own members act here"
    return ""


def _workspaces(user: object) -> frozenset[str]:
    """All that an account is a member of. On Enterprise Grid `team_id` is one of them, or the organisation.

    `is_stranger` alone tells nothing: Slack leaves it out for somebody in a channel that is shared with us.
    """
    if not isinstance(user, Mapping):
        return frozenset()
    found = [user.get("team_id")]
    for listed in (user.get("teams"), _enterprise(user).get("teams")):
        found += listed if isinstance(listed, list) else []
    return frozenset(each for each in found if isinstance(each, str) and each)


def _organisation(user: object) -> frozenset[str]:
    named = _enterprise(user).get("enterprise_id")
    return frozenset({named}) if isinstance(named, str) and named else frozenset()


def _enterprise(user: object) -> Mapping[str, object]:
    found = user.get("enterprise_user") if isinstance(user, Mapping) else None
    return found if isinstance(found, Mapping) else {}
