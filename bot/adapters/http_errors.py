"""How the doors say no: JSON `{error, field?, fix?}` with the status that fits, and never a traceback.

`answer_errors` is the middleware of both applications; handlers simply raise what `bot.errors` names.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from aiohttp import web

from bot.errors import AndonError, InputError, RecordForged, Refused, StoreError

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS: Final = 1  # a store that restarts is back within a few of these; Alertmanager has its own pace


class Unwelcome(Refused):
    """The caller is not known, or not known well enough. `fix` says what to add where."""

    def __init__(self, message: str, *, fix: str, status: int = 403, scheme: str = "") -> None:
        super().__init__(message)
        self.fix = fix
        self.status = status
        self.scheme = scheme


def as_json(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=json.dumps(body, ensure_ascii=False).encode(),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def problem(
    status: int, error: str, *, field: str = "", fix: str = "", headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error as every door tells it."""
    body = {"error": error}
    if field:
        body["field"] = field
    if fix:
        body["fix"] = fix
    return as_json(body, status=status, headers=headers)


def unavailable(error: str) -> web.Response:
    """Nothing was stored; the same request may be sent again."""
    return problem(503, error, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def describe(error: AndonError) -> web.Response:
    """The answer an error of ours stands for."""
    match error:
        case InputError():
            return problem(error.status, error.message, field=error.field)
        case Unwelcome():
            headers = {"WWW-Authenticate": error.scheme} if error.scheme else None
            return problem(error.status, str(error), fix=error.fix, headers=headers)
        case Refused():
            return problem(403, str(error))
        case RecordForged():
            return problem(500, str(error), fix="run `andon audit verify`: a stored record was changed by someone else")
        case StoreError():
            return unavailable(str(error))
        case _:
            return problem(500, str(error))


@web.middleware
async def answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn what a handler raises into an answer. A supervision point: the unforeseen is logged with its traceback."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return problem(413, "the body is larger than 1 MiB", field="body")
    except web.HTTPMethodNotAllowed as error:
        return problem(405, f"{request.method} is not possible here", headers={"Allow": error.headers["Allow"]})
    except web.HTTPException as error:
        return problem(
            error.status, f"there is nothing at {request.path[:200]}" if error.status == 404 else error.reason
        )
    except AndonError as error:
        return describe(error)
    except Exception:
        log.exception("request_failed", path=request.path[:200], method=request.method)
        return problem(500, "something unforeseen went wrong; the log of this replica has the details")
