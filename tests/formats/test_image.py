"""Product images are read back bit for bit, by us and by astropy; DQ and STAT may be missing (MUSE manual, A.3.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import (
    BadFitsError,
    MissingInputError,
)
from core.fitsfile.header import Header
from core.formats.image import MuseImage, open_image, read_image, write_image
from core.formats.merge import merge_products
from core.instruments.muse.facts import Dq


def test_product_images_round_trip(tmp_path: Path, make_image: Callable[[int], MuseImage]) -> None:
    image = make_image(7)
    path = write_image(tmp_path / "MASTER_BIAS-07.fits", image, 7)
    back = read_image(path, 7)
    np.testing.assert_array_equal(back.data, image.data)
    np.testing.assert_array_equal(back.dq, image.dq)
    np.testing.assert_array_equal(back.stat, image.stat)
    assert back.unit == "adu"
    data, dq, stat = open_image(path, 7).rows(10, 13)
    np.testing.assert_array_equal(data, image.data[10:13])
    np.testing.assert_array_equal(dq, image.dq[10:13])
    np.testing.assert_array_equal(stat, image.stat[10:13])
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["CHAN07", "DATA", "DQ", "STAT"]
        assert hdus["STAT"].header["BUNIT"] == "(adu)**2"
        assert hdus["DQ"].header["QUALMASK"] == 4294967295
        assert hdus[0].header["ESO QC BIAS MASTER1 RON"] == 2.456789  # 7 significant digits


def test_datamd5_is_the_md5_of_the_padded_data_units(tmp_path: Path, make_image: Callable[[int], MuseImage]) -> None:
    path = write_image(tmp_path / "X-01.fits", make_image(1), 1)
    raw = path.read_bytes()
    digest = hashlib.md5(usedforsecurity=False)
    with fits.open(path) as hdus:
        for hdu in hdus[1:]:
            info = hdu.fileinfo()
            digest.update(raw[info["datLoc"] : info["datLoc"] + info["datSpan"]])
        assert hdus[0].header["DATAMD5"] == digest.hexdigest()


def test_an_image_of_another_ifu_is_refused(tmp_path: Path, make_image: Callable[[int], MuseImage]) -> None:
    path = write_image(tmp_path / "X-01.fits", make_image(1), 1)
    with pytest.raises(MissingInputError, match="of IFU 1, not 2"):
        read_image(path, 2)


def compressed_copy(path: Path, target: Path) -> Path:
    with fits.open(path) as hdus:
        packed = [fits.PrimaryHDU(header=hdus[0].header)]
        for hdu in hdus[1:]:
            options = {"compression_type": "RICE_1"} if hdu.data.dtype.kind == "i" else {"compression_type": "GZIP_2"}
            packed.append(fits.CompImageHDU(hdu.data, header=hdu.header, quantize_level=0, **options))
        fits.HDUList(packed).writeto(target)
    return target


def test_compressed_products_are_read_like_plain_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    shape = (600, 70)
    image = MuseImage(
        rng.normal(0, 3, shape).astype(np.float32),
        rng.integers(-(2**31), 2**31, shape).astype(np.int32),
        rng.random(shape).astype(np.float32),
        Header(),
        "adu",
    )
    plain = write_image(tmp_path / "plain.fits", image, 5)
    opened = open_image(compressed_copy(plain, tmp_path / "packed.fits.fz"), 5)
    assert opened.unit == "adu"
    for y0, y1 in ((0, 600), (3, 4), (590, 600), (10, 300)):
        data, dq, stat = opened.rows(y0, y1)
        np.testing.assert_array_equal(data, image.data[y0:y1])
        np.testing.assert_array_equal(dq, image.dq[y0:y1])
        np.testing.assert_array_equal(stat, image.stat[y0:y1])
        assert data.dtype == np.float32
        assert dq.dtype == np.int32
        assert data.dtype.isnative
    merged = merge_products([plain, write_image(tmp_path / "other.fits", image, 6)], tmp_path / "m.fits")
    twice = read_image(compressed_copy(merged, tmp_path / "m.fits.fz"), 6)
    np.testing.assert_array_equal(twice.data, image.data)


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
