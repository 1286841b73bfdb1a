"""Files seen by their headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from core.fitsfile.scan import scan_fits


def test_extension_names_are_read_like_all_values(tmp_path: Path) -> None:
    path = tmp_path / "x.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 3), np.int16), name="O'B")]).writeto(path)
    assert scan_fits(path).hdus[1].extname == "O'B"
