"""A secret key in a file of the data directory: 32 random bytes as hexadecimal, mode 0600, made where there is none.

Used for the sealing key (`bot.adapters.seal`) and the key that signs checkpoints (`bot.adapters.signing`). A file that
others may read, or that holds something else, is refused with a sentence that names the fix.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from bot.errors import ConfigError

KEY_BYTES: Final = 32


def key_in(path: Path, what: str) -> bytes:
    """The key in `path`, made there when the file does not exist. `what` names it in errors (ConfigError)."""
    try:
        return _read(path, what)
    except FileNotFoundError:
        _create(path)
        return _read(path, what)


def _read(path: Path, what: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_mode & 0o077:
            raise ConfigError(f"{path}: others can read the {what}; run: chmod 600 {path}")
        text = file.read(KEY_BYTES * 2 + 2)  # hexadecimal and a line end
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise ConfigError(f"{path}: not a {what} ({2 * KEY_BYTES} hexadecimal digits are expected)") from error


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
