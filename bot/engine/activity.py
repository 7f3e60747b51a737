"""Running one step: evidence, inspect, guard and approval, intent, send, read back, one outcome.

Called by `bot.engine.dispatch` for a `RunStep` effect; returns the outcome event that the incident folds next. This is
the only place where anything is sent to a trading system, and always in this order (law 2): the intent is durable in
the store (through the same compare-and-set as everything else) and in the local journal before the first byte leaves.

What a crash in between leaves is found on the next delivery of the same effect: the target's record tells whether an
intent was declared. An absolute action is then inspected and, where still needed, sent again under the next attempt;
a `once` action is never sent again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import assert_never

from bot.core.action import MAX_SEND_MS
from bot.core.alert import Alert
from bot.core.effects import PostMessage, RunStep
from bot.core.events import (
    ApprovalNeeded,
    IntentDeclared,
    StepShadowed,
    StepSucceeded,
    StepUnneeded,
)
from bot.engine.action_ports import (
    Action,
    ActionContext,
    AlreadySo,
    CannotTell,
    Inspection,
    Proceed,
    Unfit,
)
from bot.engine.judge import Fails, Guarded, Hands, Judge
from bot.engine.outcomes import Outcome, Outcomes
from bot.engine.promise import DECLARE_SECONDS, Promise
from bot.engine.standing import Standing
from bot.errors import (
    ConfigError,
    NotSent,
    Rejected,
    StoreUnconfirmed,
    TargetError,
    Unknown,
)
from policies import guardrails, rendering

ATTEMPTS = 3  # sends of one intent at the most; the slot is held meanwhile, so more would keep others waiting
RETRY_SECONDS = 0.2  # between attempts: long enough for a connection to come back, short against a 1 s reaction
LOOK_SECONDS = 3.0  # evidence, inspection, read-back: each


@dataclass(frozen=True, slots=True)
class Ready:
    """All that was learned before sending: nothing speaks against it."""

    proceed: Proceed
    why: str


class Activity:
    """One run of one step. Made anew for every delivery; holds no state worth keeping."""

    def __init__(self, hands: Hands, shard: str, effect: RunStep) -> None:
        self._hands = hands
        self._shard = shard
        self._effect = effect
        self._step = effect.step
        self._judge = Judge(hands, shard, effect)
        self._promise = Promise(hands, shard, effect)
        self._said = Outcomes(effect, hands.engine.clock)
        self._standing = Standing("unknown", "nobody was asked")
        self._firing: tuple[Alert, ...] = ()  # what fires on the component of an action that was ordered

    async def run(self) -> Outcome:
        """The whole activity. Raises StoreUnavailable or TakenElsewhere; then the effect stays in the outbox."""
        action = self._hands.toolbox.action(self._step.action)
        earlier = await self._promise.earlier()
        if self._is_over():
            return await self._too_late(action, earlier)
        if action is None:
            return self._cannot(earlier, f"no action named {self._step.action} is installed")
        ready = await self._prepare(action, earlier)
        if not isinstance(ready, Ready):
            return ready
        for attempt in range(earlier.attempt + 1 if earlier else 1, ATTEMPTS + 1):
            outcome = await self._attempt(action, ready, attempt)
            if outcome is not None:
                return outcome
            await asyncio.sleep(RETRY_SECONDS)
            again = await self._look_again(action, ready)
            if not isinstance(again, Ready):
                return again
            ready = again
        return self._said.unknown(f"{ATTEMPTS} attempts, and none had an answer that proves anything")

    async def _look_again(self, action: Action, ready: Ready) -> Ready | Outcome:
        """Between two attempts: everything is read and judged again, as if for the first time."""
        again = await self._read(action)
        match again:
            case AlreadySo(before=before, why=why) if self._said.unanswered:
                return self._said.succeeded(
                    ready.proceed.restore, before, f"an attempt without an answer took effect: {why}"
                )
            case CannotTell(why=why) | Unfit(why=why):
                return self._said.failed(f"the target could not be reached, and now {why}")
            case _:
                pass
        judged = self._weigh(again)
        if isinstance(judged, Ready) or not self._said.unanswered:
            return judged
        return self._said.unknown(f"an attempt had no answer, and it is not sent again: {judged.why}")

    def _is_over(self) -> bool:
        """Whether the incident has given this turn up by now."""
        return bool(self._effect.until) and self._hands.engine.clock.now() > self._effect.until

    # --- before ---------------------------------------------------------------------------------------------------

    async def _prepare(self, action: Action, earlier: IntentDeclared | None) -> Ready | Outcome:
        """Everything that can be learned before the intent; an outcome when it already decides."""
        try:
            self._said.arguments = self._judge.render(self._step.arguments)
        except rendering.RenderError as error:
            return self._said.not_sent(f"its arguments cannot be filled in: {error}")
        inspection = await self._read(action)
        if earlier is not None:
            return await self._take_up(action, earlier, inspection)
        return self._weigh(inspection)

    async def _read(self, action: Action) -> Inspection:
        """Evidence, the target's state, and how the alerts stand, side by side."""
        now = self._hands.engine.clock.now()
        plan, alerts = self._effect.plan, self._effect.alerts
        self._firing = await self._judge.firing()
        self._said.readings, inspection, self._standing, _ = await asyncio.gather(
            self._hands.evidence.read(self._shard, plan.evidence, alerts, now),
            self._inspect(action),
            self._judge.standing(),
            self._judge.look_at_voters(),
        )
        return inspection

    def _weigh(self, inspection: Inspection) -> Ready | Outcome:
        """Guard, target and approval rules: Ready when nothing speaks against it."""
        if self._standing.kind == "gone":
            return StepUnneeded(**self._said.report(self._standing.why))
        guard = self._judge.guard(self._said.readings)
        if isinstance(guard, Fails):
            return StepUnneeded(**self._said.report(f"the guard does not hold: {guard.why}"))
        return self._weigh_inspection(inspection, guard)

    def _weigh_inspection(self, inspection: Inspection, guard: Guarded) -> Ready | Outcome:
        """What the target's state, the disposition and the approval rules make of it."""
        if not self._said.unanswered:
            self._said.before = getattr(inspection, "before", "{}")
        match inspection:
            case AlreadySo(why=why):
                return StepUnneeded(**self._said.report(why), already=True)
            case CannotTell(why=why):
                return self._ask(why)
            case Unfit(why=why):
                return self._said.not_sent(why)
            case Proceed():
                pass
            case _:
                assert_never(inspection)
        because = f", because {guard.why}" if self._step.guard else ""
        would = f"{self._step.action} ({rendering.change(inspection.before, inspection.wanted)}){because}"
        if self._effect.disposition == "shadow":
            return StepShadowed(**self._said.report(f"would run {would} ({self._effect.why})", after=inspection.wanted))
        verdict = self._judge.authorise(inspection, guard, self._said.arguments, self._standing)
        if isinstance(verdict, guardrails.Ask):
            return self._ask(f"{verdict.reason}; asks to run {would}", inspection, guard)
        return Ready(inspection, f"{guard.why}; {verdict.why}")

    async def _too_late(self, action: Action | None, earlier: IntentDeclared | None) -> Outcome:
        """The incident has given this turn up: nothing is sent any more, but what was promised is still looked at."""
        if earlier is None or action is None:
            return self._cannot(
                earlier, "its time was over before it was looked at; it was handed out before an outage"
            )
        return await self._prove(action, earlier, "its time was over, and nothing proves what it did")

    def _cannot(self, earlier: IntentDeclared | None, why: str) -> Outcome:
        """Nothing can be done; whether an earlier delivery has sent something is another question."""
        self._said.unanswered = earlier is not None
        return self._said.failed(why)

    async def _prove(self, action: Action, earlier: IntentDeclared, why: str) -> Outcome:
        """Look whether an intent of an earlier delivery took effect; only what the target shows counts."""
        self._said.before, self._said.arguments = earlier.before, earlier.arguments
        recorded = Proceed(before=earlier.before, wanted="{}", arguments=earlier.arguments)
        return await self._probe(action, Ready(recorded, ""), why)

    async def _take_up(self, action: Action, earlier: IntentDeclared, inspection: Inspection) -> Ready | Outcome:
        """An earlier delivery declared this intent and died: absolute actions go on, others are only probed.

        Going on is acting: guard, evidence, current policy and signatures must hold now, not only when it was declared.
        """
        self._said.before, self._said.arguments, self._said.unanswered = earlier.before, earlier.arguments, True
        if earlier.delivery != "absolute":
            return await self._prove(action, earlier, "an interruption, and nothing proves what it did")
        if isinstance(inspection, AlreadySo):
            why = f"declared before an interruption, and {inspection.why}"
            return StepSucceeded(**self._said.report(why, after=inspection.before))
        if earlier.attempt >= ATTEMPTS:
            return self._said.unknown("declared before an interruption; nothing proves what became of it")
        ready = self._weigh(inspection)
        if isinstance(ready, Ready):
            return Ready(ready.proceed, f"taken up again after an interruption: {ready.why}")
        return self._said.unknown(f"declared before an interruption, and not sent again: {ready.why}")

    # --- sending --------------------------------------------------------------------------------------------------

    async def _attempt(self, action: Action, ready: Ready, attempt: int) -> Outcome | None:
        """Declare, send, read back. None: unanswered, and this action may be tried again."""
        self._said.before, self._said.arguments = ready.proceed.before, ready.proceed.arguments
        monotonic = asyncio.get_running_loop().time
        latest = monotonic() + DECLARE_SECONDS
        try:
            refusal = await self._promise.declare(ready.proceed, attempt)
        except StoreUnconfirmed as error:  # on one server only: what that one forgets must not have been sent
            return self._unsafe(f"the intent is not safe: {error}")
        except TimeoutError:
            return self._unsafe("the intent could not be made durable in time")
        if refusal:
            self._said.unanswered = self._said.unanswered or await self._promise.in_doubt()
            return self._said.failed(refusal)
        if monotonic() > latest:  # a disk, a pause or a stopped process ate the time; somebody may have taken over
            return self._said.failed("too much time has passed since it was declared")
        try:
            async with asyncio.timeout(self._send_seconds()):
                await action.send(self._context(), ready.proceed)
        except NotSent as error:
            if attempt < ATTEMPTS and self._step.delivery == "absolute":
                return None
            return self._said.failed(str(error))
        except Rejected as error:
            return self._said.failed(f"the target refused: {error}")
        except (Unknown, TargetError, TimeoutError) as error:
            self._said.unanswered = True
            if self._step.delivery == "absolute":
                return None
            return await self._probe(action, ready, str(error) or "no answer in time")
        return await self._look_back(action, ready)

    def _unsafe(self, why: str) -> Outcome:
        """Nothing was sent, and whether it may be is for a person, whatever the policy does about failures (law 2)."""
        if self._said.unanswered:
            return self._said.unknown(why)
        return ApprovalNeeded(**self._said.report(f"{why}, so nothing was sent"), terms=None)

    def _send_seconds(self) -> float:
        """How long one send may take, answer included; what takes longer is Unknown."""
        spec = self._hands.toolbox.spec(self._step.action)
        return (min(spec.send_ms, MAX_SEND_MS) if spec is not None else MAX_SEND_MS) / 1_000

    async def _look_back(self, action: Action, ready: Ready) -> Outcome:
        """The target accepted it: read what it looks like now."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                seen = await action.read_back(self._context(), ready.proceed)
        except (TargetError, TimeoutError) as error:
            return self._said.succeeded(ready.proceed.restore, "{}", f"accepted; could not be read back ({error})")
        if seen.as_wanted is False:
            return self._said.unknown(f"accepted, but read back otherwise: {seen.after} ({seen.why})", after=seen.after)
        return self._said.succeeded(ready.proceed.restore, seen.after, seen.why or ready.why)

    async def _probe(self, action: Action, ready: Ready, why: str) -> Outcome:
        """A `once` action without an answer: a probe may prove that it was done, never that it was not."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                seen = await action.read_back(self._context(), ready.proceed)
        except (TargetError, TimeoutError):
            return self._said.unknown(why)
        if seen.as_wanted is True:
            return self._said.succeeded(
                ready.proceed.restore, seen.after, f"no answer ({why}), but the target shows it done"
            )
        return self._said.unknown(f"{why}; {seen.why}" if seen.why else why, after=seen.after)

    async def _inspect(self, action: Action) -> Inspection:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await action.inspect(self._context(), self._said.arguments)
        except (TargetError, TimeoutError) as error:
            return CannotTell(f"the target cannot be read: {str(error) or 'no answer in time'}")
        except ConfigError as error:
            return Unfit(f"its arguments do not fit: {error}")

    # --- words ----------------------------------------------------------------------------------------------------

    def _context(self) -> ActionContext:
        effect = self._effect
        return ActionContext(
            system=self._shard, component=self._step.component, targets=self._hands.targets,
            now=self._hands.engine.clock.now(), intent=effect.id, fence=effect.fence,
            left=effect.left if effect.left != "{}" else effect.leased, alerts=self._firing or effect.alerts,
            declared=effect.plan.evidence, evidence=self._hands.evidence, say=self._say,
            clock=self._hands.engine.clock.now,
        )  # fmt: skip

    async def _say(self, text: str) -> str:
        """How an action speaks: in the incident's channel, as itself. Raises DeliveryError."""
        effect = self._effect
        message = PostMessage(
            id=effect.id, incident=effect.incident, channel=effect.plan.channel, topic="notified", text=text
        )
        return await self._hands.chat.post(message, self._shard)

    def _ask(
        self, why: str, inspection: Proceed | None = None, guard: Guarded | None = None
    ) -> ApprovalNeeded | StepShadowed:
        """A person must decide; what only watches says that it would ask, and asks nobody.

        Nothing can be approved without knowing what would change.
        """
        after = inspection.wanted if inspection is not None else "{}"
        if self._effect.disposition == "shadow":
            return StepShadowed(**self._said.report(f"would ask a person: {why} ({self._effect.why})", after))
        terms = None
        if inspection is not None and guard is not None:
            terms = self._judge.terms(inspection, guard, self._said.arguments)
        return ApprovalNeeded(**self._said.report(why, after), terms=terms)
