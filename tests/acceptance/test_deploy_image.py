"""deploy/Dockerfile and its locks, as far as they can be judged without a container. `make image` runs its steps."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.acceptance.harness.dockerfile import DOCKERFILE, ROOT, Stage, context, covers, ignored, stages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = {
    "requirements.lock": PROJECT["project"]["dependencies"],
    "requirements-build.lock": PROJECT["build-system"]["requires"],
}


def from_context(stage: Stage) -> list[str]:
    """What its COPY instructions take from the repository."""
    return [source for each in stage.all("COPY") if "from" not in each.flags for source in each.paths[0]]


def test_everything_that_is_copied_is_in_the_build_context() -> None:
    """A source that does not exist, or that .dockerignore keeps out, fails only at the build, elsewhere."""
    files, (build, _) = context(), stages()
    sources = from_context(build)
    assert [source for source in sources if not any(covers(source, path) for path in files)] == []
    assert {"pyproject.toml", *PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]} <= set(sources)


def test_nothing_else_is_in_the_build_context() -> None:
    """Secrets, data and tests beside the sources never reach a builder."""
    sources = [source for stage in stages() for source in from_context(stage)]
    assert [path for path in sorted(context()) if not any(covers(source, path) for source in sources)] == []


def test_secrets_stay_out_of_the_context_and_out_of_git() -> None:
    """deploy/secrets.sh puts them below deploy/secrets, beside files that a builder does get."""
    assert "/secrets/" in (ROOT / "deploy/.gitignore").read_text().splitlines()
    assert ignored("deploy/secrets/andon_token")
    assert ignored(".git/config")
    assert ignored("bot/__pycache__/cli.cpython-311.pyc")
    assert not ignored("deploy/requirements.lock")


def test_images_are_pinned_to_a_full_version_and_both_stages_share_one() -> None:
    """A moving tag is another program tomorrow; a virtual environment works only beside the Python that made it."""
    images = {stage.image for stage in stages()}
    assert len(images) == 1
    assert re.search(r":\d+\.\d+\.\d+-\w+(-\w+)?(@sha256:[0-9a-f]{64})?$", images.pop())


def test_everything_installed_is_locked() -> None:
    """Each installation names its hashes, or may look nowhere but at what was just built."""
    installs = [
        command
        for each in stages()[0].all("RUN")
        for command in each.text.split("&&")
        if re.search(r"\bpip\b.* (install|wheel) ", command)
    ]
    assert len(installs) == 4
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command, command
        assert "--no-deps" in command, command


def test_it_runs_as_nobody_special_and_is_told_by_signals() -> None:
    """Not root, nothing run as root in what is shipped, and no shell between SIGTERM and Andon."""
    final = stages()[-1]
    names = [each.name for each in final.instructions]
    user, _, group = final.only("USER").text.partition(":")
    assert int(user) > 999
    assert int(group) > 999
    assert "RUN" not in names
    assert "ADD" not in names
    assert names.index("USER") > max(number for number, name in enumerate(names) if name == "COPY")
    assert final.only("ENTRYPOINT").text == '["andon"]'
    assert final.only("CMD").text == '["serve"]'
    assert final.only("STOPSIGNAL").text == "SIGTERM"


def test_its_data_directory_belongs_to_its_user() -> None:
    """A new named volume takes over what is there: it must be writable for that user, and for nobody else."""
    build, final = stages()
    owned = {c.flags["chown"]: c.paths for c in final.all("COPY") if "chown" in c.flags}
    assert owned == {final.only("USER").text: (["/opt/state/"], "/var/lib/")}
    assert "mkdir -p /opt/state/andon && chmod 0700 /opt/state/andon" in {each.text for each in build.all("RUN")}
    assert final.environment["ANDON_DATA_DIR"] == "/var/lib/andon"
    assert final.environment["PYTHONDONTWRITEBYTECODE"] == "1"  # the root may be read-only


def test_it_is_healthy_when_it_is_ready() -> None:
    """/readyz says whether a webhook would be stored and worked on; /healthz only that the process answers."""
    check = stages()[-1].only("HEALTHCHECK").text
    assert "http://127.0.0.1:9099/readyz" in check
    assert re.search(r"CMD \[", check)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_pins_what_the_project_asks_for(name: str) -> None:
    """A dependency that was added or moved without `make lock` would be missing from the image."""
    text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE))
    asked = [Requirement(line) for line in LOCKS[name]]
    unmet = [str(r) for r in asked if not r.specifier.contains(pins.get(canonicalize_name(r.name), "0"))]
    assert unmet == [], "run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_a_hash_for_everything_and_names_no_place(name: str) -> None:
    """What is installed is what was locked, wherever it comes from."""
    text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"^(?=\S)", text, flags=re.MULTILINE) if entry.strip()]
    assert [
        entry for entry in entries if not re.match(r"\S+==\S+.*\\\n(    --hash=sha256:[0-9a-f]{64}.*\n)+", entry)
    ] == []
    assert "://" not in text


def test_the_documented_commands_are_these_files() -> None:
    """Whoever copies the line from the Dockerfile's head builds this Dockerfile."""
    assert "docker build -f deploy/Dockerfile" in DOCKERFILE.read_text(encoding="utf-8").splitlines()[0]
