"""`http.call`: one request to a component's HTTP API, for what has no action of its own yet.

Run by the engine's step activity, on a component that the policy names. Only requests in the component's `allow:` list
leave (the connector sees to that). Nothing is known about what the request does, hence: delivery `once` (never
repeated; unanswered means a person decides), risk `risky` (one approver), neutral direction, nothing to read back.
"""

from __future__ import annotations

from typing import Annotated, Literal

from remediations.kit import (
    ANY_ROLE,
    ActionContext,
    ActionSpec,
    Entry,
    Field,
    Inspection,
    JsonText,
    JsonValue,
    Params,
    Proceed,
    ReadBack,
    TargetError,
    Unfit,
    canonical,
    parse,
)

SPEC = ActionSpec(
    name="http.call",
    summary="Send one allowlisted request to a component's HTTP API; an answer of 2xx counts as done.",
    delivery="once",
    risk="risky",
    direction="neutral",
    role=ANY_ROLE,
)


class HttpCallParams(Params):
    """Method and path exactly as in the component's `allow:` list, and an optional JSON body."""

    method: Annotated[Literal["POST", "PUT", "PATCH", "DELETE"], Field(description="HTTP method.")] = "POST"
    path: Annotated[str, Field(pattern=r"^/[^\s?#\x00-\x1f\x7f]*$", max_length=500, description="As in `allow:`.")]
    body: Annotated[dict[str, JsonValue] | None, Field(description="JSON object to send; none when absent.")] = None


class HttpCall:
    """The action; it keeps nothing between calls."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """There is no state to read; only whether the component has an HTTP API that allows the request."""
        asked = parse(HttpCallParams, arguments)
        body = "" if asked.body is None else canonical(asked.body)
        try:
            target = context.targets.http(context.system, context.component)
        except TargetError as error:
            return Unfit(str(error))
        if not target.allows(asked.method, asked.path):
            return Unfit(f"{asked.method} {asked.path} is not in the allow list of {context.component}")
        return Proceed(
            before="{}",
            wanted=canonical({"request": f"{asked.method} {asked.path}"}),
            arguments=canonical(asked.model_dump(mode="json")),
            by_hand=target.by_hand(asked.method, asked.path, body),
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """The request. Returning means the target answered 2xx."""
        asked = parse(HttpCallParams, proceed.arguments)
        target = context.targets.http(context.system, context.component)
        body = "" if asked.body is None else canonical(asked.body)
        await target.send(asked.method, asked.path, body, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Nothing can be read back, so nothing is ever proved by this (also not after an unanswered send)."""
        return ReadBack("{}", None, "a plain call has nothing to read back; the target's 2xx is all there is")


def _needs(arguments: JsonText) -> tuple[str, ...]:
    asked = parse(HttpCallParams, arguments)
    return (f"{asked.method} {asked.path}",)


ENTRY = Entry(
    spec=SPEC,
    params=HttpCallParams,
    action=HttpCall,
    example={"method": "POST", "path": "/api/router/pause", "body": {"for": "60s"}},
    refuses={"the component does not allow it": "POST /api/router/pause is not in the allow list of …"},
    needs=_needs,
)
