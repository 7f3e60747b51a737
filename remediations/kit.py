"""Everything that the file of an action or a diagnosis imports, in one place.

Authors write `from remediations.kit import …` and nothing else of Andon; docs/actions.md tells how, step by step. An
action file ends in `ENTRY = Entry(…)`, a diagnosis file in `ENTRY = DiagnosisEntry(…)`. Those of this repository are
listed in `remediations.catalogue`; those of other distributions come in through their entry points, which
`bot.extensions` loads at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import Field, JsonValue

from bot.core.action import ActionSpec
from bot.core.alert import Alert
from bot.core.plan import EvidenceDecl
from bot.core.reading import Reading
from bot.core.words import JsonText, Millis
from bot.engine.action_ports import (
    Action,
    ActionContext,
    AlreadySo,
    CannotTell,
    Component,
    Diagnosis,
    EvidenceReader,
    Finding,
    HttpReply,
    HttpTarget,
    Inspection,
    Proceed,
    ReadBack,
    Unfit,
)
from bot.engine.connector_ports import (
    ProcessSeen,
    ProcessTarget,
    ProgramReply,
    ProgramTarget,
    RedisLook,
    RedisNode,
    RedisTarget,
    RedisValue,
)
from bot.errors import ConfigError, DeliveryError, DeliveryUncertain, NotSent, Rejected, TargetError, Unknown
from remediations.params import Params, Text, canonical, parse

ANY_ROLE = "*"  # an action with this role acts on whichever component the policy names


def _nothing(_: JsonText) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One action: its declaration, the model of its parameters, the class that does it, and arguments as an example.

    The example is what its generated page shows, and what the contract suite runs it with. `refuses` shows on the page
    what a refusal looks like: situation -> the words of its `why`, with … for what varies; the suite proves each.
    `needs` tells by the arguments which lines of `allow:` it cannot do without; `andon check` then finds a step that
    its component would always refuse.
    """

    spec: ActionSpec
    params: type[Params]
    action: type[Action]
    example: Mapping[str, JsonValue] = field(default_factory=dict)
    refuses: Mapping[str, str] = field(default_factory=dict)
    needs: Callable[[JsonText], tuple[str, ...]] = _nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A row of a root-cause table: how the figures look, what is likely behind that, what the runbook then does."""

    sign: str
    cause: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisEntry:
    """One diagnosis: its name in policies, what it tells, the class that looks, and what its page shows besides.

    `reads` says in words what is read; `causes` is its root-cause table; `source` the runbook row.
    """

    name: str
    summary: str
    diagnosis: type[Diagnosis]
    source: str = ""
    reads: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()


__all__ = [
    "ANY_ROLE",
    "Action",
    "ActionContext",
    "ActionSpec",
    "Alert",
    "AlreadySo",
    "CannotTell",
    "Cause",
    "Component",
    "ConfigError",
    "DeliveryError",
    "DeliveryUncertain",
    "Diagnosis",
    "DiagnosisEntry",
    "Entry",
    "EvidenceDecl",
    "EvidenceReader",
    "Field",
    "Finding",
    "HttpReply",
    "HttpTarget",
    "Inspection",
    "JsonText",
    "JsonValue",
    "Millis",
    "NotSent",
    "Params",
    "Proceed",
    "ProcessSeen",
    "ProcessTarget",
    "ProgramReply",
    "ProgramTarget",
    "ReadBack",
    "Reading",
    "RedisLook",
    "RedisNode",
    "RedisTarget",
    "RedisValue",
    "Rejected",
    "TargetError",
    "Text",
    "Unfit",
    "Unknown",
    "canonical",
    "parse",
]
