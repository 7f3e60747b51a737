"""Any body at the webhook door: alerts within their bounds that can be stored as they are, or a 4xx; nothing else.

Grown from good notifications by changes that keep most of them, so that what is odd stands deep inside. Bodies that
once were trouble, or would be to another parser, are kept in `tests/fixtures/corpora/webhooks`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.adapters import codec
from bot.errors import InputError
from handlers import alertmanager, grafana
from handlers.routing import Route, split
from handlers.webhook import MAX_ANNOTATION, MAX_LABEL_TEXT, MAX_LABELS, MAX_NOTES, MAX_RAW, Webhook
from tests.unit.fuzzing import examples
from tests.unit.handlers.test_alertmanager_webhook import body as am_body
from tests.unit.handlers.test_grafana_webhook import body as gf_body

CORPUS = sorted((Path(__file__).resolve().parents[2] / "fixtures/corpora/webhooks").iterdir())
READERS: dict[str, tuple[Callable[[bytes], Webhook], bytes]] = {
    "alertmanager": (alertmanager.salvage, am_body()),
    "grafana": (grafana.salvage, gf_body()),
}
ODD_TEXT = st.sampled_from(
    ["", "\0", "\n", "\x1b[31m", "\u2028", "\U0010ffff", "\ufeff", "a" * 257, "${labels.x}", "andon", "\\", "\u0130"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | ODD_TEXT, inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    found = [at]
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += places(inner, (*at, key))
    return found


@st.composite
def near_misses(draw: st.DrawFn, good: bytes) -> bytes:
    """A good body with a few places changed, added, taken out or doubled, and perhaps bytes turned over."""
    payload = json.loads(good)
    payload["alerts"] = [deepcopy(payload["alerts"][0]) for _ in range(draw(st.integers(1, 3)))]
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.sampled_from(places(payload)[1:]))
        holder = payload
        for part in place[:-1]:
            holder = holder[part]
        match draw(st.sampled_from(["set", "drop", "add"])):
            case "set":
                holder[place[-1]] = draw(VALUES)
            case "drop" if isinstance(holder, dict):
                del holder[place[-1]]
            case _ if isinstance(holder, dict):
                holder[draw(st.text(max_size=8) | ODD_TEXT)] = draw(VALUES)
            case _:
                holder.append(draw(VALUES))
        if len(places(payload)) == 1:
            break
    raw = bytearray(json.dumps(payload, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


def judge(read: Callable[[bytes], Webhook], raw: bytes) -> Webhook | None:
    """What the door makes of a body, with every bound checked. Anything but InputError is raised."""
    try:
        webhook = read(raw)
    except InputError as error:
        return _judge_refusal(error)
    assert all(len(refused.raw) <= MAX_RAW and refused.field and refused.problem for refused in webhook.refused)
    for alert in webhook.alerts:
        assert len(alert.labels) <= MAX_LABELS
        assert sum(len(name) + len(value) for name, value in alert.labels.items()) <= MAX_LABEL_TEXT
        assert "andon" not in alert.labels
        assert all(len(note) <= MAX_ANNOTATION for note in alert.annotations.values())
        assert sum(map(len, alert.annotations.values())) <= MAX_NOTES + 2 * MAX_LABELS + 400  # and a note of ours
        assert alert.ends_at is None or alert.status == "resolved"
    for entry in split(webhook, [Route(system="s", receiver="trading-core")], 7).values():
        assert codec.decode_entry(codec.encode_entry(entry)) == entry
    return webhook


def _judge_refusal(error: InputError) -> None:
    assert 400 <= error.status < 500
    assert len(str(error)) < 600
    assert str(error).encode(), "it can be sent"


@pytest.mark.parametrize("kind", READERS)
def test_any_near_miss_is_alerts_or_a_refusal(kind: str) -> None:
    """What is taken can be written to the store and read back exactly."""
    read, good = READERS[kind]

    @examples(60)
    @given(near_misses(good))
    def check(raw: bytes) -> None:
        judge(read, raw)

    check()


@examples(50)
@given(st.binary(max_size=300))
@example(b"\xff\xfe{\x00}\x00")
@example(b'{"alerts":[{}],"alerts":[]}')
def test_any_bytes_are_a_refusal(raw: bytes) -> None:
    """Random bytes are no notification to either reader."""
    for read, _ in READERS.values():
        assert judge(read, raw) is None


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_was_trouble_once_is_none(path: Path) -> None:
    """The kept bodies, to both readers; one whose name says `taken` is, by the reader it names."""
    for kind, (read, _) in READERS.items():
        webhook = judge(read, path.read_bytes())
        assert (webhook is not None) == path.stem.startswith(f"taken-{kind}")


def test_a_key_twice_means_its_last_value_to_every_reader() -> None:
    """Nothing in Andon looks at the first one: not the reader of whole bodies, nor that of bodies with a bad alert."""
    good = am_body().decode()
    twice = good.replace('"severity": "critical"', '"severity": "info", "severity": "critical"')
    assert alertmanager.parse(twice.encode()).alerts == alertmanager.parse(good.encode()).alerts
    beside = twice.replace('"alerts": [', '"alerts": [{}, ')
    assert alertmanager.salvage(beside.encode()).alerts == alertmanager.parse(good.encode()).alerts
