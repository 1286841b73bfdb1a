"""LSF_PROFILE files of both formats, single and merged, as another pipeline may write them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError, MissingInputError
from core.fitsfile.header import Header
from core.formats.lsf import SLICE_PARAM, LsfCube, read_lsf
from core.formats.merge import merge_products
from core.formats.tables import MuseTable, write_table
from core.spectral.lsf_cube import LsfImage
from core.spectral.lsf_hermite import HermiteLsf, hermite_columns

X = np.arange(-6, 6, 0.1)
PROFILE = HermiteLsf(2.5, 1.3, (0.45, -8e-6, 6e-9), (-0.4, 0.0), (1.7, 3e-4), (-0.3, 0.0), (2.8, 3e-4))


@pytest.fixture
def write_cube(tmp_path):
    """Writes a cube of Gaussians whose width grows with the slice number; slice 5 is empty."""

    def write(name="LSF_PROFILE-07.fits", ifu=7, crpix=1.0, shape=(48, 3, 101), drop=(), **cards):
        x, wave = np.linspace(-5, 5, shape[2]), 5000.0 + 2000.0 * np.arange(shape[1])
        sigma = 1 + np.arange(shape[0])[:, None, None] / 100
        data = np.exp(-0.5 * (x / sigma) ** 2) * np.ones_like(wave)[:, None]
        data[4] = 0
        extension = fits.ImageHDU(data.astype(np.float32), name="LSF_PROFILE")
        header = extension.header
        grid = LsfCube(data, -5.0 + 0.1 * (crpix - 1), 0.1, 5000.0 + 2000.0 * (crpix - 1), 2000.0, Header())
        header.update(grid.wcs().items())
        header["CRPIX1"], header["CRPIX2"] = crpix, crpix
        header.update(cards)
        for key in drop:
            del header[key]
        primary = fits.PrimaryHDU()
        primary.header["EXTNAME"] = f"CHAN{ifu:02d}"
        fits.HDUList([primary, extension]).writeto(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def write_hermite(tmp_path):
    """Writes a table of the same profile for all slices."""

    def write(name="LSF_PROFILE-07.fits", ifu=7, **replaced):
        columns = {**hermite_columns(ifu, dict.fromkeys(range(1, 49), PROFILE)), **replaced}
        return write_table(tmp_path / name, SLICE_PARAM, MuseTable(columns), ifu, extension="SLICE_PARAM")

    return write


def gaussian(sigma):
    return np.exp(-0.5 * (X / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


@pytest.mark.parametrize("crpix", [1.0, 2.5])
def test_a_cube_is_read_with_its_coordinates(write_cube, crpix):
    profiles = read_lsf(write_cube(crpix=crpix), 7)
    assert set(profiles) == set(range(1, 49)) - {5}
    image = profiles[21]
    assert isinstance(image, LsfImage)
    assert (image.first_x, image.step_x) == pytest.approx((-5.0, 0.1))
    assert (image.first_wave, image.step_wave) == pytest.approx((5000.0, 2000.0))
    # linear interpolation of 0.1 Angstrom steps: h^2/8 of the curvature; the tails are cut at 4 sigma
    assert np.abs(image(X, 6000.0) - gaussian(1.2)).max() < 1e-3


def test_a_table_is_read_as_it_was_measured(write_hermite):
    profiles = read_lsf(write_hermite(), 7)
    assert profiles == dict.fromkeys(range(1, 49), PROFILE)


def test_merged_files_give_the_ifu_asked_for(write_cube, write_hermite, tmp_path):
    cubes = [write_cube(f"a-{ifu:02d}.fits", ifu, CRVAL2=4000.0 + ifu) for ifu in (7, 8)]
    merged = merge_products(cubes, tmp_path / "cubes.fits")
    assert {ifu: read_lsf(merged, ifu)[1].first_wave for ifu in (7, 8)} == {7: 4007.0, 8: 4008.0}
    with pytest.raises(MissingInputError, match=r"CHAN09\.LSF_PROFILE"):
        read_lsf(merged, 9)
    tables = [write_hermite(f"b-{ifu:02d}.fits", ifu, slit_width=np.full(48, ifu / 3)) for ifu in (7, 8)]
    merged = merge_products(tables, tmp_path / "tables.fits")
    assert {ifu: read_lsf(merged, ifu)[1].slit_width for ifu in (7, 8)} == {7: 7 / 3, 8: 8 / 3}
    with pytest.raises(MissingInputError):
        read_lsf(merged, 9)


def test_rows_that_are_no_profile_are_left_out(write_hermite):
    width = np.tile([0.5, 0.0, 0.0], (48, 1))
    width[2] = np.nan
    width[9] = 0.0
    assert set(read_lsf(write_hermite(lsf_width=width), 7)) == set(range(1, 49)) - {3, 10}


def test_a_file_of_another_ifu_is_refused(write_cube, write_hermite):
    with pytest.raises(MissingInputError, match="IFU 7"):
        read_lsf(write_cube(), 8)
    with pytest.raises(MissingInputError, match="IFU 8"):
        read_lsf(write_hermite("t.fits"), 8)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"shape": (24, 3, 101)}, r"\(24, 3, 101\)"),
        ({"CD1_1": -0.1}, "CD1_1"),
        ({"CRVAL2": "red"}, "CRVAL2"),
        ({"drop": ["CD2_2"]}, "CD2_2"),
    ],
)
def test_broken_cubes_are_refused_by_name(write_cube, options, says):
    with pytest.raises(BadFitsError, match=says):
        read_lsf(write_cube(**options), 7)


def test_broken_tables_are_refused_by_name(tmp_path, write_hermite):
    path = write_hermite()
    columns = hermite_columns(7, dict.fromkeys(range(1, 49), PROFILE))
    del columns["hermit4"]
    short = MuseTable(columns)
    fmt = type(SLICE_PARAM)("LSF_PROFILE", tuple(c for c in SLICE_PARAM.columns if c.name != "hermit4"))
    with pytest.raises(BadFitsError, match="hermit4"):
        read_lsf(write_table(tmp_path / "short.fits", fmt, short, 7, extension="SLICE_PARAM"), 7)
    path.write_bytes(b"no FITS")
    with pytest.raises(BadFitsError, match="not FITS"):
        read_lsf(path, 7)
