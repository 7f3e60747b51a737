"""Chains of checkpoints as files, their copies off the box, and the key: what a crash leaves, what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.adapters.checkpoint_export import DirectoryExport, EndpointExport
from bot.adapters.checkpoint_files import LocalChain, exported_from
from bot.adapters.signing import Signer, holds, key_id
from bot.core.checkpoint import GENESIS, ChainReader, Checkpoint, Mark, Signed, Statement, sealed, to_sign
from bot.errors import ConfigError, DeliveryError, RecordForged

SIGNER = Signer(bytes(32))


def chain(length: int, signer: Signer = SIGNER) -> list[Signed]:
    made: list[Signed] = []
    for seq in range(1, length + 1):
        stated = Checkpoint(
            seq=seq, previous=made[-1].hash if made else GENESIS, at=seq, replica="andon-a", key=signer.public,
            saw=(Statement("trading-core", "inc-1", seq, f"{seq:064x}"),),
        )  # fmt: skip
        made.append(sealed(stated, signer.sign(to_sign(stated))))
    return made


def lines(length: int) -> list[bytes]:
    return [each.line for each in chain(length)]


def test_what_was_exported_is_nothing_where_the_note_cannot_be_read(tmp_path: Path) -> None:
    """Torn, foreign, or nested by the thousand: everything is sent again, and nothing fails."""
    for note in (b"", b'{"s3": 1', b"[]", b"[" * 5_000):
        (tmp_path / "exported.json").write_bytes(note)
        assert exported_from(tmp_path) == {}
    (tmp_path / "exported.json").write_bytes(b'{"s3": 1, "odd": "x"}')
    assert exported_from(tmp_path) == {"s3": 1}


# --- the key --------------------------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    """The same after a restart; readable by nobody else, and refused where it is."""
    path = tmp_path / "checkpoint.key"
    made = Signer.from_file(path)
    assert Signer.from_file(path).public == made.public
    assert path.stat().st_mode & 0o077 == 0
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="checkpoint key"):
        Signer.from_file(path)


def test_a_signature_holds_for_its_key_and_its_message_only() -> None:
    """And nothing that is no key or no signature at all ever holds."""
    signature = SIGNER.sign(b"this")
    assert holds(SIGNER.public, b"this", signature)
    for key, message, given in (
        (SIGNER.public, b"that", signature), (Signer(bytes([1] * 32)).public, b"this", signature),
        ("ed25519:", b"this", signature), ("rsa:" + SIGNER.public[8:], b"this", signature),
        (SIGNER.public, b"this", ""), (SIGNER.public, b"this", "zz"), (SIGNER.public, b"this", signature.upper()),
    ):  # fmt: skip
        assert not holds(key, message, given)


# --- the chain ------------------------------------------------------------------------------------------------------


def test_a_whole_chain_has_no_problems() -> None:
    """Every statement in it is believed."""
    reader = ChainReader(SIGNER.public, holds, [Mark(3, chain(3)[2].hash, "the store")])
    assert [each.checkpoint.seq for each in reader.walk(lines(3))] == [1, 2, 3]
    assert reader.problems == []


def edited(given: list[bytes]) -> list[bytes]:
    return [given[0], given[1].replace(b'"inc-1",2', b'"inc-1",7'), given[2]]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda given: [given[0], given[2]], "deleted"),
        (lambda given: [given[0], given[2], given[1]], "reordered"),
        (edited, "signature"),
        (lambda given: [given[0], given[1].replace(b'"at":2', b'"at": 2'), given[2]], "edited"),
        (lambda given: given[:2], "cut off"),
        (lambda given: [*given[:2], chain(3, Signer(bytes([5] * 32)))[2].line], "signature"),
    ],
)
def test_whatever_is_done_to_a_chain_is_named(harm: Callable[[list[bytes]], list[bytes]], words: str) -> None:
    """Deleted, reordered, edited, formatted anew, cut off, or signed by somebody else."""
    reader = ChainReader(SIGNER.public, holds, [Mark(3, chain(3)[2].hash, "the store")])
    list(reader.walk(harm(lines(3))))
    assert words in " ".join(reader.problems)


# --- its file -------------------------------------------------------------------------------------------------------


def test_a_line_that_a_crash_tore_is_cut_off(tmp_path: Path) -> None:
    """It was never acknowledged; the next one stands where it stood, in the first file and in a later one."""
    made = lines(3)
    for line in made[:2]:
        LocalChain(tmp_path).append(line)
    with next(tmp_path.glob("*.jsonl")).open("ab") as file:
        file.write(made[2][:40])
    found = LocalChain(tmp_path).last()
    assert found is not None
    assert found.checkpoint.seq == 2
    LocalChain(tmp_path).append(made[2])
    assert LocalChain(tmp_path).after(0, 10) == made


def test_a_first_line_that_was_torn_leaves_nothing(tmp_path: Path) -> None:
    """As if it had never been begun."""
    (tmp_path / "00000001.jsonl").write_bytes(lines(1)[0][:40])
    assert LocalChain(tmp_path).last() is None
    LocalChain(tmp_path).append(lines(1)[0])
    assert LocalChain(tmp_path).after(0, 10) == lines(1)


def test_a_file_that_was_changed_at_its_end_is_no_chain(tmp_path: Path) -> None:
    """Nothing is added to it."""
    (tmp_path / "00000001.jsonl").write_bytes(b"something else\n")
    with pytest.raises(RecordForged, match="changed"):
        LocalChain(tmp_path).last()


def test_a_long_chain_is_several_files_and_reads_as_one(tmp_path: Path) -> None:
    """A start reads the last file only; whoever is behind gets the lines from where they are."""
    made = lines(7)
    local = LocalChain(tmp_path, segment_bytes=2 * len(made[0]))
    for line in made:
        local.append(line)
    assert len(list(tmp_path.glob("*.jsonl"))) > 2
    assert [local.after(seq, 100) for seq in (0, 1, 4, 7)] == [made, made[1:], made[4:], []]
    assert local.after(2, 3) == made[2:5]


# --- off the box ----------------------------------------------------------------------------------------------------


def copy_in(root: Path) -> Path:
    return root / f"{SIGNER.id}.jsonl"


async def test_a_copy_grows_and_takes_no_line_twice(tmp_path: Path) -> None:
    """Also where a crash came between the copy and the note that it was made, or tore its last line."""
    made = lines(4)
    export = DirectoryExport(tmp_path)
    await export.put(SIGNER.public, 1, made[:2])
    await export.put(SIGNER.public, 3, made[2:3])
    await DirectoryExport(tmp_path).put(SIGNER.public, 2, made[1:3])
    with copy_in(tmp_path).open("ab") as file:
        file.write(made[3][:30])
    await DirectoryExport(tmp_path).put(SIGNER.public, 4, made[3:])
    assert copy_in(tmp_path).read_bytes().splitlines() == made


async def test_a_copy_that_was_cut_or_changed_is_told_not_filled_up(tmp_path: Path) -> None:
    """Nothing of it is overwritten: it is evidence."""
    made = lines(4)
    await DirectoryExport(tmp_path).put(SIGNER.public, 1, made[:3])
    export = DirectoryExport(tmp_path)
    copy_in(tmp_path).write_bytes(made[0] + b"\n")
    with pytest.raises(DeliveryError, match="has 1 checkpoints, but 3 were sent"):
        await export.put(SIGNER.public, 4, made[3:])
    copy_in(tmp_path).write_bytes(b"".join(line + b"\n" for line in (made[0], made[1], made[1], made[2])))
    with pytest.raises(DeliveryError, match="one was changed"):
        await export.put(SIGNER.public, 4, made[3:])


async def test_a_mount_that_is_not_there_is_not_made_up(tmp_path: Path) -> None:
    """A folder on this machine would only look like a copy."""
    with pytest.raises(DeliveryError, match="mount it"):
        await DirectoryExport(tmp_path / "mnt").put(SIGNER.public, 1, lines(1))


@asynccontextmanager
async def endpoint(answer: int) -> AsyncIterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """A server that answers so, and what it was sent: (authorisation, key, body)."""
    got: list[tuple[str, str, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        headers = request.headers
        got.append((headers.get("Authorization", ""), headers["Idempotency-Key"], await request.read()))
        return web.Response(status=answer, headers={"Location": "/elsewhere"} if answer == 302 else None)

    app = web.Application()
    app.router.add_post("/append", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/append", got
    finally:
        await runner.cleanup()


async def test_an_endpoint_gets_each_line_with_its_number() -> None:
    """And the secret it is configured with."""
    made = lines(2)
    async with endpoint(204) as (url, got):
        await EndpointExport(url, SecretStr("s3")).put(SIGNER.public, 5, made)
    name = key_id(SIGNER.public)
    assert got == [("Bearer s3", f"{name}/5", made[0]), ("Bearer s3", f"{name}/6", made[1])]


@pytest.mark.parametrize("answer", [302, 401, 500])
async def test_an_endpoint_that_does_not_take_it_is_an_error(answer: int) -> None:
    """A redirect too: a checkpoint goes where the configuration says."""
    async with endpoint(answer) as (url, got):
        with pytest.raises(DeliveryError):
            await EndpointExport(url).put(SIGNER.public, 1, lines(2))
    assert len(got) == 1
