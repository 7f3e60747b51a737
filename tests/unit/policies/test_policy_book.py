"""Matching: first match wins in file order, the catch-all takes the rest, and the index finds what a scan finds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.alert import Alert
from bot.core.plan import Plan
from policies import matchers
from policies.book import PolicyBook
from policies.index import Entry, Index
from policies.loader import Loaded

Load = Callable[..., Loaded]
MakeAlert = Callable[..., Alert]


def book_of(loaded: Loaded) -> PolicyBook:
    assert [str(p) for p in loaded.problems] == []
    assert loaded.book is not None
    return loaded.book


def policies(*entries: str, tail: str = "") -> str:
    return "system: trading-core\nlabels: [symbol]\npolicies:\n" + "".join(f"  - {{{e}}}\n" for e in entries) + tail


def names(book: PolicyBook, alert: Alert, system: str = "trading-core") -> list[str]:
    return [match.plan.policy for match in book.match(system, alert)]


def test_first_match_wins_unless_it_goes_on(load_text: Load, alert: MakeAlert) -> None:
    """Alertmanager's convention, so nobody has to learn another."""
    book = book_of(
        load_text(
            policies(
                "name: special, match: ['alertname=\"A\"', 'symbol=\"BTC\"']",
                "name: also, match: ['alertname=~\"A|B\"'], continue: true",
                "name: general, match: ['alertname=~\".+\"']",
                "name: never, match: ['alertname=\"A\"', 'symbol=\"ETH\"']",
            )
        )
    )
    assert names(book, alert(alertname="A", symbol="BTC")) == ["special"]
    assert names(book, alert(alertname="A", symbol="ETH")) == ["also", "general"]
    assert names(book, alert(alertname="C")) == ["general"]


def test_a_policy_that_goes_on_hides_nothing(load_text: Load, alert: MakeAlert) -> None:
    """Only a policy that ends matching can make a later one unreachable."""
    first, second = "name: p, match: ['alertname=\"A\"']", "name: q, match: ['alertname=\"A\"']"
    assert names(book_of(load_text(policies(first + ", continue: true", second))), alert(alertname="A")) == ["p", "q"]
    assert "it never matches: 'p' comes before it" in str(load_text(policies(first, second)).problems[0])


def test_unmatched_critical_alerts_page_even_without_a_catch_all_in_the_file(load_text: Load, alert: MakeAlert) -> None:
    """Law 1: a critical alert that nobody wrote a policy for still wakes somebody, on every shard."""
    book = book_of(load_text(policies("name: p, match: ['alertname=\"A\"']")))
    for system in ("trading-core", "unrouted", "never-heard-of"):
        (match,) = book.match(system, alert(alertname="X", severity="page"))
        assert match.plan.policy == "catch-all"
        assert match.plan.page_on_open is not None
        assert match.key == 'catch-all{alertname="X"}'
        assert book.current(system, "catch-all") == match.plan
        assert book.match(system, alert(alertname="X", severity="warning")) == ()


def test_the_files_own_catch_all_decides_whom_and_from_which_severity(load_text: Load, alert: MakeAlert) -> None:
    """A desk may want warnings paged too, to its own service."""
    tail = "catch_all: {page: {service: desk, severity: warning}, severity: warning, group_by: [symbol]}\n"
    book = book_of(load_text(policies("name: p, match: ['alertname=\"A\"']", tail=tail)))
    (match,) = book.match("trading-core", alert(alertname="X", severity="warning", symbol="BTC"))
    assert (match.key, match.group) == ('catch-all{symbol="BTC"}', {"symbol": "BTC"})
    assert match.plan.page_on_open is not None
    assert match.plan.page_on_open.service == "desk"
    assert book.match("trading-core", alert(alertname="X", severity="info")) == ()


def test_the_key_tells_groups_apart_and_nothing_else(load_text: Load, alert: MakeAlert) -> None:
    """One incident for each value of the grouping labels; a label value cannot imitate another group."""
    book = book_of(load_text(policies("name: p, match: ['alertname=\"A\"'], group_by: [symbol, severity]")))

    def key(**labels: str) -> str:
        return book.match("trading-core", alert(alertname="A", **labels))[0].key

    assert key(symbol="BTC", host="a") == key(symbol="BTC", host="b") == 'p{symbol="BTC",severity=""}'
    assert key(symbol='x",severity="y') != key(symbol="x", severity="y")


