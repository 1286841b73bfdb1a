"""Fifty broken inputs beside good ones: each is held with the right reason, every good one enters."""

from __future__ import annotations

import bz2
import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.archive.models import Frame, QuarantinedFile, units_of_mask
from core.archive.sessions import Archive
from core.archive.states import QuarantineReason as Reason
from core.settings import Settings
from workers import ingest_examine
from workers.ingest import IngestReport, ingest_once

Build = Callable[..., bytes]
N_GOOD = 20
_EMPTY_HDU = b"".join(
    card.ljust(80)
    for card in (b"XTENSION= 'IMAGE   '", b"BITPIX  =  8", b"NAXIS   =  0", b"PCOUNT  =  0", b"GCOUNT  =  1", b"END")
).ljust(2880)


class Case:
    """One broken input: how it is made, and the reason that is expected."""

    def __init__(self, name: str, reason: Reason, make: Callable[[Path, Build], Any]) -> None:
        self.name, self.reason, self.make = name, reason, make


_serial = iter(range(10_000))


def _date() -> str:
    """A different second for each file, so that none is a duplicate by its date."""
    return (datetime(2026, 11, 1, 23, 0, 0) + timedelta(seconds=next(_serial))).isoformat()


def _with(keywords: dict[str, object], **options: Any) -> Callable[[Path, Build], Any]:
    return lambda path, build: path.write_bytes(build({"DATE-OBS": _date(), **keywords}, **options))


def _bytes(content: bytes) -> Callable[[Path, Build], Any]:
    return lambda path, build: path.write_bytes(content)


def _cut(length: Callable[[int], int]) -> Callable[[Path, Build], Any]:
    def make(path: Path, build: Build) -> None:
        data = build({"DATE-OBS": _date()})
        path.write_bytes(data[: length(len(data))])

    return make


def _patched(old: bytes, new: bytes, count: int = 1) -> Callable[[Path, Build], Any]:
    def make(path: Path, build: Build) -> None:
        data = build({"DATE-OBS": _date()})
        assert old in data
        path.write_bytes(data.replace(old, new, count))

    return make


def _dangling(path: Path, build: Build) -> None:
    path.symlink_to("/nowhere/at/all.fits")


def _loop(path: Path, build: Build) -> None:
    path.symlink_to(path.name)


def _directory(path: Path, build: Build) -> None:
    path.mkdir()
    (path / "inside.txt").write_text("x")


def _fifo(path: Path, build: Build) -> None:
    os.mkfifo(path)


def _forbidden(path: Path, build: Build) -> None:
    path.write_bytes(build({"DATE-OBS": _date()}))  # `no_permission` below makes it unreadable


def _link_to_good(path: Path, build: Build) -> None:
    path.symlink_to("MUSE.2026-11-01T22-00-00.fits")


def _copy_of_good(path: Path, build: Build) -> None:
    shutil.copy(path.with_name("MUSE.2026-11-01T22-00-01.fits"), path)


def _same_exposure_elsewhere(path: Path, build: Build) -> None:
    path.write_bytes(build({"DATE-OBS": "2026-11-01T22:00:02.000", "OBJECT": "other bytes"}))


def _packed_product(path: Path, build: Build) -> None:
    keywords = {"DATE-OBS": _date(), "DPR.CATG": None, "DPR.TYPE": None, "DPR.TECH": None, "PRO.CATG": "MASTER_BIAS"}
    path.write_bytes(gzip.compress(build(keywords)))


def _truncated_compressed(path: Path, build: Build) -> None:
    primary = build({"DATE-OBS": _date()}, ifus=())
    table = build(
        {},
        ifus=(1,),
        extension={
            "XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS1": 8, "NAXIS2": 24, "PCOUNT": 9000, "ZIMAGE": True,
            "ZBITPIX": 16, "ZNAXIS": 2, "ZNAXIS1": 24, "ZNAXIS2": 24, "TFIELDS": 1,
        },
    )  # fmt: skip
    path.write_bytes(primary + table[table.index(b"XTENSION") :])


