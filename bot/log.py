"""How Andon logs: one line an event, to stderr, for people (console) or machines (JSON).

Called once by the composition root, before anything logs. Event names are constants and everything else is a field;
`SecretStr` prints as asterisks, and fields whose name says secret are masked whatever they hold. What libraries log
through the standard library comes out of the same end.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

MASKED = "**********"
MAX_FIELD = 4_000  # characters of one field; a payload in a log line helps nobody
_SECRET_WORDS = ("password", "secret", "token", "credential", "authorization", "api_key", "signing_key")
_MANY_LINES = frozenset({"exception", "stack"})  # rendered by us, from tracebacks


def configure(style: Literal["console", "json"], level: str = "INFO") -> None:
    """Set up structlog and the standard library's logging, both to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        tidy,
    ]
    last: structlog.typing.Processor
    if style == "json":
        shared.append(structlog.processors.format_exc_info)  # the plain text: structured ones carry local variables
        last = structlog.processors.JSONRenderer()
    else:
        last = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_traceback)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it tells every wake-up at INFO
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # every file event; `bot.reload` tells what came of them


def tidy(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask what is named like a secret, cut what is too long, escape what is not printable."""
    for name, value in event.items():
        if name.startswith("_"):  # structlog's own bookkeeping
            continue
        if any(word in name.lower() for word in _SECRET_WORDS):
            event[name] = MASKED
        elif isinstance(value, str) and name not in _MANY_LINES:
            event[name] = _one_line(value)
    return event


def _traceback(out: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    """A traceback whose every line is marked as its own: an error's text may quote anybody, and end lines."""
    plain = io.StringIO()
    structlog.dev.plain_traceback(plain, exc_info)
    for line in plain.getvalue().splitlines():
        out.write(f"\n  | {_one_line(line)}")


def _one_line(text: str) -> str:
    """Text that cannot forge a line or move a terminal's cursor, of at most MAX_FIELD characters."""
    text = text if len(text) <= MAX_FIELD else text[: MAX_FIELD - 1] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
