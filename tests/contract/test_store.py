"""What every store promises, on the twin in memory, on the embedded Valkey and on Redis 7.0."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bot.core.audit import GENESIS, KEPT_LINKS, link, verify
from bot.core.effects import PageOncall
from bot.core.events import Addressed, TimerFired
from bot.core.incident import Incident
from bot.core.source import Source
from bot.core.target import Target
from bot.engine.ports import Change, Commit, Committed, Conflict, KeyClaim, Mark
from tests.contract.conftest import Bench
from tests.contract.store_records import SHARD, change, incident, message, put, webhook


async def test_what_was_appended_is_read_once_in_order_and_stays_until_acknowledged(bench: Bench) -> None:
    """An entry is delivered once, in order, and counts as waiting until a commit acknowledges it."""
    store = bench.store
    entries = [webhook("w1"), webhook("w2"), Addressed(to="inc-1", event=TimerFired(id="t", at=2, name="n", token="k"))]
    await store.append(SHARD, entries)
    read = await store.read_inbox(SHARD, 10, 1_000)
    assert [delivery.entry for delivery in read] == entries
    assert [delivery.deliveries for delivery in read] == [1, 1, 1]
    assert await store.read_inbox(SHARD, 10, 0) == []
    assert await store.lag(SHARD) == (3, 0)
    await store.commit(SHARD, Commit(inbox_acks=(read[0].delivery, read[1].delivery)))
    assert await store.lag(SHARD) == (1, 0)


async def test_a_reader_that_waits_is_woken_by_the_first_entry(bench: Bench) -> None:
    """A waiting read returns with the entry, long before its time is up."""
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        reader = group.create_task(bench.store.read_inbox(SHARD, 10, 9_000))
        await asyncio.sleep(0)
        await bench.store.append(SHARD, [webhook()])
    assert [delivery.entry for delivery in reader.result()] == [webhook()]


async def test_a_commit_writes_state_audit_timers_effects_and_acknowledgements_together(bench: Bench) -> None:
    """After a commit all its parts are there, and the shard's sequence has moved by one."""
    store = bench.store
    await store.append(SHARD, [webhook()])
    (delivery,) = await store.read_inbox(SHARD, 10, 1_000)
    record, target = incident(verify=50), Target(id="target:*", system=SHARD)
    done = await store.commit(
        SHARD,
        Commit(
            changes=(change(record), change(target)),
            claims=(KeyClaim("key-1", None, "inc-1"),),
            effects=(message(),),
            inbox_acks=(delivery.delivery,),
        ),
    )
    assert done == Committed(sequence=2)  # the append counted too
    loaded = await store.load(SHARD, ["inc-1", "target:*", "inc-none"])
    assert {name: found.record for name, found in loaded.items()} == {"inc-1": record, "target:*": target}
    assert loaded["inc-1"].version == 1
    assert await store.resolve_keys(SHARD, ["key-1", "key-none"]) == {"key-1": "inc-1"}
    assert await store.next_due(SHARD) == 50
    assert [effect.effect for effect in await store.read_outbox(SHARD, 10, 1_000)] == [message()]
    assert await store.lag(SHARD) == (0, 1)
    assert await store.aggregates(SHARD) == ["inc-1", "target:*"]
    chain = await store.audit(SHARD, "inc-1")
    assert verify(chain, loaded["inc-1"].head, loaded["inc-1"].version) == ()


async def test_a_commit_from_an_old_version_changes_nothing_and_names_what_is_stale(bench: Bench) -> None:
    """Of two commits from the same version one wins; the other leaves no trace, also in its unharmed parts."""
    store = bench.store
    await put(store, incident())
    before = (await store.load(SHARD, ["inc-1"]))["inc-1"]
    await put(store, replace(incident(), why="faster"))
    await store.append(SHARD, [webhook()])
    (delivery,) = await store.read_inbox(SHARD, 10, 1_000)
    lost = await store.commit(
        SHARD,
        Commit(
            changes=(change(replace(incident(hold=9), why="slower"), before), change(incident("inc-2"))),
            claims=(KeyClaim("key-2", None, "inc-2"),),
            effects=(message(),),
            inbox_acks=(delivery.delivery,),
        ),
    )
    assert lost == Conflict(stale=("inc-1",))
    loaded = await store.load(SHARD, ["inc-1", "inc-2"])
    assert [(found.record.id, found.version) for found in loaded.values()] == [("inc-1", 2)]
    assert isinstance(loaded["inc-1"].record, Incident)
    assert loaded["inc-1"].record.why == "faster"
    assert await store.resolve_keys(SHARD, ["key-2"]) == {}
    assert await store.next_due(SHARD) is None
    assert await store.lag(SHARD) == (1, 0)
    assert len(await store.audit(SHARD, "inc-1")) == 2


