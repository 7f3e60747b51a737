"""How an order is taken: who gave it, under which id, with which body, and how the machine's decision is told.

Shared by `http_commands` (automation, alerts by hand) and `http_decisions` (what people decide on incidents). Every
command carries the person who gave it and an id that repeats: `Idempotency-Key` makes the event's id, so a repeated
request is harmless.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.adapters import http_body
from bot.adapters.desk import MAX_WORDS, Order, Outcome, must_act
from bot.adapters.http_auth import identify
from bot.adapters.http_errors import as_json, problem
from bot.adapters.http_services import Services
from bot.core.record import Applied, Denied, Ignored
from bot.errors import InputError
from policies.durations import spell

_KEY: Final = re.compile(r"[A-Za-z0-9_.:-]{8,80}")
Words = Annotated[str, Field(max_length=MAX_WORDS)]
Name = Annotated[str, Field(max_length=100)]

Command: TypeAlias = Callable[[web.Request, Order], Awaitable[web.Response]]


class Body(BaseModel):
    """What every order's body is: strict, and without fields that nobody knows."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


B = TypeVar("B", bound=Body)


def mount(app: web.Application, services: Services, routes: Mapping[str, Command]) -> None:
    """Add the orders to an application, each behind the question who gives it."""
    for path, command in routes.items():
        app.router.add_post(path, _by_a_person(services, command))


def _by_a_person(services: Services, command: Command) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        person = identify(request, services).must_be_known()
        must_act(services, person)
        key = request.headers.get("Idempotency-Key") or secrets.token_hex(8)
        if not _KEY.fullmatch(key):
            raise InputError("Idempotency-Key", "is 8 to 80 letters, digits or any of _ . : -")
        # The person is part of the id, so nobody's key can stand in for somebody else's order.
        return await command(request, Order(person=person, id=f"op/{person}/{key}"))

    return answer


async def read(request: web.Request, model: type[B]) -> B:
    """The request's body. An empty one stands for `{}`. Raises InputError naming the field."""
    raw = await http_body.ordered(request)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = ".".join(str(part)[:100] for part in first["loc"])
        limit = error.errors()[0].get("ctx", {}).get("le")
        told = f"is at most {spell(limit)}" if path.endswith("_ms") and isinstance(limit, int) else first["msg"]
        raise InputError(path or "body", told) from None


def answer(outcomes: list[Outcome], *, fix: str = "", **more: Any) -> web.Response:
    """What was decided, everywhere it was asked, and `more`. 409 with `fix` when nothing but refusals came back."""
    lines = []
    for shard, to, decision in outcomes:
        match decision:
            case Applied(why=why):
                word = "applied"
            case Ignored(reason=why):
                word = "ignored"
            case Denied(reason=why):
                word = "denied"
        lines.append({"system": shard, "aggregate": to, "decision": word, "why": why})
    if all(line["decision"] == "denied" for line in lines):
        return problem(409, "; ".join(dict.fromkeys(line["why"] for line in lines)), fix=fix)
    return as_json({"decisions": lines, **more})
