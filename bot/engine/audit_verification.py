"""The whole audit, verified: every chain in the store and in the archive, against each other and what was signed of
them.

Called by the API (`andon audit verify`) and by the tests that tamper. Three witnesses are compared (law 10):

* each chain with the head in its aggregate's sealed record: an edit, a gap, a cut;
* each archived chain with the archive's own index, and the index with the store's count of what left;
* all of them with the signed checkpoints: also what is whole in itself, but not what was there before: a chain
  rewritten with all its hashes, cut off together with its record, or deleted with everything that knew of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from bot.core import audit
from bot.core.audit import AuditEntry
from bot.core.checkpoint import Told, contradicted, words
from bot.core.words import AggregateId, Millis
from bot.engine.ports import Archive, Archived, ArchiveVerdict, Store
from bot.errors import RecordForged, StoreUnavailable

Place = tuple[str, AggregateId]  # shard, aggregate

MAX_REREADS: Final = 3  # of a chain that grows while it is read; one incident commits a few times a second at most
_GONE: Final = "its record is gone, only the audit is left"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSeen:
    """One chain of checkpoints, as it was read. `newest_at` 0: it says nothing yet."""

    key: str
    replica: str
    checkpoints: int
    newest_at: Millis


@dataclass(slots=True)
class Testimony:
    """Everything that was signed: by aggregate, and what is wrong with the chains of checkpoints themselves."""

    told: dict[Place, list[Told]] = field(default_factory=dict)
    chains: list[ChainSeen] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Witnesses(Protocol):
    """The chains of checkpoints, as verification and bundles need them."""

    @property
    def key(self) -> str:
        """This replica's public key."""
        ...

    def sign(self, message: bytes) -> str:
        """Sign with this replica's key."""
        ...

    async def sign_now(self) -> None:
        """Sign what this replica has committed and not signed yet, without waiting for the next round."""
        ...

    async def testimony(self) -> Testimony:
        """Everything that was signed. StoreUnavailable."""
        ...

    async def lines(self, wanted: Sequence[tuple[str, int]]) -> list[bytes]:
        """These checkpoints (key, number), as written."""
        ...


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one thing, in words. `system` "" and `aggregate` "": with something as a whole."""

    system: str
    aggregate: AggregateId
    problem: str


@dataclass(slots=True)
class Verdict:
    """What came of it. `problems` are of chains, `archive` of the archive, `checkpoints` of what was signed."""

    chains: int = 0
    entries: int = 0
    problems: list[Problem] = field(default_factory=list)
    archived: int = 0
    archived_entries: int = 0
    archive: list[Problem] = field(default_factory=list)
    signed: list[ChainSeen] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.problems or self.archive or self.checkpoints)


@dataclass(slots=True)
class _Heard:
    """What was signed of one aggregate, and how much of it some copy of the chain bears out."""

    open: list[Told]
    lengths: list[int] = field(default_factory=list)

    def compare(self, chain: Sequence[AuditEntry], *, bounded: bool = False) -> None:
        if chain:
            self.open = contradicted(self.open, [(entry.seq, entry.hash) for entry in chain], bounded=bounded)
            self.lengths.append(chain[-1].seq)


class AuditVerification:
    """One look at everything. `every_shard`: all there are; the archive is one, whichever system is asked for."""

    def __init__(self, store: Store, archive: Archive, witnesses: Witnesses, every_shard: Sequence[str]) -> None:
        self._store = store
        self._archive = archive
        self._witnesses = witnesses
        self._every_shard = tuple(every_shard)

    async def run(self, shards: Sequence[str]) -> Verdict:
        """Walk everything of these shards. StoreUnavailable when the store cannot be read."""
        verdict = Verdict()
        # First what was signed: whatever is read later may only have grown since.
        testimony = await self._witnesses.testimony()
        verdict.signed, verdict.checkpoints = testimony.chains, testimony.problems
        heard = {place: _Heard(list(told)) for place, told in testimony.told.items() if place[0] in shards}
        for shard in shards:
            listed = await self._store.aggregates(shard)
            for aggregate in listed:
                await self._one(verdict, shard, aggregate, heard.get((shard, aggregate)))
            for aggregate in sorted({name for where, name in heard if where == shard} - set(listed)):
                await self._unlisted(verdict, shard, aggregate, heard[shard, aggregate])
        await self._archived(verdict, heard)
        for (shard, aggregate), each in sorted(heard.items()):
            if each.open:
                broken = max(each.open, key=lambda told: told.version)
                verdict.problems.append(Problem(shard, aggregate, words(broken, each.lengths, _signer(broken.key))))
        return verdict

    # --- the store --------------------------------------------------------------------------------------------------

    async def _one(self, verdict: Verdict, shard: str, aggregate: AggregateId, heard: _Heard | None) -> None:
        chain, wrong = await self._walk(shard, aggregate)
        verdict.chains += 1
        verdict.entries += len(chain)
        verdict.problems += [Problem(shard, aggregate, text) for text in wrong]
        if heard is not None:
            heard.compare(chain, bounded=audit.is_bounded(aggregate))

    async def _unlisted(self, verdict: Verdict, shard: str, aggregate: AggregateId, heard: _Heard) -> None:
        """Something signed that the store does not list: archived, or taken out of the list, or gone."""
        chain, wrong = await self._walk(shard, aggregate)
        if not chain and not wrong:
            return  # the archive has it, or nothing has
        text = "the store has it, but does not list it: it was taken out of the list"
        verdict.problems += [Problem(shard, aggregate, each) for each in (text, *wrong)]
        heard.compare(chain, bounded=audit.is_bounded(aggregate))

    async def _walk(self, shard: str, aggregate: AggregateId) -> tuple[list[AuditEntry], tuple[str, ...]]:
        """(links, what is wrong). A chain that grew between reading it and its record is read again."""
        store = self._store
        chain: list[AuditEntry] = []
        wrong: tuple[str, ...] = ("it changes too fast to be compared with its record; try again",)
        try:
            for _ in range(MAX_REREADS):
                stored = (await store.load(shard, [aggregate])).get(aggregate)
                chain = await store.audit(shard, aggregate)
                if stored is None:
                    retired = not chain and aggregate not in await store.aggregates(shard)  # archived meanwhile
                    return chain, () if retired else (_GONE,)
                wrong = audit.verify(chain, stored.head, stored.version, bounded=audit.is_bounded(aggregate))
                again = (await store.load(shard, [aggregate])).get(aggregate)
                if not wrong or (again is not None and again.version == stored.version):
                    break
        except RecordForged as error:
            return chain, (f"its record does not carry our seal: {error}",)
        return chain, wrong

    # --- the archive ------------------------------------------------------------------------------------------------

    async def _archived(self, verdict: Verdict, heard: Mapping[Place, _Heard]) -> None:
        """Not knowing is a problem too."""
        # Before the archive is read: whatever has left by now is listed by then.
        left = {shard: await self._store.retired(shard) for shard in self._every_shard}

        def look(found: Archived) -> None:
            each = heard.get((found.incident.system, found.incident.id))
            if each is not None:
                each.compare(found.audit)

        try:
            found = await self._archive.verify(look)
        except StoreUnavailable as error:
            verdict.archive = [Problem("", "", str(error))]
            return
        verdict.archived, verdict.archived_entries = found.files, found.links
        verdict.archive = [Problem("", each.incident, each.problem) for each in found.problems]
        await self._unlisted_files(verdict, found)
        for shard, gone in left.items():
            there = found.listed.get(shard, 0)
            if there < gone:
                text = (
                    f"{gone} incidents of {shard} have left the store, but the archive lists {there}: it was cut back, "
                    "or other replicas keep the rest elsewhere"
                )
                verdict.archive.append(Problem("", "", text))

    async def _unlisted_files(self, verdict: Verdict, found: ArchiveVerdict) -> None:
        for incident in found.unlisted:
            if not await self._is_stored(incident):
                text = "its file is in the archive, but no line of the index lists it: the line was taken out"
                verdict.archive.append(Problem("", incident, text))

    async def _is_stored(self, incident: AggregateId) -> bool:
        """Still in the store: then retention is under way, or was cut short, and goes on in its next round."""
        for shard in self._every_shard:
            try:
                if await self._store.load(shard, [incident]):
                    return True
            except RecordForged:
                continue  # told by its own chain's verification
        return False


def _signer(key: str) -> str:
    """A key in a sentence."""
    return key.partition(":")[2][:16]
