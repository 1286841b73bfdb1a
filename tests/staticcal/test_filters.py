"""Filters have the passbands and zero points of their systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.cubes.collapse import WHITE
from core.formats.filters import read_filters
from core.staticcal.filters import magnitude, mean_flux, published_filters, vega, write_filters

FILTERS = published_filters()

# Zero points that the observatory's list of 2017 has (Kotulla et al. 2009), in the systems of Vega and AB. Vega is of
# another year (0.03), the passbands of the SDSS are of Doi et al. instead of Gunn et al.
OBSERVATORY = {
    "Johnson_V": (21.104, 21.098),
    "Cousins_R": (21.671, 21.474),
    "Cousins_I": (22.392, 21.929),
    "SDSS_r": (21.500, 21.355),
    "SDSS_i": (22.145, 21.775),
    "ACS_F606W": (21.322, 21.242),
    "ACS_F814W": (22.383, 21.934),
    "WFPC2_F814W": (22.345, 21.909),
    "WFC3_F625W": (21.528, 21.377),
}


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_filters(tmp_path_factory.mktemp("statics") / "filter_list.fits")


def test_the_list_is_read_back(listed: Path) -> None:
    found = read_filters(listed)
    assert found.keys() == FILTERS.keys()
    for name, through in found.items():
        np.testing.assert_array_equal(through.wave, FILTERS[name].wave)
        np.testing.assert_array_equal(through.throughput, FILTERS[name].throughput)
        assert through.zero_points == pytest.approx(FILTERS[name].zero_points, abs=1e-6)


def test_each_system_of_the_issue_is_there(listed: Path) -> None:
    names = read_filters(listed).keys()
    wanted = ["white", "Johnson_B", "Johnson_V", "Cousins_R", "Cousins_I", "Kron_V", *(f"SDSS_{b}" for b in "ugriz")]
    assert set(wanted) <= names
    for prefix, count in (("ACS_", 7), ("WFPC2_", 3), ("WFC3_", 7)):
        assert sum(name.startswith(prefix) for name in names) >= count


@pytest.mark.parametrize("name", OBSERVATORY)
def test_zero_points_are_those_of_the_observatory(name: str) -> None:
    of_vega, of_ab = OBSERVATORY[name]
    assert FILTERS[name].zero_points["VEGA"] == pytest.approx(of_vega, abs=0.035)
    assert FILTERS[name].zero_points["AB"] == pytest.approx(of_ab, abs=0.01)


def test_vega_has_magnitude_0_and_a_flat_source_of_3631_jansky_too() -> None:
    wave = np.arange(3000.0, 11500.0, 0.5)
    for through in FILTERS.values():
        if through.zero_points:
            assert magnitude(through, "VEGA", *vega()) == pytest.approx(0.0, abs=1e-9)
            assert magnitude(through, "AB", wave, 3.631e-20 * 2.99792458e18 / wave**2) == pytest.approx(0, abs=1e-4)


def test_offsets_between_vega_and_ab_are_the_published_ones() -> None:
    # Blanton & Roweis 2007 (AJ 133, 734), table 1: AB - Vega of Bessell's B, V, R, I
    for name, offset in (("Johnson_B", -0.09), ("Johnson_V", 0.02), ("Cousins_R", 0.21), ("Cousins_I", 0.45)):
        zero = FILTERS[name].zero_points
        assert zero["VEGA"] - zero["AB"] == pytest.approx(offset, abs=0.035)


def test_white_and_the_filter_of_the_photodiode_have_no_zero_points() -> None:
    assert not FILTERS["Kron_V"].zero_points
    assert FILTERS["white"] is WHITE


def test_the_mean_is_that_of_the_recipes() -> None:
    through = FILTERS["SDSS_r"]
    wave = np.arange(5000.0, 8000.0, 0.5)
    flux = (wave / 6000.0) ** -3
    weight = through.response(wave)
    assert mean_flux(through, wave, flux) == pytest.approx(float((weight * flux).sum() / weight.sum()), rel=1e-5)


def test_the_file_is_sound(listed: Path) -> None:
    with fits.open(listed, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["ESO PRO CATG"] == "FILTER_LIST"
        for hdu in hdus[1:]:
            assert [(column.name, column.unit) for column in hdu.columns] == [
                ("lambda", "Angstrom"),
                ("throughput", None),
            ]
            assert hdu.header["REFERENC"]
            assert hdu.data["throughput"].max() <= 1.0
