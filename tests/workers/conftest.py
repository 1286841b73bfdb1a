"""A small night: real raw frames and real recipes on detectors of 320 x 240 pixels."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.archive.models import Block
from core.archive.sessions import Archive
from core.archive.states import BlockState
from core.ccd.geometry import Detector
from core.settings import Settings
from core.simulator.night import NightPlan, simulate_night
from workers.ingest import IngestReport, ingest_once

NIGHT = "2026-11-01"


@dataclass
class House:
    """An installation with a small night: archive, settings, raw frames."""

    archive: Archive
    settings: Settings

    @property
    def raw(self) -> Path:
        """Directory of the raw frames."""
        return self.settings.archive_dirs[0]

    def ingest(self) -> IngestReport:
        """Bring in what lies in the archive directory."""
        return ingest_once(self.archive, self.settings)

    def blocks(self) -> dict[str, Block]:
        """Blocks that count, by recipe."""
        from sqlalchemy import select

        with self.archive.read() as session:
            rows = session.scalars(select(Block).where(Block.state != BlockState.SUPERSEDED))
            return {block.recipe: block for block in rows}

    def scalar(self, query: Any) -> Any:
        """One value from the database."""
        with self.archive.read() as session:
            return session.scalar(query)

    def rows(self, query: Any) -> list[Any]:
        """Rows (or objects) from the database."""
        with self.archive.read() as session:
            return list(session.scalars(query))


@pytest.fixture(scope="session")
def raw_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three biases, three darks and an illumination flat of IFUs 1 and 2."""
    folder = tmp_path_factory.mktemp("night") / "raw"
    plan = NightPlan(n_bias=4, n_dark=3, n_flat=0, n_arc=0, n_illum=1)
    simulate_night(folder, NIGHT, (1, 2), plan, detector=Detector(nx=160, ny=120))
    shutil.rmtree(folder / "truth")
    return folder


@pytest.fixture
def make_house(tmp_path: Path, raw_night: Path, migrated_sqlite: Path) -> Iterator[Callable[..., House]]:
    """Makes an installation below the test's directory; settings may be given."""
    made: list[Archive] = []

    def make(*, frames: int | None = None, **values: Any) -> House:
        """``frames``: leave out the raw frames after so many (by time)."""
        data = tmp_path / "data"
        defaults: dict[str, Any] = {
            "data_dir": data,
            "settle_seconds": 0.05,
            "heartbeat_seconds": 0.1,
            "lease_seconds": 20.0,
            "retry_seconds": 0.05,
            "dispatch_seconds": 0.1,
            "template_seconds": 0.1,
        }
        settings = Settings(**(defaults | values))
        settings.make_directories()
        if not values.get("database_url"):
            shutil.copy(migrated_sqlite, data / "cascade.sqlite")
        for path in sorted(raw_night.iterdir())[:frames]:
            shutil.copy(path, settings.archive_dirs[0])
        archive = Archive(settings.database_url)
        made.append(archive)
        return House(archive, settings)

    yield make
    for archive in made:
        archive.dispose()


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    """An installation whose raw frames are ingested."""
    made = make_house()
    made.ingest()
    return made
