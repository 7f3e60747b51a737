"""What Andon prints and counts: one line a message, no secret, no forged line, bounded labels."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from pydantic import SecretStr

from bot import log
from bot.adapters.metrics import MAX_LABEL_VALUES, Metrics
from bot.adapters.terminal import MAX_LINE, TerminalChat, TerminalPager, plain
from bot.core.effects import PageOncall, PostMessage, ResolvePage

NASTY = 'VaR\n2026 [critical] PAGE forged\x1b[2J\u202e "quoted" %s {x}'


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What went to stderr since last asked; the logging set-up is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def page() -> PageOncall:
    return PageOncall(id="e1", incident="inc-1", service="pm", severity="critical", dedup_key="k", summary=NASTY)


@pytest.mark.parametrize("style", ["console", "json"])
async def test_a_message_is_one_line_with_its_facts(printed: Callable[[], str], style: str) -> None:
    """Chat and pager print one line each, whatever the alert's text holds; the page is at the loudest level."""
    log.configure(style)  # type: ignore[arg-type]  # parametrised text
    message = PostMessage(id="e0", incident="inc-1", channel="#ops", topic="acted", text=NASTY)
    assert await TerminalChat().post(message, "trading-core") == "terminal:e0"
    assert await TerminalPager().page(page()) == "terminal:k"
    await TerminalPager().resolve(ResolvePage(id="e2", incident="inc-1", service="pm", dedup_key="k"))
    text = printed()
    lines = text.splitlines()
    assert len(lines) == 3
    assert "inc-1" in lines[0]
    assert "critical" in lines[1]
    assert "PAGE" in lines[1]
    assert "\x1b" not in text
    if style == "json":
        assert [json.loads(line)["event"] for line in lines] == ["chat_message", "PAGE", "page_resolved"]


@pytest.mark.parametrize("style", ["console", "json"])
def test_no_secret_is_logged(printed: Callable[[], str], style: str) -> None:
    """Neither as a field, nor wrapped, nor from the local variables of a traceback; library logs come out too."""
    log.configure(style)  # type: ignore[arg-type]  # parametrised text
    logger = structlog.get_logger("t")
    logger.warning("connecting", token="canary-1", slack_signing_secret="canary-2", wrapped=SecretStr("canary-3"))
    logging.getLogger("library").warning("from %s", "below", extra={"password": "canary-4"})
    try:
        local = "canary" + "-5"
        raise ValueError(str(len(local)))
    except ValueError:
        logger.exception("failed")
    text = printed()
    assert "canary" not in text
    assert "from below" in text
    assert "ValueError" in text


def test_a_line_is_cut_and_printable() -> None:
    """A wall of text becomes one short line."""
    assert plain("a\n\tb\x00c") == "a b c"
    assert len(plain("x" * 10_000)) == MAX_LINE
    assert plain("x" * 10_000).endswith("…")


def test_the_log_s_fields_cannot_forge_lines(printed: Callable[[], str]) -> None:
    """Control characters in any field are escaped, and endless fields cut."""
    log.configure("console")
    structlog.get_logger("t").info("alert_seen", name="a\nb\x1b[0m", long="y" * 10_000)
    text = printed()
    assert len(text.splitlines()) == 1
    assert len(text) < 5_000


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_cannot_forge_lines_either(printed: Callable[[], str], style: str) -> None:
    """An error quotes what it could not read; each line of its traceback is marked, and printable."""
    log.configure(style)  # type: ignore[arg-type]  # parametrised text
    try:
        raise ValueError("not \x1b[31m readable\n2026-01-01T00:00:00Z [critical ] PAGE\x85PAGE\u2028PAGE")
    except ValueError:
        structlog.get_logger("t").exception("request_failed")
        logging.getLogger("library").exception("failed")
    text = printed()
    assert "ValueError" in text
    assert "\x1b" not in text
    first = "{" if style == "json" else ("20", "  | ")
    assert [line for line in text.splitlines() if line and not line.startswith(first)] == []
    assert [line for line in text.splitlines() if line.startswith("2026-01-01")] == []


def test_metrics_count_and_stay_bounded() -> None:
    """Two engines do not share counters, and a label cannot grow the registry without end."""
    metrics, other = Metrics(), Metrics()
    metrics.folded("trading-core", "applied", 3)
    metrics.committed("trading-core", 0.002, 5)
    metrics.conflicted("trading-core")
    metrics.dispatched("trading-core", "run_step", "step_succeeded", 0.01)
    metrics.timer_lateness("trading-core", -0.1)
    metrics.dead_lettered("trading-core")
    text = metrics.render().decode()
    assert 'andon_events_folded_total{decision="applied",shard="trading-core"} 3.0' in text
    assert 'andon_committed_events_total{shard="trading-core"} 5.0' in text
    assert 'andon_timer_lateness_seconds_sum{shard="trading-core"} 0.0' in text
    assert "trading-core" not in other.render().decode()
    for number in range(MAX_LABEL_VALUES * 2):
        other.conflicted(f"s{number}")
    assert other.render().decode().count("andon_commit_conflicts_total{") == MAX_LABEL_VALUES + 1
