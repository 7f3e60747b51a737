"""Commands about automation as a whole: what may act, what is frozen, who has which component, what was set aside.

Added to the application by `bot.cli`.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bot import console
from bot.cli_ask import AsJson, System, ask, named
from bot.errors import InputError

PolicyName = Annotated[str, typer.Argument(help="A policy's name.", metavar="POLICY")]
Where = Annotated[
    str | None, typer.Argument(help="SYSTEM or SYSTEM/COMPONENT; nothing: everywhere.", metavar="[WHERE]")
]

Component = Annotated[str, typer.Argument(help="SYSTEM/COMPONENT.", metavar="WHERE")]
ActionName = Annotated[str, typer.Argument(help="An action's name, like trading.halt.", metavar="ACTION")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (freeze, unfreeze, arm, disarm, status, targets):
        app.command()(command)
    app.command("dead-letters")(dead_letters)
    lease = typer.Typer(help="What an action did is meant to last so long; keep it, or stop being asked.")
    lease.command("renew")(lease_renew)
    lease.command("end")(lease_end)
    app.add_typer(lease, name="lease")


def freeze(
    where: Where = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it next.")] = "by hand",
    for_: Annotated[
        str, typer.Option("--for", help="Ask again after this long (10m, 2h); only a person lifts it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Switch automation off: everywhere, for one system, or for one component."""
    body: dict[str, Any] = {"reason": reason, **place_of(where)}
    if for_:
        from policies.durations import parse

        body["for_ms"] = parse(for_)
    ask(lambda api: api.post("/freeze", body), console.decisions, as_json)


def unfreeze(
    where: Where = None,
    every: Annotated[bool, typer.Option("--all", help="Every system.")] = False,
    as_json: AsJson = False,
) -> None:
    """Switch automation on again. What was denied meanwhile does not start by itself."""
    if (where is not None) == every:
        raise InputError("WHERE", "name a SYSTEM or SYSTEM/COMPONENT, or say --all")
    ask(lambda api: api.post("/unfreeze", place_of(where)), console.decisions, as_json)


def arm(policy: PolicyName, system: System = "", as_json: AsJson = False) -> None:
    """Let a policy act."""
    ask(lambda api: api.post("/arm", {"policy": policy, "system": system}), console.decisions, as_json)


def disarm(policy: PolicyName, system: System = "", as_json: AsJson = False) -> None:
    """Let a policy only watch."""
    ask(lambda api: api.post("/disarm", {"policy": policy, "system": system}), console.decisions, as_json)


def lease_renew(
    where: Component,
    action: ActionName,
    for_: Annotated[str, typer.Option("--for", help="How much longer, from now (10m, 2h).")],
    as_json: AsJson = False,
) -> None:
    """What the action did stays in force for longer; then people are asked again."""
    from policies.durations import parse

    body = {**place_of(where), "action": action, "for_ms": parse(for_)}
    ask(lambda api: api.post("/lease", body), console.decisions, as_json)


def lease_end(where: Component, action: ActionName, as_json: AsJson = False) -> None:
    """It is taken back, or meant to stay: nobody is asked about it any more."""
    body = {**place_of(where), "action": action}
    ask(lambda api: api.post("/lease", body), console.decisions, as_json)


def status(as_json: AsJson = False) -> None:
    """Is it well, what may act, what is frozen, what waits."""
    ask(lambda api: api.get("/status"), console.status, as_json)


def targets(system: System = "", as_json: AsJson = False) -> None:
    """Every component: who acts on it, who waits, whether it is frozen."""
    ask(lambda api: api.get("/targets", **named(system)), console.targets, as_json)


def dead_letters(system: System = "", as_json: AsJson = False) -> None:
    """What could not be handled and was set aside."""
    ask(lambda api: api.get("/dead-letters", **named(system)), console.dead_letters, as_json)


def place_of(where: str | None) -> dict[str, str]:
    """SYSTEM/COMPONENT as the API takes it. An empty word (a variable that was not set) never means everywhere."""
    system, slash, component = (where or "").partition("/")
    if where is not None and (not system or (slash and not component)):
        raise InputError("WHERE", f"{where!r} names nothing; write SYSTEM or SYSTEM/COMPONENT, or leave it out")
    return {"system": system, "component": component}
