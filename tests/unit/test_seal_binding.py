"""The seal around stored records, and its key file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.adapters.seal import MAC_BYTES, Sealer
from bot.errors import ConfigError, RecordForged

KEY = bytes(range(32))


def test_what_was_sealed_opens_in_its_own_context_only() -> None:
    """Another context, key, or any changed bit does not open."""
    sealer = Sealer(KEY)
    sealed = sealer.seal(b"record:1", b"body")
    assert sealer.open(b"record:1", sealed) == b"body"
    for context, forged in [(b"record:2", sealed), (b"record:1b", sealed[:MAC_BYTES] + b"ody"), (b"record:1", b"")]:
        with pytest.raises(RecordForged):
            sealer.open(context, forged)
    for place in range(len(sealed)):
        flipped = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(RecordForged):
            sealer.open(b"record:1", flipped)
    with pytest.raises(RecordForged):
        Sealer(KEY[::-1]).open(b"record:1", sealed)


def test_the_key_file_is_made_once_private_and_read_again(tmp_path: Path) -> None:
    """First start makes it (0600, folder included); the next reads the same key; the fingerprint tells keys apart."""
    path = tmp_path / "data" / "seal.key"
    first = Sealer.from_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["seal.key"]
    assert Sealer.from_file(path).fingerprint == first.fingerprint
    assert Sealer.from_file(tmp_path / "other.key").fingerprint != first.fingerprint
    assert first.fingerprint not in path.read_text()


def test_starts_at_the_same_moment_agree_on_one_key(tmp_path: Path) -> None:
    """Of many that find no key, one makes it and all use it."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Sealer.from_file(tmp_path / "seal.key").fingerprint, range(16)))
    assert len(set(made)) == 1


def test_an_unfit_key_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Readable by others, no key at all, or too short: each says so."""
    path = tmp_path / "seal.key"
    Sealer.from_file(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        Sealer.from_file(path)
    path.chmod(0o600)
    for text, words in [("hello", "not a sealing key"), ("é" * 8, "not a sealing key"), ("00" * 8, "at least 32")]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=words):
            Sealer.from_file(path)
