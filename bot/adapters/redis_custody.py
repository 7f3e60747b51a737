"""What the store is asked about itself, beside the records: whether its keys are what they should be, and its timers.

Asked by `bot.engine.custody`, which tells people. `RedisStore` stands on this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bot.adapters.redis_keys import timer_member
from bot.adapters.redis_reads import RedisReads
from bot.engine.custody import Place, SetTimer

TIMERS_AT_ONCE: Final = 500  # asked about in one round trip
_NUMBERS: Final = ("sequence", "retired")
_KINDS: Final = {
    "inbox": b"stream", "outbox": b"stream", "dead": b"stream", "timers": b"zset", "keys": b"hash",
    "aggregates": b"set", "incidents": b"zset", "open": b"zset", "sequence": b"string", "acknowledged": b"hash",
    "retired": b"string",
}  # fmt: skip


class RedisCustody(RedisReads):
    """The store's keys, looked at as such."""

    async def examine(self, shard: str) -> list[str]:
        """What is wrong with the keys of a shard, each in a few words: another type, or no number."""
        keys = self._keys(shard)
        async with self._link.bounded("examine"):
            kinds = await self._link.ask_all([(b"TYPE", getattr(keys, name)) for name in _KINDS])
            numbers = [name for name, kind in zip(_KINDS, kinds, strict=True) if name in _NUMBERS and kind == b"string"]
            # No more of it than a number has: what was put there may be of any size.
            values = await self._link.ask_all([(b"GETRANGE", getattr(keys, name), 0, 20) for name in numbers])
        wrong = [
            f"{getattr(keys, name).decode()} is a {kind.decode()}, not a {wanted.decode()}"
            for (name, wanted), kind in zip(_KINDS.items(), kinds, strict=True)
            if kind not in (wanted, b"none")
        ]
        for name, value in zip(numbers, values, strict=True):
            if not value.isdigit() or len(value) > 18:  # a 64-bit counter, raised by one at a time
                wrong.append(f"{getattr(keys, name).decode()} is no count")
        return wrong

    async def astray(self, shard: str, timers: Sequence[SetTimer]) -> list[SetTimer]:
        """Those timers (aggregate, name, token, due) that are missing from the set, or set too late."""
        place = self._keys(shard).timers
        found: list[SetTimer] = []
        for start in range(0, len(timers), TIMERS_AT_ONCE):
            chunk = timers[start : start + TIMERS_AT_ONCE]
            async with self._link.bounded("look at the timers"):
                scores = await self._link.ask(b"ZMSCORE", place, *(timer_member(*timer[:3]) for timer in chunk))
            found += [
                timer for timer, score in zip(chunk, scores, strict=True) if score is None or float(score) > timer[3]
            ]
        return found

    async def set_again(self, shard: str, timers: Sequence[SetTimer]) -> None:
        """Put them into the set. One that was claimed meanwhile rings twice and counts once: its token is used up."""
        place = self._keys(shard).timers
        for start in range(0, len(timers), TIMERS_AT_ONCE):
            chunk = timers[start : start + TIMERS_AT_ONCE]
            pairs = [part for of, name, token, due in chunk for part in (due, timer_member(of, name, token))]
            async with self._link.bounded("set timers again"):
                await self._link.ask(b"ZADD", place, *pairs)

    async def inbox_span(self, shard: str) -> tuple[Place, Place] | None:
        """Where the inbox's oldest and newest entries are; what is acknowledged is deleted, so it is not among them."""
        place = self._keys(shard).inbox
        async with self._link.bounded("look at the inbox"):
            oldest, newest = await self._link.ask_all(
                [(b"XRANGE", place, b"-", b"+", b"COUNT", 1), (b"XREVRANGE", place, b"+", b"-", b"COUNT", 1)]
            )
        return (_place(oldest[0][0]), _place(newest[0][0])) if oldest and newest else None


def _place(entry: bytes) -> Place:
    milliseconds, _, sequence = entry.partition(b"-")
    return int(milliseconds), int(sequence)
