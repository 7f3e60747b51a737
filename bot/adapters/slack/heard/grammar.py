"""`/andon …`: every verb, how it is typed, and what it asks for. Pure.

`commands` answers what `read` makes of a text. A verb is one entry of `VERBS` and one function; help is made of the
table, so it names what exists and nothing else. Wrong input raises UnclearError: what is wrong, and what to type
instead. Options may be written as on the command line (`--for 2h`); the `here` of a question shows it to everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bot.adapters.slack.heard import asks
from bot.adapters.slack.heard.asks import Ask
from bot.adapters.slack.heard.command_line import MAX_SHOWN, CommandLine
from bot.adapters.slack.heard.typed_text import plain
from bot.adapters.slack.heard.typed_text import read as words_of
from bot.errors import InputError
from policies.problems import UnclearError, did_you_mean

HERE: Final = "here"
RESTART: Final = "service.restart"  # what `restart` runs
# What people look for and Andon cannot do yet, and what helps instead.
NOT_YET: Final = {
    "liquidate": "there is no action that closes positions; /andon run trading.halt … stops new orders, and "
    "positions are closed by hand at the trading desk",
    "drill": "drills cannot be started from Slack; andon demo plays one, against a simulated system",
}
_KILL: Final = "kill-switch"
_NO_PULL: Final = frozenset({"status", "release", "off"})  # after it, they ask for something else
_ADDRESSED: Final = frozenset({"/andon", "andon", "andon:"})  # said once more before the verb, as is a mention
_ALIASES: Final = {
    "?": "help", "list": "incidents", "kill": "kill-switch", "killswitch": "kill-switch", "on-call": "oncall",
    "acknowledge": "ack", "close": "resolve", "hand-off": "handoff", "stop": "freeze",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verb:
    """How one verb is typed, what it does, and what reads it. `asks`: a question, which `here` shows to everybody."""

    usage: str
    does: str
    read: Callable[[CommandLine], Ask]
    options: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """What was typed: the ask, the verb it came by, and whether everybody is to see the answer."""

    verb: str
    ask: Ask
    aloud: bool = False


def read(text: str) -> Command:
    """The command. Raises UnclearError, and InputError for what is no command at all."""
    try:
        return _read(text)
    except (InputError, UnclearError):
        pulled = _pulled(text)
        if pulled is None:
            raise
        return pulled


def _pulled(text: str) -> Command | None:
    """The kill switch, when that is what was meant: a reason that cannot be read stops nobody from stopping Andon."""
    words = plain(text).split()
    while words and (words[0].lower() in _ADDRESSED or words[0].startswith("@")):
        words = words[1:]
    verb = words[0].lower().strip(":,") if words else ""
    if _ALIASES.get(verb, verb) != _KILL or any(word.lower().lstrip("-") in _NO_PULL for word in words[1:2]):
        return None
    return Command(_KILL, asks.KillSwitch(" ".join(words[1:])))


def _read(text: str) -> Command:
    words = words_of(text)
    if words and (words[0].text.lower() in _ADDRESSED or words[0].text.startswith("@")):
        words = words[1:]
    if not words:
        return Command("help", asks.Help())
    named = words[0].text.lower().strip(":,")
    verb = _ALIASES.get(named, named)
    if verb in NOT_YET:
        raise UnclearError(f"{verb} does not exist yet: {NOT_YET[verb]}", "/andon help lists what does")
    known = VERBS.get(verb)
    if known is None:
        likely = did_you_mean(verb, VERBS)
        told = f"{likely} " if likely else ""
        raise UnclearError(f"{named[:MAX_SHOWN]!r} is nothing Andon understands", f"{told}/andon help lists it all")
    rest = words[1:]
    aloud = known.asks and bool(rest) and rest[-1].text.lower() == HERE
    line = CommandLine(rest[:-1] if aloud else rest, known.usage, known.options, (*known.flags, HERE))
    ask = known.read(line)
    line.end()
    return Command(verb, ask, aloud or HERE in line.flags)


def pages() -> list[tuple[str, str]]:
    """(how it is typed, what it does) of every verb, for help."""
    return [(verb.usage, verb.does) for verb in VERBS.values()]


# --- one function a verb ----------------------------------------------------------------------------------------------


def _help(line: CommandLine) -> Ask:
    named = line.next().lower()
    verb = _ALIASES.get(named, named)
    if verb and verb not in VERBS:
        raise UnclearError(NOT_YET.get(verb, f"there is no verb {verb[:MAX_SHOWN]!r}"), "/andon help lists them all")
    return asks.Help(verb)


def _status(_: CommandLine) -> Ask:
    return asks.Status()


def _incidents(line: CommandLine) -> Ask:
    return asks.Incidents(line.option("system") or line.next())


def _show(line: CommandLine) -> Ask:
    return asks.Show(line.incident())


def _report(line: CommandLine) -> Ask:
    return asks.Report(line.incident())


def _ack(line: CommandLine) -> Ask:
    return asks.Ack(line.incident())


def _take(line: CommandLine) -> Ask:
    return asks.Take(line.incident())


def _approve(line: CommandLine) -> Ask:
    return asks.Approve(line.incident(), alone="break-glass" in line.flags)


def _deny(line: CommandLine) -> Ask:
    return asks.Deny(line.incident(), line.rest("reason"))


def _escalate(line: CommandLine) -> Ask:
    return asks.Escalate(line.incident(), line.rest("reason"))


def _resolve(line: CommandLine) -> Ask:
    return asks.Resolve(line.incident(), line.rest("note"), force="force" in line.flags)


def _hold(line: CommandLine) -> Ask:
    return asks.Hold(line.incident(), line.duration(), line.rest("reason"))


def _run(line: CommandLine) -> Ask:
    return _ordered(line, line.next()) if line else asks.Run()


def _restart(line: CommandLine) -> Ask:
    return _ordered(line, RESTART)


def _ordered(line: CommandLine, action: str) -> Ask:
    """SYSTEM/COMPONENT NAME=VALUE… and a reason; without a place, a form asks for it."""
    system = line.option("system")
    place = asks.Place(system, line.option("component")) if system else line.place() if line.names_place else None
    if place is not None and not place.system:
        raise line.unclear("an action runs on one SYSTEM or SYSTEM/COMPONENT")
    arguments = line.arguments()
    reason = line.rest("reason")
    if not reason and isinstance(arguments.get("reason"), str):
        reason = arguments["reason"]
    return asks.Run(action, place, arguments, reason)


def _silence(line: CommandLine) -> Ask:
    matchers = line.matchers()
    if line and not matchers:
        word = line.next()
        raise line.unclear(f'{word[:MAX_SHOWN]!r} is no matcher; write it like alertname="{word[:MAX_SHOWN]}"')
    return asks.Silence(matchers, line.duration(), line.rest("reason"))


def _freeze(line: CommandLine) -> Ask:
    place = asks.Place() if "all" in line.flags else line.place() if line else None
    for_ms = line.duration()
    return asks.Freeze(place, line.rest("reason"), for_ms)


def _unfreeze(line: CommandLine) -> Ask:
    return asks.Unfreeze(asks.Place() if "all" in line.flags else line.place() if line else None)


def _arm(line: CommandLine) -> Ask:
    return asks.Arm(*_policy(line))


def _disarm(line: CommandLine) -> Ask:
    return asks.Disarm(*_policy(line))


def _policy(line: CommandLine) -> tuple[str, str]:
    """POLICY, SYSTEM/POLICY, or POLICY SYSTEM; without any, a form asks which."""
    word = line.next()
    if not word:
        return "", line.option("system")
    system, slash, policy = word.partition("/")
    return (policy, system) if slash else (word, line.option("system") or line.next())


def _reload(_: CommandLine) -> Ask:
    return asks.Reload()


def _kill_switch(line: CommandLine) -> Ask:
    if line.flags & {"release"}:
        raise UnclearError(
            "the kill switch is released only on the machine itself", "run andon kill-switch --release there"
        )
    reason = line.rest("reason")
    word = reason.lower()
    if word in ("release", "off"):
        raise UnclearError(
            "the kill switch is released only on the machine itself", "run andon kill-switch --release there"
        )
    return asks.KillSwitch("" if word == "status" else reason, look=word == "status" or "status" in line.flags)


def _oncall(line: CommandLine) -> Ask:
    return asks.Oncall(line.next())


def _handoff(_: CommandLine) -> Ask:
    return asks.Handoff()


_REASON: Final = ("reason",)
_FOR: Final = ("reason", "for")
_ORDER: Final = ("reason", "system", "component")
VERBS: Final[dict[str, Verb]] = {
    "help": Verb("help [VERB]", "what Andon understands", _help, asks=True),
    "status": Verb("status", "is it well, what may act, what is frozen, what waits", _status, asks=True),
    "incidents": Verb("incidents [SYSTEM]", "what is open", _incidents, ("system",), asks=True),
    "show": Verb("show INCIDENT", "one incident: how it stands, what was done, what comes next", _show, asks=True),
    "ack": Verb("ack INCIDENT", "you have seen it: paging stops", _ack),
    "take": Verb("take INCIDENT", "you have it: automation stands down on it", _take),
    "approve": Verb(
        "approve INCIDENT", "shows what is asked, with the button to say yes (--break-glass: alone)", _approve,
        flags=("break-glass",),
    ),
    "deny": Verb("deny INCIDENT [REASON]", "no to what it asks; one no is enough", _deny, _REASON),
    "escalate": Verb("escalate INCIDENT [REASON]", "call more people now", _escalate, _REASON),
    "resolve": Verb(
        "resolve INCIDENT [NOTE]", "it is over (--force: although alerts still fire)", _resolve, ("note",), ("force",)
    ),
    "hold": Verb("hold INCIDENT [15m] [REASON]", "the ladder's own actions wait; its pages go on", _hold, _FOR),
    "run": Verb(
        "run [ACTION [SYSTEM/COMPONENT] NAME=VALUE… REASON]", "one action by hand; shows first what it would do", _run,
        _ORDER,
    ),
    "restart": Verb(
        "restart [SYSTEM/COMPONENT NAME=VALUE… REASON]", f"the same as run {RESTART}: start a service again", _restart,
        _ORDER,
    ),
    "silence": Verb(
        'silence [alertname="NAME" 1h REASON]', "alerts stop being told; shows first which", _silence, _FOR
    ),
    "freeze": Verb(
        "freeze [all|SYSTEM[/COMPONENT] [2h] REASON]", "automation off there, until lifted or for a while", _freeze,
        _FOR, ("all",),
    ),
    "unfreeze": Verb(
        "unfreeze [all|SYSTEM[/COMPONENT]]", "automation on again there; shows first what that lets loose", _unfreeze,
        flags=("all",),
    ),
    "arm": Verb("arm [POLICY] [SYSTEM]", "let a policy act", _arm, ("system",)),
    "disarm": Verb("disarm [POLICY] [SYSTEM]", "let a policy only watch", _disarm, ("system",)),
    "reload": Verb("reload", "look at the configuration files now", _reload),
    "kill-switch": Verb(
        "kill-switch [REASON]", "stop every action of Andon at once (status: how it stands)", _kill_switch, _REASON,
        ("status", "release"),
    ),
    "oncall": Verb("oncall [SERVICE]", "who answers when a service is paged", _oncall, asks=True),
    "handoff": Verb("handoff", "a summary for whoever takes the shift over", _handoff, asks=True),
    "report": Verb("report INCIDENT", "the account of one incident, from the audit", _report, asks=True),
}  # fmt: skip
FOOT: Final = (
    "INCIDENT is the first letters of its id. Only you see the answer; a question that ends with here is for all."
)
