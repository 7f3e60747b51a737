"""Hot reload: a changed file, SIGHUP or a person asks for it; a set that is wrong changes nothing and says so.

Made by `bot.house`, which runs `watch_files` and `obey` as eternal tasks and gives the two steps of a change: preparing
(which may fail) and adopting (which may not). Files are compared by their texts, so an editor's rename-replace, the
symlink swap of a Kubernetes volume and a plain write are the same thing, and what did not change is not told. A set
is taken, or refused, only when two reads of it a moment apart agree: a file may be in the middle of being written, and
the first half of one may well be a set without problems.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from watchfiles import awatch

from bot.adapters.config_files import watched_folders
from bot.adapters.http_services import Check, Reloaded
from bot.adapters.metrics import Metrics
from bot.configuration import Floor, checked, fingerprint_of, news, read_texts
from bot.core.effects import PostMessage
from bot.core.words import SYSTEM_TARGET
from bot.engine.alarms import Alarms
from bot.engine.ports import Clock, Commit, Store
from bot.errors import ConfigError, StoreError
from policies.andon import UNROUTED
from policies.loader import Source

ALARM: Final = "AndonConfigRefused"
DEBOUNCE_MS: Final = 200  # an editor's several writes are one change
STEP_MS: Final = 50
CHECK_MS: Final = 1_000  # also without a file event: some file systems tell none, and a watch takes a moment to begin
SETTLE_SECONDS: Final = 0.3  # a person, or a signal, says that it is written: only a slow write is waited for
QUIET_SECONDS: Final = 1.0  # nobody says so: an editor, or a tool that writes in pieces, has paused for as long by now
MAX_READS: Final = 20  # of one set; files that change for longer than that are told of
MAX_PROBLEMS: Final = 20  # told of one set; `andon check` tells all

log = structlog.get_logger(__name__)


class Reloader:
    """Keeps the configuration in force the one on disk, as far as that one is valid."""

    def __init__(
        self,
        floor: Floor,
        *,
        store: Store,
        clock: Clock,
        alarms: Alarms,
        metrics: Metrics,
        replica: str,
        prepare: Callable[[Floor], Callable[[], None]],
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        """`prepare` raises ConfigError or returns what adopts the set; `settle` writes to the store what follows."""
        self._started = self._floor = floor
        self._tried = floor.fingerprint  # of the newest set that was looked at
        self._problems: tuple[str, ...] = ()  # why that one is not in force
        self._store, self._clock, self._alarms, self._metrics = store, clock, alarms, metrics
        self._replica = replica
        self._prepare = prepare
        self._settle = settle
        self._unsettled = False
        self._since = clock.now()
        self._turn = asyncio.Lock()
        self._asked = asyncio.Event()
        metrics.configuration(valid=True)

    # --- triggers ---------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Look at the files soon, also when they did not change (SIGHUP): secrets behind them may have."""
        self._asked.set()

    async def now(self) -> Reloaded:
        """Look at the files now, and say what came of it."""
        texts = await self._settled_texts(await self._read(), SETTLE_SECONDS)
        async with self._turn:
            return await self._attempt(texts)

    async def obey(self) -> None:
        """Do what `ask` asks, for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.now()

    async def watch_files(self) -> None:
        """Reload when a file changes, for ever."""
        if not self._problems:  # a predecessor's; this process started on a good set
            await self._alarms.clear(UNROUTED, ALARM, self._labels())
        config = self._floor.config
        while True:
            try:
                folders = await asyncio.to_thread(watched_folders, config, self._floor.loaded.andon)
                await self._until_changed(folders)
            except Exception:  # supervision point: a folder went away, no watch is left, a name that is no text
                log.warning("files_not_watched", looking_every_seconds=CHECK_MS / 1000, exc_info=True)
                await asyncio.sleep(CHECK_MS / 1000)
                await self._look()

    async def _until_changed(self, folders: list[Path]) -> None:
        """Look at every event and now and then; return after an event, as the folder may be another one now."""
        events = awatch(
            *folders, watch_filter=None, debounce=DEBOUNCE_MS, step=STEP_MS, rust_timeout=CHECK_MS,
            yield_on_timeout=True, recursive=False,
        )  # fmt: skip
        async with aclosing(events):
            async for changes in events:
                await self._look()
                if changes:
                    return

    async def _look(self) -> None:
        texts = await self._read()
        if self._name(texts) != self._tried:
            texts = await self._settled_texts(texts, QUIET_SECONDS)  # without the turn: a person need not wait for it
        async with self._turn:
            if self._name(texts) != self._tried:
                await self._attempt(texts)
            elif self._unsettled:
                await self._settled()

    # --- one attempt ------------------------------------------------------------------------------------------------

    async def _read(self) -> list[Source] | ConfigError:
        try:
            return await asyncio.to_thread(read_texts, self._floor.config)
        except ConfigError as error:
            return error
        except Exception as error:
            log.exception("configuration_attempt_failed")
            return _defect("reading", error)

    async def _settled_texts(self, texts: list[Source] | ConfigError, seconds: float) -> list[Source] | ConfigError:
        """What two reads so far apart agree on."""
        for _ in range(MAX_READS):
            await asyncio.sleep(seconds)
            before, texts = texts, await self._read()
            if self._name(texts) == self._name(before):
                return texts
        return ConfigError("the files change all the time, so no set of them can be taken; find what writes them")

    async def _check(self, texts: list[Source] | ConfigError) -> Floor | ConfigError:
        """The set, or what is wrong with it. A supervision point: no text may end the process."""
        if isinstance(texts, ConfigError):
            return texts
        try:
            return await asyncio.to_thread(checked, self._floor.config, texts, self._clock.now(), self._floor.catalogue)
        except ConfigError as error:
            return error
        except Exception as error:
            log.exception("configuration_attempt_failed")
            return _defect("checking", error)

    def _name(self, texts: list[Source] | ConfigError) -> str:
        return str(texts) if isinstance(texts, ConfigError) else fingerprint_of(texts)

    async def _attempt(self, texts: list[Source] | ConfigError) -> Reloaded:
        """Adopt the set on disk, or say why not."""
        found = await self._check(texts)
        self._tried = self._name(texts)
        if isinstance(found, ConfigError):
            return await self._refuse(found)
        try:
            told = news(self._floor, found, self._started)
            adopt = self._prepare(found)
        except ConfigError as error:
            return await self._refuse(error)
        except Exception as error:
            log.exception("configuration_attempt_failed")
            return await self._refuse(_defect("preparing", error))
        adopt()
        self._floor = found
        self._since = self._clock.now()
        recovered, self._problems = bool(self._problems), ()
        self._metrics.configuration(valid=True)
        self._metrics.reloaded("applied" if told.changes else "unchanged")
        await self._settled()
        await self._alarms.clear(UNROUTED, ALARM, self._labels())
        log.info("configuration_reloaded", changes=list(told.changes), needs_restart=list(told.restart))
        parts = list(told.changes) or ["nothing changed"]
        parts += [f"needs a restart: {', '.join(told.restart)}"] if told.restart else []
        summary = f"configuration reloaded: {'; '.join(parts)}"
        if told.changes or recovered:
            await self._post(summary)
        return Reloaded(ok=True, summary=summary, changes=told.changes, restart=told.restart)

    async def _refuse(self, error: ConfigError) -> Reloaded:
        """Keep what is in force, and say so everywhere."""
        lines = str(error).encode(errors="replace").decode().splitlines()  # a file's name may be no text
        problems = tuple(lines[:MAX_PROBLEMS])
        more = f" (and {len(lines) - 1} more; `andon check` lists them)" if len(lines) > 1 else ""
        summary = f"the new configuration is refused, the one before stays in force: {problems[0]}{more}"
        log.error("configuration_refused", problems=list(problems), in_all=len(lines))
        repeated, self._problems = problems == self._problems, problems
        self._metrics.configuration(valid=False)
        self._metrics.reloaded("refused")
        await self._alarms.raise_(UNROUTED, ALARM, summary, labels=self._labels())
        if not repeated:
            await self._post(summary)
        return Reloaded(ok=False, summary=summary, problems=problems)

    async def _settled(self) -> None:
        self._unsettled = True
        try:
            await self._settle()
            self._unsettled = False
        except StoreError as error:  # tried again at the next look
            log.warning("armed_not_stored", error=str(error))

    async def _post(self, text: str) -> None:
        """Tell it in chat; the replica's name tells apart who says so."""
        post = PostMessage(
            id=f"reload/{self._replica}/{self._clock.now()}", incident=SYSTEM_TARGET, channel="", topic="automation",
            text=f"{self._replica}: {text}",
        )  # fmt: skip
        try:
            await self._store.commit(UNROUTED, Commit(effects=(post,)))
        except StoreError as error:
            log.warning("reload_not_told", error=str(error))

    def _labels(self) -> tuple[tuple[str, str], ...]:
        return (("replica", self._replica),)

    def check(self) -> Check:
        """The line on `/readyz`: Andon works on with the last good set, so it stays ready."""
        since = datetime.fromtimestamp(self._since / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if not self._problems:
            return Check("configuration", True, f"in force since {since}")
        return Check("configuration", True, f"REFUSED, that of {since} stays in force: {self._problems[0]}")


def _defect(doing: str, error: Exception) -> ConfigError:
    """A refusal for what nobody thought of: no content of a file may end the process."""
    return ConfigError(f"{doing} the files failed inside Andon ({type(error).__name__}); see its log")
