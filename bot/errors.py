"""Every error Andon raises, as one tree. Retriability is a type, so callers decide by `except`, never by text.

AndonError
├── ConfigError            a file or setting is wrong; the message names file, line and fix (exit code 2)
├── InputError             a request is wrong; `field` names the part (HTTP 4xx)
├── Refused                a person or program asked for what is not allowed; the message is one plain sentence
├── StoreError
│   ├── StoreUnavailable   the store cannot be reached or cannot write now; try again (HTTP 503)
│   │   ├── StoreUnconfirmed  it was written, and no replica confirmed it: the next failover may forget it
│   │   ├── StoreForgot    it has forgotten what it acknowledged; nothing was written
│   │   └── StoreNewer     a newer Andon has written there: this one leaves the work to it (HTTP 503)
│   ├── StoreContended     races for the same records were lost again and again
│   ├── StoreUnsafe        its settings would lose acknowledged writes; the message carries the CONFIG lines
│   └── RecordForged       a record's MAC or schema does not hold; it is never acted upon
├── TargetError            a trading system's component did not do as asked
│   ├── NotSent            provably no byte of the request left, so trying again is safe
│   ├── Rejected           the target answered that it did not do it
│   └── Unknown            the request left and no answer proves what became of it
├── SourceError            a source of alerts that was asked did not answer, or not as it should; ask again later
└── DeliveryError          chat or pager did not take a message; try again or take the second route
    └── DeliveryUncertain  no answer proves that it did not: it may have been taken all the same
"""

from __future__ import annotations


class AndonError(Exception):
    """Root of every error Andon raises on purpose."""


class ConfigError(AndonError):
    """A configuration file or setting is wrong. The message names the file, the line and the fix."""


class InputError(AndonError):
    """A request is wrong.

    `field` names the offending part (``alerts[3].labels.severity``); `status` is the HTTP status to answer, 4xx.
    """

    def __init__(self, field: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.status = status


class Refused(AndonError):
    """What was asked is not allowed. The message is one sentence for a tired person."""


class StoreError(AndonError):
    """The durable store failed."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or cannot write at the moment; nothing was acknowledged."""


class StoreUnconfirmed(StoreUnavailable):
    """What must outlive the store's primary was written to it, and no replica confirmed in time to have it too."""


class StoreForgot(StoreUnavailable):
    """The store has forgotten what it acknowledged: nothing was written, and what it handed out is to be read anew."""


class StoreNewer(StoreUnavailable):
    """What stands there was written by a newer Andon: not read here, and nothing is written over it."""


class StoreContended(StoreError):
    """Races for the same records were lost again and again; something else than contention may be wrong."""


class StoreUnsafe(StoreError):
    """The store's settings could lose acknowledged writes."""


class RecordForged(StoreError):
    """A stored record does not carry our MAC, or does not fit its schema."""


class TargetError(AndonError):
    """A component of a trading system did not do as asked."""


class NotSent(TargetError):
    """Provably nothing left for the target."""


class Rejected(TargetError):
    """The target answered, and the answer is no."""


class Unknown(TargetError):
    """Something left for the target and no answer proves what it did."""


class SourceError(AndonError):
    """A source of alerts was asked and gave no answer that can be used. Says nothing about its alerts."""


class DeliveryError(AndonError):
    """Chat or pager did not take a message."""


class DeliveryUncertain(DeliveryError):
    """The message left and no answer came: it may have been taken all the same."""
