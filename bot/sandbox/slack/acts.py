"""What people do in the local Slack: click, submit, close, command, say, use a shortcut, open the Home tab.

Called by tests (`LocalSlack.people`) and by `control` for the page. Each act tells the app and shows what comes back,
as Slack's client would. Raises LookupError, with words, for what is not there to be clicked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bot.sandbox.slack import api_views, payloads
from bot.sandbox.slack.calls import Refused
from bot.sandbox.slack.courier import Courier, Undelivered
from bot.sandbox.slack.entries import PLACES, action_of, elements, entered, objections
from bot.sandbox.slack.limits import problems
from bot.sandbox.slack.spelling import as_typed
from bot.sandbox.slack.state import MAX_STACK, State, View
from bot.sandbox.slack.world import Block, Channel, Posted, User

TROUBLE: Final = "We had some trouble connecting. Try again?"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What whoever acted is told. `error`: Slack's name for what went wrong; `errors`: by block of a modal."""

    error: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)


class People:
    """Acts of all users."""

    def __init__(self, state: State, courier: Courier) -> None:
        self._state = state
        self._courier = courier

    async def click(
        self, user: str, channel: str, ts: str, action_id: str, *, block_id: str = "", chosen: Any = None,
        version: int = -1,
    ) -> Outcome:  # fmt: skip
        """Click in a message; `version` 0 is how it looked at first, to somebody whose client is behind."""
        posted = self._message(channel, ts)
        if posted.only_for not in ("", user):
            raise LookupError(f"only {posted.only_for} sees message {ts}")
        seen = posted.versions[version]
        block, element = _element(seen.blocks, action_id, block_id)
        told = payloads.click(self._state, self._user(user), posted, seen, block, element, chosen)
        return await self._ask("interactive", told, user)

    async def click_in_view(
        self, user: str, view_id: str, action_id: str, *, block_id: str = "", chosen: Any = None,
        values: Mapping[str, Any] | None = None,
    ) -> Outcome:  # fmt: skip
        """Click or choose in a modal or in the Home tab; `values` are what else is entered there by now."""
        view = self._view(user, view_id)
        _enter(view, values or {})
        block, element = _element(view.body["blocks"], action_id, block_id)
        if element["type"] in PLACES and element["type"] != "overflow":
            view.values[block][action_of(element)] = entered(element, chosen)
        told = payloads.click_in_view(self._state, self._user(user), view, block, element, chosen)
        return await self._ask("interactive", told, user)

    async def submit(self, user: str, view_id: str, values: Mapping[str, Any]) -> Outcome:
        """Send a modal. `values`: by block_id, text or an option's value; what is not named stays as it is."""
        view = self._view(user, view_id)
        _enter(view, values)
        view.errors = objections(view.body["blocks"], view.values)
        if view.errors:
            return self._objected(view)
        try:
            said = await self._courier.ask("interactive", payloads.submission(self._state, self._user(user), view))
        except Undelivered:
            return self._trouble(user)
        return self._answered(view, said)

    async def close(self, user: str, view_id: str, *, all_of_them: bool = False) -> Outcome:
        """Close a modal, or with it all that are under it."""
        view = self._view(user, view_id)
        stack = self._state.stacks.get(user, [])
        gone = [each for each in reversed(stack) if all_of_them or each is view]
        self._state.stacks[user] = [each for each in stack if each not in gone]
        self._state.world.note("view", user=user)
        for each in gone:
            if each.body.get("notify_on_close"):
                told = payloads.closing(self._state, self._user(user), each, cleared=all_of_them)
                await self._ask("interactive", told, user)
        return Outcome()

    async def command(self, user: str, channel: str, text: str) -> Outcome:
        """Type a slash command, such as `/andon status`."""
        name, _, rest = text.strip().partition(" ")
        if name not in self._state.world.app.commands:
            return self._refused(user, "", f"{name} is not a valid command.")
        rest = as_typed(self._state.world, rest) if self._state.world.app.should_escape else rest
        told = payloads.command(self._state, self._user(user), self._channel(channel), name, rest.strip())
        try:
            said = await self._courier.ask("slash_commands", told)
        except Undelivered as failure:
            error = "operation_timeout" if failure.reason == "timeout" else "dispatch_failed"
            return self._refused(user, error, f"{name} failed with the error “{error}”")
        return self._answer(user, channel, text, said)

    async def say(self, user: str, channel: str, text: str, *, thread_ts: str = "") -> Posted:
        """Write a message; `<@app>` or `@andon` in it is a mention."""
        place = self._channel(channel)
        posted = self._state.world.post(place.id, user, as_typed(self._state.world, text), thread_ts=thread_ts)
        app = self._state.world.app.user
        if f"<@{app}" in posted.now.text and app in place.members:
            self._courier.tell(payloads.mention(self._state, self._user(user), posted))
        return posted

    async def edit(self, user: str, channel: str, ts: str, text: str) -> None:
        """Change a message of one's own; a mention in it is told anew, with an `event_id` of its own."""
        posted = self._message(channel, ts)
        if posted.user != user or posted.only_for:
            raise LookupError(f"message {ts} is none of {user}'s to edit")
        self._state.world.update(posted, as_typed(self._state.world, text), [])
        app = self._state.world.app.user
        if f"<@{app}" in posted.now.text and app in self._channel(channel).members:
            self._courier.tell(payloads.mention(self._state, self._user(user), posted))

    async def shortcut(self, user: str, callback_id: str, *, channel: str = "", ts: str = "") -> Outcome:
        """Use a shortcut of a message, or a global one."""
        posted = self._message(channel, ts) if ts else None
        return await self._ask(
            "interactive", payloads.shortcut(self._state, self._user(user), callback_id, posted), user
        )

    async def open_home(self, user: str) -> Outcome:
        """Open the app's Home tab."""
        self._courier.tell(payloads.home_opened(self._state, self._user(user)))
        return Outcome()

    def modal(self, user: str) -> View | None:
        """The modal that a user has in front."""
        stack = self._state.stacks.get(user, [])
        return stack[-1] if stack else None

    # --- what comes back ---

    async def _ask(self, kind: Any, told: dict[str, Any], user: str) -> Outcome:
        """Tell the app; what it says to it is not shown."""
        try:
            await self._courier.ask(kind, told)
        except Undelivered:
            return self._trouble(user)
        return Outcome()

    def _answered(self, view: View, said: Any) -> Outcome:
        """Do with a modal what the app answered to its submission."""
        said = said if isinstance(said, dict) else {}
        stack = self._state.stacks.get(view.user, [])
        try:
            match said.get("response_action"):
                case "errors" if not _named(view, said.get("errors")):
                    return self._trouble(view.user)
                case "errors":
                    view.errors = {str(block): str(words) for block, words in (said.get("errors") or {}).items()}
                    return self._objected(view)
                case "update":
                    api_views.replace(self._state, view, api_views.body_of(self._state, said.get("view")))
                case "push" if len(stack) < MAX_STACK:
                    api_views.stacked(self._state, view.user, api_views.body_of(self._state, said.get("view")))
                case "clear":
                    self._state.stacks[view.user] = []
                case None:
                    self._state.stacks[view.user] = [each for each in stack if each is not view]
                case _:
                    return self._trouble(view.user)
        except Refused:
            return self._trouble(view.user)
        self._state.world.note("view", user=view.user)
        return Outcome()

    def _objected(self, view: View) -> Outcome:
        self._state.world.note("view", user=view.user)
        return Outcome(errors=view.errors)

    def _answer(self, user: str, channel: str, text: str, said: Any) -> Outcome:
        """Show what an app answered to a command in its acknowledgement."""
        answer = said if isinstance(said, dict) else {"text": said or ""}
        words, blocks = str(answer.get("text") or ""), list(answer.get("blocks") or [])
        if not words and not blocks:
            return Outcome()
        if problems(blocks):
            return self._refused(user, "invalid_command_response", "The command failed: invalid_command_response.")
        for_all = answer.get("response_type") == "in_channel"
        if for_all:
            self._state.world.post(channel, user, text)
        self._state.world.post(channel, self._state.world.app.user, words, blocks, only_for="" if for_all else user)
        return Outcome()

    def _trouble(self, user: str) -> Outcome:
        return self._refused(user, "trouble", TROUBLE)

    def _refused(self, user: str, error: str, words: str) -> Outcome:
        self._state.world.note("notice", user=user, words=words)
        return Outcome(error or words)

    # --- what is there ---

    def _user(self, user: str) -> User:
        found = self._state.world.users.get(user)
        if found is None:
            raise LookupError(f"there is no user {user!r}")
        return found

    def _channel(self, channel: str) -> Channel:
        found = self._state.world.named(channel)
        if found is None:
            raise LookupError(f"there is no channel {channel!r}")
        return found

    def _message(self, channel: str, ts: str) -> Posted:
        posted = self._state.world.message(self._channel(channel).id, ts)
        if posted is None:
            raise LookupError(f"there is no message {ts!r} in {channel!r}")
        return posted

    def _view(self, user: str, view_id: str) -> View:
        view = self._state.view(view_id)
        if view is None or view.user != user:
            raise LookupError(f"{user} has no open view {view_id!r}")
        return view


def _element(blocks: Sequence[Block], action_id: str, block_id: str) -> tuple[str, Mapping[str, Any]]:
    for block, element in elements(blocks):
        if action_of(element) == action_id and block_id in ("", block):
            return block, element
    offered = ", ".join(action_of(element) for _, element in elements(blocks))
    raise LookupError(f"there is nothing called {action_id!r} to click; there is: {offered or 'nothing'}")


def _enter(view: View, values: Mapping[str, Any]) -> None:
    """Put `values`, by block_id, into a view's fields. Raises LookupError for a field that is not there."""
    named = {block: element for block, element in elements(view.body["blocks"]) if element["type"] in PLACES}
    for block, value in values.items():
        if block not in named:
            raise LookupError(f"there is no field {block!r}; there are: {', '.join(named) or 'none'}")
        view.values[block][action_of(named[block])] = entered(named[block], value)


def _named(view: View, errors: Any) -> bool:
    """Whether all objections are to fields of this view, as Slack insists."""
    fields = {str(block["block_id"]) for block in view.body["blocks"] if block.get("type") == "input"}
    return isinstance(errors, Mapping) and bool(errors) and set(errors) <= fields
