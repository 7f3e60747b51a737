"""The configuration files on disk, read into texts for `policies.loader`.

Called by `bot.app` at start and by `andon check`. Nothing is judged here beyond "it is there and can be read"; what
the texts say is the policies room's business.
"""

from __future__ import annotations

import glob
from importlib import resources
from pathlib import Path

from bot.errors import ConfigError
from bot.settings import Settings
from policies.andon import AndonDocument
from policies.loader import Kind, Source, kind_of

MAX_BYTES = 4 * 1_048_576  # read at most this; the loader refuses files over 1 MiB with the fix


def find_config(settings: Settings) -> Path:
    """andon.yaml: the one named, else ./configs/andon.yaml, else the one that ships in the package."""
    if settings.config is not None:
        if not settings.config.is_file():
            raise ConfigError(f"{settings.config}: there is no such file; ANDON_CONFIG (or --config) names andon.yaml")
        return settings.config
    local = Path("configs/andon.yaml")
    return local if local.is_file() else Path(str(resources.files("configs").joinpath("andon.yaml")))


def read_source(path: Path, kind: Kind | None = None) -> Source:
    """One file, of this kind or the kind that its name means. Raises ConfigError when it cannot be read as text."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        named = str(path).encode(errors="replace").decode()
        raise ConfigError(f"{named}: the file's name is not UTF-8; rename it") from error
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except ValueError as error:  # a NUL in it
        raise ConfigError(f"{str(path)!r}: no file can have this name; correct it where it is named") from error
    return Source(name=str(path), text=text, kind=kind or kind_of(path.name))


def read_all(config: Path, setup: AndonDocument) -> list[Source]:
    """andon.yaml and every file it names, policies in name order."""
    folder = config.parent
    policies = [Path(found) for pattern in setup.policies for found in _matching(pattern, folder)]
    return [
        read_source(config, "andon"),
        read_source(folder / setup.people, "people"),
        read_source(folder / setup.targets, "targets"),
        *(read_source(folder / path, "policies") for path in policies),
    ]


def _matching(pattern: str, folder: Path) -> list[str]:
    try:
        return sorted(glob.glob(pattern, root_dir=folder))
    except ValueError as error:  # a NUL in it
        raise ConfigError(f"andon.yaml: policies: no file can be named {pattern!r}; correct it") from error


def watched_folders(config: Path, setup: AndonDocument) -> list[Path]:
    """The folders in which a change may be one of the configuration: of the files, and of what they are links to."""
    folder = config.parent
    files = [config, folder / setup.people, folder / setup.targets]
    found: set[Path] = set()
    for pattern in setup.policies:
        files += [folder / name for name in _matching(pattern, folder)]
        base = (folder / pattern).parent
        while glob.has_magic(str(base)):
            base = base.parent
        found.add(base)
    for file in files:
        found |= {file.parent, file.resolve().parent}
    return sorted(each for each in found if each.is_dir())
