"""`python tether.py PARENT COMMAND…`: becomes COMMAND, which is asked to end as soon as process PARENT has ended.

Put before every command that `bot.sandbox.children` starts, so that a demo or a test killed with -9 leaves no process
behind. Run as a file, without the package, because it must cost nothing: the kernel keeps the promise, not this
process, which is replaced by COMMAND under the same process id (prctl(2), PR_SET_PDEATHSIG; kept across execve).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

PR_SET_PDEATHSIG = 1  # https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
ORPHAN = 1  # exit code where the parent was gone before the kernel could be asked


def become(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the command; ends instead where nobody is left to run it for."""
    parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(ORPHAN)
    os.execvp(command[0], command)  # noqa: S606 - the command is our own, word by word; no shell is wanted


if __name__ == "__main__":
    become(sys.argv[1:])
