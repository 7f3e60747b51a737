"""Every action and diagnosis by name: what policies may ask for, and what runs when they do.

`CATALOGUE` is injected by the composition root: into policy loading and lint as `core.action.Catalogue`, into the
engine as `action_ports.Toolbox`. A new action is one file beside this one and one line in `_actions` below; the
contract suite (`tests/contract/test_action_contract.py`) then runs on it by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bot.core.action import ActionSpec, ParamProblem
from bot.core.words import JsonText
from bot.engine.action_ports import Action, Diagnosis
from bot.errors import ConfigError
from remediations import http_call, notify, reduce_kelly, trading_halt, var_concentration
from remediations.params import Params, canonical, check, parse


@dataclass(frozen=True, slots=True)
class Entry:
    """One action: its declaration, the model of its parameters, and the class that does it."""

    spec: ActionSpec
    params: type[Params]
    action: type[Action]


def _actions() -> dict[str, Entry]:
    return {
        "http.call": Entry(http_call.SPEC, http_call.HttpCallParams, http_call.HttpCall),
        "notify": Entry(notify.SPEC, notify.NotifyParams, notify.Notify),
        "risk.reduce_kelly": Entry(reduce_kelly.SPEC, reduce_kelly.ReduceKellyParams, reduce_kelly.ReduceKelly),
        "trading.halt": Entry(trading_halt.SPEC, trading_halt.TradingHaltParams, trading_halt.TradingHalt),
    }


def _diagnoses() -> dict[str, type[Diagnosis]]:
    return {
        "risk.var_concentration": var_concentration.VarConcentration,
    }


class ActionCatalogue:
    """A read-only catalogue; implements `core.action.Catalogue` and `engine.action_ports.Toolbox`."""

    def __init__(self, actions: Mapping[str, Entry], diagnoses: Mapping[str, type[Diagnosis]]) -> None:
        for name, entry in actions.items():
            if entry.spec.name != name:
                raise ConfigError(f"the action listed as {name} calls itself {entry.spec.name}")
        self._actions = MappingProxyType(dict(actions))
        self._diagnoses = MappingProxyType(dict(diagnoses))

    def names(self) -> tuple[str, ...]:
        """Every action's name, sorted."""
        return tuple(sorted(self._actions))

    def diagnoses(self) -> tuple[str, ...]:
        """Every diagnosis's name, sorted."""
        return tuple(sorted(self._diagnoses))

    def spec(self, action: str) -> ActionSpec | None:
        """The declaration, or None when no such action exists."""
        entry = self._actions.get(action)
        return entry.spec if entry else None

    def check_arguments(self, action: str, arguments: JsonText, *, partial: bool) -> tuple[ParamProblem, ...]:
        """What is wrong with `arguments` (a JSON object). `partial`: values that still hold `${…}` are not judged."""
        entry = self._actions.get(action)
        if entry is None:
            return (ParamProblem(path="", message=f"no action named {action!r}"),)
        return check(entry.params, arguments, partial=partial)

    def canonical_arguments(self, action: str, arguments: JsonText) -> JsonText:
        """Fully rendered arguments, validated and with defaults, as canonical JSON. Raises ConfigError if invalid."""
        entry = self._actions.get(action)
        if entry is None:
            raise ConfigError(f"no action named {action!r}")
        return canonical(parse(entry.params, arguments).model_dump(mode="json"))

    def params_schema(self, action: str) -> JsonText:
        """JSON Schema of the action's parameters. Raises ConfigError when no such action exists."""
        entry = self._actions.get(action)
        if entry is None:
            raise ConfigError(f"no action named {action!r}")
        return json.dumps(entry.params.model_json_schema(), sort_keys=True, indent=2)

    def action(self, name: str) -> Action | None:
        """The action's implementation."""
        entry = self._actions.get(name)
        return entry.action() if entry else None

    def diagnosis(self, name: str) -> Diagnosis | None:
        """The diagnosis's implementation."""
        made = self._diagnoses.get(name)
        return made() if made else None


CATALOGUE = ActionCatalogue(_actions(), _diagnoses())
