"""Gathers one incident and all that proves it from a running Andon, for `bot.adapters.bundle`. Called by `http_audit`.

What waits for its signature is signed first, so that a bundle made now is covered to its end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from bot.adapters import bundle, report_markdown
from bot.adapters.codec import encode_record
from bot.adapters.http_questions import Story
from bot.adapters.http_reports import Reports
from bot.adapters.http_services import Services
from bot.core.audit import AuditEntry
from bot.core.checkpoint import Told
from bot.core.words import SYSTEM_TARGET, AggregateId, target_id
from bot.engine.audit_verification import Testimony

MAX_RUN: Final = 200  # links of a component's chain from one that names the incident to the next that was signed
MAX_CHECKPOINTS: Final = 40  # of the incident's own chain, the newest; each has up to 60 kB


class Bundling:
    """Makes bundles."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def of(self, story: Story) -> bundle.Json:
        """The bundle of this incident. StoreUnavailable when the store or the checkpoints cannot be read."""
        witnesses = self._services.witnesses
        await witnesses.sign_now()
        testimony = await witnesses.testimony()
        incident = story.incident
        wanted = self._newest(testimony.told.get((story.shard, incident.id), []), story.version)
        targets = []
        for aggregate in self._touched(story):
            chain = await self._services.store.audit(story.shard, aggregate)
            told = testimony.told.get((story.shard, aggregate), [])
            entries, used = excerpts(chain, incident.id, told)
            wanted |= used
            if entries:
                targets.append({"aggregate": aggregate, "entries": [asdict(entry) for entry in entries]})
        schema, _, record = encode_record(incident).partition(b" ")
        report = await Reports(self._services).account(story)
        parts: dict[str, Any] = {
            "about": self._about(story, testimony),
            "record": {"schema": int(schema), "record": json.loads(record)},
            "chain": [asdict(entry) for entry in story.chain],
            "targets": targets,
            "checkpoints": [line.decode() for line in await witnesses.lines(sorted(wanted))],
            "summary": report_markdown.render(report),
        }
        return bundle.make(parts, key=witnesses.key, sign=witnesses.sign)

    def _about(self, story: Story, testimony: Testimony) -> dict[str, Any]:
        incident, plan = story.incident, story.incident.plan
        return {
            "incident": incident.id,
            "system": story.shard,
            "policy": plan.policy if plan else "",
            "policy_hash": plan.policy_hash if plan else "",
            "status": incident.status,
            "opened_at": incident.opened_at,
            "closed_at": incident.closed_at,
            "archived": story.archived,
            "version": story.version,
            "head": story.head,
            "made_at": self._services.clock.now(),
            "made_by": self._services.replica,
            "policies_in_force": self._services.policy_fingerprint(),
            "checkpoint_chains": [asdict(each) for each in testimony.chains],
        }

    def _touched(self, story: Story) -> list[AggregateId]:
        plan = story.incident.plan
        steps = [*plan.steps, *(rung.step for rung in plan.ladder if rung.step is not None)] if plan else []
        return [SYSTEM_TARGET, *sorted({target_id(step.component) for step in steps if step.component})]

    def _newest(self, told: Sequence[Told], version: int) -> set[tuple[str, int]]:
        """Where the incident's own chain was signed, as far as the bundle has it."""
        newest = sorted((each for each in told if each.version <= version), key=lambda each: each.version)
        return {(each.key, each.checkpoint) for each in newest[-MAX_CHECKPOINTS:]}


def excerpts(
    chain: Sequence[AuditEntry], incident: AggregateId, told: Sequence[Told]
) -> tuple[list[AuditEntry], set[tuple[str, int]]]:
    """The links that name the incident, each with those up to the next signed one; and the checkpoints that say so."""
    signed = sorted(told, key=lambda each: each.version)
    places = {entry.seq: entry for entry in chain}
    kept: set[int] = set()
    used: set[tuple[str, int]] = set()
    for entry in chain:
        if incident not in entry.body:
            continue
        end = next((each for each in signed if each.version >= entry.seq), None)
        if end is None or end.version not in places or end.version - entry.seq > MAX_RUN:
            kept.add(entry.seq)
            continue
        kept.update(range(entry.seq, end.version + 1))
        used.add((end.key, end.checkpoint))
    return [places[seq] for seq in sorted(kept) if seq in places], used
