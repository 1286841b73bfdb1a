"""Images that lack DQ or STAT (MUSE manual, A.3.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError
from core.formats.image import open_image, read_image
from core.instruments.muse.facts import Dq

DATA = np.array([[1, np.nan, 3], [4, 5, 6]], np.float32)


def write(path: Path, **parts: np.ndarray) -> Path:
    hdus = [fits.ImageHDU(array, name=name) for name, array in parts.items()]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def test_without_dq_nan_is_bad_and_without_stat_no_error_is_known(tmp_path: Path) -> None:
    image = read_image(write(tmp_path / "image.fits", DATA=DATA), 1)
    np.testing.assert_array_equal(image.data, DATA)
    np.testing.assert_array_equal(image.dq, [[0, Dq.MISSING, 0], [0, 0, 0]])
    np.testing.assert_array_equal(image.stat, np.zeros_like(DATA))
    assert (image.dq.dtype, image.stat.dtype) == (np.int32, np.float32)


def test_rows_of_what_is_not_there_can_be_read_by_themselves(tmp_path: Path) -> None:
    rows = open_image(write(tmp_path / "image.fits", DATA=DATA, STAT=2 * DATA), 1)
    np.testing.assert_array_equal(rows.read_part("DQ", 1, 2), [[0, 0, 0]])
    np.testing.assert_array_equal(rows.read_part("DQ"), [[0, Dq.MISSING, 0], [0, 0, 0]])
    np.testing.assert_array_equal(rows.read_part("STAT", 1), [[8, 10, 12]])


def test_an_image_needs_data(tmp_path: Path) -> None:
    path = write(tmp_path / "image.fits", DATA=np.zeros(3, np.float32), STAT=DATA)
    with pytest.raises(BadFitsError, match="extension DATA is missing or no image"):
        open_image(path, 1)
