"""Requests written byte by byte, as no honest client would send them, and what came back.

Used by the tests of hostile input; a client library would tidy up what they want to send.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

LOOK_FOR = (b"Traceback", b'File "', b'.py"', b"Error:", b"site-packages")  # how Python shows its inside
WAIT_SECONDS = 5.0  # far above any answer's time; an attack that gets none shows as status 0


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: the connection was closed, or nothing came, without an answer."""

    status: int
    body: bytes

    @property
    def is_refusal(self) -> bool:
        """A 4xx, or a closed connection."""
        return self.status == 0 or 400 <= self.status < 500

    @property
    def shows_the_inside(self) -> bool:
        """Whether it quotes a traceback or a path of the program."""
        return any(mark in self.body for mark in LOOK_FOR)


def post(path: str | bytes, body: bytes, *, headers: bytes = b"", token: str | bytes = "") -> bytes:
    """A POST with a right Content-Length."""
    return _request(b"POST", path, headers + b"Content-Length: %d\r\n" % len(body), token) + body


def get(path: str | bytes, *, headers: bytes = b"", token: str | bytes = "") -> bytes:
    """A GET."""
    return _request(b"GET", path, headers, token)


def framed(path: str, framing: bytes, rest: bytes, *, token: str = "") -> bytes:
    """A POST whose framing is the caller's own."""
    return _request(b"POST", path, framing, token) + rest


def _request(method: bytes, path: str | bytes, headers: bytes, token: str | bytes) -> bytes:
    where = path.encode() if isinstance(path, str) else path
    secret = token.encode() if isinstance(token, str) else token
    known = b"Authorization: Bearer " + secret + b"\r\n" if secret else b""
    return method + b" " + where + b" HTTP/1.1\r\nHost: andon\r\n" + known + headers + b"\r\n"


async def shoot(port: int, *pieces: bytes, wait: float = WAIT_SECONDS) -> Answer:
    """Send the pieces, each as a packet of its own, then nothing more; read one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(wait):
            return await _answer(reader)
    except (OSError, TimeoutError):
        return Answer(0, b"")
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return Answer(0, error.partial)
    status = int(head.split(b" ", 2)[1])
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    return Answer(status, await reader.readexactly(length))
