"""A vignetted part of the field: where it is, and how much light is lost."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.spatial.vignetting import Smoothing, corner_mask, fit_vignetting, top_mask

SHAPE = (40, 50)
FIELD = np.ones(SHAPE, bool)


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
@pytest.mark.parametrize("size", [(300, 320), (20, 24), (31, 41)])
def test_a_mask_of_any_size_goes_into_its_corner(corner: tuple[int, int], size: tuple[int, int]) -> None:
    mask = np.zeros(size, bool)
    mask[corner] = True
    placed = corner_mask(mask, SHAPE)
    assert placed[corner]
    assert placed.sum() == 1


def test_a_mask_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="masks nothing"):
        corner_mask(np.zeros((10, 10), bool), SHAPE)


@pytest.mark.parametrize(("rows", "found"), [(10, 11), (22, 23), (0, 23), (-1, 23), (40, 23), (39, 40)])
def test_the_upper_rows_are_masked_in_narrow_field_mode(rows: int, found: int) -> None:
    mask = top_mask(SHAPE, rows)
    np.testing.assert_array_equal(mask.any(axis=1), np.arange(SHAPE[0]) >= SHAPE[0] - found)
    assert mask[-1].all()


def corner() -> tuple[np.ndarray, np.ndarray]:
    """A corner with up to 10 % more light, and where it is."""
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    part = (x >= 30) & (y < 18)
    return np.where(part, 1 + 0.1 * ((x - 30) / 20) * (1 - y / 18), 1).astype(np.float32), part


@pytest.mark.parametrize(("method", "tolerance"), [("polyfit", 1e-4), ("median", 0.012), ("gaussian", 0.03)])
def test_each_method_finds_a_loss(method: str, tolerance: float) -> None:
    truth, part = corner()
    found = fit_vignetting(truth, FIELD, part, Smoothing(method, edge=0.0), narrow=False)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.factor[part], truth[part], atol=tolerance)
    np.testing.assert_array_equal(found.factor[~part], 1)
    np.testing.assert_array_equal(found.used, part)


@pytest.mark.parametrize("method", ["polyfit", "median", "gaussian"])
def test_the_factor_of_the_wide_field_is_at_least_1(method: str) -> None:
    _, part = corner()
    found = fit_vignetting(np.full(SHAPE, 0.9, np.float32), FIELD, part, Smoothing(method), narrow=False)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.factor, 1)


def test_spaxels_at_edges_do_not_count() -> None:
    white, part = corner()
    white[5, 40] = 1.5
    white[8, 41] = 0.9
    found = fit_vignetting(white, FIELD, part, Smoothing(edge=0.02), narrow=False)
    assert not found.used[5, 40]
    assert not found.used[8, 41]
    assert found.used[12, 35]
    np.testing.assert_allclose(found.factor[10, 35], white[10, 35], atol=3e-3)


def test_in_narrow_field_mode_the_factor_is_at_most_1_and_ends_where_no_light_is_lost() -> None:
    y = np.arange(SHAPE[0], dtype=np.float32)
    fall = np.where(y > 25, 1 - 0.3 * ((y - 25) / 14) ** 2, 1).astype(np.float32)
    white = np.repeat(fall[:, None], SHAPE[1], axis=1)
    white[:24] = 0.95
    found = fit_vignetting(white, FIELD, top_mask(SHAPE, 22), Smoothing(), narrow=True)
    assert found.factor.max() <= 1
    np.testing.assert_allclose(found.factor[27:-1], white[27:-1], atol=0.01)
    assert not found.part[:20].any()
    assert found.part[-1].all()


def test_rows_of_the_mask_without_light_are_not_extrapolated_to() -> None:
    white = np.full(SHAPE, 1.0, np.float32)
    white[32:] -= 0.005 * np.arange(8)[:, None].astype(np.float32)
    field = FIELD.copy()
    field[10:28] = False  # a gap within the mask
    found = fit_vignetting(white, field, top_mask(SHAPE, 22), Smoothing(), narrow=True)
    assert not found.part[:28].any()
    np.testing.assert_array_equal(found.factor[:28], 1)
    np.testing.assert_allclose(found.factor[33:-1], white[33:-1], atol=0.005)
