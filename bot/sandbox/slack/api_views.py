"""The `views.*` methods: modals over each other, and the Home tab.

Called by `web_api`, and by `acts` for what an app answers to a submission. Errors:
https://docs.slack.dev/reference/methods/views.open and its neighbours.
"""

from __future__ import annotations

import secrets
from typing import Any

from bot.sandbox.slack.api_chat import pictures
from bot.sandbox.slack.calls import Args, Refused, invalid
from bot.sandbox.slack.entries import initial
from bot.sandbox.slack.limits import problems
from bot.sandbox.slack.state import MAX_STACK, State, View


def body_of(state: State, view: Any, kind: str = "modal") -> dict[str, Any]:
    """A view within all limits, its blocks named. Raises Refused."""
    if not isinstance(view, dict):
        raise Refused("invalid_arguments", response_metadata={"messages": ["[ERROR] must provide an object: view"]})
    found = problems(view)
    if view.get("type") != kind:
        found.append(f"must be one of the following values: {kind} [json-pointer:/view/type]")
    if any("bytes" in each for each in found):
        raise Refused("view_too_large")
    if found:
        raise invalid(found, "invalid_arguments")
    pictures(state, view["blocks"])
    return {**view, "blocks": list(state.world.named_blocks(view["blocks"]))}


def open_view(state: State, args: Args) -> dict[str, Any]:
    """`views.open`: the first modal."""
    body = body_of(state, args.decoded("view", "invalid_arguments"))
    user = state.triggers.use(args.need("trigger_id", "invalid_arguments"))
    state.stacks[user] = []
    return {"view": payload(state, stacked(state, user, body))}


def push(state: State, args: Args) -> dict[str, Any]:
    """`views.push`: one over those that are open."""
    body = body_of(state, args.decoded("view", "invalid_arguments"))
    user = state.triggers.use(args.need("trigger_id", "invalid_arguments"))
    if len(state.stacks.get(user, [])) >= MAX_STACK:
        raise Refused("push_limit_reached")
    return {"view": payload(state, stacked(state, user, body))}


def update(state: State, args: Args) -> dict[str, Any]:
    """`views.update`, by `view_id` or `external_id`; with `hash` only if nobody changed it since."""
    wanted, external = args.text("view_id"), args.text("external_id")
    named = [each for each in state.views() if external and each.body.get("external_id") == external]
    view = state.view(wanted) or (named[0] if named else None)
    if view is None:
        raise Refused("not_found")
    body = body_of(state, args.decoded("view", "invalid_arguments"), view.body["type"])
    _same(args, view)
    replace(state, view, body)
    return {"view": payload(state, view)}


def publish(state: State, args: Args) -> dict[str, Any]:
    """`views.publish`: a user's Home tab."""
    user = args.need("user_id", "invalid_arguments")
    if user not in state.world.users:
        raise Refused("user_not_found")
    body = body_of(state, args.decoded("view", "invalid_arguments"), "home")
    view = state.homes.get(user)
    if view is None:
        view = state.homes[user] = _new(state, user, body)
    else:
        _same(args, view)
        replace(state, view, body)
    state.world.note("home", user=user)
    return {"view": payload(state, view)}


def stacked(state: State, user: str, body: dict[str, Any]) -> View:
    """A new modal on top of a user's."""
    stack = state.stacks.setdefault(user, [])
    view = _new(state, user, body)
    view.root = stack[0].id if stack else view.id
    view.previous = stack[-1].id if stack else ""
    stack.append(view)
    state.world.note("view", user=user)
    return view


def replace(state: State, view: View, body: dict[str, Any]) -> None:
    """Show something else in an open view; what was entered stays where block and action are the same."""
    view.body = body
    view.versions.append(body)
    view.hash = _hash(state)
    fresh = initial(body["blocks"])
    view.values = {
        block: {action: view.values.get(block, {}).get(action, value) for action, value in actions.items()}
        for block, actions in fresh.items()
    }
    state.world.note("view", user=view.user)


def payload(state: State, view: View) -> dict[str, Any]:
    """A view as Slack's API and payloads show it."""
    body, app = view.body, state.world.app
    extra = {"title", "submit", "close", "clear_on_close", "notify_on_close"} if body["type"] == "modal" else set()
    return {
        "id": view.id, "team_id": state.world.team, "type": body["type"], "blocks": body["blocks"],
        "private_metadata": body.get("private_metadata", ""), "callback_id": body.get("callback_id", ""),
        "external_id": body.get("external_id", ""), "state": {"values": view.values}, "hash": view.hash,
        "root_view_id": view.root or view.id, "previous_view_id": view.previous or None, "app_id": app.id,
        "bot_id": app.bot_id, "app_installed_team_id": state.world.team,
        **{name: body.get(name) for name in sorted(extra)},
    }  # fmt: skip


def _new(state: State, user: str, body: dict[str, Any]) -> View:
    return View(
        id=state.world.fresh("V"), user=user, body=body, hash=_hash(state), values=initial(body["blocks"]),
        versions=[body],
    )  # fmt: skip


def _same(args: Args, view: View) -> None:
    if args.text("hash") not in ("", view.hash):
        raise Refused("hash_conflict")


def _hash(state: State) -> str:
    return f"{state.world.clock() // 1_000}.{secrets.token_hex(4)}"
