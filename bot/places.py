"""Where the things of one installation are: its set-up file, its data directory, the operators' socket.

Light enough for every start of the CLI: it reads andon.yaml alone, and judges nothing. For the CLI and `bot.app`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bot.adapters.config_files import read_source
from bot.errors import ConfigError
from bot.settings import Settings
from policies import safe_yaml
from policies.andon import AndonDocument
from policies.models import validate

DATA_DIR: Final = "~/.local/state/andon"
SOCKET: Final = "andon.sock"


def read_setup(config: Path) -> AndonDocument:
    """andon.yaml as far as it can be read; defaults where it cannot (its problems are the loader's to tell)."""
    source = read_source(config, "andon")
    document = safe_yaml.parse(source.name, source.text)
    setup = None if document.problems else validate(AndonDocument, document, document.value)[0]
    return setup or AndonDocument()


def data_dir(settings: Settings, setup: AndonDocument) -> Path:
    """Where the embedded store, the journal, the keys and the socket live."""
    return (settings.data_dir or Path(setup.store.data_dir or DATA_DIR).expanduser()).resolve()


def api_socket(settings: Settings, setup: AndonDocument) -> Path:
    """The operators' unix socket."""
    return settings.socket or Path(setup.api.socket or data_dir(settings, setup) / SOCKET)


def data_dir_for_sure(settings: Settings, config: Path) -> Path:
    """The data directory of whatever runs with these settings, also where andon.yaml is wrong in everything else.

    For the kill switch, which must not be thrown in the wrong place. Raises ConfigError when it cannot be told.
    """
    if settings.data_dir is not None:
        return settings.data_dir.resolve()
    source = read_source(config, "andon")
    document = safe_yaml.parse(source.name, source.text)
    if document.problems:
        raise ConfigError(f"{document.problems[0]}; so where the data directory is cannot be told: say --data-dir PATH")
    store = document.value.get("store") if isinstance(document.value, dict) else None
    named = store.get("data_dir") if isinstance(store, dict) else None
    return Path(named if isinstance(named, str) and named else DATA_DIR).expanduser().resolve()
