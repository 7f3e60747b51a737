"""Small disks that fill up, and a word to a server that must be answered."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from bot.sandbox.topology import Node, ask

_BLOCK: Final = 65_536


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of this size at `folder`. Mounting takes root: skips without it, fails in CI."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = f"size={megabytes}m,mode=700"
    command = ["mount", "-t", "tmpfs", "-o", options, "andon-faults", folder]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        missing = f"a tmpfs cannot be mounted ({mounted.stderr.decode().strip()}); run these tests as root"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(missing)
        pytest.skip(missing)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> None:
    """Nothing fits on it any more."""
    with open(disk / "filler", "ab", buffering=0) as file:
        for size in (_BLOCK, 512, 1):
            with suppress(OSError):
                while file.write(b"x" * size):
                    pass
    assert is_full(disk)


def is_full(disk: Path) -> bool:
    """Whether not even a byte fits."""
    try:
        with open(disk / "probe", "wb", buffering=0) as file:
            file.write(b"x")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return True
    finally:
        (disk / "probe").unlink(missing_ok=True)
    return False


def free(disk: Path) -> None:
    """Somebody has cleared it."""
    (disk / "filler").unlink()


async def tell(node: Node, *command: str) -> Any:
    """One command to a server, that must be answered."""
    told = await ask(node, *command)
    assert told is not None, command
    return told
