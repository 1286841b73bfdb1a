"""What one archive exports, another one takes in and reduces with."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from astropy.io import fits
from sqlalchemy import select

from core.archive.definitions import register_definitions
from core.archive.models import Block, Product
from core.archive.queries import block_task
from core.archive.records import Work
from core.archive.schema import upgrade
from core.archive.sessions import Archive
from core.archive.states import BlockState
from core.ccd.geometry import Detector
from core.errors import NotFoundError
from core.fitsfile.digest import file_sha256
from core.instruments.catalogue import qc1_definitions
from core.settings import Settings
from core.simulator.night import NightPlan, simulate_night
from service.cli.export import run_export
from workers.execute import BlockExecutor
from workers.ingest import ingest_once
from workers.outcome import Outcome
from workers.planning import save_nights
from workers.runner import run_until_idle

NIGHT = date(2026, 11, 1)


@pytest.fixture
def urls(tmp_path: Path, empty_url: str) -> list[str]:
    return [f"sqlite:///{tmp_path / 'first.sqlite'}", empty_url]


@pytest.fixture
def houses(tmp_path: Path, urls: list[str]) -> Iterator[list[tuple[Archive, Settings]]]:
    made = []
    for number, url in enumerate(urls, 1):
        settings = Settings(data_dir=tmp_path / f"house{number}", database_url=url, settle_seconds=0.02)
        settings.make_directories()
        upgrade(url)
        archive = Archive(url)
        register_definitions(archive, qc1_definitions())
        made.append((archive, settings))
    yield made
    for archive, _ in made:
        archive.dispose()


def test_another_archive_plans_and_reduces_with_the_exported_bias(
    tmp_path: Path,
    houses: list[tuple[Archive, Settings]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (first, settings), (second, others) = houses
    plan = NightPlan(n_bias=3, n_dark=3, n_flat=3, n_arc=0, n_illum=0)
    frames = simulate_night(tmp_path / "raw", NIGHT, (1, 2), plan, detector=Detector(nx=160, ny=120))
    for path in frames:
        house = settings if fits.getval(path, "ESO DPR TYPE") == "BIAS" else others
        shutil.copy(path, house.archive_dirs[0])
    ingest_once(first, settings)
    run_until_idle(first, settings)

    folder = others.archive_dirs[0] / "masters"
    monkeypatch.setenv("CASCADE_DATABASE_URL", settings.database_url)
    assert run_export(folder, [NIGHT.isoformat()], settings.data_dir, as_json=False) == 0
    assert "2 files exported" in capsys.readouterr().out
    exported = sorted(folder.iterdir())
    assert [path.name.split("_")[:3] for path in exported] == [["MU", "MBIA", "261101A"]] * 2
    with first.read() as session:
        assert {file_sha256(path) for path in exported} == set(session.scalars(select(Product.sha256)))

    report = ingest_once(second, others)
    assert (report.new, report.products, report.held.total()) == (6, 2, 0)
    save_nights(second, others, {NIGHT})
    with second.read() as session:
        flat = session.scalar(select(Block).where(Block.recipe == "muse_flat"))
        assert flat is not None
        assert flat.state is BlockState.READY
        biases = [file for file in block_task(session, flat.id).calibrations if file.tag == "MASTER_BIAS"]
        (reason,) = [entry.reason for entry in flat.inputs if entry.role == "MASTER_BIAS"]
    assert [Path(file.path) for file in biases] == exported
    assert [file.unit for file in biases] == [1, 2]
    assert reason.startswith("MASTER_BIAS of 2026-11-02T")
    assert reason.endswith("provisional")

    with second.read() as session:
        number = session.scalar(select(Block.id).where(Block.recipe == "muse_dark"))
    assert BlockExecutor(second, others, threading.Event()).execute(Work(number)) is Outcome.DONE
    with second.read() as session:
        dark = session.scalar(select(Product.path).where(Product.tag == "MASTER_DARK", Product.unit == 2))
    header = fits.getheader(dark)
    assert header["ESO PRO REC1 CAL1 NAME"] == exported[1].name


def test_a_night_without_products_is_said(
    tmp_path: Path, houses: list[tuple[Archive, Settings]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, settings = houses[0]
    monkeypatch.setenv("CASCADE_DATABASE_URL", settings.database_url)
    with pytest.raises(NotFoundError, match="no products of 2026-11-01"):
        run_export(tmp_path / "out", [NIGHT.isoformat()], settings.data_dir, as_json=False)
    assert not (tmp_path / "out").exists()
