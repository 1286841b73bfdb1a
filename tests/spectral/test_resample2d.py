"""Resampling of slices side by side, against a twin in numpy that works on the list of all pixels."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.trace_model import Trace
from core.errors import WavelengthError
from core.spectral.dispersion import Dispersion
from core.spectral.resample2d import resample_slices

NY = 60
SLICES = (1, 2, 3)


@pytest.fixture
def trace():
    # edges that neither stand on a pixel nor follow the columns: places fall between output columns
    center = [np.array([50.3 + 90.0 * k, 0.013]) for k in range(3)]
    width = np.array([76.4, 76.9, 75.7])
    left = [c - np.array([0.5 * w, 0.0]) for c, w in zip(center, width, strict=True)]
    right = [c + np.array([0.5 * w, 0.0]) for c, w in zip(center, width, strict=True)]
    columns = Trace.from_polynomials(SLICES, np.array(center), np.array(left), np.array(right)).columns()
    return Trace.from_columns(columns)


@pytest.fixture
def dispersion():
    # lambda = 5000 + 1.2 y + tilt x
    coefficients = np.zeros((3, 2, 2))
    coefficients[:, 0, 0], coefficients[:, 0, 1], coefficients[:, 1, 0] = 5000.0, 1.2, [0.011, -0.007, 0.002]
    return Dispersion(np.array(SLICES, np.int32), coefficients, np.zeros(3))


def twin(data, dq, trace, dispersion):
    place, wave, value, good = [], [], [], []
    for number in SLICES:
        for y in range(1, NY + 1):
            left, right = float(trace.left(number, y)), float(trace.right(number, y))
            x = np.arange(np.ceil(left), np.floor(right) + 1)
            place.append(82.2 * (number - 0.5) + (0.5 * (left + right) - x) / (right - left) * 75)
            wave.append(dispersion.wavelength(number, x, y))
            value.append(data[y - 1, x.astype(int) - 1])
            good.append(dq[y - 1, x.astype(int) - 1] == 0)
    place, wave = np.concatenate(place).astype("f4").astype(float), np.concatenate(wave).astype("f4").astype(float)
    value, good = np.concatenate(value), np.concatenate(good)
    column = np.floor(place - place.min() + 0.5).astype(int)
    position = (wave - wave.min()) / 1.25
    n_wave, n_x = (int(np.ceil(v)) + 1 for v in ((wave.max() - wave.min()) / 1.25, place.max() - place.min()))
    sums, weights = np.zeros((n_wave, n_x)), np.zeros((n_wave, n_x))
    for step in (-1, 0, 1):
        row = np.floor(position + 0.5).astype(int) + step
        use = good & (row >= 0) & (row < n_wave)
        r = np.abs(position - row) * 1.25
        near = np.where(r > 0, r, 1.0)
        w = np.where(r == 0, 1e30, np.where(r < 1.5625, ((1.5625 - near) / (1.5625 * near)) ** 2, 1e-30))
        np.add.at(sums, (row[use], column[use]), (w * value)[use])
        np.add.at(weights, (row[use], column[use]), w[use])
    return np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0), float(wave.min())


def test_each_pixel_goes_to_the_column_of_its_place(trace, dispersion):
    rng = np.random.default_rng(4)
    data = rng.normal(100.0, 10.0, (NY, 290)).astype(np.float32)
    dq = np.where(rng.random((NY, 290)) < 0.1, 32, 0).astype(np.int32)
    resampled = resample_slices(data, dq, trace, dispersion)
    expected, first = twin(data, dq, trace, dispersion)
    assert resampled.data.shape == expected.shape
    assert (resampled.first_wave, resampled.step) == (first, 1.25)
    np.testing.assert_allclose(resampled.data, expected, rtol=1e-6)
    # a flagged pixel leaves no hole where the next row is within one and a half bins
    inner = resampled.data[3:-3, 3:70]
    assert (inner == 0).mean() < 0.01


def test_no_solution_no_image(trace, dispersion):
    lost = Dispersion(dispersion.slice_no, np.full_like(dispersion.coefficients, np.nan), dispersion.mse)
    with pytest.raises(WavelengthError, match="no slice"):
        resample_slices(np.zeros((NY, 290), np.float32), np.zeros((NY, 290), np.int32), trace, lost)
