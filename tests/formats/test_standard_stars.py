"""Reference spectra of standard stars: both forms, and which star is meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError, DataError
from core.formats.standard_stars import nearest_star, read_standard_stars
from core.onsky.air import vacuum_to_air

WAVE = np.arange(4000.0, 10000.0, 10.0)
FLUX = 1e-14 * (WAVE / 5000) ** -2


def write_stars(path: Path, *tables: fits.BinTableHDU) -> Path:
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path)
    return path


def table(name: str, ra: float, dec: float, columns: dict[str, tuple[np.ndarray, str]]) -> fits.BinTableHDU:
    cells = [fits.Column(key, "D", unit=unit or None, array=array) for key, (array, unit) in columns.items()]
    hdu = fits.BinTableHDU.from_columns(cells, name=name)
    hdu.header["RA"], hdu.header["DEC"] = ra, dec
    return hdu


def muse_star(
    name: str, ra: float, dec: float, unit: str = "erg/s/cm**2/Angstrom", error: str | None = None
) -> fits.BinTableHDU:
    columns = {"lambda": (WAVE, "Angstrom"), "flux": (FLUX, unit)}
    if error is not None:
        columns["fluxerr"] = (0.01 * FLUX, error)
    return table(name, ra, dec, columns)


@pytest.mark.parametrize("unit", ["erg/s/cm**2/Angstrom", "erg/s/cm^2/Angstrom", "erg / s / cm^2 / Angstrom"])
def test_the_form_of_muse_is_read(tmp_path: Path, unit: str) -> None:
    (star,) = read_standard_stars(write_stars(tmp_path / "a.fits", muse_star("GD71", 88.115, 15.887, unit, unit)))
    assert (star.name, star.ra, star.dec) == ("GD71", 88.115, 15.887)
    np.testing.assert_array_equal(star.flux.values, FLUX)
    np.testing.assert_array_equal(star.flux.errors, 0.01 * FLUX)


def test_errors_in_another_unit_are_none(tmp_path: Path) -> None:
    (star,) = read_standard_stars(write_stars(tmp_path / "a.fits", muse_star("GD71", 1.0, 2.0, error="mag")))
    assert not star.flux.errors.any()


def test_wavelengths_of_calspec_become_those_in_air(tmp_path: Path) -> None:
    columns = {
        "WAVELENGTH": (WAVE, "ANGSTROMS"),
        "FLUX": (FLUX, "FLAM"),
        "STATERROR": (0.03 * FLUX, "FLAM"),
        "SYSERROR": (0.04 * FLUX, "FLAM"),
    }
    (star,) = read_standard_stars(write_stars(tmp_path / "a.fits", table("GD153", 194.0, 22.0, columns)))
    np.testing.assert_array_equal(star.flux.wave, vacuum_to_air(WAVE))
    np.testing.assert_allclose(star.flux.errors, 0.05 * FLUX)
    assert star.flux.wave[100] == pytest.approx(WAVE[100] - 1.39, abs=0.01)


def test_the_nearest_of_all_files_is_taken(tmp_path: Path) -> None:
    paths = [
        write_stars(tmp_path / "a.fits", muse_star("FAR", 100.0, -30.0), muse_star("NEAR", 150.0, -30.001)),
        write_stars(tmp_path / "b.fits", muse_star("other", 150.0, -30.01)),
    ]
    found = nearest_star(paths, 150.0, -30.0)
    assert (found.name, found.path) == ("NEAR", paths[0])
    assert found.distance(150.0, -30.0) == pytest.approx(3.6)
    with pytest.raises(DataError, match=r"FAR, is .* more than 60 arcsec"):
        nearest_star(paths, 101.0, -30.0)


def test_other_tables_are_refused(tmp_path: Path) -> None:
    bad = write_stars(tmp_path / "a.fits", muse_star("GD71", 1.0, 2.0, unit="Jy"))
    with pytest.raises(BadFitsError, match="GD71 is no STD_FLUX_TABLE"):
        list(read_standard_stars(bad))
    lost = muse_star("GD71", 1.0, 2.0)
    del lost.header["RA"]
    with pytest.raises(BadFitsError, match="no RA and DEC"):
        list(read_standard_stars(write_stars(tmp_path / "b.fits", lost)))
