"""What a house asks of its store beside `ports.Store`, in memory: heads, chains of checkpoints, and custody.

`MemoryStore` stands on this. Nobody else can write to it, so there is nothing to find and nothing to set again; commits
have no witness, and the sweep of `bot.engine.checkpoints` finds what there is to sign.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from bot.core.words import AggregateId
from bot.engine.checkpoints import Head, KnownChain
from bot.engine.custody import Place, SetTimer
from bot.engine.ports import Versioned


class Loading(Protocol):
    """What the twin brings itself."""

    async def load(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Versioned]: ...


class MemoryLedger:
    """The part of the twin that a house signs and looks after."""

    _chains: Mapping[str, KnownChain] = MappingProxyType({})

    def witnessed_by(self, witness: Callable[[str, AggregateId, int, str], None]) -> None:
        """Nobody is told of commits here."""

    async def heads(self: Loading, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Head]:
        """Version and head of each aggregate that exists."""
        return {name: (found.version, found.head) for name, found in (await self.load(shard, ids)).items()}

    async def known_chains(self) -> tuple[list[KnownChain], list[str]]:
        """Every chain it was told of; none is ever changed."""
        return sorted(self._chains.values(), key=lambda chain: chain.key), []

    async def remember_chain(self, chain: KnownChain) -> None:
        """The chain has come this far."""
        self._chains = {**self._chains, chain.key: chain}

    async def examine(self, shard: str) -> list[str]:
        """Nothing is ever wrong with its keys."""
        return []

    async def astray(self, shard: str, timers: Sequence[SetTimer]) -> list[SetTimer]:
        """No timer is ever missing or put off."""
        return []

    async def set_again(self, shard: str, timers: Sequence[SetTimer]) -> None:
        """There is none to set."""

    async def inbox_span(self, shard: str) -> tuple[Place, Place] | None:
        """Nothing waits for what is never missing."""
        return None
