"""The picture on a decision card: the figure over the last hour, its limit, and what was done when.

Drawn with matplotlib where the `[charts]` extra is installed; without it, or without history, a card is simply without
a picture. `board` asks for it when a question is first shown, and never waits long. Labels are drawn, not interpreted.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
from collections.abc import Sequence
from typing import Final

import structlog

from bot.adapters.evidence_history import Histories, History
from bot.core.alert import Alert
from bot.core.plan import Plan
from bot.core.words import Millis

DRAW_SECONDS: Final = 4.0  # the first picture of a process loads the library; the card goes out without it otherwise
WIDTH_IN, HEIGHT_IN, DPI = 6.4, 2.6, 110
MAX_LABEL: Final = 40  # characters of a series' name or a mark
MAX_MARKS: Final = 8
MIN_SPAN_MS: Final[Millis] = 300_000  # of a picture; a minute of noise looks like a storm
_DAY_MS: Final = 86_400_000
_DRAWN: Final = 0x0530  # Latin, Greek, Cyrillic: what the library's own font surely has

log = structlog.get_logger(__name__)


def installed() -> bool:
    """Whether pictures can be drawn here."""
    return importlib.util.find_spec("matplotlib") is not None


class Charts:
    """Draws them."""

    def __init__(self, histories: Histories) -> None:
        self._histories = histories

    async def picture(
        self, plan: Plan, guard: str, alerts: Sequence[Alert], marks: Sequence[tuple[Millis, str]], now: Millis
    ) -> tuple[bytes, str] | None:
        """(PNG, what it shows in words), or None. `marks`: what was done when. Never raises."""
        if not installed():
            return None
        try:
            async with asyncio.timeout(DRAW_SECONDS):
                history = await self._histories.read(plan, guard, alerts, now)
                if history is None:
                    return None
                return await asyncio.to_thread(draw, history, tuple(marks)[-MAX_MARKS:]), described(history)
        except TimeoutError:
            log.warning("chart_too_slow", policy=plan.policy)
        except Exception:  # supervision point: a picture is never worth a decision
            log.exception("chart_failed", policy=plan.policy)
        return None


def described(history: History) -> str:
    """The picture for whoever cannot see it."""
    values = [value for line in history.lines for _, value in line.points]
    limit = f", limit {history.limit:g}" if history.limit is not None else ""
    last = max((line.points[-1] for line in history.lines if line.points), default=(0, 0.0))[1]
    return f"{history.name} over the last hour: from {min(values):g} to {max(values):g}, now {last:g}{limit}"


def draw(history: History, marks: Sequence[tuple[Millis, str]] = ()) -> bytes:
    """A PNG of about 700 × 290 pixels. Blocking; some 100 ms."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # an extra, and slow to import
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for line in history.lines:
        times = [_time(at) for at, _ in line.points]
        axes.plot(times, [value for _, value in line.points], linewidth=1.6, label=_short(line.name))
    if history.limit is not None:
        axes.axhline(history.limit, color="#b00020", linewidth=1.2, linestyle="--")
        axes.annotate(
            f"limit {history.limit:g}", (0.995, history.limit), xycoords=("axes fraction", "data"), color="#b00020",
            fontsize=8, va="bottom", ha="right",
        )  # fmt: skip
    for at, words in marks:
        if history.since <= at <= history.until:
            axes.axvline(_time(at), color="#444444", linewidth=1.0, linestyle=":")
            axes.annotate(
                _short(words), (_time(at), 0.98), xycoords=("data", "axes fraction"), fontsize=7, rotation=90, va="top",
                ha="right", color="#444444",
            )  # fmt: skip
    axes.set_title(_short(history.name), fontsize=9, loc="left")
    axes.set_xlim(_time(begin(history)), _time(history.until))
    locator = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, alpha=0.25)
    if len(history.lines) > 1:
        axes.legend(fontsize=7, loc="upper left")
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def begin(history: History) -> Millis:
    """Where the picture begins: no earlier than what is known does, so that a short past is not drawn as a corner."""
    first = min((line.points[0][0] for line in history.lines if line.points), default=history.since)
    known = max(history.until - first, MIN_SPAN_MS)
    return max(history.since, history.until - known * 21 // 20)


def _short(text: str) -> str:
    """Plain words for the picture; `$` would begin mathematics there."""
    drawn = (c if ord(c) < _DRAWN or c in "→…–—" else "?" for c in text if c.isprintable())
    plain = "".join(drawn).replace("\\", "/").replace("$", r"\$")
    return plain if len(plain) <= MAX_LABEL else plain[: MAX_LABEL - 1] + "…"


def _time(at: Millis) -> float:
    """As matplotlib counts: days since 1970 in UTC."""
    return at / _DAY_MS
