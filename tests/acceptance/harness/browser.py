"""A headless Chromium, driven over its DevTools protocol: what a person at the page sees, clicks and types.

Used by the tests of the local Slack's page and by the script that takes the pictures in `docs/slack/`. Clicks and keys
are real input events at the place where the element is, so something that covers it is noticed. What the page
complained about (errors, refused loads, dialogs) is kept in `troubles`.
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance.harness.binaries import binary

START_WITHIN = 40.0  # seconds; two on an idle machine
ANSWER_WITHIN = 20.0  # seconds for one request of the protocol, a wait for the page aside
SEE_WITHIN = 15.0  # seconds until the page shows what is waited for
SIZE = (1280, 900)
MAX_ANSWER = 64 * 1024 * 1024  # bytes; a picture of a long page has some
FLAGS = (
    "--headless", "--remote-debugging-port=0", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--no-proxy-server",
    "--disable-features=Translate,MediaRouter,OptimizationHints", "--password-store=basic",
)  # fmt: skip

# Resolves as soon as the expression is true, looking at every change of the document.
_SEEN = """new Promise((seen) => {
  const look = () => { let found = null; try { found = (%s); } catch (problem) { found = null; }
                       if (found) { observer.disconnect(); seen(found); } };
  const observer = new MutationObserver(look);
  observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
  look();
})"""
_FIND = """(() => [...document.querySelectorAll(%s)].find((each) => each.offsetParent !== null
  && (!%s || each.textContent.trim() === %s)))()"""
# The middle of an element, once it is in view; null while something else lies there.
_MIDDLE = """(() => { const each = %s; if (!each) return null; each.scrollIntoView({block: "center"});
  const box = each.getBoundingClientRect(); const x = box.x + box.width / 2, y = box.y + box.height / 2;
  const top = document.elementFromPoint(x, y); return each.contains(top) || top?.contains(each) ? [x, y] : null; })()"""


class PageError(AssertionError):
    """The page did not show or do what was expected; the message says what it shows."""


class Page:
    """One tab. Made by `open_browser`."""

    def __init__(self, line: aiohttp.ClientWebSocketResponse) -> None:
        self.troubles: list[str] = []
        self._line = line
        self._session = ""
        self._last = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()

    async def listen(self) -> None:
        """Take in what the browser says, until the line ends."""
        async for said in self._line:
            message = json.loads(said.data)
            if (future := self._waiting.pop(message.get("id", 0), None)) is not None:
                if not future.done():
                    future.set_result(message)
            elif message.get("method") == "Page.loadEventFired":
                self._loaded.set()
            else:
                self._note(message.get("method", ""), message.get("params", {}))

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.troubles.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.troubles.append(f"{params['entry']['text']} {params['entry'].get('url', '')}".strip())
        elif method == "Page.javascriptDialogOpening":
            self.troubles.append(f"a dialog: {params['message']}")

    async def ask(self, method: str, within: float = ANSWER_WITHIN, **params: object) -> dict[str, Any]:
        """One request of the protocol and its result."""
        self._last += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[self._last] = answer
        request: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        await self._line.send_json(request | ({"sessionId": self._session} if self._session else {}))
        async with asyncio.timeout(within):
            said = await answer
        if "error" in said:
            raise PageError(f"{method}: {said['error']}")
        result: dict[str, Any] = said["result"]
        return result

    async def begin(self) -> None:
        """A tab of this size, and everything it has to complain about."""
        target = (await self.ask("Target.createTarget", url="about:blank"))["targetId"]
        self._session = (await self.ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.ask(f"{domain}.enable")
        await self.resize(*SIZE)

    async def resize(self, width: int, height: int, *, dark: bool = False, scale: float = 1) -> None:
        """The size of the tab in CSS pixels, its colour scheme, and how many pixels a CSS pixel has."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.ask("Emulation.setEmulatedMedia", features=scheme)

    async def go(self, address: str) -> None:
        """Load an address."""
        self._loaded.clear()
        await self.ask("Page.navigate", url=address)
        async with asyncio.timeout(ANSWER_WITHIN):
            await self._loaded.wait()

    async def run(self, expression: str, within: float = ANSWER_WITHIN) -> Any:
        """The value of an expression in the page, waited for if it is a promise."""
        answer = await self.ask(
            "Runtime.evaluate", within, expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise PageError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def sees(self, expression: str, within: float = SEE_WITHIN) -> Any:
        """The value of an expression as soon as it is true. PageError with the page's text when it never is."""
        try:
            return await self.run(_SEEN % expression, within)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise PageError(f"not seen: {expression}\n{text[-3_000:]}\ntroubles: {self.troubles}") from None

    async def reads(self, words: str, selector: str = "body", within: float = SEE_WITHIN) -> None:
        """Wait until the element says these words."""
        await self.sees(
            f"document.querySelector({json.dumps(selector)}).innerText.includes({json.dumps(words)})", within
        )

    async def click(self, selector: str, words: str = "") -> None:
        """Click the first visible element (with exactly these words), once nothing covers it."""
        where = _MIDDLE % (_FIND % (json.dumps(selector), json.dumps(words), json.dumps(words)))
        x, y = await self.sees(where)
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def type(self, selector: str, text: str) -> None:
        """Click a field, empty it, and type into it."""
        await self.click(selector)
        await self.run(f"document.activeElement.select?.() ?? (document.activeElement.value = {json.dumps('')})")
        await self.ask("Input.insertText", text=text)

    async def press_enter(self) -> None:
        """The return key, where the focus is."""
        for kind in ("keyDown", "keyUp"):
            await self.ask(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
            )

    async def choose(self, selector: str, value: str) -> None:
        """Choose an option of a menu, as a person does with the keyboard."""
        await self.run(
            f"""(() => {{ const box = document.querySelector({json.dumps(selector)}); box.value = {json.dumps(value)};
            box.dispatchEvent(new Event("change", {{bubbles: true}})); }})()"""
        )

    async def picture(self, file: Path, selector: str = "", *, width: int = 0) -> None:
        """A PNG of the tab, or of one element of it, at most `width` CSS pixels of it."""
        await self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)  # where it highlights nothing
        clip = {}
        if selector:
            box = await self.run(
                f"""(() => {{ const each = document.querySelector({json.dumps(selector)});
                each.scrollIntoView({{block: "nearest"}}); const box = each.getBoundingClientRect();
                return {{x: box.x, y: box.y, width: box.width, height: box.height}}; }})()"""
            )
            clip = {"clip": box | {"width": min(box["width"], width or box["width"]), "scale": 1}}
        answer = await self.ask("Page.captureScreenshot", format="png", **clip)
        file.write_bytes(base64.b64decode(answer["data"]))