async def test_a_commit_from_another_history_of_the_same_version_is_refused(bench: Bench) -> None:
    """A failover may forget a commit that a replica of Andon still remembers: the same number, another record."""
    store = bench.store
    await put(store, incident())
    before = (await store.load(SHARD, ["inc-1"]))["inc-1"]
    remembered = replace(before, head="0" * len(before.head))
    refused = await store.commit(SHARD, Commit(changes=(change(replace(incident(), why="forgotten"), remembered),)))
    assert refused == Conflict(stale=("inc-1",))
    assert len(await store.audit(SHARD, "inc-1")) == 1


async def test_an_incident_key_is_claimed_once_and_moves_only_from_where_it_points(bench: Bench) -> None:
    """Two openings of one problem cannot both happen; a later one must know the earlier."""
    store = bench.store

    async def claim(expected: str | None, wanted: str) -> Committed | Conflict:
        return await store.commit(
            SHARD, Commit(changes=(change(incident(wanted)),), claims=(KeyClaim("key", expected, wanted),))
        )

    assert isinstance(await claim(None, "inc-1"), Committed)
    assert await claim(None, "inc-2") == Conflict(stale=("key",))
    assert await claim("inc-9", "inc-2") == Conflict(stale=("key",))
    assert isinstance(await claim("inc-1", "inc-2"), Committed)
    assert await store.resolve_keys(SHARD, ["key"]) == {"key": "inc-2"}
    assert list(await store.load(SHARD, ["inc-1", "inc-2"])) == ["inc-1", "inc-2"]


async def test_a_due_timer_comes_in_once_though_two_replicas_claim_it(bench: Bench) -> None:
    """Timers that are due enter the inbox once in all, with an id that follows from the timer; later ones wait."""
    store, other = bench.store, await bench.replica("b")
    await put(store, *(incident(f"inc-{n}", due=100 + n) for n in range(20)), incident("inc-later", due=900))
    claimed = 0
    while now := sum(await asyncio.gather(*(replica.claim_due(SHARD, 500, 15) for replica in (store, other) * 3))):
        claimed += now  # they may all have looked at the same fifteen
    assert claimed == 20
    read = [delivery.entry for delivery in await store.read_inbox(SHARD, 100, 1_000)]
    assert len(read) == 20
    assert Addressed(to="inc-7", event=TimerFired(id="inc-7|due|due-107", at=500, name="due", token="due-107")) in read
    assert await store.next_due(SHARD) == 900
    assert await store.claim_due(SHARD, 500, 15) == 0


async def test_timers_are_mirrored_by_difference(bench: Bench) -> None:
    """A commit takes away, moves and adds timers, and does not bring back one that was claimed meanwhile."""
    store = bench.store
    await put(store, incident(gone=10, kept=20, moved=30))
    assert await store.claim_due(SHARD, 20, 1) == 1  # `gone`
    assert await store.claim_due(SHARD, 20, 1) == 1  # `kept`, which the commit below still carries
    await put(store, incident(kept=20, moved=40, new=35))
    assert await store.claim_due(SHARD, 34, 10) == 0
    assert await store.next_due(SHARD) == 35
    assert await store.claim_due(SHARD, 40, 10) == 2
    await put(store, incident())
    assert await store.next_due(SHARD) is None


async def test_an_outcome_comes_in_as_its_effect_goes(bench: Bench) -> None:
    """An effect is acknowledged in the commit that folds its outcome, and is not delivered again."""
    store = bench.store
    await put(store, incident(), effects=(message("m1"), message("m2")))
    first, second = await store.read_outbox(SHARD, 10, 1_000)
    before = (await store.load(SHARD, ["inc-1"]))["inc-1"]
    folded = change(replace(incident(), why="delivered"), before)
    await store.commit(SHARD, Commit(changes=(folded,), outbox_acks=(first.delivery,)))
    assert await store.lag(SHARD) == (0, 1)
    await store.commit(SHARD, Commit(outbox_acks=(second.delivery,)))
    assert await store.lag(SHARD) == (0, 0)
    assert (await store.reclaim(SHARD, 0, 10))[1] == []


