"""Pixels become a cube on disk, in bounded memory; and the cubes of the reference pipeline."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.cubes.collapse import WHITE
from core.cubes.resample import resample
from core.cubes.weights import Resampling
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.cube import open_cube
from core.formats.pixtable import write_pixtable
from core.formats.pixtable_header import PixtableLimits, pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import open_pixtable
from core.recipes.muse.cubes import (
    CubeOptions,
    Slab,
    cube_grid,
    cube_header,
    cube_slabs,
    discard_cube,
    position_angle,
    write_cube,
)
from core.recipes.muse.pixel_source import PixelSource, source_of_columns, source_of_table

PIXEL = 0.2 / 3600
CENTRE = (10.684, 41.27)
Save = Callable[..., Path]


def rows(n: int = 6000) -> dict[str, np.ndarray]:
    """A field of 20 x 15 pixels, 20 Angstrom, with cosmic rays and bad pixels."""
    rng = np.random.default_rng(4)
    wave = rng.uniform(5000, 5020, n)
    data = rng.normal(50, 5, n) + 3000 * (rng.uniform(size=n) < 0.01)
    found = {
        "xpos": rng.uniform(-10, 9.4, n),
        "ypos": rng.uniform(-7, 7.4, n),
        "lambda": wave,
        "data": data,
        "dq": np.where(rng.uniform(size=n) < 0.03, 256, 0),
        "stat": rng.uniform(20, 30, n),
        "origin": np.full(n, (20 << 24) | (10 << 11) | (1 << 6) | 1),
    }
    return {name: values.astype(np.int32 if name in ("dq", "origin") else np.float32) for name, values in found.items()}


def header(sky: bool = False, angle: float = 0.0) -> Header:
    cards = Header()
    for key, value in {
        "INSTRUME": "MUSE", "OBJECT": "a field", "RA": CENTRE[0], "DEC": CENTRE[1], "MJD-OBS": 61345.04,
        "DATE-OBS": "2026-11-01T01:00:00.000", "EXPTIME": 100.0,
    }.items():  # fmt: skip
        cards[key] = value
    for key, value in {
        "INS.MODE": "WFM-NOAO-N", "INS.DROT.POSANG": angle, "INS.DROT.MODE": "SKY", "PRO.CATG": "PIXTABLE_OBJECT",
        f"{PREFIX}.TYPE": "GEOFULL", f"{PREFIX}.FFCORR": 24,
    }.items():  # fmt: skip
        set_key(cards, key, value)
    if sky:
        cosine, sine = PIXEL * np.cos(np.radians(angle)), PIXEL * np.sin(np.radians(angle))
        for key, value in {
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CRVAL1": CENTRE[0],
            "CRVAL2": CENTRE[1], "CRPIX1": 0.0, "CRPIX2": 0.0, "CD1_1": -cosine, "CD1_2": sine, "CD2_1": sine,
            "CD2_2": cosine,
        }.items():  # fmt: skip
            cards[key] = float(value) if isinstance(value, np.floating) else value
        set_key(cards, f"{PREFIX}.WCS", "positioned (final)")
    return cards


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write the rows to disk, in pixels or turned by an angle on the sky."""

    def write(sky: bool = False, angle: float = 0.0) -> Path:
        columns, cards = rows(), header(sky, angle)
        if sky:
            turn = np.radians(angle)
            x, y = columns["xpos"] * PIXEL, columns["ypos"] * PIXEL
            east, north = -x * np.cos(turn) + y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
            columns |= {
                "xpos": (east / np.cos(np.radians(CENTRE[1]))).astype(np.float32),
                "ypos": north.astype(np.float32),
            }
        PixtableLimits.of(columns).write(cards, CENTRE if sky else (0.0, 0.0))
        path = tmp_path / f"PIXTABLE_{sky}_{angle}.fits"
        return write_pixtable(path, cards, columns, units=pixtable_units("deg" if sky else "pix"))

    return write


