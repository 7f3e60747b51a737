"""How the actions on this host's programs and processes are tried; part of `action_trials.TRIALS`."""

from __future__ import annotations

from dataclasses import replace

from bot.engine.connector_ports import ProcessSeen
from bot.testing.action_contract import SYSTEM, Trial, TwinWorld
from bot.testing.redis_twin import HEALTHY, MemoryRedis
from bot.testing.targets import MemoryTargets
from remediations import command_run, router_pause_by_signal, service_restart

RESTART = "/usr/local/bin/restart-service"
ROUTER = ProcessSeen(4711, 90_000, "model_router --config rules.yml", ("HUP",))


def programs(*allow: str) -> TwinWorld:
    """A component that allows these programs; its state is what ran."""
    targets = MemoryTargets()
    twin = targets.add_program(SYSTEM, "tools", allow=allow)
    return TwinWorld(targets, "tools", lambda: len(twin.ran))


def service(claims: tuple[str, ...] = (HEALTHY.primary.address,), health: str = "down") -> TwinWorld:
    """A service that is down on a primary of yesterday; its restart brings it up where it is told to."""
    targets = MemoryTargets()
    targets.add_redis(SYSTEM, "redis", MemoryRedis(replace(HEALTHY, claims=claims)))
    twin = targets.add_program(SYSTEM, "strategist", allow=[RESTART])
    fields = targets.fields
    fields[SYSTEM, "strategist", "health"] = health
    fields[SYSTEM, "strategist", "redis"] = "127.0.0.1:7000"

    def restart() -> None:
        name, address = twin.ran[-1].arguments
        fields[SYSTEM, name, "health"] = "healthy"
        fields[SYSTEM, name, "redis"] = address

    twin.on_run = lambda _: restart()
    return TwinWorld(targets, "strategist", lambda: dict(fields))


def process(running: ProcessSeen | None = ROUTER) -> TwinWorld:
    """A router without an API; its state is the signals it got."""
    targets = MemoryTargets()
    twin = targets.add_process(SYSTEM, "router")
    twin.running = running
    return TwinWorld(targets, "router", lambda: list(twin.signals))


PROGRAM_TRIALS: dict[str, Trial] = {
    "command.run": Trial(
        entry=command_run.ENTRY,
        world=lambda: programs("/usr/local/bin/scale-models"),
        refusals={"the component does not allow the program": lambda: programs(RESTART)},
        hostile=(
            {"program": "scale-models"},
            {"program": "/bin/true", "arguments": ["-rf"]},
            {"program": "/bin/true", "arguments": [" x"]},
            {"program": "/bin/true", "arguments": [""]},
            {"program": "/bin/true", "arguments": ["a\u202eb"]},
            {"program": "/bin/true", "arguments": ["a"] * 33},
            {"program": "/bin/true", "timeout": "16s"},
            {"program": "/bin/true", "refused": [0]},
        ),
    ),
    "router.pause_by_signal": Trial(
        entry=router_pause_by_signal.ENTRY,
        world=process,
        refusals={
            "the recorded process has ended": lambda: process(None),
            "the process has no handler": lambda: process(replace(ROUTER, catches=())),
        },
    ),
    "service.restart": Trial(
        entry=service_restart.ENTRY,
        world=service,
        refusals={
            "two servers are called primary": lambda: service((HEALTHY.primary.address, "127.0.0.1:7009")),
        },
        hostile=({"store": "../redis", "reason": "x"}, {"store": "redis"}),
    ),
}