def test_the_fingerprint_names_the_set_of_policies(load_text: Load) -> None:
    """A reload that changed nothing is recognised as such."""
    one = book_of(load_text(policies("name: p, match: ['alertname=\"A\"']")))
    same = book_of(load_text(policies("name: p, match: ['alertname=\"A\"']", tail="# the same\n")))
    other = book_of(load_text(policies("name: p, match: ['alertname=\"A\"'], hold: 1m")))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert [p.policy for p in one.policies()] == ["p", "catch-all", "catch-all"]


def entry(order: int, *texts: str, goes_on: bool = False) -> Entry:
    plan = Plan(policy=f"p{order}", system="s", policy_hash="", mode="auto")
    return Entry(order, plan, tuple(map(matchers.parse, texts)), (), goes_on)


LABELS = ("alertname", "symbol", "host")
VALUES = ("", "a", "b", "c")
MATCHERS = st.builds(
    lambda name, operator, value: f'{name}{operator}"{value}"',
    st.sampled_from(LABELS),
    st.sampled_from(("=", "!=", "=~", "!~")),
    st.sampled_from(("", "a", "b", "a|b", "b|c", ".*", "a.*", "[ab]")),
)


@settings(deadline=None)  # machines that build are busy
@given(
    st.lists(st.tuples(st.lists(MATCHERS, min_size=1, max_size=3), st.booleans()), max_size=8),
    st.dictionaries(st.sampled_from(LABELS), st.sampled_from(VALUES)),
)
def test_the_index_finds_exactly_what_asking_everybody_finds(
    given_policies: list[tuple[list[str], bool]], labels: dict[str, str]
) -> None:
    """The index only saves work; it never changes which policy takes an alert."""
    entries = [entry(n, *texts, goes_on=goes_on) for n, (texts, goes_on) in enumerate(given_policies)]
    expected = []
    for one in entries:
        if all(matcher.matches(labels) for matcher in one.matchers):
            expected.append(one.plan.policy)
            if not one.goes_on:
                break
    assert [found.plan.policy for found in Index(entries).matching(labels)] == expected


@pytest.mark.parametrize(
    "texts",
    [
        lambda n: ('severity="critical"', f'alertname="A{n}"'),
        lambda n: ('alertname="ServiceDown"', f'service="svc-{n}"'),
        lambda n: (f'alertname=~"A{n}|B{n}"', 'severity!="info"'),
    ],
)
def test_an_alert_is_compared_with_few_of_many_policies(texts: Callable[[int], tuple[str, ...]]) -> None:
    """10,000 policies cost what 10 cost, whichever label tells them apart."""
    index = Index([entry(n, *texts(n)) for n in range(10_000)])
    labels = {"alertname": "ServiceDown", "service": "svc-77", "severity": "critical"}
    for candidates in (labels, labels | {"alertname": "A77"}):
        assert len(list(index._candidates(candidates))) <= 1


@pytest.mark.parametrize(("labels", "heard"), [({"andon": "self"}, ["catch-all"]), ({}, [])])
def test_what_andon_says_about_itself_is_never_unheard(
    load_text: Load, alert: MakeAlert, labels: dict[str, str], heard: list[str]
) -> None:
    """A gap in a stream is a warning, and still somebody's business; any other warning that nothing matches is not."""
    book = book_of(load_text(policies("name: p, match: ['alertname=\"A\"']")))
    assert names(book, alert(alertname="AndonStreamGap", severity="warning", **labels)) == heard


def test_a_policy_is_there_while_more_incidents_of_it_may_come(load_text: Load) -> None:
    """Until a reload takes it out; the catch-all, and what people order, always."""
    book = book_of(load_text(policies("name: p, match: ['alertname=\"A\"']")))
    system = next(plan.system for plan in book.policies() if plan.policy == "p")
    assert [book.has(system, name) for name in ("p", "q", "catch-all", "order")] == [True, False, True, True]
    assert not book.has("another", "p")
