"""The key that signs checkpoints: Ed25519 (RFC 8032), made at first start in the data directory, never in the store.

Whoever has the store, and even its sealing key, cannot sign with it; whoever has the public key can check. A public key
is written ``ed25519:`` and 64 hexadecimal digits, a signature as 128 of them. Why this library: docs/adr/0013.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bot.adapters.key_file import KEY_BYTES, key_in
from bot.errors import ConfigError

FILE: Final = "checkpoint.key"
_KIND: Final = "ed25519:"


class Signer:
    """Signs with one key. `public` is what others check with, `id` a short name for it that fits a file name."""

    __slots__ = ("_key", "id", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise ConfigError(f"the checkpoint key has {len(seed)} bytes, but must have {KEY_BYTES}")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = _KIND + self._key.public_key().public_bytes_raw().hex()
        self.id = key_id(self.public)

    @classmethod
    def from_file(cls, path: Path) -> Signer:
        """The key in `path`, made there when the file does not exist. ConfigError when it is unfit."""
        return cls(key_in(path, "checkpoint key"))

    def sign(self, message: bytes) -> str:
        """The signature, in hexadecimal."""
        return self._key.sign(message).hex()


def holds(public: str, message: bytes, signature: str) -> bool:
    """Whether the holder of `public` signed exactly this. Never raises: what cannot be read does not hold."""
    kind, _, digits = public.partition(":")
    if f"{kind}:" != _KIND:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(digits)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return signature == signature.lower() and digits == digits.lower() and len(signature) == 128


def key_id(public: str) -> str:
    """The first 16 digits: enough to tell keys apart, and a name for files."""
    return public.removeprefix(_KIND)[:16]