async def test_poison_is_shown_set_aside_and_gone(bench: Bench) -> None:
    """Bytes that nobody sealed arrive without an entry and with the reason; a dead letter keeps them and ends them."""
    store = bench.store
    for queue in ("inbox", "outbox"):
        added = bench.poison(SHARD, queue)
        if added is not None:
            await added
    (entry,) = await store.read_inbox(SHARD, 10, 1_000)
    (effect,) = await store.read_outbox(SHARD, 10, 1_000)
    assert (entry.entry, entry.raw) == (None, b"forged")
    assert effect.effect is None
    assert "seal" in entry.problem
    for _ in range(2):  # a repetition after a lost reply is harmless
        await store.dead_letter(SHARD, "inbox", entry.delivery, entry.raw, entry.problem)
    await store.dead_letter(SHARD, "outbox", effect.delivery, effect.raw, "bad effect")
    assert await store.lag(SHARD) == (0, 0)
    letters = await store.dead_letters(SHARD, 10)
    assert [(reason, raw) for _, reason, raw in letters] == [("bad effect", b"forged"), (entry.problem, b"forged")]
    assert await store.reclaim(SHARD, 0, 10) == ([], [])


async def test_what_was_refused_at_the_door_is_set_aside_without_having_been_queued(bench: Bench) -> None:
    """Also before anything else was ever stored in the shard; what is queued stays."""
    store = bench.store
    await store.dead_letter(SHARD, "inbox", "", b'{"labels": 5}', "labels: not a mapping")
    await store.append(SHARD, [webhook("w1")])
    await store.dead_letter(SHARD, "inbox", "", b"{}", "labels: missing")
    letters = await store.dead_letters(SHARD, 10)
    assert [reason for _, reason, _ in letters] == ["labels: missing", "labels: not a mapping"]
    assert (await store.lag(SHARD))[0] == 1


async def test_a_replica_that_restarts_finds_what_it_held(bench: Bench) -> None:
    """Entries and effects delivered before a crash come back to the same name, counted; acknowledged ones do not."""
    store = bench.store
    await store.append(SHARD, [webhook("w1"), webhook("w2")])
    await put(store, incident(), effects=(message(),))
    done, held = await store.read_inbox(SHARD, 10, 1_000)
    (effect,) = await store.read_outbox(SHARD, 10, 1_000)
    await store.commit(SHARD, Commit(inbox_acks=(done.delivery,)))
    again = await bench.replica("a")
    inbox, outbox = await again.reclaim(SHARD, 0, 10, starting=True)
    assert inbox == [replace(held, deliveries=2)]
    assert outbox == [replace(effect, deliveries=2)]


async def test_only_a_start_counts_as_a_further_delivery(bench: Bench) -> None:
    """What is handed out again and again while the store is in trouble is not therefore poison."""
    store = bench.store
    await store.append(SHARD, [webhook("w1")])
    (held,) = await store.read_inbox(SHARD, 10, 1_000)
    for _ in range(30):
        assert (await store.reclaim(SHARD, 0, 10))[0] == [held]
    assert (await store.reclaim(SHARD, 0, 10, starting=True))[0] == [replace(held, deliveries=2)]


async def test_two_replicas_share_a_shard_and_one_takes_over_what_the_other_left(bench: Bench) -> None:
    """Entries go to one replica each; what a dead one held is taken over once it has been idle, not before."""
    store, other = bench.store, await bench.replica("b")
    await store.append(SHARD, [webhook(f"w{n}") for n in range(4)])
    mine = await store.read_inbox(SHARD, 2, 1_000)
    theirs = await other.read_inbox(SHARD, 10, 1_000)
    assert [delivery.entry.id for delivery in mine + theirs if delivery.entry] == ["w0", "w1", "w2", "w3"]  # type: ignore[union-attr]  # they are webhooks
    assert await other.reclaim(SHARD, 60_000, 10) == ([], [])
    assert (await other.reclaim(SHARD, 0, 10))[0] == theirs
    await other.commit(SHARD, Commit(inbox_acks=tuple(delivery.delivery for delivery in theirs)))
    await asyncio.sleep(0.005)  # idleness is measured by the server's own clock, which no test can move
    assert (await other.reclaim(SHARD, 1, 10))[0] == mine
    await other.commit(SHARD, Commit(inbox_acks=tuple(delivery.delivery for delivery in mine)))
    assert await store.reclaim(SHARD, 0, 10) == ([], [])


