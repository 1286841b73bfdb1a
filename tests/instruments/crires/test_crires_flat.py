"""A night of CRIRES in 2012: its flats and darks are taken in, grouped and planned by its declaration alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from sqlalchemy import select

from core.archive.models import Block, Frame, QuarantinedFile
from core.archive.sessions import Archive
from core.archive.states import BlockState
from core.cascade.explain import explain
from core.recipes.registry import ENVIRONMENT
from core.settings import Settings
from workers.ingest import ingest_once
from workers.planning import plan_nights, save_nights

NIGHT = date(2012, 4, 6)
# Primary header of a spectrum of 7 April 2012, where not said otherwise below.
HEADER: dict[str, Any] = {
    "DET DIT": 3.0, "DET NDIT": 5, "DET NCORRS": 51, "DET NCORRS NAME": "FowlerNsamp", "DET WINDOW NY": 512,
    "DPR CATG": "CALIB", "INS MODE": "Spectroscopy", "INS GRAT ORDER": 26, "INS SLIT1 WID": 0.4, "INS WLEN ID": "FREE",
    "INS WLEN REF": 2146.6, "INS ID": "CRIRES/1.57", "OBS ID": 717452, "OBS PROG ID": "60.A-9051(A)",
}  # fmt: skip
KINDS = {"DARK": {"DPR TYPE": "DARK", "DPR TECH": "IMAGE"}, "FLAT": {"DPR TYPE": "FLAT", "DPR TECH": "SPECTRUM"}}


def write_raw(folder: Path, kind: str, number: int, chips: tuple[int, ...] = (1, 2, 3, 4), **more: Any) -> Path:
    """A raw frame of four detectors of 1024 x 512 pixels."""
    moment = datetime(2012, 4, 7, 10) + timedelta(minutes=number + 30 * (kind == "FLAT"))
    date_obs = moment.isoformat(timespec="milliseconds")
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"], primary.header["EXPTIME"] = "CRIRES", 3.0
    primary.header["DATE-OBS"], primary.header["MJD-OBS"] = date_obs, Time(date_obs).mjd
    keywords = {**HEADER, **KINDS[kind], "TPL START": f"2012-04-07T{10 if kind == 'DARK' else 11}:00:00", **more}
    for key, value in keywords.items():
        if value is not None:
            primary.header[f"HIERARCH ESO {key}"] = value
    hdus = [primary]
    for chip in chips:
        image = fits.ImageHDU(np.full((512, 1024), 100 * chip, np.int32), name=f"CHIP{chip}.INT1")
        for key, value in (("CHIP NO", chip), ("CHIP NX", 1024), ("CHIP NY", 512), ("WIN NX", 1024), ("WIN NY", 512)):
            image.header[f"HIERARCH ESO DET {key}"] = value
        hdus.append(image)
    path = folder / f"CRIRES.{date_obs}.fits"
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture
def settings(sqlite_archive: Archive, tmp_path: Path) -> Settings:
    raw = tmp_path / "raw"
    raw.mkdir()
    return Settings(
        data_dir=tmp_path / "data", archive_dirs=(raw,), database_url=sqlite_archive.database_url, settle_seconds=0.02
    )


def take_in(archive: Archive, settings: Settings, flats: int = 3, darks: int = 3) -> None:
    for kind, count in (("DARK", darks), ("FLAT", flats)):
        for number in range(count):
            write_raw(settings.archive_dirs[0], kind, number)
    ingest_once(archive, settings)


def test_a_flat_is_taken_in_with_its_setup(sqlite_archive: Archive, settings: Settings) -> None:
    take_in(sqlite_archive, settings, flats=1, darks=0)
    with sqlite_archive.read() as session:
        (frame,) = session.scalars(select(Frame)).all()
        assert (frame.instrument, frame.tag, frame.rule, frame.night) == ("CRIRES", "FLAT", "flat", NIGHT)
        assert (frame.units, frame.mode, frame.readout) == ((1, 2, 3, 4), "2146.6", "51")
        assert frame.setup.label == "2146.6nm order26 slit0.400 r51 y512 3.000s"
        assert frame.unit_words.named(frame.units) == "detector 1, 2, 3, 4"
        assert frame.header["INS.WLEN.ID"] == "FREE"


def test_without_its_recipes_frames_are_told_as_not_processed(sqlite_archive: Archive, settings: Settings) -> None:
    take_in(sqlite_archive, settings)
    plan, saved = save_nights(sqlite_archive, settings, {NIGHT})
    assert plan.blocks == ()
    assert saved.created == ()
    reasons = {(entry.tag, entry.reason) for entry in plan.not_processed}
    assert reasons == {
        ("DARK", "the recipe crires_dark is not installed"),
        ("FLAT", "the recipe crires_flat is not installed"),
    }


@pytest.fixture
def with_recipes(fresh_declarations: pytest.MonkeyPatch) -> None:
    """Toys in the place of the recipes that CRIRES has not yet."""
    toys = (f"{name}=tests.recipes.toys:ToyMean" for name in ("crires_dark", "crires_flat"))
    fresh_declarations.setenv(ENVIRONMENT, ",".join(toys))


@pytest.mark.usefixtures("with_recipes")
def test_flats_are_planned_after_the_darks_of_their_integration_time(
    sqlite_archive: Archive, settings: Settings
) -> None:
    take_in(sqlite_archive, settings)
    plan, saved = save_nights(sqlite_archive, settings, {NIGHT})
    dark, flat = plan.blocks
    assert (dark.recipe, len(dark.frames), flat.recipe, len(flat.frames)) == ("crires_dark", 3, "crires_flat", 3)
    assert flat.units == (1, 2, 3, 4)
    assert [choice.role for choice in flat.inputs] == ["CALPRO_DARK"]
    assert flat.planned_inputs == (dark.key,)
    assert len(saved.created) == 2
    with sqlite_archive.read() as session:
        rows = {row.recipe: row for row in session.scalars(select(Block))}
    assert rows["crires_dark"].state is BlockState.READY
    assert rows["crires_flat"].state is BlockState.WAITING
    assert rows["crires_flat"].setup == flat.setup
    assert save_nights(sqlite_archive, settings, {NIGHT})[1].created == ()


@pytest.mark.usefixtures("with_recipes")
def test_a_dark_of_another_integration_time_is_refused_in_words(sqlite_archive: Archive, settings: Settings) -> None:
    folder = settings.archive_dirs[0]
    for number in range(3):
        write_raw(folder, "DARK", number, **{"DET DIT": 180.0})
    write_raw(folder, "FLAT", 0)
    ingest_once(sqlite_archive, settings)
    plan = plan_nights(sqlite_archive, settings, {NIGHT})
    (flat,) = [block for block in plan.blocks if block.recipe == "crires_flat"]
    assert "integration time [s] 180.000 differs from 3.000" in flat.missing[0].reason
    assert "detector" not in explain(plan).text


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("FLAT", {"chips": (1, 2, 2)}, "detector 2 is there more than once"),
        ("FLAT", {"chips": ()}, "no extension is one of a detector"),
        ("FLAT", {"INS WLEN REF": None}, "keyword INS.WLEN.REF is missing; a FLAT frame needs it"),
        ("DARK", {"DET DIT": "long"}, "keyword DET.DIT has the unusable value 'long'"),
        ("DARK", {"DPR TYPE": "DARK,DETCHAR"}, "no rule fits"),
    ],
)
def test_what_is_no_frame_of_crires_is_held_with_a_reason(
    sqlite_archive: Archive, settings: Settings, kind: str, more: dict[str, Any], words: str
) -> None:
    write_raw(settings.archive_dirs[0], kind, 0, **more)
    ingest_once(sqlite_archive, settings)
    with sqlite_archive.read() as session:
        (held,) = session.scalars(select(QuarantinedFile)).all()
    assert words in held.text
