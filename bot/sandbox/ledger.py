"""What really happened to the simulated system: every request it got and, apart from them, every change of state.

Tests and the demo count *effects* here, on the target's side, where a doubled action cannot hide. One JSON object a
line in a file, and the same objects in memory for `GET /ledger`. Written by `server` and `trading_core`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from bot.core.words import Millis

Author: TypeAlias = Literal["api", "desk", "fault", "redis"]
Value: TypeAlias = float | bool | str

# In memory only; the file keeps everything. A demo makes a few hundred, a drill that polls for hours some 10,000.
MAX_ENTRIES = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something was asked of the runbook's API, and answered with `status`; `key`, `fence`: as the caller sent them."""

    kind: Literal["request"] = "request"
    seq: int
    at: Millis
    what: str
    status: int
    body: str = ""
    key: str = ""
    fence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Something changed from `before` to `after`.

    `author`: the runbook's API (the one Andon uses), a person at the trading desk, an injected fault, or Redis and its
    Sentinels. `owner`: as the API's caller named itself, where it has to.
    """

    kind: Literal["effect"] = "effect"
    seq: int
    at: Millis
    author: Author
    what: str
    before: Value
    after: Value
    reason: str = ""
    owner: str = ""


Entry: TypeAlias = Request | Effect


class Ledger:
    """Appends entries and never changes one. `now` dates them; `path` None keeps them in memory only."""

    def __init__(self, now: Callable[[], Millis], path: Path | None = None) -> None:
        self._now = now
        self._path = path
        self._seq = 0
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)

    def request(self, what: str, *, status: int, body: str = "", key: str = "", fence: str = "") -> None:
        """Write down a request and its answer."""
        self._append(
            Request(seq=self._next(), at=self._now(), what=what, status=status, body=body, key=key, fence=fence)
        )

    def effect(
        self, what: str, *, author: Author, before: Value, after: Value, reason: str = "", owner: str = ""
    ) -> None:
        """Write down a change of state."""
        self._append(
            Effect(
                seq=self._next(), at=self._now(), author=author, what=what, before=before, after=after, reason=reason,
                owner=owner,
            )
        )  # fmt: skip

    def entries(self, kind: str = "") -> list[dict[str, object]]:
        """Everything remembered, oldest first; only requests or only effects when `kind` says so."""
        return [asdict(entry) for entry in self._entries if kind in ("", entry.kind)]

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _append(self, entry: Entry) -> None:
        self._entries.append(entry)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(entry), separators=(",", ":")) + "\n")
