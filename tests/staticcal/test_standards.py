"""Standard stars are those of the manual, of published place, magnitude and flux."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.formats.onsky_tables import STD_FLUX_TABLE
from core.formats.standard_stars import nearest_star, read_standard_stars
from core.onsky.air import vacuum_to_air
from core.staticcal.filters import magnitude, published_filters
from core.staticcal.standards import standard_stars, write_standards

MANUAL = (
    "GD71", "GD108", "GD153", "HD49798", "CD-32 9927", "GJ754.1A", "LDS749B", "Feige110", "LTT7987", "EG274", "LTT3218",
)  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_standards(tmp_path_factory.mktemp("statics") / "std_flux_table.fits")


def test_the_eleven_stars_of_the_manual_are_there_and_more(table: Path) -> None:
    names = [star.name for star in read_standard_stars(table)]
    assert tuple(names[:11]) == MANUAL
    assert {"EG21", "GD50", "LTT1788", "LTT3864", "LTT7379"} <= set(names[11:])


def test_the_format_is_that_of_the_manual(table: Path) -> None:
    with fits.open(table, checksum=True) as hdus:
        hdus.verify("exception")
        assert (hdus[0].header["ESO PRO CATG"], hdus[0].header["ORIGIN"]) == ("STD_FLUX_TABLE", "cascade-muse")
        assert "PIPEFILE" not in hdus[0].header
        for hdu in hdus[1:]:
            assert [(column.name, column.unit) for column in hdu.columns] == [
                (column.name, column.unit) for column in STD_FLUX_TABLE.columns[:2]
            ]
            assert [hdu.header[f"TFORM{number}"] for number in (1, 2)] == ["1D", "1D"]
            assert {"RA", "DEC", "EXTNAME", "REFERENC"} <= set(hdu.header)


@pytest.mark.parametrize("name", MANUAL)
def test_v_magnitudes_through_the_filter_are_the_published_ones(name: str) -> None:
    # 0.04: published tables differ from photometry by up to 3 %, and Vega is 0.03 in V.
    star = standard_stars()[name]
    assert magnitude(published_filters()["Johnson_V"], "VEGA", star.wave, star.flux) == pytest.approx(
        star.magnitude, abs=0.04
    )


def test_fluxes_are_those_of_the_published_tables(table: Path) -> None:
    # thinned to 0.1 %, those of CALSPEC to 0.3 %
    found = {star.name: star.flux for star in read_standard_stars(table)}
    for name, expected in {
        "GD71": (3.118e-14, 8.77e-15, 3.34e-15),
        "EG274": (1.968e-13, 5.69e-14, 2.21e-14),
        "HD49798": (2.413e-12, 6.85e-13, 2.64e-13),
        "GD108": (1.870e-14, 5.73e-15, 2.34e-15),
    }.items():
        assert found[name].at([5000.0, 7000.0, 9000.0]).tolist() == pytest.approx(expected, rel=4e-3)


def test_a_table_covers_the_whole_response(table: Path) -> None:
    for star in read_standard_stars(table):
        assert star.flux.wave[0] < 4150 < 9800 < star.flux.wave[-1]
        assert np.all(star.flux.values > 0)


def test_a_star_is_found_by_its_place(table: Path) -> None:
    assert nearest_star([table], 88.1155, 15.8872).name == "GD71"
    assert nearest_star([table], 302.7366, -30.2187).name == "LTT7987"


def test_the_form_of_calspec_is_read_beside(table: Path, tmp_path: Path) -> None:
    # the star of our table as CALSPEC has it: vacuum, flam, errors in two columns
    star = standard_stars()["GD153"]
    wave = np.arange(4000.0, 9900.0, 5.0)
    air = vacuum_to_air(wave)
    columns = [
        fits.Column("WAVELENGTH", "D", "ANGSTROMS", array=wave),
        fits.Column("FLUX", "E", "FLAM", array=star.at(air)),
        fits.Column("STATERROR", "E", "FLAM", array=0.003 * star.at(air)),
        fits.Column("SYSERROR", "E", "FLAM", array=0.004 * star.at(air)),
    ]
    path = tmp_path / "gd153_mod_012.fits"
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header["RA"], hdu.header["DEC"] = star.ra + 1e-4, star.dec
    hdu.writeto(path)
    (read,) = read_standard_stars(path)
    assert read.flux.at([5000.0, 9000.0]).tolist() == pytest.approx(star.at([5000.0, 9000.0]).tolist(), rel=2e-3)
    assert float(read.flux.errors[0] / read.flux.values[0]) == pytest.approx(0.005, rel=1e-3)
    assert nearest_star([table, path], star.ra + 1e-4, star.dec).path == path
    assert nearest_star([table, path], star.ra, star.dec).path == table


def test_a_table_that_ends_early_goes_on_with_its_slope() -> None:
    star = standard_stars()["GD108"]
    assert star.published_to < 9210 < 10250 < star.wave[-1]
    tail = star.wave > star.published_to - 400
    steepness = np.polyfit(np.log(star.wave[tail]), np.log(star.flux[tail]), 1)[0]
    assert -4.5 < steepness < -3.0  # Rayleigh-Jeans has -4
    at = star.at([star.published_to, star.published_to + 50])
    assert abs(at[1] / at[0] - 1) < 0.04
