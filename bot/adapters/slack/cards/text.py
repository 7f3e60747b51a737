"""Words for Slack: foreign text made harmless, times that every reader sees in their own zone, lines that fit. Pure.

Used by everything here that renders; `blocks` puts the words into blocks. Whatever comes from an alert, a target, a
person or a policy goes through `escape` (or `literal`, for plain text), and only this module writes ``<…>``: so a label
can mention nobody, link nowhere, format nothing and draw no emoji (law 11).

Ages ("12 s old when written") change with every rendering. Whoever asks whether a message looks different now
renders it at `TIMELESS`, where there are none. Countdowns are Slack's own.
Sources: https://docs.slack.dev/messaging/formatting-message-text and https://docs.slack.dev/reference/block-kit
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlsplit

from bot.core.words import Millis
from bot.engine.report_words import span as span

ELLIPSIS: Final = "…"
TIMELESS: Final[Millis] = 0  # a `now` before everything: renders no countdown and no age
MAX_URL: Final = 3_000  # of a button or a link
MAX_FALLBACK: Final = 3_900  # of a message's `text`; chat.update refuses more than 4,000
LATEST_MS: Final[Millis] = 253_402_300_799_000  # the year 9999: later than any time that is meant

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # UTC; without a zone its words end in none
_MARKS: Final = str.maketrans({"*": "∗", "_": "＿", "~": "∼", "`": "ʼ"})  # what only looks like them formats nothing
_HARMLESS: Final = re.compile(r"[ !-%'()+-9;=?@A-Z\[-^a-z{-}]*")  # printable ASCII without & < > * _ ~ : and backtick
_ODD: Final = re.compile(r"[^ -~]+")
_FORMATS: Final = re.compile(r"[*_~`]+")
_EMOJI: Final = re.compile(r":(?=[a-z0-9_+'-]{1,80}:)", re.IGNORECASE)
_CUT_ENTITY: Final = re.compile(r"&[a-z]{0,3}\Z")
_UNSAFE_IN_URL: Final = re.compile(r"[\s<>|\"\\^`{}\x00-\x1f\x7f]")


def literal(value: object) -> str:
    """Foreign text as one line of plain text; what cannot be seen is shown by its number."""
    return _visible(value).replace("<", "‹").replace(">", "›")  # no angle bracket, so no token, wherever it goes


def escape(value: object) -> str:
    """Foreign text as one line of mrkdwn that shows what it says, and does nothing."""
    text = str(value)
    if _HARMLESS.fullmatch(text):
        return text
    shown = _FORMATS.sub(_disarmed, _visible(text))
    return _entities(_EMOJI.sub(_unless_inside, shown))


def _disarmed(found: re.Match[str]) -> str:
    """`*`, `_`, `~` format at the edge of a word only, so kelly_fraction stays as it is; a backtick does everywhere."""
    if "`" not in found.group() and _before(found).isalnum() and _after(found).isalnum():
        return found.group()
    return found.group().translate(_MARKS)


def _unless_inside(found: re.Match[str]) -> str:
    """A ratio sign where a colon begins an emoji: ``:tada:`` stays words. Not inside a word, as in metrics:var:BTC."""
    return ":" if _before(found).isalnum() else "∶"


def _before(found: re.Match[str]) -> str:
    return found.string[found.start() - 1 : found.start()] if found.start() else ""


def _after(found: re.Match[str]) -> str:
    return found.string[found.end() : found.end() + 1]


def _visible(value: object) -> str:
    return _ODD.sub(_by_number, str(value))


def _by_number(found: re.Match[str]) -> str:
    """What cannot be seen, or turns the direction of reading, is shown by its number."""
    run = found.group()
    return run if run.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in run)


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def bold(value: object, limit: int = 0) -> str:
    """Foreign text, in bold, and at most `limit` characters of it (0: all)."""
    words = short(str(value).strip(), limit) if limit else escape(str(value).strip())
    return f"*{words}*" if words else ""


def code(value: object, limit: int = 0) -> str:
    """Foreign text as it is typed somewhere, letter by letter: a command, an expression; bounded like `bold`."""
    words = _entities(_visible(str(value)[: limit + 1] if limit else value).replace("`", "'").strip())
    words = clip(words, limit) if limit else words
    return f"`{words}`" if words else ""


def length(text: str) -> int:
    """Characters as the strictest reader counts them: an emoji is two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def clip(text: str, limit: int) -> str:
    """At most `limit` characters of mrkdwn; never half an entity or half a token, and an ellipsis for the rest."""
    if 2 * len(text) <= limit or length(text) <= limit:
        return text
    kept = text[: max(0, limit - 1)]
    if not text.isascii():
        kept = text.encode("utf-16-le", "surrogatepass")[: 2 * max(0, limit - 1)].decode("utf-16-le", "ignore")
    if kept.rfind("<") > kept.rfind(">"):
        kept = kept[: kept.rfind("<")]
    return _CUT_ENTITY.sub("", kept).rstrip() + ELLIPSIS


