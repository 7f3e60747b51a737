"""The Dockerfile's own steps, run without a container: `make image` (it needs a package index; half a minute).

Not part of `make test`, whose name pattern it does not fit, because it installs packages anew. Every RUN and COPY of
the build stage is carried out in order below one folder that stands for `/`; what the final stage takes is then started
with its ENV, ENTRYPOINT and CMD on the store of compose.yaml.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness.composed import open_composed
from tests.acceptance.harness.dockerfile import ROOT, Instruction, context, covers, stages

STEP_WITHIN = 300.0  # seconds; a cold package index
_ABSOLUTE = re.compile(r"(?<![\w./])/(?=opt/|src\b|var/)")


class Root:
    """A folder that stands for `/` while a stage is built."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = folder
        self._environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}
        # how this machine reaches its package index is its own affair; what is installed is checked by hash
        self._environment |= {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PIP_", "SSL_")) or "proxy" in name.lower()
        }
        (folder / "bin").mkdir()
        python = folder / "bin" / "python"  # the image's; a link would make it the virtual environment's
        python.write_text(f'#!/bin/sh\nexec "{getattr(sys, "_base_executable", sys.executable)}" "$@"\n')
        python.chmod(0o755)

    def inside(self, text: str) -> str:
        """The same words, with the image's paths below the folder."""
        return _ABSOLUTE.sub(f"{self.folder}/", text)

    def carry_out(self, step: Instruction) -> None:
        """One instruction of the build stage. Raises AssertionError with the output of a step that failed."""
        match step.name:
            case "ENV":
                self._environment |= dict(word.split("=", 1) for word in step.words)
            case "WORKDIR":
                self.directory = Path(self.inside(step.text))
                self.directory.mkdir(parents=True)
            case "COPY":
                self._copy(*step.paths)
            case "RUN":
                done = subprocess.run(
                    ["/bin/sh", "-c", self.inside(step.text)],
                    cwd=self.directory, env=self._environment, timeout=STEP_WITHIN,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                )  # fmt: skip
                assert done.returncode == 0, f"RUN {step.text}\n{done.stdout[-3_000:]}"
            case _:
                raise AssertionError(f"nobody knows how to carry out {step}")

    def _copy(self, sources: list[str], target: str) -> None:
        """As COPY does: a folder's content, without the folder."""
        for source in sources:
            files = [path for path in context() if covers(source, path)]
            assert files, source
            for path in files:
                within = Path(path).relative_to(source) if (ROOT / source).is_dir() else Path(Path(path).name)
                to = self.directory / target / within
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / path, to)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """The build stage, carried out."""
    root = Root(tmp_path_factory.mktemp("image"))
    for step in stages()[0].instructions:
        root.carry_out(step)
    yield root
    shutil.rmtree(root.folder, ignore_errors=True)


@pytest.mark.timeout(900)
def test_the_build_steps_work_and_leave_only_what_is_locked(built: Root) -> None:
    """Installed by hash alone, from wheels alone, with nothing that a package would have had to be compiled for."""
    python = built.folder / "opt/andon/bin/python"
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    installed = json.loads(
        subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    )
    lock = (ROOT / "deploy/requirements.lock").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", lock, re.MULTILINE))
    normal = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in installed.items()}
    own = normal.pop("andon")
    assert normal.items() <= pins.items()
    said = subprocess.run([python.with_name("andon"), "version"], capture_output=True, text=True, check=True).stdout
    assert own in said
    state = built.folder / "opt/state/andon"
    assert state.stat().st_mode & 0o777 == 0o700


@pytest.mark.timeout(120)
async def test_what_was_built_serves_as_the_image_would(built: Root) -> None:
    """The image's own `andon` starts with its ENV and CMD on compose's store, is ready, and ends on SIGTERM."""
    async with open_composed((str(built.folder / "opt/andon/bin/andon"),)) as running:
        checked = subprocess.run(
            [*running.program, "check", "--json"],
            env={**running.environment, "LANG": "C.UTF-8"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert json.loads(checked.stdout)["ok"] is True, checked.stdout + checked.stderr
        code, status = await running.command("status", token=running.secret("oncall_token"))
        assert (code, status["replica"]) == (0, "andon-1")
        where = Path(f"/proc/{running.andon.pid}/cmdline").read_bytes().decode().split("\0")
        assert any(word.startswith(str(built.folder)) for word in where), where
        os.kill(running.andon.pid, 15)
        assert await asyncio.wait_for(running.andon.wait(20), 25) == 0, running.andon.tail()