async def test_hundreds_of_changes_go_in_one_commit(bench: Bench) -> None:
    """A storm's commit is whole too: more values than one Lua call could take."""
    store = bench.store
    number = 900
    await store.append(SHARD, [webhook(f"w{n}") for n in range(8_500)])
    read = await store.read_inbox(SHARD, 9_000, 1_000)
    assert len(read) == 8_500
    done = await store.commit(
        SHARD,
        Commit(
            changes=tuple(change(incident(f"inc-{n}", n, **{f"t{k}": n + k for k in range(9)})) for n in range(number)),
            claims=tuple(KeyClaim(f"key-{n}", None, f"inc-{n}") for n in range(number)),
            effects=tuple(message(f"m{n}", f"inc-{n}") for n in range(number)),
            inbox_acks=tuple(delivery.delivery for delivery in read),
        ),
    )
    assert done == Committed(sequence=2)  # the append counted too
    assert await store.lag(SHARD) == (0, number)
    assert len(await store.load(SHARD, [f"inc-{n}" for n in range(number)])) == number
    assert len(await store.resolve_keys(SHARD, [f"key-{n}" for n in range(number)])) == number
    assert await store.claim_due(SHARD, 10_000, 100_000) == 9 * number


async def test_incidents_are_listed_newest_first_and_closed_ones_only_on_request(bench: Bench) -> None:
    """Operators see what is open; the past is there when asked for."""
    store = bench.store
    await put(store, incident("inc-old", 1), incident("inc-mid", 2), incident("inc-new", 3))
    await put(store, replace(incident("inc-mid", 2), status="closed"), Target(id="target:router", system=SHARD))

    async def listed(closed: bool, limit: int = 10) -> list[str]:
        return [line.incident.id for line in await store.incidents(SHARD, closed=closed, limit=limit)]

    assert await listed(closed=False) == ["inc-new", "inc-old"]
    assert await listed(closed=True) == ["inc-new", "inc-mid", "inc-old"]
    assert await listed(closed=True, limit=2) == ["inc-new", "inc-mid"]


async def test_shards_do_not_see_each_other(bench: Bench) -> None:
    """One trading system's entries, records and keys are its own."""
    store = bench.store
    await store.append(SHARD, [webhook()])
    await put(store, incident(due=5))
    assert await store.read_inbox("py-rt", 10, 0) == []
    assert await store.load("py-rt", ["inc-1"]) == {}
    assert await store.next_due("py-rt") is None
    assert await store.lag("py-rt") == (0, 0)
    assert await store.claim_due("py-rt", 10, 10) == 0


async def test_an_empty_store_answers_every_question(bench: Bench) -> None:
    """Nothing is an answer, not an error."""
    store = bench.store
    await store.check_writable()
    await store.append(SHARD, [])
    assert await store.load(SHARD, []) == {}
    assert await store.resolve_keys(SHARD, []) == {}
    assert await store.reclaim(SHARD, 0, 10) == ([], [])
    assert await store.incidents(SHARD, closed=True, limit=10) == []
    assert await store.aggregates(SHARD) == []
    assert await store.audit(SHARD, "inc-1") == []
    assert await store.dead_letters(SHARD, 10) == []
    assert await store.read_outbox(SHARD, 10, 1) == []


async def test_a_page_keeps_every_character(bench: Bench) -> None:
    """Text from alerts is data: quotes, line ends and other scripts come back as they went in."""
    text = 'quote " backslash \\ newline \n nul-ish \x01 日本 😀 | {x} ${labels.y}'
    page = PageOncall(
        id="p", incident="inc-1", service="trading-oncall", severity="critical", dedup_key="k", summary=text
    )
    await put(bench.store, incident(), effects=(page,))
    assert [delivery.effect for delivery in await bench.store.read_outbox(SHARD, 10, 1_000)] == [page]