CASES = [
    # -- not FITS
    Case("text.fits", Reason.NOT_FITS, _bytes(b"this is a text file\n" * 500)),
    Case("short_text.fits", Reason.NOT_FITS, _bytes(b"hello")),
    Case("html.fits", Reason.NOT_FITS, _bytes(b"<html><body>404 not found</body></html>" * 100)),
    Case("zeros.fits", Reason.NOT_FITS, _bytes(bytes(28800))),
    Case("random.fits", Reason.NOT_FITS, _bytes(bytes(range(256)) * 100)),
    Case("gzipped_text.fits.gz", Reason.NOT_FITS, _bytes(gzip.compress(b"no FITS" * 1000))),
    Case("text.fits.fz", Reason.NOT_FITS, _bytes(b"not a compressed file" * 1000)),
    Case("one_byte.fits", Reason.NOT_FITS, _bytes(b"X")),
    Case("packed.fits.bz2", Reason.COMPRESSED, lambda path, build: path.write_bytes(bz2.compress(build()))),
    Case("product.fits.gz", Reason.COMPRESSED, _packed_product),
    Case("damaged.FITS.Z", Reason.DAMAGED, _bytes(b"\x1f\x9d" + bytes(range(200)))),
    Case("damaged.fits.gz", Reason.DAMAGED,
         lambda path, build: path.write_bytes(gzip.compress(build())[:-8] + bytes(8))),
    Case("cut.fits.gz", Reason.TRUNCATED, lambda path, build: path.write_bytes(gzip.compress(build())[:-100])),
    Case("unicode_type.fits", Reason.UNKNOWN_TYPE, _with({"DPR.TYPE": "BIÄS"})),
    Case("nul_in_header.fits", Reason.UNKNOWN_TYPE,
         _patched(b"DPR TYPE = 'BIAS    '", b"DPR TYPE = 'BI\0S    '")),
    Case("many_hdus.fits", Reason.NOT_FITS,
         lambda path, build: path.write_bytes(build({"DATE-OBS": _date()}, ifus=(1,)) + 1100 * _EMPTY_HDU)),
    Case("bad_bitpix.fits", Reason.NOT_FITS, _patched(b"=                   16", b"=                   17")),
    Case("bad_naxis.fits", Reason.NOT_FITS, _patched(b"S1  =                   24", b"S1  =                  a b")),
    Case("negative_axis.fits", Reason.NOT_FITS, _with({}, extension={"NAXIS1": -24})),
    Case("no_naxis.fits", Reason.NOT_FITS, _with({"NAXIS": None})),
    # -- truncated
    Case("empty.fits", Reason.TRUNCATED, _bytes(b"")),
    Case("empty.fits.fz", Reason.TRUNCATED, _bytes(b"")),
    Case("cut_in_first_card.fits", Reason.TRUNCATED, _cut(lambda size: 40)),
    Case("cut_in_primary.fits", Reason.TRUNCATED, _cut(lambda size: 2000)),
    Case("cut_in_extension_header.fits", Reason.TRUNCATED, _cut(lambda size: 2 * 2880 + 1000)),
    Case("cut_in_pixels.fits", Reason.TRUNCATED, _cut(lambda size: size - 2880)),
    Case("cut_last_pixels.fits", Reason.TRUNCATED, _cut(lambda size: size - 2880 + 1100)),
    Case("extension_larger_than_file.fits", Reason.TRUNCATED, _with({}, extension={"NAXIS2": 100_000})),
    Case("cut.fits.fz", Reason.TRUNCATED, _truncated_compressed),
    # -- no DPR
    Case("no_dpr.fits", Reason.NO_DPR, _with({"DPR.CATG": None, "DPR.TYPE": None, "DPR.TECH": None})),
    Case("no_dpr_type.fits", Reason.NO_DPR, _with({"DPR.TYPE": None})),
    Case("empty_dpr_catg.fits", Reason.NO_DPR, _with({"DPR.CATG": ""})),
    # -- unknown type
    Case("unknown_type.fits", Reason.UNKNOWN_TYPE, _with({"DPR.TYPE": "FOCUS"})),
    Case("wrong_category.fits", Reason.UNKNOWN_TYPE, _with({"DPR.CATG": "SCIENCE"})),
    Case("wrong_technique.fits", Reason.UNKNOWN_TYPE, _with({"DPR.TECH": "IMAGE"})),
    Case("other_instrument.fits", Reason.UNKNOWN_TYPE, _with({"INSTRUME": "UVES"})),
    Case("product_with_dpr.fits", Reason.UNKNOWN_TYPE, _with({"PRO.CATG": "X" * 40})),
    Case("no_channels.fits", Reason.UNKNOWN_TYPE, _with({}, ifus=())),
    Case("wrong_size.fits", Reason.UNKNOWN_TYPE, _with({}, shape=(20, 24))),
    Case("channel_twice.fits", Reason.UNKNOWN_TYPE, _with({}, ifus=(3, 3))),
    Case("float_pixels.fits", Reason.UNKNOWN_TYPE, _with({}, extension={"BITPIX": -32}, shape=(24, 24))),
    Case("all_off.fits", Reason.UNKNOWN_TYPE,
         _with({}, extension={"NAXIS": 0, "NAXIS1": None, "NAXIS2": None, "DET.CHIP.LIVE": False}, shape=(0, 0))),
    Case("empty_but_live.fits", Reason.UNKNOWN_TYPE,
         _with({}, extension={"NAXIS": 0, "NAXIS1": None, "NAXIS2": None, "DET.CHIP.LIVE": True}, shape=(0, 0))),
    Case("no_port_keywords.fits", Reason.UNKNOWN_TYPE, _with({}, extension={"DET.OUT2.NX": None})),
    # -- missing keyword
    Case("no_mode.fits", Reason.MISSING_KEYWORD, _with({"INS.MODE": None})),
    Case("undefined_readout.fits", Reason.MISSING_KEYWORD, _with({"DET.READ.CURID": "raw:"})),
    Case("readout_is_text.fits", Reason.MISSING_KEYWORD, _with({"DET.READ.CURID": "one"})),
    Case("no_date.fits", Reason.MISSING_KEYWORD, _with({"DATE-OBS": None})),
    Case("no_instrument.fits", Reason.MISSING_KEYWORD, _with({"INSTRUME": None})),
    Case("dark_without_exptime.fits", Reason.MISSING_KEYWORD, _with({"DPR.TYPE": "DARK", "EXPTIME": None})),
    Case("exptime_nan.fits", Reason.MISSING_KEYWORD, _with({"DPR.TYPE": "DARK", "EXPTIME": "raw:NaN"})),
    Case("arc_without_shutters.fits", Reason.MISSING_KEYWORD,
         _with({"DPR.TYPE": "WAVE", "INS.SHUT4.ST": None})),
    # -- bad date
    Case("date_nan.fits", Reason.BAD_DATE, _with({"DATE-OBS": "NaN"})),
    Case("date_unquoted_nan.fits", Reason.BAD_DATE, _with({"DATE-OBS": "raw:NaN"})),
    Case("date_zero.fits", Reason.BAD_DATE, _with({"DATE-OBS": "0000-00-00T00:00:00"})),
    Case("date_old.fits", Reason.BAD_DATE, _with({"DATE-OBS": "1970-01-01T00:00:00"})),
    Case("date_far.fits", Reason.BAD_DATE, _with({"DATE-OBS": "9999-12-31T23:59:59"})),
    Case("date_tomorrow.fits", Reason.BAD_DATE,
         lambda path, build: path.write_bytes(build({"DATE-OBS": f"{datetime.now() + timedelta(days=2):%FT%T}"}))),
    Case("tpl_start_far.fits", Reason.BAD_DATE, _with({"TPL.START": "9999-12-31T23:59:59"})),
    Case("mjd_nan.fits", Reason.BAD_DATE, _with({"MJD-OBS": "raw:NaN"})),
    Case("mjd_disagrees.fits", Reason.BAD_DATE, _with({"MJD-OBS": 61000.0})),
    Case("exptime_negative.fits", Reason.BAD_DATE, _with({"DPR.TYPE": "DARK", "EXPTIME": -5.0})),
    Case("tpl_start_bad.fits", Reason.BAD_DATE, _with({"TPL.START": "yesterday"})),
    # -- duplicate
    Case("link_to_good.fits", Reason.DUPLICATE, _link_to_good),
    Case("copy_of_good.fits", Reason.DUPLICATE, _copy_of_good),
    Case("elsewhere/MUSE.2026-11-01T22-00-02.fits.fz", Reason.DUPLICATE, _same_exposure_elsewhere),
    # -- unreadable
    Case("dangling.fits", Reason.UNREADABLE, _dangling),
    Case("loop.fits", Reason.UNREADABLE, _loop),
    Case("directory.fits", Reason.UNREADABLE, _directory),
    Case("pipe.fits", Reason.UNREADABLE, _fifo),
    Case("forbidden.fits", Reason.UNREADABLE, _forbidden),
    Case("name_\udcff.fits", Reason.UNREADABLE, _with({})),
]  # fmt: skip


