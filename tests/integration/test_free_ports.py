"""Ports for the floors of the demo and the tests (`free_port`): kept from everybody, open to our own servers."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from bot.sandbox.ports import HOST, free_port, free_ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a port is kept by what Linux makes of SO_REUSEADDR")


def test_a_port_that_was_given_is_not_given_again() -> None:
    """The kernel is asked more often than it has ports: without the keeper it comes back to ours."""
    ours = set(free_ports(40))
    assert len(ours) == 40
    given: set[int] = set()
    for _ in range(50_000):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            given.add(probe.getsockname()[1])
    assert not ours & given


async def test_our_own_server_may_listen_there_as_often_as_it_likes() -> None:
    """Started, stopped and started again; nobody is served before."""
    port = free_port()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, port)
    for _ in range(3):
        async with await asyncio.start_server(_say_yes, HOST, port):
            reader, writer = await asyncio.open_connection(HOST, port)
            assert await reader.read() == b"yes"
            writer.close()


async def _say_yes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"yes")
    writer.close()
