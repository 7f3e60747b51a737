"""One action on one simulated target: what an author declares, and the calls that the checks make.

`Trial` is written by the author (docs/actions.md); `Run` is made by `bot.testing.action_contract` for each check of
`bot.testing.action_checks`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bot.core.words import JsonText
from bot.engine.action_ports import ActionContext, CannotTell, Inspection, Proceed, ReadBack, Unfit
from bot.errors import ConfigError, TargetError
from bot.testing.action_gate import Broken, Request
from bot.testing.action_world import World
from remediations.kit import Entry, canonical

MAX_JSON: Final = 20_000  # characters of before, wanted, arguments, restore: they stand in every record of the step
MAX_WHY: Final = 1_000  # characters of one sentence for a person
OTHER_INTENT: Final = "intent-2"  # under which somebody else acts
OTHER_FENCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How one action is tried.

    `world` makes a fresh simulated target on which `entry.example` has something to do. `refusals` makes, for each
    situation of `entry.refuses`, one in which the action must refuse in those words. `hostile` are arguments (besides
    those every trial tries) that the params must not take. `left` is the state as Andon left it, for
    actions that compare. `beside` are beginnings of requests that count as none: a canary that read_back writes.

    `also` makes the target in further starting states, which differ from `world` only in what an absolute action sets:
    it must leave each as it leaves `world`. `meanwhile` lets somebody else change a made world between look and send:
    situation -> what becomes of the world. `anybodys`: why a `once` action may count somebody else's effect as done.
    """

    entry: Entry
    world: Callable[[], World]
    refusals: Mapping[str, Callable[[], World]] = field(default_factory=dict)
    hostile: tuple[Mapping[str, object], ...] = ()
    left: JsonText = "{}"
    beside: tuple[str, ...] = ()
    also: tuple[Callable[[], World], ...] = ()
    meanwhile: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    anybodys: str = ""


class Run:
    """One action in one world. Every call is made on a new object, as after a restart of Andon."""

    def __init__(self, trial: Trial, world: World, intent: str = "", fence: int = 0) -> None:
        """`intent` and `fence`: of somebody else who acts here too."""
        self.trial = trial
        self.spec = trial.entry.spec
        self.world = world
        self.arguments = canonical(dict(trial.entry.example))
        self._intent = intent
        self._fence = fence

    @property
    def requests(self) -> Sequence[Request]:
        """What reached the target and could have an effect, but for what counts as none."""
        return [request for request in self.world.requests if not request.line.startswith(self.trial.beside)]

    def context(self, component: str | None = None) -> ActionContext:
        """What the action gets."""
        made = self.world.context(component=component if self.spec.role else "")
        made = replace(made, left=self.trial.left)
        return replace(made, intent=self._intent, fence=self._fence) if self._intent else made

    async def inspect(self, component: str | None = None) -> Inspection:
        """Look. Errors of Andon's are CannotTell or Unfit, as the engine has them."""
        try:
            return await self.trial.entry.action().inspect(self.context(component), self.arguments)
        except TargetError as error:
            return CannotTell(str(error))
        except ConfigError as error:
            return Unfit(str(error))
        except Broken:
            raise
        except Exception as error:  # somebody else's code: whatever it raises is the finding
            raise Broken(f"inspect raised {error!r}; it may raise TargetError only") from error

    async def proceed(self) -> Proceed:
        """Look, and find something to do."""
        made = len(self.requests)
        found = await self.inspect()
        need(len(self.requests) == made, f"inspect sent {lines_of(self.requests[made:])}; only send may")
        if not isinstance(found, Proceed):
            raise Broken(f"the example has nothing to do in a fresh world: inspect said {found!r}")
        return found

    async def send(self, proceed: Proceed) -> Exception | None:
        """Send, and how that ended: None is done."""
        before = len(self.requests)
        try:
            await self.trial.entry.action().send(self.context(), proceed)
            ended: Exception | None = None
        except TargetError as error:
            ended = error
        except Broken:
            raise
        except Exception as error:  # somebody else's code: whatever it raises is the finding
            raise Broken(f"send raised {error!r}; it may raise NotSent, Rejected or Unknown only") from error
        made = self.requests[before:]
        need(len(made) <= 1, f"one send made {len(made)} requests: {lines_of(made)}")
        return ended

    async def read_back(self, proceed: Proceed) -> ReadBack:
        """Look again, knowing only what the intent recorded. A TargetError is `as_wanted` None."""
        recorded = Proceed(before=proceed.before, wanted="{}", arguments=proceed.arguments)
        state, requests = self.world.snapshot(), len(self.requests)
        try:
            seen = await self.trial.entry.action().read_back(self.context(), recorded)
        except TargetError as error:
            return ReadBack("{}", None, str(error))
        except Broken:
            raise
        except Exception as error:  # somebody else's code: whatever it raises is the finding
            raise Broken(f"read_back raised {error!r}, knowing only before and arguments") from error
        need(self.world.snapshot() == state and len(self.requests) == requests, "read_back changed something")
        need_json("after of read_back", seen.after)
        need(len(seen.why) <= MAX_WHY, f"why of read_back has {len(seen.why)} characters, more than {MAX_WHY}")
        return seen


def need(holds: bool, otherwise: str) -> None:
    """Raises Broken with the words `otherwise` when it does not hold."""
    if not holds:
        raise Broken(otherwise)


def need_json(name: str, text: JsonText) -> None:
    """A canonical JSON object of bounded size."""
    try:
        value = json.loads(text)
        fits = isinstance(value, dict) and text == canonical(value)
    except (TypeError, ValueError):
        fits = False
    need(fits, f"{name} is not a canonical JSON object (make it with `canonical`): {str(text)[:200]}")
    need(len(text) <= MAX_JSON, f"{name} has {len(text)} characters, more than {MAX_JSON}")


def lines_of(requests: Sequence[Request]) -> str:
    """The requests in words."""
    return "; ".join(request.line for request in requests)
