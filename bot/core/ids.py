"""Deterministic identities: the same facts always give the same id, so a replay can never make a second one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from bot.core.words import AggregateId


def digest(*parts: str | int) -> str:
    """SHA-256 over the parts, each length-prefixed so that no two part lists collide by concatenation."""
    whole = hashlib.sha256()
    for part in parts:
        data = str(part).encode()
        whole.update(f"{len(data)}:".encode())
        whole.update(data)
    return whole.hexdigest()


def incident_id(system: str, key: str, opening_event: str) -> AggregateId:
    """Short enough to type: ``inc-`` and ten base32 characters (50 bits)."""
    raw = bytes.fromhex(digest(system, key, opening_event)[:16])
    return "inc-" + base64.b32encode(raw).decode().lower()[:10]


def intent_id(incident: AggregateId, episode: int, step: str, occurrence: int, policy_hash: str) -> str:
    """The name of one promise to act (law 2). A retry of the same promise keeps it."""
    return "int-" + digest(incident, episode, step, occurrence, policy_hash)[:32]


def label_fingerprint(labels: Mapping[str, str]) -> str:
    """What stands for a label set where the sender gives no fingerprint: 16 hex digits, as Alertmanager's."""
    return digest(*(part for name in sorted(labels) for part in (name, labels[name])))[:16]
