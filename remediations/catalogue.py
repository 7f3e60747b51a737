"""Every action and diagnosis by name: what policies may ask for, and what runs when they do.

`CATALOGUE` is what this repository ships. The composition root adds what other distributions bring (`bot.extensions`)
and injects the whole: into policy loading and lint as `core.action.Catalogue`, into the engine as
`action_ports.Toolbox`. A new action is one file beside this one and one line in `_actions` below; the contract suite
(`tests/contract/test_action_contract.py`) then runs on it by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from bot.core.action import ActionSpec, ParamProblem
from bot.core.words import JsonText
from bot.engine.action_ports import Action, Diagnosis
from bot.errors import ConfigError
from remediations import (
    command_run,
    http_call,
    model_switching,
    notify,
    redis_command,
    redis_failback,
    redis_failover,
    redis_latency,
    redis_publish,
    reduce_kelly,
    router_pause,
    router_pause_by_signal,
    router_resume,
    service_restart,
    trading_halt,
    var_pattern,
)
from remediations.kit import DiagnosisEntry, Entry
from remediations.params import canonical, check, parse

__all__ = ["CATALOGUE", "ActionCatalogue", "Entry"]


def _actions() -> dict[str, Entry]:
    return {
        "command.run": command_run.ENTRY,
        "http.call": http_call.ENTRY,
        "notify": notify.ENTRY,
        "redis.command": redis_command.ENTRY,
        "redis.failback": redis_failback.ENTRY,
        "redis.failover": redis_failover.ENTRY,
        "redis.publish": redis_publish.ENTRY,
        "risk.reduce_kelly": reduce_kelly.ENTRY,
        "router.pause": router_pause.ENTRY,
        "router.pause_by_signal": router_pause_by_signal.ENTRY,
        "router.resume": router_resume.ENTRY,
        "service.restart": service_restart.ENTRY,
        "trading.halt": trading_halt.ENTRY,
    }


def _diagnoses() -> dict[str, DiagnosisEntry]:
    return {
        "redis.latency": redis_latency.ENTRY,
        "risk.var_pattern": var_pattern.ENTRY,
        "router.switch_pattern": model_switching.ENTRY,
    }


class ActionCatalogue:
    """A read-only catalogue; implements `core.action.Catalogue` and `engine.action_ports.Toolbox`."""

    def __init__(self, actions: Mapping[str, Entry], diagnoses: Mapping[str, DiagnosisEntry]) -> None:
        for name, entry in actions.items():
            if entry.spec.name != name:
                raise ConfigError(f"the action listed as {name} calls itself {entry.spec.name}")
        for name, look in diagnoses.items():
            if look.name != name:
                raise ConfigError(f"the diagnosis listed as {name} calls itself {look.name}")
        self._actions = MappingProxyType(dict(actions))
        self._diagnoses = MappingProxyType(dict(diagnoses))
        self._schemas: dict[str, JsonText] = {}  # made on first use: each takes milliseconds, every order asks for all

    def names(self) -> tuple[str, ...]:
        """Every action's name, sorted."""
        return tuple(sorted(self._actions))

    def diagnoses(self) -> tuple[str, ...]:
        """Every diagnosis's name, sorted."""
        return tuple(sorted(self._diagnoses))

    def entry(self, action: str) -> Entry | None:
        """All that was registered of an action, for its page and its tests."""
        return self._actions.get(action)

    def diagnosis_entry(self, name: str) -> DiagnosisEntry | None:
        """All that was registered of a diagnosis, for its page."""
        return self._diagnoses.get(name)

    def extended(self, actions: Mapping[str, Entry], diagnoses: Mapping[str, DiagnosisEntry]) -> ActionCatalogue:
        """A catalogue with these besides. Raises ConfigError where a name is taken."""
        for kind, ours, more in (("action", self._actions, actions), ("diagnosis", self._diagnoses, diagnoses)):
            for name in more:
                if name in ours:
                    raise ConfigError(f"there is {kind} {name} already")
        return ActionCatalogue({**self._actions, **actions}, {**self._diagnoses, **diagnoses})

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

    def needs(self, action: str, arguments: JsonText) -> tuple[str, ...]:
        """The allow lines without which the action could not act; () also where the arguments do not fit (yet)."""
        entry = self._actions.get(action)
        if entry is None or check(entry.params, arguments, partial=False):
            return ()
        return entry.needs(arguments)

    def params_schema(self, action: str) -> JsonText:
        """JSON Schema of the action's parameters. Raises ConfigError when no such action exists."""
        entry = self._actions.get(action)
        if entry is None:
            raise ConfigError(f"no action named {action!r}")
        if action not in self._schemas:
            self._schemas[action] = json.dumps(entry.params.model_json_schema(), sort_keys=True, indent=2)
        return self._schemas[action]

    def action(self, name: str) -> Action | None:
        """The action's implementation."""
        entry = self._actions.get(name)
        return entry.action() if entry else None

    def diagnosis(self, name: str) -> Diagnosis | None:
        """The diagnosis's implementation."""
        entry = self._diagnoses.get(name)
        return entry.diagnosis() if entry else None


CATALOGUE = ActionCatalogue(_actions(), _diagnoses())
