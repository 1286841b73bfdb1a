"""Exposures of the pinhole mask become spots, and the spots of all IFUs the geometry."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.geometry import Detector
from core.ccd.trace_model import Trace
from core.errors import DataError, MissingInputError, MissingKeywordError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, set_key
from core.formats.cube import open_cube
from core.formats.image import MuseImage, open_image
from core.formats.tables import (
    GEOMETRY_TABLE,
    SPOTS_TABLE,
    MuseTable,
    read_table,
    trace_table_format,
    wavecal_table_format,
    write_table,
)
from core.instruments.muse.facts import N_SLICES
from core.recipes.engine import run_recipe
from core.recipes.flow import RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.geometry_field import check_picture, field_source, mask_cube, slice_maps
from core.recipes.muse.geometry_flow import IfuSpots, MaskFlow
from core.recipes.muse.geometry_products import geometry_options, geometry_tables, solve
from core.recipes.muse.mask_exposures import MaskExposure, peaks_of_table, series_of_table, table_of_series
from core.recipes.muse.muse_geometry import GeometryParameters, MuseGeometry
from core.recipes.registry import get_recipe
from core.recipes.results import RunResult
from core.simulator.geometry import make_geometry
from core.simulator.night import NightPlan, simulate_night
from core.simulator.truth import truth_for
from core.spatial.geometry import Geometry, joined
from core.spatial.horizontal import RimSpots
from core.spatial.peaks import find_peaks
from core.spatial.slices import IfuPeaks
from core.spatial.spots import SpotPlaces, SpotSeries
from core.spectral.dispersion import Dispersion
from core.staticcal import write_line_catalog
from tests.spatial.sequence import LINES, MaskSequence, flat_trace, true_geometry

IFU = 12
SLICES = (24, 25, 26)
DETECTOR = Detector(nx=156, ny=2056, gain=(1.1, 1.1, 1.1, 1.1), ron=(3.0, 3.0, 3.0, 3.0))
COUNT = 16


# -- a narrow detector with three slices -------------------------------------------------------------------------------
def run(pairs: list[tuple[Path, str]], folder: Path, name: str = "muse_geometry", **values: Any) -> RunResult:
    recipe = get_recipe(name)
    folder.mkdir(parents=True, exist_ok=True)
    frames = FrameSet(tuple(Frame(path, tag) for path, tag in pairs))
    return run_recipe(recipe, frames, recipe.Params.parse(values), folder)


def write_calibrations(folder: Path) -> list[tuple[Path, str]]:
    """The true trace and wavelengths of the slices that the narrow detector holds."""
    truth = truth_for(IFU, "WFM-NOAO-N", 1, DETECTOR)
    rows = np.arange(1.0, 4113, 8)
    lines = [np.full((N_SLICES, 6), np.nan) for _ in range(3)]
    waves = np.full((N_SLICES, 3, 7), np.nan)
    for number in SLICES:
        edges = (truth.trace_center, truth.trace_left, truth.trace_right)
        for line, edge in zip(lines, edges, strict=True):
            line[number - 1] = np.polynomial.Polynomial.fit(rows, edge(number, rows), 5).convert().coef
        x = truth.trace_center(number, 2056.0) + np.array([-36.0, 0.0, 36.0])
        powers = [np.polynomial.Polynomial.fit(rows, truth.wavelength(number, at, rows), 6).convert().coef for at in x]
        waves[number - 1] = np.linalg.solve(np.vander(x, 3, increasing=True), np.array(powers))
    trace = Trace.from_polynomials(range(1, N_SLICES + 1), *lines)
    numbers = np.arange(1, N_SLICES + 1, dtype=np.int32)
    dispersion = Dispersion(numbers, waves, np.zeros(N_SLICES))
    return [
        (write_table(folder / "TRACE.fits", trace_table_format(5), MuseTable(trace.columns()), IFU), "TRACE_TABLE"),
        (
            write_table(folder / "WAVE.fits", wavecal_table_format(2, 6), MuseTable(dispersion.columns()), IFU),
            "WAVECAL_TABLE",
        ),
        (write_line_catalog(folder / "LINES.fits"), "LINE_CATALOG"),
    ]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """A short sequence of the mask on the narrow detector, with its calibrations."""
    folder = tmp_path_factory.mktemp("mask")
    plan = NightPlan(n_bias=3, n_flat=0, n_arc=0, n_illum=0, n_mask=COUNT)
    paths = simulate_night(folder / "raw", "2026-03-14", [IFU], plan, detector=DETECTOR)
    biases, masks = paths[:3], paths[3:]
    bias = run([(path, "BIAS") for path in biases], folder / "bias", "muse_bias", nifu=IFU, overscan="vpoly:4")
    return [
        *((path, "MASK") for path in masks),
        (bias.products[0].path, "MASTER_BIAS"),
        *write_calibrations(folder),
    ]


FEW = tuple(replace(spec, min=COUNT) if spec.tag == "MASK" else spec for spec in MuseGeometry.inputs)


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MuseGeometry, "inputs", FEW)


@pytest.fixture(scope="module")
def result(frames, tmp_path_factory) -> tuple[RunResult, dict[str, Path]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MuseGeometry, "inputs", FEW)
        done = run(frames, tmp_path_factory.mktemp("geometry"), savereduced=False)
    assert not done.failures
    return done, {product.tag: product.path for product in done.products}


def test_a_sequence_becomes_spots_and_a_geometry(result):
    done, products = result
    assert [product.path.name for product in done.products] == [
        "MASK_COMBINED-12.fits", "SPOTS_TABLE-12.fits", "GEOMETRY_UNSMOOTHED.fits", "GEOMETRY_TABLE.fits",
    ]  # fmt: skip
    truth = make_geometry(1)
    geometry = read_table(products["GEOMETRY_UNSMOOTHED"], GEOMETRY_TABLE)
    own = np.isfinite(geometry["y"])
    assert sorted(geometry["SliceCCD"][own]) == list(SLICES)
    ccd = geometry["SliceCCD"][own] - 1
    assert np.abs(geometry["width"][own] - truth.width[IFU - 1, ccd]).max() < 0.1
    # four exposures to a peak, a third of a slice apart, tell its place to a part of that; 50 do it to 0.004 pix
    y = geometry["y"][own] - truth.y[IFU - 1, ccd]
    assert np.abs(y - np.median(y)).max() < 0.15
    assert np.abs(geometry["angle"][own] - truth.angle[IFU - 1, ccd]).max() < 0.5


def test_spots_are_told_with_the_place_of_the_mask(result):
    _, products = result
    spots = read_table(products["SPOTS_TABLE"], SPOTS_TABLE)
    assert spots.n_rows % (3 * COUNT) == 0
    assert sorted(set(spots["image"])) == list(range(1, COUNT + 1))
    assert set(spots["SliceCCD"]) == set(SLICES)
    assert np.allclose(spots["VPOS"], spots["POSPOS3"])  # the derotator stands at 90 deg
    assert set(spots["ScaleFOV"]) == {1.705}
    lit = spots["xfwhm"] > 0
    assert np.median(spots["xfwhm"][lit]) == pytest.approx(2.0, abs=0.6)
    order = np.lexsort((spots["VPOS"], spots["SpotNo"], spots["SliceCCD"], spots["lambda"]))
    assert np.array_equal(order, np.arange(order.size))
    header = spots.header
    assert get_key(header, "QC.GEO.FWHM.MEAN", float) == pytest.approx(2.0, abs=0.6)
    assert get_key(header, f"QC.GEO.EXP{COUNT}.FWHM.MEDIAN", float) > 1.0


def test_peaks_of_a_table_are_those_that_made_the_geometry(result, frames):
    spots = read_table(result[1]["SPOTS_TABLE"], SPOTS_TABLE)
    found = peaks_of_table(spots.columns)
    series, exposures = series_of_table(spots.columns)
    heights = np.array([exposure.height for exposure in exposures])
    (path,) = (path for path, tag in frames if tag == "TRACE_TABLE")
    trace = Trace.from_columns(read_table(path, trace_table_format(5), IFU))
    expected = IfuPeaks.on_detector(IFU, find_peaks(series, heights), trace)
    assert found.ifu == IFU
    np.testing.assert_array_equal(found.peaks.height, expected.peaks.height)
    for name in ("left", "center", "right"):  # edges lean by 0.02 at most, rows of a spot scatter by a tenth of a pixel
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=0.01)


def test_the_average_is_that_of_all_exposures(result, frames):
    _, products = result
    image = open_image(products["MASK_COMBINED"], IFU)
    assert image.unit == "count"
    assert image.shape == DETECTOR.trimmed_shape
    assert get_key(image.header, "PRO.DATANCOM", int) == COUNT


def test_the_overscan_is_treated_as_in_the_bias(result):
    _, products = result
    header = open_image(products["MASK_COMBINED"], IFU).header
    assert get_key(header, "DRS.MUSE.OVSC1.POLY.NCOEFF", int) <= 5  # vpoly:4


def test_reduced_exposures_are_saved_and_used_again(frames, tmp_path, few_are_enough, monkeypatch):
    first = run(frames, tmp_path)
    names = {product.path.name for product in first.products if product.tag == "MASK_REDUCED"}
    assert names == {f"MASK_REDUCED_{number:04d}-12.fits" for number in range(1, COUNT + 1)}
    before = read_table(tmp_path / "GEOMETRY_TABLE.fits", GEOMETRY_TABLE).columns
    for level in ("1", "2"):
        monkeypatch.setenv("MUSE_GEOMETRY_SKIP", level)
        again = run(frames, tmp_path)
        assert "MASK_REDUCED" not in {product.tag for product in again.products}
        after = read_table(tmp_path / "GEOMETRY_TABLE.fits", GEOMETRY_TABLE).columns
        assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)


def exposures_of(pairs: list[tuple[Path, str]], context: RecipeContext) -> MaskFlow:
    inputs = FrameSet(tuple(Frame(path, tag) for path, tag in pairs))
    return MaskFlow.begin(MuseGeometry(), IFU, inputs, GeometryParameters(), context)


def test_exposures_keep_their_numbers_where_one_lacks_the_ifu(frames, tmp_path, context):
    with fits.open(frames[0][0]) as hdus:
        fits.HDUList([hdus[0].copy()]).writeto(tmp_path / "bare.fits")
    few = [frames[0], (tmp_path / "bare.fits", "MASK"), *frames[1:3], *frames[COUNT:]]
    flow = exposures_of(few, context)
    assert [exposure.number for exposure in flow.exposures] == [1, 3, 4]


def test_overscan_parameters_that_are_none_are_told_with_the_bias(frames, tmp_path, context):
    bias = next(path for path, tag in frames if tag == "MASTER_BIAS")
    with fits.open(bias) as hdus:
        header = hdus[0].header
        number = next(n for n in range(1, 50) if header[f"ESO PRO REC1 PARAM{n} NAME"] == "overscan")
        header[f"ESO PRO REC1 PARAM{number} VALUE"] = "hpoly"
        hdus.writeto(tmp_path / "bias.fits")
    pairs = [(tmp_path / "bias.fits" if tag == "MASTER_BIAS" else path, tag) for path, tag in frames]
    with pytest.raises(ParameterError, match="hpoly") as told:
        exposures_of(pairs, context)
    assert told.value.context["file"].endswith("bias.fits")


def test_fewer_than_fifty_frames_are_too_few(frames, tmp_path):
    with pytest.raises(MissingInputError, match="at least 50 MASK"):
        run(frames, tmp_path)


@pytest.mark.parametrize(("values", "what"), [({"ifu1": 13}, "from 13 to 24"), ({"ifu2": 11}, "from 1 to 11")])
def test_ifus_that_no_frame_has_are_told(frames, tmp_path, few_are_enough, values, what):
    with pytest.raises(MissingInputError, match=what):
        run(frames, tmp_path, **values)


@pytest.mark.parametrize("values", [{"ifu1": 5, "ifu2": 4}, {"lambdamin": 7000.0, "lambdamax": 6900.0}])
def test_ranges_that_hold_nothing_are_refused(values):
    with pytest.raises(ParameterError, match="is above"):
        MuseGeometry.check_parameters(FrameSet(()), GeometryParameters.parse(values))


# -- headers of exposures ----------------------------------------------------------------------------------------------
def mask_header(**changes: Any) -> Header:
    header = Header()
    values = {f"INS.POS{stage}.POS": 10.0 + stage for stage in (2, 3, 4)}
    values |= {f"INS.POS{stage}.ENC": 1000 * stage for stage in (2, 3, 4)}
    for key, value in {**values, "INS.DROT.POSANG": 90.0, **changes}.items():
        set_key(header, key, value)
    return header


def test_the_height_of_the_mask_depends_on_the_derotator():
    assert MaskExposure.of_header(mask_header(), "a", 1).height == pytest.approx(13.0)
    turned = mask_header(**{"INS.DROT.POSANG": 30.0})
    assert MaskExposure.of_header(turned, "a", 1).height == pytest.approx(26.0)
    sky = mask_header(**{"INS.DROT.POSANG": -30.0, "INS.DROT.MODE": "SKY"})
    assert MaskExposure.of_header(sky, "a", 1).height == pytest.approx(26.0)
    with pytest.raises(ParameterError, match="along the slices"):
        MaskExposure.of_header(mask_header(**{"INS.DROT.POSANG": 0.0}), "a", 1)


def test_the_scale_may_be_the_usual_one():
    assert MaskExposure.of_header(mask_header(), "a", 1).scale == 1.705
    assert MaskExposure.of_header(mask_header(**{"TEL.FOCU.SCALE": 1.71}), "a", 1).scale == 1.71
    with pytest.raises(DataError, match="0 arcsec/mm") as told:
        MaskExposure.of_header(mask_header(**{"TEL.FOCU.SCALE": 0.0}), "a", 1)
    assert told.value.context == {"keyword": "TEL.FOCU.SCALE", "file": "a"}


@pytest.mark.parametrize("key", ["INS.POS2.POS", "INS.POS3.ENC", "INS.DROT.POSANG"])
def test_a_missing_position_is_named(key):
    header = mask_header()
    del_keys(header, key.replace(".", r"\.") + "$")
    with pytest.raises(MissingKeywordError, match=key):
        MaskExposure.of_header(header, "a.fits", 1)


def test_a_table_of_spots_is_what_was_measured():
    rng = np.random.default_rng(1)
    one = np.ones(3, np.int32)
    exposures = [
        MaskExposure.of_header(mask_header(**{"INS.POS3.POS": at}), "a.fits", n) for n, at in ((1, 9.0), (2, 8.0))
    ]
    measured = rng.uniform(1.0, 2.0, (6, 2, 3))
    places = SpotPlaces(one, np.full(3, 5460.75), np.arange(1, 4, dtype=np.int32), measured[0, 0], measured[1, 0])
    series = SpotSeries(places, *measured)
    columns = table_of_series(series, exposures, 7, np.ones((2, 3)), np.full((2, 3), 78.0))
    assert columns["VPOS"].tolist() == [8.0, 9.0] * 3
    again, told = series_of_table(columns)
    assert told == exposures
    assert all(np.array_equal(getattr(again, name), getattr(series, name)) for name in ("x", "y", "flux", "background"))
    with pytest.raises(DataError, match="every spot"):
        series_of_table({name: values[:-1] for name, values in columns.items()})


# -- tables of all IFUs ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def spots() -> dict[int, IfuSpots]:
    """What the IFUs 11, 12, 13 have measured."""
    sequence = MaskSequence(true_geometry())
    rims = sequence.rims()
    return {found.ifu: IfuSpots(found, rims[found.ifu], 1.705) for found in sequence.peaks()}


@pytest.fixture
def context() -> RecipeContext:
    return RecipeContext(logging.LoggerAdapter(logging.getLogger("cascade.recipe"), {}), lambda fraction, text: None)


def tables(spots: dict[int, IfuSpots], context: RecipeContext, smooth: float = 1.5) -> dict[str, MuseTable]:
    _, products = geometry_tables(
        MuseGeometry(), solve(spots, context), spots, np.array(LINES), smooth, Header(), ((), ())
    )
    return {product.tag: product.table for product in products}


def test_smoothing_keeps_the_table_of_before(spots, context):
    found = tables(spots, context)
    before, after = found["GEOMETRY_UNSMOOTHED"], found["GEOMETRY_TABLE"]
    for column, name in (("x", "NX"), ("y", "NY"), ("angle", "NANGLE"), ("width", "NWIDTH")):
        changed = int(np.count_nonzero(before[column] != after[column]))
        assert get_key(after.header, f"QC.GEO.SMOOTH.{name}", int) == changed > 0
        assert get_key(before.header, f"QC.GEO.SMOOTH.{name}", int) == -1
    without = tables(spots, context, smooth=0.0)
    assert list(without) == ["GEOMETRY_TABLE"]
    assert np.array_equal(without["GEOMETRY_TABLE"]["x"], before["x"])


def test_qc_of_the_geometry(spots, context):
    table = tables(spots, context, 0.0)["GEOMETRY_TABLE"]
    truth = true_geometry()
    for ifu in (11, 12, 13):
        own = truth.where(truth.ifu == ifu)
        found = get_key(table.header, f"QC.GEO.IFU{ifu}.ANGLE", float)
        assert found == pytest.approx(np.median(own.angle), abs=0.01)
        assert get_key(table.header, f"QC.GEO.IFU{ifu}.WLEN2", float) == pytest.approx(5460.75)
        # three spots in 48 slices, each with some dozen exposures of 20000 count
        assert get_key(table.header, f"QC.GEO.IFU{ifu}.WLEN2.FLUX.MEDIAN", float) > 50000
    assert get_key(table.header, "QC.GEO.MASK.ANGLE", float) == pytest.approx(np.median(truth.angle), abs=0.01)
    gaps = [get_key(table.header, f"QC.GEO.IFU{ifu}.GAPPOS.MEAN", float) for ifu in (11, 12, 13)]
    assert get_key(table.header, "QC.GEO.GAPPOS.MEAN", float) == pytest.approx(np.mean(gaps), abs=1e-6)
    assert get_key(table.header, "QC.GEO.GAPPOS.STDEV", float) == pytest.approx(np.std(gaps, ddof=1), rel=1e-5)
    assert get_key(table.header, "QC.GEO.TABLE.NBAD", int) == 0


def test_a_line_that_nothing_shows_has_no_flux(spots, context):
    _, (product,) = geometry_tables(
        MuseGeometry(), solve(spots, context), spots, np.array([*LINES, 9000.0]), 0.0, Header(), ((), ())
    )
    number = len(LINES) + 1
    assert get_key(product.header, f"QC.GEO.IFU11.WLEN{number}", float) == 9000.0
    assert get_key(product.header, f"QC.GEO.IFU11.WLEN{number}.FLUX.MEAN", float, default=None) is None


def test_exposures_of_two_scales_are_no_sequence(spots, context):
    with pytest.raises(DataError, match="scale"):
        solve({**spots, 13: replace(spots[13], scale=1.71)}, context)


def test_what_is_missing_is_told(spots, context, caplog):
    without = RimSpots(*(values[:0] for values in vars(spots[12].rims).values()))
    caplog.set_level(logging.WARNING, "cascade.recipe")
    logging.getLogger("cascade.recipe").propagate = True
    solve({11: spots[11], 12: replace(spots[12], rims=without)}, context)
    assert "IFU 12 is not aligned horizontally with IFU 11" in caplog.text


def test_the_environment_sets_options(monkeypatch):
    assert geometry_options().distance is None
    monkeypatch.setenv("MUSE_GEOMETRY_PINHOLE_DY", "0.65")
    monkeypatch.setenv("MUSE_GEOMETRY_MASK_ROTATION", "11.7675")
    monkeypatch.setenv("MUSE_GEOMETRY_HORI_OFFSETS", "0.1,-0.2")
    monkeypatch.setenv("MUSE_GEOMETRY_STD_GAP", "1")
    monkeypatch.setenv("MUSE_GEOMETRY_NO_INVERSION", "1")
    options = geometry_options()
    assert (options.distance, options.rotation, options.shifts) == (0.65, 11.7675, (0.1, -0.2))
    assert options.gaps_by_offsets
    assert not options.upright
    for distance in ("wide", "nan", "-0.6"):
        monkeypatch.setenv("MUSE_GEOMETRY_PINHOLE_DY", distance)
        with pytest.raises(ParameterError, match="MUSE_GEOMETRY_PINHOLE_DY"):
            geometry_options()


# -- pictures of the field ---------------------------------------------------------------------------------------------
def field_of(geometry: Geometry, data: np.ndarray, wave: tuple[float, float], bad: np.ndarray | None = None):
    """The pixels of one IFU with straight slices on a small detector."""
    trace, dispersion = flat_trace(), straight_dispersion()
    flags = np.zeros(data.shape, np.int32) if bad is None else np.where(bad, 1, 0).astype(np.int32)
    image = MuseImage(data, flags, np.ones(data.shape, np.float32), Header(), "count")
    maps = slice_maps(12, trace, dispersion, geometry, data.shape)
    return field_source([(image, maps)], wave, Header())


def straight_dispersion() -> Dispersion:
    coefficients = np.zeros((48, 1, 2))
    coefficients[:, 0] = 6900.0, 1.25
    return Dispersion(np.arange(1, 49, dtype=np.int32), coefficients, np.zeros(48))


def whole_pixels() -> np.ndarray:
    """Pixels of each slice in a line."""
    edges = flat_trace().coefficients[:, 1:, 0]
    return (np.floor(edges[:, 1]) - np.ceil(edges[:, 0]) + 1).astype(int)


@pytest.fixture(scope="module")
def one_ifu() -> Geometry:
    return true_geometry((12,))


def test_pixels_lie_where_the_geometry_says(one_ifu):
    data = np.ones((40, 4096), np.float32)
    source = field_of(one_ifu, data, (6910.0, 6930.0))
    columns = source.read((0.0, 1e5), (-1e3, 1e3))
    assert columns["xpos"].size == source.n_rows == 17 * whole_pixels().sum()  # lines of 1.25 Angstrom, both ends
    assert source.wave == (6910.0, 6930.0)
    assert source.x[0] == pytest.approx((one_ifu.x - 0.5 * one_ifu.width).min(), abs=0.1)
    assert source.y[1] == pytest.approx(one_ifu.y.max(), abs=1.0)
    some = source.read((6914.0, 6916.0), (-1e3, 1e3))
    assert set(some["lambda"].tolist()) == {6915.0}
    upper = source.read((0.0, 1e5), (-0.5, 0.5))
    assert 0 < upper["ypos"].size < source.n_rows / 3


def test_flagged_pixels_and_slices_without_place_are_left_out(one_ifu):
    data, bad = np.ones((40, 4096), np.float32), np.zeros((40, 4096), bool)
    bad[12, 60] = True
    whole = field_of(one_ifu, data, (6910.0, 6930.0)).n_rows
    assert field_of(one_ifu, data, (6910.0, 6930.0), bad).n_rows == whole - 1
    x = one_ifu.x.copy()
    x[5] = np.nan
    lost = 17 * whole_pixels()[one_ifu.slice_ccd[5] - 1]
    assert field_of(replace(one_ifu, x=x), data, (6910.0, 6930.0)).n_rows == whole - lost
    with pytest.raises(DataError, match="8000 to 8100"):
        field_of(one_ifu, data, (8000.0, 8100.0))


def test_the_mask_is_seen_in_its_cube(frames, result, context):
    _, products = result
    folder = products["MASK_COMBINED"].parent
    truth = Geometry.from_columns(make_geometry(1).table())
    own = truth.where((truth.ifu == IFU) & np.isin(truth.slice_ccd, SLICES))
    inputs = FrameSet(tuple(Frame(path, tag) for path, tag in frames))
    at = replace(context, output_dir=folder)
    product = mask_cube(inputs, own, (6800.0, 7200.0), Header(), ((), ()), at)
    assert product.file.finish(Header()).name == "GEOMETRY_CUBE.fits"
    cube = open_cube(folder / "GEOMETRY_CUBE.fits")
    assert cube.shape[0] == 321  # 400 Angstrom in steps of 1.25
    white = product.file.images[0][1]
    places = product.file.grid.spatial.centres(white.shape[1], 0, white.shape[0])
    # holes stand in columns of 25.106 pix, on both sides of the middle; nothing is between them
    column = (places[0] - 0.5 * 25.106) / 25.106
    near = np.abs(column - np.round(column)) * 25.106
    lit = np.isfinite(white)
    assert np.nanmean(white[lit & (near < 1.0)]) > 20 * abs(np.nanmean(white[lit & (near > 5.0)]))


def test_a_picture_of_another_frame_is_shown_without_ifus_that_it_lacks(frames, result, context, caplog):
    _, products = result
    truth = Geometry.from_columns(make_geometry(1).table())
    own = truth.where((truth.ifu == IFU) & np.isin(truth.slice_ccd, SLICES))
    pairs = [*frames, (frames[0][0], "MASK_CHECK")]
    inputs = FrameSet(tuple(Frame(path, tag) for path, tag in pairs))
    at = replace(context, output_dir=products["MASK_COMBINED"].parent)
    other = replace(own, ifu=np.full(len(own), 13, np.int32))  # which no frame has
    caplog.set_level(logging.WARNING, "cascade.recipe")
    logging.getLogger("cascade.recipe").propagate = True
    check = Frame(frames[0][0], "MASK_CHECK")
    picture = check_picture(check, 1, inputs, joined([own, other]), (6800.0, 7200.0), (), at)
    assert "has no IFU 13" in caplog.text
    assert (picture.tag, picture.number, picture.data.ndim) == ("GEOMETRY_CHECK", 1, 2)
    assert np.isfinite(picture.data).sum() > 2 * 75
