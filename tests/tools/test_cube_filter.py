"""Images of cubes through filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.fitsfile.integrity import check_file
from core.tools import cube_filter
from core.tools.cube_filter import filter_cube
from tests.tools.cubes import make_cube, values

START = 5000.0


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    data = values(9, 1)
    data[:, 1, 1] = np.nan
    data[4, 0, 0] = np.nan
    return make_cube(tmp_path / "CUBE.fits", data, START)


@pytest.fixture
def filters(tmp_path: Path) -> Path:
    """Two filters in the cube, one of them with zero points, and one outside."""
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, wave, throughput, cards in (
        ("Narrow_A", [5002.5, 5003.75, 5006.25, 5007.5], [0, 0.5, 1, 0], {"ZP_VEGA": 21.104, "ZP_AB": 21.098}),
        ("Kron_V", [4999.0, 5000.0, 5005.0, 5006.0], [0, 1, 1, 0], {}),
        ("Far_R", [8000.0, 8100.0], [1, 1], {}),
    ):
        columns = [fits.Column("lambda", "D", array=wave), fits.Column("throughput", "D", array=throughput)]
        hdus.append(fits.BinTableHDU.from_columns(columns, fits.Header([("EXTNAME", name), *cards.items()])))
    hdus.writeto(tmp_path / "filter_list.fits")
    return tmp_path / "filter_list.fits"


def test_images_of_the_filters_named_are_files(
    cube: Path, filters: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cube_filter, "_BYTES", 2 * 3 * 4 * 4)  # two planes at a time
    before = cube.read_bytes()
    assert filter_cube(["-f", "Narrow_A,Johnson_X", str(cube), str(filters)]) == 0
    path = cube.with_name("CUBE_Narrow_A.fits")
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "DATA"]
        header, image = hdus[0].header, hdus["DATA"].data
        # planes of 5003.75, 5005 and 5006.25 count by 0.5, 0.75 and 1
        expected = np.full((3, 4), (0.5 * 4 + 0.75 * 5 + 6) / 2.25, np.float32)
        expected[0, 0] = (0.5 * 4 + 6) / 1.5
        expected[1, 1] = np.nan
        np.testing.assert_allclose(image, expected, rtol=1e-6)
        assert header["OBJECT"] == "field (Narrow_A)"
        assert header["HIERARCH ESO PRO CATG"] == "IMAGE_FOV"
        assert header["HIERARCH ESO DRS MUSE FILTER NAME"] == "Narrow_A"
        assert header["HIERARCH ESO DRS MUSE FILTER ZPVEGA"] == 21.104
        assert header["HIERARCH ESO DRS MUSE FILTER ZPAB"] == 21.098
        # in steps of 1 Angstrom from the first wavelength of the table, between the first and past the last plane used
        fraction = 100 * (0.65 + 0.85 + 0.8) / (0.4 + 0.65 + 0.85 + 0.8)
        assert header["HIERARCH ESO DRS MUSE FILTER FRACTION"] == pytest.approx(fraction, rel=1e-6)
        assert not [key for key in header if "QC" in key]
        assert hdus["DATA"].header["BUNIT"] == "count"
        assert hdus["DATA"].header["CRPIX1"] == 2.5
        assert "CRPIX3" not in hdus["DATA"].header
    assert check_file(path).faults == ()
    assert cube.read_bytes() == before
    streams = capsys.readouterr()
    assert streams.out == f"{path} saved\n"
    assert "no filter Johnson_X" in streams.err


def test_without_names_all_filters_of_the_list_are_taken_and_a_range_is_added(
    cube: Path, filters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert filter_cube(["-l", "5001", "5004", str(cube), str(filters)]) == 0
    names = ["CUBE.fits", "CUBE_CUSTOM_5001.000_5004.000.fits", "CUBE_Kron_V.fits", "CUBE_Narrow_A.fits"]
    assert sorted(path.name for path in cube.parent.glob("CUBE*")) == names
    assert fits.getdata(cube.with_name(names[1]))[2, 2] == 3  # planes 5001.25, 5002.5 and 5003.75
    assert not [key for key in fits.getheader(cube.with_name(names[2])) if "ZP" in key]
    assert "Far_R lets nothing of the cube through" in capsys.readouterr().err


def test_images_are_appended_and_take_the_place_of_older_ones(cube: Path, filters: Path) -> None:
    with fits.open(cube) as hdus:
        data, primary = hdus["DATA"].data.copy(), hdus[0].header.copy()
    for _ in range(2):
        assert filter_cube(["-x", "-f", "Kron_V,white", str(cube), str(filters)]) == 0
    with fits.open(cube) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "DATA", "STAT", "Kron_V", "white"]
        np.testing.assert_array_equal(hdus["DATA"].data, data)
        assert hdus["Kron_V"].header["OBJECT"] == "field (Kron_V)"
        assert hdus["white"].data[2, 2] == 5
        assert {key: hdus[0].header[key] for key in ("OBJECT", "PIPEFILE")} == {
            key: primary[key] for key in ("OBJECT", "PIPEFILE")
        }
    assert check_file(cube).faults == ()
    assert sorted(path.name for path in cube.parent.iterdir()) == ["CUBE.fits", "filter_list.fits"]


def test_flagged_voxels_do_not_count(tmp_path: Path, filters: Path) -> None:
    flags = np.zeros((9, 3, 4), np.int32)
    flags[:8, 0, 0] = 1
    cube = make_cube(tmp_path / "C.fits", values(9, 1), START, flags=flags)
    assert filter_cube(["-f", "white", str(cube), str(filters)]) == 0
    image = fits.getdata(tmp_path / "C_white.fits")
    assert (image[0, 0], image[1, 1]) == (9, 5)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 1, "Usage: muse_cube_filter"),
        (["CUBE.fits"], 1, "Usage: muse_cube_filter"),
        (["CUBE.fits", "filter_list.fits", "-f"], 2, "-f needs a value"),
        (["-l", "5001", "CUBE.fits", "filter_list.fits"], 3, "two numbers"),
        (["CUBE.fits", "filter_list.fits", "-l"], 3, "two numbers"),
        (["-z", "CUBE.fits", "filter_list.fits"], 9, "unknown option -z"),
        (["CUBE.fits", "no.fits"], 10, "no list of filters"),
        (["-f", "Johnson_X", "CUBE.fits", "filter_list.fits"], 10, "no filter that lets anything"),
        (["-f", "Far_R", "CUBE.fits", "filter_list.fits"], 10, "no filter that lets anything"),
        (["no.fits", "filter_list.fits"], 11, "no cube"),
        (["filter_list.fits", "filter_list.fits"], 11, "no cube"),
        (["-l", "5004", "5001", "CUBE.fits", "filter_list.fits"], 12, "no range"),
        (["-l", "7000", "7001", "CUBE.fits", "filter_list.fits"], 12, "no range"),
    ],
)
def test_exit_codes(
    words: list[str], code: int, told: str, cube: Path, filters: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(cube.parent)
    assert filter_cube(words) == code
    assert told in capsys.readouterr().err
    assert sorted(path.name for path in cube.parent.iterdir()) == [cube.name, filters.name]
