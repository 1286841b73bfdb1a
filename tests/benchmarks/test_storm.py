"""What the comparison of benchmarks/storm.py sees: it must be blind to none of the faults that a storm could leave."""

from __future__ import annotations

import importlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.archive.models import Block, Product, Qc1Value, Score
from core.archive.sessions import Archive
from core.ccd.geometry import Detector
from core.settings import Settings
from core.simulator.night import NightPlan, simulate_night

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def storm() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("storm")


@pytest.fixture(scope="module")
def calm(storm: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """A block of biases, reduced."""
    folder = tmp_path_factory.mktemp("calm")
    plan = NightPlan(n_bias=3, n_dark=0, n_flat=0, n_arc=0, n_illum=0)
    simulate_night(folder / "raw", "2026-11-01", (1,), plan, detector=Detector(nx=160, ny=120))
    archive = storm.reduce_calmly(folder / "calm", folder / "raw")
    yield archive
    archive.dispose()


@pytest.fixture
def other(calm: Archive, tmp_path: Path) -> Iterator[Archive]:
    """The same once more, with files of its own."""
    path = tmp_path / "cascade.sqlite"
    with sqlite3.connect(calm.database_url.removeprefix("sqlite:///")) as source, sqlite3.connect(path) as target:
        source.backup(target)
    archive = Archive(f"sqlite:///{path}")
    with archive.write() as session:
        for product in session.scalars(select(Product)):
            folder = tmp_path / "products" / "2026-11-01" / "block"
            folder.mkdir(parents=True, exist_ok=True)
            product.path = str(shutil.copy(product.path, folder))
        block = session.scalars(select(Block)).one()
        block.plots = [{**plot, "path": str(shutil.copy(plot["path"], folder))} for plot in block.plots]
    yield archive
    archive.dispose()


def differing(storm: Any, archive: Archive, calm: Archive) -> dict[str, tuple[int, int, int]]:
    found = storm.compare(archive, calm)
    return {
        kind: tuple(len(rows) for rows in vars(difference).values()) for kind, difference in found.items() if difference
    }


def test_the_same_is_the_same(storm: Any, calm: Archive, other: Archive) -> None:
    assert differing(storm, other, calm) == {}


def lose_a_plot(session: Session) -> None:
    block = session.scalars(select(Block)).one()
    block.plots = block.plots[1:]


def halve_a_plot(session: Session) -> None:
    path = Path(session.scalars(select(Block)).one().plots[0]["path"])
    path.write_bytes(path.read_bytes()[:-20])


def double_a_score(session: Session) -> None:
    row = session.scalars(select(Score)).first()
    values = {column.key: getattr(row, column.key) for column in Score.__table__.columns if column.key != "id"}
    session.add(Score(**values))


def lose_a_value(session: Session) -> None:
    session.delete(session.scalars(select(Qc1Value).where(Qc1Value.id.not_in(select(Score.id)))).first())


def score_otherwise(session: Session) -> None:
    row = session.scalars(select(Score).where(Score.score == 0)).first()
    row.score = 1


def change_a_pixel(session: Session) -> None:
    path = Path(session.scalars(select(Product)).first().path)
    data = bytearray(path.read_bytes())
    data[-2881] ^= 1
    path.write_bytes(data)


def lose_a_file(session: Session) -> None:
    Path(session.scalars(select(Product)).first().path).unlink()


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (lose_a_plot, {"plots": (1, 0, 0)}),
        (halve_a_plot, {"plots": (1, 1, 0)}),
        (double_a_score, {"scores": (0, 0, 1)}),
        (score_otherwise, {"scores": (1, 1, 0)}),
        (lose_a_value, {"QC1 values": (1, 0, 0)}),
        (change_a_pixel, {"products": (1, 1, 0)}),
        (lose_a_file, {"products": (1, 1, 0)}),
    ],
)
def test_a_fault_is_seen(
    storm: Any,
    calm: Archive,
    other: Archive,
    fault: Callable[[Session], None],
    found: dict[str, tuple[int, int, int]],
) -> None:
    with other.write() as session:
        fault(session)
    assert differing(storm, other, calm) == found


def test_housekeeping_removes_what_is_left_over_and_nothing_else(
    storm: Any, calm: Archive, other: Archive, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.make_directories()
    work = settings.product_dir / ".work" / "block.0123"
    work.mkdir(parents=True)
    (work / "half.fits").write_bytes(b"")
    stray = settings.product_dir / "2026-11-01" / "other" / "MASTER_BIAS-01.fits"
    stray.parent.mkdir()
    stray.write_bytes(b"")
    leftover = storm.clean_up(other, settings)
    assert leftover.before == (".work/block.0123/half.fits", "2026-11-01/other/MASTER_BIAS-01.fits")
    assert leftover.after == ()
    assert differing(storm, other, calm) == {}
