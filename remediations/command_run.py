"""`command.run`: run one allowed program on this host, for what has no action of its own yet.

Run by the engine's step activity, on a component with `connector: command`. The program is an entry of its `allow:`
list, word for word; the arguments follow as plain words (no shell, no options; the connector sees to that). Nothing is
known about what a program does, hence: delivery `once`, risk `risky`, neutral direction, nothing to read back.

Only exit code 0 is done. Any other one proves nothing by itself, for most programs stop half-way through; so it counts
as unknown and a person decides. Where a program says with certain codes that it has done nothing at all, the policy
lists these in `refused:`, and they count as a refusal.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from remediations.kit import (
    ANY_ROLE,
    ActionContext,
    ActionSpec,
    Entry,
    Field,
    Inspection,
    Params,
    Proceed,
    ProgramReply,
    ReadBack,
    Rejected,
    TargetError,
    Unfit,
    Unknown,
    canonical,
    parse,
)

MAX_ARGUMENTS = 32  # as the connector passes on
MAX_SHOWN = 300  # characters of the end of its output in a sentence
MAX_KEPT = 1_500  # characters of it in the record

SPEC = ActionSpec(
    name="command.run",
    summary="Run one allowed program on this host, without a shell; exit code 0 counts as done.",
    delivery="once",
    risk="risky",
    direction="neutral",
    role=ANY_ROLE,
    send_ms=18_000,  # the longest timeout, and how long the connector takes to end a program
)


def _argument(text: str) -> str:
    if text.startswith("-"):
        raise ValueError(
            "an argument that begins with - would be taken for an option; allow the option in targets.yaml"
        )
    if not text.isprintable() or text != text.strip():
        raise ValueError("an argument holds visible characters only, and no space around them")
    return text


Argument = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_argument)]


class CommandRunParams(Params):
    """The program as in the component's `allow:` list, and the arguments that follow it."""

    program: Annotated[str, Field(pattern=r"^/[^\x00-\x1f\x7f]*$", max_length=1_000, description="As in `allow:`.")]
    arguments: Annotated[
        list[Argument],
        Field(
            default_factory=list, max_length=MAX_ARGUMENTS, description="Plain words after it; none may begin with -."
        ),
    ]
    timeout: Annotated[
        str, Field(pattern=r"^([1-9]|1[0-5])s$", description="When it is ended, with all it started: 1s to 15s.")
    ] = "10s"
    refused: Annotated[
        list[Annotated[int, Field(ge=1, le=255)]],
        Field(
            default_factory=list, max_length=32, description="Exit codes with which it says that it has done nothing."
        ),
    ]


class CommandRun:
    """The action. It keeps how the program ended from `send` to `read_back`, for the record only."""

    def __init__(self) -> None:
        self._ended: ProgramReply | None = None

    async def inspect(self, context: ActionContext, arguments: str) -> Inspection:
        """There is no state to read; only whether the component allows this program."""
        asked = parse(CommandRunParams, arguments)
        try:
            target = context.targets.program(context.system, context.component)
        except TargetError as error:
            return Unfit(str(error))
        if asked.program not in target.programs:
            return Unfit(
                f"{context.component} does not allow {asked.program!r}; its allow list in targets.yaml decides"
            )
        line = target.by_hand(asked.program, asked.arguments)
        return Proceed(
            before="{}",
            wanted=canonical({"runs": line}),
            arguments=canonical(asked.model_dump(mode="json")),
            by_hand=line,
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """Run it. Returning means that it ended with 0."""
        asked = parse(CommandRunParams, proceed.arguments)
        target = context.targets.program(context.system, context.component)
        self._ended = await target.run(asked.program, asked.arguments, seconds=float(asked.timeout.removesuffix("s")))
        if self._ended.code == 0:
            return
        said = f"{asked.program} {_ending(self._ended)}"
        if self._ended.code in asked.refused:
            raise Rejected(said)
        raise Unknown(f"{said}; nothing tells whether it did part of its work")

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Nothing can be read back, so nothing is proved; but the record gets the end of what the program wrote."""
        if self._ended is None:
            return ReadBack("{}", None, "a program has nothing to read back; its exit code is all there is")
        after = canonical({"code": self._ended.code, "output": self._ended.output[-MAX_KEPT:]})
        return ReadBack(after, None, f"it {_ending(self._ended)}")


def _ending(reply: ProgramReply) -> str:
    how = f"ended with {reply.code}" if reply.code >= 0 else f"was ended by signal {-reply.code}"
    text = " ".join(reply.output.split())
    return f"{how}; it wrote last: {text[-MAX_SHOWN:]}" if text else f"{how} and wrote nothing"


ENTRY = Entry(
    spec=SPEC,
    params=CommandRunParams,
    action=CommandRun,
    example={"program": "/usr/local/bin/scale-models", "arguments": ["lstm-v2", "4"], "refused": [75]},
    refuses={
        "the component does not allow the program": "… does not allow '/usr/local/bin/scale-models'; its allow list in "
        "targets.yaml decides"
    },
    needs=lambda arguments: (parse(CommandRunParams, arguments).program,),
)
