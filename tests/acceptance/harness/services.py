"""The real programs of the floor, each as one function that starts it and waits until it answers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bot.sandbox.children import Child, until
from bot.sandbox.ports import free_port
from tests.acceptance.harness.binaries import binary

START_WITHIN = 20.0  # seconds; two cores are shared with everything else the suite runs


@dataclass(frozen=True, slots=True)
class Service:
    """A running program and its `host:port`."""

    child: Child
    address: str


def require(alertmanagers: int) -> None:
    """Skip (in CI: fail) before anything is started when a program is missing."""
    binary("prometheus")
    if alertmanagers:
        binary("alertmanager")


async def answers(session: aiohttp.ClientSession, child: Child, url: str) -> None:
    """Wait until `url` answers 200; its log is in the error when it does not."""

    async def look() -> bool:
        assert child.running, child.tail()
        async with session.get(url) as response:
            return response.status == 200

    await until(f"{child.name} answers at {url}", look, within=START_WITHIN)


async def prometheus(
    floor: AsyncExitStack, session: aiohttp.ClientSession, config: Path, folder: Path, *flags: str
) -> Service:
    """A Prometheus on a free port, ended with `floor`."""
    address = f"127.0.0.1:{free_port()}"
    child = await Child.start(
        "prometheus",
        [
            binary("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={address}",
            "--log.level=warn",
            *flags,
        ],
        folder / "prometheus.log",
    )
    floor.push_async_callback(child.end)
    await answers(session, child, f"http://{address}/-/ready")
    return Service(child, address)


async def alertmanager(
    floor: AsyncExitStack, session: aiohttp.ClientSession, config: Path, folder: Path, name: str, address: str = ""
) -> Service:
    """An Alertmanager on a free port (or at `address`), knowing no other one, ended with `floor`."""
    address = address or f"127.0.0.1:{free_port()}"
    child = await Child.start(
        name,
        [
            binary("alertmanager"),
            f"--config.file={config}",
            f"--storage.path={folder / name}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
            "--log.level=debug",
        ],
        folder / f"{name}.log",
    )
    floor.push_async_callback(child.end)
    await answers(session, child, f"http://{address}/-/ready")
    return Service(child, address)
