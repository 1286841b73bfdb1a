"""Static calibrations of exposures of the sky are built from published data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.formats.onsky_tables import EXTINCT_TABLE, read_curve
from core.formats.sky_lines import read_sky_lines
from core.staticcal.night_sky import (
    RAMAN_FLUX,
    published_sky_lines,
    write_extinction,
    write_raman_lines,
    write_sky_lines,
)


def test_extinction_is_that_of_paranal(tmp_path: Path) -> None:
    path = write_extinction(tmp_path / "extinct_table.fits")
    _, curve = read_curve(path, EXTINCT_TABLE)
    assert curve.at([5000.0, 7000.0, 9000.0]).tolist() == pytest.approx([0.1565, 0.064, 0.028], abs=5e-4)
    assert (curve.wave[0], curve.wave[-1]) == (3325, 9800)
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["ESO PRO CATG"] == "EXTINCT_TABLE"


def test_lines_are_read_as_they_were_published(tmp_path: Path) -> None:
    lines = read_sky_lines(write_sky_lines(tmp_path / "sky_lines.fits"))
    expected = published_sky_lines()
    np.testing.assert_array_equal(lines.wave, expected.wave)
    np.testing.assert_array_equal(lines.group, expected.group)
    brightest = lines.only(np.argsort(-lines.flux)[:1])
    assert (brightest.wave[0], brightest.flux[0]) == pytest.approx((9375.978, 232100.0))


def test_groups_are_species_and_bands() -> None:
    lines = published_sky_lines()
    names = {
        int(group): {name.rsplit(" ", 1)[0] for name in lines.name[lines.group == group]}
        for group in set(lines.group.tolist())
    }
    assert all(len(found) == 1 for found in names.values())
    of = {next(iter(found)): lines.wave[lines.group == group] for group, found in names.items()}
    assert of["[OI]6300"].tolist() == pytest.approx([6300.3, 6363.77], abs=0.1)
    assert of["[OI]5577"].tolist() == pytest.approx([5577.35], abs=0.1)
    assert {"OH 8-3", "OH 6-2", "OH 7-3"} <= of.keys()
    assert len(of["OH 7-3"]) > 30


def test_groups_are_numbered_from_0_and_lines_ascend() -> None:
    lines = published_sky_lines()
    assert sorted(set(lines.group.tolist())) == list(range(int(lines.group.max()) + 1))
    assert np.all(np.diff(lines.wave) > 0)


def test_raman_lines_are_bands_of_o2_and_n2(tmp_path: Path) -> None:
    path = write_raman_lines(tmp_path / "raman_lines.fits")
    lines = read_sky_lines(path)
    for group, (wave, flux) in enumerate(zip((6484, 6827), RAMAN_FLUX, strict=True)):
        mine = lines.only(lines.group == group)
        assert np.average(mine.wave, weights=mine.flux) == pytest.approx(wave, abs=1)
        assert mine.flux.sum() == pytest.approx(flux * 1e20)
    with fits.open(path, checksum=True) as hdus:
        assert hdus[0].header["ESO PRO CATG"] == "RAMAN_LINES"
