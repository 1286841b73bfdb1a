"""BADPIX_TABLEs made by the tools hold the pixels they should, at raw positions, and nothing else is lost."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.geometry import Detector
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.fitsfile.scan import scan_fits
from core.formats.image import MuseImage, write_image
from core.formats.merge import merge_products
from core.formats.tables import BADPIX_TABLE, MuseTable, read_table
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.calibrations import load_bad_pixels
from core.tools.badpix import BadPixelList, join
from core.tools.badpix_commands import from_ascii, from_dq, from_region


def rows(path: Path, ifu: int) -> list[tuple[int, int, int]]:
    table = read_table(path, BADPIX_TABLE, ifu)
    return list(zip(*(table[name].tolist() for name in ("xpos", "ypos", "status")), strict=True))


def write_product(path: Path, ifu: int = 10, shape: tuple[int, int] = (4112, 4096)) -> Path:
    """A master with three flagged pixels and headers of exposure, detector and channel."""
    dq = np.zeros(shape, np.int32)
    dq[2, 2] = 256
    dq[1, 7] = 512
    dq[shape[0] - 1, shape[1] - 1] = 8192
    header = Header()
    values = {
        "TELESCOP": "ESO-VLT-U4", "INSTRUME": "MUSE", "OBJECT": "FLAT", "EXPTIME": 1.0, "DET.BINX": 1,
        "DET.EXP.ID": 5, "DET.DEV1.EXP.TOTTIME": 3.0, "DET.DEV1.SHUT.ID": "x", "DET.DIT": 2.0, "DET.NDIT": 1,
        "DET.READ.CURID": 1, "DET.CHIP.NAME": f"CHAN{ifu:02d}", "INS.MODE": "WFM-NOAO-N", "QC.FLAT.MASTER.MEAN": 1.5,
    }  # fmt: skip
    for key, value in values.items():
        set_key(header, key, value)
    for port, (x, y) in enumerate(((1, 1), (4096, 1), (4096, 4112), (1, 4112)), start=1):
        own = {"X": x, "Y": y, "NX": shape[1] // 2, "NY": shape[0] // 2, "GAIN": 1.1, "RON": 2.8}
        for key, value in own.items():
            set_key(header, f"DET.OUT{port}.{key}", value)
    blank = np.zeros(shape, np.float32)
    return write_image(path, MuseImage(blank, dq, blank, header, "count"), ifu)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_product(tmp_path_factory.mktemp("product") / "MASTER_FLAT-10.fits", shape=(400, 320))


@pytest.mark.full
def test_pixels_of_a_full_image_land_on_the_raw_frame(tmp_path: Path) -> None:
    image = write_product(tmp_path / "MASTER_FLAT-10.fits")
    with fits.open(image, mode="update") as hdus:
        hdus["DQ"].data[2999, 2499] = 32
    assert from_dq([str(image), str(tmp_path / "out.fits")]) == 0
    # Known mapping: (3, 3) -> (35, 35), (8, 2) -> (40, 34), (2500, 3000) -> (2596, 3096).
    assert rows(tmp_path / "out.fits", 10) == [(35, 35, 256), (40, 34, 512), (2596, 3096, 32), (4192, 4208, 8192)]


def test_port_size_comes_from_the_header(product: Path, tmp_path: Path) -> None:
    assert from_dq([str(product), str(tmp_path / "out.fits")]) == 0
    assert rows(tmp_path / "out.fits", 10) == [(35, 35, 256), (40, 34, 512), (416, 496, 8192)]
    assert np.isnan(read_table(tmp_path / "out.fits", BADPIX_TABLE, 10)["value"]).all()


def test_table_keeps_detector_keywords_and_drops_the_exposure(product: Path, tmp_path: Path) -> None:
    assert from_dq([str(product), str(tmp_path / "BADPIX_TABLE-10.fits")]) == 0
    with fits.open(tmp_path / "BADPIX_TABLE-10.fits", checksum=True) as hdus:
        primary, table = hdus[0].header, hdus[1].header
    assert primary["TELESCOP"] == "ESO-VLT-U4"
    assert primary["OBJECT"] == "Bad pixel table for MUSE (BADPIX_TABLE)"
    assert primary["PIPEFILE"] == "BADPIX_TABLE-10.fits"
    assert get_key(primary, "PRO.CATG", str) == "BADPIX_TABLE"
    assert get_key(primary, "DET.READ.CURID", int) == 1
    for gone in ("EXPTIME", "ESO DET EXP ID", "ESO DET DEV1 EXP TOTTIME", "ESO DET DIT", "ESO INS MODE"):
        assert gone not in primary
    assert not [key for key in primary if key.startswith(("ESO QC", "ESO DET CHIP", "ESO DET OUT"))]
    assert table["EXTNAME"] == "CHAN10"
    assert get_key(table, "DET.CHIP.NAME", str) == "CHAN10"
    assert get_key(table, "DET.OUT3.GAIN", float) == 1.1


def test_ascii_positions_are_raw_by_default(tmp_path: Path) -> None:
    (tmp_path / "bad.ascii").write_text("35 35 256\n 40\t34 512\n35 35 8192\n5000 1 256\nend of list\n1 1 256\n")
    assert from_ascii([str(tmp_path / "bad.ascii"), "12", str(tmp_path / "out.fits")]) == 0
    assert rows(tmp_path / "out.fits", 12) == [(35, 35, 8448), (40, 34, 512)]
    with fits.open(tmp_path / "out.fits") as hdus:
        assert hdus[0].header["INSTRUME"] == "MUSE"
        assert hdus[1].header["EXTNAME"] == "CHAN12"
        assert hdus[1].header["ESO DET CHIP NAME"] == "CHAN12"


@pytest.mark.parametrize(("tail", "told"), [("\n", False), ("# more\n7 7 256\n", True), ("\n7 7 256\n", True)])
def test_lines_that_are_not_read_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tail: str, told: bool
) -> None:
    (tmp_path / "bad.ascii").write_text("5 6 256\n" + tail)
    assert from_ascii([str(tmp_path / "bad.ascii"), "12", str(tmp_path / "out.fits")]) == 0
    assert len(fits.getdata(tmp_path / "out.fits")) == 1
    assert ("line 2 is not 'x y flag'" in capsys.readouterr().err) is told


def test_ascii_positions_may_be_trimmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.ascii").write_text("3 3 256\n2500 3000 32\n4097 5 32\n")
    assert from_ascii(["-t", str(tmp_path / "bad.ascii"), "08", str(tmp_path / "out.fits")]) == 0
    assert rows(tmp_path / "out.fits", 8) == [(35, 35, 256), (2596, 3096, 32)]
    assert "(4097, 5) lies outside" in capsys.readouterr().err


def test_reference_image_gives_headers_and_geometry(product: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.ascii").write_text("161 201 256\n")
    words = ["-r", str(product), "-n", "DATA", "-t", str(tmp_path / "bad.ascii"), "10", str(tmp_path / "out.fits")]
    assert from_ascii(words) == 0
    assert rows(tmp_path / "out.fits", 10) == [(161 + 96, 201 + 96, 256)]
    assert get_key(fits.getheader(tmp_path / "out.fits"), "DET.READ.CURID", int) == 1


def test_region_covers_its_limits(tmp_path: Path) -> None:
    assert from_region(["[10:12,100:101]", "256", "12", str(tmp_path / "out.fits")]) == 0
    assert rows(tmp_path / "out.fits", 12) == [(x, y, 256) for x in (10, 11, 12) for y in (100, 101)]


def test_region_is_clipped_to_the_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-t", "[4095:99999999,4112:4112]", "512", "1", str(tmp_path / "out.fits")]
    assert from_region(words) == 0
    assert rows(tmp_path / "out.fits", 1) == [(4191, 4208, 512), (4192, 4208, 512)]
    assert "left out" in capsys.readouterr().err


# -- adding to existing tables ---------------------------------------------------------------------------------


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    """A table of IFUs 3 and 12; one pixel of IFU 12 has a value."""
    hdus = [fits.PrimaryHDU()]
    hdus[0].header["OBJECT"] = "kept"
    for ifu, pixels in ((3, [(5, 5, 256)]), (12, [(10, 100, 512), (11, 7, 32)])):
        columns = [
            fits.Column(name, "1J", array=np.array([pixel[k] for pixel in pixels]))
            for k, name in enumerate(("xpos", "ypos", "status"))
        ]
        columns.append(fits.Column("value", "1E", array=np.array([2.5] + [np.nan] * (len(pixels) - 1))))
        table = fits.BinTableHDU.from_columns(columns, name=f"CHAN{ifu:02d}")
        table.header["HIERARCH ESO DET CHIP ID"] = f"chip {ifu}"
        hdus.append(table)
    path = tmp_path / "existing.fits"
    fits.HDUList(hdus).writeto(path)
    return path


def test_pixels_are_joined_with_the_table_of_the_ifu(existing: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.fits"
    assert from_region(["-i", str(existing), "[10:10,99:100]", "256", "12", str(output)]) == 0
    assert rows(output, 12) == [(10, 99, 256), (10, 100, 768), (11, 7, 32)]
    assert read_table(output, BADPIX_TABLE, 12)["value"][1] == 2.5
    with fits.open(output, checksum=True) as after, fits.open(existing) as before:
        assert [hdu.name for hdu in after] == ["PRIMARY", "CHAN03", "CHAN12"]
        assert after[0].header["OBJECT"] == "kept"
        assert after["CHAN12"].header["ESO DET CHIP ID"] == "chip 12"
        np.testing.assert_array_equal(after["CHAN03"].data, before["CHAN03"].data)


def test_missing_ifu_is_appended(existing: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.fits"
    assert from_region(["-i", str(existing), "[1:1,1:1]", "256", "24", str(output)]) == 0
    with fits.open(output) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["CHAN03", "CHAN12", "CHAN24"]
    assert rows(output, 12) == [(10, 100, 512), (11, 7, 32)]


def test_table_may_be_extended_in_place(existing: Path) -> None:
    assert from_region(["-i", str(existing), "[6:6,5:5]", "256", "3", str(existing)]) == 0
    assert rows(existing, 3) == [(5, 5, 256), (6, 5, 256)]
    assert rows(existing, 12) == [(10, 100, 512), (11, 7, 32)]


def test_unreadable_table_is_replaced_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.fits"
    assert from_region(["-i", str(tmp_path / "none.fits"), "[1:1,1:1]", "256", "1", str(output)]) == 0
    assert "a new table is made" in capsys.readouterr().err
    assert rows(output, 1) == [(1, 1, 256)]


def test_an_image_is_no_table_to_add_to(product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.fits"
    assert from_region(["-i", str(product), "[1:1,1:1]", "256", "1", str(output)]) == 0
    assert "it holds no table" in capsys.readouterr().err
    assert [hdu.kind for hdu in scan_fits(output).hdus] == ["image", "table"]


def test_more_than_two_entries_of_a_pixel_are_joined() -> None:
    parts = [BadPixelList.of([5, 5], [6, 6], [1, 2]), BadPixelList.of([5, 4], [6, 6], [4, 8])]
    parts[0].value[:] = (1.0, np.nan)
    parts[1].value[:] = (3.0, np.nan)
    joined = join(parts)
    assert (joined.x.tolist(), joined.y.tolist(), joined.status.tolist()) == ([4, 5], [6, 6], [8, 7])
    assert np.isnan(joined.value[0])
    assert joined.value[1] == 3.0


def test_highest_flag_survives() -> None:
    assert BadPixelList.of([1], [1], [1 << 31]).status[0] == -(1 << 31)


def test_tables_are_what_recipes_read(product: Path, tmp_path: Path) -> None:
    from_dq([str(product), str(tmp_path / "out.fits")])
    table = read_table(tmp_path / "out.fits", BADPIX_TABLE, 10)
    assert isinstance(table, MuseTable)
    assert [table[name].dtype.str[1:] for name in ("xpos", "ypos", "status", "value")] == ["i4", "i4", "i4", "f4"]


# -- exit codes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", [from_dq, from_ascii, from_region])
def test_usage_without_arguments(tool, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert tool([]) == 1
    assert capsys.readouterr().err.startswith("Usage: muse_badpix_from_")
    assert tool(["-x", "a", "b", "c", "d"]) == 9


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-i"], 2),
        (["-r"], 3),
        (["-n"], 6),
        (["[1:2,3:4]", "256", "25", "out.fits"], 4),
        (["[1:2,3:4]", "256", "one", "out.fits"], 4),
        (["1:2", "256", "1", "out.fits"], 5),
        (["[5000:5100,200:300]", "256", "1", "out.fits"], 5),
        (["-r", "any.fits", "-n", "CHAN02", "[1:2,3:4]", "256", "1", "out.fits"], 6),
        (["[2:1,3:4]", "256", "1", "out.fits"], 5),
        (["[1:2,3:4]", "0", "1", "out.fits"], 7),
        (["[1:2,3:4]", "bad", "1", "out.fits"], 7),
        (["-r", "nowhere.fits", "[1:2,3:4]", "256", "1", "out.fits"], 10),
        (["-n", "CHAN01", "[1:2,3:4]", "256", "1", "out.fits"], 3),
        (["[1:2,3:4]", "256", "1", "out.fits", "more.fits"], 9),
        (["[1:2,3:4]", "256", "1", "/nowhere/out.fits"], 50),
    ],
)
def test_region_exit_codes(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert from_region(words) == code
    assert capsys.readouterr().err


@pytest.mark.parametrize("flag", ["0", "-256", str(1 << 32), "9" * 30])
def test_ascii_flags_are_checked(tmp_path: Path, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.ascii").write_text(f"5 6 256\n7 8 {flag}\n")
    assert from_ascii([str(tmp_path / "bad.ascii"), "1", str(tmp_path / "out.fits")]) != 0
    assert (
        f"the flag of pixel 7, 8 must be a Euro3D flag value from 1 to 2^32 - 1, not {flag}" in capsys.readouterr().err
    )
    assert not (tmp_path / "out.fits").exists()


@pytest.mark.parametrize("line", ["7 8 0x100", "7 8 256.5"])
def test_ascii_lines_of_other_numbers_end_the_list(
    tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.ascii").write_text(f"5 6 256\n{line}\n")
    assert from_ascii([str(tmp_path / "bad.ascii"), "1", str(tmp_path / "out.fits")]) == 0
    assert "line 2 is not 'x y flag'" in capsys.readouterr().err


def test_ascii_positions_of_any_size_are_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.ascii").write_text(f"5 6 256\n{'9' * 30} 8 256\n7 -{'9' * 30} 256\n")
    assert from_ascii([str(tmp_path / "bad.ascii"), "1", str(tmp_path / "out.fits")]) == 0
    assert capsys.readouterr().err.count("lies outside of the image") == 2


def test_ascii_exit_codes(tmp_path: Path) -> None:
    assert from_ascii([str(tmp_path / "none"), "1", str(tmp_path / "out.fits")]) == 10
    (tmp_path / "text").write_text("no numbers here\n")
    assert from_ascii([str(tmp_path / "text"), "1", str(tmp_path / "out.fits")]) == 8
    assert not (tmp_path / "out.fits").exists()


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A merged MASTER_FLAT of IFUs 3, 10 and 24, which differ by one pixel each."""
    folder = tmp_path_factory.mktemp("merged")
    paths = []
    for ifu in (3, 10, 24):
        path = write_product(folder / f"MASTER_FLAT-{ifu:02d}.fits", ifu, (400, 320))
        with fits.open(path, mode="update") as hdus:
            hdus["DQ"].data[100, ifu] = 32
        paths.append(path)
    return merge_products(paths, folder / "MASTER_FLAT.fits")


