"""Chat and pager for a terminal or a log: one clear line a message, kept nowhere.

Used where no Slack or PagerDuty is configured. The lines go through structlog (stderr); alert text stays a field of
the line, so it can neither forge another line nor carry terminal escapes.
"""

from __future__ import annotations

import structlog

from bot.core.effects import PageOncall, PostMessage, ResolvePage

MAX_LINE = 400  # characters of a message shown on one line


class TerminalChat:
    """Implements `ports.Chat`."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("andon.chat")

    async def post(self, message: PostMessage, shard: str) -> str:
        """Print the message; its reference is the effect's own id."""
        self._log.info(
            "chat_message",
            channel=message.channel,
            topic=message.topic,
            incident_id=message.incident,
            shard=shard,
            text=plain(message.text),
        )
        return f"terminal:{message.id}"


class TerminalPager:
    """Implements `ports.Pager`, as loudly as one line can be."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("andon.pager")

    async def page(self, page: PageOncall) -> str:
        """Print the page at the highest level."""
        self._log.critical(
            "PAGE",
            service=page.service,
            severity=page.severity,
            incident_id=page.incident,
            summary=plain(page.summary),
            dedup_key=page.dedup_key,
        )
        return f"terminal:{page.dedup_key}"

    async def resolve(self, page: ResolvePage) -> str:
        """Print that the page is taken back."""
        self._log.warning("page_resolved", service=page.service, incident_id=page.incident, dedup_key=page.dedup_key)
        return f"terminal:{page.dedup_key}"


def plain(text: str) -> str:
    """One printable line of at most MAX_LINE characters; what cannot be printed becomes a space."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: MAX_LINE * 4]).split())
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"
