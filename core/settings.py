"""Settings of an installation, from the environment (prefix ``CASCADE_``).

Nothing set: everything lives below ``./cascade-data``, with SQLite and a broker made of files.
``CASCADE_DATABASE_URL`` and ``CASCADE_BROKER_URL`` spread the same code over many machines.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["Settings"]

PositiveSeconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """Settings of an installation; each is the environment variable ``CASCADE_<NAME>``.

    Directories and URLs that are not set are derived from ``data_dir``. The object is immutable.
    """

    model_config = SettingsConfigDict(env_prefix="CASCADE_", frozen=True, extra="forbid", env_ignore_empty=True)

    data_dir: Path = Field(Path("cascade-data"), description="Everything that has no place of its own.")
    archive_dirs: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Directories of raw frames, separated as in PATH; <data_dir>/raw if not set."
    )
    database_url: str = Field("", description="SQLAlchemy URL; an SQLite file in data_dir if not set.")
    broker_url: str = Field("", description="Celery broker; files below data_dir if not set.")
    product_dir: Path = Field(Path(), description="Products; <data_dir>/products if not set.")
    log_dir: Path = Field(Path(), description="One log per block and daemon; <data_dir>/logs if not set.")
    static_dir: Path = Field(Path(), description="Static calibrations; <data_dir>/static if not set.")

    settle_seconds: PositiveSeconds = Field(2.0, description="A file is whole if unchanged for this long.")
    rescan_seconds: PositiveSeconds = Field(60.0, description="Archive directories are read again after this.")
    truncated_seconds: PositiveSeconds = Field(
        30.0, description="A file shorter than its headers say is TRUNCATED when unchanged for this long."
    )
    lease_seconds: PositiveSeconds = Field(120.0, description="A silent worker loses its block after this.")
    heartbeat_seconds: PositiveSeconds = Field(15.0, description="How often workers and daemons say they live.")
    dispatch_seconds: PositiveSeconds = Field(2.0, description="How often ready blocks are looked for.")
    resend_seconds: PositiveSeconds = Field(
        300.0, description="A queued block that no worker takes is sent to the broker again after this."
    )
    template_seconds: PositiveSeconds = Field(
        120.0, description="A template that lacks exposures is waited for this long after the last one came in."
    )
    retry_seconds: PositiveSeconds = Field(
        20.0, description="Pause before the second try of a block; four times longer before each further one."
    )
    recipe_seconds: PositiveSeconds = Field(3600.0, description="A recipe that runs longer is stopped.")
    worker_concurrency: Annotated[int, Field(ge=1)] = Field(
        1, description="Blocks or parts that one worker executes at once, if memory_mb allows it."
    )
    memory_mb: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Memory that one worker may use [MiB], by what recipes are declared to need; 0: 80 % of that of "
        "the machine or container.",
    )
    queue_depth: Annotated[int, Field(ge=1)] = Field(
        16, description="Blocks on the broker at once; the others wait in the database, where priorities count."
    )
    with_recipes: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Recipes on request that are run for every night, separated by commas: muse_lsf."
    )
    with_inputs: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Inputs on request that every block takes, separated by commas: MASTER_DARK."
    )
    older_only: bool = Field(False, description="Use only calibrations taken before the data.")
    event_days: Annotated[float, Field(gt=0)] = Field(1000.0, description="Events older than this are removed [d].")
    preview_mb: Annotated[int, Field(ge=1)] = Field(
        1000, description="Pictures kept below data_dir/previews [MB]; those whose last use is longest ago go first."
    )
    max_tries: Annotated[int, Field(ge=1)] = Field(5, description="Tries of a block that fails from outside.")

    @field_validator("archive_dirs", mode="before")
    @classmethod
    def _split_path_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(os.pathsep) if part)
        return value

    @field_validator("with_recipes", "with_inputs", mode="before")
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="before")
    @classmethod
    def _derive_from_data_dir(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = dict(values)
        data_dir = Path(values.get("data_dir") or "cascade-data").expanduser().absolute()
        values["data_dir"] = data_dir
        values["archive_dirs"] = values.get("archive_dirs") or (data_dir / "raw",)
        values["database_url"] = values.get("database_url") or f"sqlite:///{data_dir / 'cascade.sqlite'}"
        values["broker_url"] = values.get("broker_url") or "filesystem://"
        for name, folder in (("product_dir", "products"), ("log_dir", "logs"), ("static_dir", "static")):
            values[name] = Path(values.get(name) or data_dir / folder).expanduser().absolute()
        return values

    @model_validator(mode="after")
    def _check_lease(self) -> Settings:
        if self.lease_seconds < 2 * self.heartbeat_seconds:
            raise ValueError(
                "lease_seconds must be at least twice heartbeat_seconds, else a living worker loses its block"
            )
        return self

    @property
    def broker_dir(self) -> Path:
        """Directory of the file-system broker."""
        return self.data_dir / "broker"

    def make_directories(self) -> None:
        """Create the directories that do not exist yet."""
        for path in (self.data_dir, *self.archive_dirs, self.product_dir, self.log_dir, self.static_dir):
            path.mkdir(parents=True, exist_ok=True)
        if self.broker_url.startswith("filesystem:"):
            self.broker_dir.mkdir(parents=True, exist_ok=True)
