"""Small pictures of large images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from core.errors import BadFitsError, MissingInputError
from core.previews.preview import encode_png, grey_levels, make_preview


def pixels_of(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode) == ("PNG", "L")
    return np.asarray(image)


def write(path: Path, data: np.ndarray, **keywords: object) -> Path:
    hdu = fits.ImageHDU(data, name="DATA")
    hdu.header.update(keywords)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


def test_a_png_holds_the_pixels() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(pixels_of(encode_png(grey)), grey)


def test_blocks_of_pixels_are_averaged_and_the_first_row_is_at_the_bottom(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    data = rng.normal(100.0, 5.0, (50, 70)).astype(np.float32)
    data[0, :] += 400.0
    data[3, 4] = np.nan
    preview = make_preview(write(tmp_path / "a.fits", data), "DATA", "minmax", size=14)
    assert preview.factor == 5
    mean = np.nanmean(data.astype(np.float64).reshape(10, 5, 14, 5), axis=(1, 3))
    assert (preview.low, preview.high) == pytest.approx((mean.min(), mean.max()))
    expected = (mean - mean.min()) * 255 / (mean.max() - mean.min())
    # eight bits, cut to whole numbers
    np.testing.assert_allclose(pixels_of(preview.png)[::-1], np.floor(expected), atol=1)


def test_unsigned_integers_are_scaled(tmp_path: Path) -> None:
    data = np.full((8, 8), 40000, np.uint16)
    data[4:] = 60000
    preview = make_preview(write(tmp_path / "u.fits", data), "DATA", "minmax")
    assert (preview.low, preview.high) == (40000.0, 60000.0)


def test_zscale_cuts_cosmics_off_and_keeps_the_noise() -> None:
    rng = np.random.default_rng(7)
    image = rng.normal(1000.0, 10.0, (200, 200))
    image[rng.integers(0, 200, 300), rng.integers(0, 200, 300)] = 60000.0  # cosmics
    low, high = grey_levels(image, "zscale")
    # Black is the lowest of the sample, white where four times the slope of sorted noise of sigma 10 leads to: some 6
    # sigma from the middle, which the cosmics do not move.
    assert 955.0 < low < 975.0
    assert 1045.0 < high < 1075.0


def test_pixels_that_are_no_numbers_do_not_count() -> None:
    image = np.array([[np.nan, 1.0], [np.inf, 3.0]])
    assert grey_levels(image, "minmax") == (1.0, 3.0)
    assert grey_levels(np.full((2, 2), np.nan), "zscale") == (0.0, 1.0)


def test_a_constant_image_has_different_levels() -> None:
    low, high = grey_levels(np.full((5, 5), 3.0), "zscale")
    assert low < high


def test_raw_frames_have_previews_plain_and_compressed(tmp_path: Path, raw_bytes: object) -> None:
    path = tmp_path / "raw.fits"
    path.write_bytes(raw_bytes(ifus=(3,)))  # type: ignore[operator]
    assert pixels_of(make_preview(path, "CHAN03", "zscale").png).shape == (24, 24)
    rng = np.random.default_rng(1)
    image = rng.integers(0, 60000, (40, 40)).astype(np.uint16)
    packed = fits.CompImageHDU(image, name="CHAN04", compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "raw.fits.fz")
    preview = make_preview(tmp_path / "raw.fits.fz", "CHAN04", "minmax")
    assert (preview.low, preview.high) == (image.min(), image.max())


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", np.zeros((10, 10), np.float32))
    with pytest.raises(MissingInputError, match="no image STAT"):
        make_preview(path, "STAT", "zscale")
    cut = tmp_path / "cut.fits"
    cut.write_bytes(path.read_bytes()[: 2 * 2880 + 100])
    with pytest.raises(BadFitsError):
        make_preview(cut, "DATA", "zscale")
