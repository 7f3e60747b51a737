"""Who is who in Slack, when its answers are odd, late, or overtaken by an edit of people.yaml."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import SecretStr

from bot.adapters.slack.heard.members import GROUPS_STALE_SECONDS, Known, Members, Stranger
from bot.adapters.slack.line.api import SlackApi
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