def test_a_cube_is_written_with_its_images(tmp_path: Path, save: Save) -> None:
    source = source_of_table(open_pixtable(save()))
    cube = write_cube(tmp_path / "DATACUBE_FINAL.fits", source, CubeOptions(), filters=[WHITE])
    assert not (tmp_path / "DATACUBE_FINAL.fits").exists()
    assert cube.finish(cube.header) == tmp_path / "DATACUBE_FINAL.fits"
    with fits.open(tmp_path / "DATACUBE_FINAL.fits", checksum=True) as hdus:  # a wrong sum warns
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "DATA", "STAT", "white"]
        data = hdus["DATA"]
        assert (data.header["OBJECT"], hdus["WHITE"].header["OBJECT"]) == ("a field (DATA)", "a field (white)")
        assert (data.header["CTYPE1"], data.header["CTYPE3"], data.header["CD3_3"]) == ("PIXEL", "AWAV", 1.25)
        assert (data.header["BUNIT"], hdus["STAT"].header["BUNIT"]) == ("count", "(count)**2")
        assert hdus["WHITE"].header["ESO DRS MUSE FILTER NAME"] == "white"
        np.testing.assert_allclose(hdus["white"].data, np.nanmean(data.data, axis=0), rtol=1e-5)
        assert hdus[0].header["ESO DRS MUSE FLUX FFCORR"] is True
        assert not [key for key in hdus[0].header if "PIXTABLE" in key or key.startswith(("CTYPE", "CD1"))]
    grid = cube_grid(source, CubeOptions())
    assert open_cube(tmp_path / "DATACUBE_FINAL.fits").shape == grid.shape == (17, 15, 20)


def test_a_cube_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    source = source_of_columns(rows(), header())
    write_cube(tmp_path / "DATACUBE_FINAL.fits", source, CubeOptions()).discard()
    assert list(tmp_path.iterdir()) == []


def test_a_cube_that_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def stop(slab: Slab) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        write_cube(tmp_path / "DATACUBE_FINAL.fits", source_of_columns(rows(), header()), CubeOptions(), each=stop)
    assert list(tmp_path.iterdir()) == []
    discard_cube(tmp_path / "DATACUBE_FINAL.fits")  # there is none


@pytest.mark.parametrize("sky", [False, True])
def test_memory_changes_no_bit(save: Save, sky: bool) -> None:
    source = source_of_table(open_pixtable(save(sky, 20.0 * sky)))
    asked: list[int] = []

    def counted(wave: tuple[float, float], y: tuple[float, float]) -> object:
        columns = source.read(wave, y)
        asked.append(columns["xpos"].size)
        return columns

    watched = replace(source, read=counted)
    grid = cube_grid(source, CubeOptions())
    whole = resample(source.read(source.wave, source.y), grid, source.positions).data
    plain = CubeOptions(crsigma=0.0)
    # The second makes slabs of planes; the third, bands too.
    for max_bytes, slabs in ((1 << 30, 1), (300_000, 3), (2_000, 17)):
        asked.clear()
        found = list(cube_slabs(watched, grid, replace(plain, max_bytes=max_bytes)))
        assert len(found) >= slabs
        np.testing.assert_array_equal(np.concatenate([slab.data for slab in found]), whole)
    rejected = [
        np.concatenate([slab.data for slab in cube_slabs(watched, grid, CubeOptions(max_bytes=max_bytes))])
        for max_bytes in (1 << 30, 300_000)
    ]
    np.testing.assert_array_equal(rejected[0], rejected[1])
    assert np.nanmax(rejected[0]) < np.nanmax(whole)


def test_pixels_are_read_a_slab_at_a_time(save: Save) -> None:
    source = source_of_table(open_pixtable(save()))
    grid = cube_grid(source, CubeOptions())
    sizes = []

    def counted(wave: tuple[float, float], y: tuple[float, float]) -> object:
        columns = source.read(wave, y)
        sizes.append(columns["xpos"].size)
        return columns

    list(cube_slabs(replace(source, read=counted), grid, CubeOptions(crsigma=0.0, max_bytes=300_000)))
    assert max(sizes) < 0.6 * source.n_rows


def test_a_part_of_the_planes_is_that_of_the_cube(save: Save) -> None:
    source = source_of_table(open_pixtable(save()))
    grid = cube_grid(source, CubeOptions())
    whole = np.concatenate([slab.stat for slab in cube_slabs(source, grid, CubeOptions())])
    parts = list(cube_slabs(source, grid, CubeOptions(max_bytes=300_000), planes=range(3, 11)))
    assert parts[0].z0 == 3
    np.testing.assert_array_equal(np.concatenate([slab.stat for slab in parts]), whole[3:11])


