"""Curves over wavelength in tables: which there are, thinned, and at other wavelengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.errors import MissingInputError
from core.previews.curves import read_curves


def write(path: Path, wave: Any, unit: str = "Angstrom") -> Path:
    n = len(wave)
    columns = [
        fits.Column("lambda", "D", unit, array=wave),
        fits.Column("response", "D", "mag", array=2 * np.asarray(wave)),
        fits.Column("flags", "J", array=np.arange(n)),
        fits.Column("name", "8A", array=np.full(n, "star")),
        fits.Column("pair", "2D", array=np.zeros((n, 2))),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    return path


def test_columns_of_numbers_beside_a_wavelength_are_curves(tmp_path: Path) -> None:
    curves = read_curves(write(tmp_path / "a.fits", np.arange(5000.0, 5010.0)), 1)
    assert list(curves.values) == ["response", "flags"]
    assert curves.units["response"] == "mag"
    np.testing.assert_array_equal(curves.values["response"], 2 * np.arange(5000.0, 5010.0))


def test_long_curves_are_means_of_their_rows(tmp_path: Path) -> None:
    curves = read_curves(write(tmp_path / "a.fits", np.arange(3001.0)), 1)  # two and three rows to a point
    assert curves.wave.size == 1001
    assert curves.wave[:2].tolist() == [1.0, 4.0]
    assert curves.wave[-1] == 3000.0
    np.testing.assert_allclose(curves.values["response"], 2 * curves.wave)


def test_a_curve_has_no_value_beyond_its_ends(tmp_path: Path) -> None:
    curves = read_curves(write(tmp_path / "a.fits", np.array([10.0, 20.0])), 1)
    np.testing.assert_array_equal(curves.at("response", np.array([5.0, 15.0, 25.0])), [np.nan, 30.0, np.nan])
    assert np.isnan(curves.at("nothing", np.array([15.0]))).all()


OTHERS = (([1.0, 2.0], "pix", 1), ([2.0, 1.0], "Angstrom", 1), ([1.0, 2.0], "Angstrom", 0))


@pytest.mark.parametrize(("wave", "unit", "index"), OTHERS)
def test_other_tables_hold_none(tmp_path: Path, wave: list[float], unit: str, index: int) -> None:
    with pytest.raises(MissingInputError, match="no curves"):
        read_curves(write(tmp_path / "a.fits", wave, unit), index)
