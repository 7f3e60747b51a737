"""Where workers are born: everything is imported once, and each worker is forked from here, a process of its own.

Started by `tests.crash.lives`; saves every worker the second and a half that importing takes. One JSON line in, with a
worker's arguments, environment and files; its process id, a line, out. Ends with its stdin.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from typing import Any

from bot.adapters.codec import warm_up
from tests.crash import worker


def bear(asked: dict[str, Any]) -> int:
    """Fork one worker; its process id. In the worker this does not return."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run's own process ends it in order
        for number, path in ((1, asked["out"]), (2, asked["log"])):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(opened, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(asked["environment"])
        worker.main(asked["arguments"])
        code = 0
    except BaseException:  # noqa: BLE001  # the end of this process: told in its log, and nothing of ours runs after it
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Bear workers until stdin ends; those that have died are reaped at the next birth, those left are asked to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm_up()
    gc.collect()
    gc.freeze()  # what all have in common is never looked through again
    alive: set[int] = set()
    for line in sys.stdin:
        born = bear(json.loads(line))
        print(born, flush=True)
        alive.add(born)
        alive -= {pid for pid in alive if os.waitpid(pid, os.WNOHANG)[0]}
    for pid in alive:
        os.kill(pid, signal.SIGTERM)  # not reaped yet, so the number is still its own
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
