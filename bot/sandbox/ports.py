"""TCP ports on loopback for what the demo and the tests start, kept from everybody else until it is started.

Asking the kernel for a port and letting it go again leaves a gap in which another process may get the same one, and
then two floors meet: a bot asks a Valkey whether it is ready. So the socket that was given the port stays open, bound
and deaf, and says SO_REUSEADDR: on Linux a server that says it too (all of ours do) may listen on the port, while
nobody is given it by chance, neither as a server nor as the near end of a connection.
"""

from __future__ import annotations

import socket
import sys
from collections import deque

HOST = "127.0.0.1"
HELD = 512  # ports kept at once; the oldest is let go, which costs no more than asking without keeping

_kept: deque[socket.socket] = deque()


def free_port() -> int:
    """A port nobody has: nobody listens on it, and nobody else is given it while this process lives."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Such ports, all different."""
    keepers = [socket.socket() for _ in range(count)]
    for keeper in keepers:
        keeper.bind((HOST, 0))
    ports = [int(keeper.getsockname()[1]) for keeper in keepers]
    for keeper in keepers:
        if sys.platform == "linux":
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _kept.append(keeper)
        else:  # there a bound socket would keep our own server away as well
            keeper.close()
    while len(_kept) > HELD:
        _kept.popleft().close()
    return ports
