"""deploy/Dockerfile, read as far as its tests need: stages, instructions, and the context that .dockerignore leaves."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its continued lines joined: `COPY`, `--chown=… a b`."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its arguments: of the exec form, or split as a shell would."""
        return list(json.loads(self.text)) if self.text.startswith("[") else shlex.split(self.text)

    @property
    def flags(self) -> dict[str, str]:
        """`--from=build` and its like."""
        pairs = (word.removeprefix("--").partition("=") for word in self.words if word.startswith("--"))
        return {name: value for name, _, value in pairs}

    @property
    def paths(self) -> tuple[list[str], str]:
        """Of a COPY: its sources, and where to."""
        *sources, target = (word for word in self.words if not word.startswith("--"))
        return sources, target


@dataclass(slots=True)
class Stage:
    """From one FROM to the next."""

    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """Its instructions of this name, in order."""
        return [each for each in self.instructions if each.name == name]

    def only(self, name: str) -> Instruction:
        """The one instruction of this name."""
        (found,) = self.all(name)
        return found

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        pairs = (word.partition("=") for each in self.all("ENV") for word in each.words)
        return {name: value for name, _, value in pairs}


def stages() -> list[Stage]:
    """All of them, with the defaults of ARGs before the first FROM put in."""
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for each in _instructions(DOCKERFILE.read_text(encoding="utf-8")):
        if each.name == "ARG" and not found:
            name, _, value = each.text.partition("=")
            arguments[name] = value
        elif each.name == "FROM":
            image, _, name = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], each.text).partition(" AS ")
            found.append(Stage(image, name))
        else:
            found[-1].instructions.append(each)
    return found


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    parts = (line.strip().split(None, 1) for line in joined.splitlines() if line.strip())
    return [Instruction(name, rest) for name, rest in parts]


def context() -> set[str]:
    """The tracked (or new) files that .dockerignore lets into the build context."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return {path for path in listed if (ROOT / path).is_file() and not ignored(path)}


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps this path out; the last of its patterns that matches decides."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    hits = [line for line in patterns if _pattern(line.removeprefix("!").strip("/")).match(path)]
    return bool(hits) and not hits[-1].startswith("!")


def _pattern(text: str) -> re.Pattern[str]:
    """A pattern of .dockerignore, which takes a folder with all that is in it."""
    made = re.escape(text).replace(r"\[", "[").replace(r"\]", "]")
    made = made.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.compile(rf"{made}(?:/.*)?$")


def covers(source: str, path: str) -> bool:
    """Whether COPY's `source` brings `path` along."""
    source = source.strip("/")
    return path == source or path.startswith(f"{source}/")