def expected_pixels(ifu: int) -> list[tuple[int, int, int]]:
    """The pixels of `merged` on the raw frame: prescans of 32 pixels before, two overscans of 32 in the middle."""
    pixels = [(35, 35, 256), (40, 34, 512), (320 + 96, 400 + 96, 8192), (ifu + 1 + 32, 101 + 32, 32)]
    return sorted(pixels)


def test_a_merged_image_gives_a_table_for_each_of_its_ifus(
    merged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "BADPIX_TABLE.fits"
    assert from_dq([str(merged), str(output)]) == 0
    with fits.open(output, checksum=True) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "CHAN03", "CHAN10", "CHAN24"]
        assert [hdu.header["ESO DET CHIP NAME"] for hdu in hdus[1:]] == ["CHAN03", "CHAN10", "CHAN24"]
        assert hdus[0].header["ESO PRO CATG"] == "BADPIX_TABLE"
        assert "ESO DET CHIP NAME" not in hdus[0].header
    for ifu in (3, 10, 24):
        assert rows(output, ifu) == expected_pixels(ifu)
    assert "4 bad pixels of IFU 24" in capsys.readouterr().out
    # the recipes' own reader takes it for each IFU
    frames = FrameSet((Frame(output, "BADPIX_TABLE"),))
    found = load_bad_pixels(10, frames, Detector(nx=160, ny=200), logging.getLogger("test"))
    assert len(found.x) == 4


