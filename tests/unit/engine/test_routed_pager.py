"""Two page routes: what one does not take the other does, and nobody is told only when there is nobody."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.effects import PageOncall, ResolvePage
from bot.engine.routed_pager import RoutedPager
from bot.errors import DeliveryError, DeliveryUncertain
from bot.testing import MemoryPager


def page(key: str) -> PageOncall:
    return PageOncall(
        id=f"e-{key}", incident="inc-1", service="trading-oncall", severity="critical", dedup_key=key, summary="VaR"
    )


def over(key: str) -> ResolvePage:
    return ResolvePage(id=f"r-{key}", incident="inc-1", service="trading-oncall", dedup_key=key)


class Routes:
    """Two pagers, and what was counted and rung."""

    def __init__(self) -> None:
        self.first, self.second = MemoryPager(), MemoryPager()
        self.counted: list[tuple[str, str]] = []
        self.rung: list[str] = []
        self.pager = RoutedPager(self.first, self.second, lambda page, why: self.rung.append(why), self)

    def paged(self, route: str, outcome: str) -> None:
        self.counted.append((route, outcome))


async def test_the_second_route_takes_what_the_first_does_not() -> None:
    """With the same dedup key, and without a sound while the first one works."""
    routes = Routes()
    await routes.pager.page(page("a"))
    assert (list(routes.first.open), list(routes.second.open)) == (["a"], [])
    routes.first.broken = "HTTP 500"
    await routes.pager.page(page("b"))
    assert (list(routes.first.open), list(routes.second.open)) == (["a"], ["b"])
    assert routes.counted == [("first", "taken"), ("first", "failed"), ("second", "taken")]
    assert (routes.rung, routes.pager.problem) == ([], "")


async def test_when_both_are_down_the_machine_itself_rings() -> None:
    """The page stays with the outbox (DeliveryError), and the reason names both routes, until one works again."""
    routes = Routes()
    routes.first.broken, routes.second.broken = "no answer", "HTTP 502"
    with pytest.raises(DeliveryError, match="first route: no answer; second route: HTTP 502"):
        await routes.pager.page(page("a"))
    assert routes.rung == ["first route: no answer; second route: HTTP 502"]
    assert "no page route works" in routes.pager.problem
    routes.second.broken = ""
    await routes.pager.page(page("a"))
    assert routes.pager.problem == ""


async def test_a_first_route_that_hangs_is_not_waited_for() -> None:
    """A pager without an answer costs some seconds, not the page."""

    class Hanging(MemoryPager):
        async def page(self, page: PageOncall) -> str:
            await asyncio.Event().wait()
            raise AssertionError

    second = MemoryPager()
    await RoutedPager(Hanging(), second, lambda page, why: None, Routes(), first_seconds=0.02).page(page("a"))
    assert list(second.open) == ["a"]


async def test_a_defect_of_the_first_route_does_not_cost_the_page() -> None:
    """Whatever an adapter raises, the second route is asked."""

    class Broken(MemoryPager):
        async def page(self, page: PageOncall) -> str:
            raise KeyError("summary")

    second = MemoryPager()
    await RoutedPager(Broken(), second, lambda page, why: None, Routes()).page(page("a"))
    assert list(second.open) == ["a"]


async def test_a_page_is_taken_back_where_it_is() -> None:
    """A route that is down and never had the page holds nothing up; one that has it keeps it for another try."""
    routes = Routes()
    routes.first.broken = "down"
    await routes.pager.page(page("a"))
    await routes.pager.resolve(over("a"))
    assert (routes.first.resolved, [r.dedup_key for r in routes.second.resolved]) == ([], ["a"])
    await routes.pager.page(page("b"))
    routes.second.broken = "down"
    with pytest.raises(DeliveryError, match="second route"):
        await routes.pager.resolve(over("b"))
    routes.second.broken = ""
    await routes.pager.resolve(over("b"))
    assert routes.second.open == {}


async def test_a_page_from_before_a_restart_is_taken_back_everywhere() -> None:
    """Nobody remembers where it went; a route that is down hears of it later."""
    routes = Routes()
    await routes.pager.resolve(over("old"))
    assert len(routes.first.resolved) == len(routes.second.resolved) == 1
    routes.first.broken = "down"
    with pytest.raises(DeliveryError, match="first route: down"):
        await routes.pager.resolve(over("older"))
    routes.first.broken = ""
    await routes.pager.resolve(over("older"))
    for route in (routes.first, routes.second):
        assert list(dict.fromkeys(page.dedup_key for page in route.resolved)) == ["old", "older"]


async def test_a_page_that_another_replica_said_elsewhere_is_taken_back_there_too() -> None:
    """Each replica knows of its own routes only; said again by the other, one page may be open on both."""
    routes = Routes()
    other = RoutedPager(routes.first, routes.second, lambda page, why: None, routes)
    await routes.pager.page(page("a"))
    routes.first.broken = "down"
    await other.page(page("a"))
    routes.first.broken = ""
    assert (list(routes.first.open), list(routes.second.open)) == (["a"], ["a"])
    await routes.pager.resolve(over("a"))
    assert (routes.first.open, routes.second.open) == ({}, {})


async def test_what_was_taken_back_on_one_route_is_asked_for_there_again() -> None:
    """While the first route is insisted on, the other replica says the page once more, on the second."""
    routes = Routes()
    routes.first.broken = "down"
    with pytest.raises(DeliveryError, match="first route: down"):
        await routes.pager.resolve(over("a"))
    await RoutedPager(routes.first, routes.second, lambda page, why: None, routes).page(page("a"))
    routes.first.broken = ""
    await routes.pager.resolve(over("a"))
    assert routes.second.open == {}


@pytest.mark.parametrize("unsure", [DeliveryUncertain("no answer"), None], ids=["its own bound", "ours"])
async def test_a_page_that_may_have_been_taken_is_taken_back_too(unsure: DeliveryError | None) -> None:
    """A route that took it and answered too late would else leave it open on somebody's telephone for good."""

    class Late(MemoryPager):
        async def page(self, page: PageOncall) -> str:
            await super().page(page)
            if unsure is not None:
                raise unsure
            await asyncio.Event().wait()
            raise AssertionError

    first, second = Late(), MemoryPager()
    pager = RoutedPager(first, second, lambda page, why: None, Routes(), first_seconds=0.02)
    await pager.page(page("a"))
    assert (list(first.open), list(second.open)) == (["a"], ["a"])
    await pager.resolve(over("a"))
    assert (first.open, second.open) == ({}, {})


async def test_without_a_second_route_the_alarm_rings_at_once() -> None:
    """One route that fails is all routes that fail."""
    rung: list[str] = []
    first = MemoryPager()
    first.broken = "down"
    pager = RoutedPager(first, None, lambda page, why: rung.append(why), Routes())
    with pytest.raises(DeliveryError):
        await pager.page(page("a"))
    assert rung == ["first route: down"]
    assert pager.problem