async def test_what_was_only_seen_is_compared_too(bench: Bench) -> None:
    """A decision to do nothing counts only if what it was made on still stands: stale sight is a conflict."""
    store = bench.store
    await put(store, incident())
    head = (await store.load(SHARD, ["inc-1"]))["inc-1"].head
    assert isinstance(await store.commit(SHARD, Commit(seen=(("inc-1", 1, head), ("inc-none", 0, "")))), Committed)
    assert await store.commit(SHARD, Commit(seen=(("inc-1", 0, ""),))) == Conflict(stale=("inc-1",))
    assert await store.commit(SHARD, Commit(seen=(("inc-1", 1, "of another history"),))) == Conflict(stale=("inc-1",))
    assert await store.commit(SHARD, Commit(seen=(("inc-none", 3, head),))) == Conflict(stale=("inc-none",))


async def test_stale_sight_refuses_the_whole_commit(bench: Bench) -> None:
    """The acknowledgement that goes with a decision made on a stale record is not carried out."""
    store = bench.store
    await put(store, incident())
    await store.append(SHARD, [webhook()])
    (delivery,) = await store.read_inbox(SHARD, 10, 1_000)
    commit = Commit(inbox_acks=(delivery.delivery,), seen=(("inc-1", 7, ""),))
    assert await store.commit(SHARD, commit) == Conflict(stale=("inc-1",))
    assert await store.lag(SHARD) == (1, 0)


async def test_a_key_that_pointed_at_nothing_is_compared_too(bench: Bench) -> None:
    """'No incident is open for it' holds only while the key still points at nothing."""
    store = bench.store
    assert isinstance(await store.commit(SHARD, Commit(pointers=(("key-1", None),))), Committed)
    await store.commit(SHARD, Commit(changes=(change(incident()),), claims=(KeyClaim("key-1", None, "inc-1"),)))
    assert await store.commit(SHARD, Commit(pointers=(("key-1", None),))) == Conflict(stale=("key-1",))
    assert isinstance(await store.commit(SHARD, Commit(pointers=(("key-1", "inc-1"),))), Committed)
    assert await store.commit(SHARD, Commit(pointers=(("key-1", "inc-2"),))) == Conflict(stale=("key-1",))


async def test_looking_alone_raises_no_commit_sequence(bench: Bench) -> None:
    """Only what was written counts as a commit."""
    first = await put(bench.store, incident())
    mark, head = await bench.store.mark(SHARD), (await bench.store.load(SHARD, ["inc-1"]))["inc-1"].head
    assert await bench.store.commit(SHARD, Commit(seen=(("inc-1", 1, head),))) == first
    assert await bench.store.mark(SHARD) == mark


async def test_every_write_counts_in_all_and_for_the_replica_that_asked(bench: Bench) -> None:
    """Appends and commits raise both counts by one each; another replica's raise the shard's alone."""
    store, other = bench.store, await bench.replica("other")
    before = await store.mark(SHARD)
    await store.append(SHARD, [webhook(), webhook()])
    await put(store, incident())
    await other.append(SHARD, [webhook()])
    assert await store.mark(SHARD) == Mark(before.total + 3, before.own + 2)
    assert (await other.mark(SHARD)).own == 1
    assert store.marks.marks()[SHARD] == Mark(before.total + 2, before.own + 2)  # what it was told itself
    assert not store.marks.lost(SHARD)


async def test_a_sources_chain_keeps_its_newest_links_and_still_verifies(bench: Bench) -> None:
    """A source is told something for ever; what it keeps is bounded, and what is cut beyond that shows."""
    store, source = bench.store, Source(id="source:stream:switches", system=SHARD)
    head = GENESIS
    for version in range(KEPT_LINKS + 2):
        entry = link(head, version + 1, "{}")
        head = entry.hash
        await store.commit(SHARD, Commit(changes=(Change(source, version, entry, {}),)))
    kept = await store.audit(SHARD, source.id)
    assert (len(kept), kept[0].seq, kept[-1].seq) == (KEPT_LINKS, 3, KEPT_LINKS + 2)
    assert verify(kept, head, KEPT_LINKS + 2, bounded=True) == ()
    assert "missing" in verify(kept[1:], head, KEPT_LINKS + 2, bounded=True)[0]
    assert "missing" in verify(kept, head, KEPT_LINKS + 2)[0]
