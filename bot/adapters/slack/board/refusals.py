"""What a refusal of Slack's is about (us, the message, the place where it stood, or the channel), and what follows.

Called by `board`. A word that is not listed is about the channel: to show a card
in the default channel, and to page when that one refuses too, is right or harmless; to stop everybody's cards is not.
https://docs.slack.dev/reference/methods/chat.postMessage#errors
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import structlog

from bot.adapters.slack.board.channels import Channels
from bot.adapters.slack.board.jobs import Job
from bot.adapters.slack.board.placing import Placer
from bot.adapters.slack.board.scenery import Scenery
from bot.adapters.slack.board.shelf import card_name, question_name, subject
from bot.adapters.slack.board.standing import Standing
from bot.adapters.slack.line.api import SlackRefusedError

AGAIN_S: Final = 2.0  # before a message is tried again when Slack takes nothing of ours
SHUT_S: Final = 20.0  # when its channel takes nothing; longer than the channel's pauses, so that others are tried too
SKIP_S: Final = 60.0  # when it is the message that is not taken

log = structlog.get_logger(__name__)


class Blame(Enum):
    """What would have to be otherwise for the same call to be taken."""

    US = "our token, our app or the whole workspace: no channel takes anything"
    MESSAGE = "this message: others are taken"
    PLACE = "the message that was to be edited or answered: a new one is taken"
    CHANNEL = "this channel: others take it"


US: Final = frozenset(
    {
        "access_denied", "accesslimited", "account_inactive", "deprecated_endpoint", "ekm_access_denied",
        "enterprise_is_restricted", "invalid_auth", "is_inactive", "message_limit_exceeded", "method_deprecated",
        "missing_scope", "not_allowed_token_type", "not_authed", "org_login_required", "team_access_not_granted",
        "team_added_to_org", "token_expired", "token_revoked", "two_factor_setup_required", "unknown_method",
    }
)  # fmt: skip
MESSAGE: Final = frozenset(
    {
        "attachment_payload_limit_exceeded", "cant_delete_message", "compliance_exports_prevent_deletion",
        "invalid_arg_name", "invalid_arguments", "invalid_array_arg", "invalid_blocks", "invalid_blocks_format",
        "invalid_form_data", "invalid_metadata_format", "invalid_metadata_schema", "metadata_must_be_sent_from_app",
        "metadata_too_large", "msg_blocks_too_long", "msg_too_long", "no_text", "too_many_attachments",
    }
)  # fmt: skip
PLACE: Final = frozenset({"thread_not_found", "message_not_found", "cant_update_message", "edit_window_closed"})


def blame(code: str) -> Blame:
    """What a refusal with this word is about."""
    if code in US:
        return Blame.US
    if code in MESSAGE:
        return Blame.MESSAGE
    return Blame.PLACE if code in PLACE else Blame.CHANNEL


class Refusals:
    """Does what follows from each."""

    def __init__(self, reach: Standing, channels: Channels, scenery: Scenery, placer: Placer) -> None:
        self._reach, self._channels, self._scenery, self._placer = reach, channels, scenery, placer

    async def met(self, job: Job, error: SlackRefusedError, now: float) -> float:
        """Slack refused this job. Returns until when it is not tried again (seconds of the loop's clock)."""
        log.warning("slack_refused", kind=job.kind, name=job.name, channel=job.channel, code=error.code)
        about = blame(error.code)
        if about is Blame.US:
            self._reach.slack.failed(str(error), now)
            return now + AGAIN_S
        await self._reach.slack.worked(now)  # it knows us, and says what it does not take
        match about:
            case Blame.MESSAGE:
                return now + SKIP_S
            case Blame.PLACE:
                await self._placer.drop([job.name, card_name(*job.subject)])
                return now
            case Blame.CHANNEL:
                return await self._shut(job, str(error), now)

    async def _shut(self, job: Job, problem: str, now: float) -> float:
        """What is shown in this channel goes to the default one; what belongs there waits where it stands."""
        channel, home = job.channel, self._channels.home()
        self._channels.shun(channel, now)
        if channel == home or not home:
            if home:
                self._reach.home.failed(problem, now)
            return now + SHUT_S
        briefs, places = self._scenery.briefs, self._placer.places
        self._scenery.nudge([subject(*one) for one, brief in briefs.items() if brief.channel == channel])
        brief = briefs.get(job.subject)
        names = [card_name(*job.subject), *([question_name(*job.subject, brief.question)] if brief is not None else [])]
        await self._placer.drop([job.name, *(one for one in names if one in places and places[one].channel == channel)])
        return now
