"""The seal around every stored record: a MAC that binds its bytes to the place they were written to.

The store seals before it writes and opens after it reads. A record that was edited, moved to another key, or put back
from an earlier version does not open (`RecordForged`), and what does not open is never acted upon. The key is made at
first start in the data directory; its fingerprint is kept in the store, so that a replica with another key is told so
instead of finding only forgeries.
"""

from __future__ import annotations

import hmac
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from bot.errors import ConfigError, RecordForged

MAC_BYTES = 16  # of HMAC-SHA256's 32: 128 bits, the least RFC 2104 section 5 allows (half the hash)
KEY_BYTES = 32
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
        try:
            return cls(_read(path))
        except FileNotFoundError:
            _create(path)
            return cls(_read(path))

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


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_mode & 0o077:
            raise ConfigError(f"{path}: others can read the sealing key; run: chmod 600 {path}")
        text = file.read(KEY_BYTES * 2 + 2)  # hexadecimal and a line end
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise ConfigError(f"{path}: not a sealing key ({2 * KEY_BYTES} hexadecimal digits are expected)") from error


def _create(path: Path) -> None:
    """Write a new key beside `path` and link it there, so that of two processes starting at once one key wins whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(KEY_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
