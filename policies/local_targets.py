"""What targets.yaml says about this host: which programs may be run, and which process a pid file names.

Pure rules, used by `policies.targets` when the file is loaded; `bot.adapters.targets_command` and `targets_process`
read the same lines when something is to be done. What is actually there on the disk is looked at by them, at use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies import chosen_code
from policies.chosen_code import Problem

MAX_LINE = 1_000  # characters of an allow entry: a path and a few fixed words
MAX_PIDFILE = 4_000  # characters of a path; Linux takes 4,095 bytes

MAX_ARGUMENTS = 32  # an action passes a name, an address, a number; more is a mistake
MAX_ARGUMENT = 1_000  # characters of one argument


def argv(line: str) -> tuple[str, ...]:
    """The fixed start of an argument vector, as an allow entry or a process's `program` spells it."""
    return tuple(line.split(" "))


def program_problem(line: str) -> Problem | None:
    """What is wrong with an allow entry of a `command` component."""
    example = 'write the fixed start of the command, like "/usr/local/bin/restart-service"'
    if len(line) > MAX_LINE:
        return f"an entry of more than {MAX_LINE} characters", example
    if not line.isprintable():
        return f"{line!r} holds characters that cannot be seen", "type it anew, in plain characters"
    words = argv(line)
    if not line or "" in words:
        return f"{line!r} has a space too many, or nothing in it", "separate its words by one space each"
    if not words[0].startswith("/"):
        return f"{words[0]!r} is not an absolute path", f"{example}; no PATH is searched"
    if any(part in ("", ".", "..") for part in words[0].split("/")[1:]):
        return f"{words[0]!r} is not the plain path of a program", example
    found = chosen_code.code_of(words)
    return None if isinstance(found, chosen_code.Fixed) else found


def argument_problem(arguments: Sequence[str]) -> str:
    """Why a program is not given these arguments; "" when nothing speaks against them."""
    if len(arguments) > MAX_ARGUMENTS:
        return f"{len(arguments)} arguments are too many; at most {MAX_ARGUMENTS} are passed on"
    problems = ((number, _problem_of_one(argument)) for number, argument in enumerate(arguments, start=1))
    return next((f"argument {number} {problem}" for number, problem in problems if problem), "")


def _problem_of_one(argument: str) -> str:
    if not argument:
        return "is empty"
    if len(argument) > MAX_ARGUMENT:
        return f"has {len(argument)} characters; at most {MAX_ARGUMENT} are passed on"
    if argument.startswith("-"):
        return f"({argument[:40]!r}) begins with - and would be taken for an option"
    if not argument.isprintable():  # also false for line ends, NUL, marks that turn the text round, half characters
        return "holds characters that cannot be seen"
    if argument != argument.strip():
        return "begins or ends with a space"
    return ""


def process_problems(pidfile: str, program: str) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a `process` component: the field, the problem, the fix."""
    if not pidfile:
        yield "pidfile", "does not say where its pid is recorded", "write pidfile: /run/NAME.pid"
    elif not pidfile.startswith("/") or not pidfile.isprintable() or len(pidfile) > MAX_PIDFILE:
        yield "pidfile", f"{pidfile[:80]!r} is not an absolute path", "write it like /run/model_router.pid"
    if not program:
        yield (
            "program",
            "does not say which program the pid must belong to",
            "write program: NAME, so that no other process is ever signalled",
        )
    elif not program.isprintable() or "" in argv(program) or len(program) > MAX_LINE:
        yield (
            "program",
            f"{program[:80]!r} is not the start of a command line",
            'write the program, like model_router or "python3 /opt/router/model_router.py"',
        )
