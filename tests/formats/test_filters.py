"""Filters of a FILTER_LIST."""

from __future__ import annotations

from pathlib import Path

import mpdaf
import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError
from core.formats.filters import read_filters


def test_the_published_list_is_read_with_its_zero_points() -> None:
    filters = read_filters(Path(mpdaf.__file__).parent / "obj" / "filters" / "filter_list.fits")
    assert filters["Johnson_V"].zero_points == pytest.approx({"VEGA": 21.104, "AB": 21.098}, abs=1e-3)
    assert filters["Kron_V"].zero_points == {}
    assert 0.9 < filters["Johnson_V"].response(5300.0) <= 1


def test_a_table_that_is_not_of_a_filter_is_named(tmp_path: Path) -> None:
    falling = [fits.Column("lambda", "D", array=np.array([2.0, 1.0])), fits.Column("throughput", "D", array=np.ones(2))]
    fits.BinTableHDU.from_columns(falling, fits.Header([("EXTNAME", "Upside_Down")])).writeto(tmp_path / "f.fits")
    with pytest.raises(BadFitsError, match="Upside_Down"):
        read_filters(tmp_path / "f.fits")
