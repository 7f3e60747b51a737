"""What somebody does to the store behind Andon's back: with Redis alone, and with the sealing key as well.

Each edit takes the floor and a source of chance, changes something for good, and returns the words of which one must be
in what verification says: the name of what was touched.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from bot.core.audit import AuditEntry
from bot.core.checkpoint import MAX_STATEMENTS
from tests.tamper.floor import PREFIX, Floor, Place, rehashed

Edit = Callable[[Floor, random.Random], Awaitable[tuple[str, ...]]]

assert MAX_STATEMENTS > 100  # the floor fits one checkpoint, so that each edit is covered by the last of them


def some(floor: Floor, rng: random.Random, links: int = 1) -> Place:
    """An aggregate with at least so many links."""
    return rng.choice(sorted(place for place, before in floor.moments.items() if before[-1].version + 1 >= links))


async def rows(floor: Floor, place: Place) -> list[bytes]:
    found: list[bytes] = await floor.raw.lrange(floor.chain(place), 0, -1)
    return found


async def put(floor: Floor, place: Place, chain: list[bytes]) -> None:
    await floor.raw.delete(floor.chain(place))
    if chain:
        await floor.raw.rpush(floor.chain(place), *chain)


def flipped(data: bytes, rng: random.Random) -> bytes:
    """The same with one byte changed."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ rng.randint(1, 255)]) + data[at + 1 :]


# --- with Redis alone ---------------------------------------------------------------------------------------------


