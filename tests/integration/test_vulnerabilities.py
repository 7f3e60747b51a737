"""The check of what is locked against what is known: it asks about all of it, and never takes silence for health."""

from __future__ import annotations

import json
import runpy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = runpy.run_path(str(ROOT / "deploy" / "vulnerabilities.py"))
LOCKS = [ROOT / "deploy" / "requirements.lock", ROOT / "deploy" / "requirements-build.lock"]
ADVISORY = {
    "summary": "a header is read twice",
    "affected": [
        {"package": {"name": "aiohttp"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "99.1"}]}]},
        {"package": {"name": "other"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "1.0"}]}]},
    ],
}


@contextmanager
def osv(answer: Any, status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """A server that answers so, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.say(answer(asked[-1]) if callable(answer) else answer)

        def do_GET(self) -> None:
            self.say(ADVISORY)

        def say(self, body: Any) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def check(url: str, *locks: Path) -> int:
    done: int = CHECK["main"]([*map(str, locks or LOCKS), "--url", url])
    return done


def nothing(question: Any) -> Any:
    return {"results": [{} for _ in question["queries"]]}


def test_every_locked_package_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    """Each name with its exact version, those of the build too."""
    with osv(nothing) as (url, asked):
        assert check(url) == 0
    names = {each["package"]["name"]: each["version"] for each in asked[0]["queries"]}
    assert {"aiohttp", "cryptography", "redis", "hatchling"} <= names.keys()
    assert f"no known vulnerability in {len(names)} locked packages" in capsys.readouterr().out


def test_a_known_vulnerability_is_told_with_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1; the version that mends it is this package's own."""

    def one(question: Any) -> Any:
        hit = [each["package"]["name"] == "aiohttp" for each in question["queries"]]
        return {"results": [{"vulns": [{"id": "GHSA-1"}]} if yes else {} for yes in hit]}

    with osv(one) as (url, _):
        assert check(url) == 1
    assert "GHSA-1: a header is read twice; mended in 99.1\n" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [{"results": []}, {}, [], "no"])
def test_an_answer_that_is_none_is_not_health(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """NOT CHECKED, with an exit code of its own."""
    with osv(answer) as (url, _):
        assert check(url) == 3
    assert "NOT CHECKED" in capsys.readouterr().err


def test_nobody_to_ask_is_not_health(capsys: pytest.CaptureFixture[str]) -> None:
    """No network, a server in trouble."""
    with osv(nothing, status=500) as (url, _):
        assert check(url) == 3
    assert check(url) == 3  # nobody listens there any more
    assert "NOT CHECKED" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["aiohttp>=3", "aiohttp==3.14.5", "-e .", ""])
def test_what_is_not_locked_is_refused(line: str, tmp_path: Path) -> None:
    """A version without a hash is no lock."""
    lock = tmp_path / "some.lock"
    lock.write_text(line + "\n")
    with osv(nothing) as (url, asked):
        assert check(url, lock) == 2
    assert asked == []
