"""muse_twilight with frames and calibrations that are damaged, incomplete or do not fit each other."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.errors import DISK_FULL, BadFitsError, DataError, MuseError, ParameterError, error_kind

PRODUCTS = ["DATACUBE_SKYFLAT.fits", "TWILIGHT_CUBE.fits"]
FLUX = "ESO DRS MUSE FLAT FLUX SKY"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the recipe has logged."""
    caplog.set_level(logging.WARNING, "cascade.recipe")
    logging.getLogger("cascade.recipe").propagate = True
    return caplog


def names(folder: Path) -> list[str]:
    """Files of a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def replaced(field: Any, tag: str, folder: Path, damage: Callable[[fits.HDUList], Any], number: int = 0) -> Any:
    """The set of frames with one of a tag damaged."""
    pairs = field.pairs()
    place = [k for k, (_, own) in enumerate(pairs) if own == tag][number]
    with fits.open(pairs[place][0], memmap=False) as hdus:
        damage(hdus)
        hdus.writeto(folder / "damaged.fits")
    pairs[place] = (folder / "damaged.fits", tag)
    return pairs


def test_a_frame_without_an_ifu_is_left_out_there(field: Any, tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
    def damage(hdus: fits.HDUList) -> None:
        del hdus["CHAN02"]

    extra = replaced(field, "SKYFLAT", tmp_path, damage)[0]
    result = field.run([*field.pairs(), extra], tmp_path / "run")
    assert not result.failures
    assert "damaged.fits is not used: the file has no extension CHAN02" in told.text
    header = fits.getheader(result.products[0].path)
    numbers = [sum(f"ESO QC TWILIGHT{ifu} INPUT{k} MEAN" in header for k in range(1, 9)) for ifu in field.ifus]
    assert numbers == [4, 3, 4]


@pytest.mark.parametrize(
    ("tag", "damage", "why"),
    [
        ("GEOMETRY_TABLE", lambda hdus: hdus[1].data["SubField"][48:96].fill(9), "no IFU 2"),
        ("GEOMETRY_TABLE", lambda hdus: hdus[1].data["x"][48:96].fill(np.nan), "no place of slice 1"),
        ("GEOMETRY_TABLE", lambda hdus: hdus[1].data["SliceCCD"][48:50].fill(3), "has not 48 slices of IFU 2"),
        ("ILLUM", lambda hdus: hdus.pop("CHAN02"), "no extension CHAN02"),
        ("ILLUM", lambda hdus: hdus["CHAN02"].data.fill(1000), "no light"),
    ],
)
def test_an_ifu_that_cannot_be_reduced_is_told_and_the_others_make_a_cube(
    field: Any, tmp_path: Path, tag: str, damage: Callable[[fits.HDUList], Any], why: str
) -> None:
    result = field.run(replaced(field, tag, tmp_path, damage), tmp_path / "run")
    (failure,) = result.failures
    assert failure.part.number == 2
    assert why in failure.message
    assert "damaged.fits" in failure.message
    assert names(tmp_path / "run") == PRODUCTS
    header = fits.getheader(result.products[1].path)
    assert [f"{FLUX}{ifu}" in header for ifu in field.ifus] == [True, False, True]


def test_pixels_without_a_number_do_not_change_the_flux(field: Any, tmp_path: Path) -> None:
    def damage(hdus: fits.HDUList) -> None:
        hdus["DATA"].data[100:104, 200:204] = np.nan

    plain = field.run(field.pairs(), tmp_path / "plain")
    holes = field.run(replaced(field, "MASTER_FLAT", tmp_path, damage, 1), tmp_path / "holes")
    fluxes = [fits.getheader(run.products[1].path)[f"{FLUX}2"] for run in (plain, holes)]
    assert fluxes[1] == pytest.approx(fluxes[0], rel=1e-5)


def test_wavelengths_that_no_pixel_has_are_told(field: Any, tmp_path: Path) -> None:
    result = field.run(field.pairs(illum=False), tmp_path, lambdamin=2000.0, lambdamax=3000.0)
    assert len(result.failures) == len(field.ifus)
    assert "no pixel has a wavelength from 2000 to 3000 Angstrom" in result.failures[0].message
    assert names(tmp_path) == []


def image(values: np.ndarray) -> Callable[[Path], Any]:
    return lambda path: fits.HDUList([fits.PrimaryHDU(values)]).writeto(path)


@pytest.mark.parametrize(
    ("write", "kind", "why"),
    [
        (image(np.zeros((30, 30), np.int16)), DataError, "masks nothing"),
        (image(np.zeros(30, np.int16)), BadFitsError, "no image of two dimensions"),
        (lambda path: path.write_bytes(b"mask"), BadFitsError, "FITS"),
    ],
)
def test_a_vignetting_mask_that_is_none_is_told(
    field: Any, tmp_path: Path, write: Callable[[Path], Any], kind: type[MuseError], why: str
) -> None:
    write(tmp_path / "mask.fits")
    with pytest.raises(kind, match=why) as error:
        field.run(field.pairs((tmp_path / "mask.fits", "VIGNETTING_MASK"), illum=False), tmp_path / "run")
    assert error.value.context["file"].endswith("mask.fits")
    assert names(tmp_path / "run") == []


def cube(values: np.ndarray, flux: bool = True) -> Callable[[Path], Any]:
    def write(path: Path) -> None:
        primary = fits.PrimaryHDU()
        if flux:
            primary.header[f"HIERARCH {FLUX}1"] = 1e6
        fits.HDUList([primary, fits.ImageHDU(values.astype(np.float32), name="DATA")]).writeto(path)

    return write


@pytest.mark.parametrize(
    ("write", "kind", "why"),
    [
        (lambda path: None, ParameterError, "MUSE_TWILIGHT_SKIP"),
        (cube(np.full((3, 20, 30), np.nan)), DataError, "no plane of the twilight sky has light"),
        (cube(np.ones((3, 3, 4))), DataError, "good pixels for a surface"),
        (cube(np.ones((20, 30))), BadFitsError, "no plain cube"),
        (cube(np.ones((3, 20, 30)), flux=False), DataError, "does not say the flux"),
    ],
)
def test_a_cube_made_before_that_is_none_is_told(
    field: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], Any],
    kind: type[MuseError],
    why: str,
) -> None:
    write(tmp_path / "skyflat.fits")
    monkeypatch.setenv("MUSE_TWILIGHT_SKIP", str(tmp_path / "skyflat.fits"))
    with pytest.raises(kind, match=why) as error:
        field.run(field.pairs(illum=False), tmp_path / "run")
    assert "skyflat.fits" in str(error.value)
    assert names(tmp_path / "run") == []


def test_a_full_disk_leaves_nothing_behind(field: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0

    def full(number: int, view: memoryview, position: int) -> None:
        nonlocal written
        written += len(view)
        if written > 4_000_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.pwrite(number, view, position)

    monkeypatch.setattr("core.fitsfile.reserved.write_at", full)
    try:
        kinds = {failure.error_type for failure in field.run(field.pairs(illum=False), tmp_path).failures}
    except MuseError as error:
        kinds = {error_kind(error)}
    assert kinds == {DISK_FULL}
    assert names(tmp_path) == []
