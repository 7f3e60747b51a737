"""Every key Andon writes to its store, in one place.

All keys of a shard share the hash tag ``{shard}``, so that on a cluster one script can touch them all.

=============================  ======  =================================================================================
key                            type    holds
=============================  ======  =================================================================================
``andon:{S}:inbox``            stream  events on their way in; group `andon`; field `e` = sealed entry
``andon:{S}:outbox``           stream  effects to be performed; group `andon`; field `e` = sealed effect
``andon:{S}:dead``             stream  poison set aside: `queue`, `delivery`, `reason`, `raw`
``andon:{S}:timers``           zset    ``<aggregate>|<name>|<token>`` by due time (ms)
``andon:{S}:keys``             hash    incident key -> sealed incident id
``andon:{S}:aggregates``       set     the id of every aggregate
``andon:{S}:incidents``        zset    incident ids by opening time (ms)
``andon:{S}:open``             zset    the same, only those not closed
``andon:{S}:sequence``         string  number of commits and appends
``andon:{S}:acknowledged``       hash    replica -> how many of those it asked for (`bot.engine.high_water`)
``andon:{S}:present``            hash    replica -> when it last said that it is at work (ms)
``andon:{S}:retired``          string  number of incidents that left for the archive
``andon:{S}:record:<id>``      hash    `ver`, `head` (audit), `rec` = record sealed with both
``andon:{S}:audit:<id>``       list    audit links, oldest first: ``<seq> <previous|-> <hash> <body>``
``andon:{andon}:meta``         hash    `fingerprint` of the sealing key, `schema` of the records
``andon:{andon}:shards``       set     the name of every shard that was ever configured
``andon:{andon}:checkpoints``  hash    public key -> sealed end of the chain of checkpoints signed with it
``andon:{andon}:probe``        string  written by readiness checks
``andon:{andon}:slack:leader``  string  the replica that leads the board, for as long as its lease
``andon:{andon}:slack:nudged``  zset    ``<shard>|<record>`` that may look different, by time (ms)
``andon:{andon}:slack:lines``   stream  lines to be said; field `e` = sealed line
``andon:{andon}:slack:known``   zset    ids of lines that were kept, by time (ms); a day
``andon:{andon}:slack:places``  hash    message's name -> revision, a space, sealed place (`slack.shelf.Placed`)
=============================  ======  =================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.words import AggregateId

GROUP = b"andon"  # the one consumer group of each stream; consumers are named after their replica
FIELD = b"e"  # the one field of a stream entry


@dataclass(frozen=True, slots=True)
class ShardKeys:
    """The keys of one shard."""

    base: bytes
    inbox: bytes
    outbox: bytes
    dead: bytes
    timers: bytes
    keys: bytes
    aggregates: bytes
    incidents: bytes
    open: bytes
    sequence: bytes
    acknowledged: bytes
    present: bytes
    retired: bytes

    @classmethod
    def of(cls, prefix: str, shard: str) -> ShardKeys:
        """The keys of `shard` under `prefix`."""
        base = f"{prefix}:{{{shard}}}:".encode()
        return cls(
            base=base, inbox=base + b"inbox", outbox=base + b"outbox", dead=base + b"dead", timers=base + b"timers",
            keys=base + b"keys", aggregates=base + b"aggregates", incidents=base + b"incidents", open=base + b"open",
            sequence=base + b"sequence", acknowledged=base + b"acknowledged", present=base + b"present",
            retired=base + b"retired",
        )  # fmt: skip

    def record(self, aggregate: AggregateId) -> bytes:
        """Where an aggregate's record is kept."""
        return self.base + b"record:" + aggregate.encode()

    def audit(self, aggregate: AggregateId) -> bytes:
        """Where an aggregate's audit chain is kept."""
        return self.base + b"audit:" + aggregate.encode()

    def record_context(self, aggregate: AggregateId, version: int, head: str) -> bytes:
        """What an aggregate's seal is bound to: its key, its version and its audit chain's head."""
        return b"%b|%d|%b" % (self.record(aggregate), version, head.encode())

    def claim_context(self, key: str) -> bytes:
        """What the seal of an incident key's pointer is bound to."""
        return self.keys + b"|" + key.encode()


@dataclass(frozen=True, slots=True)
class SlackKeys:
    """The keys of what the board remembers of Slack."""

    leader: bytes
    nudged: bytes
    lines: bytes
    known: bytes
    places: bytes

    @classmethod
    def of(cls, prefix: str) -> SlackKeys:
        """The keys under `prefix`."""
        base = f"{prefix}:{{{prefix}}}:slack:".encode()
        return cls(
            leader=base + b"leader", nudged=base + b"nudged", lines=base + b"lines", known=base + b"known",
            places=base + b"places",
        )  # fmt: skip


def meta_key(prefix: str) -> bytes:
    """Facts about the store as a whole."""
    return f"{prefix}:{{{prefix}}}:meta".encode()


def shards_key(prefix: str) -> bytes:
    """Every shard there ever was."""
    return f"{prefix}:{{{prefix}}}:shards".encode()


def checkpoints_key(prefix: str) -> bytes:
    """Where each chain of checkpoints ends."""
    return f"{prefix}:{{{prefix}}}:checkpoints".encode()


def probe_key(prefix: str) -> bytes:
    """What a readiness check writes."""
    return f"{prefix}:{{{prefix}}}:probe".encode()


def timer_member(aggregate: AggregateId, name: str, token: str) -> bytes:
    """A timer as it stands in the sorted set; also the id of its `TimerFired`."""
    return f"{aggregate}|{name}|{token}".encode()


def parse_timer(member: bytes) -> tuple[AggregateId, str, str]:
    """(aggregate, name, token) of a timer's member. ValueError when it is none of ours."""
    aggregate, name, token = member.decode().rsplit("|", 2)
    return aggregate, name, token
