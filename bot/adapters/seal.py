"""The seal around every stored record: a MAC that binds its bytes to the place they were written to.

The store seals before it writes and opens after it reads. A record that was edited, moved to another key, or put back
from an earlier version does not open (`RecordForged`), and what does not open is never acted upon. The key is made at
first start in the data directory; its fingerprint is kept in the store, so that a replica with another key is told so
instead of finding only forgeries.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from bot.adapters.key_file import KEY_BYTES, key_in
from bot.errors import ConfigError, RecordForged

MAC_BYTES = 16  # of HMAC-SHA256's 32: 128 bits, the least RFC 2104 section 5 allows (half the hash)
_FINGERPRINT_BYTES = 8  # enough to tell keys apart, not to learn one


class Sealer:
    """Seals bytes for a context and opens them in the same context only."""

    __slots__ = ("_key", "fingerprint")

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ConfigError(f"the sealing key has {len(key)} bytes, but needs at least {KEY_BYTES}")
        self._key = key
        self.fingerprint = self._mac(b"fingerprint", b"")[:_FINGERPRINT_BYTES].hex()

    @classmethod
    def from_file(cls, path: Path) -> Sealer:
        """The key in `path`, made there (mode 0600) when the file does not exist. ConfigError when it is unfit."""
        return cls(key_in(path, "sealing key"))

    def seal(self, context: bytes, body: bytes) -> bytes:
        """The MAC of `body` in `context`, then `body`."""
        return self._mac(context, body) + body

    def open(self, context: bytes, sealed: bytes) -> bytes:
        """What was sealed for `context`. Raises RecordForged when the MAC does not hold."""
        body = sealed[MAC_BYTES:]
        if not hmac.compare_digest(sealed[:MAC_BYTES], self._mac(context, body)):
            raise RecordForged(f"{context.decode('utf-8', 'replace')}: the record does not carry our seal")
        return body

    def _mac(self, context: bytes, body: bytes) -> bytes:
        # The context's length goes first, so that no byte can move between context and body.
        return hmac.digest(self._key, b"%d:%b%b" % (len(context), context, body), "sha256")[:MAC_BYTES]
