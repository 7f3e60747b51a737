"""The store with a witness: every commit that it acknowledged is told to whoever signs checkpoints, as it was made.

Made by `bot.own_store` in place of a plain `RedisStore`. Also implements `bot.engine.checkpoints.Ledger`: all heads at
once, and where each chain of checkpoints ends (hash `andon:{andon}:checkpoints`: key -> sealed end, see `KnownChain`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from bot.adapters.redis_keys import checkpoints_key
from bot.adapters.redis_store import RedisStore
from bot.core.words import AggregateId
from bot.engine.checkpoints import Head, KnownChain
from bot.engine.ports import Commit, Committed, Conflict
from bot.errors import RecordForged

Witness: TypeAlias = Callable[[str, AggregateId, int, str], None]  # shard, aggregate, version, head

_HEAD_DIGITS: Final = 64  # of a SHA-256
_FIELDS: Final = tuple(KnownChain.__dataclass_fields__)  # a later version may write more of them


class WitnessedStore(RedisStore):
    """A `RedisStore` whose commits have a witness."""

    _witness: Witness | None = None

    def witnessed_by(self, witness: Witness) -> None:
        """Tell `witness` of every commit from now on. It must not fail, and must not wait."""
        self._witness = witness

    async def commit(self, shard: str, commit: Commit) -> Committed | Conflict:
        """As the store's own; what is acknowledged is told."""
        outcome = await super().commit(shard, commit)
        if self._witness is not None and isinstance(outcome, Committed):
            for change in commit.changes:
                self._witness(shard, change.record.id, change.expected + 1, change.audit.hash)
        return outcome

    async def heads(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Head]:
        """Version and head of each aggregate that exists, unopened: what does not carry our seal is told elsewhere."""
        keys = self._keys(shard)
        async with self._link.bounded("heads"):
            rows = await self._link.ask_all([(b"HMGET", keys.record(name), b"ver", b"head") for name in ids])
        return {
            name: (int(version), head.decode())
            for name, (version, head) in zip(ids, rows, strict=True)
            if version and version.isdigit() and head and len(head) == _HEAD_DIGITS and head.isalnum()
        }

    async def known_chains(self) -> tuple[list[KnownChain], list[str]]:
        """Every chain the store was told of, and what it holds in their place that does not carry our seal."""
        place = checkpoints_key(self._prefix)
        async with self._link.bounded("known chains"):
            flat = await self._link.ask(b"HGETALL", place)
        rows = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
        found: list[KnownChain] = []
        forged: list[str] = []
        for key, value in rows:
            name = key.decode("ascii", "replace")
            try:
                told = json.loads(self._sealer.open(place + b"|" + key, value))
                found.append(KnownChain(**{name: told[name] for name in _FIELDS if name in told}))
            except RecordForged:
                forged.append(f"what the store remembers of {name[:80]} does not carry our seal: it was changed")
        return sorted(found, key=lambda chain: chain.key), forged

    async def remember_chain(self, chain: KnownChain) -> None:
        """The chain has come this far."""
        place, key = checkpoints_key(self._prefix), chain.key.encode()
        told = {name: getattr(chain, name) for name in _FIELDS}
        value = self._sealer.seal(place + b"|" + key, json.dumps(told, separators=(",", ":")).encode())
        async with self._link.bounded("remember a chain"):
            await self._link.ask(b"HSET", place, key, value)
