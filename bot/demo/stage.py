"""The demo's stage: a temporary folder; sandbox, local Slack and bot as child processes; and hands to move them.

Used by `bot.demo` (live) and `bot.demo.tour` (unattended). The bot is a real `andon serve`, reached the way everybody
reaches it: its webhook port, its operators' socket, the CLI. Only the audit is broken behind its back, on request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bot.adapters.clock import ScaledClock, wall_ms
from bot.adapters.embedded import EmbeddedValkey
from bot.console_story import rung_words
from bot.console_values import intended
from bot.demo import config
from bot.demo.chat import start_chat
from bot.demo.config import APPROVER, PERSON, SYSTEM, VISITOR, Place
from bot.demo.view import Card, Moment, Waiting
from bot.errors import AndonError
from bot.sandbox.children import Child, python, until
from bot.sandbox.ports import free_port

SCALE = 15.0  # a restart of the bot takes three seconds: 45 there, half of what verification may take
HOLD, CLOSE, COOLDOWN = "30s", "45s", "60s"  # shipped: 2m, 30m, 10m; a demo of half an hour would bore
COOLDOWN_MS = 60_000
LATENCY_US = 20_000  # shipped: 5,000; on a busy laptop a PING may well take that long
STALL_MS = 26  # how slow a fault makes Redis: over that limit, and everything that Andon asks is answered in time
LEASE = "90s"  # shipped: 15m; six seconds to watch a pause before people are asked
COPIES = 2  # every alert comes twice, as from a highly available pair of Alertmanagers; it must not matter
RESPONSE_MS = 40_000  # VaR follows Kelly with this lag: some 30 s until it is under 1.6 %, two seconds to watch
READY_WITHIN = 60.0  # seconds; usually three, but the first start of a fresh install compiles everything
API_TIMEOUT = aiohttp.ClientTimeout(total=10)


_RECEIPT = "message_delivered"  # that chat and pager took something; the audit has them all
_AGAIN = ("looking at the evidence again", "looking at the guard again")  # said before every further look
_NOT_YET = ("not yet", "the guard does not hold")  # what the further looks find: the newest one is enough
_TURN = "its turn"


class DemoError(AndonError):
    """The demo cannot go on; the message says what happened, with the end of the log that tells why."""


class RefusedError(DemoError):
    """Andon understood and said no; the message is its reason."""


@dataclass(frozen=True, slots=True)
class Broken:
    """An audit line that was changed, and what it was."""

    key: str
    index: int
    original: str


class Stage:
    """One demo. Made by `open_stage`."""

    def __init__(self, folder: Path, clock: ScaledClock, scale: float, clock_text: str, place: Place) -> None:
        self.folder = folder
        self.clock = clock
        self.scale = scale
        self.place = place
        self.sandbox_url = ""
        self.slack_page = ""
        self._clock_text = clock_text
        self._bot: Child | None = None
        self._web = aiohttp.ClientSession(timeout=API_TIMEOUT)
        self._api = aiohttp.ClientSession(
            "http://andon", connector=aiohttp.UnixConnector(str(place.socket)), timeout=API_TIMEOUT
        )

    # --- the bot --------------------------------------------------------------------------------------------------

    @property
    def bot_log(self) -> Path:
        """Everything the bot logged, over all its lives, as JSON lines."""
        return self.folder / "andon.log"

    @property
    def bot_pid(self) -> int | None:
        """The bot's process id, while it lives."""
        return self._bot.pid if self._bot is not None and self._bot.running else None

    async def start_bot(self) -> None:
        """Start `andon serve` and wait until it is ready."""
        bot = await Child.start(
            "andon",
            python("bot.cli", "serve", "--config", str(self.place.andon_yaml)),
            self.bot_log,
            environment={"ANDON_CLOCK": self._clock_text, "ANDON_LOG_FORMAT": "json"},
        )
        self._bot = bot

        async def ready() -> bool:
            if not bot.running:
                raise DemoError(bot.tail())
            async with self._web.get(f"http://127.0.0.1:{self.place.port}/readyz") as response:
                return response.status == 200

        await until("the bot is ready", ready, within=READY_WITHIN)

    async def kill_bot(self) -> int:
        """kill -9; returns the pid it had. What it had promised stays promised."""
        if self._bot is None or not self._bot.running:
            raise DemoError("the bot does not run")
        pid = self._bot.pid
        await self._bot.kill()
        return pid

    async def end_bot(self) -> None:
        """Stop the bot and, should it have been killed, the embedded store it left behind."""
        if self._bot is not None:
            await self._bot.end()
        store = self._store()
        with contextlib.suppress(RedisError, OSError):  # nobody there: nothing was left behind
            await store.shutdown(nosave=True)
        await store.aclose()

    async def api(self, method: str, path: str, body: object = None, *, person: str = PERSON) -> Any:
        """One request to the operators' API; whoever runs the demo is known by the socket, others show their token."""
        token = self.place.tokens.get(person)
        headers = {"Authorization": f"Bearer {token.read_text()}"} if token is not None else {}
        async with self._api.request(method, f"/api/v1{path}", json=body, headers=headers) as response:
            answer = await response.json()
            if response.status == 409:
                raise RefusedError(str(answer["error"]))
            if response.status >= 400:
                raise DemoError(f"{method} {path}: HTTP {response.status}: {answer}")
            return answer

    async def waiting(self) -> tuple[Waiting, ...]:
        """Everything that waits for a person's yes or no, what runs out first at the top."""
        return tuple(_waiting(card) for card in (await self.api("GET", "/decisions"))["waiting"])

    async def decide(self, verdict: str, question: Waiting, *, person: str, reason: str = "") -> str:
        """Say yes or no to exactly what was shown; returns what came of it. Raises RefusedError with the reason."""
        body = {"approval": question.approval, "digest": question.digest, "reason": reason}
        answer = await self.api("POST", f"/incidents/{question.incident}/{verdict}", body, person=person)
        return str(answer["decisions"][0]["why"])

    async def cards(self) -> tuple[Card, ...]:
        """Every incident, newest first; the newest with its timeline."""
        listed = (await self.api("GET", "/incidents?all=1"))["incidents"]
        return tuple([await self.card(line["id"]) for line in listed[:1]] + [_brief(line) for line in listed[1:]])

    async def card(self, incident: str) -> Card:
        """One incident with its timeline."""
        answer = await self.api("GET", f"/incidents/{incident}")
        record = answer["incident"]
        alerts = record["alerts"].values()
        return replace(
            _brief(answer["summary"]),
            symbols=tuple(sorted({state["alert"]["labels"].get("symbol", "?") for state in alerts})),
            due={name: timer["due"] for name, timer in record["timers"].items()},
            rungs={name: words for name in record["timers"] if (words := rung_words(record, name))},
            timeline=_timeline(m for entry in answer["audit"] for m in _moments(json.loads(entry["body"]))),
        )

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run an `andon` command as a person would; (exit code, standard output)."""
        process = await asyncio.create_subprocess_exec(
            *python("bot.cli", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=config.environment(self.place),
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    # --- the trading system ---------------------------------------------------------------------------------------

    async def start_slack(self, stack: contextlib.AsyncExitStack) -> None:
        """Start the local Slack, to be ended with `stack`; the configuration that is written next points at it."""
        chat = await start_chat(self.folder, self._clock_text, stack)
        self.slack_page = chat.page
        self.place = replace(self.place, slack=chat.section, members=chat.members)

    async def slack(self, path: str, body: object = None) -> Any:
        """One request to the local Slack's control API; without a body, a look."""
        url = self.slack_page.partition("/?")[0] + path
        async with self._web.request("GET" if body is None else "POST", url, json=body) as response:
            response.raise_for_status()
            return await response.json()

    async def start_sandbox(self, stack: contextlib.AsyncExitStack) -> None:
        """Start the simulated trading-core, to be ended with `stack`, and write the configuration that points at it."""
        child = await Child.start(
            "sandbox",
            python(
                "bot.sandbox", "--with-parent", "--valkey-dir", str(self.folder / "sandbox"),
                "--clock", self._clock_text, "--response-ms", str(RESPONSE_MS), "--copies", str(COPIES), "--watchdog",
                "--latency-us", str(LATENCY_US), "--stall-ms", str(STALL_MS),
                "--webhook", f"http://127.0.0.1:{self.place.port}/webhooks/alertmanager",
            ),
            self.folder / "sandbox.log",
            ready_line=True,
        )  # fmt: skip
        stack.push_async_callback(child.end)
        ready = json.loads(await child.first_line(READY_WITHIN))
        self.sandbox_url = ready["url"]
        config.write_for(self.place, ready)

    async def sandbox(self, method: str, path: str, body: object = None) -> Any:
        """One request to the simulated trading-core."""
        async with self._web.request(method, self.sandbox_url + path, json=body) as response:
            response.raise_for_status()
            return await response.json()

    async def inject(self, symbol: str, var_pct: float) -> None:
        """Make a symbol's VaR jump."""
        await self.sandbox("POST", "/faults/var", {"symbol": symbol, "var_pct": var_pct})

    async def calm(self, only: str = "") -> None:
        """People at the desk put everything back, Kelly too, which Andon never raises by itself; or only the risk."""
        await self.sandbox("POST", "/desk/restore", {"only": only} if only else None)

    async def effects(self, *what: str, author: str = "api") -> list[dict[str, Any]]:
        """Changes of state that came through the runbook's API, from the sandbox's own ledger; all, or only these."""
        found = await self.sandbox("GET", "/ledger?kind=effect")
        return [e for e in found if e["author"] == author and (not what or e["what"].startswith(what))]

    async def requests(self, *paths: str) -> list[dict[str, Any]]:
        """Requests to change something, from the ledger; all, or only those that begin with one of these paths."""
        beginnings = tuple(f"POST {path}" for path in paths) or ("POST",)
        return [e for e in await self.sandbox("GET", "/ledger?kind=request") if e["what"].startswith(beginnings)]

    # --- what it said ---------------------------------------------------------------------------------------------

    def pages(self) -> list[dict[str, Any]]:
        """Every page the terminal pager gave out."""
        pages = []
        for line in self.bot_log.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):  # a line cut short by kill -9
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == "PAGE":
                    pages.append({k: entry.get(k) for k in ("service", "severity", "incident_id", "summary")})
        return pages

    def bot_tail(self) -> list[str]:
        """The end of the bot's log."""
        return self._bot.tail().splitlines() if self._bot is not None else []

    # --- the audit, behind the bot's back -------------------------------------------------------------------------

    async def break_audit(self, aggregate: str) -> Broken:
        """Change one figure in the middle of an aggregate's stored chain, as a forger with store access would."""
        store = self._store()
        try:
            key = f"andon:{{{SYSTEM}}}:audit:{aggregate}"
            links = [str(link) for link in await store.lrange(key, 0, -1)]
            index = len(links) // 2
            original = links[index]
            at = original.rindex('"why":"') + len('"why":"')
            await store.lset(key, index, f"{original[:at]}(edited) {original[at:]}")
            return Broken(key, index, original)
        finally:
            await store.aclose()

    async def mend_audit(self, broken: Broken) -> None:
        """Put the original line back."""
        store = self._store()
        try:
            await store.lset(broken.key, broken.index, broken.original)
        finally:
            await store.aclose()

    def _store(self) -> Redis:
        return Redis.from_url(EmbeddedValkey(self.place.data_dir).url, decode_responses=True)

    async def close(self) -> None:
        """Give back the connections."""
        await self._web.close()
        await self._api.close()