async def edit_a_link(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    place = some(floor, rng)
    chain = await rows(floor, place)
    at = rng.randrange(len(chain))
    await floor.raw.lset(floor.chain(place), at, flipped(chain[at], rng))
    return (place[1],)


async def delete_a_link(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    place = some(floor, rng)
    chain = await rows(floor, place)
    del chain[rng.randrange(len(chain))]
    await put(floor, place, chain)
    return (place[1],)


async def swap_two_links(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    place = some(floor, rng, 2)
    chain = await rows(floor, place)
    one, two = rng.sample(range(len(chain)), 2)
    chain[one], chain[two] = chain[two], chain[one]
    await put(floor, place, chain)
    return (place[1],)


async def shuffle_a_chain(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    place = some(floor, rng, 4)
    chain = await rows(floor, place)
    while (mixed := rng.sample(chain, len(chain))) == chain:
        pass
    await put(floor, place, mixed)
    return (place[1],)


async def cut_the_end(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    place = some(floor, rng)
    chain = await rows(floor, place)
    await put(floor, place, chain[: rng.randrange(len(chain))])
    return (place[1],)


async def cut_the_beginning(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    place = some(floor, rng)
    chain = await rows(floor, place)
    await put(floor, place, chain[rng.randint(1, len(chain)) :])
    return (place[1],)


async def double_a_link(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    place = some(floor, rng)
    chain = await rows(floor, place)
    chain.insert(rng.randrange(len(chain) + 1), rng.choice(chain))
    await put(floor, place, chain)
    return (place[1],)


async def rewrite_with_hashes(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """One link edited and every hash after it made anew; the record is sealed, and names the old head."""
    place = some(floor, rng)
    chain = await floor.store.audit(*place)
    from bot.adapters.redis_reads import format_link

    await put(floor, place, [format_link(entry) for entry in _forged(chain, rng)])
    return (place[1],)


async def rewrite_and_name_the_new_head(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """As before, with the record's plain `head` set too: its seal covers that."""
    place = some(floor, rng)
    chain = _forged(await floor.store.audit(*place), rng)
    from bot.adapters.redis_reads import format_link

    await put(floor, place, [format_link(entry) for entry in chain])
    await floor.raw.hset(floor.record(place), "head", chain[-1].hash)
    return (place[1],)


async def edit_a_record(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    place = some(floor, rng)
    name = rng.choice(["ver", "head", "rec"])
    value = await floor.raw.hget(floor.record(place), name)
    await floor.raw.hset(floor.record(place), name, flipped(value, rng))
    return (place[1],)


async def put_an_earlier_state_back(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """Record and chain, byte for byte as they once were, seal and all: the replay that no key is needed for."""
    place = some(floor, rng)
    before = rng.choice(floor.moments[place])
    await floor.raw.restore(floor.record(place), 0, before.record, replace=True)
    await floor.raw.restore(floor.chain(place), 0, before.audit, replace=True)
    return (place[1],)


async def delete_keys(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """The record, the chain, or both."""
    place = some(floor, rng)
    both = (floor.record(place), floor.chain(place))
    await floor.raw.delete(*rng.choice([both, both[:1], both[1:]]))
    return (place[1],)


async def delete_without_a_trace(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """The whole aggregate, out of every list that names it."""
    place = some(floor, rng)
    base = f"{PREFIX}:{{{place[0]}}}:"
    await floor.raw.delete(floor.record(place), floor.chain(place))
    await floor.raw.srem(base + "aggregates", place[1])
    for name in ("incidents", "open"):
        await floor.raw.zrem(base + name, place[1])
    return (place[1],)


async def take_out_of_the_list(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    place = some(floor, rng)
    await floor.raw.srem(f"{PREFIX}:{{{place[0]}}}:aggregates", place[1])
    return (place[1],)


async def put_anothers_chain_there(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    one, two = rng.sample(sorted(floor.moments), 2)
    what = rng.choice([floor.chain, floor.record])
    await floor.raw.copy(what(one), what(two), replace=True)
    return (two[1],)


async def empty_the_store(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """A whole system, or everything."""
    which = rng.choice(["*", f"{{{some(floor, rng)[0]}}}:*"])
    keys = await floor.raw.keys(f"{PREFIX}:{which}")
    await floor.raw.delete(*keys)
    return ("it was deleted",)


async def forget_a_chain_of_checkpoints(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """The store's own memory of where a chain of checkpoints ends: gone, or changed."""
    place = f"{PREFIX}:{{{PREFIX}}}:checkpoints"
    replica = rng.choice(sorted(floor.signers))
    signer = floor.signers[replica]
    if rng.random() < 0.5:
        await floor.raw.hdel(place, signer.public)
        return (signer.id,)
    await floor.raw.hset(place, signer.public, flipped(await floor.raw.hget(place, signer.public), rng))
    return (signer.public[:80],)


async def plant_a_chain_of_checkpoints(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    place, key = f"{PREFIX}:{{{PREFIX}}}:checkpoints", f"ed25519:{rng.randbytes(32).hex()}"
    await floor.raw.hset(place, key, rng.randbytes(80))
    return (key[:80],)


async def put_the_whole_store_back(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """Every key as it was hours ago: a restored backup, or somebody who kept one."""
    await floor.put_keys(rng.choice(floor.rounds[:-1]))
    return ("cut off", "deleted")


# --- with the sealing key -----------------------------------------------------------------------------------------


def _forged(chain: list[AuditEntry], rng: random.Random) -> list[AuditEntry]:
    """A whole chain that says something else from one link on."""
    bodies = [entry.body for entry in chain]
    at = rng.randrange(len(bodies))
    bodies[at] = bodies[at].replace("as told", "as was told")
    return rehashed(chain, bodies)


async def rewrite_and_seal(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """History as it never was, whole, sealed, with nothing in the store to contradict it."""
    place = some(floor, rng)
    stored = (await floor.store.load(place[0], [place[1]]))[place[1]]
    await floor.write(place, stored.record, _forged(await floor.store.audit(*place), rng))
    return (place[1],)


async def shorten_and_seal(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """The end cut off together with the record."""
    place = some(floor, rng, 2)
    stored = (await floor.store.load(place[0], [place[1]]))[place[1]]
    chain = await floor.store.audit(*place)
    await floor.write(place, stored.record, chain[: rng.randint(1, len(chain) - 1)])
    return (place[1],)


async def shorten_and_grow_again(floor: Floor, rng: random.Random) -> tuple[str, ...]:
    """Cut off, and as many other links put there, and more."""
    place = some(floor, rng, 2)
    stored = (await floor.store.load(place[0], [place[1]]))[place[1]]
    chain = await floor.store.audit(*place)
    kept = [entry.body for entry in chain[: rng.randint(1, len(chain) - 1)]]
    more = [f'{{"why":"never happened {rng.random()}"}}' for _ in range(len(chain) - len(kept) + rng.randint(0, 3))]
    await floor.write(place, stored.record, rehashed(chain, [*kept, *more]))
    return (place[1],)


STORE_EDITS: Final[Mapping[str, Edit]] = {
    "a link edited": edit_a_link,
    "a link deleted": delete_a_link,
    "two links swapped": swap_two_links,
    "a chain shuffled": shuffle_a_chain,
    "the end cut off": cut_the_end,
    "the beginning cut off": cut_the_beginning,
    "a link doubled": double_a_link,
    "rewritten with new hashes": rewrite_with_hashes,
    "rewritten, and the record's head with it": rewrite_and_name_the_new_head,
    "a record edited": edit_a_record,
    "an earlier state put back": put_an_earlier_state_back,
    "keys deleted": delete_keys,
    "deleted with all that names it": delete_without_a_trace,
    "taken out of the list": take_out_of_the_list,
    "another's chain or record put there": put_anothers_chain_there,
    "a store emptied": empty_the_store,
    "the store's memory of checkpoints changed": forget_a_chain_of_checkpoints,
    "a chain of checkpoints planted": plant_a_chain_of_checkpoints,
    "the whole store put back": put_the_whole_store_back,
    "rewritten and sealed (key stolen)": rewrite_and_seal,
    "shortened and sealed (key stolen)": shorten_and_seal,
    "shortened, grown and sealed (key stolen)": shorten_and_grow_again,
}
