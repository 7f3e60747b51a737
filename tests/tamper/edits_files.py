"""What somebody does to the files: the archive, the checkpoints, their copies off the box, a bundle.

As in `edits_store`; some of them also have the sealing key, and the last ones even the key that signs.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bot.adapters import bundle
from bot.adapters.archive import FileArchive
from bot.adapters.signing import Signer
from bot.core.audit import GENESIS as NOTHING
from bot.core.checkpoint import GENESIS, parse, sealed, to_sign
from bot.engine.checkpoints import KnownChain
from bot.engine.ports import Archived
from bot.errors import InputError
from tests.tamper.edits_store import Edit, flipped, some
from tests.tamper.floor import ARCHIVED, Floor, rehashed

Lines = list[bytes]


def change_lines(path: Path, change: Callable[[Lines], Lines]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


# --- the archive --------------------------------------------------------------------------------------------------


def an_archived(floor: Floor, rng: random.Random) -> Path:
    return rng.choice(sorted(floor.archive.glob("*/*/*.gz")))


async def edit_an_archived_file(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    path = an_archived(floor, rng)
    path.write_bytes(flipped(path.read_bytes(), rng))
    return (path.name.partition(".")[0],)


async def cut_an_archived_file(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    path = an_archived(floor, rng)
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])
    return (path.name.partition(".")[0],)


async def delete_an_archived_file(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    path = an_archived(floor, rng)
    path.unlink()
    return (path.name.partition(".")[0],)


async def swap_archived_files(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    one, two = rng.sample(sorted(floor.archive.glob("*/*/*.gz")), 2)
    one.write_bytes(two.read_bytes())
    return (one.name.partition(".")[0],)


async def tamper_with_the_index(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    tamper_lines(floor.archive / "index.jsonl", rng)
    return ("index",)


async def archive_without_one(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """The sealing key is stolen: an archive made anew, without one of its incidents, and the store's count with it."""
    kept = await _kept(floor)
    gone = kept.pop(rng.randrange(len(kept)))
    await floor.rewrite_archive(kept)
    return (gone.incident.id,)


