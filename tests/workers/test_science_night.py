"""The way of a science block on small detectors: raw exposures through ingest, planner and executor to combined cubes.

Recipes run in this process; the calibrations of the detector come from outside, response and line-spread function are
static. IFU 7 has five slices in the middle of their wavelengths, which see sky and no star.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from astropy.io import fits
from sqlalchemy import func, select, update

import workers.attempt
import workers.planning
from core.archive.models import Block, BlockInput, Frame, Product, Qc1Value
from core.archive.orders import rerun_block
from core.archive.states import BlockState, FrameState, InputKind
from core.errors import DataError
from core.formats.pixtable_read import open_pixtable
from core.recipes import run_job
from core.recipes.results import RecipeFailedError
from core.simulator.night import NightPlan, simulate_night
from core.simulator.programme import SkyPlan
from core.simulator.statics import write_geometry_table, write_response
from core.simulator.truth import truth_for
from core.staticcal.night_sky import write_extinction, write_sky_lines
from tests.recipes.muse.sky.conftest import DETECTOR, IFU, write_flat, write_trace, write_wavelengths
from tests.recipes.muse.sky.night import write_lsf
from workers.child import ChildResult
from workers.housekeeping import Housekeeping
from workers.job import BlockJob
from workers.planning import Planner
from workers.runner import run_until_idle
from workers.steps import STEPS

NIGHT = "2026-11-01"
MODE = "WFM-NOAO-N"


class SameProcess:
    """A child that is none: the recipe runs here."""

    fails: tuple[str, ...] = ()  # blocks

    def __init__(self, job_file: Path, _log_file: Path) -> None:
        self._job = BlockJob.load(job_file)

    def wait(self, on_event: Any) -> ChildResult:
        if self._job.block in self.fails:
            raise RecipeFailedError("all is dark", kind=DataError.error_type, again=False)
        with patch.object(run_job, "emit", on_event):
            return ChildResult(STEPS[self._job.step](self._job))

    def kill(self) -> None:
        """It cannot be killed."""

    close = kill


def from_outside(path: Path, tag: str) -> Path:
    """Gives a calibration the header of one that was delivered."""
    with fits.open(path, mode="update") as hdus:
        header = hdus[0].header
        for key, value in {
            "INSTRUME": "MUSE", "DATE-OBS": f"{NIGHT}T12:00:00.000", "MJD-OBS": 61345.5, "EXPTIME": 1.0,
            "HIERARCH ESO PRO CATG": tag, "HIERARCH ESO INS MODE": MODE, "HIERARCH ESO DET READ CURID": 1,
            "HIERARCH ESO INS OPTI2 NAME": "WFM",
        }.items():  # fmt: skip
            header[key] = value
    return path


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three exposures of an object, one of empty sky, biases; masters, and below ``static`` static calibrations."""
    folder = tmp_path_factory.mktemp("science")
    raw, static, truth = folder / "raw", folder / "static", truth_for(IFU, MODE, 1, DETECTOR)
    plan = NightPlan(n_bias=3, n_flat=0, n_arc=0, n_illum=0, sky=SkyPlan(n_object=3, n_sky=1))
    simulate_night(raw, NIGHT, [IFU], plan, detector=DETECTOR, truth_directory=folder / "truth")
    from_outside(write_flat(raw / "flat.fits", MODE), "MASTER_FLAT")
    from_outside(write_trace(raw / "trace.fits", truth), "TRACE_TABLE")
    from_outside(write_wavelengths(raw / "wave.fits", truth), "WAVECAL_TABLE")
    static.mkdir()
    write_geometry_table(static / "geometry_table_wfm.fits")
    # As the first pipelines made it, without the spectrum of the lamps.
    fits.delval(write_response(static / "std_response_wfm-n.fits", MODE), "ESO DRS MUSE FLUX FFCORR")
    write_extinction(static / "extinct_table.fits")
    write_sky_lines(static / "sky_lines.fits")
    from_outside(write_lsf(static / "lsf_profile_slow_wfm-n.fits"), "LSF_PROFILE")
    return folder


@pytest.fixture
def night(make_house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, delivered: Path) -> Any:
    """An installation in which all of that has come in."""
    monkeypatch.setattr(workers.attempt, "RecipeChild", SameProcess)
    monkeypatch.setattr(workers.planning, "build_statics", lambda _directory: [])  # other lists take seconds
    house = make_house(frames=0)
    shutil.copytree(delivered / "raw", house.raw, dirs_exist_ok=True)
    shutil.copytree(delivered / "static", house.settings.static_dir, dirs_exist_ok=True)
    assert not house.ingest().held
    return house


