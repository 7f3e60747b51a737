"""The composition root: reads the configuration, opens the store, builds the house and runs it between its doors.

The only place, with `bot.house`, that names adapters together with handlers, policies and the action catalogue. Called
by `bot.cli_house`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bot import configuration, extensions
from bot.adapters.archive import FileArchive
from bot.adapters.clock import ScaledClock, SystemClock
from bot.adapters.codec import warm_up
from bot.adapters.config_files import find_config
from bot.adapters.http_app import Addresses, Listen, build
from bot.adapters.http_app import serve as serve_http
from bot.adapters.http_auth import require_authentication
from bot.adapters.seal import Sealer
from bot.adapters.terminal import TerminalChat, TerminalPager
from bot.configuration import Floor, webhook_sources
from bot.engine.ports import Clock
from bot.errors import AndonError, ConfigError
from bot.house import House
from bot.own_store import OwnStore, open_store
from bot.places import api_socket, data_dir
from bot.settings import Settings
from policies.andon import AndonDocument, SlackDoc

if TYPE_CHECKING:  # slack-bolt takes half a second to import; without `slack:` in andon.yaml it never is
    from bot.slack_face import SlackFace

log = structlog.get_logger(__name__)


def read_floor(settings: Settings, clock: Clock) -> Floor:
    """Read and check every configuration file. Raises ConfigError with every problem, one line each."""
    return configuration.read(find_config(settings), clock.now(), extensions.installed().catalogue)


def make_clock(settings: Settings) -> Clock:
    """Real time, or the scaled clock that `ANDON_CLOCK` asks for."""
    return ScaledClock(*settings.scaled) if settings.scaled is not None else SystemClock()


async def serve(settings: Settings, opened: Callable[[Addresses], None] = lambda _: None) -> None:
    """Run Andon until SIGTERM or SIGINT. Raises ConfigError, StoreUnsafe or StoreUnavailable when it cannot start."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # until the house can obey; the files are being read anyway
    clock = make_clock(settings)
    floor = read_floor(settings, clock)
    setup = floor.loaded.andon
    require_authentication(setup.listen.host, webhook_sources(setup.listen.auth))
    folder = data_dir(settings, setup)
    make_folder(folder)
    replica = settings.replica or setup.replica or _replica_name(folder)
    warm_up()
    async with open_store(settings, floor, folder, replica) as own, AsyncExitStack() as stack:
        store, server = own.store, own.server
        slack = await open_slack(setup.slack, own, clock, replica, stack)
        house = House(
            floor=floor, store=store, clock=clock, folder=folder, replica=replica,
            chat=slack.chat if slack is not None else TerminalChat(), pager=TerminalPager(),
            archive=open_archive(setup, folder), replicated=lambda: store.standing,
            left_to_newer=lambda: store.left_to_newer, slack=slack,
        )  # fmt: skip
        stack.push_async_callback(house.close)
        await house.begin()
        doors_close = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, doors_close.set)
        loop.add_signal_handler(signal.SIGHUP, house.reloader.ask)
        log.info("starting", replica=replica, config=str(floor.config), data_dir=str(folder))
        try:
            async with asyncio.TaskGroup() as tasks:
                keeping = tasks.create_task(server.run()) if server is not None else None
                running = tasks.create_task(house.runtime.run())
                doors = build(house, house.alarms)
                if slack is not None:
                    slack.mount(doors.webhooks)
                await serve_http(doors, _listen(settings, setup), doors_close, opened)
                house.runtime.stop()
                await running
                await house.last_words()
                if keeping is not None:
                    keeping.cancel()
        except* AndonError as failures:
            raise failures.exceptions[0] from failures
        log.info("stopped", replica=replica)


async def open_slack(
    setup: SlackDoc, own: OwnStore, clock: Clock, replica: str, stack: AsyncExitStack
) -> SlackFace | None:
    """Slack's part of the house; None without `slack:` in andon.yaml. Raises ConfigError for a missing credential."""
    if not setup.mode:
        return None
    from bot.adapters.slack.board.redis_shelf import RedisShelf
    from bot.slack_face import SlackFace

    shelf = RedisShelf(own.link(), own.sealer, clock)
    stack.push_async_callback(shelf.close)
    face = SlackFace(setup, shelf=shelf, clock=clock, replica=replica)
    stack.push_async_callback(face.close)
    return face


def make_folder(folder: Path) -> None:
    """The data directory, made where it is not there yet. Raises ConfigError when nothing can be kept in it."""
    problem = ""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        problem = error.strerror or str(error)
    if not problem and not os.access(folder, os.W_OK | os.X_OK):
        problem = "it cannot be written"
    if problem:
        raise ConfigError(
            f"{folder} cannot be the data directory: {problem}; name one that Andon may write in store.data_dir "
            "(andon.yaml) or ANDON_DATA_DIR"
        )


def open_archive(setup: AndonDocument, folder: Path) -> FileArchive:
    """Where closed incidents go, sealed with the store's own key."""
    named = setup.retention.archive
    root = Path(named).expanduser() if named else folder / "archive"
    return FileArchive(root, Sealer.from_file(folder / "seal.key"))


def _listen(settings: Settings, setup: AndonDocument) -> Listen:
    return Listen(
        host=setup.listen.host,
        port=setup.listen.port,
        api_socket=api_socket(settings, setup),
        api_host=setup.api.host,
        api_port=setup.api.port,
    )


def _replica_name(folder: Path) -> str:
    """The same after every restart on this data directory, and another on any other."""
    return f"{socket.gethostname()}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
