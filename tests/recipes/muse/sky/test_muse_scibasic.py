"""muse_scibasic on a small detector: raw exposures become pixel tables."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.errors import MissingInputError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.image import read_image
from core.formats.pixtable_origin import decode_origin, read_offsets
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.recipes.muse.strehl import write_strehl
from core.recipes.registry import get_recipe
from core.recipes.results import RunResult

LINE = 7032.413  # [Angstrom], of neon
INTFLUX = 4.2e9
QUIET: dict[str, Any] = {"skylines": "none", "saveimage": False}


def table_of(result: RunResult, tag: str = "PIXTABLE_OBJECT", number: int = 1) -> PixelTable:
    """A pixel table among the products; the failures of the run if it failed."""
    assert not result.failures, result.failures
    return open_pixtable(next(p.path for p in result.products if (p.tag, p.number) == (tag, number)))


def columns(table: PixelTable) -> dict[str, np.ndarray]:
    """All columns, and the places on the detector as x, y, slice."""
    cells = table.read(0, table.n_rows)
    places = decode_origin(cells["origin"], read_offsets(table.header))
    return {**cells, "x": places.x, "y": places.y, "slice": places.slice_no}


@pytest.fixture(scope="module")
def plain(sky: Any, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """One exposure with the defaults, but for the sky line."""
    pairs = sky.pairs((sky.arcs[0], "OBJECT"))
    result: RunResult = sky.run("muse_scibasic", pairs, tmp_path_factory.mktemp("plain"), skylines=str(LINE))
    return result


def test_products_are_an_image_and_a_pixel_table(plain: RunResult) -> None:
    assert [product.path.name for product in plain.products] == [
        "OBJECT_RED_0001-07.fits",
        "PIXTABLE_OBJECT_0001-07.fits",
    ]
    for product in plain.products:
        header = fits.getheader(product.path, checksum=True)
        assert header["ESO PRO SCIENCE"] is True
        assert header["ESO PRO CATG"] == product.tag
        assert header["ESO QC SCIBASIC NSATURATED"] == 0
        assert header["ESO DRS MUSE FLAT FLUX LAMP"] == INTFLUX


def test_each_pixel_of_a_slice_has_its_row(plain: RunResult, sky: Any) -> None:
    cells = columns(table_of(plain))
    image = read_image(plain.products[0].path, sky.ifu)
    rows, cols = cells["y"] - 1, cells["x"] - 1
    np.testing.assert_array_equal(cells["data"], image.data[rows, cols])
    np.testing.assert_array_equal(cells["stat"], image.stat[rows, cols])
    np.testing.assert_array_equal(cells["dq"], image.dq[rows, cols])
    for number in np.unique(cells["slice"]):
        own = cells["slice"] == number
        left, right = (edge(int(number), cells["y"][own]) for edge in (sky.truth.trace_left, sky.truth.trace_right))
        assert np.all((cells["x"][own] >= left) & (cells["x"][own] <= right))
        wide = np.bincount(cells["y"][own])
        assert wide[1:].min() >= 72


def test_positions_and_wavelengths_are_true(plain: RunResult, sky: Any) -> None:
    table = table_of(plain)
    cells = columns(table)
    shift = get_key(table.header, "QC.SCIBASIC.LAMBDA.SHIFT", float)
    geometry = fits.getdata(sky.geometry)
    for number in np.unique(cells["slice"]):
        own = cells["slice"] == number
        x, y = cells["x"][own].astype(float), cells["y"][own].astype(float)
        wave = sky.truth.wavelength(int(number), x, y)
        np.testing.assert_allclose(cells["lambda"][own] - shift, wave, atol=2e-3)
        left, right = (edge(int(number), y) for edge in (sky.truth.trace_left, sky.truth.trace_right))
        place = geometry[(geometry["SubField"] == sky.ifu) & (geometry["SliceCCD"] == number)][0]
        along = ((left + right) / 2 - x) / (right - left) * place["width"]
        angle = np.deg2rad(place["angle"])
        np.testing.assert_allclose(cells["xpos"][own], place["x"] + along * np.cos(angle), atol=1e-3)
        np.testing.assert_allclose(cells["ypos"][own], place["y"] + along * np.sin(angle), atol=1e-3)


@pytest.mark.parametrize("error", [-0.1, 0.25])
def test_a_line_of_the_sky_tells_the_shift(sky: Any, shifted_wavelengths: Any, tmp_path: Path, error: float) -> None:
    wrong = shifted_wavelengths(tmp_path / "wrong.fits", sky.truth, error)
    pairs = [(wrong if tag == "WAVECAL_TABLE" else path, tag) for path, tag in sky.pairs((sky.arcs[0], "SKY"))]
    table = table_of(sky.run("muse_scibasic", pairs, tmp_path, skylines=f"{LINE},5577.339"), "PIXTABLE_SKY")
    assert get_key(table.header, "QC.SCIBASIC.LAMBDA.SHIFT", float) == pytest.approx(-error, abs=0.02)
    cells = columns(table)
    near = cells["slice"] == cells["slice"][0]
    wave = sky.truth.wavelength(int(cells["slice"][0]), cells["x"][near].astype(float), cells["y"][near].astype(float))
    np.testing.assert_allclose(cells["lambda"][near], wave, atol=0.02)


def test_the_compact_form_has_the_same_rows(plain: RunResult, sky: Any, tmp_path: Path) -> None:
    pairs = sky.pairs((sky.arcs[0], "OBJECT"))
    result = sky.run("muse_scibasic", pairs, tmp_path, skylines=str(LINE), compact=True)
    compact, expected = table_of(result), table_of(plain)
    assert compact.form == "compact"
    for name, cells in expected.read(0, expected.n_rows).items():
        np.testing.assert_array_equal(compact.read(0, compact.n_rows)[name], cells, err_msg=name)
    for mine, its in zip(compact.flat_field() or (), expected.flat_field() or (), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_exposures_are_numbered_by_their_type(sky: Any, tmp_path: Path) -> None:
    exposures = [(sky.arcs[0], "OBJECT"), (sky.arcs[1], "STD"), (sky.arcs[1], "OBJECT")]
    result = sky.run("muse_scibasic", sky.pairs(*exposures), tmp_path, **QUIET)
    assert [product.path.name for product in result.products] == [
        "PIXTABLE_OBJECT_0001-07.fits", "PIXTABLE_OBJECT_0002-07.fits", "PIXTABLE_STD_0001-07.fits",
    ]  # fmt: skip
    first, second = (table_of(result, number=number) for number in (1, 2))
    assert get_key(first.header, "PRO.REC1.RAW1.NAME", str) == sky.arcs[0].name
    assert get_key(second.header, "PRO.REC1.RAW1.NAME", str) == sky.arcs[1].name


def test_the_illumination_of_the_slices_is_taken_out(sky: Any, tmp_path: Path) -> None:
    # the illumination exposure as science: it is flat then
    result = sky.run("muse_scibasic", sky.pairs((sky.illum, "OBJECT"), (sky.illum, "ILLUM")), tmp_path, **QUIET)
    table = table_of(result)
    cells = columns(table)
    inside = (cells["lambda"] > 6500) & (cells["lambda"] < 7500)
    medians = [np.median(cells["data"][inside & (cells["slice"] == number)]) for number in np.unique(cells["slice"])]
    np.testing.assert_allclose(medians, medians[0], rtol=1e-6)
    factors = [get_key(table.header, f"DRS.MUSE.PIXTABLE.ILLUM{number}", float) for number in np.unique(cells["slice"])]
    assert np.mean(factors) == pytest.approx(1)
    assert np.std(factors) > 0.01
    assert get_key(table.header, "PRO.REC1.RAW2.CATG", str) == "ILLUM"


def write_twilight(path: Path) -> Path:
    """A cube of two planes, 0.5 and 2.0, over all of the field."""
    values = np.ones((2, 300, 320), np.float32) * np.array([0.5, 2.0], np.float32)[:, None, None]
    hdu = fits.ImageHDU(values, name="DATA")
    for axis, (first, step) in enumerate(((-160.0, 1.0), (-150.0, 1.0), (6800.0, 400.0)), start=1):
        hdu.header[f"CRPIX{axis}"], hdu.header[f"CRVAL{axis}"], hdu.header[f"CD{axis}_{axis}"] = 1.0, first, step
    primary = fits.PrimaryHDU()
    primary.header["HIERARCH ESO DRS MUSE FLAT FLUX SKY7"] = 3.5e9
    fits.HDUList([primary, hdu]).writeto(path)
    return path


def test_data_are_divided_by_the_twilight(plain: RunResult, sky: Any, tmp_path: Path) -> None:
    pairs = [*sky.pairs((sky.arcs[0], "OBJECT")), (write_twilight(tmp_path / "twilight.fits"), "TWILIGHT_CUBE")]
    table = table_of(sky.run("muse_scibasic", pairs, tmp_path, skylines=str(LINE), saveimage=False))
    before, after = columns(table_of(plain)), columns(table)
    flat = np.interp(before["lambda"].astype(float), [6800.0, 7200.0], [0.5, 2.0])
    np.testing.assert_allclose(after["data"], before["data"] / flat, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(after["stat"], before["stat"] / flat**2, rtol=1e-5)
    assert get_key(table.header, "DRS.MUSE.FLAT.FLUX.SKY", float) == 3.5e9


def test_cosmic_rays_are_flagged_on_request(sky: Any, tmp_path: Path) -> None:
    result = sky.run("muse_scibasic", sky.pairs((sky.illum, "OBJECT")), tmp_path, skylines="none", cr="dcr", thres=2.5)
    plain = sky.run("muse_scibasic", sky.pairs((sky.illum, "OBJECT")), tmp_path / "plain", skylines="none")
    found, without = (read_image(run.products[0].path, sky.ifu) for run in (result, plain))
    assert np.count_nonzero(found.dq & 32) > 0
    np.testing.assert_array_equal(found.dq & ~32, without.dq)
    np.testing.assert_allclose(found.data, without.data, rtol=1e-6)
    np.testing.assert_allclose(found.stat, without.stat, rtol=1e-5)
    assert get_key(found.header, "DRS.MUSE.FLAT.FLUX.LAMP", float) == INTFLUX


def test_images_of_an_earlier_run_are_taken_instead_of_raw_ones(plain: RunResult, sky: Any, tmp_path: Path) -> None:
    pairs = [
        (plain.products[0].path, "REDUCED"),
        *((path, tag) for path, tag in sky.pairs() if tag.endswith("_TABLE")),
    ]
    table = table_of(sky.run("muse_scibasic", pairs, tmp_path, nifu=0), "PIXTABLE_REDUCED")
    cells, expected = columns(table), columns(table_of(plain))
    for name in ("data", "stat", "dq", "origin", "xpos", "ypos"):
        np.testing.assert_array_equal(cells[name], expected[name], err_msg=name)
    assert table.flat_field() is None


def test_exposures_may_be_combined(sky: Any, tmp_path: Path) -> None:
    exposures = sky.pairs(*((path, "OBJECT") for path in sky.arcs))
    combined = sky.run("muse_scibasic", exposures, tmp_path / "one", combine="average", **QUIET)
    single = sky.run("muse_scibasic", exposures, tmp_path / "two", **QUIET)
    both = np.mean([columns(table_of(single, number=number))["data"] for number in (1, 2)], axis=0)
    good = columns(table_of(combined))["dq"] == 0
    np.testing.assert_allclose(columns(table_of(combined))["data"][good], both[good], rtol=1e-5, atol=1e-3)
    assert len(combined.products) == 1


def test_the_picture_shows_the_lines_as_rows(sky: Any, tmp_path: Path) -> None:
    result = sky.run("muse_scibasic", sky.pairs((sky.arcs[0], "OBJECT")), tmp_path, resample=True, **QUIET)
    path = next(product.path for product in result.products if product.tag == "OBJECT_RESAMPLED")
    header, picture = fits.getheader(path, 1), fits.getdata(path, 1)
    bright = np.nanmedian(picture, axis=1)
    wave = header["CRVAL2"] + header["CD2_2"] * np.arange(len(bright))
    near = np.abs(wave - LINE) < 15
    assert wave[near][np.nanargmax(bright[near])] == pytest.approx(LINE, abs=1.25)
    assert picture.shape[1] == pytest.approx(75 * len(np.unique(columns(table_of(result))["slice"])), abs=20)


@pytest.mark.parametrize(("mode", "low", "notch"), [("WFM-AO-E", 5755, 6008), ("WFM-NOAO-N", None, None)])
def test_the_notch_of_adaptive_optics_is_flagged(
    sky: Any, make_sky: Any, shifted_wavelengths: Any, tmp_path: Path, mode: str, low: float | None, notch: float | None
) -> None:
    here = sky if mode == "WFM-NOAO-N" else make_sky(mode)
    moved = shifted_wavelengths(tmp_path / "blue.fits", here.truth, -1000.0)
    pairs = [(moved if tag == "WAVECAL_TABLE" else path, tag) for path, tag in here.pairs((here.arcs[0], "OBJECT"))]
    cells = columns(table_of(here.run("muse_scibasic", pairs, tmp_path, **QUIET)))
    flagged = cells["dq"] == 1 << 27
    inside = np.zeros(len(flagged), bool) if low is None else (cells["lambda"] > low) & (cells["lambda"] < notch)
    np.testing.assert_array_equal(flagged, inside)
    assert inside.any() == (low is not None)


@pytest.mark.parametrize(("shift", "crop", "lowest"), [(-2200.0, True, 4750.0), (-2200.0, False, 4400.0)])
def test_rows_are_cut_to_the_useful_wavelengths(
    sky: Any, shifted_wavelengths: Any, tmp_path: Path, shift: float, crop: bool, lowest: float
) -> None:
    moved = shifted_wavelengths(tmp_path / "blue.fits", sky.truth, shift)
    pairs = [(moved if tag == "WAVECAL_TABLE" else path, tag) for path, tag in sky.pairs((sky.arcs[0], "OBJECT"))]
    table = table_of(sky.run("muse_scibasic", pairs, tmp_path, crop=crop, **QUIET))
    wave = columns(table)["lambda"]
    assert (wave.min() >= lowest) == crop
    assert wave.min() < 4751
    flat = table.flat_field()
    assert flat is not None
    assert flat[0].min() == pytest.approx(wave.min(), abs=3.75)


def test_the_strehl_ratio_of_narrow_field_exposures_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = {"LGS1_STREHL": [10, 12], "LGS2_STREHL": [20, 22], "LGS3_STREHL": [30, np.nan], "LGS4_STREHL": [40, 42]}
    cells = [fits.Column(name, "E", array=np.array(values)) for name, values in samples.items()]
    telemetry = fits.BinTableHDU.from_columns(cells, name="SPARTA_ATM_DATA")
    fits.HDUList([fits.PrimaryHDU(), telemetry]).writeto(tmp_path / "raw.fits")
    header = Header()
    log = logging.LoggerAdapter(logging.getLogger("strehl"), {})
    write_strehl(tmp_path / "raw.fits", header, log)
    assert not len(header.cards)
    set_key(header, "INS.MODE", "NFM-AO-N")
    write_strehl(tmp_path / "raw.fits", header, log)
    assert get_key(header, "DRS.MUSE.RTC.STREHL", float) == 22
    assert get_key(header, "DRS.MUSE.RTC.STREHERR", float) == 10
    fits.PrimaryHDU().writeto(tmp_path / "none.fits")
    with caplog.at_level("WARNING"):
        write_strehl(tmp_path / "none.fits", header, log)
    assert "none.fits has no table SPARTA_ATM_DATA" in caplog.text


def test_what_is_missing_is_named(sky: Any, tmp_path: Path) -> None:
    whole = sky.pairs((sky.arcs[0], "OBJECT"))
    for tag in ("MASTER_BIAS", "MASTER_FLAT", "TRACE_TABLE", "WAVECAL_TABLE", "GEOMETRY_TABLE", "OBJECT"):
        with pytest.raises(MissingInputError, match=tag):
            sky.run("muse_scibasic", [pair for pair in whole if pair[1] != tag], tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table[table["SubField"] != 7], "no IFU 7"),
        (lambda table: table[(table["SubField"] != 7) | (table["SliceCCD"] != 24)], "has not 48 slices of IFU 7"),
    ],
)
def test_a_geometry_table_that_lacks_something_is_refused(sky: Any, tmp_path: Path, change: Any, told: str) -> None:
    fits.BinTableHDU(change(fits.getdata(sky.geometry))).writeto(tmp_path / "geometry.fits")
    exchanged = [
        (tmp_path / "geometry.fits" if tag == "GEOMETRY_TABLE" else path, tag)
        for path, tag in sky.pairs((sky.arcs[0], "OBJECT"))
    ]
    result = sky.run("muse_scibasic", exchanged, tmp_path)
    assert told in result.failures[0].message


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("skylines", "5577,oh", "'oh' is no number"), ("skyreject", "1,2,3,4", "more than three numbers")],
)
def test_lists_of_numbers_are_checked(name: str, value: str, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        get_recipe("muse_scibasic").Params.parse({name: value})


def test_a_slice_without_trace_stops_the_ifu_but_for_experts(
    sky: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fits.open(sky.trace) as hdus:
        hdus[1].data["tc0_00"][24] = np.nan
        hdus.writeto(tmp_path / "trace.fits")
    pairs = [
        (tmp_path / "trace.fits" if tag == "TRACE_TABLE" else path, tag)
        for path, tag in sky.pairs((sky.arcs[0], "OBJECT"))
    ]
    assert "slice 25 has no trace" in sky.run("muse_scibasic", pairs, tmp_path, **QUIET).failures[0].message
    monkeypatch.setenv("MUSE_EXPERT_USER", "1")
    cells = columns(table_of(sky.run("muse_scibasic", pairs, tmp_path, **QUIET)))
    assert 25 not in cells["slice"]


def test_a_column_that_is_missing_is_named_with_its_file(sky: Any, tmp_path: Path) -> None:
    with fits.open(sky.geometry) as hdus:
        hdus[1].columns.del_col("width")
        hdus.writeto(tmp_path / "narrow.fits")
    pairs = [
        (tmp_path / "narrow.fits" if tag == "GEOMETRY_TABLE" else path, tag)
        for path, tag in sky.pairs((sky.arcs[0], "OBJECT"))
    ]
    (failure,) = sky.run("muse_scibasic", pairs, tmp_path, **QUIET).failures
    assert "GEOMETRY_TABLE lacks the column width" in failure.message
    assert "narrow.fits" in failure.message
