"""The configuration of the simulated floor: real texts through the real loader, in a few variants that reloads swap.

`house(variant)` is called by `floor` at the start and by `script.Reloaded`. Holds and windows are seconds, so that a
minute of trouble holds whole episodes. Roles stand for people.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from bot.core.words import Millis
from policies.loader import Loaded, Source, load
from remediations.catalogue import CATALOGUE, ActionCatalogue
from tests.simulation import actions
from tests.simulation.world import EPOCH

SHARD: Final = "trading-core"
VARIANTS: Final = ("base", "left", "demoted", "stricter", "suggesting", "retuned", "relieved")
EVERYBODY: Final = ("demo-oncall", "demo-approver", "demo-second", "demo-chief", "demo-viewer")

TARGETS: Final = """
systems:
  trading-core:
    components:
      - name: risk-engine
        role: risk
        connector: http
        url: http://127.0.0.1:8080
        allow: [POST /api/risk/emergency-reduce, POST /api/stop-trading, GET /api/risk/status]
        read:
          kelly_fraction: {http: /api/risk/status, json: kelly_fraction}
          trading: {http: /api/risk/status, json: trading}
        floors: {kelly_fraction: 0.05}
      - name: model-router
        role: router
        connector: http
        url: http://127.0.0.1:8081
        allow: [POST /api/router/pause, POST /api/router/resume, GET /api/router/status]
        read:
          router: {http: /api/router/status, json: router}
          model: {http: /api/router/status, json: model}
          owner: {http: /api/router/status, json: owner}
      - name: order-gate
        role: gate
        connector: http
        url: http://127.0.0.1:8082
        allow: [POST /api/orders/hedge, POST /api/gate/kick, GET /api/orders/hedges]
      - name: order-book
        role: book
        connector: http
        url: http://127.0.0.1:8083
        allow: [POST /api/orders/flatten, GET /api/orders/status]
        read: {open_orders: {http: /api/orders/status, json: open_orders}}
      - name: feed-a
        role: feed
        connector: http
        url: http://127.0.0.1:8084
        allow: [POST /api/feed/cycle, GET /api/feed/status]
        read: {state: {http: /api/feed/status, json: state}}
      - name: feed-b
        role: feed
        connector: http
        url: http://127.0.0.1:8085
        allow: [POST /api/feed/cycle, GET /api/feed/status]
        read: {state: {http: /api/feed/status, json: state}}
"""

ANDON: Final = """
systems: [trading-core]
routes:
  - {match: ['system="trading-core"'], system: trading-core}
armed: [var-breach, unhedged, stuck-gate, runaway-orders, model-switching, stale-feeds]
budget: {limit: 8, within: 30s, reserve: 3}
watches:
  - {name: prometheus, match: ['alertname="Watchdog"'], within: 12s, system: trading-core}
"""

PEOPLE: Final = """
people:
  - {id: demo-oncall, roles: [oncall]}
%(approver)s  - {id: demo-second}
  - {id: demo-chief}
  - {id: demo-viewer}
rosters:
  approvers:
    - {system: trading-core, risk: critical, people: [%(critical)sdemo-chief]}
    - {system: trading-core, risk: risky, people: [%(risky)s]}
  break_glass:
    - {system: trading-core, people: [demo-chief]}
