"""Commands typed in Slack over the doors' twin: everything they are done with, and answers as plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.adapters.desk import Desk, Order
from bot.adapters.desk_kill import KillLever
from bot.adapters.desk_runs import Runs
from bot.adapters.desk_silences import Silences
from bot.adapters.kill_switch import KillSwitch
from bot.adapters.slack.board.outcomes import Outcomes
from bot.adapters.slack.heard.commands import Commands, Counter
from bot.adapters.slack.heard.enquiries import Enquiries
from bot.adapters.slack.heard.person import Show, Tell
from bot.core.intents import Budget
from bot.sandbox.slack.limits import problems
from bot.testing import MemoryAlertmanager
from remediations.catalogue import CATALOGUE
from tests.integration.door_twin import TwinServices


@dataclass
class Slack:
    """People who type. `type` gives the answer, judged against Slack's limits."""

    services: TwinServices
    folder: Path
    alertmanagers: list[MemoryAlertmanager] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self.switch = KillSwitch(self.folder / "kill-switch.jsonl")
        desk, silences = Desk(self.services), Silences(self.services, lambda: self.alertmanagers)
        self.commands = Commands(
            Counter(
                services=self.services,
                desk=desk,
                runs=Runs(self.services),
                silences=silences,
                kill=KillLever(self.services, desk, self.switch),
                catalogue=CATALOGUE,
                enquiries=Enquiries(self.services, silences, Budget(limit=10, within_ms=600_000, reserve=3)),
                outcomes=Outcomes(self.services.store, self.services.clock),
            )
        )

    async def type(self, text: str, person: str = "demo-approver") -> Tell | Show:
        """Somebody types this after `/andon`."""
        self._count += 1
        order = Order(person=person, id=f"op/{person}/slack/T1/U1/{self._count}", via="slack:T1/U1")
        answer = await self.commands.answer(order, text)
        found = problems(dict(answer.view)) if isinstance(answer, Show) else problems(list(answer.message.blocks))
        assert found == []
        return answer

    async def words(self, text: str, person: str = "demo-approver") -> str:
        """All the words of the answer, of a form's too."""
        answer = await self.type(text, person)
        shown = answer.view["blocks"] if isinstance(answer, Show) else answer.message.blocks
        return "\n".join(words_of(shown))

    async def form(self, text: str, person: str = "demo-approver") -> Mapping[str, Any]:
        """The form that the answer opens."""
        answer = await self.type(text, person)
        assert isinstance(answer, Show), answer
        return answer.view


def words_of(part: Any) -> Iterator[str]:
    """Every text in some blocks."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from words_of(value)
    elif isinstance(part, list | tuple):
        for each in part:
            yield from words_of(each)
