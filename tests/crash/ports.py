"""The ports of a worker, each wrapped by one that notes what an intent has come to and stops where it is to be killed.

Composed by `tests.crash.worker`; the product knows nothing of it. Everything else goes through unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.core.effects import RunStep
from bot.core.events import IntentDeclared
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.engine.ports import Commit, Committed, Conflict, InboxDelivery, OutboxDelivery
from tests.crash import points
from tests.crash.notes import Notes


class NotedStore:
    """The store. Notes which intents a commit declared, and whose outcomes it holds."""

    def __init__(self, inner: Any, notes: Notes) -> None:
        self._inner = inner
        self._notes = notes
        self._steps: dict[str, RunStep] = {}  # by delivery

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def read_outbox(self, shard: str, count: int, block_ms: int) -> list[OutboxDelivery]:
        deliveries = await self._inner.read_outbox(shard, count, block_ms)
        self._remember(deliveries)
        return deliveries

    async def reclaim(
        self, shard: str, idle_ms: int, count: int, *, starting: bool = False
    ) -> tuple[list[InboxDelivery], list[OutboxDelivery]]:
        inbox, outbox = await self._inner.reclaim(shard, idle_ms, count, starting=starting)
        self._remember(outbox)
        return inbox, outbox

    def _remember(self, deliveries: Sequence[OutboxDelivery]) -> None:
        for delivery in deliveries:
            if isinstance(delivery.effect, RunStep):
                self._steps[delivery.delivery] = delivery.effect

    async def commit(self, shard: str, commit: Commit) -> Committed | Conflict:
        if commit.intends:
            await self._notes.pause(points.UNDECLARED.name)
            await self._notes.pause(points.JOURNALLED.name)
        written = await self._inner.commit(shard, commit)
        if isinstance(written, Committed):
            if commit.intends:
                self._note_declared(commit)
            for delivery in commit.outbox_acks:
                step = self._steps.pop(delivery, None)
                if step is not None:
                    self._notes.write(points.COMMITTED.name, step.id, step.step.component)
        return written

    def _note_declared(self, commit: Commit) -> None:
        for change in commit.changes:
            record = change.record
            if isinstance(record, Target) and record.id != SYSTEM_TARGET and record.slot and record.slot.intent:
                self._notes.write(points.STORED.name, record.slot.intent.intent, lane_of(record.id))


class NotedJournal:
    """The local journal of intents."""

    def __init__(self, inner: Any, notes: Notes) -> None:
        self._inner = inner
        self._notes = notes
        self._lanes: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def intend(self, intent: IntentDeclared, system: str = "") -> None:
        lane = self._lanes[intent.intent] = lane_of(intent.target)
        self._notes.write(points.DECLARING, intent.intent, lane)
        await self._notes.pause(points.UNDECLARED.name, intent.intent, lane)
        await self._notes.pause(points.STORED.name, intent.intent, lane)
        await self._inner.intend(intent, system)
        self._notes.write(points.JOURNALLED.name, intent.intent, lane)

    async def conclude(self, intent: str, outcome: Any, at: int) -> None:
        lane = self._lanes.get(intent, "-")
        await self._notes.pause(points.COMMITTED.name, intent, lane)
        await self._inner.conclude(intent, outcome, at)
        self._notes.write(points.CONCLUDED, intent, lane)


class NotedToolbox:
    """The action catalogue: every action it hands out is noted."""

    def __init__(self, inner: Any, notes: Notes) -> None:
        self._inner = inner
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def action(self, name: str) -> Any:
        action = self._inner.action(name)
        return NotedAction(action, self._notes) if action is not None else None


class NotedAction:
    """An action, noted when it looks, when it is asked to send, when that is over, and when it has read back."""

    def __init__(self, inner: Any, notes: Notes) -> None:
        self._inner = inner
        self._notes = notes

    async def inspect(self, context: Any, arguments: str) -> Any:
        self._notes.write(points.TAKEN, context.intent, context.component)
        return await self._inner.inspect(context, arguments)

    async def send(self, context: Any, proceed: Any) -> None:
        self._notes.write(points.DECLARED.name, context.intent, context.component)
        await self._notes.pause(points.DECLARED.name, context.intent, context.component)
        await self._inner.send(context, proceed)
        self._notes.write(points.REPLIED.name, context.intent, context.component)
        await self._notes.pause(points.REPLIED.name, context.intent, context.component)

    async def read_back(self, context: Any, proceed: Any) -> Any:
        seen = await self._inner.read_back(context, proceed)
        self._notes.write(points.READ_BACK.name, context.intent, context.component)
        await self._notes.pause(points.READ_BACK.name, context.intent, context.component)
        return seen


class NotedTargets:
    """The connectors: every HTTP send is noted."""

    def __init__(self, inner: Any, notes: Notes) -> None:
        self._inner = inner
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def http(self, system: str, name: str) -> Any:
        return NotedHttp(self._inner.http(system, name), self._notes, name)


class NotedHttp:
    """One component's HTTP API."""

    def __init__(self, inner: Any, notes: Notes, lane: str) -> None:
        self._inner = inner
        self._notes = notes
        self._lane = lane

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def send(self, method: str, path: str, body: str, *, idempotency_key: str, fence: int) -> Any:
        self._notes.write(points.SENT.name, idempotency_key, self._lane)
        return await self._inner.send(method, path, body, idempotency_key=idempotency_key, fence=fence)


def lane_of(target: str) -> str:
    """A component's name from its target's id."""
    return target.removeprefix("target:")