"""

POLICIES: Final = """
system: trading-core
labels: [system, batch, symbol]
oncall: {service: trading-oncall}
policies:
  - name: var-breach
    match: ['alertname="VaRBreach"']
    mode: %(mode)s
    channel: "#risk"
    evidence:
      var: {http: /api/risk/status, json: var, at_json: updated_at, component: risk-engine, max_age: 10s}
    plan:
      - action: risk.reduce_kelly
        with: {kelly_fraction: %(kelly)s, reason: "VaR breach on ${labels.symbol}"}
        guard: evidence.var > 1.8
        verify: {until: evidence.var < 1.6, within: 6s, every: 2s}
        cooldown: 4s
        on_no_evidence: act
    ladder:
      - {after: 10s, page: {service: pm, severity: critical}, until: mitigated}
      - after: 16s
        run: trading.halt
        with: {reason: "VaR breach on ${labels.symbol}"}
        guard: evidence.var > 1.8
        approve_within: 12s
        page: {service: cro, severity: critical}
        until: resolved
    hold: 4s
    close: 8s

  - name: unhedged
    match: ['alertname="Unhedged"']
    group_by: [batch]
    mode: auto
    channel: "#orders"
    plan:
      - {action: orders.hedge, with: {batch: "${labels.batch}"}, cooldown: 3s%(hedge)s, approve_within: 10s}
    hold: 3s
    close: 6s

  - name: stuck-gate
    match: ['alertname="StuckGate"']
    group_by: [batch]
    mode: auto
    channel: "#orders"
    plan:
      - action: http.call
        component: order-gate
        with: {path: /api/gate/kick, body: {batch: "${labels.batch}"}}
        cooldown: 6s # so that a yes may have to wait, and run out
        approve_within: 10s
    hold: 3s
    close: 6s

  - name: runaway-orders
    match: ['alertname="RunawayOrders"']
    group_by: [batch]
    mode: auto
    channel: "#orders"
    plan:
      - action: orders.flatten
        with: {batch: "${labels.batch}"}
        cooldown: 5s
        approve_within: 15s
        break_glass: demo-chief
        on_failure: stop
    ladder:
      - {after: 9s, page: {service: cro, severity: critical}}
    hold: 3s
    close: 6s

  - name: model-switching
    match: ['alertname="ModelSwitching"']
    mode: auto
    channel: "#quant"
    evidence:
      switches: {http: /api/router/status, json: switches, at_json: updated_at, component: model-router, max_age: 10s}
    plan:
      - action: router.pause
        with: {reason: too many switches}
        guard: evidence.switches > 20
        verify: {until: evidence.switches < 15, within: 6s, every: 2s}
        lease: 10s
        cooldown: 2s
    hold: 3s
    close: 6s

  - name: stale-feeds
    match: ['alertname="StaleFeeds"']
    mode: auto
    channel: "#feeds"
    evidence:
      a: {http: /api/feed/status, json: state, at_json: updated_at, component: feed-a, max_age: 10s}
      b: {http: /api/feed/status, json: state, at_json: updated_at, component: feed-b, max_age: 10s}
    plan:
      - sequence:
          - action: feed.cycle
            component: feed-a
            with: {reason: stale}
            verify: {until: evidence.a == "fresh", within: 4s, every: 1s}
          - wait: 3s
          - action: feed.cycle
            component: feed-b
            with: {reason: stale}
            verify: {until: evidence.b == "fresh", within: 4s, every: 1s}
    hold: 3s
    close: 6s

  - name: only-watched
    match: ['alertname="OnlyWatched"']
    group_by: [batch]
    mode: auto
    channel: "#orders"
    plan:
      - {action: orders.hedge, with: {batch: "${labels.batch}"}}
    hold: 3s
    close: 6s

  - name: people-only
    match: ['alertname="PeopleOnly"']
    mode: auto
    channel: "#desk"
    ladder:
      - {after: 6s, page: {service: lead, severity: critical}}
      - {after: 12s, page: {service: head, severity: critical}}
    hold: 3s
    close: 6s

catch_all:
  page: {service: catch-all, severity: critical}
  channel: "#desk"
  hold: 3s
  close: 6s
"""


def _texts(variant: str) -> tuple[str, str]:
    """The people and the policies of a variant.

    left: demo-approver is nobody any more. demoted: demo-second may not decide on critical steps. stricter: a hedge is
    risky. suggesting: var-breach only suggests. retuned: var-breach cuts to another fraction. relieved: the shift has
    ended, and demo-oncall and demo-approver decide on nothing.
    """
    able = {
        "demo-approver": variant not in ("left", "relieved"),
        "demo-second": variant != "demoted",
    }
    people = PEOPLE % {
        "approver": "" if variant == "left" else "  - {id: demo-approver}\n",
        "critical": "".join(f"{name}, " for name, may in able.items() if may),
        "risky": "" if variant == "relieved" else "demo-oncall",
    }
    policies = POLICIES % {
        "mode": "suggest" if variant == "suggesting" else "auto",
        "kelly": "0.12" if variant == "retuned" else "0.1",
        "hedge": ", risk: risky" if variant == "stricter" else "",
    }
    return people, policies


@lru_cache(maxsize=1)
def catalogue() -> ActionCatalogue:
    """Everything that ships, and the floor's own actions."""
    return CATALOGUE.extended(actions.ENTRIES, {})


@lru_cache(maxsize=len(VARIANTS))  # loading costs tens of milliseconds, a run two hundred
def house(variant: str, now: Millis = EPOCH) -> Loaded:
    """The variant's configuration, loaded. Raises AssertionError with the loader's problems."""
    people, policies = _texts(variant)
    loaded = load(
        [
            Source("andon.yaml", ANDON, "andon"),
            Source("targets.yaml", TARGETS, "targets"),
            Source("people.yaml", people, "people"),
            Source("trading-core.yaml", policies, "policies"),
        ],
        catalogue(),
        now=now,
    )
    assert loaded.book is not None, "\n".join(map(str, loaded.problems))
    return loaded
