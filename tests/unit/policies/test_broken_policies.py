"""Broken files: each gets one clear error with file, line, path and fix — never a traceback, never two."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.loader import Kind, Loaded, Source, load
from remediations.catalogue import CATALOGUE

BROKEN = Path(__file__).parents[2] / "fixtures" / "broken"
CONFIGS = Path(__file__).parents[3] / "configs"
NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z

# file -> (line, path, part of the message, part of the fix)
EXPECTED = {
    "01-duplicate-key": (7, "policies[0].mode", "'mode' is here twice (first on line 6)", "keep one"),
    "02-alias": (8, "policies[0].channel", "alias *page is not allowed", "write the value out"),
    "03-implicit-boolean": (
        11,
        "policies[0].plan[0].with.reason",
        "unquoted no is a boolean to some",
        'quote it: "no"',
    ),
    "04-non-finite-number": (
        11,
        "policies[0].plan[0].with.kelly_fraction",
        ".nan is not a finite number",
        "write a number",
    ),
    "05-second-document": (14, "", "a second document starts here", "one document per file"),
    "06-custom-tag": (6, "policies[0].mode", "python/name:os.system is not allowed", "remove it"),
    "07-unknown-key": (12, "policies[0].plan[0].gaurd", "unknown key 'gaurd'", "did you mean guard?"),
    "08-not-yet-available": (15, "policies[0].ladder[0].ask", "'ask': not available yet", "page somebody"),
    "09-duration-without-unit": (13, "policies[0].plan[0].verify.within", "90 has no unit", "90s"),
    "10-bad-matcher": (5, "policies[0].match[0]", "no =, !=, =~ or !~ after 'alertname'", 'alertname="VaRBreach"'),
    "11-bad-expression-in-matcher": (5, "policies[0].match[1]", "not valid RE2: missing )", "re2"),
    "12-unknown-action": (10, "policies[0].plan[0].action", "no action named 'risk.reduce_kely'", "risk.reduce_kelly?"),
    "13-bad-argument": (11, "policies[0].plan[0].with.kelly_fraction", "valid number", "0 to 1"),
    "14-undeclared-reading": (12, "policies[0].plan[0].guard", "evidence.vra is not declared", "did you mean var?"),
    "15-not-a-condition": (12, "policies[0].plan[0].guard", "evidence.var is not true or false", "compare it"),
    "16-no-hysteresis": (13, "policies[0].plan[0].verify.until", "no hysteresis", "leave a gap in evidence.var"),
    "17-number-from-a-label": (
        11,
        "policies[0].plan[0].with.kelly_fraction",
        "is a number, and labels.symbol",
        "write the",
    ),
    "18-unknown-label": (11, "policies[0].plan[0].with.reason", "label 'symbl' is not known", "did you mean symbol?"),
    "19-lowered-risk": (12, "policies[0].plan[0].risk", "raise a risk, not lower it", "pre_authorised"),
    "20-signed-by-nobody": (17, "pre_authorised[0].by", "'demo-oncal' is nobody", "did you mean demo-oncall?"),
    "21-unreachable-policy": (15, "policies[1].match", "'var-breach' comes before it", "move it up"),
    "22-syntax": (6, "", "a flow sequence that starts on line 5", "quotes"),
    "23-undated-reading": (8, "policies[0].evidence.var", "needs at_field", "shown to be fresh"),
    "24-below-the-floor": (11, "policies[0].plan[0].with.kelly_fraction", "0.01 is below its floor 0.05", "never"),
    "25-acts-blind-without-lowering": (
        12,
        "policies[0].plan[0].on_no_evidence",
        "does not lower exposure",
        "write ask",
    ),
    "26-resolves-on-silence": (7, "policies[0].evidence", "would resolve on silence", "add healthy: CONDITION"),
    "27-rung-does-nothing": (8, "policies[0].ladder[0]", "this rung does nothing", "page:, notify: or run:"),
    "28-guard-without-a-step": (11, "policies[0].ladder[0].guard", "belongs to a step", "add run: ACTION"),
    "29-unknown-action-in-a-rung": (
        8,
        "policies[0].ladder[0].run",
        "no action named 'trading.hlat'",
        "trading.halt?",
    ),
    "30-nobody-may-approve": (
        8,
        "policies[0].plan[0].action",
        "trading.halt (critical, mode auto) asks two people of trading-core, and nobody may approve it",
        "in people.yaml: {system: trading-core, risk: critical, people: [ID, ID]}",
    ),
    "31-break-glass-by-nobody": (10, "policies[0].plan[0].break_glass", "'demo-aprover' is nobody", "demo-approver?"),
    "32-break-glass-not-listed": (
        10,
        "policies[0].plan[0].break_glass",
        "demo-oncall is not in the break_glass roster of trading-core",
        "{system: trading-core, people: [demo-oncall]}",
    ),
    "33-page-nobody-answers": (8, "policies[0].ladder[0].page.service", "'quants' has no contact", "mean quant?"),
    "34-decided-in-no-time": (10, "policies[0].plan[0].approve_within", "nobody decides within 500ms", "from 1s"),
    "35-catch-all-that-acts": (5, "catch_all.ladder[0].run", "never runs trading.halt", "write a policy"),
    "36-reserved-name": (4, "policies[0].name", "'order' is the name of what people order", "choose another"),
    "37-stream-not-in-redis": (
        5,
        "streams[0].component",
        "risk-engine is reached by http, and streams are in a Redis",
        "name a redis component",
    ),
    "38-stream-of-an-unknown-component": (5, "streams[0].component", "no component 'rediss'", "did you mean redis?"),
    "39-stream-without-rules": (3, "streams[0]", "nothing is made of its entries", "add rules:"),
    "40-window-too-long": (6, "streams[0].rules[0].within", "a window of 2d is not counted", "from 1s to 1d"),
    "41-two-rules-one-alert": (
        7,
        "streams[0].rules[1].alertname",
        "a second rule raises 'ExcessiveModelSwitching'",
        "told apart by alertname",
    ),
    "42-label-said-twice": (6, "streams[0].rules[0].labels.symbol", "symbol already comes from by:", "remove it"),
    "43-counted-by-severity": (6, "streams[0].rules[0].by[0]", "not for a stream's field", "count by another"),
    "44-two-streams-one-name": (
        6,
        "streams[1].name",
        "'model-switches' is already among the streams at 44-two-streams-one-name.yaml:3",
        "names are unique",
    ),
    "45-weekday-number": (4, "schedules[0].cron", "count weekdays differently", "write names: mon, tue"),
    "46-day-and-weekday": (4, "schedules[0].cron", "cron means either", "write two schedules"),
    "47-day-that-never-comes": (4, "schedules[0].cron", "never comes", '"30 6 * * mon-fri"'),
    "48-not-five-fields": (4, "schedules[0].cron", "is not minute, hour, day, month and weekday", "mon-fri"),
    "49-unknown-zone": (5, "schedules[0].zone", "no time zone named 'America/NewYork'", "America/New_York?"),
    "50-schedule-without-a-name-for-its-alert": (6, "schedules[0].labels", "the alert has no name", "alertname:"),
    "52-alert-nobody-hears": (
        6,
        "streams[0].rules[0].alertname",
        "no policy takes ExcessiveModelSwitching, and the catch-all pages critical ones only",
        "add a policy that matches it, or give it severity: critical",
    ),
    "51-no-grace": (6, "schedules[0].grace", "0s is no grace", "from 1s to 1d"),
    "60-two-sources": (8, "policies[0].evidence.var", "this has promql and redis_stream", "keep one of"),
    "61-stream-without-a-window": (8, "policies[0].evidence.var", "needs within", "add within: 1m"),
    "62-unknown-figure": (8, "policies[0].evidence.var.redis_state", "p99_us", "p99_us"),
    "63-figure-without-sentinels": (
        8,
        "policies[0].evidence.var.redis_state",
        "no Sentinels watch redis",
        "list its sentinels",
    ),
    "64-window-of-a-figure": (8, "policies[0].evidence.var.within", "does not belong to a redis_state", "remove it"),
    "65-window-of-a-day": (8, "policies[0].evidence.var.within", "is too long to count", "at most 1h"),
    "70-sequence-of-one": (7, "policies[0].plan[0].sequence", "at least 2 items", ""),
    "71-wait-for-nothing": (9, "policies[0].plan[1].wait", "nothing comes after this wait", "put it before"),
    "72-ungated-step": (
        10,
        "policies[0].plan[0].sequence[1].action",
        "nothing says that it went well",
        "give it verify:",
    ),
    "73-unknown-key-in-a-sequence": (11, "policies[0].plan[0].sequence[1].for", "unknown key 'for'", "known: wait"),
    "80-request-not-allowed": (
        8,
        "policies[0].plan[0].with.path",
        "asks for POST /api/risk/emergency-reduced, which risk-engine does not allow",
        'mean POST /api/risk/emergency-reduce? or add "POST /api/risk/emergency-reduced" to allow: of risk-engine',
    ),
    "81-program-not-allowed": (
        8,
        "policies[0].plan[0].with.program",
        "asks for /usr/local/bin/restart-servise, which strategist does not allow",
        "did you mean /usr/local/bin/restart-service?",
    ),
    "82-shell-as-a-program": (
        8,
        "policies[0].plan[0].with.program",
        "strategist can never allow /bin/sh: sh would take arguments for code to run",
        "script of their own",
    ),
    "83-channel-not-allowed": (
        7,
        "policies[0].plan[0].with.channel",
        "asks for PUBLISH orders, which redis does not allow",
        'add "PUBLISH orders" to allow: of redis in targets.yaml',
    ),
    "84-key-not-allowed": (
        9,
        "policies[0].plan[0].with.command[1]",
        "asks for HSET limits, which redis does not allow",
        'add "HSET limits" to allow: of redis in targets.yaml',
    ),
    "85-command-never-sent": (
        9,
        "policies[0].plan[0].with.command",
        "'EVAL' is none of the verbs redis.command may send",
        "Verb, key, the rest",
    ),
    "86-request-to-a-redis": (
        8,
        "policies[0].plan[0].with.path",
        "asks for POST /api/router/pause, and redis is reached by redis, not http",
        "name a component with connector: http",
    ),
    "87-failover-tells-a-channel": (
        7,
        "policies[0].plan[0].with.announce",
        "asks for PUBLISH primary.moved, which redis does not allow",
        'add "PUBLISH primary.moved"',
    ),
    "88-rung-not-allowed": (
        9,
        "policies[0].ladder[0].with.path",
        "asks for DELETE /api/positions, which risk-engine does not allow",
        'add "DELETE /api/positions" to allow: of risk-engine',
    ),
}

PEOPLE_EXPECTED = {
    "01-approver-nobody-knows": (
        6,
        "rosters.approvers[0].people[1]",
        "'demo-aprover' is nobody in people.yaml",
        "did you mean demo-approver?",
    ),
    "02-approver-twice": (6, "rosters.approvers[0].people[1]", "demo-oncall is here twice", "counts once"),
    "03-two-rosters-for-one-thing": (7, "rosters.approvers[1]", "* has a second roster of approvers", "merge"),
    "04-roster-of-no-system": (6, "rosters.approvers[0].system", "'trading-cor' is not in", "trading-core?"),
    "05-break-glass-twice": (6, "rosters.break_glass[0].people[1]", "demo-oncall is here twice", "remove one"),
    "06-service-twice": (6, "contacts[1].service", "service 'trading-oncall' is here twice", "merge"),
    "07-contact-of-nobody": (5, "contacts[0]", "nobody answers for trading-oncall", "add people: [ID]"),
    "08-on-call-without-a-contact": (4, "contacts", "page trading-oncall, which is not listed", "trading-oncall"),
    "09-answers-within-nothing": (5, "contacts[0].respond_within", "nobody answers within 0s", "like 15m"),
    "10-one-human-twice": (3, "people[1].email", "already belongs to demo-oncall", "one human is one entry"),
}

ANDON_EXPECTED = {
    "01-alertmanager-address": (3, "alertmanagers[0].url", "not an http or https address", "http://127.0.0.1:9093"),
    "02-two-alertmanagers-one-name": (4, "alertmanagers[1].name", "a second Alertmanager is called 'main'", "unique"),
    "03-asked-too-often": (3, "alertmanagers[0].every", "asking every 100ms does not make sense", "from 1s to 1h"),
    "04-secret-in-an-address": (2, "second_route.url", "the address carries a credential", "credentials: env:NAME"),
    "05-watch-of-no-system": (3, "watches[0].system", "'trading-cor' is not listed", "did you mean trading-core?"),
    "06-two-watches-one-name": (4, "watches[1].name", "a second watch is called 'prometheus'", "unique"),
    "07-silence-too-long": (3, "watches[0].within", "a silence of 7d does not make sense", "from 1s to 1d"),
    "08-heartbeat-too-rare": (2, "heartbeat.every", "a heartbeat every 2d does not make sense", "from 1s to 1h"),
    "09-credentials-for-nothing": (2, "heartbeat.credentials", "belong to no url", "add url:"),
    "10-kept-for-no-time": (2, "retention.after", "keeping incidents for 1s does not make sense", "from 1m"),
    "11-watch-of-every-alert": (3, "watches[0].match", "any alert would be its sign of life", "Watchdog"),
}

TARGETS_EXPECTED = {
    "01-program-not-absolute": (4, "allow[0]", "'restart-service' is not an absolute path", "no PATH is searched"),
    "02-shell-without-a-script": (4, "allow[0]", "sh would take arguments for code to run", "script of their own"),
    "03-two-spaces": (4, "allow[0]", "has a space too many", "one space each"),
    "04-no-program": (4, "", "allows no program", "add allow:"),
    "05-program-with-an-address": (7, "url", "url means nothing for a command component", "remove it"),
    "06-process-without-a-pidfile": (4, "", "does not say where its pid is recorded", "pidfile: /run/NAME.pid"),
    "07-process-without-a-program": (4, "", "which program the pid must belong to", "no other process is ever"),
    "08-relative-pidfile": (4, "pidfile", "'router.pid' is not an absolute path", "/run/model_router.pid"),
    "09-pidfile-of-an-api": (8, "pidfile", "pidfile means nothing for a http component", "remove it"),
    "10-api-without-an-address": (4, "", "does not say where router is reached", "add url: http://host:port"),
    "11-path-with-dots": (4, "allow[0]", "is not the plain path of a program", "/usr/local/bin/restart-service"),
    "12-redis-verb-without-a-key": (8, "allow[0]", "'HSET' does not name one key", "HSET metrics:*"),
    "13-redis-command-that-may-not-be": (8, "allow[0]", "CONFIG is not a command that Andon may be", "FAILOVER"),
    "14-redis-every-key": (8, "allow[0]", "'*' is neither a key nor the beginning of one", "HSET metrics:*"),
    "15-redis-read-in-the-list": (8, "allow[0]", "only reads, and reads need no line", "remove it"),
    "16-redis-verb-in-small-letters": (8, "allow[0]", "'publish' is not in capitals", "write PUBLISH"),
}  # paths are within the file's only component


def load_broken(name: str, kind: Kind = "policies") -> Loaded:
    """The broken file in the place of its kind, beside what ships."""
    file = (BROKEN if kind == "policies" else BROKEN / kind) / f"{name}.yaml"
    beside: list[Kind] = [other for other in ("people", "targets") if other != kind]
    shipped = [Source(f"{other}.yaml", (CONFIGS / f"{other}.yaml").read_text(), other) for other in beside]
    return load([*shipped, Source(file.name, file.read_text(), kind)], CATALOGUE, now=NOW)


def is_clear(loaded: Loaded, name: str, line: int, path: str, message: str, fix: str) -> None:
    """One problem, with all that a person needs."""
    assert loaded.book is None
    (problem,) = loaded.problems
    assert (problem.source, problem.line, problem.path) == (f"{name}.yaml", line, path)
    assert message in problem.message
    assert fix in problem.fix
    assert str(problem).startswith(f"{name}.yaml:{line}: ")
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_broken_file_gets_one_clear_error(name: str) -> None:
    """The error names the line to open, what is wrong there, and what to write instead."""
    is_clear(load_broken(name), name, *EXPECTED[name])


@pytest.mark.parametrize("name", PEOPLE_EXPECTED)
def test_a_broken_people_file_gets_one_clear_error(name: str) -> None:
    """Nobody twice, nobody unknown, no service that nobody answers."""
    is_clear(load_broken(name, "people"), name, *PEOPLE_EXPECTED[name])


@pytest.mark.parametrize("name", ANDON_EXPECTED)
def test_a_broken_setup_file_gets_one_clear_error(name: str) -> None:
    """What watches, asks, answers for Andon and keeps its past: addresses, names and bounds."""
    is_clear(load_broken(name, "andon"), name, *ANDON_EXPECTED[name])


@pytest.mark.parametrize("name", TARGETS_EXPECTED)
def test_a_broken_targets_file_gets_one_clear_error(name: str) -> None:
    """What a component is asked through decides what its entry must say, and what means nothing there."""
    line, within, message, fix = TARGETS_EXPECTED[name]
    path = ".".join(part for part in ("systems.trading-core.components[0]", within) if part)
    is_clear(load_broken(name, "targets"), name, line, path, message, fix)


def test_every_broken_file_is_expected() -> None:
    """A fixture without an expectation tests nothing."""
    for folder, expected in (
        (BROKEN, EXPECTED),
        (BROKEN / "people", PEOPLE_EXPECTED),
        (BROKEN / "andon", ANDON_EXPECTED),
        (BROKEN / "targets", TARGETS_EXPECTED),
    ):
        assert {file.stem for file in folder.glob("*.yaml")} == set(expected)
