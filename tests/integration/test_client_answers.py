"""What the command line makes of an answer that is none of Andon's: a proxy's page, a number, brackets without end."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.client import DeclinedError, Place, connect


@pytest.mark.parametrize("body", [b"<html>", b"{", b"[" * 5_000, b"\xff"])
async def test_an_answer_that_is_no_json_is_shown_and_fails_nothing(body: bytes) -> None:
    """The person sees where it came from and its first letters, not a traceback."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=409, body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/v1/status", answer)
    async with TestServer(app) as server, connect(Place(url=str(server.make_url("/")), token="t")) as api:
        with pytest.raises(DeclinedError, match="HTTP 409, and not from Andon"):
            await api.get("/status")
