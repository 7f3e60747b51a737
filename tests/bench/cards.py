"""From a webhook's first byte to the incident's card standing in Slack, against the local Slack over real sockets.

In between lie: the door and its fsync, match, fold, commit, the nudge to the board, the drawing, and chat.postMessage
by the real slack-sdk. Each channel takes one message a second, so the alerts go round over several of them, slowly
enough that none waits for its turn. Called by `tests.bench.__main__`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot.adapters.clock import wall_ms
from tests.bench.house import andon
from tests.bench.lab import ROOT, Figure, say
from tests.bench.load import percentile
from tests.bench.payloads import Shape, webhook

TARGET_MS = 300.0
CHANNELS = ("trading-ops-alerts", "trading-data-alerts", "quant-emergency", "trading-sre-critical")
EVERY_S = 0.6  # a channel has its next card after 2.4 s: one for the card, one for its thread
WITHIN_S = 15.0
CARD = "card:"


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """The median and p95 over some forty cards (twelve when quick)."""
    count = 12 if quick else 40
    policies = [
        {
            "name": f"told-{lane}", "match": ['alertname="BenchTold"', f'lane="{lane:05d}"'], "group_by": ["seq"],
            "channel": f"#{channel}",
        }
        for lane, channel in enumerate(CHANNELS)
    ]  # fmt: skip
    with _slack(folder) as (url, section):
        setup = {"slack": {**section, "storm": {"cards": 100, "within": "1s"}}}
        with andon(folder / "cards", policies, instead={"andon.yaml": setup}) as house:
            sent = {}
            shape = Shape(alertname="BenchTold", lanes=len(CHANNELS), severity="warning")
            _post(house.port, webhook(shape, 0, "warming-up"))
            _until(url, 1)
            for number in range(count):
                seq = f"card-{number:04d}"
                sent[seq] = float(wall_ms())
                _post(house.port, webhook(shape, number % len(CHANNELS), seq))
                time.sleep(EVERY_S)
            shown = _until(url, count + 1)
    waits = sorted(_waits(sent, shown))
    say(f"cards: {len(waits)} of {count}, p95 {percentile(waits, 0.95):.0f} ms, slowest {waits[-1]:.0f} ms")
    median = percentile(waits, 0.5)
    yield Figure("webhook to card in Slack, median", median, "ms", f"<= {TARGET_MS:g}", median <= TARGET_MS)
    yield Figure("webhook to card in Slack, p95", percentile(waits, 0.95), "ms", "", None)


def _waits(sent: dict[str, float], shown: list[dict[str, Any]]) -> Iterator[float]:
    for message in shown:
        text = json.dumps(message)
        for seq, at in sent.items():
            if seq in text:
                yield message["versions"][0]["at"] - at
                break


def _until(url: str, count: int) -> list[dict[str, Any]]:
    """The cards, once there are so many."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        with urllib.request.urlopen(f"{url}/control/shown", timeout=5) as response:
            every = json.load(response)["messages"]
        cards = [each for each in every if str(_payload(each).get("name", "")).startswith(CARD)]
        if len(cards) >= count:
            return cards
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(cards)} of {count} cards after {WITHIN_S:g} s")
        time.sleep(0.1)


def _payload(message: dict[str, Any]) -> dict[str, Any]:
    return dict((message.get("metadata") or {}).get("event_payload") or {})


def _post(port: int, body: bytes) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/webhooks/alertmanager", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        response.read()


@contextmanager
def _slack(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A local Slack in a process of its own: its address, and the `slack:` section that leads there."""
    command = [sys.executable, "-m", "bot.sandbox.slack", "--with-parent"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        for name in ("bot", "app"):
            (folder / f"{name}.token").write_text(ready[f"{name}_token"])
        yield ready["url"], {
            "mode": "socket", "credentials": f"file:{folder / 'bot.token'}",
            "app_credentials": f"file:{folder / 'app.token'}", "api_url": ready["api_url"],
            "channel": f"#{CHANNELS[0]}",
        }  # fmt: skip
    finally:
        process.terminate()
        process.wait()
