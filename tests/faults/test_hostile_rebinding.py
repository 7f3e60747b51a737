"""DNS rebinding with the system's own resolver: a name server of ours in a network of its own, which changes its mind.

In there 169.254.169.254 is an address of this machine, and a web server listens at it as a cloud's metadata service
does: so a request sent there would arrive. Needs root, for a network and a resolv.conf that are nobody else's.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

INSIDE = r'''
import asyncio, socket, struct, subprocess, sys, tempfile
from aiohttp import web
from bot.adapters.connectors_breaker import Breaker
from bot.adapters.http_target import HttpConnector
from bot.adapters.second_route import WebhookPager
from bot.core.effects import PageOncall
from bot.errors import DeliveryError, NotSent

METADATA, LOOPBACK = "169.254.169.254", "127.0.0.1"
answers, asked, heard = [], [], []


class Names(asyncio.DatagramProtocol):
    """Answers every question for an A record with the next of `answers`, and has no other records."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        end = data.index(b"\0", 12) + 5
        kind = struct.unpack(">H", data[end - 4 : end - 2])[0]
        found = b""
        if kind == 1:
            asked.append(data[12:end])
            address = answers.pop(0) if len(answers) > 1 else answers[0]
            found = b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 0, 4) + socket.inet_aton(address)
        head = data[:2] + b"\x84\x00\0\1" + struct.pack(">H", bool(found)) + bytes(4)
        self.transport.sendto(head + data[12:end] + found, peer)


async def hear(request):
    heard.append(request.transport.get_extra_info("sockname")[0])
    return web.json_response({})


async def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", METADATA + "/32", "dev", "lo"], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        file.flush()
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
        await asyncio.get_running_loop().create_datagram_endpoint(Names, local_addr=(LOOPBACK, 53))
        runner = web.ServerRunner(web.Server(hear))
        await runner.setup()
        for host in (METADATA, LOOPBACK):
            await web.TCPSite(runner, host, 80).start()
        await requests()
        await runner.cleanup()


def target(name, **more):
    return HttpConnector(name, "http://api.rebind.example", allow=["POST /a", "GET /a"], breaker=Breaker(name), **more)


async def requests():
    answers[:] = [LOOPBACK, METADATA]
    first = target("risk", allow_private=True)
    await first.send("POST", "/a", "{}", idempotency_key="k", fence=1)  # the name is answered well, and is believed
    await first.close()
    assert heard == [LOOPBACK], heard
    again = target("risk", allow_private=True)  # a moment later it leads elsewhere
    try:
        await again.send("POST", "/a", "{}", idempotency_key="k", fence=1)
    except NotSent as refused:
        assert "leads to 169.254.169.254" in str(refused), refused
    else:
        raise AssertionError("it was sent")
    await again.close()
    answers[:] = [LOOPBACK]
    public = target("risk")
    try:
        await public.read("/a")
    except NotSent as refused:
        assert "allow_private: true" in str(refused), refused
    else:
        raise AssertionError("a public name led inside")
    await public.close()
    answers[:] = [METADATA]
    pager = WebhookPager("http://hooks.rebind.example/x", allow_private=True)
    try:
        await pager.page(PageOncall(id="e", incident="i", service="s", severity="critical", dedup_key="k", summary="x"))
    except DeliveryError:
        pass
    else:
        raise AssertionError("it was sent")
    await pager.close()
    assert heard == [LOOPBACK], heard
    assert len(asked) >= 4, asked
    print("refused")


asyncio.run(main())
'''


@pytest.mark.timeout(60)
async def test_a_name_server_that_changes_its_mind_reaches_no_metadata_service(tmp_path: Path) -> None:
    """Well at first, link-local a moment later, loopback for a public name: nothing arrives where it should not."""
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("unshare", "ip", "mount")):
        missing = "needs root, and unshare, ip and mount (Debian: util-linux, iproute2)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    script = tmp_path / "inside.py"
    script.write_text(INSIDE)
    process = await asyncio.create_subprocess_exec(
        "unshare", "--net", "--mount", sys.executable, str(script), stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    output, _ = await process.communicate()
    assert output.decode().strip().endswith("refused"), output.decode()
