"""`make vulnerabilities`: is any version that the image is locked to known to be vulnerable?

Asks https://osv.dev (which has PyPI's own advisories, and GitHub's) about every pinned line of the locks, in one
question: https://google.github.io/osv.dev/post-v1-querybatch/. Needs Python only. What it answers with:

    0  nothing is known about any of them
    1  something is: each with its name, what it is, and the version that mends it
    2  a lock is not one: a line without an exact version or without a hash
    3  NOT CHECKED: nobody could be asked, or the answer was none. Never taken for 0
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

OSV: Final = "https://api.osv.dev"
SECONDS: Final = 20.0  # one question
MAX_ANSWER: Final = 64 * 1024 * 1024  # bytes; an advisory has some kilobytes
MAX_TOLD: Final = 100  # advisories looked up by name; the rest is named only
NOT_CHECKED: Final = 3

PINNED: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")


class NoAnswerError(Exception):
    """Nobody could be asked. The message is a sentence."""


class NoLockError(Exception):
    """A file is not a lock. The message names the line."""


def pinned(path: Path) -> list[tuple[str, str]]:
    """(name, version) of every line of a lock. NoLockError where one has no exact version, or no hash."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    for raw in text.splitlines():
        line = raw.partition(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        match = PINNED.match(line)
        if match is None or "--hash=sha256:" not in line:
            raise NoLockError(f"{path}: {line[:80]!r} has no exact version with a hash; run `make lock`")
        found.append((match[1], match[2]))
    if not found:
        raise NoLockError(f"{path}: nothing is pinned in it")
    return found


def ask(base: str, path: str, question: object = None) -> Any:
    """One question. NoAnswerError when there is no usable answer."""
    data = json.dumps(question).encode() if question is not None else None
    request = urllib.request.Request(base + path, data=data, headers={"Content-Type": "application/json"})  # noqa: S310  # https, or what --url says
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  # as above
            return json.loads(answer.read(MAX_ANSWER))
    except (OSError, ValueError) as error:  # URLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise NoAnswerError(f"{base} gave no answer: {reason}") from error


def known(base: str, locked: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """(name, version, advisory) of everything that is known. NoAnswerError."""
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in locked]
    answer = ask(base, "/v1/querybatch", {"queries": queries})
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != len(locked):
        raise NoAnswerError(f"{base} did not answer for each of the {len(locked)} packages")
    for (name, version), result in zip(locked, results, strict=True):
        for each in (result or {}).get("vulns") or []:
            yield name, version, str(each["id"])


def told(base: str, name: str, version: str, advisory: str) -> str:
    """One advisory as a line: what it is, and what mends it, as far as that can be looked up."""
    try:
        about = ask(base, f"/v1/vulns/{advisory}")
    except NoAnswerError:
        about = {}
    summary = str(about.get("summary") or about.get("details") or "see https://osv.dev/vulnerability/" + advisory)
    fixed = sorted(
        {
            str(event["fixed"])
            for affected in about.get("affected") or []
            if str((affected.get("package") or {}).get("name", "")).lower() == name.lower()
            for span in affected.get("ranges") or []
            if span.get("type") == "ECOSYSTEM"
            for event in span.get("events") or []
            if "fixed" in event
        }
    )
    mended = f"; mended in {', '.join(fixed)}" if fixed else ""
    return f"{name} {version}: {advisory}: {' '.join(summary.split())[:200]}{mended}"


def main(arguments: Sequence[str]) -> int:
    """As the module says."""
    parser = argparse.ArgumentParser(prog="vulnerabilities", description="Known vulnerabilities of what is locked.")
    parser.add_argument("locks", nargs="+", type=Path)
    parser.add_argument("--url", default=OSV, help="another server that answers as osv.dev does")
    asked = parser.parse_args(arguments)
    try:
        locked = sorted({each for path in asked.locks for each in pinned(path)})
        found = sorted(set(known(asked.url, locked)))
    except (NoLockError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except NoAnswerError as error:
        sys.stderr.write(f"NOT CHECKED: {error}\nwhether anything in these locks is vulnerable is not known\n")
        return NOT_CHECKED
    for number, (name, version, advisory) in enumerate(found):
        line = told(asked.url, name, version, advisory) if number < MAX_TOLD else f"{name} {version}: {advisory}"
        sys.stdout.write(line + "\n")
    what = f"{len(found)} known vulnerabilities" if found else "no known vulnerability"
    sys.stdout.write(f"{what} in {len(locked)} locked packages, as {asked.url} has it\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
