"""Credentials by reference: `env:NAME` or `file:/path` in targets.yaml becomes a `SecretStr`, and nothing else.

Called by `bot.adapters.connectors` once at start, so that a missing secret is found before the first alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from bot.errors import ConfigError

MAX_SECRET = 16_384  # bytes; a private key or a long token fits, a mistaken path to a log file does not


def resolve(reference: str, environment: Mapping[str, str], *, owner: str) -> SecretStr | None:
    """The secret behind a reference; None for "". Raises ConfigError naming `owner` and reference, not the value."""
    if not reference:
        return None
    kind, _, place = reference.partition(":")
    match kind:
        case "env":
            secret = environment.get(place, "")
            if not secret:
                raise ConfigError(f"{owner}: the environment variable {place} is not set; it holds its credentials")
        case "file":
            secret = _from_file(Path(place), owner)
        case _:
            raise ConfigError(f"{owner}: credentials are env:NAME or file:/path")
    if not secret.isprintable():
        raise ConfigError(f"{owner}: the credentials behind {reference} hold control characters")
    return SecretStr(secret)


def _from_file(path: Path, owner: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET + 1)
        secret = raw.decode().strip()
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
        why = type(error).__name__
        raise ConfigError(f"{owner}: the credentials in {str(path)!r} cannot be read: {why}") from error
    if not secret or len(raw) > MAX_SECRET:
        raise ConfigError(f"{owner}: the file {path} is {'too long' if secret else 'empty'}; it holds its credentials")
    return secret