def test_the_sampling_is_that_of_the_mode(save: Save) -> None:
    source = source_of_table(open_pixtable(save(sky=True)))
    assert cube_grid(source, CubeOptions()).spatial.scales == pytest.approx((PIXEL, PIXEL))
    assert cube_grid(source, CubeOptions(dx=0.4, dlambda=2.0)).spatial.scales == pytest.approx((2 * PIXEL, PIXEL))
    narrow = header(sky=True)
    set_key(narrow, "INS.MODE", "NFM-AO-N")
    scales = cube_grid(replace(source, header=narrow), CubeOptions()).spatial.scales
    assert np.array(scales) * 3600 == pytest.approx((0.02519, 0.02542))


def test_angles_count_the_other_way_where_the_rotator_follows_the_sky() -> None:
    cards = header(angle=30.0)
    assert position_angle(cards) == -30
    set_key(cards, "INS.DROT.MODE", "STAT")
    assert position_angle(cards) == 30
    assert position_angle(Header()) == 0


def test_a_cube_of_uncorrected_pixels_does_not_claim_the_correction() -> None:
    assert "ESO DRS MUSE FLUX FFCORR" not in cube_header(Header())


def made_by_reference(pixtable: Path, folder: Path, **options: object) -> Path:
    folder.mkdir()
    (folder / "in.sof").write_text(f"{pixtable} PIXTABLE_OBJECT\n")
    settings = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        ["esorex", "--log-dir=.", "muse_scipost_make_cube", "--format=xCube", *settings, "in.sof"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return folder / "DATACUBE_FINAL.fits"


@pytest.mark.esorex
@pytest.mark.skipif(shutil.which("esorex") is None, reason="esorex is not installed")
@pytest.mark.parametrize(
    ("sky", "angle", "options"),
    [
        (False, 0.0, CubeOptions()),
        (False, 0.0, CubeOptions(Resampling("nearest"), crtype="mean", crsigma=4.0)),
        (True, 0.0, CubeOptions(Resampling("linear"), crtype="iraf", crsigma=20.0)),
        (True, 30.0, CubeOptions(crsigma=5.0)),
        (True, 90.0, CubeOptions(Resampling("quadratic"), dx=0.3, dlambda=2.0)),
        (True, 30.0, CubeOptions(Resampling("renka", radius=0.9), crsigma=0.0)),
        (True, 0.0, CubeOptions(Resampling("lanczos", reach=3))),
        (True, 0.0, CubeOptions(Resampling(pixfrac=(0.5, 0.6, 0.7)))),
    ],
    ids=lambda value: value.resampling.method if isinstance(value, CubeOptions) else str(value),
)
def test_the_reference_makes_the_same_cube(
    tmp_path: Path, save: Save, sky: bool, angle: float, options: CubeOptions
) -> None:
    pixtable = save(sky, angle)
    theirs = made_by_reference(
        pixtable,
        tmp_path / "reference",
        resample=options.resampling.method,
        crtype=options.crtype,
        crsigma=options.crsigma,
        dx=options.dx,
        dlambda=options.dlambda,
        rc=options.resampling.radius,
        ld=options.resampling.reach,
        pixfrac=",".join(map(str, options.resampling.pixfrac)),
    )
    source: PixelSource = source_of_table(open_pixtable(pixtable))
    cube = write_cube(tmp_path / "ours.fits", source, options, filters=[WHITE])
    with fits.open(cube.finish(cube.header)) as mine, fits.open(theirs) as other:
        for name in ("DATA", "STAT", "white"):
            found, expected = mine[name].data, other[name].data
            np.testing.assert_array_equal(np.isnan(found), np.isnan(expected), name)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=3e-6)  # lanczos has values near 0
            for key in ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD2_2"):
                assert mine[name].header[key] == pytest.approx(other[name].header[key], rel=1e-13), key
        key = "ESO DRS MUSE FILTER FRACTION"
        assert mine["white"].header[key] == other["white"].header[key]
