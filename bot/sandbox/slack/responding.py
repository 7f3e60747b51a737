"""The addresses at which an app answers later: `response_url`, five times within half an hour.

Served by `server`. Source: https://docs.slack.dev/interactivity/handling-user-interaction (message responses).
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from bot.sandbox.slack.api_chat import content_of
from bot.sandbox.slack.calls import Args, Refused, read
from bot.sandbox.slack.faults import Faults
from bot.sandbox.slack.state import RESPONSE_MS, RESPONSE_USES, Answering, State
from bot.sandbox.slack.web_api import cut


class Responding:
    """Takes answers."""

    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """One answer: a new message, or the original replaced or deleted."""
        if self._faults.outage:
            return cut(request)
        try:
            self._say(self._open(request.match_info["key"]), await read(request))
        except Refused as refusal:
            return web.json_response({"ok": False, "error": refusal.name, **refusal.extra}, status=404)
        return web.Response(text="ok")

    def _open(self, key: str) -> Answering:
        """One that may still be used, and is now. Raises Refused."""
        answering = self._state.answering.get(key)
        if answering is None or self._state.world.clock() - answering.at > RESPONSE_MS:
            raise Refused("expired_url")
        if answering.uses >= RESPONSE_USES:
            raise Refused("used_url")
        answering.uses += 1
        return answering

    def _say(self, answering: Answering, args: Args) -> None:
        """Raises Refused."""
        world = self._state.world
        original = world.message(answering.channel, answering.message_ts)
        mine = original is not None and original.user == world.app.user
        if args.flag("delete_original"):
            if original is None or not mine:
                raise Refused("message_not_found")
            world.delete(original)
            return
        text, blocks = content_of(self._state, args)
        if not text and not blocks:
            raise Refused("no_text")
        if args.flag("replace_original") and original is not None and mine:
            world.update(original, text, blocks)
            return
        for_all = args.text("response_type") == "in_channel"
        marks: dict[str, Any] = {} if for_all else {"only_for": answering.user}
        world.post(answering.channel, world.app.user, text, blocks, thread_ts=args.text("thread_ts"), **marks)