def _settings(folder: Path, url: str) -> Settings:
    return Settings(
        data_dir=folder / "data",
        archive_dirs=(folder / "raw",),
        follow_links=True,
        database_url=url,
        settle_seconds=0.05,
        truncated_seconds=0.1,
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def night(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, raw_bytes: Build
) -> Iterator[tuple[Archive, Path, IngestReport]]:
    """An archive after the ingest of a directory with good and broken files."""
    folder = tmp_path_factory.mktemp("broken")
    if request.param == "sqlite":
        copy = shutil.copy(request.getfixturevalue("migrated_sqlite"), folder / "archive.sqlite")
        url = f"sqlite:///{copy}"
    else:
        template = request.getfixturevalue("migrated_postgres")
        url = request.getfixturevalue("postgres_database")(template)
    raw = folder / "raw"
    (raw / "elsewhere").mkdir(parents=True)
    for second in range(N_GOOD):
        name = f"MUSE.2026-11-01T22-00-{second:02d}.fits"
        data = raw_bytes({"DATE-OBS": f"2026-11-01T22:00:{second:02d}.000"})
        (raw / name).write_bytes(data)
    # Good although they look odd: behind a link to a directory that links back, without EXPTIME, with extra HDUs.
    outside = folder / "outside"
    outside.mkdir()
    (outside / "linked.fits").write_bytes(raw_bytes({"DATE-OBS": "2026-11-01T22:05:00", "EXPTIME": None}))
    (outside / "back").symlink_to(raw)
    (raw / "inward").symlink_to(outside)
    early = raw_bytes({"DATE-OBS": "2026-11-01T22:06:00"})
    extra = raw_bytes({}, ifus=(1,), extension={"EXTNAME": "SGS_IMAGE"})
    (raw / "extra.fits").write_bytes(early + extra[extra.index(b"XTENSION") :])
    # A detector was off: the others are there.
    off = {"NAXIS": 0, "NAXIS1": None, "NAXIS2": None, "DET.CHIP.LIVE": False}
    dead = raw_bytes({}, ifus=(2,), extension=off, shape=(0, 0))
    (raw / "one_off.fits").write_bytes(
        raw_bytes({"DATE-OBS": "2026-11-01T22:07:00"}, ifus=(1, 3)) + dead[dead.index(b"XTENSION") :]
    )
    (raw / "notes.txt").write_text("not a candidate")
    for case in CASES:
        case.make(raw / case.name, raw_bytes)
    archive = Archive(url)
    scan = ingest_examine.scan_file

    def no_permission(path: str) -> Any:
        if path.endswith("forbidden.fits"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest_examine, "scan_file", no_permission)  # root may read everything
        report = ingest_once(archive, _settings(folder, url))
    yield archive, raw, report
    archive.dispose()


@pytest.mark.parametrize("case", CASES, ids=[case.name.encode("ascii", "replace").decode() for case in CASES])
def test_each_broken_file_is_held_with_its_reason(night: tuple[Archive, Path, IngestReport], case: Case) -> None:
    archive, raw, _ = night
    path = ingest_examine.printable(str(raw / case.name))
    with archive.read() as session:
        row = session.scalars(select(QuarantinedFile).where(QuarantinedFile.path == path)).one()
        assert session.scalar(select(Frame).where(Frame.path == path)) is None
    assert (row.reason, row.state) == (case.reason, "held"), row.text
    assert len(row.text) > 10


def test_all_good_files_enter(night: tuple[Archive, Path, IngestReport]) -> None:
    archive, _, report = night
    with archive.read() as session:
        names = set(session.scalars(select(Frame.file_name)))
    good = {f"MUSE.2026-11-01T22-00-{second:02d}.fits" for second in range(N_GOOD)}
    assert names == good | {"linked.fits", "extra.fits", "one_off.fits"}
    assert report.new == len(names)


def test_a_detector_that_was_off_costs_its_channel_only(night: tuple[Archive, Path, IngestReport]) -> None:
    archive, _, _ = night
    with archive.read() as session:
        mask = session.scalars(select(Frame.unit_mask).where(Frame.file_name == "one_off.fits")).one()
    assert units_of_mask(mask) == (1, 3)


def test_the_report_counts_every_file_once(night: tuple[Archive, Path, IngestReport]) -> None:
    _, _, report = night
    assert len(CASES) >= 50
    for reason in Reason:
        assert report.held[reason] == sum(case.reason is reason for case in CASES), reason
    assert report.waiting == 0


def test_a_second_look_finds_nothing_new(night: tuple[Archive, Path, IngestReport]) -> None:
    archive, raw, first = night
    again = ingest_once(archive, _settings(raw.parent, archive.database_url))
    # What could not be read is tried at each look (the test's own lock is gone now), the rest is left alone.
    assert again.new == 1
    assert again.released == 1
    assert again.unchanged == first.new + len(CASES) - 1 - sum(case.name.startswith("name_") for case in CASES)
