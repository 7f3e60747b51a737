"""`andon demo`: a real bot, a simulated trading-core, and keys to break things, live in the terminal.

Called by `bot.cli`. With a terminal it draws `bot.demo.view` several times a second; without one it plays a single
breach and prints plain lines. `--tour` hands over to `bot.demo.tour`. However it ends, its children are ended by pid,
its folder is removed, and it says what to look at next.
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

from bot.demo.show import Show
from bot.demo.stage import DemoError, Stage, open_stage
from bot.demo.tour import tour as play_tour
from bot.demo.view import plain, render
from bot.sandbox.children import Unmet

FRAME_SECONDS = 0.2
PLAIN_SECONDS = 40.0  # the plain log's one breach takes about twelve

NEXT = """\
What to open and edit next
  configs/policies/trading-core.yaml  the policy that acted; change its 1.8, then run: andon check configs
  configs/targets.yaml                what Andon may read and touch: put your addresses here
  deploy/prometheus, deploy/alertmanager
                                      the rules and the route for your own Prometheus and Alertmanager
  docs/quickstart.md                  from here to your floor; `andon serve` is the bot itself
"""


def run(*, tour: bool = False, as_json: bool = False) -> int:
    """Run the demo to its end; returns the exit code. Ctrl-C is an ordinary way to end the live one."""
    try:
        return asyncio.run(_run(tour, as_json))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130 if tour else _farewell(0)


async def _run(tour: bool, as_json: bool) -> int:
    """The tour or the show; a SIGTERM, or a terminal that goes away, ends either as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await (play_tour(as_json) if tour else _show())


async def _show() -> int:
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    sys.stderr.write("starting a Valkey, a simulated trading-core and Andon …\n")
    try:
        async with open_stage() as stage:
            await (_live(stage) if interactive else _plain(stage))
    except (DemoError, Unmet) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return _farewell(0)


def _farewell(code: int) -> int:
    sys.stdout.write(NEXT)
    return code


class _Quit(Exception):
    """Somebody pressed q."""


async def _live(stage: Stage) -> None:
    """Draw and listen until q or Ctrl-C."""
    show = Show(stage)
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


async def _plain(stage: Stage) -> None:
    """No terminal: one breach from fault to closed, a line a moment."""
    say = _Lines(stage)
    say.line(
        f"clock ×{stage.scale:g}: times below are the demo's; no Alertmanager runs, the sandbox posts alerts itself"
    )
    await stage.inject("BTC-USD", 2.4)
    say.line("VaR of BTC-USD jumps to 2.4 %, over the 1.8 % threshold")
    async with asyncio.timeout(PLAIN_SECONDS):
        while True:
            for card in (await stage.cards())[:1]:
                for moment in card.timeline[say.shown :]:
                    say.line(plain(moment, say.began))
                say.shown = len(card.timeline)
                if card.status == "closed":
                    status = await stage.sandbox("GET", "/api/risk/status")
                    effects = await stage.effects()
                    say.line(f"Kelly 0.25 → {status['kelly_fraction']:g}, {len(effects)} effect in the target's ledger")
                    return
            await asyncio.sleep(FRAME_SECONDS)


class _Lines:
    """Standard output, line by line, and how much of the timeline was printed."""

    def __init__(self, stage: Stage) -> None:
        self.began = stage.clock.now()
        self.shown = 0

    def line(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
