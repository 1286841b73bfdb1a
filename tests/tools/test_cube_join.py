"""Cubes of other wavelengths become one cube."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.fitsfile.header import Header
from core.fitsfile.integrity import check_file
from core.formats import cube_join
from core.formats.cube import open_cube
from core.tools.cube_join import combine, concatenate
from tests.tools.cubes import STEP, make_cube, values

START = 4600.0


def test_planes_of_cubes_that_adjoin_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cube_join, "_BYTES", 2 * 3 * 4 * 4)  # two planes at a time
    named = Header()
    named["EXTNAME"] = "white"
    one = make_cube(tmp_path / "1.fits", values(3), START, images=[(named, values(1)[0])])
    two = make_cube(tmp_path / "2.fits", values(5, 3), START + 3 * STEP)
    three = make_cube(tmp_path / "3.fits", values(1, 8), START + 8 * STEP)
    target = tmp_path / "all.fits"
    assert concatenate([str(path) for path in (target, one, two, three)]) == 0
    with fits.open(target) as hdus, fits.open(one) as first:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "DATA", "STAT"]
        np.testing.assert_array_equal(hdus["DATA"].data, values(9))
        np.testing.assert_array_equal(hdus["STAT"].data, values(9) * 10)
        assert hdus["DATA"].header["OBJECT"] == "field (DATA)"
        assert hdus["STAT"].header["BUNIT"] == "(count)**2"
        for key in ("CRVAL1", "CRPIX2", "CD1_1", "CRVAL3", "CRPIX3", "CD3_3", "CTYPE3", "ERRDATA"):
            assert hdus["DATA"].header[key] == first["DATA"].header[key]
        assert hdus[0].header["PIPEFILE"] == "all.fits"
        assert hdus[0].header["HIERARCH ESO QC EXPCOMB NDET"] == 3
    assert check_file(target).faults == ()
    told = capsys.readouterr().out.splitlines()
    assert told[1] == f"{two}: planes 1 to 5, 4603.75 to 4608.75 Angstrom"
    assert told[-1] == f"{target}: 9 planes saved"


@pytest.mark.parametrize("both", [True, False])
def test_flags_stay_if_all_cubes_have_them_and_otherwise_become_nan(both: bool, tmp_path: Path) -> None:
    flags = np.zeros((3, 3, 4), np.int32)
    flags[1, 2, 3] = 32
    one = make_cube(tmp_path / "1.fits", values(3), START, flags=flags)
    two = make_cube(tmp_path / "2.fits", values(3, 3), START + 3 * STEP, flags=flags if both else None)
    assert concatenate([str(path) for path in (tmp_path / "a.fits", one, two)]) == 0
    cube = open_cube(tmp_path / "a.fits")
    data, _, found = cube.read(0, 6)
    if both:
        assert found is not None
        np.testing.assert_array_equal(found, np.concatenate([flags, flags]))
        np.testing.assert_array_equal(data, values(6))
    else:
        assert found is None
        np.testing.assert_array_equal(np.argwhere(np.isnan(data)), [[1, 2, 3]])


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"first": START + 4 * STEP}, "begins at 4605 Angstrom, not at 4603.75"),
        ({"first": START + 3 * STEP + 1e-9}, "begins at"),
        ({"CD3_3": 1.0}, "another step"),
        ({"CTYPE3": "WAVE"}, "another kind of wavelengths"),
        ({"CTYPE3": "AWAV-LOG"}, "not linear"),
        ({"CRPIX2": 2.0}, "another field"),
        ({"unit": "adu"}, "another unit"),
        ({"data": np.zeros((3, 3, 5), np.float32)}, "4 x 3 and 5 x 3 pixels"),
    ],
)
def test_cubes_that_do_not_adjoin_are_named(
    other: dict[str, Any], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make_cube(tmp_path / "1.fits", values(3), START)
    given = {"data": values(3, 3), "first": START + 3 * STEP} | other
    two = make_cube(tmp_path / "2.fits", **given)
    assert concatenate([str(path) for path in (tmp_path / "a.fits", one, two)]) == 12
    assert told in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.fits", "2.fits"]


def filled(path: Path, low: int, high: int, limits: tuple[str, str], value: float) -> Path:
    """A cube of 20 planes with values in planes ``low`` to ``high`` only."""
    data = np.full((20, 3, 4), np.nan, np.float32)
    data[low : high + 1] = value
    return make_cube(path, data, START, limits=limits)


def wave(plane: int) -> str:
    return str(START + plane * STEP)


def test_cubes_of_one_grid_are_filled_from_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # As in section 7.3.3 of the manual: limits that overlap by two planes; the order does not matter.
    blue = filled(tmp_path / "b.fits", 0, 8, ("4000", wave(8)), 1)
    green = filled(tmp_path / "g.fits", 6, 14, (wave(6), wave(14)), 2)
    red = filled(tmp_path / "r.fits", 12, 19, (wave(12), "10000"), 3)
    target = tmp_path / "a.fits"
    assert combine([str(path) for path in (target, red, blue, green)]) == 0
    with fits.open(target) as hdus:
        planes = hdus["DATA"].data[:, 0, 0]
        np.testing.assert_array_equal(planes, [1.0] * 8 + [2.0] * 6 + [3.0] * 6)
        np.testing.assert_array_equal(hdus["STAT"].data[:, 2, 3], planes * 10)
        assert hdus["DATA"].header["CRPIX3"] == 1
        assert hdus[0].header["HIERARCH ESO PRO REC1 PARAM4 VALUE"] == "4000"
        assert hdus[0].header["HIERARCH ESO PRO REC1 PARAM5 VALUE"] == "10000"
        assert hdus[0].header.comments["HIERARCH ESO PRO REC1 PARAM5 VALUE"] == "Default: 0"
    assert check_file(target).faults == ()
    assert capsys.readouterr().err == ""


def test_the_combined_cube_has_the_planes_between_the_outer_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = filled(tmp_path / "1.fits", 2, 9, (wave(2), wave(9)), 1)
    two = filled(tmp_path / "2.fits", 13, 18, (wave(13), wave(18)), 2)
    assert combine([str(path) for path in (tmp_path / "a.fits", one, two)]) == 0
    data, _, _ = open_cube(tmp_path / "a.fits").read(0, 17)
    np.testing.assert_array_equal(data[:, 0, 0], [1.0] * 8 + [np.nan] * 4 + [2.0] * 5)
    assert fits.getval(tmp_path / "a.fits", "CRPIX3", "DATA") == -1
    assert "no cube covers 4612.50 to 4615.00 Angstrom" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("limits", "axes", "told"),
    [
        (None, {}, "does not tell the parameter lambdamin"),
        (("4603.75", "wide"), {}, "wide"),
        (("4603.75", "10000"), {"CRPIX3": 2.0}, "another axis of wavelengths"),
        (("5000", "10000"), {}, "no plane from 5000 to 10000"),
        (("4603.75", "4610"), {}, "no wavelengths that other cubes do not have"),
    ],
)
def test_cubes_that_cannot_be_combined_are_named(
    limits: tuple[str, str] | None, axes: dict[str, float], told: str, tmp_path: Path, capsys: Any
) -> None:
    one = make_cube(tmp_path / "1.fits", values(20), START, limits=("4000", "10000"))
    two = make_cube(tmp_path / "2.fits", values(20), START, limits=limits, **axes)
    assert combine([str(path) for path in (tmp_path / "a.fits", one, two)]) == 12
    assert told in capsys.readouterr().err
    assert not (tmp_path / "a.fits").exists()


@pytest.mark.parametrize("tool", [concatenate, combine])
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 1, "Usage: muse_cube_co"),
        (["OUT", "1.fits"], 1, "Usage: muse_cube_co"),
        (["-d", "OUT", "1.fits", "1.fits"], 9, "unknown option -d"),
        (["OUT", "1.fits", "no.fits"], 10, "no.fits is no cube"),
        (["OUT", "1.fits", "cut.fits"], 10, "cut.fits is no cube"),
        (["1.fits", "1.fits", "1.fits"], 11, "exists already"),
    ],
)
def test_exit_codes(
    tool: Any, words: list[str], code: int, told: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    make_cube(Path("1.fits"), values(3), START)
    Path("cut.fits").write_bytes(Path("1.fits").read_bytes()[:2880])
    assert tool(words) == code
    assert told in capsys.readouterr().err


def test_nothing_is_left_of_a_cube_that_cannot_be_written(tmp_path: Path) -> None:
    one = make_cube(tmp_path / "1.fits", values(3), START)
    two = make_cube(tmp_path / "2.fits", values(3, 3), START + 3 * STEP)
    assert concatenate([str(path) for path in (tmp_path / "no" / "a.fits", one, two)]) == 20
    two.write_bytes(two.read_bytes()[:-2880])  # STAT is cut
    assert concatenate([str(path) for path in (tmp_path / "a.fits", one, two)]) == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.fits", "2.fits"]
