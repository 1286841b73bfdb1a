"""muse_scibasic with calibrations and exposures that are damaged, incomplete or do not fit each other.

Each is told with its file and keyword, or warned of with a result that is defined.
"""

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

from core.errors import MissingInputError, ParameterError
from core.fitsfile.keywords import get_key
from core.formats.image import read_image
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.recipes.results import RunResult

QUIET: dict[str, Any] = {"skylines": "none", "saveimage": False}
Damage = Callable[[fits.HDUList], Any]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the recipe has logged."""
    caplog.set_level(logging.WARNING, "cascade.recipe")
    logging.getLogger("cascade.recipe").propagate = True
    return caplog


def exchanged(pairs: list[tuple[Path, str]], tag: str, path: Path) -> list[tuple[Path, str]]:
    """The set of frames with another file of a tag."""
    return [(path if other == tag else old, other) for old, other in pairs]


def damaged(path: Path, folder: Path, damage: Damage) -> Path:
    """A copy of a file, damaged."""
    target = folder / f"damaged-{path.name}"
    with fits.open(path, memmap=False) as hdus:
        damage(hdus)
        hdus.writeto(target, output_verify="silentfix")
    return target


def failure_of(result: RunResult, folder: Path) -> str:
    """Why a run has failed; nothing half-written is left."""
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    (failure,) = result.failures
    assert failure.error_type != "non_retriable", failure.message  # what the program did not expect
    return failure.message


def table_of(result: RunResult) -> PixelTable:
    assert not result.failures, result.failures
    return open_pixtable(next(p.path for p in result.products if p.tag.startswith("PIXTABLE")))


def rows_of(table: PixelTable) -> dict[str, np.ndarray]:
    return table.read(0, table.n_rows)


def without_rows(first: int) -> Damage:
    def damage(hdus: fits.HDUList) -> None:
        hdus[1] = fits.BinTableHDU(hdus[1].data[:first], hdus[1].header)

    return damage


def as_text(name: str) -> Damage:
    def damage(hdus: fits.HDUList) -> None:
        columns = [
            fits.Column(column.name, "5A", array=np.full(len(hdus[1].data), "high")) if column.name == name else column
            for column in hdus[1].columns
        ]
        hdus[1] = fits.BinTableHDU.from_columns(columns)

    return damage


def as_arrays(name: str) -> Damage:
    def damage(hdus: fits.HDUList) -> None:
        columns = [
            fits.Column(name, "3D", array=np.zeros((len(hdus[1].data), 3))) if column.name == name else column
            for column in hdus[1].columns
        ]
        hdus[1] = fits.BinTableHDU.from_columns(columns)

    return damage


def emptied(name: str) -> Damage:
    return lambda hdus: hdus[1].data[name].fill(np.nan)


@pytest.mark.parametrize(
    ("tag", "damage", "told"),
    [
        ("TRACE_TABLE", without_rows(20), "slice 21 has no trace"),
        ("TRACE_TABLE", without_rows(0), "has no trace"),
        ("TRACE_TABLE", as_text("tc1_00"), "incomplete coefficients"),
        ("TRACE_TABLE", as_arrays("tc1_00"), "incomplete coefficients"),
        ("TRACE_TABLE", as_text("SliceNo"), "column SliceNo of TRACE_TABLE is of type"),
        ("WAVECAL_TABLE", without_rows(20), "slice 21 has no wavelength solution"),
        ("WAVECAL_TABLE", without_rows(0), "has no wavelength solution"),
        ("WAVECAL_TABLE", as_text("wlc00"), "no column wlc00"),
        ("WAVECAL_TABLE", as_arrays("wlc11"), "no column wlc11"),
        ("WAVECAL_TABLE", emptied("wlc00"), "has no wavelength solution"),
        ("GEOMETRY_TABLE", without_rows(0), "no IFU 7"),
        ("GEOMETRY_TABLE", as_text("angle"), "column angle of GEOMETRY_TABLE is of type"),
        ("GEOMETRY_TABLE", as_arrays("x"), "column x of GEOMETRY_TABLE holds arrays"),
        ("GEOMETRY_TABLE", emptied("y"), "no place of slice"),
        ("GEOMETRY_TABLE", lambda hdus: hdus[1].data["SliceCCD"].fill(3), "has not 48 slices"),
        ("GEOMETRY_TABLE", lambda hdus: hdus[1].data["x"].fill(1e9), "outside the field"),
        ("MASTER_FLAT", lambda hdus: hdus["DATA"].header.set("BUNIT", "adu"), 'has the unit "adu"'),
        ("MASTER_FLAT", lambda hdus: hdus["DQ"].data.fill(64), "no good pixel"),
        ("MASTER_BIAS", lambda hdus: hdus[0].header.set("HIERARCH ESO DET CHIP ID", "other"), "another"),
    ],
)
def test_what_is_wrong_is_told_with_its_file(sky: Any, tmp_path: Path, tag: str, damage: Damage, told: str) -> None:
    whole = sky.pairs((sky.arcs[0], "OBJECT"))
    path = damaged(next(path for path, own in whole if own == tag), tmp_path, damage)
    message = failure_of(sky.run("muse_scibasic", exchanged(whole, tag, path), tmp_path, **QUIET), tmp_path)
    assert told in message
    assert path.name in message


def test_files_that_are_cut_are_told(sky: Any, tmp_path: Path) -> None:
    whole = sky.pairs((sky.arcs[0], "OBJECT"))
    for tag in ("OBJECT", "MASTER_FLAT", "TRACE_TABLE", "GEOMETRY_TABLE"):
        path = next(path for path, own in whole if own == tag)
        cut = tmp_path / f"half-{path.name}"
        cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2 // 2880 * 2880 - 100])
        message = failure_of(sky.run("muse_scibasic", exchanged(whole, tag, cut), tmp_path, **QUIET), tmp_path)
        assert "cut" in message
        assert cut.name in message


def sky_cube(path: Path, values: np.ndarray, **cards: Any) -> Path:
    """A flat field of the sky over the whole field of view."""
    hdu = fits.ImageHDU(values.astype(np.float32), name="DATA")
    for axis, (first, step) in enumerate(((-160.0, 1.0), (-150.0, 1.0), (6800.0, 400.0)), start=1):
        hdu.header[f"CRPIX{axis}"], hdu.header[f"CRVAL{axis}"], hdu.header[f"CD{axis}_{axis}"] = 1.0, first, step
    for key, value in cards.items():
        hdu.header[key] = value
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


SOME = np.full((2, 300, 320), 2.0)


@pytest.mark.parametrize(
    ("values", "cards", "told"),
    [
        (SOME * np.nan, {}, "no value above 0"),
        (SOME * 0, {}, "no value above 0"),
        (SOME, {"CTYPE1": "RA---TAN"}, "CTYPE1"),
        (SOME, {"CUNIT3": "m"}, "CUNIT3"),
        (SOME, {"CD3_3": "wide"}, "CD3_3"),
        (SOME, {"CD1_1": 0.0}, "is no flat field"),
        (SOME[0], {}, "no plain cube"),
    ],
)
def test_what_is_no_flat_field_of_the_sky_is_refused(
    sky: Any, tmp_path: Path, values: np.ndarray, cards: dict[str, Any], told: str
) -> None:
    cube = sky_cube(tmp_path / "twilight.fits", values, **cards)
    pairs = [*sky.pairs((sky.arcs[0], "OBJECT")), (cube, "TWILIGHT_CUBE")]
    message = failure_of(sky.run("muse_scibasic", pairs, tmp_path, **QUIET), tmp_path)
    assert told in message
    assert "twilight.fits" in message


def test_pixels_where_the_flat_field_has_no_value_are_flagged(
    sky: Any, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    values = SOME.copy()
    values[:, :, :160] = np.nan
    cube = sky_cube(tmp_path / "twilight.fits", values)
    whole = sky.pairs((sky.arcs[0], "OBJECT"))
    plain = rows_of(table_of(sky.run("muse_scibasic", whole, tmp_path / "plain", **QUIET)))
    flat = rows_of(table_of(sky.run("muse_scibasic", [*whole, (cube, "TWILIGHT_CUBE")], tmp_path, **QUIET)))
    without = ~np.isfinite(flat["data"])
    np.testing.assert_array_equal(without, np.floor(flat["xpos"] + 160.5) < 160)
    np.testing.assert_array_equal(flat["dq"], np.where(without, plain["dq"] | 1 << 30, plain["dq"]))
    np.testing.assert_allclose(flat["data"][~without], plain["data"][~without] / 2, rtol=1e-6)
    assert "has no value in 96000 of 192000 voxels" in told.text
    assert "has no flux of IFU 7" in told.text


def test_wavelengths_beyond_a_flat_field_have_that_of_its_end(sky: Any, tmp_path: Path) -> None:
    cube = sky_cube(tmp_path / "twilight.fits", SOME * np.array([1.0, 4.0])[:, None, None], CRVAL3=1000.0)
    whole = sky.pairs((sky.arcs[0], "OBJECT"))
    plain = rows_of(table_of(sky.run("muse_scibasic", whole, tmp_path / "plain", **QUIET)))
    flat = rows_of(table_of(sky.run("muse_scibasic", [*whole, (cube, "TWILIGHT_CUBE")], tmp_path, **QUIET)))
    np.testing.assert_allclose(flat["data"], plain["data"] / 8, rtol=1e-6)


def test_several_flat_fields_are_applied_one_after_the_other(sky: Any, tmp_path: Path) -> None:
    cubes = [
        (sky_cube(tmp_path / f"{factor}.fits", SOME * factor, **{"HIERARCH ESO DRS MUSE FLAT FLUX SKY7": factor}))
        for factor in (1.5, 2.5)
    ]
    whole = sky.pairs((sky.arcs[0], "OBJECT"))
    plain = rows_of(table_of(sky.run("muse_scibasic", whole, tmp_path / "plain", **QUIET)))
    pairs = [*whole, *((cube, "TWILIGHT_CUBE") for cube in cubes)]
    table = table_of(sky.run("muse_scibasic", pairs, tmp_path, **QUIET))
    np.testing.assert_allclose(rows_of(table)["data"], plain["data"] / 15, rtol=1e-6)
    assert get_key(table.header, "DRS.MUSE.FLAT.FLUX.SKY", float) == 2.5  # that of the last one


def test_pixels_of_a_flat_without_number_are_flagged(sky: Any, tmp_path: Path) -> None:
    def damage(hdus: fits.HDUList) -> None:
        hdus["DATA"].data[150:160, 60:120] = np.nan
        hdus["DATA"].data[170:180, 60:120] = 0.0

    whole = sky.pairs((sky.arcs[0], "OBJECT"))
    pairs = exchanged(whole, "MASTER_FLAT", damaged(sky.flat, tmp_path, damage))
    cells = rows_of(table_of(sky.run("muse_scibasic", pairs, tmp_path, **QUIET)))
    without = ~np.isfinite(cells["data"])
    assert without.any()
    assert np.all(cells["dq"][without] & 1 << 30)


# -- exposures ---------------------------------------------------------------------------------------------------------
def test_an_exposure_keeps_its_number_where_another_lacks_the_ifu(
    sky: Any, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    bare = tmp_path / "bare.fits"
    with fits.open(sky.arcs[0]) as hdus:
        fits.HDUList([hdus[0].copy()]).writeto(bare)
    pairs = sky.pairs((bare, "OBJECT"), (sky.arcs[0], "SKY"), (sky.arcs[1], "OBJECT"))
    result = sky.run("muse_scibasic", pairs, tmp_path, **QUIET)
    names = [product.path.name for product in result.products]
    assert names == ["PIXTABLE_OBJECT_0002-07.fits", "PIXTABLE_SKY_0001-07.fits"]
    assert "bare.fits is not used" in told.text


def test_the_same_name_in_two_folders_is_two_exposures(sky: Any, tmp_path: Path) -> None:
    for folder, path in zip("ab", sky.arcs, strict=False):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.fits").symlink_to(path)
    pairs = sky.pairs(*((tmp_path / folder / "one.fits", "OBJECT") for folder in "ab"))
    result = sky.run("muse_scibasic", pairs, tmp_path, **QUIET)
    assert [product.path.name for product in result.products] == [
        "PIXTABLE_OBJECT_0001-07.fits",
        "PIXTABLE_OBJECT_0002-07.fits",
    ]


def test_cosmic_rays_are_looked_for_before_exposures_are_combined(sky: Any, tmp_path: Path) -> None:
    pairs = sky.pairs(*((path, "OBJECT") for path in sky.arcs))
    plain = sky.run("muse_scibasic", pairs, tmp_path / "plain", combine="average", skylines="none")
    cleaned = sky.run("muse_scibasic", pairs, tmp_path, combine="average", cr="dcr", thres=1e6, skylines="none")
    few, many = (read_image(run.products[0].path, sky.ifu) for run in (cleaned, plain))  # none is found at this limit
    np.testing.assert_array_equal(few.dq, many.dq)
    np.testing.assert_allclose(few.data, many.data, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(few.stat, many.stat, rtol=1e-5)
    found = sky.run("muse_scibasic", pairs, tmp_path / "found", combine="average", cr="dcr", thres=2.0, skylines="none")
    assert np.any(read_image(found.products[0].path, sky.ifu).data != few.data)


def test_a_combination_must_fit_the_exposures(sky: Any, tmp_path: Path) -> None:
    pairs = sky.pairs(*((path, "OBJECT") for path in sky.arcs))
    with pytest.raises(ParameterError, match="sigclip needs at least 3 images, there are 2"):
        sky.run("muse_scibasic", pairs, tmp_path, combine="sigclip")


def test_a_line_without_pixels_around_it_is_left_out(sky: Any, tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
    pairs = sky.pairs((sky.arcs[0], "OBJECT"))
    table = table_of(sky.run("muse_scibasic", pairs, tmp_path, skylines="7032.413", skyhalfwidth=1e-7, saveimage=False))
    assert get_key(table.header, "QC.SCIBASIC.LAMBDA.SHIFT", float) == 0
    assert "cannot be measured" in told.text


# -- images of an earlier run ------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def reduced(sky: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reduced image."""
    pairs = sky.pairs((sky.arcs[0], "OBJECT"))
    result = sky.run("muse_scibasic", pairs, tmp_path_factory.mktemp("reduced"), skylines="none")
    return Path(result.products[0].path)


