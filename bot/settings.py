"""Settings from the environment (`ANDON_…`), for what differs from one start to the next.

Read once by `bot.cli`; everything that describes the floor itself is in andon.yaml. A setting given here wins over the
file. docs/operations.md has the list; `read` is the only way in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.errors import ConfigError

PREFIX = "ANDON_"


class Settings(BaseSettings):
    """Every `ANDON_…` variable. Empty means: as andon.yaml says, or its default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    config: Path | None = Field(
        None, description="Path of andon.yaml; else ./configs/andon.yaml, else the shipped one."
    )
    data_dir: Path | None = Field(None, description="Embedded store, journal and keys.")
    store_url: SecretStr | None = Field(None, description="redis://, rediss:// or unix://; may carry a password.")
    store_sentinels: str = Field(
        "", description="host:port of the Sentinels that watch the store, with commas between."
    )
    store_master: str = Field("", description="The store's name at these Sentinels.")
    accept_weak_durability: bool = Field(False, description="Start on a store that may lose acknowledged writes.")
    socket: Path | None = Field(None, description="The operators' unix socket.")
    api_url: str = Field("", description="For the CLI: http://host:port of the operators' API, instead of the socket.")
    api_token: SecretStr | None = Field(None, description="For the CLI: the token of the operators' API on TCP.")
    replica: str = Field("", description="This replica's name, stable over restarts.")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto: console on a terminal, else json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    clock: str = Field("", description="scale@anchor_ms, like 20@1767225600000: a scaled clock, for demos and drills.")

    @field_validator("clock")
    @classmethod
    def _clock_is_scaled(cls, value: str) -> str:
        if value:
            scaled_clock(value)
        return value

    @property
    def scaled(self) -> tuple[float, int] | None:
        """(scale, anchor in epoch milliseconds) of a scaled clock; None for real time."""
        return scaled_clock(self.clock) if self.clock else None


def scaled_clock(text: str) -> tuple[float, int]:
    """Read `scale@anchor_ms`. Raises ValueError with an example."""
    scale, _, anchor = text.partition("@")
    try:
        read = float(scale), int(anchor)
    except ValueError:
        raise ValueError("write it like 20@1767225600000: scale @ anchor in epoch milliseconds") from None
    if not 0.01 <= read[0] <= 1_000 or read[1] < 0:
        raise ValueError("the scale is between 0.01 and 1000, the anchor not negative")
    return read


def read() -> Settings:
    """The settings of this process. Raises ConfigError that names every variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigError("; ".join(lines)) from error
