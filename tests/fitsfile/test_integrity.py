"""The checksums of a file are looked at while it is hashed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.fitsfile.integrity import check_file

PIXELS = np.arange(3000 * 500, dtype=np.int32).reshape(500, 3000)  # of several pieces


@pytest.fixture
def summed(tmp_path: Path) -> Path:
    path = tmp_path / "a.fits"
    table = fits.BinTableHDU.from_columns([fits.Column("x", "J", array=[1, 2, 3])], name="TABLE")
    image, tiles = fits.ImageHDU(PIXELS, name="CHAN01"), fits.CompImageHDU(PIXELS[:9, :9], name="CHAN02")
    fits.HDUList([fits.PrimaryHDU(), image, table, tiles]).writeto(path, checksum=True)
    return path


def change(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert content.count(old) >= 1
    path.write_bytes(content.replace(old, new, 1))


def test_a_whole_file_agrees_with_its_checksums(summed: Path) -> None:
    found = check_file(summed)
    assert found.faults == ()
    assert found.sha256 == hashlib.sha256(summed.read_bytes()).hexdigest()


def test_one_changed_pixel_is_found_and_its_extension_named(summed: Path) -> None:
    change(summed, PIXELS[400].astype(">i4").tobytes(), PIXELS[401].astype(">i4").tobytes())
    (fault,) = check_file(summed).faults
    assert fault.startswith("DATASUM of CHAN01 is ")


def test_a_changed_header_is_told_from_changed_pixels(summed: Path) -> None:
    change(summed, b"'CHAN01  '", b"'CHAN09  '")
    told = "CHECKSUM of CHAN09 does not agree"
    assert check_file(summed).faults == (f"{told}: its header was changed, its data are whole",)
    change(summed, b"DATASUM = '", b"DATASUM?= '")  # of the primary HDU
    change(summed, b"DATASUM = '", b"DATASUM?= '")  # of the image: nothing says which of the two was changed
    assert told in check_file(summed).faults


def test_files_without_checksums_and_files_that_are_none_are_hashed_only(tmp_path: Path) -> None:
    plain, other = tmp_path / "plain.fits", tmp_path / "other.fits"
    fits.ImageHDU(PIXELS[:3]).writeto(plain)
    other.write_bytes(b"no FITS at all")
    for path in (plain, other):
        found = check_file(path)
        assert (found.sha256, found.faults) == (hashlib.sha256(path.read_bytes()).hexdigest(), ())


@pytest.mark.parametrize("value", ["", "0000000000000000", "none"])
def test_undefined_checksums_say_nothing(tmp_path: Path, value: str) -> None:
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(PIXELS[:3])
    hdu.header["DATASUM"] = value if value != "0000000000000000" else ""
    hdu.header["CHECKSUM"] = value if value != "none" else ""
    hdu.writeto(path)
    assert check_file(path).faults == ()
