"""Telluric regions are the bands that the recipe has of its own, with those of water whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from core.onsky.sensitivity import Sensitivity, correct_bands, flag_bands
from core.recipes.muse.standard_response import telluric_bands
from core.simulator.atmosphere import molecular_depth
from core.simulator.light import WAVE_GRID
from core.staticcal.telluric import REGIONS, write_telluric_regions


def test_bands_are_read_back_and_those_of_oxygen_are_the_recipes_own(tmp_path: Path) -> None:
    path = write_telluric_regions(tmp_path / "telluric_regions.fits")
    given, own = telluric_bands(path), telluric_bands(None)
    assert [tuple(band) for band in given] == list(REGIONS)
    assert given[:5] == own[:5]
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[1].columns.names == ["lmin", "lmax", "bgmin", "bgmax"]


def test_each_band_has_clear_air_beside_it_that_it_does_not_share() -> None:
    for low, high, before, after in REGIONS:
        clear = (before <= WAVE_GRID) & (after >= WAVE_GRID) & ((low > WAVE_GRID) | (high < WAVE_GRID))
        others = [band for band in REGIONS if band[0] < low]
        for other in others:  # corrected before
            clear &= (other[0] > WAVE_GRID) | (other[1] < WAVE_GRID)
        assert clear.any()
        assert np.median(molecular_depth(WAVE_GRID)[clear]) < 0.01


def test_nothing_of_the_water_is_left_in_the_response(tmp_path: Path) -> None:
    # a flat response behind the air, at the resolution of the instrument
    wave = np.arange(8500.0, 9350.0, 1.25)
    smooth = np.convolve(np.exp(-molecular_depth(WAVE_GRID)), np.ones(11) / 11, mode="same")
    none = np.zeros(wave.size)
    seen = 2.5 * np.log10(np.interp(wave, WAVE_GRID, smooth))
    curve = Sensitivity(wave, seen, none + 1e-3, none.astype(np.int64), none * np.nan)
    left = {}
    for name, path in (("own", None), ("built", write_telluric_regions(tmp_path / "telluric_regions.fits"))):
        bands = telluric_bands(path)
        found = correct_bands(flag_bands(curve, bands), bands, 1.0)
        left[name] = np.interp([9000.0, 9300.0], found.wave, found.values)
    assert np.abs(left["built"]).max() < 0.01
    assert left["own"][1] < -0.2
