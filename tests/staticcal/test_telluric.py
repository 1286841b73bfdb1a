"""Telluric regions are the bands that the recipe has of its own."""

from __future__ import annotations

from pathlib import Path

from astropy.io import fits

from core.instruments.muse.facts import TELLURIC_BANDS
from core.recipes.muse.standard_response import telluric_bands
from core.staticcal.telluric import write_telluric_regions


def test_the_bands_are_read_as_they_are_without_a_file(tmp_path: Path) -> None:
    path = write_telluric_regions(tmp_path / "telluric_regions.fits")
    assert telluric_bands(path) == telluric_bands(None)
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[1].columns.names == ["lmin", "lmax", "bgmin", "bgmax"]
        assert len(hdus[1].data) == len(TELLURIC_BANDS)
