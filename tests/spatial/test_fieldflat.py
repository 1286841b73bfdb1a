"""Rows are divided by the flat field of the sky."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.spatial.fieldflat import FieldFlat


def flat() -> FieldFlat:
    values = np.arange(1, 25, dtype=np.float32).reshape(2, 3, 4)
    return FieldFlat(values, (-1.0, -2.0, 5000.0), (1.0, 2.0, 100.0))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((-1.0, -2.0, 5000.0), 1.0),
        ((-0.6, -2.0, 5000.0), 1.0),  # nearest spaxel
        ((-0.4, -2.0, 5000.0), 2.0),
        ((-1.0, 1.2, 5000.0), 9.0),
        ((-1.0, -2.0, 5025.0), 4.0),  # a quarter of the way from 1 to 13
        ((-9.0, -9.0, 4000.0), 1.0),  # the border beyond it
        ((99.0, 99.0, 9000.0), 24.0),
    ],
)
def test_the_value_is_that_of_the_place(place: tuple[float, float, float], expected: float) -> None:
    x, y, wave = (np.array([value], np.float32) for value in place)
    data, stat = np.array([48.0], np.float32), np.array([4.0], np.float32)
    flat().divide(x, y, wave, data, stat)
    assert data[0] == pytest.approx(48.0 / expected)
    assert stat[0] == pytest.approx(4.0 / expected**2)


def test_a_single_plane_serves_all_wavelengths() -> None:
    single = FieldFlat(np.full((1, 1, 1), 2.0, np.float32), (0.0, 0.0, 5000.0), (1.0, 1.0, 1.0))
    data, stat = np.array([6.0, 8.0], np.float32), np.array([4.0, 4.0], np.float32)
    zero = np.zeros(2, np.float32)
    single.divide(zero, zero, np.array([4000.0, 9000.0], np.float32), data, stat)
    np.testing.assert_allclose(data, [3.0, 4.0])


def test_what_is_no_cube_is_refused() -> None:
    with pytest.raises(DataError, match="is no flat field"):
        FieldFlat(np.zeros((0, 2, 2), np.float32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
