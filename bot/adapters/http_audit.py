"""`GET /api/v1/audit…`: every chain, in the store and in the archive, read out and verified; and what was signed of
them.

Mounted by `http_app`. Verification is `bot.engine.audit_verification`'s; `andon audit verify` shows what came of it. A
bundle (`bot.adapters.bundle`) is one incident with all that proves it, for whoever has nothing but the file.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from bot.adapters import http_questions
from bot.adapters.bundling import Bundling
from bot.adapters.http_errors import as_json
from bot.adapters.http_lookup import asked_shards, the_shard
from bot.adapters.http_questions import Handler, find_story
from bot.adapters.http_services import Services
from bot.core.audit import AuditEntry
from bot.engine.audit_verification import AuditVerification, Problem
from bot.errors import InputError


class Auditing:
    """The questions about the audit."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: web.Application) -> None:
        """Add the routes to an application."""
        routes: dict[str, Handler] = {
            "/api/v1/audit": self._audits,
            "/api/v1/audit/verify": self._verify,
            "/api/v1/audit/key": self._key,
            "/api/v1/audit/{system}/{aggregate}": self._audit,
            "/api/v1/incidents/{incident}/bundle": self._bundle,
        }
        http_questions.mount(app, self._services, routes)

    async def _audits(self, request: web.Request) -> web.Response:
        """Every chain by name: those in the store, then those of archived incidents."""
        chains = []
        shards = asked_shards(request, self._services)
        for shard in shards:
            chains += [{"system": shard, "aggregate": key} for key in await self._services.store.aggregates(shard)]
        known = {chain["aggregate"] for chain in chains}
        kept = await self._services.archive.listed()
        chains += [
            {"system": system, "aggregate": key} for system, key in kept if system in shards and key not in known
        ]
        return as_json({"chains": chains})

    async def _audit(self, request: web.Request) -> web.Response:
        shard = the_shard(self._services, request.match_info["system"])
        aggregate = request.match_info["aggregate"]
        chain: list[AuditEntry] = await self._services.store.audit(shard, aggregate)
        if not chain:
            kept = await self._services.archive.find(aggregate)
            chain = list(kept.audit) if kept is not None and kept.incident.system == shard else []
        if not chain:
            raise InputError("aggregate", f"{shard} keeps no audit of {aggregate[:100]!r}", status=404)
        return as_json({"system": shard, "aggregate": aggregate, "entries": [asdict(entry) for entry in chain]})

    async def _verify(self, request: web.Request) -> web.Response:
        """Everything; the archive and the checkpoints as a whole whichever system is asked for."""
        services = self._services
        looking = AuditVerification(services.store, services.archive, services.witnesses, services.shards)
        verdict = await looking.run(asked_shards(request, services))
        archives = {
            "files": verdict.archived,
            "entries": verdict.archived_entries,
            "problems": [{"aggregate": each.aggregate, "problem": each.problem} for each in verdict.archive],
        }
        checkpoints = {
            "chains": [asdict(each) for each in verdict.signed],
            "problems": [{"problem": text} for text in verdict.checkpoints],
        }
        problems = [_line(each) for each in verdict.problems]
        return as_json(
            {"ok": verdict.ok, "chains": verdict.chains, "entries": verdict.entries, "problems": problems,
             "archives": archives, "checkpoints": checkpoints}
        )  # fmt: skip

    async def _key(self, _: web.Request) -> web.Response:
        """The public key that this replica signs with."""
        return as_json({"replica": self._services.replica, "key": self._services.witnesses.key})

    async def _bundle(self, request: web.Request) -> web.Response:
        story = await find_story(self._services, request.match_info["incident"])
        return as_json(await Bundling(self._services).of(story))


def _line(problem: Problem) -> dict[str, Any]:
    return {"system": problem.system, "aggregate": problem.aggregate, "problem": problem.problem}
