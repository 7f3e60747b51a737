"""What was signed of the audit, in memory. Implements `bot.engine.audit_verification.Witnesses`; signs nothing."""

from __future__ import annotations

from collections.abc import Sequence

from bot.engine.audit_verification import Testimony


class MemoryWitnesses:
    """Says what it is given."""

    key = "ed25519:" + "0" * 64

    def __init__(self, said: Testimony | None = None) -> None:
        self.said = said if said is not None else Testimony()
        self.kept: dict[tuple[str, int], bytes] = {}

    def sign(self, message: bytes) -> str:
        """No signature that holds."""
        return "0" * 128

    async def sign_now(self) -> None:
        """Nothing waits."""

    async def testimony(self) -> Testimony:
        """What it was given; each time a copy, for verification adds nothing to it."""
        told = {place: list(each) for place, each in self.said.told.items()}
        return Testimony(told, list(self.said.chains), list(self.said.problems))

    async def lines(self, wanted: Sequence[tuple[str, int]]) -> list[bytes]:
        """Those it was given."""
        return [self.kept[place] for place in wanted if place in self.kept]