def test_one_ifu_of_a_merged_image(merged: Path, tmp_path: Path) -> None:
    output = tmp_path / "BADPIX_TABLE-10.fits"
    assert from_dq(["-n", "10", str(merged), str(output)]) == 0
    with fits.open(output) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["CHAN10"]
    assert rows(output, 10) == expected_pixels(10)


def test_a_merged_image_is_joined_with_existing_tables(merged: Path, existing: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.fits"
    assert from_dq(["-i", str(existing), str(merged), str(output)]) == 0
    with fits.open(output) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["CHAN03", "CHAN12", "CHAN10", "CHAN24"]
    assert rows(output, 3) == sorted([(5, 5, 256), *expected_pixels(3)])
    assert rows(output, 12) == [(10, 100, 512), (11, 7, 32)]
    assert rows(output, 24) == expected_pixels(24)


def test_an_ifu_that_the_image_does_not_hold_is_refused(
    merged: Path, product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.fits"
    assert from_dq(["-n", "12", str(merged), str(output)]) == 10
    assert "does not hold IFU 12, but 3, 10, 24" in capsys.readouterr().err
    assert from_dq(["-n", "12", str(product), str(output)]) == 10
    assert from_dq(["-n", "25", str(merged), str(output)]) == 4
    assert from_dq([str(merged), "-n"]) == 6
    assert not output.exists()


def test_image_must_tell_its_ifu(tmp_path: Path) -> None:
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2)), name="DATA")]).writeto(tmp_path / "x.fits")
    assert from_dq([str(tmp_path / "x.fits"), str(tmp_path / "out.fits")]) == 10
