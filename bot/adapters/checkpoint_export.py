"""Where signed checkpoints go off the box: a directory (a mount of another machine), and an HTTP endpoint that appends.

Both implement `bot.engine.checkpoints.Destination`. What has been sent is never sent differently, and never taken back;
a destination that lost what it had is told to people, not filled up again as if nothing had been.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Final

import aiohttp
from pydantic import SecretStr

from bot.adapters.checkpoint_files import SUFFIX, lines_of
from bot.adapters.outgoing import session
from bot.adapters.signing import key_id
from bot.errors import DeliveryError
from policies.destinations import Destination

DIRECTORY: Final = "directory"
ENDPOINT: Final = "url"
CONNECT_SECONDS: Final = 2.0
SECONDS: Final = 5.0  # one line posted, or all lines on a mount; a mount that hangs holds up checkpoints only


class DirectoryExport:
    """Appends to ``<root>/<key>.jsonl``, each time synced. `root` must be there: a missing mount is not made up."""

    name = DIRECTORY

    def __init__(self, root: Path) -> None:
        self._root = root
        self._busy: asyncio.Future[None] | None = None
        self._left: dict[Path, tuple[int, int]] = {}  # size and lines of a file as the last write left it

    async def put(self, key: str, first: int, lines: Sequence[bytes]) -> None:
        """Add lines, the first of which is checkpoint `first`; those that are there already are passed over."""
        if self._busy is not None and not self._busy.done():
            raise DeliveryError(f"{self._root} still holds the last write up")
        self._busy = _apart(partial(self._put, self._root / f"{key_id(key)}{SUFFIX}", first, lines))
        self._busy.add_done_callback(_heard)
        try:
            async with asyncio.timeout(SECONDS):
                await asyncio.shield(self._busy)
        except TimeoutError as error:
            raise DeliveryError(f"{self._root} did not take them within {SECONDS:g} s") from error
        except OSError as error:
            raise DeliveryError(f"{self._root} cannot be written: {error.strerror or error}") from error

    def _put(self, path: Path, first: int, lines: Sequence[bytes]) -> None:
        if not self._root.is_dir():
            raise DeliveryError(f"{self._root} is not there; mount it, or make it")
        size = path.stat().st_size if path.exists() else 0
        if self._left.get(path) != (size, first - 1):
            lines, size = self._compared(path, first, lines)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o640)
        try:
            os.ftruncate(descriptor, size)  # a line that was torn
            os.lseek(descriptor, size, os.SEEK_SET)
            whole = b"".join(line + b"\n" for line in lines)
            rest = memoryview(whole)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._left[path] = (size + len(whole), first - 1 + len(lines))

    def _compared(self, path: Path, first: int, lines: Sequence[bytes]) -> tuple[Sequence[bytes], int]:
        """(what is not there yet, the size of what is). DeliveryError when it is not what was sent."""
        count = size = 0
        for count, line in enumerate(lines_of(path) if path.exists() else (), start=1):
            size += len(line) + 1
            if 0 <= count - first < len(lines) and line != lines[count - first]:
                raise DeliveryError(f"{path} holds another checkpoint {count} than this machine: one was changed")
        if count < first - 1:
            raise DeliveryError(
                f"{path} has {count} checkpoints, but {first - 1} were sent: it was cut short or replaced; look who "
                "did that, and put it back from the data directory"
            )
        return lines[count - first + 1 :], size


def _apart(write: Callable[[], None]) -> asyncio.Future[None]:
    """Do it in a thread that nobody waits for: a mount that hangs holds up neither the journal's disk nor the end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if not done.done():
            done.set_exception(error) if error is not None else done.set_result(None)

    def run() -> None:
        error: Exception | None = None
        try:
            write()
        except Exception as raised:  # noqa: BLE001  # raised again where it is awaited
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, error)

    Thread(target=run, name="checkpoint-export", daemon=True).start()
    return done


class EndpointExport:
    """Posts each line as JSON, with ``Idempotency-Key: <key>/<number>``; 2xx is taken. It may come again."""

    name = ENDPOINT

    def __init__(self, url: str, credentials: SecretStr | None = None, *, allow_private: bool = False) -> None:
        self._url = url
        self._to = Destination.of(url, allow_private=allow_private)
        self._headers = {"Authorization": f"Bearer {credentials.get_secret_value()}"} if credentials else {}

    async def put(self, key: str, first: int, lines: Sequence[bytes]) -> None:
        """Post them one after the other. DeliveryError at the first that is not taken."""
        async with session(
            self._to, total_seconds=SECONDS, connect_seconds=CONNECT_SECONDS, limit=1, headers=self._headers
        ) as opened:
            for number, line in enumerate(lines, start=first):
                await self._post(opened, line, {"Idempotency-Key": f"{key_id(key)}/{number}"})

    async def _post(self, opened: aiohttp.ClientSession, line: bytes, headers: dict[str, str]) -> None:
        headers |= {"Content-Type": "application/json"}
        try:
            async with opened.post(self._url, data=line, headers=headers, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    raise DeliveryError(f"it answered HTTP {response.status}")
        except TimeoutError as error:
            raise DeliveryError(f"no answer within {SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # its text may quote the address, never a secret
            raise DeliveryError(f"it cannot be reached ({type(error).__name__})") from error


def _heard(written: asyncio.Future[None]) -> None:
    """Whoever waited is gone, if it took too long; what came of it shows at the next write."""
    if not written.cancelled():
        written.exception()
