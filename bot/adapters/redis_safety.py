"""Refuse a store that would lose what it acknowledged, and one that belongs to a trading system.

Called by `bot/own_store.py` after the store answers and before anything is accepted. Behind Sentinels every server is
looked at (`check_all`): each replica may be the primary tomorrow. What is wrong comes with the lines that
mend it. `accept_weak` (`--accept-weak-durability`) turns the settings into warnings; a trading system's own server is
never accepted.

Why: under `appendfsync everysec` a power cut lost 15,506 acknowledged writes, under `always` none; an eviction policy
deletes records when memory runs short, where `noeviction` refuses writes, which Andon answers with 503.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from bot.adapters.redis_link import bounded, connect
from bot.adapters.sentinels import Sentinels, place
from bot.errors import AndonError, StoreUnavailable, StoreUnsafe

MIN_VERSION = (7, 0)  # XPENDING IDLE, scripts that declare themselves, the multi-part append-only file
_DEFAULT_PORT = 6379
_WANTED: Mapping[str, str] = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",  # also without a limit: one that is set later would start to evict
}


@dataclass(frozen=True, slots=True)
class _Looked:
    """One server of the store: where, what it says of itself, its settings that matter. `name`: "" if it is alone."""

    name: str
    url: str
    facts: Mapping[str, Any]
    settings: Mapping[str, str]


async def check(client: Redis, *, accept_weak: bool, url: str = "", target_urls: Sequence[str] = ()) -> tuple[str, ...]:
    """Warnings about the store behind `client` (which was reached through `url`); empty when it is safe.

    `target_urls` are the Redis servers of the configured trading systems. Raises StoreUnsafe, StoreUnavailable.
    """
    return await _judge([await _look(client, "", url)], accept_weak, target_urls)


async def check_all(
    url: str,
    sentinels: Sentinels,
    *,
    username: str = "",
    password: str = "",
    accept_weak: bool,
    target_urls: Sequence[str] = (),
) -> tuple[str, ...]:
    """`check`, for the primary and every replica that the Sentinels know. A replica that is away is a warning."""
    async with bounded("ask the Sentinels for the store's servers"):
        primary, *replicas = await sentinels.servers()
    looked: list[_Looked] = []
    away: list[str] = []
    for server in (primary, *replicas):
        at, name = place(url, server), f"{server[0]}:{server[1]}"
        client = connect(at, username=username, password=password)
        try:
            looked.append(await _look(client, name, at))
        except StoreUnavailable as error:
            if server == primary:
                raise
            away.append(f"the replica {name} could not be checked: {error}")
        finally:
            await client.aclose()
    return (*await _judge(looked, accept_weak, target_urls), *away)


async def servers_of(url: str, sentinels: Sequence[str], master: str) -> list[str]:
    """The addresses of a trading system's Redis: `url`, and every server its Sentinels know, as far as they answer."""
    if not sentinels:
        return [url]
    watchers = Sentinels(sentinels, master, url=url)
    try:
        async with bounded("ask a trading system's Sentinels"):
            return [url, *(place(url, server) for server in await watchers.servers())]
    except StoreUnavailable:
        return [url]
    finally:
        await watchers.close()


async def _look(client: Redis, name: str, url: str) -> _Looked:
    commands: Any = client
    async with bounded("check the store's settings"):
        facts: dict[str, Any] = await commands.info("everything")
        return _Looked(name, url, facts, await _settings(commands))


async def _judge(looked: Sequence[_Looked], accept_weak: bool, target_urls: Sequence[str]) -> tuple[str, ...]:
    """Warnings about these servers, of which the first is to be the primary. Raises StoreUnsafe."""
    await _refuse_targets(looked, target_urls)
    problems: list[tuple[str, str]] = []
    for server in looked:
        _refuse_version(server.facts)
        found = _setting_problems(server.settings, server.facts)
        if server is looked[0]:
            found = [*_role_problems(server.facts), *found]
        on = f" on {server.name}" if server.name else ""
        problems += [(f"{problem}{on}", f"{line}{f'   # {on.strip()}' if on else ''}" if line else "")
                     for problem, line in found]  # fmt: skip
    if not problems:
        return ()
    if accept_weak:
        return tuple(problem for problem, _ in problems)
    reasons = "\n".join(f"  - {problem}" for problem, _ in problems)
    mending = [line for _, line in problems if line]
    lines = "\n".join(f"  {line}" for line in ([*mending, "CONFIG REWRITE"] if mending else []))
    raise StoreUnsafe(
        f"this store could lose acknowledged writes:\n{reasons}\n"
        + (f"mend it on the server (redis-cli or valkey-cli):\n{lines}\n" if lines else "")
        + "or accept the loss with --accept-weak-durability"
    )


async def _settings(commands: Any) -> dict[str, str]:
    """The settings that matter; without those the server will not tell (an ACL, or a provider, forbids CONFIG)."""
    try:
        found: dict[Any, Any] = await commands.config_get(*_WANTED)
    except ResponseError:
        return {}
    return {_text(name): _text(value) for name, value in found.items()}


def _setting_problems(settings: Mapping[str, str], facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what is wrong, the line that mends it or ""), from CONFIG or, where that is forbidden, from INFO."""
    if not settings:
        known: list[tuple[str, str]] = []
        if not int(facts.get("aof_enabled", 0)):
            known.append(("it keeps no append-only file", "CONFIG SET appendonly yes"))
        if _text(facts.get("maxmemory_policy", "noeviction")) != "noeviction":
            known.append(("it deletes records when memory runs short", "CONFIG SET maxmemory-policy noeviction"))
        return [*known, ("it does not let this user see appendfsync (CONFIG GET is forbidden)", "")]
    return [
        (f"{name} is {settings[name]}, not {wanted}", f"CONFIG SET {name} {wanted}")
        for name, wanted in _WANTED.items()
        if name in settings and settings[name] != wanted
    ]


def _role_problems(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    if _text(facts.get("role", "master")) == "master":
        return []
    return [("it is a replica of another server, which may drop what was written here; use the primary's address", "")]


def _refuse_version(facts: Mapping[str, Any]) -> None:
    version = _text(facts.get("redis_version", "0"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < MIN_VERSION:
        raise StoreUnsafe(f"this store is Redis {version}; Andon needs Redis 7.0 or newer, or Valkey")


async def _refuse_targets(looked: Sequence[_Looked], target_urls: Sequence[str]) -> None:
    places = {_place(server.url) for server in looked if server.url}
    ours = {str(server.facts.get("run_id", "")) for server in looked}
    for target in target_urls:
        if _place(target) in places or await _run_id(target) in ours:
            raise StoreUnsafe(
                f"this store is also a trading system's Redis ({_without_credentials(target)}): Andon's load and the "
                "system's faults would meet there. Give Andon a server of its own, or leave the store URL empty "
                "for the embedded one"
            )


async def _run_id(url: str) -> str | None:
    """The server's identity; None when it cannot be asked now (then only its address was compared)."""
    try:
        client: Any = connect(url)
    except AndonError:
        return None
    try:
        async with bounded("ask a trading system's Redis who it is"):
            facts = await client.info("server")
    except AndonError:
        return None
    finally:
        await client.aclose()
    return str(facts.get("run_id", "")) or None


def _place(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return "", 0, parts.path
    host = (parts.hostname or "localhost").lower()
    return ("127.0.0.1" if host in {"localhost", "::1"} else host), parts.port or _DEFAULT_PORT, ""


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path if parts.scheme == 'unix' else ''}"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
