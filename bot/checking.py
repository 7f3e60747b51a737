"""`andon check`: read configuration files as a start would, and report everything that is wrong with them.

A directory stands for the configuration in it; a single file is judged together with the people, targets and set-up
next to it (or those in force), so that one broken policy file is one short list of problems. Called by `bot.cli`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bot import extensions
from bot.adapters.clock import wall_ms
from bot.adapters.config_files import find_config, read_all, read_source
from bot.adapters.destination_look import look
from bot.adapters.outgoing import Lookup
from bot.errors import ConfigError
from bot.places import read_setup
from bot.settings import Settings
from policies import loader, safe_yaml
from policies.called_hosts import places
from policies.loader import Problem, Source
from policies.planning import CATCH_ALL

CONTEXT: Final = ("people.yaml", "targets.yaml")
MAX_FILES: Final = 1_000  # a directory with more is not a configuration


def check(
    paths: Sequence[Path], settings: Settings, *, probe: bool = False, lookup: Lookup | None = None
) -> dict[str, Any]:
    """Everything that is wrong, as plain data: ``{ok, files, policies, problems, unsigned, armed, foreign}``.

    `foreign` tells which distribution each action or diagnosis comes from that is not Andon's own. With `probe` the
    hosts' names are resolved (by `lookup`, else the system's resolver), what they lead to is judged as well, and
    `unanswered` names the hosts that nothing is known of. Raises ConfigError when a path cannot be read at all, and
    when something that is installed cannot be taken.
    """
    sources = _named(paths, settings) if paths else _in_force(find_config(settings))
    found = extensions.installed()
    loaded = loader.load(sources, found.catalogue, now=wall_ms())
    refused, unanswered = asyncio.run(_probed(sources, loaded, lookup)) if probe else ([], [])
    problems = sorted({*loaded.problems, *refused})
    return {
        "ok": not problems,
        "files": len(sources),
        "policies": sum(each.policy != CATCH_ALL for each in loaded.book.policies()) if loaded.book is not None else 0,
        "problems": [asdict(problem) for problem in problems],
        "unsigned": [asdict(unsigned) for unsigned in loaded.waiting_for_signature],
        "armed": [f"{system}/{policy}" for system, policy in loaded.armed],
        "foreign": [asdict(each) for each in found.foreign],
        "unanswered": unanswered,
    }


async def _probed(
    sources: Sequence[Source], loaded: loader.Loaded, lookup: Lookup | None
) -> tuple[list[Problem], list[str]]:
    """Where the hosts lead: addresses that Andon would refuse, and names that nobody answers."""
    documents = {s.kind: safe_yaml.parse(s.name, s.text) for s in reversed(sources) if s.kind in ("targets", "andon")}
    found = await look(places(loaded.targets, loaded.andon, loaded.andon), lookup)
    refused = [
        documents["targets" if each.place.path[0] == "systems" else "andon"].problem(
            each.place.path, each.problem, each.fix
        )
        for each in found
        if each.problem
    ]
    return refused, sorted({each.place.to.host for each in found if each.problem is None})


def _in_force(config: Path) -> list[Source]:
    return read_all(config, read_setup(config))


def _named(paths: Sequence[Path], settings: Settings) -> list[Source]:
    """The files that were named, and around them what they rely on."""
    found: dict[str, Source] = {}
    for path in paths:
        if path.is_dir() or path.name == "andon.yaml":  # that one alone would name policies nobody has read
            config = path / "andon.yaml" if path.is_dir() else path
            sources = _in_force(config) if config.is_file() else [read_source(file) for file in _beneath(path)]
        else:
            sources = [read_source(path)]
        found |= {source.name: source for source in sources}
    kinds = {source.kind for source in found.values()}
    for context in _context(paths[0], settings):
        if context.kind not in kinds:
            found[context.name] = context
    return list(found.values())


def _beneath(folder: Path) -> list[Path]:
    files = sorted(path for pattern in ("*.yaml", "*.yml") for path in folder.rglob(pattern))
    if not files:
        raise ConfigError(f"{folder}: holds no YAML file")
    if len(files) > MAX_FILES:
        raise ConfigError(f"{folder}: holds {len(files)} YAML files; name the directory of the configuration itself")
    return files


def _context(path: Path, settings: Settings) -> list[Source]:
    """People and targets next to the path or above it; those in force where there are none.

    Not andon.yaml: it names other policies, which are not what is being checked.
    """
    start = path.resolve()
    for folder in (start, *start.parents):
        if (folder / "targets.yaml").is_file():
            return [read_source(folder / name) for name in CONTEXT if (folder / name).is_file()]
    config = find_config(settings)
    setup = read_setup(config)
    return [read_source(config.parent / setup.people, "people"), read_source(config.parent / setup.targets, "targets")]
