"""What an action *is*, apart from how it is done: the declaration that lint, guardrails and docs read.

The implementations live in `remediations/`; policies see them only through `Catalogue`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bot.core.words import Delivery, Direction, JsonText, Millis, Risk

MAX_SEND_MS: Millis = 20_000  # an activity is cut off after 40 s, and it also looks before and after


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """The declaration of one action.

    `role` names the kind of component it acts on ("" for none); `pins` the fields of that component's state an
    approval is bound to; `floors` the fields automation never pushes below the component's configured floor;
    `undo` the action that takes it back ("" for none); `source` the runbook row it comes from; `send_ms` how long one
    send may take, answer included (at most MAX_SEND_MS).
    """

    name: str
    summary: str
    delivery: Delivery
    risk: Risk
    direction: Direction
    role: str = ""
    pins: tuple[str, ...] = ()
    floors: tuple[str, ...] = ()
    undo: str = ""
    source: str = ""
    send_ms: Millis = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamProblem:
    """One thing wrong with an action's arguments: `path` inside them (``kelly_fraction``) and what to do about it."""

    path: str
    message: str


class Catalogue(Protocol):
    """The actions that exist. Implemented by `remediations.catalogue`, injected everywhere else."""

    def names(self) -> tuple[str, ...]:
        """Every action's name, sorted."""
        ...

    def diagnoses(self) -> tuple[str, ...]:
        """Every diagnosis's name, sorted."""
        ...

    def spec(self, action: str) -> ActionSpec | None:
        """The declaration, or None when no such action exists."""
        ...

    def check_arguments(self, action: str, arguments: JsonText, *, partial: bool) -> tuple[ParamProblem, ...]:
        """What is wrong with `arguments` (a JSON object). `partial`: values that still hold `${…}` are not judged."""
        ...

    def canonical_arguments(self, action: str, arguments: JsonText) -> JsonText:
        """Fully rendered arguments, validated and with defaults, as canonical JSON. Raises ConfigError if invalid."""
        ...

    def needs(self, action: str, arguments: JsonText) -> tuple[str, ...]:
        """The allow lines without which the action could not act on its component; () where nothing is known.

        A line is as in targets.yaml ("POST /x", "PUBLISH channel", "/path/of/a/program") and may still hold `${…}`.
        "FAILOVER" stands for either way of failing over. Arguments that do not fit need nothing.
        """
        ...

    def params_schema(self, action: str) -> JsonText:
        """JSON Schema of the action's parameters, for editors and docs."""
        ...
