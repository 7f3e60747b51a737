"""`python -m bot.sandbox.ctl URL restart NAME HOST:PORT`: restart a service of the simulated floor on a Redis address.

The one program that the demo's targets.yaml allows Andon to run, in the place of a real floor's restart script. It also
runs as a plain file, without the package. Exit codes: 0 restarted, 1 refused or nobody there, 2 wrong arguments.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence

ANSWER_SECONDS = 5.0
USAGE = "usage: ctl URL restart NAME HOST:PORT\n"


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say; one line on standard output, or on standard error."""
    if len(arguments) != 4 or arguments[1] != "restart" or not arguments[0].startswith("http://"):
        sys.stderr.write(USAGE)
        return 2
    url, _, name, address = arguments
    request = urllib.request.Request(  # noqa: S310 - http only, checked above
        f"{url}/api/services/{urllib.parse.quote(name, safe='')}/restart",
        data=json.dumps({"redis": address}).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - as above
            answer.read()
    except urllib.error.HTTPError as refusal:
        sys.stderr.write(
            f"{name} was not restarted: HTTP {refusal.code}: {refusal.read(500).decode(errors='replace')}\n"
        )
        return 1
    except OSError as problem:
        sys.stderr.write(f"{name} was not restarted: {problem}\n")
        return 1
    sys.stdout.write(f"{name} restarts on {address}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
