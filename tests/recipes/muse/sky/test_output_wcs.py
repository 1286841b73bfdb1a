"""The grid that a user wants is taken, or it is said why not."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.cubes.wcs import OutputWcs, WaveAxis
from core.recipes.muse.output_wcs import read_output_wcs

LOG = logging.getLogger(__name__)
AXES = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": -30.0, "CRPIX1": 10.0, "CRPIX2": 11.0,
    "CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5e-5,
}  # fmt: skip
WAVES = {"CTYPE3": "AWAV", "CRVAL3": 4750.0, "CRPIX3": 1.0, "CD3_3": 1.25}


def read(tmp_path: Path, cards: dict[str, Any], shape: tuple[int, ...] = (3, 20, 30)) -> OutputWcs | None:
    hdu = fits.ImageHDU(np.zeros(shape, np.float32))
    hdu.header.update(cards)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "wcs.fits")
    return read_output_wcs(tmp_path / "wcs.fits", LOG)


def test_a_cube_gives_its_grid(tmp_path: Path) -> None:
    found = read(tmp_path, AXES | WAVES)
    assert found == OutputWcs(
        (30, 20, 3), (150.0, -30.0), (10.0, 11.0), ((-5e-5, 0.0), (0.0, 5e-5)), WaveAxis(4750.0, 1.0, 1.25)
    )


@pytest.mark.parametrize(
    ("kind", "log", "vacuum"), [("AWAV-LOG", True, False), ("WAVE", False, True), ("WAVE-LOG", True, True)]
)
def test_axes_of_wavelength(tmp_path: Path, kind: str, log: bool, vacuum: bool) -> None:
    found = read(tmp_path, AXES | WAVES | {"CTYPE3": kind})
    assert found is not None
    assert found.wave == WaveAxis(4750.0, 1.0, 1.25, log=log, vacuum=vacuum)


@pytest.mark.parametrize(("unit", "size"), [("nm", 10.0), ("m", 1e10), ("um", 1e4), ("angstrom", 1.0)])
def test_wavelengths_come_in_several_units(tmp_path: Path, unit: str, size: float) -> None:
    found = read(tmp_path, AXES | WAVES | {"CUNIT3": unit, "CRVAL3": 4750.0 / size, "CD3_3": 1.25 / size})
    assert found is not None
    assert found.wave is not None
    assert (found.wave.crval, found.wave.cd) == pytest.approx((4750.0, 1.25))


def test_steps_may_be_told_without_a_matrix(tmp_path: Path) -> None:
    steps = {"CDELT1": -5e-5, "CDELT2": 5e-5, "CDELT3": 1.25}
    cards = {key: value for key, value in (AXES | WAVES).items() if not key.startswith("CD")}
    found = read(tmp_path, cards | steps)
    assert found is not None
    assert (found.cd, found.wave) == (((-5e-5, 0.0), (0.0, 5e-5)), WaveAxis(4750.0, 1.0, 1.25))


def test_an_image_leaves_the_wavelengths_to_the_data(tmp_path: Path) -> None:
    found = read(tmp_path, AXES, (20, 30))
    assert found is not None
    assert (found.wave, found.naxis) == (None, (30, 20, 0))


@pytest.mark.parametrize(
    ("cards", "word"),
    [
        (WAVES, "RA---TAN"),
        (AXES | WAVES | {"PC1_1": 1.0}, "PC1_1"),
        (AXES | WAVES | {"CD3_1": 0.1}, "CD3_1"),
        (AXES | WAVES | {"CTYPE3": "FREQ"}, "FREQ"),
        (AXES | WAVES | {"CUNIT3": "Hz"}, "Hz"),
        ({key: value for key, value in AXES.items() if key != "CRVAL2"}, "CRVAL2"),
    ],
)
def test_what_is_not_taken_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, cards: dict[str, Any], word: str
) -> None:
    assert read(tmp_path, cards) is None
    assert word in caplog.text
