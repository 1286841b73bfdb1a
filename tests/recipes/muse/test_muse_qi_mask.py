"""muse_qi_mask on a small detector: the numbers are those of the reference pipeline on the same tables."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.trace_model import Trace
from core.formats.tables import MuseTable, trace_table_format, wavecal_table_format, write_table
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.recipes.results import RecipeFailedError

# First and last column and row in the raw frame.
BOXES = {1: (62, 71, 38, 875), 24: (344, 417, 33, 852), 25: (420, 429, 33, 851), 48: (702, 711, 33, 827)}
SUM = 344142


@pytest.fixture
def tables(tmp_path: Path) -> list[tuple[Path, str]]:
    """Straight slices 12.25 pix apart, and wavelengths that rise with x, y and y**2."""
    left = np.zeros((48, 2))
    left[:, 0] = 30 + 12.25 * np.arange(48)
    width = np.array([9.25, 0.0])
    trace = Trace.from_polynomials(range(1, 49), left + width / 2, left, left + width)
    numbers = np.arange(1, 49, dtype=np.int32)
    wave: dict[str, np.ndarray] = {"SliceNo": numbers}
    for i in range(2):
        for j in range(3):
            value = {(0, 0): 4600.0, (0, 1): 6.0, (0, 2): 1e-5, (1, 0): 0.5}.get((i, j), 0.0)
            wave[f"wlc{i}{j}"] = np.full(48, value)
    wave["MSE"] = np.full(48, 1e-3)
    return [
        (write_table(tmp_path / "t.fits", trace_table_format(1), MuseTable(trace.columns()), 1), "TRACE_TABLE"),
        (write_table(tmp_path / "w.fits", wavecal_table_format(1, 2), MuseTable(wave), 1), "WAVECAL_TABLE"),
    ]


def run(pairs: list[tuple[Path, str]], folder: Path, nifu: int = 1) -> Path:
    recipe = get_recipe("muse_qi_mask")
    frames = FrameSet(tuple(Frame(path, tag) for path, tag in pairs))
    (product,) = run_recipe(recipe, frames, recipe.Params.parse({"nifu": nifu}), folder).products
    return product.path


def test_slices_are_where_the_raw_frame_has_them(frame_maker: Any, tables: Any, tmp_path: Path) -> None:
    path = run([(frame_maker.write("bias.fits", 1), "BIAS"), *tables], tmp_path)
    assert path.name == "MASK_IMAGE_0001-01.fits"
    with fits.open(path, checksum=True) as hdus:
        primary, header, mask = hdus[0].header, hdus[1].header, hdus[1].data
        assert hdus[1].name == "CHAN01"
        assert (primary["OBJECT"], primary["ESO PRO CATG"]) == ("Mask full MUSE range", "MASK_IMAGE")
        assert (primary["ESO DET FRS WMIN"], primary["ESO DET FRS WMAX"]) == (4650, 9300)
        assert primary["ESO DET READ CURNAME"] == "SCI1.0"
        assert header["ESO DET OUT3 GAIN"] == 1.2
        assert (header["BITPIX"], mask.shape, mask.sum(), mask.max()) == (8, frame_maker.detector.raw_shape, SUM, 1)
        names = [f"{axis}{end}" for axis in "XY" for end in ("START", "END")]
        for number, limits in BOXES.items():
            assert tuple(header[f"ESO DET SLICE{number} {name}"] for name in names) == limits
        x0, x1, y0, y1 = BOXES[48]
        assert mask[y0 - 1 : y1, x0 - 1 : x1].any(axis=1).sum() == y1 - y0 + 1 - 64  # but for the gap
        assert not mask[432:496].any()
        assert not mask[:, 352:416].any()
        assert header["ESO DET WLEN SLICE1 POLY0"] == pytest.approx(4617.3125, abs=1e-3)
        assert header["ESO DET WLEN SLICE48 POLY0"] == pytest.approx(4905.1875, abs=1e-3)
        assert header["ESO DET WLEN POLY1"] == pytest.approx(6.0, rel=1e-6)
        assert header["ESO DET WLEN POLY2"] == pytest.approx(1e-5, rel=1e-5)


def test_without_a_bias_the_detector_is_a_full_one(
    tables: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        path = run(tables, tmp_path, nifu=0)
    assert path.name == "MASK_IMAGE_0001.fits"
    assert "CHAN24 has no mask" in caplog.text
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "CHAN01"]
        assert hdus["CHAN01"].data.shape == (4240, 4224)
        assert hdus["CHAN01"].data.sum() == SUM
        assert hdus["CHAN01"].header["ESO DET SLICE1 YEND"] == 811


def test_an_ifu_without_tables_is_refused(tables: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeFailedError, match="IFU 2"):
        run(tables, tmp_path, nifu=2)