def short(value: object, limit: int) -> str:
    """Foreign text, escaped, and at most `limit` characters of it."""
    return clip(escape(str(value)[: limit + 1]), limit)


def joined(lines: Iterable[str], limit: int, *, most: int = 0, hidden: int = 0, gap: str = "\n") -> str:
    """Whole lines as long as they fit (and at most `most`, if that is said), then how many more there are.

    `hidden`: how many there are besides those that were given.
    """
    told = [line for line in lines if line]
    alone = len(told) == 1 and not hidden
    room = limit if alone else limit - length(gap + _more(len(told) + hidden))
    kept: list[str] = []
    for line in told[: most or None]:
        shown = clip(line, limit if alone else limit // 2)
        room -= length(shown) + (length(gap) if kept else 0)
        if room < 0:
            break
        kept.append(shown)
    left = len(told) - len(kept) + hidden
    return gap.join([*kept, _more(left)] if left else kept)


def _more(count: int) -> str:
    return f"and {count} more"


def utc(at: Millis) -> str:
    """A moment for those whose client shows no dates: 2026-03-01 14:05:09Z."""
    seconds = min(max(0, at), LATEST_MS) // 1000
    return str(_EPOCH + timedelta(seconds=seconds)) + "Z"


def moment(at: Millis) -> str:
    """A date token: day and time in the reader's zone."""
    return _date(at, "{date_short_pretty} {time_secs}")


def clock(at: Millis) -> str:
    """A date token without the day."""
    return _date(at, "{time_secs}")


def _date(at: Millis, form: str) -> str:
    return f"<!date^{min(max(0, at), LATEST_MS) // 1000}^{form}|{utc(at)}>"


def coming(due: Millis) -> str:
    """When something happens, counted down by the reader's own Slack: ``at 14:07:10 (in 2 minutes)``."""
    return f"at {_date(due, '{time_secs} ({ago})')}"


def aged(taken: Millis, now: Millis) -> str:
    """When something was read: ``at 14:05:09 (12 s old when written)``."""
    if now == TIMELESS or taken > now:
        return f"at {clock(taken)}"
    return f"at {clock(taken)} ({span(_rounded(now - taken))} old when written)"


def _rounded(duration_ms: Millis) -> Millis:
    """To whole seconds, and from two minutes on to whole minutes: the exact time stands beside it."""
    size = 60_000 if duration_ms >= 120_000 else 1_000
    return max(1_000, duration_ms // size * size)


def web(url: str) -> str:
    """The address, fit for a link or a button; "" for what is no web address."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or _UNSAFE_IN_URL.search(parts.netloc):
        return ""
    safe = _UNSAFE_IN_URL.sub(lambda found: quote(found.group(), safe=""), url.strip())
    return safe if len(safe) <= MAX_URL else ""


def link(url: str, words: str) -> str:
    """A link to an address from the configuration, never from a label; the words alone where it is no web address."""
    address = web(url)
    return f"<{address.replace('&', '&amp;')}|{escape(words).replace('|', '¦')}>" if address else escape(words)
