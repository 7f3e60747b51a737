"""The Home tab: what is open, what waits for this person, what may act, what is frozen, who is on call. Pure.

`listeners` publish it when somebody opens it, and anew after what they do there. From `overview.look`; what it shows is
what one person may do, so it is rendered for each. Limits: 100 blocks and 250 kB, https://docs.slack.dev/surfaces/app-home
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from bot.adapters.slack.cards import lines
from bot.adapters.slack.cards.blocks import actions, button, context, divider, header, section
from bot.adapters.slack.cards.list_buttons import deciding, ordering
from bot.adapters.slack.cards.overview import Overview
from bot.adapters.slack.cards.shapes import Block
from bot.adapters.slack.cards.text import escape, joined, link, moment
from bot.core.words import AggregateId

MAX_DECISIONS: Final = 10  # of two blocks each; more at once is a storm, and the digest tells of it
MAX_INCIDENTS: Final = 15  # of two blocks each
MAX_LINES: Final = 12  # systems, freezes, policies, rungs, contacts: one paragraph each
MAX_FREEZES: Final = 8  # with a button each
MAX_PARAGRAPH: Final = 2_900  # characters; a section takes 3,000
MAX_BYTES: Final = 240_000  # of 250,000: the rest of the view is put around the blocks


def render(view: Overview, links: Mapping[AggregateId, str] | None = None) -> dict[str, Any]:
    """The view for `views.publish`. `links`: where an incident's card is, as far as known."""
    parts = _parts(view, links or {}, 1)
    if len(json.dumps(parts)) > MAX_BYTES:  # as the client sends it: ASCII
        parts = _parts(view, links or {}, 4)
    return {"type": "home", "callback_id": "andon:home", "blocks": parts}


def _parts(view: Overview, links: Mapping[AggregateId, str], fewer: int) -> list[Block]:
    """All of it, with the long lists cut to a `fewer`-th."""
    return [
        *_top(view),
        *_decisions(view, MAX_DECISIONS // fewer),
        *_incidents(view, links, MAX_INCIDENTS // fewer),
        *_automation(view),
        *_freezes(view, MAX_FREEZES // fewer),
        *_listed("Armed policies", lines.policies(view), "none: every policy only watches and says what it would do"),
        *_listed("Next rungs", lines.rungs(view.incidents), "no ladder is being climbed"),
        *_oncall(view),
    ]


def stranger(words: str) -> dict[str, Any]:
    """For somebody who may not look: why, in a sentence, and nothing else."""
    return {"type": "home", "callback_id": "andon:home", "blocks": [header("Andon"), section(words)]}


def _top(view: Overview) -> Iterator[Block]:
    unwell = [check for check in view.checks if not check.ok]
    yield header(_headline(view))
    told = [f"as of {moment(view.now)}", f"you are {escape(view.person) or 'nobody known'}"]
    told += [f"*{escape(check.name)} is not well*: {escape(check.detail)}" for check in unwell[:3]]
    yield context(*told)
    buttons = [button("Refresh", "refresh", "", place="home")]
    if view.may_act:
        buttons.append(button("Freeze …", "freeze", "|", place="home", style="danger"))
        buttons.append(button("Run an action …", "run", "", place="home"))
    yield actions(buttons)


def _headline(view: Overview) -> str:
    waiting, count = len(view.decisions), len(view.incidents)
    if waiting:
        return f"{waiting} decision{'s' if waiting > 1 else ''} wait{'' if waiting > 1 else 's'} for somebody"
    if count:
        return f"{count} incident{'s' if count > 1 else ''} open, nothing waits for a decision"
    return "All is quiet"


def _decisions(view: Overview, most: int) -> Iterator[Block]:
    if not view.decisions:
        return
    yield divider()
    yield section("*It waits for a decision*")
    for number, card in enumerate(view.decisions[:most]):
        yield section(lines.decision(card))
        yield deciding(card, f"home{number}")
    yield from _more(len(view.decisions) - most, "more wait; `/andon status` counts them")


def _incidents(view: Overview, links: Mapping[AggregateId, str], most: int) -> Iterator[Block]:
    found = view.incidents
    if not found:
        return
    yield divider()
    yield section("*Open incidents*")
    for number, incident in enumerate(found[:most]):
        card = f"\n{link(links[incident.id], 'its card and thread')}" if incident.id in links else ""
        yield section(lines.incident(incident, view.now) + card)
        if view.may_act:
            yield ordering(incident, f"home{number}")
    yield from _more(len(found) - most, "more are open; `/andon incidents` lists them")


def _automation(view: Overview) -> Iterator[Block]:
    yield divider()
    yield section("*Automation*\n" + _paragraph(lines.system(system, view) for system in view.systems))
    leases = [line for system in view.systems for line in lines.leases(system)]
    yield from _listed("In force for a time", leases, "")


def _freezes(view: Overview, most: int) -> Iterator[Block]:
    frozen = [each for system in view.systems for each in system.frozen]
    for number, (where, freeze) in enumerate(frozen[:most]):
        lift = button("Unfreeze …", "unfreeze", where, place=f"home{number}")
        yield section(lines.freeze(where, freeze), accessory=lift if view.may_act else None)
    yield from _more(len(frozen) - most, "more are frozen; `/andon status` lists them")


def _oncall(view: Overview) -> Iterator[Block]:
    mine = list(lines.contacts(view, only=view.person)) if view.person else []
    yield from _listed("You are called for", mine, "nothing: no service in people.yaml names you")


def _listed(title: str, told: Iterable[str], nothing: str) -> Iterator[Block]:
    """A paragraph under its title; without lines, `nothing` says so, or it is left out where that is ""."""
    shown = _paragraph(told) or nothing
    if shown:
        yield section(f"*{title}*\n{shown}")


def _paragraph(told: Iterable[str]) -> str:
    return joined(told, MAX_PARAGRAPH, most=MAX_LINES)


def _more(count: int, words: str) -> Iterator[Block]:
    if count > 0:
        yield context(f"{count} {words}")
