"""`GET /api/v1/incidents/{id}/report` and `/api/v1/openapi.json`: an incident's account, and the API's own.

Mounted by `http_app`. The report is made by `bot.engine.report` from the audit, for archived incidents too; here its
parts are gathered, and it is told as Markdown or as JSON.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from aiohttp import web

from bot.adapters import http_questions, report_markdown
from bot.adapters.http_errors import as_json
from bot.adapters.http_questions import Handler, Story, find_story
from bot.adapters.http_services import Services
from bot.adapters.openapi import document
from bot.core.incident import Incident
from bot.core.words import AggregateId, target_id
from bot.engine.report import attempts_in, branches_of, build
from bot.engine.report_form import Report
from bot.errors import InputError, RecordForged

FORMATS: Final = ("json", "markdown")
MAX_BRANCHES: Final = 50  # looked up for one report; a ladder has a few rungs, an incident a few episodes


class Reports:
    """The accounts."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: web.Application) -> None:
        """Add the routes to an application."""
        routes: dict[str, Handler] = {
            "/api/v1/incidents/{incident}/report": self._report,
            "/api/v1/openapi.json": self._openapi,
        }
        http_questions.mount(app, self._services, routes)

    async def _report(self, request: web.Request) -> web.Response:
        form = request.query.get("format", "json")
        if form not in FORMATS:
            raise InputError("format", f"is one of: {', '.join(FORMATS)}")
        story = await find_story(self._services, request.match_info["incident"])
        report = await self.account(story)
        if form == "json":
            return as_json(asdict(report))
        return web.Response(text=report_markdown.render(report), content_type="text/markdown", charset="utf-8")

    async def account(self, story: Story) -> Report:
        """The report of one incident, from all there is of it."""
        branches = [await self._branch(story.shard, name) for name in branches_of(story.incident, story.chain)]
        return build(
            story.incident,
            story.chain,
            version=story.version,
            head=story.head,
            now=self._services.clock.now(),
            branches=[branch for branch in branches[:MAX_BRANCHES] if branch is not None],
            attempts=await self._attempts(story),
            archived=story.archived,
        )

    async def _branch(self, shard: str, incident: AggregateId) -> Incident | None:
        """A branch, from the store or the archive. One that cannot be trusted is left out: verification tells of it."""
        try:
            stored = (await self._services.store.load(shard, [incident])).get(incident)
            if stored is not None and isinstance(stored.record, Incident):
                return stored.record
            kept = await self._services.archive.find(incident)
        except RecordForged:
            return None
        return kept.incident if kept is not None else None

    async def _attempts(self, story: Story) -> dict[str, int]:
        """How often each intent was tried, from the chains of the components it acted on."""
        plan = story.incident.plan
        components = {step.component for step in plan.steps if step.component} if plan is not None else set()
        found: dict[str, int] = {}
        for component in sorted(components):
            chain = await self._services.store.audit(story.shard, target_id(component))
            found |= attempts_in(chain, story.incident.id)
        return found

    async def _openapi(self, _: web.Request) -> web.Response:
        return as_json(document())
