"""How a body is taken: whole, within a time, at most 1 MiB, and as it was sent — never unpacked on somebody's word.

Called by `http_ingress` (webhooks) and `http_orders` (the operators' API) before anything looks at what was sent. What
can never succeed raises InputError with its 4xx; what may succeed next time raises TimeoutError or ConnectionError, and
each door says what that means to its callers.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from bot.errors import InputError
from handlers.bounds import MAX_BODY, check_json_shape

BODY_SECONDS: Final = 10.0  # a sender that takes longer for 1 MiB is stuck, and holds memory
_TOO_LARGE: Final = f"is larger than {MAX_BODY} bytes"


async def whole(request: web.Request) -> bytes:
    """The whole body. InputError (413 too large, 415 compressed, 400 framed wrongly), TimeoutError, ConnectionError."""
    encoding = request.headers.get("Content-Encoding")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        raise InputError("Content-Encoding", "is not taken: send the body as it is, not compressed", status=415)
    if (request.content_length or 0) > MAX_BODY:
        raise InputError("body", _TOO_LARGE, status=413)
    try:
        if request.content.is_eof():  # small bodies come with their headers; a timer would cost more than the read
            return await request.read()
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise InputError("body", _TOO_LARGE, status=413) from None
    except web.RequestPayloadError as error:  # a chunk that is none; a connection that breaks is a ConnectionError
        raise InputError("body", "is not framed as its headers say") from error


async def ordered(request: web.Request) -> bytes:
    """The body of an order: as `whole`, and no key twice, so that nobody orders what a reader before us did not see.

    An empty one stands for `{}`. Raises InputError only (408 when it does not arrive).
    """
    try:
        raw = await whole(request) or b"{}"
    except TimeoutError:
        raise InputError("body", f"did not arrive within {BODY_SECONDS:g} s", status=408) from None
    except ConnectionError:
        raise InputError("body", "did not arrive: the connection broke") from None
    check_json_shape(raw)
    with suppress(ValueError):  # no JSON: the body's own model says so, and where
        json.loads(raw, object_pairs_hook=_once)
    return raw


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Called for every object of a body. Raises InputError when one has the same key twice."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            shown = key[:100].encode("ascii", "backslashreplace").decode()
            raise InputError(shown or "body", "is there twice; send it once")
        seen.add(key)
