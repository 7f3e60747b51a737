"""Whether the component of a step lets through what the step's action will ask for, by its `allow` list.

Called by `policies.lint` for every step. Actions say what they need (`core.action.Catalogue.needs`), and the lists are
matched as the connectors match them before anything leaves: what is refused here would be refused in every incident.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from bot.core.action import ActionSpec
from policies import redis_commands
from policies.document import StepDoc
from policies.lint_evidence import Finding
from policies.planning import Setting
from policies.problems import Path, did_you_mean
from policies.rendering import canonical, texts
from policies.targets import ComponentDoc, Connector, allow_problem

MAX_SHOWN = 120  # characters of a line in a sentence


def check(step: StepDoc, spec: ActionSpec, component: ComponentDoc, setting: Setting) -> Iterator[Finding]:
    """What the component could never let through of the step, and of what takes it back when its lease is over."""
    for line in _needs(step.action, step.with_, setting):
        for message, fix in _refused(step.action, line, component):
            yield _argument(step.with_, line), message, fix
    if step.lease:
        for line in _needs(spec.undo, step.with_, setting):
            for message, fix in _refused(f"{spec.undo}, asked for when the lease is over,", line, component):
                yield ("lease",), message, fix


def _needs(action: str, given: Mapping[str, JsonValue], setting: Setting) -> Iterator[str]:
    """The lines that are fully known before an incident."""
    try:
        arguments = canonical(dict(given))
    except ValueError:  # a number that is not finite; told by `policies.arguments`
        return
    yield from (line for line in setting.catalogue.needs(action, arguments) if "${" not in line)


def _refused(action: str, line: str, component: ComponentDoc) -> Iterator[tuple[str, str]]:
    """Why the component refuses the line, and what to do; nothing where it allows it."""
    line = f"SENTINEL {line}" if line == "FAILOVER" and component.sentinels else line
    wanted, shown = _connector(line), line[:MAX_SHOWN]
    if component.connector != wanted:
        message = f"{action} asks for {shown}, and {component.name} is reached by {component.connector}, not {wanted}"
        yield message, f"name a component with connector: {wanted}"
        return
    if _allows(component, line):
        return
    if problem := allow_problem(wanted, line):
        yield f"{component.name} can never allow {shown}: {problem[0][:MAX_SHOWN]}", problem[1]
        return
    fix = f'add "{shown}" to allow: of {component.name} in targets.yaml'
    near = did_you_mean(line, component.allow)
    yield f"{action} asks for {shown}, which {component.name} does not allow", f"{near} or {fix}" if near else fix


def _allows(component: ComponentDoc, line: str) -> bool:
    if component.connector == "redis":
        return redis_commands.allows(component.allow, line.split(" ", 1))
    return line in component.allow


def _connector(line: str) -> Connector:
    """What takes such a line: a request is a verb and a path, a program a path, everything else a Redis command."""
    if line.startswith("/"):
        return "command"
    return "http" if line.partition(" ")[2].startswith("/") else "redis"


def _argument(given: Mapping[str, JsonValue], line: str) -> Path:
    """The argument that names what the line is about; the action itself where it always asks for the same."""
    named = [(len(text), path) for path, text in texts(given) if text and line.endswith(text)]
    return ("with", *max(named)[1]) if named else ("action",)
