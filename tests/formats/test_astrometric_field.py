"""Reference stars are those of the nearest field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError, DataError
from core.formats.astrometric_field import nearest_field


def write(path: Path, drop: str = "", place: bool = True) -> Path:
    hdus = [fits.PrimaryHDU()]
    for name, ra in (("one", 10.0), ("two", 10.1)):
        columns = {
            "RA": ra + np.arange(3) / 1000,
            "DEC": np.array([-20.0, -20.1, np.nan]),
            "mag": np.array([18.0, 15, 14]),
        }
        cells = [fits.Column(key, "D", array=values) for key, values in columns.items() if key != drop]
        hdus.append(fits.BinTableHDU.from_columns(cells, name=name))
        if place:
            hdus[-1].header["RA"], hdus[-1].header["DEC"] = ra, -20.0
    fits.HDUList(hdus).writeto(path)
    return path


def test_the_nearest_field_is_taken_the_brightest_star_first(tmp_path: Path) -> None:
    field = nearest_field(write(tmp_path / "a.fits"), 10.1, -20.0 + 5 / 3600)
    assert field.name == "TWO"
    assert field.distance == pytest.approx(5)
    np.testing.assert_allclose(field.sky, [(10.101, -20.1), (10.1, -20.0)])  # what has no place is left out


def test_no_field_is_near(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"TWO, is 100\.0 arcsec"):
        nearest_field(write(tmp_path / "a.fits"), 10.1, -20.0 + 100 / 3600)


@pytest.mark.parametrize(
    ("drop", "place", "words"), [("mag", True, "no ASTROMETRY_REFERENCE.*mag"), ("", False, "no RA")]
)
def test_what_is_no_field_is_told(tmp_path: Path, drop: str, place: bool, words: str) -> None:
    with pytest.raises(BadFitsError, match=words):
        nearest_field(write(tmp_path / "a.fits", drop, place), 10.0, -20.0)