def with_tables(sky: Any, *images: Path) -> list[tuple[Path, str]]:
    return [*((path, "REDUCED") for path in images), *(pair for pair in sky.pairs() if pair[1].endswith("_TABLE"))]


def test_an_image_of_data_alone_is_taken(sky: Any, reduced: Path, tmp_path: Path) -> None:
    def damage(hdus: fits.HDUList) -> None:
        hdus["DATA"].data[150:160, 60:120] = np.nan
        del hdus["STAT"], hdus["DQ"]

    cells = rows_of(table_of(sky.run("muse_scibasic", with_tables(sky, damaged(reduced, tmp_path, damage)), tmp_path)))
    np.testing.assert_array_equal(cells["dq"], np.where(np.isfinite(cells["data"]), 0, 1 << 30))
    assert not cells["stat"].any()
    assert (cells["dq"] != 0).any()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda hdus: hdus["DATA"].header.set("BUNIT", "adu"), 'unit "adu", not "count"'),
        (lambda hdus: hdus.pop("DATA"), "neither DATA nor CHAN07.DATA"),
        (lambda hdus: setattr(hdus["STAT"], "data", np.zeros((3, 3), "f4")), "different sizes"),
    ],
)
def test_an_image_that_is_none_is_told(sky: Any, reduced: Path, tmp_path: Path, damage: Damage, told: str) -> None:
    path = damaged(reduced, tmp_path, damage)
    message = failure_of(sky.run("muse_scibasic", with_tables(sky, path), tmp_path), tmp_path)
    assert told in message
    assert path.name in message


