"""Answers about the audit, for a person: the verdict over all of it, over one bundle, and the key.

Called by `bot.cli_audit`. The primitives and the rule about foreign text are in `bot.console`.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from rich.console import Group, RenderableType
from rich.text import Text

from bot.console import clean, moment

Json: TypeAlias = dict[str, Any]

MAX_KEY: Final = 100  # characters; ours have 72


def verified(answer: Json) -> RenderableType:
    """The verdict over the audit."""
    archives, signed = answer["archives"], answer["checkpoints"]
    size = f"{answer['chains']} chains, {answer['entries']} entries"
    if archives["files"]:
        size += f", archived incidents: {archives['files']}"
    size += f", signed checkpoints: {sum(each['checkpoints'] for each in signed['chains'])}"
    if answer["ok"]:
        newest = max((each["newest_at"] for each in signed["chains"]), default=0)
        until = f"; signed until {moment(newest)}" if newest else "; nothing was signed yet"
        return Text(f"{size}; every link holds{until}", style="green")
    places = [(f"{p['system']} {p['aggregate']}", p["problem"]) for p in answer["problems"]]
    places += [(f"archive {p['aggregate']}".strip(), p["problem"]) for p in archives["problems"]]
    lines = [clean(f"{where}: {problem}") for where, problem in places]
    lines += [clean(p["problem"]) for p in signed["problems"]]
    broken = [Text.assemble(("BROKEN ", "bold red"), line) for line in lines]
    return Group(*broken, Text(f"{len(lines)} problems in {size}", style="bold red"))


def bundle(answer: Json) -> RenderableType:
    """The verdict over one bundle: what was proven, or what differs."""
    about = answer["about"]
    lines: list[Text] = []
    if answer["ok"]:
        policy = f"policy {about['policy'] or 'none'}, hash {about['policy_hash'] or 'none'}"
        lines.append(clean(f"{about['incident']} of {about['system']}, {about['status']}, {policy}"))
        lines.append(clean(f"made by {about['made_by']} at {moment(about['made_at'])}"))
    if not answer["ok"]:
        lines += [Text.assemble(("BROKEN ", "bold red"), clean(each)) for each in answer["problems"]]
        lines.append(Text(f"{len(answer['problems'])} problems: this is not what was signed", style="bold red"))
        return Group(*lines)
    lines += [clean(f"  {each}") for each in answer["proven"]]
    lines.append(Text.assemble("signed with ", _whole(answer["key"])))
    if answer["key_compared"]:
        lines.append(Text("everything holds, and the key is the one you gave", style="green"))
    else:
        words = "everything holds; compare the key with the one `andon audit key` printed there, or give --key"
        lines.append(Text(words, style="yellow"))
    if "summary" in answer:
        lines += [Text(), *(clean(line) for line in answer["summary"].splitlines())]
    return Group(*lines)


def key(answer: Json) -> RenderableType:
    """The public key alone, for a script as for a person."""
    return _whole(answer["key"])


def _whole(public: str) -> Text:
    """A key to its last digit: whoever compares it needs all of them. Anything else in it is left out."""
    return Text("".join(c for c in public[:MAX_KEY] if c.isalnum() or c == ":"), overflow="ignore", no_wrap=True)
