"""Commands about the audit: verify it, export it or one incident of it, verify such a bundle, show the key.

Added to the application by `bot.cli`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from bot import console_audit
from bot.cli_ask import REFUSED, AsJson, System, ask, converse, named, segment, tell
from bot.client import Api
from bot.errors import InputError


def add(app: typer.Typer) -> None:
    """Add the commands, as a group."""
    group = typer.Typer(help="The record of everything that was decided and done.", no_args_is_help=True)
    group.command("verify")(audit_verify)
    group.command("export")(audit_export)
    group.command("verify-bundle")(audit_verify_bundle)
    group.command("key")(audit_key)
    app.add_typer(group, name="audit")


def audit_verify(system: System = "", as_json: AsJson = False) -> None:
    """Walk every chain; find any edit, deletion, reordering or truncation. Exit code 1 if there is one."""
    answer = ask(lambda api: api.get("/audit/verify", **named(system)), console_audit.verified, as_json)
    if not answer["ok"]:
        raise typer.Exit(REFUSED)


def audit_export(
    incident: Annotated[
        str, typer.Argument(help="One incident, with all that proves it; without: every chain.", metavar="[INCIDENT]")
    ] = "",
    system: System = "",
    output: Annotated[
        Path | None, typer.Option("--output", "--out", "-o", help="A file instead of standard output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One incident as a bundle that verifies anywhere; or every entry of every chain, one JSON object a line.

    A bundle holds the incident's record, its whole chain, what the chains of its components say of it, the signed
    checkpoints that cover these, the public key, and the report. `andon audit verify-bundle` needs nothing else. With
    --json also errors and the count.
    """

    async def export(api: Api) -> dict[str, Any]:
        if incident:
            found = await api.get(f"/incidents/{segment(incident)}/bundle")
            with _opened(output) as target:
                target.write(bundle.text(found))
            return {"incident": found["parts"]["about"]["incident"], "entries": len(found["parts"]["chain"])}
        lines = 0
        with _opened(output) as target:
            for chain in (await api.get("/audit", **named(system)))["chains"]:
                where = f"/audit/{segment(chain['system'])}/{segment(chain['aggregate'])}"
                for entry in (await api.get(where))["entries"]:
                    target.write(json.dumps({**chain, **entry}, ensure_ascii=False) + "\n")
                    lines += 1
            return {"entries": lines}

    from bot.adapters import bundle

    try:
        answer = converse(export)
    except OSError as error:
        if output is None:
            raise
        raise InputError("--output", f"{output}: {error.strerror}") from error
    if output:
        told = json.dumps(answer) if as_json else f"{answer['entries']} entries written to {output}"
        typer.echo(told, err=True)


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    with output.open("w", encoding="utf-8", newline="") as target:
        yield target


def audit_verify_bundle(
    file: Annotated[Path, typer.Argument(help="What `andon audit export INCIDENT` wrote.", metavar="FILE")],
    key: Annotated[
        str, typer.Option("--key", help="The public key it must be signed with, as `andon audit key` printed it.")
    ] = "",
    summary: Annotated[bool, typer.Option("--summary", help="Print the report in it too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Verify one incident's bundle, offline: no store, no configuration. Exit code 1 if anything in it was changed.

    Without --key it is proven that the bundle is as its signer made it, but not who that was.
    """
    from bot.adapters import bundle

    try:
        with file.open("rb") as opened:
            data = opened.read(bundle.MAX_BYTES + 1)
    except OSError as error:
        raise InputError("FILE", f"{file}: {error.strerror}") from error
    verdict = bundle.verify(data, key)
    answer = {
        "ok": verdict.ok, "about": verdict.about, "key": verdict.key, "key_compared": bool(key),
        "proven": verdict.facts if verdict.ok else [], "problems": verdict.problems,
    }  # fmt: skip
    if summary:
        answer["summary"] = verdict.summary
    tell(answer, console_audit.bundle, as_json)
    if not verdict.ok:
        raise typer.Exit(REFUSED)


def audit_key(as_json: AsJson = False) -> None:
    """The public key with which this replica signs checkpoints and bundles. Keep it where Andon's machine is not."""
    ask(lambda api: api.get("/audit/key"), console_audit.key, as_json)
