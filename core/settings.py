"""Settings of an installation, from the environment (prefix ``CASCADE_``).

Nothing set: everything lives below ``./cascade-data``, with SQLite and a broker made of files.
``CASCADE_DATABASE_URL`` and ``CASCADE_BROKER_URL`` spread the same code over many machines.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.errors import ParameterError
from core.sqliteurl import sqlite_url
from core.variables import OTHER_VARIABLES

__all__ = [
    "DATA_DIR_VARIABLE",
    "MISSED_BEATS",
    "PREFIX",
    "Settings",
    "join_paths",
    "setting_faults",
    "unknown_variables",
]

PREFIX: Final = "CASCADE_"
DATA_DIR_VARIABLE: Final = f"{PREFIX}DATA_DIR"
MISSED_BEATS: Final = 2  # a daemon that is silent for so many heartbeats is told

_ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?")

PositiveSeconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """Settings of an installation; each is the environment variable ``CASCADE_<NAME>``.

    Directories and URLs that are not set are derived from ``data_dir``. The object is immutable.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    data_dir: Path = Field(Path("cascade-data"), description="Everything that has no place of its own.")
    archive_dirs: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Directories of raw frames, separated as in PATH, or a JSON list; <data_dir>/raw if not set.",
    )
    database_url: str = Field("", description="SQLAlchemy URL; an SQLite file in data_dir if not set.")
    broker_url: str = Field("", description="Celery broker; files below data_dir if not set.")
    follow_links: bool = Field(
        False,
        description="Follow symbolic links to directories outside of the archive directories; those to files are "
        "followed anyway.",
    )
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
        300.0, description="A queued block whose message got lost is sent to the broker again after this."
    )
    template_seconds: PositiveSeconds = Field(
        120.0, description="A template that lacks exposures is waited for this long after the last one came in."
    )
    observation_seconds: PositiveSeconds = Field(
        3600.0,
        description="Exposures of an observation block whose template lacks some are combined when none came in for "
        "this long.",
    )
    retry_seconds: PositiveSeconds = Field(
        20.0,
        description="Pause before the second try of a block; four times longer before each further one, up to an hour.",
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
    policy: str = Field(
        "closest",
        description="How calibrations of science data are chosen: closest (in time), or standard (certified or "
        "delivered ones from before the data, possibly months old).",
    )
    certify: bool = Field(
        True, description="Certify calibrations whose scores are all good; those that a person judged are left alone."
    )
    intermediate_days: Annotated[float, Field(ge=0, le=36525)] = Field(
        14.0,
        description="Intermediate products (pixel tables) that are older are removed, unless a block still to be done "
        "needs them [d]; they are made again on demand.",
    )
    passing_days: Annotated[float, Field(ge=0, le=36525)] = Field(
        2.0,
        description="The same for those that only the next step takes (reduced pixel tables of an observation block), "
        "if that is less [d].",
    )
    event_days: Annotated[float, Field(gt=0)] = Field(1000.0, description="Events older than this are removed [d].")
    free_mb: Annotated[int, Field(ge=0)] = Field(
        200,
        description="Room kept free on the disks of products, logs and an SQLite database [MB]: with less, every page "
        "says so and no block is begun until there is more.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names under which the pages may be asked for, separated by commas, besides addresses, localhost "
        "and the name of the machine; * is any.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Web sites whose scripts may read over REST (GET and HEAD, no orders), separated by commas, like "
        "https://qc.example.org; * is any.",
    )
    preview_mb: Annotated[int, Field(ge=1)] = Field(
        1000, description="Pictures kept below data_dir/previews [MB]; those whose last use is longest ago go first."
    )
    pages_processes: Annotated[int, Field(ge=0)] = Field(
        0, description="Processes that serve the pages of one port; 0: as many as there are cores, four at most."
    )
    heavy_requests: Annotated[int, Field(ge=1)] = Field(
        2,
        description="Series and exports that are made at once by all processes of the pages with this data_dir; others "
        "wait or are told to.",
    )
    max_tries: Annotated[int, Field(ge=1)] = Field(5, description="Tries of a block that fails from outside.")

    @field_validator("archive_dirs", mode="before")
    @classmethod
    def _split_path_list(cls, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("["):
            return tuple(Path(part) for part in json.loads(value))
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(os.pathsep) if part)
        return value

    @field_validator("with_recipes", "with_inputs", "allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin like https://qc.example.org or http://localhost:8888")
        return value

    @model_validator(mode="before")
    @classmethod
    def _derive_from_data_dir(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = dict(values)
        data_dir = Path(values.get("data_dir") or "cascade-data").expanduser().absolute()
        values["data_dir"] = data_dir
        values["archive_dirs"] = values.get("archive_dirs") or (data_dir / "raw",)
        values["database_url"] = values.get("database_url") or sqlite_url(data_dir / "cascade.sqlite")
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

    @model_validator(mode="after")
    def _check_names(self) -> Settings:
        for path in (self.data_dir, *self.archive_dirs, self.product_dir, self.log_dir, self.static_dir):
            if not _is_text(str(path)):
                raise ValueError(f"the name of the directory {str(path)!a} is not UTF-8: no database can keep it")
        return self

    @property
    def silent_after(self) -> timedelta:
        """For how long a daemon may give no sign of life before it counts as silent."""
        return timedelta(seconds=MISSED_BEATS * self.heartbeat_seconds)

    @property
    def broker_dir(self) -> Path:
        """Directory of the file-system broker."""
        return self.data_dir / "broker"

    def make_directories(self) -> None:
        """Create the directories that do not exist yet.

        Raises
        ------
        ParameterError
            If one is a file, or cannot be made.
        """
        broker = (self.broker_dir,) if self.broker_url.startswith("filesystem:") else ()
        for path in (self.data_dir, *self.archive_dirs, self.product_dir, self.log_dir, self.static_dir, *broker):
            try:
                path.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise ParameterError("this is a file, or below one: name a directory", file=path) from error
            except OSError as error:
                raise ParameterError(
                    f"the directory cannot be made ({error.strerror}): name another, e.g. with --data-dir", file=path
                ) from error


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def join_paths(paths: Iterable[Path]) -> str:
    """Paths as the value of ``CASCADE_ARCHIVE_DIRS``, also those that the separator occurs in."""
    texts = [str(path) for path in paths]
    plain = os.pathsep.join(texts)
    return json.dumps(texts) if plain.startswith("[") or any(os.pathsep in text for text in texts) else plain


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like a setting and is none, such as a misspelt one."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | set(OTHER_VARIABLES)
    sentences = []
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in known:
            continue
        close = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), Settings.model_fields, 1)
        meant = f"; is {PREFIX}{close[0].upper()} meant?" if close else ""
        sentences.append(f"{name} is no setting and has no effect{meant}")
    return sentences


def setting_faults(error: ValidationError) -> list[str]:
    """A sentence for each setting that is not accepted."""
    sentences = []
    for item in error.errors():
        name = "".join(str(part) for part in item["loc"][:1])
        what = f"{PREFIX}{name.upper()} is not accepted" if name else "the settings do not fit each other"
        sentences.append(f"{what}: {item['msg'].removeprefix('Value error, ')}")
    return sentences
