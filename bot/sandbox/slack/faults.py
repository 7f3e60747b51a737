"""What can be wrong with the local Slack: outages, limits, slowness, replies that get lost, deliveries that come twice.

Set by tests and by `POST /control/faults`; heeded by `web_api`, `sockets` and `courier`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, get_args

Outage: TypeAlias = Literal["", "cut", "error", "hang"]

OUTAGES: Final = get_args(Outage)
HANG_S: Final = 120.0  # a request that hangs is dropped then, at the latest; the SDK gives up after 30


@dataclass(slots=True)
class Faults:
    """What is wrong now; as it stands here, nothing is.

    outage: connections are "cut" without an answer, every call is an "error" 503 that is no JSON, or calls "hang".
    limited_s: every method answers 429 with this Retry-After, until it is 0 again. slow_ms: before every answer.
    lose_replies: so many calls that change something are done, and then the connection is cut.
    failing: methods that answer with this error. duplicates: every delivery to the app comes so many times more.
    deaf: acknowledgements of the app are not heard. skew_s: how wrong the Date header is. files_late_ms: how long after
    its upload a file is refused in blocks, as it is at Slack for a moment.
    """

    outage: Outage = ""
    limited_s: int = 0
    slow_ms: int = 0
    lose_replies: int = 0
    failing: dict[str, str] = field(default_factory=dict)
    duplicates: int = 0
    deaf: bool = False
    skew_s: int = 0
    files_late_ms: int = 0

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Take over what is named. Raises ValueError for what no fault is called, or what it cannot be."""
        known = {each.name: type(getattr(Faults(), each.name)) for each in fields(self)}
        for name, value in wanted.items():
            if name not in known or not isinstance(value, known[name]):
                raise ValueError(f"{name!r} is no fault, or cannot be {value!r}; there are: {', '.join(sorted(known))}")
            if name == "outage" and value not in OUTAGES:
                raise ValueError(f"an outage is one of {', '.join(OUTAGES[1:])}, or nothing, not {value!r}")
        for name, value in wanted.items():
            setattr(self, name, value)
