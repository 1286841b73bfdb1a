"""Tiles of images: averages of blocks of whatever part, whatever the edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import MissingInputError, ParameterError
from core.fitsfile.header import Header
from core.formats.image import MuseImage, write_image
from core.previews import tiles
from core.previews.tiles import image_facts, make_tile


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    data = np.random.default_rng(1).normal(100, 5, (70, 90)).astype(np.float32)
    data[3:9, 4:10] = np.nan
    what = MuseImage(data, np.zeros(data.shape, np.int32), np.ones_like(data), Header(), "adu")
    return Path(write_image(tmp_path_factory.mktemp("tiles") / "MASTER_BIAS-01.fits", what, ifu=1)), data


@settings(max_examples=20, deadline=None)
@given(factor=st.integers(1, 32), size=st.sampled_from([4, 16, 256]), slab=st.sampled_from([1, 1 << 19]))
def test_tiles_put_together_are_the_averages_of_the_image(
    image: tuple[Path, np.ndarray], factor: int, size: int, slab: int
) -> None:
    path, data = image
    ny, nx = (-(-length // factor) for length in data.shape)
    padded = np.full((ny * factor, nx * factor), np.nan)
    padded[: data.shape[0], : data.shape[1]] = data
    cells = padded.reshape(ny, factor, nx, factor)
    number = np.isfinite(cells).sum(axis=(1, 3))
    expected = np.where(number, np.nansum(cells, axis=(1, 3)) / np.maximum(number, 1), np.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TILE", size)
        patch.setattr(tiles, "_SLAB_PIXELS", slab)
        rows = [
            np.hstack([make_tile(path, "DATA", factor, column, row) for column in range(-(-nx // size))])
            for row in range(-(-ny // size))
        ]
    np.testing.assert_allclose(np.vstack(rows), expected, rtol=1e-6)


def test_facts_are_those_of_the_image(image: tuple[Path, np.ndarray]) -> None:
    path, data = image
    facts = image_facts(path, "DATA")
    assert (facts.width, facts.height, facts.unit) == (90, 70, "adu")
    assert facts.minmax == pytest.approx((np.nanmin(data), np.nanmax(data)))
    assert facts.minmax[0] <= facts.zscale[0] < facts.zscale[1] <= facts.minmax[1]


@pytest.mark.parametrize(("factor", "column", "row"), [(0, 0, 0), (33, 0, 0), (1, 1, 0), (1, 0, 1), (1, -1, 0)])
def test_what_is_no_tile_is_refused(image: tuple[Path, np.ndarray], factor: int, column: int, row: int) -> None:
    with pytest.raises(ParameterError, match="has no tile"):
        make_tile(image[0], "DATA", factor, column, row)


def test_an_extension_that_is_not_there_is_refused(image: tuple[Path, np.ndarray]) -> None:
    with pytest.raises(MissingInputError, match="no image FOO"):
        make_tile(image[0], "FOO", 1, 0, 0)
