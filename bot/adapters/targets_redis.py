"""A trading system's own Redis, followed to whichever server is primary: implements `connector_ports.RedisTarget`.

Made by `bot.adapters.connectors`; used by actions, by the evidence reader and by `Targets.read_field`. The primary is
asked of the Sentinels, where targets.yaml names them: at most FOLLOW_SECONDS ago for a read, right before a command
that acts, which then also makes sure that the server still calls itself primary. The user it logs in as needs `+info`
to look, `+role` to act, and the commands that it is to read and to send.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from redis.asyncio.connection import parse_url
from redis.exceptions import RedisError

from bot.adapters import targets_redis_look as looking
from bot.adapters.sentinel_words import SentinelWords, Word, joined, newest, parted, words_of
from bot.adapters.sentinels import Sentinels, place
from bot.adapters.targets_redis_wire import Server, bounded
from bot.core.words import Millis
from bot.engine.connector_ports import RedisLook, RedisValue
from bot.errors import NotSent, Rejected, TargetError, Unknown
from policies import redis_commands

FOLLOW_SECONDS = 1.0  # how old the Sentinels' word may be for a read; an old primary serves on for ten seconds
FAILOVER_MS = 5_000  # for the server's own FAILOVER: writes stand still while it waits for the replica
MEASURE_SECONDS = 1.0  # for the latency of all servers: a slow one needs few round trips to be known as slow
MAX_SERVERS = 16  # addresses known for one component; more than that are not one Redis
MAX_VALUE = 65_536  # bytes of one field's value; a figure is a few
MAX_PAGES = 10  # of a stream, when its entries are counted
_SIZES = {"GET": "STRLEN", "HGETALL": "HLEN"}  # asked first where the reply may be of any size
_MOST = {"GET": 262_144, "HGETALL": 2_000}


class RedisConnector:
    """One component's Redis."""

    def __init__(
        self,
        component: str,
        url: str,
        *,
        allow: Iterable[str] = (),
        sentinels: Sequence[str] = (),
        master: str = "",
        credentials: SecretStr | None = None,
        username: str = "",
        killed: Callable[[], str] = lambda: "",
    ) -> None:
        """`killed`: who stopped every action and why, or ""; asked right before each command that acts."""
        self.component = component
        self.home = _home(url)
        self._url = url
        self._allow = frozenset(allow)
        self._killed = killed
        self._username = username
        parse_url(url)  # a mistake in its options is one of the configuration, told where that is read
        self._login: dict[str, str] = {"username": username} if username else {}
        if credentials is not None:
            self._login["password"] = credentials.get_secret_value()
        self._sentinels = Sentinels(sentinels, master, url=url) if sentinels else None
        self._words = SentinelWords(sentinels, master, url=url) if sentinels else None
        self._servers: dict[str, Server] = {}
        self._primary = self.home
        self._asked_at: float | None = None
        self._others: tuple[str, ...] = ()  # servers that the last look found

    async def close(self) -> None:
        """Close the connections."""
        for server in self._servers.values():
            await server.close()
        self._servers.clear()
        if self._sentinels is not None and self._words is not None:
            await self._sentinels.close()
            await self._words.close()

    # --- reading -----------------------------------------------------------------------------------------------------

    async def read(self, *command: str, at: str = "") -> RedisValue:
        """One read-only command on the primary, or on the server `at`; retried. Long replies are cut off."""
        words = redis_commands.reading(command)
        if isinstance(words, str):
            raise NotSent(f"{self.component}: {words}")
        address = at or await self._followed()
        size = _SIZES.get(words[0].upper())
        if size is not None:
            (found,) = await self._asked(address, (size, *words[1:2]))
            if isinstance(found, int) and found > _MOST[words[0].upper()]:
                raise Rejected(f"{words[1]!r} of {self.component} is too large to be read ({size} {found})")
        (reply,) = await self._asked(address, words)
        return bounded(reply)

    async def hash_fields(self, key: str, names: Sequence[str]) -> list[str | None]:
        """The fields' values as text, None where missing, all at one moment. Raises TargetError's children."""
        (values,) = await self._evidence(("HMGET", key, *names))
        for value in values:
            if value is not None and len(value) > MAX_VALUE:
                raise Rejected(f"{self.component} holds more than {MAX_VALUE} bytes in a field of {key!r}")
        return list(values)

    async def entries_since(self, key: str, since: Millis) -> tuple[int, Millis]:
        """How many entries of a stream have an id of `since` or later, and the newest entry's time (0: it has none).

        Raises TargetError: also when there is no such stream, which is not the same as a quiet one.
        """
        page = redis_commands.MAX_ENTRIES
        there, newest_entries, entries = await self._evidence(
            ("EXISTS", key), ("XREVRANGE", key, "+", "-", "COUNT", "1"),
            ("XRANGE", key, str(since), "+", "COUNT", str(page)),
        )  # fmt: skip
        if not there:
            raise TargetError(f"{self.component} has no stream {key!r}")
        count = len(entries)
        for _ in range(MAX_PAGES - 1):
            if len(entries) < page:
                break
            (entries,) = await self._evidence(("XRANGE", key, f"({entries[-1][0]}", "+", "COUNT", str(page)))
            count += len(entries)
        if len(entries) == page:
            raise TargetError(f"{key!r} has more than {count} entries in that time")
        return count, int(newest_entries[0][0].partition("-")[0]) if newest_entries else 0

    async def look(self, *, samples: int = 0) -> RedisLook:
        """Every server and Sentinel, side by side; a server's latency by up to `samples` PINGs."""
        words = await self._words.look() if self._words is not None else ()
        told = await self._told([*_named(words), *self._others, self.home])
        names = looking.Names(told, told)
        best = newest(words)
        primary = names.of(best.primary) if best is not None else self._own_primary(told, names)
        if "role" not in told.get(primary, {}):
            why = told.get(primary, {}).get("error", "nobody knows of it")
            raise NotSent(f"no primary of {self.component} answers ({primary}: {why})")
        known = {names.of(one) for one in [*_named(words), *looking.followers(told[primary])]}
        known |= {names.of(one) for one, said in told.items() if "role" in said}
        known |= {names.of(one) for one in self._others if not words}  # a primary forgets who is down; Sentinels do not
        others = [one for one in told if one in known and one != primary]
        measured = [one for one in (primary, *others) if samples and _up(told, one)]  # one after another: undisturbed
        p99 = {one: await self._server(one).p99_us(samples, MEASURE_SECONDS / len(measured)) for one in measured}
        nodes = [looking.node(one, told[one], names, p99.get(one)) for one in (primary, *others)]
        self._others = tuple(others[:MAX_SERVERS])
        await self._forget(told)
        return looking.assemble(nodes[0], nodes[1:], words, names, self.home, told[primary])

    # --- acting ------------------------------------------------------------------------------------------------------

    async def send(self, *command: str, at: str = "") -> RedisValue:
        """One command that the `allow` list names, at most once; on the primary, or on the server `at`."""
        line = " ".join(command[:2])
        if not self.allows(*command):
            raise NotSent(f"{line[:100]} is not in the allow list of {self.component}")
        if command[0].upper() in ("SENTINEL", "FAILOVER"):
            raise NotSent(f"{line} is a failover: it goes its own way")
        if sum(len(word.encode()) for word in command) > redis_commands.MAX_ARGUMENTS_BYTES:
            raise NotSent(f"{line[:100]} is longer than {redis_commands.MAX_ARGUMENTS_BYTES} bytes")
        self._alive()
        address = at or await self._followed(anew=True)
        return await self._server(address).act(command, as_primary=not at)

    async def fail_over(self, look: RedisLook, to: str) -> None:
        """Ask for the failover that `look.means` names, once. NotSent, Rejected or Unknown."""
        if to not in {node.address for node in look.replicas}:
            raise NotSent(f"{to} is no replica of {self.component}")
        if look.means == "sentinel" and self._words is not None:
            self._allowed("SENTINEL FAILOVER")
            sentinel = _fit(await self._words.look(), look)
            self._alive()
            self._asked_at = None
            await self._words.fail_over(sentinel)
        elif look.means == "server":
            self._allowed("FAILOVER")
            self._alive()
            host, port = parted(to)
            command = ("FAILOVER", "TO", host, str(port), "TIMEOUT", str(FAILOVER_MS))
            self._asked_at = None
            await self._server(look.primary.address).act(command, as_primary=True)
        else:
            raise NotSent(look.why_not or f"{self.component} cannot be failed over")

    def allows(self, *command: str) -> bool:
        """Whether the `allow` list names this command."""
        return redis_commands.allows(self._allow, command)

    def by_hand(self, *command: str, at: str = "") -> str:
        """The command line with which a person does the same. `SENTINEL FAILOVER` gets the Sentinel and the name."""
        words = ["redis-cli"]
        if [word.upper() for word in command[:2]] == ["SENTINEL", "FAILOVER"] and self._words is not None:
            command = (*command[:2], self._words.master, *(w for w in command[2:] if w != self._words.master))
            host, port = parted(at or self._words.addresses[0])
            return shlex.join([*words, "-h", host, "-p", str(port), *command])
        parts = urlsplit(self._url_at(at or self._primary))
        if parts.scheme == "unix":
            words += ["-s", unquote(parts.path)]
        else:
            words += ["-h", parts.hostname or "", "-p", str(parts.port or 6379)]
        if parts.scheme == "rediss":
            words.append("--tls")
        if parts.scheme != "unix" and parts.path.strip("/"):
            words += ["-n", parts.path.strip("/")]
        if self._username:
            words += ["--user", self._username]
        line = shlex.join([*words, *command])
        return f'REDISCLI_AUTH="$CREDENTIAL" {line}' if "password" in self._login else line

    # --- whom it goes to ---------------------------------------------------------------------------------------------

    async def _followed(self, *, anew: bool = False) -> str:
        """The primary's address. Without Sentinels: the one in targets.yaml, or whom the server there follows."""
        now = asyncio.get_running_loop().time()
        if not anew and self._asked_at is not None and now - self._asked_at < FOLLOW_SECONDS:
            return self._primary
        try:
            if self._sentinels is None:
                found = await self._followed_from_home()
            else:
                found = joined(*(await self._sentinels.primary()).server)
        except (RedisError, OSError) as error:
            raise NotSent(f"nobody knows the primary of {self.component}: {words_of(error)}") from error
        self._primary, self._asked_at = found, now
        return found

    async def _followed_from_home(self) -> str:
        """Whom the server at home names as primary: itself, or whom it follows; else one that was seen with it."""
        for address in (self.home, *self._others):
            try:
                ((role, *rest),) = await self._server(address).ask(("ROLE",))
            except Rejected:
                return self.home  # it may not be asked: then it is as it was configured
            except TargetError:
                continue
            return address if role == "master" else joined(*rest[:2])
        raise NotSent(f"{self.component} cannot be reached at {self.home}")

    async def _evidence(self, *commands: Sequence[str]) -> list[list[str]]:
        """Replies from the primary that the Sentinels name; without them from the address in targets.yaml."""
        return await self._asked(await self._followed() if self._sentinels is not None else self.home, *commands)

    async def _asked(self, address: str, *commands: Sequence[str]) -> list[list[str]]:
        """Replies from one server, retried; when it does not give any, the primary is asked for anew next time."""
        server = self._server(address)
        try:
            return await server.breaker.read(lambda: server.ask(*commands))
        except (NotSent, Unknown):
            self._asked_at = None
            raise

    async def _told(self, addresses: Iterable[str]) -> dict[str, looking.Told]:
        """What every server says of itself; also those that the first ones name. In order, Sentinels' names first."""
        told: dict[str, looking.Told] = {}
        wanted = list(dict.fromkeys(addresses))
        for _ in range(2):
            new = [one for one in wanted if one not in told][: MAX_SERVERS - len(told)]
            told.update(zip(new, await asyncio.gather(*map(self._info, new)), strict=True))
            wanted = [one for said in told.values() for one in (*looking.followers(said), looking.follows(said)) if one]
        return told

    async def _info(self, address: str) -> looking.Told:
        try:
            (info,) = await self._server(address).ask(("INFO",))
        except TargetError as error:
            return {"error": words_of(error.__cause__ or error)}
        return looking.fields(str(info))

    def _own_primary(self, told: dict[str, looking.Told], names: looking.Names) -> str:
        """Without a Sentinel's word: who calls itself primary, the server at home first."""
        calling = [names.of(one) for one in (self.home, *told) if told[one].get("role") == "master"]
        return calling[0] if calling else names.of(self.home)

    def _server(self, address: str) -> Server:
        if address not in self._servers:
            name = self.component if address == self.home else f"{self.component} at {address}"
            self._servers[address] = Server(name, self._url_at(address), login=self._login, killed=self._killed)
        return self._servers[address]

    async def _forget(self, told: dict[str, looking.Told]) -> None:
        """Close what nobody names any more, once there is too much of it."""
        if len(self._servers) > MAX_SERVERS:
            for address in [one for one in self._servers if one not in told and one != self._primary]:
                await self._servers.pop(address).close()

    def _url_at(self, address: str) -> str:
        if address == self.home:
            return self._url
        return place("redis://" if urlsplit(self._url).scheme == "unix" else self._url, parted(address))

    def _allowed(self, line: str) -> None:
        if line not in self._allow:
            raise NotSent(f"{line} is not in the allow list of {self.component}")

    def _alive(self) -> None:
        if why := self._killed():
            raise NotSent(why)


def _home(url: str) -> str:
    """The address in targets.yaml, as host:port or the path of a socket."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "unix" else joined(parts.hostname or "", parts.port or 6379)


def _named(words: Sequence[Word]) -> list[str]:
    """Every server that a Sentinel names."""
    return [one for word in words if not word.error for one in (word.primary, *word.replicas)]


def _up(told: dict[str, looking.Told], address: str) -> bool:
    return "role" in told.get(address, {})


def _fit(words: Sequence[Word], look: RedisLook) -> str:
    """A Sentinel that can begin the failover of the primary that was looked at. NotSent: there is none."""
    for word in words:
        sound = not (word.error or word.no_quorum or word.failing_over or word.tilted)
        if sound and word.coordinated and (word.primary, word.epoch) == (look.primary.address, look.epoch):
            return word.sentinel
    raise NotSent(f"no Sentinel names {look.primary.address} any more and can begin a coordinated failover")