def _brief(line: dict[str, Any]) -> Card:
    """A card from one line of the incidents' list."""
    return Card(
        id=line["id"],
        policy=line["policy"],
        status=line["status"],
        why=line["why"],
        firing=line["firing"] > 0,
        episode=line["episode"],
    )


def _waiting(card: dict[str, Any]) -> Waiting:
    """A question to people from the API's decision card."""
    return Waiting(
        incident=card["incident"],
        approval=card["approval"],
        digest=card["digest"],
        action=card["action"],
        change="; ".join(change.plain for change in intended(card["before"], card["wanted"])),
        votes=len(card["votes"]),
        quorum=card["quorum"],
        may=tuple(card["may_still_vote"]),
        expires_at=card["expires_at"],
        silence=card["silence"],
    )


def _moments(body: dict[str, Any]) -> list[Moment]:
    """The sentences of one audit link: what was decided and why, and who was paged."""
    said = [event["why"] for event in body["events"] if event["why"] and event["event"]["kind"] != _RECEIPT]
    said += [f"paged {e['service']}: {e['summary']}" for e in body["effects"] if e["kind"] == "page_oncall"]
    return [Moment(body["at"], text) for text in dict.fromkeys(said)]


def _timeline(moments: Iterable[Moment]) -> tuple[Moment, ...]:
    """Moments in order; of a run of "not yet" and "looking again", only the newest "not yet"."""
    kept: list[Moment] = []
    for moment in moments:
        waits = bool(kept) and kept[-1].text.startswith(_NOT_YET)
        if moment.text.startswith(_AGAIN) or (waits and moment.text.startswith(_TURN)):
            continue
        if waits and moment.text.startswith(_NOT_YET):
            kept.pop()
        kept.append(moment)
    return tuple(kept)


@contextlib.asynccontextmanager
async def open_stage(scale: float = SCALE) -> AsyncIterator[Stage]:
    """Set the stage, and clear it away whatever happens: children ended by pid, folder removed."""
    folder = Path(tempfile.mkdtemp(prefix="andon-demo-"))
    place = Place(
        directory=folder / "configs", data_dir=folder / "data", port=free_port(), urls={},
        hold=HOLD, close=CLOSE, cooldown=COOLDOWN, lease=LEASE, latency_us=LATENCY_US, tokens=_tokens(folder),
    )  # fmt: skip
    anchor = wall_ms()
    stage = Stage(folder, ScaledClock(scale, anchor), scale, f"{scale:g}@{anchor}", place)
    try:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(stage.close)
            await stage.start_slack(stack)
            await stage.start_sandbox(stack)
            stack.push_async_callback(stage.end_bot)
            await stage.start_bot()
            yield stage
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tokens(folder: Path) -> dict[str, Path]:
    """A fresh token for everybody whom the socket does not know, in files that only this user can read."""
    files = {person: folder / f"{person}.token" for person in (APPROVER, VISITOR)}
    for file in files.values():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24))
    return files
