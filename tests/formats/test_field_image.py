"""Images of the field are read with their coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from core.errors import BadFitsError, DataError
from core.formats.field_image import read_field_image

AXES = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 0.001, "CRVAL2": -60.0, "CRPIX1": 3.0, "CRPIX2": 4.0,
    "CD1_1": -5e-5, "CD1_2": 1e-6, "CD2_1": 2e-6, "CD2_2": 5e-5,
}  # fmt: skip


def write(path: Path, *hdus: fits.ImageHDU, primary: fits.PrimaryHDU | None = None) -> Path:
    fits.HDUList([primary or fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def image(name: str = "DATA", dtype: type = np.float32) -> fits.ImageHDU:
    hdu = fits.ImageHDU(np.arange(30).reshape(5, 6).astype(dtype), name=name)
    hdu.header.update(AXES)
    return hdu


def test_pixels_have_their_place_on_the_sky(tmp_path: Path) -> None:
    found = read_field_image(write(tmp_path / "a.fits", image()))
    y, x = np.mgrid[1:6, 1:7]
    expected = WCS(fits.Header(AXES)).all_pix2world(x, y, 1)
    np.testing.assert_allclose(found.sky(x, y), expected, atol=1e-10)
    np.testing.assert_array_equal(found.data, np.arange(30).reshape(5, 6))


def test_flagged_pixels_have_no_value(tmp_path: Path) -> None:
    flags = fits.ImageHDU((np.arange(30).reshape(5, 6) == 7).astype(np.int32), name="DQ")
    found = read_field_image(write(tmp_path / "a.fits", image(), flags))
    assert np.flatnonzero(np.isnan(found.data)).tolist() == [7]


def test_an_image_may_be_in_the_primary_hdu(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(np.ones((5, 6), np.int16))
    hdu.header.update({**AXES, "CTYPE1": "PIXEL", "CTYPE2": "PIXEL"})
    found = read_field_image(write(tmp_path / "a.fits", primary=hdu))
    assert found.data.shape == (5, 6)
    with pytest.raises(DataError, match="celestial"):
        found.sky([1], [1])


def test_what_is_no_image_of_the_field_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadFitsError, match="no image"):
        read_field_image(write(tmp_path / "a.fits"))
    bare = fits.ImageHDU(np.ones((5, 6), np.float32), name="DATA")
    with pytest.raises(BadFitsError, match="world coordinates"):
        read_field_image(write(tmp_path / "b.fits", bare))
    whole = write(tmp_path / "c.fits", image()).read_bytes()
    (tmp_path / "d.fits").write_bytes(whole[: 2880 + 2880 + 40])
    with pytest.raises(BadFitsError, match="cut"):
        read_field_image(tmp_path / "d.fits")
