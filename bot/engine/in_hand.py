"""Which effects of one shard are under way here, so that what is handed out again is not begun beside itself.

Kept by `bot.engine.dispatch`. A store names a delivery by its entry, and, once it was found to have forgotten
something, by how often that was known when it was read: ``<entry>`` or ``<entry>@<times>``. The same entry with the
same effect is the same work under any of these names; only the newest acknowledges it. What was done before a loss was
found may have been forgotten with its outcome, so it is begun again when it comes again after that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from bot.engine.ports import OutboxDelivery

MAX_FINISHED: Final = 10_000  # remembered as done, longer than any reclaim's reply takes


@dataclass(slots=True)
class _Held:
    """One piece of work: the newest name it came under, and, once asked for, the one its outcome acknowledges."""

    newest: str
    acknowledged: str = ""
    times: int = 0  # how often the store had forgotten something, as far as was known before the outcome was written


class InHand:
    """What is under way or waiting, and the newest that is done. `times`: how often the shard was found to forget."""

    def __init__(self, times: Callable[[], int]) -> None:
        self._times = times
        self._held: dict[str, _Held] = {}
        self._finished: OrderedDict[str, _Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def came(self, delivery: OutboxDelivery) -> Literal["new", "known", "done"]:
        """What a delivery is to us: to be begun, to be left alone, or done and only to be acknowledged once more."""
        name = work_name(delivery)
        held = self._held.get(name)
        if held is not None:
            if _seen(delivery.delivery) > _seen(held.newest):
                held.newest = delivery.delivery
            return "known"
        done = self._finished.get(name)
        if done is None:
            return "new"
        if _seen(delivery.delivery) <= _seen(done.acknowledged):
            return "known"  # a reclaim that read before it was acknowledged
        return "done" if _seen(delivery.delivery) <= done.times else "new"

    def begin(self, delivery: OutboxDelivery) -> None:
        """From here on it is under way."""
        self._held[work_name(delivery)] = _Held(delivery.delivery)

    def acknowledge(self, delivery: OutboxDelivery) -> str:
        """The name to acknowledge it with, for an outcome that is written next."""
        held = self._held.get(work_name(delivery))
        if held is None:
            return delivery.delivery
        held.acknowledged, held.times = held.newest, self._times()
        return held.newest

    def done(self, delivery: OutboxDelivery, *, finished: bool) -> None:
        """No longer under way; `finished`: its outcome is written, with what `acknowledge` gave."""
        held = self._held.pop(work_name(delivery), None)
        if held is not None and finished:
            self._finished[work_name(delivery)] = held
        while len(self._finished) > MAX_FINISHED:
            self._finished.popitem(last=False)


def work_name(delivery: OutboxDelivery) -> str:
    """What tells two pieces of work apart: a store that failed over may give an entry id to another effect."""
    if delivery.effect is None:
        return delivery.delivery  # nobody can say which effect it was
    return f"{delivery.delivery.partition('@')[0]} {delivery.effect.id}"


def named(entry: str, times: int) -> str:
    """What a store calls a delivery of this entry, read when it was known to have forgotten something so often."""
    return f"{entry}@{times}" if times else entry


def still(names: Iterable[str], times: int) -> list[str]:
    """The entries of those that still mean what they meant; a store that forgot some may give their ids again."""
    return [name.partition("@")[0] for name in names if _seen(name) == times]


def _seen(name: str) -> int:
    times = name.partition("@")[2]
    return int(times) if times.isdecimal() else 0
