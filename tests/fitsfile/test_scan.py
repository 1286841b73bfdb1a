"""Files seen by their headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from core.fitsfile.header import Card, Header
from core.fitsfile.scan import scan_fits
from core.fitsfile.writer import FitsWriter


def test_one_value_is_found_without_the_others(tmp_path: Path) -> None:
    header = Header([Card("OBJECT", "DATAMD5 = 'of another'"), Card("DATAMD5", "0a"), Card("NUMBER", 3)])
    with FitsWriter(tmp_path / "a.fits") as writer:
        writer.primary(header)
    scan = scan_fits(tmp_path / "a.fits").hdus[0]
    assert (scan.value("DATAMD5"), scan.value("NUMBER"), scan.value("MISSING")) == ("0a", 3, None)


def test_extension_names_are_read_like_all_values(tmp_path: Path) -> None:
    path = tmp_path / "x.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 3), np.int16), name="O'B")]).writeto(path)
    assert scan_fits(path).hdus[1].extname == "O'B"
