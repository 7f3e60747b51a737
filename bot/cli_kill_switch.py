"""`andon kill-switch`: stop every action of Andon on this machine, whatever else is broken.

Added to the application by `bot.cli`. It writes one line to a file in the data directory and needs nothing else: no
store, no network, no running Andon, no valid configuration. Only then does it ask a running Andon to freeze as well,
for replicas on other machines, and says whether that worked.
"""

from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType

from bot import console
from bot.adapters.clock import SystemClock
from bot.adapters.kill_switch import FILE, MAX_REASON, KillSwitch, plain_text
from bot.cli_ask import REFUSED, AsJson, Config, converse, settings_of, tell
from bot.client import Api
from bot.errors import AndonError, InputError, StoreUnavailable

BY_HAND: Final = "by hand"
FREEZE_SECONDS: Final = 5.0  # for the running Andon to answer; the switch itself is on disk before it is asked
STOPS: Final = "No Andon that runs from this data directory sends anything to a trading system now."
KEEPS: Final = "Trading itself goes on: this stops Andon's own actions only. Pages and messages still go out."
FROZEN: Final = "Automation is frozen too, for replicas elsewhere: "
UNFROZEN: Final = (
    "Replicas with other data directories may act on until an Andon that runs from this one has frozen the store; it "
    "was asked to at once, but: "
)
NEXT: Final = "Nothing starts by itself: automation stays frozen until a person says `andon unfreeze --all`."


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("kill-switch")(kill_switch)


def kill_switch(
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it next.")] = BY_HAND,
    release: Annotated[bool, typer.Option("--release", help="Take the switch back.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only say how it stands.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Andon's data directory, if not as configured.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Stop every action of Andon at once, with nothing but this machine's disk."""
    if release and status:
        raise InputError("--release", "with --status it would change nothing; say one of them")
    reason = plain_text(reason).strip()[:MAX_REASON] or BY_HAND  # whatever was typed, the switch is thrown
    here = settings_of(config)
    from bot.adapters.config_files import find_config  # here, so that other commands start quickly
    from bot.places import data_dir_for_sure

    folder = data_dir.resolve() if data_dir else data_dir_for_sure(here, here.config or find_config(here))
    switch = KillSwitch(folder / "journal" / FILE)
    used = (folder / "seal.key").exists()
    problem = "" if status else _throw(switch, reason, release=release)
    answer = _standing(switch, problem)
    if not used:
        answer["warning"] = f"no Andon has ever run from {folder}; is it the right data directory? (--data-dir)"
    if not status and not release:
        answer["frozen"], answer["freeze"] = _freeze(reason)
    tell(answer, _shown, as_json)
    if problem:
        raise typer.Exit(REFUSED)


def _throw(switch: KillSwitch, reason: str, *, release: bool) -> str:
    """Write the line; returns why it could not be written, or ""."""
    uid = os.getuid()
    act = switch.release if release else switch.engage
    try:
        act(at=SystemClock().now(), by=_login(uid), uid=uid, reason=reason)
    except StoreUnavailable as error:
        return f"{error}; run it as the user that Andon runs as, or stop the process itself"
    return ""


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a uid without a login name, as in many containers
        return f"uid-{uid}"


def _standing(switch: KillSwitch, problem: str) -> dict[str, Any]:
    position = switch.position()
    return {
        "engaged": position.engaged,
        "why": position.why,
        "by": position.by,
        "uid": position.uid,
        "at": position.at,
        "reason": position.reason,
        "file": str(switch.path),
        **({"problem": problem} if problem else {}),
    }


def _freeze(reason: str) -> tuple[bool, str]:
    """Whether a running Andon froze automation for all replicas, and what came of asking."""

    async def ask(api: Api) -> dict[str, Any]:
        async with asyncio.timeout(FREEZE_SECONDS):
            return await api.post("/freeze", {"reason": f"kill switch: {reason}"[:MAX_REASON]})

    try:
        decided = converse(ask)["decisions"]
    except TimeoutError:
        return False, f"the running Andon did not answer within {FREEZE_SECONDS:g} s"
    except AndonError as error:
        return False, str(error)
    return True, ", ".join(str(line["system"]) for line in decided)


def _shown(answer: dict[str, Any]) -> RenderableType:
    """The answer for a person whose hands shake."""
    if answer["engaged"]:
        lines = [console.clean(f"ENGAGED: {answer['why']}", "bold red"), console.clean(STOPS), console.clean(KEEPS)]
    else:
        lines = [console.clean("not engaged", "bold green")]
        if answer["at"]:  # it was engaged once, so automation may still be frozen
            lines.append(console.clean(NEXT))
    for key in ("problem", "warning"):
        if key in answer:
            lines.append(console.clean(str(answer[key]), "red"))
    if "frozen" in answer:
        told = FROZEN if answer["frozen"] else UNFROZEN
        lines.append(console.clean(told + str(answer["freeze"]), "" if answer["frozen"] else "yellow"))
    lines.append(console.clean(str(answer["file"]), "dim"))
    return Group(*lines)
