"""Cubes filled by slabs and read by planes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError, DataError, ProductStoreError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.cube import CubeFile, open_cube
from core.instruments.muse.facts import Dq

Sums = Callable[[Path], list[tuple[int, int]]]
SHAPE = (24, 7, 9)


def slab(z0: int, z1: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    planes = [np.random.default_rng(z).normal(size=(2, *SHAPE[1:])).astype(np.float32) for z in range(z0, z1)]
    data, stat = (np.array([plane[k] for plane in planes]) for k in (0, 1))
    return data, stat**2, np.where(data > 2, Dq.COSMIC, 0).astype(np.int32)


def wcs() -> Header:
    cards = Header()
    for axis, (kind, step) in enumerate((("RA---TAN", -5.6e-5), ("DEC--TAN", 5.6e-5), ("AWAV", 1.25)), 1):
        cards[f"CTYPE{axis}"], cards[f"CD{axis}_{axis}"] = kind, step
    return cards


def fill(path: Path, z0: int, z1: int) -> None:
    with CubeFile.open(path) as cube:
        cube.put(z0, *slab(z0, z1))


def create(path: Path, dq: bool) -> None:
    CubeFile.create(path, SHAPE, Header(), wcs(), unit="count", dq=dq).close()


@pytest.mark.parametrize("dq", [True, False], ids=["with DQ", "without"])
def test_slabs_put_in_any_order_by_processes_make_the_cube(tmp_path: Path, dq: bool, cfitsio_sums: Sums) -> None:
    path = tmp_path / "cube.fits"
    create(path, dq)
    starts = np.random.default_rng(1).permutation(np.arange(0, SHAPE[0], 4)).tolist()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(fill, path, z0, z0 + 4) for z0 in starts]:
            future.result()
    with CubeFile.open(path) as cube:
        header = cube.header
        set_key(header, "QC.CUBE.MEDIAN", 1.5)
        cube.finish(header)
    data, stat, flags = slab(0, SHAPE[0])
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", *(("DATA", "DQ", "STAT") if dq else ("DATA", "STAT"))]
        assert hdus[0].header["ESO QC CUBE MEDIAN"] == 1.5
        assert hdus[0].header["PIPEFILE"] == "cube.fits"
        assert (hdus["DATA"].header["BUNIT"], hdus["STAT"].header["BUNIT"]) == ("count", "(count)**2")
        assert hdus["STAT"].header["CTYPE3"] == "AWAV"
        assert ("QUALDATA" in hdus["DATA"].header) == dq
        for name, values in (("DATA", data), ("STAT", stat)):
            expected = values if dq else np.where(flags == 0, values, np.nan)
            np.testing.assert_array_equal(hdus[name].data, expected)
        if dq:
            np.testing.assert_array_equal(hdus["DQ"].data, flags)
    assert cfitsio_sums(path) == [(1, 1)] * (4 if dq else 3)


def test_the_order_and_the_processes_leave_no_trace_in_the_bytes(tmp_path: Path) -> None:
    contents = []
    for order in ((0, 12), (12, 0)):
        create(tmp_path / "cube.fits", True)
        for z0 in order:
            fill(tmp_path / "cube.fits", z0, z0 + 12)
        with CubeFile.open(tmp_path / "cube.fits") as cube:
            contents.append(cube.finish().read_bytes())
    assert contents[0] == contents[1]


def test_planes_without_flags_are_bad_where_they_are_nan(tmp_path: Path) -> None:
    create(tmp_path / "cube.fits", True)
    data, stat, _ = slab(0, SHAPE[0])
    data[3, 2, 1] = np.nan
    with CubeFile.open(tmp_path / "cube.fits") as cube:
        cube.put(0, data, stat)
        cube.finish()
    _, _, flags = open_cube(tmp_path / "cube.fits").read(0, SHAPE[0])
    assert flags is not None
    assert np.argwhere(flags).tolist() == [[3, 2, 1]]
    assert flags[3, 2, 1] == Dq.MISSING


def test_planes_that_were_never_put_are_named(tmp_path: Path) -> None:
    create(tmp_path / "cube.fits", False)
    fill(tmp_path / "cube.fits", 2, 20)
    with CubeFile.open(tmp_path / "cube.fits") as cube:
        with pytest.raises(ProductStoreError, match="never written: plane 0-1, 20-23"):
            cube.finish()
        assert cube.missing() == [0, 1, 20, 21, 22, 23]
    assert not (tmp_path / "cube.fits").exists()


def test_images_of_filters_follow(tmp_path: Path) -> None:
    create(tmp_path / "cube.fits", False)
    fill(tmp_path / "cube.fits", 0, SHAPE[0])
    white = Header()
    white["EXTNAME"] = "white"
    with CubeFile.open(tmp_path / "cube.fits") as cube:
        cube.finish(images=[(white, np.ones(SHAPE[1:], np.float32))])
    with fits.open(tmp_path / "cube.fits", checksum=True) as hdus:
        assert hdus[3].header["EXTNAME"] == "white"
        assert hdus[3].data.shape == SHAPE[1:]


def test_planes_are_read_alone(tmp_path: Path) -> None:
    create(tmp_path / "cube.fits", False)
    fill(tmp_path / "cube.fits", 0, SHAPE[0])
    with CubeFile.open(tmp_path / "cube.fits") as cube:
        cube.finish()
    planes = open_cube(tmp_path / "cube.fits")
    assert (planes.shape, planes.unit, planes.header["CTYPE3"]) == (SHAPE, "count", "AWAV")
    data, stat, dq = planes.read(5, 8)
    expected, variance, flags = slab(5, 8)
    np.testing.assert_array_equal(data, np.where(flags == 0, expected, np.nan))
    np.testing.assert_array_equal(stat, np.where(flags == 0, variance, np.nan))
    assert dq is None
    with pytest.raises(DataError, match="planes 20 to 25 do not lie"):
        planes.read(20, 25)


def test_what_is_no_cube_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.fits"
    flat = fits.ImageHDU(np.zeros((3, 3), np.float32), name="DATA")
    fits.HDUList([fits.PrimaryHDU(), flat]).writeto(path)
    with pytest.raises(BadFitsError, match="extension STAT is missing"):
        open_cube(path)
    fits.HDUList([fits.PrimaryHDU(), flat, fits.ImageHDU(flat.data, name="STAT")]).writeto(path, overwrite=True)
    with pytest.raises(BadFitsError, match="DATA is no plain cube"):
        open_cube(path)


@pytest.mark.parametrize(
    ("z0", "shape", "dtype"),
    [(23, (2, 7, 9), np.float32), (-1, (1, 7, 9), np.float32), (0, (1, 7, 8), np.float32), (0, (1, 7, 9), np.float64)],
)
def test_slabs_that_do_not_fit_are_refused(tmp_path: Path, z0: int, shape: tuple[int, ...], dtype: type) -> None:
    create(tmp_path / "cube.fits", False)
    with CubeFile.open(tmp_path / "cube.fits") as cube, pytest.raises(DataError):
        cube.put(z0, np.zeros(shape, dtype), np.zeros(shape, dtype))
