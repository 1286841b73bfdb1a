"""The pictures of finished blocks: what they sample is right, and each procedure makes the files it names."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.geometry import Detector
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.image import MuseImage, write_image
from core.formats.tables import (
    TRACE_SAMPLES,
    WAVECAL_RESIDUALS,
    MuseTable,
    trace_table_format,
    wavecal_table_format,
    write_table,
)
from core.instruments.muse.facts import N_SLICES
from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.run import Pictures, make_plots, procedure_of
from core.procedures.sample import Difference, gauss_of, product_rows, raw_rows, sample
from core.procedures.style import limits
from core.recipes.results import WrittenProduct
from core.simulator.night import NightPlan, simulate_night

NY, NX = 240, 320


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One raw bias of IFUs 1 and 2."""
    folder = tmp_path_factory.mktemp("raw")
    plan = NightPlan(n_bias=1, n_dark=0, n_flat=0, n_arc=0, n_illum=0)
    (path,) = simulate_night(folder, "2026-11-01", (1, 2), plan, detector=Detector(nx=NX // 2, ny=NY // 2))
    return path


def write_master(path: Path, ifu: int, data: Any, unit: str = "adu", **qc: float) -> Path:
    header = Header()
    set_key(header, "EXTNAME", f"CHAN{ifu:02d}")
    for name, value in qc.items():
        set_key(header, name.replace("_", "."), value)
    array = np.asarray(data, dtype=np.float32)
    image = MuseImage(array, np.zeros(array.shape, np.int32), np.ones(array.shape, np.float32), header, unit)
    return write_image(path, image, ifu)


def job(folder: Path, recipe: str, raws: list[Path], references: Sequence[WrittenProduct] = ()) -> ProcedureInput:
    return ProcedureInput.of_run("block-1", recipe, raws, folder, references)


def drawn(block: ProcedureInput, folder: Path, processes: int = 1) -> tuple[PlotFile, ...]:
    """All pictures of a block; none may be missing."""
    pictures = make_plots(block, folder, processes)
    assert pictures.missing == ()
    return pictures.plots


def png_size(plot: PlotFile) -> tuple[int, int]:
    data = Path(plot.path).read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_products_are_found_by_the_names_that_recipes_give(tmp_path: Path) -> None:
    for name in ("MASTER_FLAT-01.fits", "MASTER_FLAT-24.fits", "TRACE_TABLE.fits", "notes.txt", "x-01.fits"):
        (tmp_path / name).touch()
    block = job(tmp_path, "muse_flat", [])
    assert set(block.products) == {("MASTER_FLAT", 1), ("MASTER_FLAT", 24), ("TRACE_TABLE", None)}
    assert block.units("MASTER_FLAT") == (1, 24)
    assert block.raws == ()


def test_a_sample_holds_cuts_profiles_and_pixels_of_the_image(tmp_path: Path) -> None:
    y, x = np.mgrid[0:NY, 0:NX].astype(float)
    image = 2.0 * x + 1000.0 * y
    found = sample(product_rows(write_master(tmp_path / "MASTER_BIAS-01.fits", 1, image), 1))
    assert found.shape == (NY, NX)
    # the cuts average nine rows (columns) around a quarter of the image
    np.testing.assert_allclose(found.x_cut, 2.0 * np.arange(NX) + 1000.0 * (NY // 4), rtol=1e-6)
    np.testing.assert_allclose(found.y_cut, 2.0 * (NX // 4) + 1000.0 * np.arange(NY), rtol=1e-6)
    np.testing.assert_allclose(found.x_profile, image.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.y_profile, image.mean(axis=1), rtol=1e-6)
    assert found.pixels.size == NY * NX  # small enough to take all
    assert found.median == pytest.approx(np.median(image), rel=1e-6)
    # thumbnail of blocks of 3 x 3 pixels
    np.testing.assert_allclose(found.thumbnail[0, 0], image[:3, :3].mean(), rtol=1e-6)
    assert found.thumbnail.shape == (NY // 3, NX // 3)


def test_a_quick_sample_reads_less_and_agrees(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(5.0, 2.0, (1024, 512))
    rows = product_rows(write_master(tmp_path / "MASTER_BIAS-01.fits", 1, image), 1)
    quick = sample(rows, quick=True)
    # 4 slabs of 16 of 1024 rows: the median of 8192 pixels or more is known to 0.03
    assert quick.median == pytest.approx(5.0, abs=0.15)
    assert quick.sigma == pytest.approx(2.0, rel=0.1)
    assert quick.thumbnail.shape[1] == 64


def test_a_raw_frame_is_trimmed_to_lie_on_the_master(raw: Path) -> None:
    rows = raw_rows(raw, 2)
    assert rows.shape == (NY, NX)
    with fits.open(raw) as hdus:
        whole = hdus["CHAN02"].data.astype(np.float32)
    detector = Detector(nx=NX // 2, ny=NY // 2)
    expected = np.block(
        [
            [whole[detector.raw_window(1)], whole[detector.raw_window(2)]],
            [whole[detector.raw_window(4)], whole[detector.raw_window(3)]],
        ]
    )
    np.testing.assert_array_equal(rows.read_rows(0, NY), expected)
    # across the middle, where the overscans lie
    np.testing.assert_array_equal(rows.read_rows(NY // 2 - 3, NY // 2 + 5), expected[NY // 2 - 3 : NY // 2 + 5])


def test_a_difference_is_a_difference(tmp_path: Path) -> None:
    first = product_rows(write_master(tmp_path / "MASTER_BIAS-01.fits", 1, np.full((64, 64), 3.0)), 1)
    second = product_rows(write_master(tmp_path / "MASTER_BIAS-02.fits", 2, np.full((64, 64), 1.0)), 2)
    found = sample(Difference(first, second))
    assert found.median == 2.0
    assert found.sigma == 0.0


def test_the_gauss_of_a_histogram_ignores_hot_pixels() -> None:
    pixels = np.random.default_rng(2).normal(-0.5, 1.3, 200_000).astype(np.float32)
    pixels[:1000] = 1e5
    centre, sigma = gauss_of(pixels)
    # standard errors 0.003 and 0.002; 0.5 % of hot pixels shift the start only
    assert centre == pytest.approx(-0.5, abs=0.02)
    assert sigma == pytest.approx(1.3, rel=0.02)


def test_the_gauss_of_a_constant_has_no_width() -> None:
    assert gauss_of(np.full(10, 4.0, np.float32)) == (4.0, 0.0)


def test_axis_limits_show_the_bulk() -> None:
    values = np.concatenate([np.linspace(0, 1, 1000), [1e9]])
    low, high = limits([values])
    assert -0.3 < low < 0
    assert 1 < high < 1.3
    assert limits([np.array([np.nan])]) == (0.0, 1.0)
    assert limits([np.array([2.0, 2.0])]) == pytest.approx((1.35, 2.65))


@pytest.mark.parametrize(
    ("recipe", "tag", "stem"), [("muse_bias", "MASTER_BIAS", "bias"), ("muse_dark", "MASTER_DARK", "dark")]
)
def test_detector_procedures_make_nine_panels_and_an_overview(
    tmp_path: Path, raw: Path, recipe: str, tag: str, stem: str
) -> None:
    noise = np.random.default_rng(3).normal(0.0, 1.0, (NY, NX))
    for ifu in (1, 2):
        write_master(tmp_path / f"{tag}-{ifu:02d}.fits", ifu, noise)
    earlier = write_master(tmp_path / "earlier.fits", 1, noise + 1)
    folder = tmp_path / "plots"
    folder.mkdir()
    references = [WrittenProduct(tag, earlier, 1)]
    plots = drawn(job(tmp_path, recipe, [raw], references), folder)
    assert [(plot.name, plot.unit) for plot in plots] == [(f"{stem}1", None), (f"{stem}0-01", 1), (f"{stem}0-02", 2)]
    assert {png_size(plot) for plot in plots[1:]} == {(1200, 800)}
    assert "minus the one before" in plots[1].caption
    assert "no earlier one" in plots[2].caption


def test_every_detector_gets_panels_and_is_in_the_overview(tmp_path: Path) -> None:
    for ifu in range(1, 25):
        write_master(tmp_path / f"MASTER_BIAS-{ifu:02d}.fits", ifu, np.full((32, 32), float(ifu)))
    folder = tmp_path / "plots"
    folder.mkdir()
    block = job(tmp_path, "muse_bias", [])
    plots = drawn(block, folder, processes=2)
    assert [plot.unit for plot in plots] == [None, *range(1, 25)]
    width, height = png_size(plots[0])
    assert width == 1200
    assert height > 500


def test_what_goes_wrong_with_one_ifu_is_told_and_takes_nothing_from_the_others(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for ifu in (1, 2, 3):
        write_master(tmp_path / f"MASTER_BIAS-{ifu:02d}.fits", ifu, np.full((32, 32), float(ifu)))
    earlier = tmp_path / "earlier.fits"
    earlier.write_bytes(b"no FITS file")
    folder = tmp_path / "plots"
    folder.mkdir()
    block = job(tmp_path, "muse_bias", [], [WrittenProduct("MASTER_BIAS", earlier, 2)])
    pictures = make_plots(block, folder, processes=2)
    assert [plot.name for plot in pictures.plots] == ["bias1", "bias0-01", "bias0-03"]
    (missing,) = pictures.missing
    assert missing.startswith("IFU 2: BadFitsError: ")
    assert "Traceback" in capfd.readouterr().err


def trace_table() -> MuseTable:
    centres = np.linspace(30, NX - 30, N_SLICES)
    columns: dict[str, Any] = {"SliceNo": np.arange(1, N_SLICES + 1), "Width": np.full(N_SLICES, 4.0)}
    for part, shift in enumerate((0.0, -2.0, 2.0)):
        columns[f"tc{part}_00"] = centres + shift
        columns[f"tc{part}_01"] = np.full(N_SLICES, 0.01)
        columns[f"MSE{part}"] = np.zeros(N_SLICES)
    return MuseTable(columns, Header())


def test_the_lamp_flat_procedure_adds_slice_fluxes_and_traces(tmp_path: Path, raw: Path) -> None:
    flux = {f"QC_FLAT_MASTER_SLICE{n}_{what}": 4.5e4 + n for n in range(1, N_SLICES + 1) for what in ("MEAN", "STDEV")}
    write_master(tmp_path / "MASTER_FLAT-01.fits", 1, np.ones((NY, NX)), "count", **flux)
    table = trace_table()
    write_table(tmp_path / "TRACE_TABLE-01.fits", trace_table_format(1), table, 1)
    number = np.repeat(np.arange(1, N_SLICES + 1), 5)
    middle = np.repeat(np.linspace(30, NX - 30, N_SLICES), 5)
    samples = {"slice": number, "y": np.tile(np.linspace(10, NY, 5), N_SLICES), "mid": middle}
    samples |= {"left": middle - 2, "right": middle + 2}
    write_table(tmp_path / "TRACE_SAMPLES-01.fits", TRACE_SAMPLES, MuseTable(samples, Header()), 1)
    folder = tmp_path / "plots"
    folder.mkdir()
    plots = drawn(job(tmp_path, "muse_flat", [raw]), folder)
    names = ["lampflat1", "lampflat2", "trace0", "lampflat0-01", "trace1-01", "trace2-01"]
    assert [plot.name for plot in plots] == names
    assert [plot.unit for plot in plots] == [None, None, None, 1, 1, 1]
    for plot in plots:
        assert png_size(plot)[0] >= 600


def test_the_arc_procedure_plots_the_qc_of_the_slices(tmp_path: Path) -> None:
    fmt = wavecal_table_format(1, 1)
    header = Header()
    for number in range(1, N_SLICES + 1):
        set_key(header, f"QC.WAVECAL.SLICE{number}.FIT.RMS", 0.025)
    columns = {column.name: np.zeros(N_SLICES) for column in fmt.columns}
    write_table(tmp_path / "WAVECAL_TABLE-01.fits", fmt, MuseTable(columns, header), 1)
    points = 600
    dice = np.random.default_rng(4)
    residuals = {
        "slice": np.repeat(np.arange(1, N_SLICES + 1), points // N_SLICES + 1)[:points],
        "iteration": np.ones(points),
        "x": dice.integers(1, NX, points),
        "y": dice.uniform(1, NY, points),
        "lambda": dice.uniform(4700, 9300, points),
        "residual": dice.normal(0, 0.02, points),
        "rejlimit": np.full(points, 0.06),
    }
    write_table(tmp_path / "WAVECAL_RESIDUALS-01.fits", WAVECAL_RESIDUALS, MuseTable(residuals, Header()), 1)
    folder = tmp_path / "plots"
    folder.mkdir()
    plots = drawn(job(tmp_path, "muse_wavecal", []), folder)
    # a picture without a single value is not made
    assert [plot.name for plot in plots] == ["arc0", "arc2-01", "arc3-01"]
    assert png_size(plots[0])[0] == 1200


def test_a_recipe_without_procedure_has_no_pictures(tmp_path: Path) -> None:
    assert procedure_of("muse_lsf") is None
    assert make_plots(job(tmp_path, "muse_lsf", []), tmp_path) == Pictures()
