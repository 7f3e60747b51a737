"""The entry point of the command `andon` (and of ``python -m bot``): quiet from the first moment on.

Importing the CLI takes some tenths of a second. Ctrl-C in that time ends the process by the signal, as it would end any
other program, instead of showing where the imports stood; from then on `bot.cli` decides.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Import the CLI and run it."""
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # ignored, as by nohup, stays ignored
    if handled:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bot.cli import main as run

    if handled:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