def test_images_of_several_sizes_do_not_go_together(sky: Any, reduced: Path, tmp_path: Path) -> None:
    def damage(hdus: fits.HDUList) -> None:
        for hdu in hdus[1:]:
            hdu.data = hdu.data[:200, :300]

    small = damaged(reduced, tmp_path, damage)
    message = failure_of(sky.run("muse_scibasic", with_tables(sky, reduced, small), tmp_path), tmp_path)
    assert "the image has 300 x 200 pix, those before it have 400 x 600 pix" in message
    assert small.name in message


def test_images_without_ifu_and_images_beside_exposures_are_refused(sky: Any, reduced: Path, tmp_path: Path) -> None:
    nameless = damaged(reduced, tmp_path, lambda hdus: hdus[0].header.remove("EXTNAME"))
    with pytest.raises(MissingInputError, match="says its IFU"):
        sky.run("muse_scibasic", with_tables(sky, nameless), tmp_path, nifu=0)
    with pytest.raises(MissingInputError, match="not both"):
        sky.run("muse_scibasic", [*sky.pairs((sky.arcs[0], "OBJECT")), (reduced, "REDUCED")], tmp_path)


# -- a full disk -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("compact", [False, True])
def test_a_full_disk_leaves_nothing_behind(
    sky: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compact: bool
) -> None:
    written = 0

    def full(number: int, view: memoryview, position: int) -> None:
        nonlocal written
        written += len(view)
        if written > 1_000_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.pwrite(number, view, position)

    monkeypatch.setattr("core.fitsfile.reserved.write_at", full)
    result = sky.run("muse_scibasic", sky.pairs((sky.arcs[0], "OBJECT")), tmp_path, compact=compact, **QUIET)
    (failure,) = result.failures
    assert (failure.error_type, failure.retriable) == ("disk_full", True)
    assert not list(tmp_path.iterdir())