@contextlib.asynccontextmanager
async def open_browser() -> AsyncIterator[Page]:
    """A browser with one empty tab and a profile of its own; ended by its process id."""
    program = binary("chromium")
    unboxed = ("--no-sandbox",) if os.geteuid() == 0 else ()  # Chromium refuses its sandbox to root
    with tempfile.TemporaryDirectory(prefix="andon-browser-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            program, *FLAGS, *unboxed, f"--user-data-dir={folder}", "about:blank",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(START_WITHIN):
                address = await _address(process)
            async with (
                aiohttp.ClientSession(trust_env=False) as web,
                web.ws_connect(address, max_msg_size=MAX_ANSWER) as line,
                asyncio.TaskGroup() as tasks,
            ):
                page = Page(line)
                listening = tasks.create_task(page.listen())
                drained = tasks.create_task(_drain(process))
                await page.begin()
                yield page
                for task in (listening, drained):
                    task.cancel()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    """Where the browser listens, as it says itself."""
    assert process.stderr is not None
    said = []
    async for line in process.stderr:
        said.append(line.decode(errors="replace"))
        if "DevTools listening on " in said[-1]:
            return said[-1].split("DevTools listening on ")[1].strip()
    raise PageError("Chromium ended at once: " + "".join(said[-10:]))


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Read on, so that the browser never waits for somebody who reads its complaints."""
    assert process.stderr is not None
    async for _ in process.stderr:
        pass
