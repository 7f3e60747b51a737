"""`/andon …` as text: what Slack made of it is undone, each verb is read, wrong input is told what to type instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.slack.heard import asks, grammar
from bot.adapters.slack.heard.asks import Place
from bot.adapters.slack.heard.typed_text import MAX_TEXT, MAX_WORDS
from bot.adapters.slack.heard.typed_text import read as words_of
from bot.errors import InputError
from policies.problems import UnclearError
from tests.unit.fuzzing import examples

CUT = "risk.reduce_kelly trading-core/risk-engine"
MINUTE = 60_000


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("  show   inc-4kq ", ["show", "inc-4kq"]),
        ("deny inc-4kq “VaR can’t be read”", ["deny", "inc-4kq", "VaR can't be read"]),
        ("freeze trading-core —for 2h", ["freeze", "trading-core", "--for", "2h"]),
        ("a — b –force", ["a", "—", "b", "--force"]),  # a dash between words stays one
        ("ask <@U12|somebody> in <#C1|ops> or <@U9>", ["ask", "@somebody", "in", "#ops", "or", "@U9"]),
        ("see <https://a.b/c|a.b/c> <https://x.y> <mailto:a@b.c|a@b.c>", ["see", "a.b/c", "https://x.y", "a@b.c"]),
        ("tell <!channel> <!subteam^S1|@desk> &lt;now&gt; &amp;lt;", ["tell", "@channel", "@desk", "<now>", "&lt;"]),
        ('say "a \\"b\\" c" d', ["say", 'a "b" c', "d"]),
    ],
)
def test_what_slack_made_of_a_text_is_undone(typed: str, words: list[str]) -> None:
    """Curly quotes, pretty dashes, tokens and entities would make something else of a command."""
    assert [word.text for word in words_of(typed)] == words


def test_a_command_is_bounded_and_its_quotes_are_closed() -> None:
    """A pasted log, or a quote that swallows the rest, is no command."""
    for typed in ("x" * (MAX_TEXT + 1), "x " * (MAX_WORDS + 1), 'deny inc-4kq "not now'):
        with pytest.raises(InputError):
            grammar.read(typed)


@pytest.mark.parametrize(
    ("typed", "ask"),
    [
        ("", asks.Help()),
        ("/andon help deny", asks.Help("deny")),
        ("<@UBOT|andon> STATUS", asks.Status()),
        ("incidents trading-core", asks.Incidents("trading-core")),
        ("show INC-4KQ", asks.Show("inc-4kq")),
        ("report 4kq", asks.Report("4kq")),
        ("approve inc-4kq", asks.Approve("inc-4kq")),
        ("approve inc-4kq --break-glass", asks.Approve("inc-4kq", alone=True)),
        ("deny inc-4kq", asks.Deny("inc-4kq")),
        ("deny inc-4kq because it is over", asks.Deny("inc-4kq", "it is over")),
        ("deny inc-4kq because of a test", asks.Deny("inc-4kq", "because of a test")),
        ('escalate inc-4kq --reason "no idea"', asks.Escalate("inc-4kq", "no idea")),
        ("resolve inc-4kq bad feed --force", asks.Resolve("inc-4kq", "bad feed", force=True)),
        ("hold inc-4kq", asks.Hold("inc-4kq")),
        ("hold inc-4kq 15m reading the log", asks.Hold("inc-4kq", 15 * MINUTE, "reading the log")),
        ("hold inc-4kq reading --for=15m", asks.Hold("inc-4kq", 15 * MINUTE, "reading")),
        ("freeze", asks.Freeze()),
        ("freeze --all a bad release", asks.Freeze(Place(), "a bad release")),
        ("freeze everywhere for 2h a bad release", asks.Freeze(Place(), "a bad release", 120 * MINUTE)),
        ("freeze trading-core/router down for 2h", asks.Freeze(Place("trading-core", "router"), "down for 2h")),
        ("unfreeze", asks.Unfreeze()),
        ("unfreeze all", asks.Unfreeze(Place())),
        ("arm", asks.Arm()),
        ("disarm", asks.Disarm()),
        ("arm var-breach", asks.Arm("var-breach")),
        ("arm trading-core/var-breach", asks.Arm("var-breach", "trading-core")),
        ("disarm var-breach trading-core", asks.Disarm("var-breach", "trading-core")),
        ("run", asks.Run()),
        (
            f"run {CUT} kelly_fraction=0.1 because VaR is a=b",
            asks.Run("risk.reduce_kelly", Place("trading-core", "risk-engine"), {"kelly_fraction": 0.1}, "VaR is a=b"),
        ),
        (
            'run notify --system py-rt words="0.1" on=true text=plain reason="x"',
            asks.Run("notify", Place("py-rt"), {"words": "0.1", "on": True, "text": "plain", "reason": "x"}, "x"),
        ),
        ("restart py-rt/feed", asks.Run("service.restart", Place("py-rt", "feed"))),
        ("restart", asks.Run("service.restart")),
        ("run notify", asks.Run("notify")),
        ('run notify words=hello --reason "a release"', asks.Run("notify", None, {"words": "hello"}, "a release")),
        ("silence", asks.Silence()),
        (
            "silence alertname=“VaR Breach”, severity=~warning|info for 1h a release",
            asks.Silence(('alertname="VaR Breach"', "severity=~warning|info"), 60 * MINUTE, "a release"),
        ),
        ("kill-switch", asks.KillSwitch()),
        ("killswitch status", asks.KillSwitch(look=True)),
        ("kill-switch the book is wrong", asks.KillSwitch("the book is wrong")),
        ("oncall cro", asks.Oncall("cro")),
        ("handoff", asks.Handoff()),
        ("reload", asks.Reload()),
    ],
)  # fmt: skip
def test_each_verb_is_read_as_people_type_it(typed: str, ask: asks.Ask) -> None:
    """Places, durations and arguments are typed values; the rest of the line is the reason, with or without options."""
    found = grammar.read(typed)
    assert (found.ask, found.aloud) == (ask, False)


def test_a_question_is_answered_aloud_only_where_that_is_asked_for() -> None:
    """`here` ends a question; in the reason of an order it is a word like any other."""
    assert grammar.read("status here") == grammar.Command("status", asks.Status(), aloud=True)
    assert grammar.read("ack inc-4kq --here").aloud
    assert grammar.read("help here") == grammar.Command("help", asks.Help(), aloud=True)
    deny = grammar.read("deny inc-4kq nobody is here")
    assert (deny.ask, deny.aloud) == (asks.Deny("inc-4kq", "nobody is here"), False)


@pytest.mark.parametrize(
    ("typed", "wrong", "instead"),
    [
        ("statsu", "'statsu'", "did you mean status?"),
        ("help statsu", "'statsu'", "/andon help"),
        ("show", "which incident", "/andon show INCIDENT"),
        ("show me!", "'me!' is no incident", "/andon show INCIDENT"),
        ("ack inc-4kq now", "'now' is too much", "/andon ack INCIDENT"),
        ("status --all", "--all is no option", "/andon status"),
        ("resolve inc-4kq --forse", "did you mean --force?", "/andon resolve"),
        ("hold inc-4kq --for soon", "'soon' is no time", "/andon hold"),
        ("hold inc-4kq --for", "--for needs a value", "/andon hold"),
        ("freeze trading-core/ now", "'trading-core/' is no place", "/andon freeze"),
        ("run notify all", "one SYSTEM", "/andon run"),
        (f"run {CUT} a=1 a=2", "a is said twice", "/andon run"),
        ("silence VaRBreach", 'alertname="VaRBreach"', "/andon silence"),
        ("kill-switch release", "only on the machine", "andon kill-switch --release"),
        ("kill-switch --release", "only on the machine", "andon kill-switch --release"),
        ("liquidate all", "liquidate does not exist yet", "/andon help"),
        ("drill", "drill does not exist yet", "/andon help"),
    ],
)
def test_wrong_input_is_told_what_to_type_instead(typed: str, wrong: str, instead: str) -> None:
    """One sentence says what is wrong, another what would be right."""
    with pytest.raises(UnclearError) as told:
        grammar.read(typed)
    assert wrong in told.value.message
    assert instead in told.value.fix


def test_help_names_what_exists_and_nothing_else() -> None:
    """No stub: what cannot be done yet is named only to whoever types it."""
    named = {usage.split(" ")[0] for usage, _ in grammar.pages()}
    assert named == set(grammar.VERBS)
    assert named.isdisjoint(grammar.NOT_YET)
    for verb in grammar.VERBS:
        assert grammar.read(f"help {verb}").ask == asks.Help(verb)


WORDS = st.sampled_from(
    [
        *grammar.VERBS,
        "inc-4kq",
        "--for",
        "--here",
        "—",
        "2h",
        "a=b",
        '"',
        "“",
        "<@U1>",
        "&lt;",
        "\\",
        "all",
        "/",
        "=",
        "\0",
    ]
)


@examples(150)
@given(st.lists(WORDS | st.text(max_size=6), max_size=8).map(" ".join))
def test_any_text_is_a_command_or_told_what_is_wrong_with_it(typed: str) -> None:
    """Whatever is typed, pasted or dictated, nobody sees a traceback."""
    told = ""
    try:
        told = grammar.read(typed).verb
    except (UnclearError, InputError) as error:
        told = str(error)
    assert told
