"""Masters and static calibrations among the raw files become products that take part in plans."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from sqlalchemy import select

from core.archive.candidates import planning_products
from core.archive.models import Event, Frame, OutsideFile, Product, QuarantinedFile
from core.archive.orders import set_product_state
from core.archive.outside import outside_statics
from core.archive.queries import block_task
from core.archive.sessions import Archive
from core.archive.states import BlockState, FrameState, ProductState, QuarantineReason, QuarantineState
from core.cascade.model import Origin, ProductInfo, Quality
from core.instruments.registry import instrument
from core.settings import Settings
from workers.ingest import Ingestor, IngestReport, ingest_once, release
from workers.planning import Planner
from workers.statics import static_calibrations

DATE = "2026-11-01T22:00:00.000"
MJD = Time(DATE).mjd


def write_product(
    path: Path, tag: str = "MASTER_BIAS", unit: int | None = None, value: float = 1.0, **more: object
) -> Path:
    """A product of one unit, or of none; keywords of None are left out."""
    header = fits.Header()
    header["INSTRUME"] = "MUSE"
    header["DATE-OBS"], header["MJD-OBS"], header["EXPTIME"] = DATE, MJD, 0.0
    for key, text in (("PRO CATG", tag), ("INS MODE", "WFM-NOAO-N"), ("DET READ CURID", 1)):
        header[f"HIERARCH ESO {key}"] = text
    for key, text in more.items():
        if text is None:
            header.pop(key)
        else:
            header[key] = text
    if unit is not None:
        header["EXTNAME"] = f"CHAN{unit:02d}"
    image = fits.ImageHDU(np.full((8, 8), value, np.float32), name="DATA")
    path.parent.mkdir(exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(header=header), image]).writeto(path, overwrite=True)
    return path


class Yard:
    """An archive directory with its archive."""

    def __init__(self, archive: Archive, folder: Path) -> None:
        self.archive, self.raw = archive, folder / "raw"
        self.raw.mkdir()
        self.settings = Settings(
            data_dir=folder / "data",
            archive_dirs=(self.raw,),
            database_url=archive.database_url,
            settle_seconds=0.02,
            truncated_seconds=0.05,
        )

    def write(self, name: str, tag: str = "MASTER_BIAS", **more: Any) -> Path:
        return write_product(self.raw / name, tag, **more)

    def once(self) -> IngestReport:
        return ingest_once(self.archive, self.settings)

    def products(self) -> dict[str, Product]:
        with self.archive.read() as session:
            return {row.file_name: row for row in session.scalars(select(Product))}

    def files(self) -> dict[int, OutsideFile]:
        with self.archive.read() as session:
            return {row.product_id: row for row in session.scalars(select(OutsideFile))}

    def candidates(self) -> list[ProductInfo]:
        with self.archive.read() as session:
            return planning_products(session, dict.fromkeys(("MASTER_BIAS", "MASTER_DARK"), (MJD - 1, MJD + 1)))

    def held(self) -> dict[str, QuarantinedFile]:
        with self.archive.read() as session:
            return {row.file_name: row for row in session.scalars(select(QuarantinedFile))}

    def events(self) -> list[tuple[str | None, str | None]]:
        with self.archive.read() as session:
            query = select(Event).where(Event.kind == "product").order_by(Event.id)
            return [(row.from_state, row.to_state) for row in session.scalars(query)]


@pytest.fixture
def yard(archive: Archive, tmp_path: Path) -> Yard:
    return Yard(archive, tmp_path)


def test_a_master_becomes_a_product_with_the_facts_of_its_header(yard: Yard) -> None:
    path = yard.write("MASTER_BIAS-07.fits", unit=7)
    report = yard.once()
    assert (report.products, report.new, report.held.total(), report.nights) == (1, 0, 0, {"2026-11-01"})
    product = yard.products()[path.name]
    assert (product.tag, product.unit, product.block_id) == ("MASTER_BIAS", 7, None)
    assert (product.night, product.mjd_obs) == (date(2026, 11, 1), pytest.approx(MJD, abs=1e-9))
    assert (product.instrument, product.mode, product.readout) == ("MUSE", "WFM-NOAO-N", "1")
    assert product.state is ProductState.PROVISIONAL
    with yard.archive.read() as session:
        header = session.scalar(select(Product.header))
    assert header is not None
    assert header["PRO.CATG"] == "MASTER_BIAS"
    again = yard.once()
    assert (again.products, again.unchanged) == (0, 1)


@pytest.mark.parametrize(
    ("name", "more", "state"),
    [
        ("M.MUSE.2026-11-02T11:00:00.123.fits", {}, ProductState.CERTIFIED),
        ("renamed.fits", {"ARCFILE": "M.MUSE.2026-11-02T11:00:00.123.fits"}, ProductState.CERTIFIED),
        ("MU_MBIA_261101A.fits", {}, ProductState.PROVISIONAL),
        ("raw_name.fits", {"ARCFILE": "MUSE.2026-11-01T22:00:00.000.fits"}, ProductState.PROVISIONAL),
    ],
)
def test_what_the_archive_delivers_is_certified(
    yard: Yard, name: str, more: dict[str, Any], state: ProductState
) -> None:
    yard.write(name, **more)
    yard.once()
    assert yard.products()[name].state is state


def test_the_units_of_one_work_are_one_candidate(yard: Yard) -> None:
    for unit in (1, 2):
        yard.write(f"MASTER_BIAS-{unit:02d}.fits", unit=unit, value=unit)
    yard.write("other/MASTER_BIAS-01.fits", unit=1, value=5)  # another work on the same frames
    yard.once()
    first, second = sorted(yard.candidates(), key=lambda item: item.units, reverse=True)
    assert (first.tag, first.units, second.units) == ("MASTER_BIAS", (1, 2), (1,))
    assert Path(first.id).name == "MASTER_BIAS-01.fits"
    assert first.origin is Origin.PRODUCT
    assert first.digest != second.digest


def test_a_merged_master_has_the_units_of_its_extensions(yard: Yard) -> None:
    path = yard.write("M.MUSE.2026-11-02T11:00:00.123.fits")
    with fits.open(path, mode="append") as hdus:
        for unit in (3, 4):
            hdus.append(fits.ImageHDU(np.zeros((8, 8), np.float32), name=f"CHAN{unit:02d}.DATA"))
    yard.once()
    (candidate,) = yard.candidates()
    assert (candidate.units, candidate.quality) == ((3, 4), Quality.CERTIFIED)
    assert yard.products()[path.name].unit is None


def test_a_static_calibration_is_a_candidate_by_its_validity(yard: Yard) -> None:
    path = yard.write("MU_GBPT_140101A_badpix_table.fits", "BADPIX_TABLE", **{"DATE-OBS": None, "MJD-OBS": None})
    yard.once()
    assert yard.candidates() == []
    with yard.archive.read() as session:
        (found,) = static_calibrations(yard.settings.static_dir, instrument("MUSE"), outside_statics(session))
    assert (found.id, found.tag, found.version) == (str(path), "BADPIX_TABLE", "140101A")
    assert (found.origin, found.quality) == (Origin.STATIC, Quality.CERTIFIED)
    assert found.valid_from == Time("2014-01-01").mjd
    with yard.archive.write() as session:
        set_product_state(session, yard.products()[path.name].id, ProductState.REJECTED, actor="astronomer")
    with yard.archive.read() as session:
        (found,) = static_calibrations(yard.settings.static_dir, instrument("MUSE"), outside_statics(session))
    assert found.quality is Quality.REJECTED


def test_a_packed_static_image_is_taken_in(yard: Yard) -> None:
    header = fits.Header()
    header["HIERARCH ESO PRO CATG"] = "VIGNETTING_MASK"
    image = fits.CompImageHDU(np.ones((40, 40), np.float32), header=header)
    path = yard.raw / "MU_GVIM_140906A_vignetting_mask.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    yard.once()
    assert yard.products()[path.name].tag == "VIGNETTING_MASK"


def test_a_static_calibration_without_instrument_is_that_of_its_name(yard: Yard) -> None:
    yard.write("MU_GBPT_140101A_badpix_table.fits", "BADPIX_TABLE", INSTRUME=None)
    yard.once()
    (product,) = yard.products().values()
    assert product.instrument == "MUSE"


def test_a_product_that_vanishes_is_no_candidate_until_it_returns(yard: Yard) -> None:
    path, _ = yard.write("a.fits", unit=1), yard.write("b.fits", "MASTER_DARK", unit=1)
    yard.once()
    number = yard.products()["a.fits"].id
    content = path.read_bytes()
    path.unlink()
    assert yard.once().vanished == 1
    assert yard.files()[number].state is FrameState.MISSING
    assert [item.tag for item in yard.candidates()] == ["MASTER_DARK"]
    path.write_bytes(content)
    assert yard.once().products == 1
    assert yard.files()[number].state is FrameState.PRESENT
    assert yard.events()[-2:] == [("present", "missing"), ("missing", "present")]


def test_a_product_that_changes_is_read_again_and_judged_anew(yard: Yard) -> None:
    path = yard.write("a.fits", unit=1)
    yard.once()
    before = yard.products()["a.fits"]
    with yard.archive.write() as session:
        set_product_state(session, before.id, ProductState.REJECTED, actor="astronomer")
    os.utime(path, (1, 1))  # touched: the decision stays
    yard.once()
    assert yard.products()["a.fits"].state is ProductState.REJECTED
    yard.write("a.fits", unit=1, value=2.0)
    yard.once()
    after = yard.products()["a.fits"]
    assert (after.id, after.state) == (before.id, ProductState.PROVISIONAL)
    assert after.sha256 != before.sha256


def test_a_product_that_moved_keeps_its_row(yard: Yard) -> None:
    path, _ = yard.write("a.fits", unit=1), yard.write("b.fits", "MASTER_DARK", unit=1)
    yard.once()
    before = yard.products()["a.fits"].id
    (yard.raw / "2026").mkdir()
    path.rename(yard.raw / "2026" / "renamed.fits")
    yard.once()
    moved = yard.products()["renamed.fits"]
    assert (moved.id, moved.path) == (before, str(yard.raw / "2026" / "renamed.fits"))


def test_copies_and_packed_twins_are_duplicates_until_the_first_is_gone(yard: Yard) -> None:
    path, _ = yard.write("a.fits", unit=1), yard.write("b.fits", "MASTER_DARK", unit=1)
    yard.once()
    shutil.copy(path, yard.raw / "copy.fits")
    twin = yard.raw / "a.fits.fz"
    yard.write("z.fits", unit=1, value=9.0).rename(twin)
    assert yard.once().held == {QuarantineReason.DUPLICATE: 2}
    assert yard.held()["copy.fits"].text == f"the same product as {path}"
    (yard.raw / "copy.fits").unlink()
    path.unlink()
    report = yard.once()
    assert report.released == 1
    assert yard.held()["a.fits.fz"].state is QuarantineState.RELEASED
    assert {Path(item.id).name for item in yard.candidates()} == {"a.fits.fz", "b.fits"}


def test_a_product_never_displaces_the_raw_frame_of_its_name(yard: Yard, raw_bytes: Callable[..., bytes]) -> None:
    name = "MUSE.2026-11-01T22:00:00.000.fits"
    (yard.raw / name).write_bytes(raw_bytes({"DATE-OBS": DATE}))
    yard.write(f"products/{name}", unit=1)
    report = yard.once()
    assert (report.new, report.products, report.held.total()) == (1, 1, 0)
    with yard.archive.read() as session:
        frame = session.scalar(select(Frame))
    assert frame is not None
    assert (frame.state, frame.path) == (FrameState.PRESENT, str(yard.raw / name))
    assert yard.products()[name].path == str(yard.raw / "products" / name)


def test_a_path_that_becomes_something_else_is_that_only(yard: Yard, raw_bytes: Callable[..., bytes]) -> None:
    path = yard.write("a.fits", unit=1)
    yard.once()
    number = yard.products()["a.fits"].id
    path.write_bytes(raw_bytes({"DATE-OBS": DATE}))
    assert yard.once().new == 1
    assert yard.files()[number].state is FrameState.MISSING
    yard.write("a.fits", unit=1)
    assert yard.once().products == 1
    with yard.archive.read() as session:
        assert session.scalar(select(Frame.state)) is FrameState.MISSING
    path.write_text("no FITS")
    yard.once()
    assert yard.files()[number].state is FrameState.MISSING


@pytest.mark.parametrize(
    ("more", "reason", "word"),
    [
        ({"INSTRUME": "UVES"}, QuarantineReason.UNKNOWN_TYPE, "UVES"),
        ({"DATE-OBS": None}, QuarantineReason.BAD_DATE, "DATE-OBS"),
        ({"tag": "A" * 40}, QuarantineReason.UNKNOWN_TYPE, "no tag"),
        ({"tag": "BADPIX_TABLE", "HIERARCH ESO PRO VALID START": "soon"}, QuarantineReason.MISSING_KEYWORD, "soon"),
    ],
)
def test_a_product_that_cannot_be_used_is_held_with_the_reason(
    yard: Yard, more: dict[str, Any], reason: QuarantineReason, word: str
) -> None:
    yard.write("a.fits", **more)
    yard.once()
    row = yard.held()["a.fits"]
    assert row.reason is reason
    assert word in row.text


def test_what_an_older_version_had_put_into_quarantine_is_released(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    path = yard.write("a.fits", unit=1)
    with monkeypatch.context() as patch:
        patch.setattr("workers.ingest_examine.outside_product", lambda *_: None)
        yard.once()
    assert yard.held()["a.fits"].reason is QuarantineReason.UNKNOWN_TYPE
    report = release(yard.archive, yard.settings, path, actor="astronomer")
    assert (report.products, report.released) == (1, 1)
    assert report.sentence() == "0 new frames, 1 product, 1 released from quarantine"


def test_odd_setup_keywords_cost_only_themselves(yard: Yard) -> None:
    yard.write("a.fits", unit=1, **{"HIERARCH ESO DET READ CURID": "one", "HIERARCH ESO INS OPTI1 NAME": "B" * 50})
    ingestor = Ingestor(yard.archive, yard.settings)
    os.utime(yard.raw / "a.fits", (1, 1))
    assert ingestor.round([yard.raw]).products == 1
    product = yard.products()["a.fits"]
    assert product.setup.label == "WFM-NOAO-N blue WFM r1 1x1"


def test_a_master_that_arrives_makes_the_planner_look_again(make_house: Callable[..., Any], raw_night: Path) -> None:
    house = make_house(frames=0)
    darks = [path for path in sorted(raw_night.iterdir()) if fits.getval(path, "ESO DPR TYPE") == "DARK"]
    for path in darks:
        shutil.copy(path, house.raw)
    house.ingest()
    planner = Planner(house.archive, house.settings)
    planner.plan_changes(wait_for_templates=False)
    assert house.blocks()["muse_dark"].state is BlockState.INCOMPLETE
    assert planner.plan_changes(wait_for_templates=False) is None

    header = fits.getheader(darks[0])
    keys = {key: header[key] for key in ("DATE-OBS", "MJD-OBS")}
    keys |= {f"HIERARCH {key}": header[key] for key in ("ESO INS OPTI1 NAME", "ESO DET BINX", "ESO DET BINY")}
    masters = [
        write_product(house.raw / f"MASTER_BIAS-{unit:02d}.fits", unit=unit, value=unit, **keys) for unit in (1, 2)
    ]
    house.ingest()
    planner.plan_changes(wait_for_templates=False)
    dark = house.blocks()["muse_dark"]
    assert dark.state is BlockState.READY
    with house.archive.read() as session:
        task = block_task(session, dark.id)
    assert [(file.tag, file.unit) for file in task.calibrations] == [("MASTER_BIAS", 1), ("MASTER_BIAS", 2)]

    for path in masters:
        path.unlink()
    house.ingest()
    planner.plan_changes(wait_for_templates=False)
    assert house.blocks()["muse_dark"].state is BlockState.INCOMPLETE


def test_a_product_that_does_not_agree_with_its_checksums_is_held_until_it_is_whole(yard: Yard) -> None:
    path = yard.write("MASTER_BIAS-07.fits", unit=7)
    with fits.open(path) as hdus:
        hdus.writeto(path, overwrite=True, checksum=True)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(np.array(1.0, ">f4").tobytes(), np.array(2.0, ">f4").tobytes(), 1))
    assert yard.once().held == {QuarantineReason.DAMAGED: 1}
    assert yard.held()[path.name].text.startswith("DATASUM of DATA is ")
    assert yard.products() == {}
    path.write_bytes(whole)
    os.utime(path, (1e9, 1e9))
    report = yard.once()
    assert (report.products, report.released) == (1, 1)
