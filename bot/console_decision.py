"""Decisions for people: the card of one question, the list of all, and what an order by hand would do. Pure.

From the API's answers to rich renderables. Called by `bot.cli_decisions` and, for a pending question, by
`bot.console_story`. Foreign text is shown as one harmless line (`bot.console.clean`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bot.console import SEVERITY_STYLE, Json, clean, moment, span
from bot.console_values import intended, parsed, plain, reading
from bot.core.words import Millis

EXPOSURE: Final = {
    "lowers": "lowers exposure",
    "neutral": "leaves exposure as it is",
    "raises": "raises exposure",
}
_HASH_SHOWN: Final = 12  # characters of a policy's hash: enough to tell two apart by eye


def card(decision: Json, now: Millis) -> RenderableType:
    """Everything a person must see before they say yes: what changes, why, on what evidence, who else, until when."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(decision, now):
        table.add_row(name, value)
    return Group(_headline(decision), table)


def _headline(decision: Json) -> Text:
    return Text.assemble(
        ("DECIDE  ", "bold magenta"),
        clean(_what(decision), "bold"),
        clean(f"  {decision['risk']}, {EXPOSURE.get(decision['direction'], decision['direction'])}  "),
        clean(f"{decision['incident']}  {decision['system']} / {decision['policy']}  "),
        clean(decision["severity"], SEVERITY_STYLE.get(decision["severity"], "")),
    )


def _rows(decision: Json, now: Millis) -> Iterator[tuple[str, Text]]:
    changed = intended(decision["before"], decision["wanted"])
    yield "change", _joined(changed) if changed else Text("what it changes cannot be read beforehand", style="yellow")
    yield "why", clean(decision["why"])
    arguments = parsed(decision["arguments"])
    if arguments:
        yield "arguments", clean(", ".join(f"{name}={plain(value)}" for name, value in sorted(arguments.items())))
    for found in decision["readings"]:
        yield "evidence", reading(found, now)
    for name, found in sorted(decision["findings"].items()):
        yield "finding", Text.assemble(clean(name, "bold"), ": ", clean(found))
    if decision["guard"]:
        untold = decision["guard_untold"]
        yield (
            "guard",
            Text.assemble(
                clean(decision["guard"]),
                ("  could not be told", "bold yellow") if untold else ("  held when asked", "green"),
            ),
        )
    if decision["verify"]:
        yield "then until", clean(decision["verify"])
    yield "votes", _votes(decision)
    left = decision["expires_at"] - now
    until = f"until {moment(decision['expires_at'])}, {f'{span(left)} left' if left > 0 else 'which is over'}"
    yield "silence", Text.assemble((until, "bold"), clean(f"; if nobody decides, {decision['silence']}"))
    changed_since = ", changed since the incident opened" if decision["policy_changed"] else ""
    yield "policy", clean(f"{decision['policy']} {decision['policy_hash'][:_HASH_SHOWN]}{changed_since}")
    if decision["by_hand"]:
        yield "by hand", clean(decision["by_hand"])
    yield "you", _you(decision)
    yield (
        "type",
        Text.assemble(
            (f"andon approve {decision['incident']}", "bold"), "  or  ", (f"andon deny {decision['incident']}", "bold")
        ),
    )
    if decision["break_glass"]:
        command = f"andon approve {decision['incident']} --break-glass --reason '…'"
        yield "alone", clean(f"{decision['break_glass']} may decide alone, which pages everybody: {command}")


def _votes(decision: Json) -> Text:
    said = [f"{vote['by']} said yes at {moment(vote['at'])[11:]}" for vote in decision["votes"]]
    missing = decision["missing"]
    who = ", ".join(decision["may_still_vote"]) or "nobody"
    needed = f"{missing} of {decision['quorum']} still must say yes; {who} may"
    return clean("; ".join([*said, needed]), "" if decision["may_still_vote"] else "yellow")


def _you(decision: Json) -> Text:
    you = decision["you"]
    if not you["not_approve"]:
        return clean(f"{you['person']}, and you may approve", "green")
    alone = "; you may break the glass" if you["may_break_glass"] else ""
    deny = "; you may deny" if you["person"] and not you["not_deny"] else ""
    return clean(f"you may not approve: {you['not_approve']}{deny}{alone}", "yellow")


def waiting(answer: Json) -> RenderableType:
    """Everything that waits for somebody's yes or no, what runs out first at the top."""
    now = answer["now"]
    if not answer["waiting"]:
        return Text("nothing waits for a decision", style="green")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("incident", "left", "what", "change", "votes", "you", "policy"):
        table.add_column(column, no_wrap=column in ("incident", "left"), overflow="fold")
    for decision in answer["waiting"]:
        left = decision["expires_at"] - now
        you = decision["you"]["not_approve"]
        table.add_row(
            Text(decision["incident"], style="bold"),
            Text(span(left) if left > 0 else "over", style="bold magenta"),
            clean(f"{_what(decision)} ({decision['risk']})"),
            _joined(intended(decision["before"], decision["wanted"])),
            f"{len(decision['votes'])} of {decision['quorum']}",
            clean(f"may not: {you}" if you else "may approve", "yellow" if you else "green"),
            clean(f"{decision['system']} / {decision['policy']}"),
        )
    return Group(table, Text("andon show INCIDENT tells all of one; andon approve INCIDENT decides", style="dim"))


def preview(answer: Json) -> RenderableType:
    """What an order by hand would do now, and whose yes it needs."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    changed = intended(answer["before"], answer["wanted"])
    table.add_row("change", _joined(changed) if changed else clean(answer["outcome"], "yellow"))
    if answer["why"]:
        table.add_row("why", clean(answer["why"], "yellow"))
    table.add_row("arguments", clean(answer["arguments"]))
    table.add_row("is", clean(f"{answer['risk']}, {EXPOSURE.get(answer['direction'], '')}, {answer['delivery']}"))
    table.add_row("needs", clean(answer["approval"], "green" if answer["your_word_is_enough"] else "yellow"))
    if answer["quorum"]:
        who = ", ".join(answer["may_approve"]) or "nobody"
        table.add_row("approvers", clean(f"{answer['quorum']} of: {who}"))
    if answer.get("stopped"):
        table.add_row("but", clean(f"{answer['stopped']}; nothing would be sent", "bold red"))
    if answer["by_hand"]:
        table.add_row("by hand", clean(answer["by_hand"]))
    head = Text.assemble(("would run  ", "bold"), clean(_what(answer), "bold"), clean(f"  on {answer['system']}"))
    return Group(head, table)


def ordered(answer: Json) -> RenderableType:
    """Where an order went. Taken is not done: what becomes of it is the incident's story."""
    (line,) = answer["decisions"]
    taken = line["decision"] == "applied"
    return Text.assemble(
        ("order taken" if taken else line["decision"], "green" if taken else "yellow"), "  ", clean(line["why"]),
        "  what becomes of it: ", (f"andon show {answer['incident']}", "bold"),
    )  # fmt: skip


def _what(decision: Json) -> str:
    """The action and the component it acts on."""
    return f"{decision['action']} on {decision['component']}" if decision["component"] else str(decision["action"])


def _joined(lines: list[Text]) -> Text:
    return Text("; ").join(lines)
