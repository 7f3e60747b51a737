"""What the demo looks like: one snapshot of everything in, one rich renderable out. Pure; `bot.demo.live` shows it.

Colours say what the words say already, so a terminal without them loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bot.core.words import Millis
from bot.engine.outlook import timer_words

THRESHOLD_PCT = 1.8
SWITCHES_PER_MINUTE = 20  # more is too many (row T1)
SLOW_US = 20_000  # the demo's limit, four times the shipped one: its machine has other things to do
FULL_SCALE_PCT = 3.0  # the top of a sparkline; a breach of 2.4 % stands clearly over the threshold
BARS = "▁▂▃▄▅▆▇█"
HISTORY = 48  # readings in a sparkline: twelve seconds at four a second
TIMELINE_LINES = 10
FEWER_LINES = 4  # of the timeline, while a question takes the room
MAX_QUESTIONS = 2  # shown at once; the runbook's ladder asks one at a time
_STATUS_STYLE = {
    "open": "bold red",
    "diagnosing": "bold red",
    "acting": "bold yellow",
    "verifying": "bold yellow",
    "awaiting_approval": "bold magenta",
    "parked": "bold magenta",
    "mitigated": "bold cyan",
    "resolved": "bold green",
    "closed": "green",
}
_WAITS = (  # by the beginning of the timer's name, longest first
    ("verify:again", "next look"),
    ("verify", "verification gives up"),
    ("rung", "next rung"),
    ("approval", "silence escalates"),
    ("close", "closed"),
)


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline: when (on the demo's clock), and what in plain words."""

    at: Millis
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One incident as the view shows it. `due`: timer name -> when, on the demo's clock."""

    id: str
    policy: str
    status: str
    why: str
    symbols: tuple[str, ...] = ()
    firing: bool = False
    episode: int = 1
    due: Mapping[str, Millis] = field(default_factory=dict)
    rungs: Mapping[str, str] = field(default_factory=dict)  # timer name -> what that rung of the ladder will do
    timeline: tuple[Moment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A question that waits for a person: what it would change, who may say yes, and when silence ends it."""

    incident: str
    approval: str
    digest: str
    action: str
    change: str
    votes: int
    quorum: int
    may: tuple[str, ...]
    expires_at: Millis
    silence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The model router and Redis. `p99_us`: of a PING to the primary, in microseconds; None: not measured."""

    router: str
    owner: str
    models: str
    switches: int  # of the last minute, on the demo's clock
    primary: str
    replica: str
    replica_state: str  # up, down, stale
    p99_us: float | None
    cause: str  # of the latency fault; "" when there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything the view needs, at one moment."""

    now: Millis
    scale: float
    alerts_by: str  # "sandbox": no Alertmanager runs, the sandbox posts the webhooks itself
    bot: str  # "running", "killed", "recovering"
    frozen: bool
    kelly_before: float
    kelly: float
    var: Mapping[str, Sequence[float]]  # symbol -> newest last
    effects: int
    requests: int
    trading: bool = True
    floor: Floor | None = None
    cards: tuple[Card, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    socket: str = ""  # of the operators' API, for commands typed in another terminal
    slack: str = ""  # the page of the local Slack
    slack_down: bool = False
    notes: tuple[str, ...] = ()  # what the keys did, newest last


def render(scene: Scene) -> RenderableType:
    """The whole screen."""
    newest = scene.cards[0] if scene.cards else None
    questions = [_question(waiting, scene.now) for waiting in scene.waiting[:MAX_QUESTIONS]]  # high up: always in sight
    below = (_incident(scene, newest), _notes(scene), _deciding(scene), _keys(scene))
    return Group(_header(scene), *questions, _system(scene), *below)


def sparkline(values: Sequence[float]) -> Text:
    """The last readings as bars; those over the threshold in red."""
    text = Text()
    for value in values[-HISTORY:]:
        step = min(len(BARS) - 1, int(max(value, 0.0) / FULL_SCALE_PCT * len(BARS)))
        text.append(BARS[step], style="red" if value > THRESHOLD_PCT else "green")
    return text


def countdown(due: Millis, now: Millis) -> str:
    """The time left on the demo's clock, like 1m05s; "now" when it is over."""
    left = max(0, due - now) // 1000
    if left == 0:
        return "now"
    return f"{left // 60}m{left % 60:02d}s" if left >= 60 else f"{left}s"


def plain(moment: Moment, began: Millis) -> str:
    """One timeline line for a log: seconds since the demo began on its clock, then the words."""
    return f"+{max(0, moment.at - began) / 1000:7.1f}s  {moment.text}"


def _header(scene: Scene) -> RenderableType:
    line = Text.assemble(
        ("Andon", "bold"),
        " demo, simulated trading-core  ",
        (f" CLOCK ×{scene.scale:g}: 1 s here is {scene.scale:g} s there ", "black on yellow"),
    )
    by = (
        "no Alertmanager runs here: the sandbox posts the same webhooks itself"
        if scene.alerts_by == "sandbox"
        else "alerts come from a real Alertmanager"
    )
    chat = Text.assemble("Slack in your browser: ", (scene.slack, f"bold link {scene.slack}"))
    chat.append("  DOWN" if scene.slack_down else "", style="bold red")
    return Group(line, Text(by, style="dim"), *([chat] if scene.slack else []))


def _system(scene: Scene) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    table.add_column("symbol")
    table.add_column("VaR %", justify="right")
    table.add_column(f"the last readings (red: over {THRESHOLD_PCT} %)")
    for symbol, values in scene.var.items():
        last = values[-1] if values else 0.0
        table.add_row(symbol, Text(f"{last:.2f}", style="bold red" if last > THRESHOLD_PCT else ""), sparkline(values))
    kelly = Text.assemble("Kelly fraction  ", (f"{scene.kelly_before:g}", "dim"))
    if scene.kelly != scene.kelly_before:
        kelly.append(" → ").append(
            f"{scene.kelly:g}", style="bold green" if scene.kelly < scene.kelly_before else "bold"
        )
    if not scene.trading:
        kelly.append("   TRADING HALTED", style="bold red")
    ledger = f"   the target's ledger: {_count(scene.effects, 'effect')}, {_count(scene.requests, 'request')}"
    kelly.append(ledger, style="dim")
    below = () if scene.floor is None else _floor(scene.floor)
    return Panel(Group(kelly, table, *below), title="trading-core", title_align="left", border_style="blue")


def _floor(floor: Floor) -> tuple[Text, Text]:
    """A line each for the router and for Redis."""
    paused = floor.router == "paused"
    router = Text.assemble(
        "router ",
        (
            f"paused by {floor.owner or 'nobody named'}" if paused else floor.router,
            "bold yellow" if paused else "green",
        ),
        (f"  {floor.switches}/min  ", "bold red" if floor.switches > SWITCHES_PER_MINUTE else ""),
        (floor.models, "dim"),
    )
    p99 = "p99 not measured" if floor.p99_us is None else f"p99 {floor.p99_us / 1000:.1f} ms"
    slow = floor.p99_us is not None and floor.p99_us > SLOW_US
    replica = "" if floor.replica_state == "up" else f" {floor.replica_state}"
    redis = Text.assemble("redis  ", (f"{p99}  ", "bold red" if slow else "green"), f"primary {floor.primary}")
    redis.append(f"  replica {floor.replica or 'none'}").append(replica, style="bold red")
    redis.append(f"  ({floor.cause})" if floor.cause else "", style="red")
    for line in (router, redis):
        line.no_wrap, line.overflow = True, "ellipsis"
    return router, redis


def _incident(scene: Scene, card: Card | None) -> RenderableType:
    if card is None:
        body: RenderableType = Text("nothing is wrong; press v, s or l to break something", style="dim")
        return Panel(body, title="incident", title_align="left", border_style="green")
    style = _STATUS_STYLE.get(card.status, "bold")
    head = Text.assemble((card.status.replace("_", " "), style), f"   {card.policy} · {', '.join(card.symbols)}")
    if card.episode > 1:
        head.append(f" · episode {card.episode}")
    lines = [head, Text.assemble(("why  ", "dim"), card.why)]
    if card.due:
        waits = sorted(card.due.items(), key=_by_due)
        for name, at in waits:
            lines.append(
                Text.assemble(("next ", "dim"), f"{countdown(at, scene.now):>6}  {card.rungs.get(name) or _wait(name)}")
            )
    lines.append(Text())
    first = card.timeline[0].at if card.timeline else scene.now
    shown = FEWER_LINES if scene.waiting else TIMELINE_LINES
    lines += [Text(plain(moment, first), overflow="ellipsis", no_wrap=True) for moment in card.timeline[-shown:]]
    title = f"incident {card.id}"
    if len(scene.cards) > 1:
        title += f" (and {len(scene.cards) - 1} before it)"
    return Panel(Group(*lines), title=title, title_align="left", border_style=style.split()[-1])


def _question(waiting: Waiting, now: Millis) -> RenderableType:
    """What waits for a person, with the command to type."""
    votes = f"{waiting.votes} of {waiting.quorum} yes; may: {', '.join(waiting.may) or 'nobody'}"
    left = f"{countdown(waiting.expires_at, now)} left; then {waiting.silence}"
    lines = [
        Text.assemble((f"{waiting.action}  ", "bold"), waiting.change, (f"   {votes}", "dim")),
        Text(left, style="bold magenta"),
        Text.assemble(("type ", "dim"), (f"andon approve {waiting.incident}", "bold"), ", or press a"),
    ]
    return Panel(Group(*lines), title="a person must decide", title_align="left", border_style="magenta")


def _notes(scene: Scene) -> RenderableType:
    return Group(*(Text(f"· {note}", overflow="ellipsis", no_wrap=True) for note in scene.notes[-4:]))


def _keys(scene: Scene) -> RenderableType:
    text = Text()
    bot_style = "green" if scene.bot == "running" else "bold red"
    text.append(f"bot {scene.bot}", style=bot_style).append(" ")
    if scene.frozen:
        text.append(" FROZEN ", style="bold white on blue").append(" ")
    return _with_keys(
        text,
        ("v", "break VaR"),
        ("s", "router"),
        ("l", "Redis"),
        ("r", "replica"),
        ("f", "unfreeze" if scene.frozen else "freeze"),
        ("k", "kill -9"),
        ("b", "forge audit"),
        ("q", "quit"),
    )


def _deciding(scene: Scene) -> RenderableType:
    """What people can do about an incident, and how from another terminal."""
    keys = _with_keys(
        Text(), ("w", "VaR badly"), ("a", "approve"), ("d", "deny"), ("t", "take"), ("c", "desk calms it"),
        ("o", "Slack back" if scene.slack_down else "Slack down"),
    )  # fmt: skip
    return Group(Text(f"in another terminal: export ANDON_SOCKET={scene.socket}", style="dim"), keys)


def _with_keys(text: Text, *keys: tuple[str, str]) -> Text:
    """The text with keys and their meanings appended."""
    for key, meaning in keys:
        text.append(f" {key} ", style="reverse").append(f" {meaning} ")
    return text


def _wait(name: str) -> str:
    """A timer of the incident in plain words: the demo's few, else those of `andon show`."""
    return next((words for start, words in _WAITS if name.startswith(start)), timer_words(name))


def _by_due(item: tuple[str, Millis]) -> Millis:
    return item[1]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
