"""Andon's own store: where it is, whether it is safe, and opened. Called by `bot.app`, before anything is accepted.

Without an address an embedded Valkey is started in the data directory. With Sentinels the store is whichever server is
primary, now and after every failover (`bot.adapters.redis_primary`).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from bot.adapters import redis_safety
from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.redis_link import RedisLink, connect
from bot.adapters.redis_primary import Behind
from bot.adapters.seal import Sealer
from bot.adapters.sentinels import Sentinels
from bot.adapters.targets_credentials import resolve
from bot.adapters.witnessed_store import WitnessedStore
from bot.configuration import Floor
from bot.errors import ConfigError
from bot.settings import Settings
from policies.andon import StoreDoc
from policies.targets import TargetsDocument, is_host_and_port

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """Where the store is and how to get in. `url` "": the embedded one."""

    url: str = ""
    username: str = ""
    password: str = ""
    behind: Behind | None = None
    wait_replicas: int = 0


def store_place(settings: Settings, setup: StoreDoc) -> StorePlace:
    """What andon.yaml and the environment make of it. Raises ConfigError.

    User, password and Sentinels of andon.yaml are for its own `url` alone, never for what ANDON_STORE_URL names.
    """
    url = settings.store_url.get_secret_value() if settings.store_url is not None else setup.url
    ours = url == setup.url
    named = tuple(part.strip() for part in settings.store_sentinels.split(",") if part.strip())
    if bool(named) != bool(settings.store_master):
        raise ConfigError("ANDON_STORE_SENTINELS and ANDON_STORE_MASTER belong together: set both, or neither")
    for sentinel in named:
        if not is_host_and_port(sentinel):
            raise ConfigError(f"ANDON_STORE_SENTINELS: {sentinel!r} is not host:port; write it like 10.0.0.5:26379")
    if named and (not url or url.startswith("unix:")):
        raise ConfigError(
            "ANDON_STORE_SENTINELS says where the store is, not how it is reached: set ANDON_STORE_URL to "
            "redis://HOST:PORT/0 with any of its servers"
        )
    behind = None
    if named or (ours and setup.sentinels):
        behind = Behind(
            sentinels=named or tuple(setup.sentinels), master=settings.store_master or setup.master,
            username=setup.sentinel_username if ours else "",
            password=_secret(setup.sentinel_credentials, "store.sentinel_credentials") if ours else "",
        )  # fmt: skip
    wanted = setup.wait_replicas if setup.wait_replicas is not None else int(behind is not None)
    return StorePlace(
        url=url, username=setup.username if ours else "",
        password=_secret(setup.credentials, "store.credentials") if ours else "",
        behind=behind, wait_replicas=wanted,
    )  # fmt: skip


def _secret(reference: str, owner: str) -> str:
    secret = resolve(reference, os.environ, owner=owner)
    return secret.get_secret_value() if secret is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStore:
    """The store, opened; the embedded server behind it, if that is ours; and a further line to it, with its key."""

    store: WitnessedStore
    server: EmbeddedValkey | None
    link: Callable[[], RedisLink]
    sealer: Sealer


@asynccontextmanager
async def open_store(settings: Settings, floor: Floor, folder: Path, replica: str) -> AsyncIterator[OwnStore]:
    """The store, checked and opened, with the embedded server behind it unless a URL is configured."""
    setup = floor.loaded.andon.store
    place = store_place(settings, setup)
    url = place.url
    async with AsyncExitStack() as stack:
        server = EmbeddedValkey(folder) if not url else None
        if server is not None:
            stack.push_async_callback(server.stop)
            url = await server.start()
        warnings = await _check(
            url, place, await _target_urls(floor.loaded.targets),
            accept_weak=settings.accept_weak_durability or setup.accept_weak_durability,
        )  # fmt: skip
        for warning in warnings:
            log.warning("store_is_weak", problem=warning)
        sealer = Sealer.from_file(folder / "seal.key")
        store = WitnessedStore(
            url, replica=replica, sealer=sealer, username=place.username,
            password=place.password, behind=place.behind, wait_replicas=place.wait_replicas if place.url else 0,
        )  # fmt: skip
        stack.push_async_callback(store.close)
        await store.open()
        link = partial(RedisLink, url, username=place.username, password=place.password, behind=place.behind)
        yield OwnStore(store=store, server=server, link=link, sealer=sealer)


async def _check(url: str, place: StorePlace, target_urls: list[str], *, accept_weak: bool) -> tuple[str, ...]:
    """What is weak about the store's servers. Raises StoreUnsafe or StoreUnavailable."""
    if place.behind is None:
        client = connect(url, username=place.username, password=place.password)
        try:
            return await redis_safety.check(client, accept_weak=accept_weak, url=url, target_urls=target_urls)
        finally:
            await client.aclose()
    behind = place.behind
    sentinels = Sentinels(behind.sentinels, behind.master, url=url, username=behind.username, password=behind.password)
    try:
        return await redis_safety.check_all(
            url, sentinels, accept_weak=accept_weak, target_urls=target_urls, username=place.username,
            password=place.password,
        )  # fmt: skip
    finally:
        await sentinels.close()


async def _target_urls(targets: TargetsDocument) -> list[str]:
    """Every server of the trading systems' own Redis, replicas included, as far as their Sentinels answer."""
    found: list[str] = []
    for system in targets.systems:
        for component in targets.components(system):
            if component.connector == "redis":
                found += await redis_safety.servers_of(component.url, component.sentinels, component.master)
    return found
