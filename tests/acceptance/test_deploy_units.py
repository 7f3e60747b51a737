"""deploy/systemd as far as systemd's own tools judge it without running it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
EXPOSURE = 25  # tenths, of systemd's own rating: below 2.5 of 10 for a service that is on the network


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed; on Debian or Ubuntu: apt-get install -y --no-install-recommends systemd"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def _settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / "andon.service").read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit and its drop-in, with a program that is there."""
    text = (SYSTEMD / "andon.service").read_text(encoding="utf-8")
    assert "ExecStart=/opt/andon/bin/andon serve" in text
    (tmp_path / "andon.service").write_text(text.replace("/opt/andon/bin/andon", "/bin/true"), encoding="utf-8")
    shutil.copytree(SYSTEMD / "andon.service.d", tmp_path / "andon.service.d")
    return tmp_path / "andon.service"


def test_systemd_understands_every_line(unit: Path) -> None:
    """systemd ignores a setting that it does not know, with a line in the journal that nobody reads."""
    done = subprocess.run(
        [_tool("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_rates_it_as_well_confined(unit: Path) -> None:
    """Also with the drop-in that lets it signal processes of others."""
    done = subprocess.run(
        [_tool("systemd-analyze"), "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(unit)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_its_user_is_one_that_systemd_would_make(tmp_path: Path) -> None:
    """The unit's user and the one of the sysusers file are the same."""
    users = SYSTEMD / "andon.sysusers.conf"
    done = subprocess.run(
        [_tool("systemd-sysusers"), "--dry-run", f"--root={tmp_path}", str(users)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Creating user '{_settings()['User'][0]}'" in done.stdout + done.stderr


def test_stopping_leaves_time_to_finish_and_the_store_to_andon() -> None:
    """SIGTERM to the whole group would stop the store under an action that is being sent."""
    settings = _settings()
    assert settings["KillMode"] == ["mixed"]
    assert int(settings["TimeoutStopSec"][0].removesuffix("s")) >= 15 + 10 + 5  # work, its store, and some more
    assert settings["Restart"] == ["always"]
    assert settings["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_operators_are_known_at_the_socket() -> None:
    """The kernel tells Andon who asks; in a user namespace of Andon's own all of them would be nobody."""
    settings = _settings()
    assert settings["PrivateUsers"] == ["no"]
    assert settings["RuntimeDirectoryMode"] == ["0750"]
    assert f"ANDON_SOCKET=/run/{settings['RuntimeDirectory'][0]}/andon.sock" in settings["Environment"]
    assert f"ANDON_DATA_DIR=/var/lib/{settings['StateDirectory'][0]}" in settings["Environment"]
    assert settings["StateDirectoryMode"] == ["0700"]
