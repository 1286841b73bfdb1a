"""Illumination factors, spectra side by side, and the field of view as an image."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.spatial.fieldview import FieldView, joined
from core.spatial.illumination import Illumination
from core.spatial.picture import RowsOfSlice, spectra_side_by_side


def test_factors_are_inverse_to_the_brightness_and_one_on_average() -> None:
    found = Illumination.of({1: 100.0, 2: 200.0, 5: 400.0})
    assert found.mean == pytest.approx(1)
    assert found.factors[1] == pytest.approx(2 * found.factors[2])
    assert found.factors[2] == pytest.approx(2 * found.factors[5])
    assert found.stdev == pytest.approx(np.std(list(found.factors.values()), ddof=1))
    assert Illumination.of({1: 3.0}).stdev == 0


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_slice_without_light_is_told(value: float) -> None:
    with pytest.raises(DataError, match="no light in slice 7"):
        Illumination.of({1: 10.0, 7: value})


def rows(x: list[float], wave: list[float], data: list[float], dq: list[int]) -> RowsOfSlice:
    cells = (np.array(values, np.float32) for values in (x, wave, data))
    return RowsOfSlice(*cells, np.array(dq, np.int32))


def test_spectra_lie_side_by_side() -> None:
    left = rows([0, 0, 1], [5000, 5001, 5000], [1, 2, 3], [0, 0, 0])
    right = rows([7, 7], [5000, 5002], [10, 20], [0, 32])
    found = spectra_side_by_side([left, right], (5000.0, 5002.0), 1.0)
    assert found.shape == (3, 3)
    assert found[0].tolist() == [1, 3, 10]
    assert found[1, 0] == 2
    assert found[1, 2] == 10  # the neighbour, a step away
    assert np.isnan(found[2, 1])
    assert spectra_side_by_side([], (5000.0, 5002.0), 1.0).shape == (3, 0)


def test_the_field_is_the_mean_of_the_rows_at_their_nearest_spaxels() -> None:
    view = FieldView((0.0, 10.0), (2.0, 12.0))
    x = np.array([0.2, -0.2, 2.0, 9.0, 1.0], np.float32)
    y = np.array([10.0, 10.4, 12.0, 10.0, 11.0], np.float32)
    data = np.array([1.0, 3.0, 5.0, 7.0, 9.0], np.float32)
    view.add(x, y, data, np.array([0, 0, 0, 0, 256], np.int32))
    image = view.image()
    assert image[0, 0] == 2
    assert image[2, 2] == 5
    assert np.count_nonzero(np.isfinite(image)) == 2
    assert view.extent == (-0.5, 2.5, 9.5, 12.5)


def test_several_images_are_joined_by_their_median_and_gaps_are_closed() -> None:
    images = [np.full((3, 2), value, np.float32) for value in (1.0, 2.0, 900.0)]
    for image in images:
        image[1, 0] = np.nan
        image[0, 1] = np.nan
    found = joined(images)
    assert found[0, 0] == 2
    assert found[1, 0] == 2  # between two spaxels that have values
    assert np.isnan(found[0, 1])
