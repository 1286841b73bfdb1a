"""Widths of the sources of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.tools.image_fwhm import measure

STARS = (
    (500, 20.3, 25.6, 1.5, 1.5),
    (300, 50, 30, 2.0, 1.2),
    (200, 70, 50, 1.8, 1.8),
    (400, 1.5, 40, 1.5, 1.5),
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image that the reference pipeline was measured with."""
    y, x = np.mgrid[1:61, 1:81]
    data = 10 + 0.01 * ((7 * x + 13 * y) % 11 - 5)
    for height, x0, y0, sx, sy in STARS:
        data = data + height * np.exp(-(((x - x0) / sx) ** 2) / 2 - ((y - y0) / sy) ** 2 / 2)
    data[5, 5] = np.nan
    cards = [("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CRVAL1", 10.0), ("CRVAL2", -30.0), ("CRPIX1", 1.0)]
    cards += [("CRPIX2", 1.0), ("CD1_1", -0.2 / 3600), ("CD2_2", 0.2 / 3600)]
    hdu = fits.ImageHDU(data.astype(np.float32), fits.Header(cards), name="DATA")
    fits.HDUList([fits.PrimaryHDU(), hdu, fits.ImageHDU(np.ones((9, 9)), name="FLAT")]).writeto(tmp_path / "i.fits")
    return tmp_path / "i.fits"


def numbers(text: str) -> list[list[float]]:
    return [[float(word) for word in line.split()] for line in text.splitlines() if not line.startswith("#")]


def test_widths_are_those_of_the_reference_pipeline(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure([str(image)]) == 0
    streams = capsys.readouterr()
    first, second = numbers(streams.out)
    assert first[1:] == [20.355, 25.612, 0.73, 0.74, 0.71, 0.71]
    assert second[1:3] == pytest.approx([50, 30], abs=0.002)
    assert second[3:] == [0.95, 0.58, 0.94, 0.57]
    assert "3 sources above 50 sigma" in streams.out
    assert "# direct FWHM of 2 sources: 0.749 +/- 0.024 (median 0.749) arcsec" in streams.out
    assert "# Gaussian FWHM of 2 sources: 0.730 +/- 0.033 (median 0.730) arcsec" in streams.out
    assert streams.err.startswith("#bad")
    assert "too close to the edge" in streams.err


def test_a_lower_threshold_finds_fainter_sources(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(["-s", "5", "-n", "DATA", str(image)]) == 0
    found = numbers(capsys.readouterr().out)
    assert len(found) == 3
    assert found[-1][1:3] == pytest.approx([70, 50], abs=0.01)
    assert found[-1][3:] == [0.85, 0.85, 0.85, 0.85]


def test_without_coordinates_pixels_are_those_of_the_mode(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fits.open(image, mode="update") as hdus:
        del hdus["DATA"].header["CD1_1"]
        hdus[0].header["HIERARCH ESO INS MODE"] = "NFM-AO-N"
    assert measure(["-x", "1", str(image)]) == 0
    streams = capsys.readouterr()
    assert "# pixels of 0.02519 x 0.02542 arcsec" in streams.out
    assert numbers(streams.out)[0][5:] == [0.09, 0.09]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 1, "Usage: muse_image_fwhm"),
        (["i.fits", "-s"], 2, "-s needs a value"),
        (["-s", "0", "i.fits"], 3, "above 0"),
        (["i.fits", "-x"], 4, "-x needs a value"),
        (["-x", "one", "i.fits"], 5, "whole number"),
        (["i.fits", "-n"], 6, "-n needs a value"),
        (["-x", "1", "-n", "DATA", "i.fits"], 7, "not both"),
        (["-z", "i.fits"], 9, "unknown option -z"),
        (["no.fits"], 10, "no.fits cannot be read"),
        (["-n", "NO", "i.fits"], 11, "no such image"),
        (["-x", "0", "i.fits"], 11, "no such image"),
        (["-n", "FLAT", "i.fits"], 20, "no source above 5 sigma"),
    ],
)
def test_exit_codes(words: list[str], code: int, told: str, image: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(image.parent)
    assert measure(words) == code
    assert told in capsys.readouterr().err