def blocks(house: Any, recipe: str) -> list[Block]:
    """Those that count, by time."""
    query = select(Block).where(Block.recipe == recipe, Block.state != BlockState.SUPERSEDED)
    found: list[Block] = house.rows(query.order_by(Block.mjd_mid))
    return found


def made(house: Any, block: Block, tag: str) -> Path:
    (path,) = house.rows(select(Product.path).where(Product.block_id == block.id, Product.tag == tag))
    return Path(path)


def roles(house: Any, block: Block) -> list[str]:
    query = select(BlockInput.role).where(BlockInput.block_id == block.id, BlockInput.kind != InputKind.MISSING)
    found: list[str] = house.rows(query.order_by(BlockInput.position))
    return found


def test_an_observation_block_whose_exposures_still_come_is_waited_for(night: Any) -> None:
    """Its template was to take three; nobody combines two of them, unless no third comes for an hour."""
    last = night.rows(select(Frame.id).where(Frame.tag == "OBJECT").order_by(Frame.mjd_mid))[-1]
    with night.archive.write() as session:
        session.execute(update(Frame).where(Frame.id == last).values(state=FrameState.EXCLUDED))
    planner = Planner(night.archive, night.settings)
    planner.plan_changes()
    (combine,) = blocks(night, "muse_exp_combine")
    assert combine.state is BlockState.INCOMPLETE
    assert combine.state_reason == "waits for exposures: 2 of the observation block have arrived so far"
    assert planner.plan_changes() is None
    with night.archive.write() as session:
        session.execute(update(Frame).values(ingested_at=night.archive.now() - timedelta(seconds=3601)))
    planner.plan_changes()
    (combine,) = blocks(night, "muse_exp_combine")
    assert combine.state is BlockState.WAITING
    assert len(roles(night, combine)) == 3


def test_raw_exposures_become_the_cube_of_their_observation_block(night: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three fails, the others are combined; what expires in between is waited for, step by step."""
    Planner(night.archive, night.settings).plan_changes(wait_for_templates=False)
    lost = blocks(night, "muse_scipost")[1]
    monkeypatch.setattr(SameProcess, "fails", (lost.name,))
    run_until_idle(night.archive, night.settings)

    assert [block.state for block in blocks(night, "muse_scibasic")] == 4 * [BlockState.DONE]
    first, failed, last = blocks(night, "muse_scipost")
    assert [block.state for block in (first, failed, last)] == [BlockState.DONE, BlockState.FAILED, BlockState.DONE]
    assert "SKY_CONTINUUM" in roles(night, first)
    (sky,), (align,), (combine,) = (
        blocks(night, f"muse_{name}") for name in ("create_sky", "exp_align", "exp_combine")
    )
    assert {block.state for block in (sky, align, combine)} == {BlockState.DONE}
    assert roles(night, align) == 2 * ["IMAGE_FOV"]
    assert roles(night, combine) == [*2 * ["PIXTABLE_REDUCED"], "OFFSET_LIST"]
    assert f"1 of 3 PIXTABLE_REDUCED left out: {lost.name}/PIXTABLE_REDUCED: block {lost.name} failed: all is dark" in (
        combine.notes
    )
    rows = [open_pixtable(made(night, block, "PIXTABLE_REDUCED")).n_rows for block in (first, last)]
    with fits.open(made(night, combine, "DATACUBE_FINAL"), checksum=True) as hdus:
        assert hdus[0].header["SPECSYS"] == "BARYCENT"
        assert hdus[0].header["ESO PRO DATANCOM"] == 2
        voxels = np.isfinite(hdus["DATA"].data).sum()
    assert voxels > max(rows)
    assert night.scalar(select(func.count()).where(Qc1Value.block_id == sky.id)) > 3

    with night.archive.write() as session:
        session.execute(update(Product).values(created_at=night.archive.now() - timedelta(days=21)))
    assert Housekeeping(night.archive, night.settings).clean().intermediates == 4 + 2
    with night.archive.write() as session:
        rerun_block(session, combine.id, actor="astronomer")
    waiting = {recipe: [block.state for block in blocks(night, recipe)] for recipe in ("muse_scibasic", "muse_scipost")}
    ready, done, wait = BlockState.READY, BlockState.DONE, BlockState.WAITING
    assert waiting == {"muse_scibasic": [ready, done, ready, done], "muse_scipost": [wait, BlockState.FAILED, wait]}
    (combine,) = blocks(night, "muse_exp_combine")
    assert combine.state is wait
    assert "its PIXTABLE_REDUCED expired on" in combine.state_reason
