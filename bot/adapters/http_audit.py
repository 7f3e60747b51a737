"""`GET /api/v1/audit…`: every chain, in the store and in the archive, read out and verified.

Mounted by `http_app`. Verification walks each chain against the head its sealed record names (law 10), and each archive
file against the index that lists it; `andon audit verify` shows what came of it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from bot.adapters import http_questions
from bot.adapters.http_errors import as_json
from bot.adapters.http_lookup import asked_shards, the_shard
from bot.adapters.http_questions import MAX_REREADS, Handler
from bot.adapters.http_services import Services
from bot.core import audit
from bot.core.audit import AuditEntry
from bot.core.words import AggregateId
from bot.errors import InputError, RecordForged, StoreUnavailable


class Auditing:
    """The questions about the audit."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: web.Application) -> None:
        """Add the routes to an application."""
        routes: dict[str, Handler] = {
            "/api/v1/audit": self._audits,
            "/api/v1/audit/verify": self._verify,
            "/api/v1/audit/{system}/{aggregate}": self._audit,
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
        """Walk every chain, and the whole archive whichever system is asked for: its index is one chain."""
        checked = entries = 0
        problems = []
        for shard in asked_shards(request, self._services):
            for aggregate in await self._services.store.aggregates(shard):
                count, wrong = await self._verify_one(shard, aggregate)
                checked += 1
                entries += count
                problems += [{"system": shard, "aggregate": aggregate, "problem": text} for text in wrong]
        archives = await self._verify_archives()
        ok = not problems and not archives["problems"]
        return as_json({"ok": ok, "chains": checked, "entries": entries, "problems": problems, "archives": archives})

    async def _verify_one(self, shard: str, aggregate: AggregateId) -> tuple[int, tuple[str, ...]]:
        """(links, what is wrong). A chain that grew between reading it and its record is read again."""
        store = self._services.store
        count = 0
        wrong: tuple[str, ...] = ("it changes too fast to be compared with its record; try again",)
        try:
            for _ in range(MAX_REREADS):
                stored = (await store.load(shard, [aggregate])).get(aggregate)
                chain = await store.audit(shard, aggregate)
                count = len(chain)
                if stored is None:
                    retired = not chain and aggregate not in await store.aggregates(shard)  # archived meanwhile
                    return count, () if retired else ("its record is gone, only the audit is left",)
                wrong = audit.verify(chain, stored.head, stored.version, bounded=audit.is_bounded(aggregate))
                again = (await store.load(shard, [aggregate])).get(aggregate)
                if not wrong or (again is not None and again.version == stored.version):
                    break
        except RecordForged as error:
            return count, (f"its record does not carry our seal: {error}",)
        return count, wrong

    async def _verify_archives(self) -> dict[str, Any]:
        """`files`, `entries`, and what is wrong. Not knowing is a problem too."""
        # Before the archive is read: whatever has left by now is listed by then.
        left = {shard: await self._services.store.retired(shard) for shard in self._services.shards}
        try:
            verdict = await self._services.archive.verify()
        except StoreUnavailable as error:
            return {"files": 0, "entries": 0, "problems": [{"aggregate": "", "problem": str(error)}]}
        problems = [{"aggregate": each.incident, "problem": each.problem} for each in verdict.problems]
        for incident in verdict.unlisted:
            if not await self._is_stored(incident):
                words = "its file is in the archive, but no line of the index lists it: the line was taken out"
                problems.append({"aggregate": incident, "problem": words})
        for shard, gone in left.items():
            there = verdict.listed.get(shard, 0)
            if there < gone:
                words = (
                    f"{gone} incidents of {shard} have left the store, but the archive lists {there}: it was cut back"
                )
                problems.append({"aggregate": "", "problem": f"{words}, or other replicas keep the rest elsewhere"})
        return {"files": verdict.files, "entries": verdict.links, "problems": problems}

    async def _is_stored(self, incident: AggregateId) -> bool:
        """Still in the store: then retention is under way, or was cut short, and goes on in its next round."""
        for shard in self._services.shards:
            try:
                if await self._services.store.load(shard, [incident]):
                    return True
            except RecordForged:
                continue  # told by its own chain's verification
        return False
