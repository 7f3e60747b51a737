"""Who is who in Slack, when its answers are odd, late, or overtaken by an edit of people.yaml."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from bot.adapters.slack.heard.members import FRESH_SECONDS, GROUPS_STALE_SECONDS, Known, Members, Stranger
from bot.adapters.slack.line.api import SlackApi
from bot.core.approval import Vote
from policies.people import PeopleDocument

TEAM, ANN, BOB = "T1AAAAAA", "U1AAAAAA", "U2AAAAAA"
PEOPLE = PeopleDocument.model_validate(
    {
        "people": [{"id": who, "slack": {"team": TEAM, "user": user}} for who, user in (("ann", ANN), ("bob", BOB))],
        "rosters": {
            "approvers": [{"system": "*", "risk": "critical", "slack_groups": ["S1AAAAAA", "S2AAAAAA"]}],
        },
    }
)


class Answers(SlackApi):
    """Slack, as far as `Members` asks it: the same answer to everything, made when it is asked."""

    def __init__(self, answer: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__("http://127.0.0.1:9/api/", SecretStr("xoxb-none"))
        self._answer = answer

    async def ask(self, doing: str, call: Awaitable[Any], *, seconds: float = 10.0) -> Mapping[str, Any]:
        call.close()  # type: ignore[attr-defined]  # a coroutine of the SDK's that is never begun
        return self._answer()


async def test_a_roster_that_was_asked_for_before_the_workspace_was_known_is_made_again() -> None:
    """Else whoever is only in the group could not decide until somebody joins or leaves it."""
    team = [""]
    api = Answers(lambda: {"users": [ANN, BOB]})
    members = Members(api, lambda: PEOPLE, lambda: team[0], lambda: 0.0)
    await members.look_at_groups()
    assert members.complete(PEOPLE).approvers("x", "risky") == ()
    team[0] = TEAM
    assert members.complete(PEOPLE).approvers("x", "risky") == ("ann", "bob")
    await api.close()


async def test_a_group_without_a_list_of_users_was_not_read() -> None:
    """It ends nothing, and after an hour the members of before count no more."""
    answer: dict[str, Any] = {"users": [ANN]}
    seconds = [0.0]
    api = Answers(lambda: answer)
    members = Members(api, lambda: PEOPLE, lambda: TEAM, lambda: seconds[0])
    await members.look_at_groups()
    answer["users"] = None
    assert set(await members.look_at_groups()) == {"S1AAAAAA", "S2AAAAAA"}
    assert members.complete(PEOPLE).approvers("x", "risky") == ("ann",)
    seconds[0] = GROUPS_STALE_SECONDS + 1
    await members.look_at_groups()
    assert members.complete(PEOPLE).approvers("x", "risky") == ()
    await api.close()


async def test_who_is_taken_out_of_people_yaml_while_slack_is_asked_is_nobody() -> None:
    """The file of the moment of answering counts."""
    document = [PEOPLE]

    def answer() -> Mapping[str, Any]:
        document[0] = PeopleDocument()
        return {"user": {"id": ANN, "team_id": TEAM}}

    api = Answers(answer)
    members = Members(api, lambda: document[0], lambda: TEAM, lambda: 0.0)
    assert isinstance(await members.who(TEAM, ANN), Stranger)
    document[0] = PEOPLE
    assert await members.who(TEAM, ANN) == Known("ann", f"slack:{TEAM}/{ANN}")  # seen a moment ago
    await api.close()


async def test_an_answer_about_somebody_else_speaks_for_nobody() -> None:
    """Nor does one about nobody."""
    for user in ({}, {"id": BOB, "team_id": TEAM}, None, []):
        api = Answers(lambda user=user: {"user": user})  # type: ignore[misc]
        found = await Members(api, lambda: PEOPLE, lambda: TEAM, lambda: 0.0).who(TEAM, ANN)
        assert isinstance(found, Stranger), user
        await api.close()


# --- workspaces: https://docs.slack.dev/reference/objects/user-object ---

ORG, SECOND, OTHER = "E1AAAAAA", "T2AAAAAA", "T9AAAAAA"


def account(team: object, teams: object = None, **more: object) -> dict[str, Any]:
    """What Slack tells of Ann's; with `teams` on Enterprise Grid."""
    grid = {"id": ANN, "enterprise_id": ORG, "enterprise_name": "org", "teams": teams}
    return {"id": ANN, "team_id": team, **({"enterprise_user": grid} if teams is not None else {}), **more}


async def judged(told: Mapping[str, Any], home: str) -> tuple[bool, bool]:
    """Whether her click in our workspace counts, and a yes that she said when all was well, right before sending."""
    seconds, answer = [0.0], [account(TEAM)]
    api = Answers(lambda: {"user": answer[0]})
    members = Members(api, lambda: PEOPLE, lambda: TEAM, lambda: seconds[0])
    vote = Vote(by="ann", at=1, verdict="approve", via=f"slack:{TEAM}/{ANN}")
    assert await members.unfit([vote]) == {}
    seconds[0], answer[0] = FRESH_SECONDS + 1, dict(told)
    heard = await members.who(TEAM, ANN, home)
    unfit = await members.unfit([vote])
    await api.close()
    assert isinstance(heard, Known) or "another workspace" in heard.why
    assert all("another workspace" in why for why in unfit.values())
    return isinstance(heard, Known), not unfit


@pytest.mark.parametrize("home", ["", TEAM, SECOND, ORG])
@pytest.mark.parametrize(
    "told",
    [account(TEAM, [TEAM, SECOND]), account(SECOND, [SECOND, TEAM]), account(ORG, [SECOND, TEAM])],
    ids=["at home here", "at home in another one", "of the organisation"],
)
async def test_a_member_on_enterprise_grid_counts_wherever_they_are_at_home(told: dict[str, Any], home: str) -> None:
    """A payload names another workspace of theirs, or the organisation, as the user's; Slack's record has ours."""
    assert await judged(told, home) == (True, True)


@pytest.mark.parametrize("home", ["", TEAM, SECOND, ORG, OTHER])
@pytest.mark.parametrize(
    "told",
    [
        account(OTHER), account(OTHER, is_stranger=False), account(OTHER, is_stranger=True),
        account(TEAM, is_stranger=True), account(SECOND, [SECOND]), account(ORG, [SECOND]), account(ORG, []),
        account(ORG), account(OTHER, [OTHER], is_stranger=False), account(TEAM, [TEAM], is_stranger=True),
        account(None), account(""), account([TEAM]), account({"id": TEAM}), {"id": ANN}, account(ORG, TEAM),
        account(ORG, {TEAM: TEAM}), account(ORG, [[TEAM]]), account(OTHER, enterprise_user=TEAM),
        account(OTHER, enterprise_user=[TEAM]), account(OTHER, teams=TEAM), account(OTHER, profile={"team": TEAM}),
    ],
    ids=str,
)  # fmt: skip
async def test_nobody_of_another_workspace_counts_whatever_the_payload_says(told: dict[str, Any], home: str) -> None:
    """Slack Connect: the click comes from our workspace, and nothing but the record's membership tells them apart.

    https://github.com/slackapi/java-slack-sdk/issues/1041
    """
    assert await judged(told, home) == (False, False)


@pytest.mark.parametrize("told", [account(TEAM), account(ORG, [TEAM, SECOND]), account(TEAM, [TEAM])], ids=str)
async def test_whoever_has_the_id_of_a_member_elsewhere_is_not_that_member(told: dict[str, Any]) -> None:
    """Slack is asked by the member id alone; the payload says that this account is at home somewhere else."""
    assert await judged(told, OTHER) == (False, True)