async def archive_of_another_story(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """Likewise; all incidents are there, and one tells another story."""
    kept = await _kept(floor)
    at = rng.randrange(len(kept))
    bodies = [entry.body for entry in kept[at].audit]
    bodies[rng.randrange(len(bodies))] = '{"why":"never happened"}'
    if rng.random() < 0.3:
        bodies = bodies[: rng.randint(1, len(bodies) - 1)]
    chain = rehashed(kept[at].audit, bodies)
    kept[at] = replace(kept[at], audit=tuple(chain), head=chain[-1].hash, version=len(chain))
    await floor.rewrite_archive(kept)
    return (kept[at].incident.id,)


async def _kept(floor: Floor) -> list[Archived]:
    found = [await FileArchive(floor.archive, floor.sealer).find(name) for name in ARCHIVED]
    return [each for each in found if each is not None]


# --- checkpoints and their copies -----------------------------------------------------------------------------------


def tamper_lines(path: Path, rng: random.Random) -> None:
    """Any harm to a file of lines but one: adding what a crash might have left."""
    lines = path.read_bytes().splitlines(keepends=True)
    kinds = ["byte", "delete", "cut", "insert", "double", "tear", "remove", *(["swap"] if len(lines) > 1 else [])]
    match rng.choice(kinds):
        case "byte":
            path.write_bytes(flipped(path.read_bytes(), rng))
        case "delete":
            del lines[rng.randrange(len(lines))]
            path.write_bytes(b"".join(lines))
        case "cut":
            path.write_bytes(b"".join(lines[: rng.randrange(len(lines))]))
        case "insert":
            lines.insert(rng.randrange(len(lines) + 1), b'{"checkpoint":{},"signature":""}\n')
            path.write_bytes(b"".join(lines))
        case "double":
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            path.write_bytes(b"".join(lines))
        case "tear":
            data = path.read_bytes()
            path.write_bytes(data[: rng.randrange(len(data))])
        case "swap":
            one, two = rng.sample(range(len(lines)), 2)
            lines[one], lines[two] = lines[two], lines[one]
            path.write_bytes(b"".join(lines))
        case "remove":
            path.unlink()


async def tamper_with_checkpoints(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    tamper_lines(floor.local(), rng)
    return (floor.signers["andon-a"].id,)


async def tamper_with_a_copy(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    replica = rng.choice(sorted(floor.signers))
    tamper_lines(floor.copy(replica), rng)
    return (floor.signers[replica].id,)


async def put_anothers_checkpoints_there(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    one, two = rng.sample(["andon-a", "andon-b"], 2)
    path = rng.choice([floor.copy(one), *([floor.local()] if one == "andon-a" else [])])
    path.write_bytes(floor.copy(two).read_bytes())
    return (floor.signers[one].id,)


async def sign_with_another_key(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """A chain of checkpoints that fits a forged store, signed by whoever made it; own folder or own copy."""
    forger = Signer(rng.randbytes(32))
    lines = _resigned(floor.local(), forger, lambda version: version)
    if rng.random() < 0.5:
        (floor.copies / f"{forger.id}.jsonl").write_bytes(lines)
        return (forger.id,)
    folder = floor.checkpoints / forger.id
    folder.mkdir()
    (folder / "00000001.jsonl").write_bytes(lines)
    return (forger.id,)


async def everything_but_the_copy(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """Every key is stolen, the signing one too: store and checkpoints rewritten to fit each other. The copies are not
    on this machine."""
    place = some(floor, rng, 2)
    stored = (await floor.store.load(place[0], [place[1]]))[place[1]]
    chain = await floor.store.audit(*place)
    shorter = chain[: rng.randint(1, len(chain) - 1)]
    await floor.write(place, stored.record, shorter)
    heads = {entry.seq: entry.hash for entry in shorter}
    signer = floor.signers["andon-a"]
    lines = _resigned(floor.local(), signer, lambda version: version, drop=lambda at: at[:2] == place and
                      heads.get(at[2]) != at[3])  # fmt: skip
    floor.local().write_bytes(lines)
    last = parse(lines.splitlines()[-1])
    assert last is not None
    count = last.checkpoint.seq
    await floor.store.remember_chain(
        KnownChain(key=signer.public, replica="andon-a", seq=count, hash=last.hash, exported=count)
    )
    return (signer.id, place[1])


def _resigned(
    path: Path, signer: Signer, keep: Callable[[int], int], drop: Callable[[Sequence[object]], bool] = lambda at: False
) -> bytes:
    made: list[bytes] = []
    previous = GENESIS
    for line in path.read_bytes().splitlines():
        found = parse(line)
        assert found is not None
        saw = tuple(
            each for each in found.checkpoint.saw if not drop((each.shard, each.aggregate, each.version, each.head))
        )
        stated = replace(found.checkpoint, previous=previous, key=signer.public, saw=saw, seq=keep(len(made) + 1))
        signed = sealed(stated, signer.sign(to_sign(stated)))
        made.append(signed.line + b"\n")
        previous = signed.hash
    return b"".join(made)


async def put_this_machine_back(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """Store, archive and checkpoints, all as they were hours ago, to the byte; only the copies are not."""
    number = rng.randrange(len(floor.rounds) - 1)
    await floor.put_keys(floor.rounds[number])
    for root in (floor.archive, floor.checkpoints):
        floor.put_files(floor.worlds[number], below=root)
    return (floor.signers["andon-a"].id,)


# --- a bundle -------------------------------------------------------------------------------------------------------


async def edit_a_bundle(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """One byte of the file, a part of it, or the whole signed anew by somebody else."""
    public = floor.signers["andon-a"].public
    kind = rng.choice(["byte", "cut", "link", "resigned", "spaces"])
    data = bundle.text(floor.bundle).encode()
    parts = dict(floor.bundle["parts"])
    if kind == "byte":
        data = flipped(data, rng)
    elif kind == "cut":
        data = data[: rng.randrange(len(data))]
    elif kind == "spaces":
        at = data.index(b"\n", rng.randrange(len(data) - 1))
        data = data[:at] + b" " + data[at:]
    else:
        chain = [dict(entry) for entry in parts["chain"]]
        chain[rng.randrange(len(chain))]["body"] = '{"why":"never happened"}'
        parts["chain"] = chain
        signer = Signer(rng.randbytes(32))
        made = bundle.make(parts, key=signer.public, sign=signer.sign)
        if kind == "link":
            made = floor.bundle | {"parts": parts}
        data = bundle.text(made).encode()
    try:
        verdict = bundle.verify(data, public)
    except InputError:
        return (NOTHING,)
    return (NOTHING,) if verdict.problems else ("a bundle that verifies although it was changed",)


FILE_EDITS: Final[Mapping[str, Callable[[Floor, random.Random], Awaitable[tuple[str, ...]]]]] = {
    "an archived file edited": edit_an_archived_file,
    "an archived file cut": cut_an_archived_file,
    "an archived file deleted": delete_an_archived_file,
    "an archived file replaced by another": swap_archived_files,
    "the archive's index changed": tamper_with_the_index,
    "an archive made anew without one (key stolen)": archive_without_one,
    "an archive made anew with another story (key stolen)": archive_of_another_story,
    "checkpoints changed": tamper_with_checkpoints,
    "a copy of checkpoints changed": tamper_with_a_copy,
    "another replica's checkpoints put there": put_anothers_checkpoints_there,
    "checkpoints signed with another key": sign_with_another_key,
    "every key stolen, all but the copies rewritten": everything_but_the_copy,
    "this machine put back, but for the copies": put_this_machine_back,
}
BUNDLE_EDITS: Final[Mapping[str, Edit]] = {"a bundle changed": edit_a_bundle}
