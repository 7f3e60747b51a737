"""One worker: `bot.app`'s composition with the test's actions, noted ports, and pages that go to the targets' process.

Forked by `tests.crash.nursery`, or `python -m tests.crash.worker NOTES PAGER [POINT]`; configured as `andon serve` is,
by its environment. Prints its webhook address as its first line. It ends by SIGKILL, or in order by SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from bot import configuration, log, settings
from bot.adapters.codec import warm_up
from bot.adapters.config_files import find_config
from bot.adapters.http_app import Addresses, Listen, build, serve
from bot.adapters.second_route import WebhookPager
from bot.adapters.terminal import TerminalChat
from bot.app import make_clock, make_folder, open_archive
from bot.engine.judge import Hands
from bot.house import House
from bot.own_store import open_store
from bot.places import api_socket, data_dir
from tests.crash.actions import catalogue
from tests.crash.notes import Notes
from tests.crash.ports import NotedJournal, NotedStore, NotedTargets, NotedToolbox

REPLICA = "crash"  # unless ANDON_REPLICA names another; the same in every life, as a host's name is


class NotedHouse(House):
    """The house with noted hands."""

    def __init__(self, notes: Notes, **parts: Any) -> None:
        self._notes = notes
        super().__init__(**parts)

    def _hands(self, *parts: Any) -> Hands:
        hands, notes = super()._hands(*parts), self._notes
        return replace(
            hands,
            toolbox=NotedToolbox(hands.toolbox, notes),
            targets=NotedTargets(hands.targets, notes),
            journal=NotedJournal(hands.journal, notes),
        )


async def run(notes: Notes, pager_url: str) -> None:
    """Serve until SIGTERM."""
    environment = settings.read()
    log.configure("json", environment.log_level.upper())
    clock = make_clock(environment)
    floor = configuration.read(find_config(environment), clock.now(), catalogue())
    setup = floor.loaded.andon
    folder = data_dir(environment, setup)
    make_folder(folder)
    warm_up()
    replica = environment.replica or REPLICA
    async with open_store(environment, floor, folder, replica) as own, AsyncExitStack() as stack:
        store, server = own.store, own.server
        pager = WebhookPager(pager_url)
        stack.push_async_callback(pager.close)
        house = NotedHouse(
            notes, floor=floor, store=NotedStore(store, notes), clock=clock, folder=folder, replica=replica,
            chat=TerminalChat(), pager=pager,
            archive=open_archive(setup, folder), replicated=lambda: store.standing,
            left_to_newer=lambda: store.left_to_newer, slack=None,
        )  # fmt: skip
        stack.push_async_callback(house.close)
        await house.begin()
        ending = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
        listen = Listen(port=0, api_socket=api_socket(environment, setup))
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(server.run()) if server is not None else None
            running = tasks.create_task(house.runtime.run())
            await serve(build(house, house.alarms), listen, ending, _told)
            house.runtime.stop()
            await running
            await house.last_words()
            if keeping is not None:
                keeping.cancel()


def _told(addresses: Addresses) -> None:
    print(addresses.webhooks, flush=True)


def main(arguments: list[str]) -> None:
    path, pager_url, *point = arguments
    uvloop.run(run(Notes(Path(path), *point), pager_url))


if __name__ == "__main__":
    main(sys.argv[1:])
