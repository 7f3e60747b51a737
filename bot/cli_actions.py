"""`andon actions`: what a policy may ask for here, and the page of each. Added to the application by `bot.cli`.

Needs no running Andon: it reads what is installed, so whoever wrote an action sees its page before it is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bot.cli_ask import AsJson, tell
from bot.console import clean
from bot.errors import InputError
from bot.extensions import Installed, installed
from remediations import pages


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(actions)


def actions(
    name: Annotated[str, typer.Argument(help="An action or a diagnosis; nothing: all.", metavar="[NAME]")] = "",
    as_json: AsJson = False,
) -> None:
    """List the actions and diagnoses that are installed, or print one's page."""
    found = installed()
    if name:
        tell({"name": name, "page": _page(found, name)}, _whole, as_json)
    else:
        tell({"actions": list(_lines(found))}, _table, as_json)


def _page(found: Installed, name: str) -> str:
    known = found.catalogue
    entry, look = known.entry(name), known.diagnosis_entry(name)
    if entry is not None:
        return pages.of_action(entry, json.loads(known.params_schema(name)), known.names())
    if look is not None:
        return pages.of_diagnosis(look)
    raise InputError("NAME", f"nothing named {name!r} is installed; `andon actions` lists what is")


def _whole(answer: dict[str, Any]) -> RenderableType:
    return Text(answer["page"].rstrip(), no_wrap=True, overflow="ignore")  # Markdown: its lines stay whole


def _lines(found: Installed) -> Iterator[dict[str, Any]]:
    origin = {(each.kind, each.name): f"{each.distribution} {each.version}".strip() for each in found.foreign}
    for name in sorted(found.catalogue.names()):
        spec = found.catalogue.spec(name)
        assert spec is not None
        yield {
            "kind": "action", "name": name, "summary": spec.summary, "risk": spec.risk, "direction": spec.direction,
            "delivery": spec.delivery, "from": origin.get(("action", name), "andon"),
        }  # fmt: skip
    for name in sorted(found.catalogue.diagnoses()):
        look = found.catalogue.diagnosis_entry(name)
        assert look is not None
        where = origin.get(("diagnosis", name), "andon")
        yield {"kind": "diagnosis", "name": name, "summary": look.summary, "risk": "read", "from": where}


def _table(answer: dict[str, Any]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("name", "risk", "does", "from"):
        table.add_column(column, no_wrap=column in ("name", "risk"), overflow="fold")
    for line in answer["actions"]:
        table.add_row(clean(line["name"], "bold"), line["risk"], clean(line["summary"]), clean(line["from"]))
    return table
