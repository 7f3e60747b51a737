"""Two ways to wake people: what the first route does not take goes to the second, and never to nobody.

Implements `ports.Pager` over two pagers; given to the runtime by the composition root, which hands it the local alarm
for when both are down (law 12). Dedup keys are passed on as they are, so a page that is said again stays one page on
whichever route. A page is taken back on every route, for another replica may have said it on another one; and again
and again on those that took it here, or may have: one that answered too late has the page on a telephone all the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from bot.core.effects import PageOncall, ResolvePage
from bot.engine.ports import Pager
from bot.errors import DeliveryError, DeliveryUncertain

FIRST_SECONDS: Final = 10.0  # then it is too slow; with the second's the page stays within `speech.SAY_SECONDS`
SECOND_SECONDS: Final = 10.0
MAX_OPEN: Final = 10_000  # pages whose routes are remembered; with an older one every route is insisted on

log = structlog.get_logger(__name__)


class RouteTelemetry(Protocol):
    """Counts what became of every page, by route (``first``, ``second``): ``taken`` or ``failed``."""

    def paged(self, route: str, outcome: str) -> None: ...


class RoutedPager:
    """First route, second route (if there is one), local alarm. Safe to use from every shard's speaker."""

    def __init__(
        self,
        first: Pager,
        second: Pager | None,
        alarm: Callable[[PageOncall, str], None],
        telemetry: RouteTelemetry,
        *,
        first_seconds: float = FIRST_SECONDS,
    ) -> None:
        self._routes: dict[str, tuple[Pager, float]] = {"first": (first, first_seconds)}
        if second is not None:
            self._routes["second"] = (second, SECOND_SECONDS)
        self._alarm = alarm
        self._telemetry = telemetry
        self._failing: dict[str, str] = {}  # route -> why its newest page or resolve was not taken
        self._took: OrderedDict[str, set[str]] = OrderedDict()  # dedup key -> the routes that may hold the page

    @property
    def problem(self) -> str:
        """Why nobody can be paged now, or "". A route that was never tried counts as working."""
        if len(self._failing) < len(self._routes):
            return ""
        return "no page route works: " + "; ".join(f"{route}: {why}" for route, why in self._failing.items())

    @property
    def standing(self) -> str:
        """The routes in words, for `/readyz`."""
        return ", ".join(
            f"{route} failed: {self._failing[route]}" if route in self._failing else f"{route} works"
            for route in self._routes
        )

    async def page(self, page: PageOncall) -> str:
        """The reference of the first route that takes it. DeliveryError, and the local alarm, when none does."""
        problems = []
        for route, (pager, seconds) in self._routes.items():
            reference, problem, certain = await self._try(route, pager.page(page), seconds)
            if not problem or not certain:
                self._remember(page.dedup_key, route)
            if not problem:
                return reference
            log.error("page_route_failed", route=route, incident_id=page.incident, error=problem)
            problems.append(f"{route} route: {problem}")
        why = "; ".join(problems)
        self._alarm(page, why)
        raise DeliveryError(why)

    async def resolve(self, page: ResolvePage) -> str:
        """Take it back on every route.

        DeliveryError when one that may hold the page did not take that: then it is said again. Where it was said is
        remembered; where that is not known (a restart), each may hold it.
        """
        if page.dedup_key not in self._took:
            for route in self._routes:
                self._remember(page.dedup_key, route)
        left = self._took[page.dedup_key]
        references, problems = [], []
        for route, (pager, seconds) in self._routes.items():
            reference, problem, _ = await self._try(route, pager.resolve(page), seconds)
            if not problem:
                references.append(reference)
                left.discard(route)
            elif route in left:
                problems.append(f"{route} route: {problem}")
            else:
                log.warning("page_route_not_told", route=route, incident_id=page.incident, error=problem)
        if problems:
            raise DeliveryError("; ".join(problems))
        self._took.pop(page.dedup_key, None)
        return ", ".join(references)

    async def _try(self, route: str, saying: Awaitable[str], seconds: float) -> tuple[str, str, bool]:
        """(reference, "", True) or ("", why not, whether it is certain that it was not taken)."""
        try:
            async with asyncio.timeout(seconds):
                reference = await saying
        except (DeliveryError, TimeoutError) as error:
            certain = not isinstance(error, TimeoutError | DeliveryUncertain)
            return "", self._failed(route, str(error) or f"no answer within {seconds:g} s"), certain
        except Exception as error:  # supervision point: a defect of one route must not cost the page the other one
            log.exception("page_route_broken", route=route)
            return "", self._failed(route, f"failed inside Andon ({type(error).__name__}); see its log"), False
        self._failing.pop(route, None)
        self._telemetry.paged(route, "taken")
        return reference, "", True

    def _failed(self, route: str, problem: str) -> str:
        self._failing[route] = problem
        self._telemetry.paged(route, "failed")
        return problem

    def _remember(self, dedup_key: str, route: str) -> None:
        self._took.setdefault(dedup_key, set()).add(route)
        self._took.move_to_end(dedup_key)
        while len(self._took) > MAX_OPEN:
            self._took.popitem(last=False)
