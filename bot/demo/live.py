"""`andon demo`: a real bot, a simulated trading-core, and keys to break things, live in the terminal.

Called by `bot.cli`. With a terminal it draws `bot.demo.view` several times a second; without one it plays a single
fault and prints plain lines (`bot.demo.plain`). `--fault` names the fault in either case. `--tour` hands over to
`bot.demo.tour`. However it ends, its children are ended by pid, its folder is removed, and it says what is next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live

from bot.demo import faults
from bot.demo.faults import Fault
from bot.demo.plain import play_plainly
from bot.demo.show import Show
from bot.demo.stage import DemoError, Stage, open_stage
from bot.demo.tour import tour as play_tour
from bot.demo.view import render
from bot.sandbox.children import Unmet

FRAME_SECONDS = 0.2

NEXT = """\
What to open and edit next
  configs/policies/trading-core.yaml  the policy that acted; change its 1.8, then run: andon check configs
  configs/targets.yaml                what Andon may read and touch: put your addresses here
  deploy/prometheus, deploy/alertmanager
                                      the rules and the route for your own Prometheus and Alertmanager
  docs/quickstart.md                  from here to your floor; `andon serve` is the bot itself
"""


def run(*, tour: bool = False, as_json: bool = False, fault: str = "") -> int:
    """Run the demo to its end; returns the exit code. Ctrl-C is an ordinary way to end the live one.

    `fault` breaks that at once; "" breaks nothing live, and VaR where there is no terminal. Raises InputError.
    """
    chosen = faults.fault(fault) if fault else None
    try:
        return asyncio.run(_run(tour, as_json, chosen))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130 if tour else _farewell(0)


async def _run(tour: bool, as_json: bool, chosen: Fault | None) -> int:
    """The tour or the show; a SIGTERM, or a terminal that goes away, ends either as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await (play_tour(as_json) if tour else _show(chosen))


async def _show(chosen: Fault | None) -> int:
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    sys.stderr.write("starting Valkeys, Sentinels, a simulated trading-core, a local Slack and Andon …\n")
    try:
        async with open_stage() as stage:
            await (_live(stage, chosen) if interactive else play_plainly(stage, chosen or faults.fault("var")))
    except (DemoError, Unmet) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return _farewell(0)


def _farewell(code: int) -> int:
    sys.stdout.write(NEXT)
    return code


class _Quit(Exception):
    """Somebody pressed q."""


async def _live(stage: Stage, chosen: Fault | None) -> None:
    """Draw and listen until q or Ctrl-C."""
    show = Show(stage)
    if chosen is not None:
        await show.inject(chosen)
    quit_ = asyncio.Event()

    def pressed(key: str) -> None:
        if key in ("q", "Q", "\x04"):
            quit_.set()
        show.press(key.lower())

    async def until_quit() -> None:
        await quit_.wait()
        raise _Quit

    async def draw(live: Live) -> None:
        while True:
            live.update(render(show.scene()), refresh=True)
            await asyncio.sleep(FRAME_SECONDS)

    console = Console()
    with _keys(pressed), Live(console=console, screen=True) as live:
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (show.watch_system(), show.watch_bot(), show.fulfil(), draw(live), until_quit()):
                    tasks.create_task(work)
        except* _Quit:
            pass
    console.print(render(show.scene()))


@contextlib.contextmanager
def _keys(pressed: Callable[[str], None]) -> Iterator[None]:
    """Single keys from the terminal to `pressed`, without echo; the terminal is put back as it was."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def read() -> None:
        for key in os.read(descriptor, 64).decode(errors="ignore") or "q":  # end of input: the terminal is gone
            pressed(key)

    tty.setcbreak(descriptor)  # Ctrl-C still interrupts
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
