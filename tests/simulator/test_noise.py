"""Random numbers of pixels: what their distribution is, and that they do not depend on each other."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from scipy.stats import chisquare, kstest, norm, poisson

from core.simulator import noise

N = 400_000
KEY = np.uint64(0x1234_5678_9ABC_DEF1)


@njit
def _normals(key: np.uint64, n: int) -> np.ndarray:
    out = np.empty(n)
    for i in range(n):
        out[i] = noise.normal(key, np.uint64(2 * i))
    return out


@njit
def _counts(key: np.uint64, n: int, mean: float) -> np.ndarray:
    out = np.empty(n)
    for i in range(n):
        out[i] = noise.photons(mean, noise.bits(key, np.uint64(2 * i + 1)))
    return out


@pytest.fixture(scope="module")
def deviates() -> np.ndarray:
    return _normals(KEY, N)


def _word(upper: float, lower: float) -> np.uint64:
    """Bits that are two uniform numbers."""
    return np.uint64((int(upper * 2**32) << 32) | int(lower * 2**32))


def _digitise(mean: np.ndarray, key: np.uint64 = KEY, ron: float = 3.0, level: float = 1000.0) -> np.ndarray:
    """Raw frame of an image with scans of one pixel, gain 1 and no structure of the bias."""
    ny, nx = mean.shape
    out = np.zeros((ny + 4, nx + 4), np.uint16)
    noise.digitise(
        out, mean.astype(np.float32), key, np.zeros((4, ny // 2 + 2), np.float32),
        np.zeros((4, nx // 2 + 2), np.float32), np.full(4, level), np.ones(4), np.full(4, ron), 1, 1,
    )  # fmt: skip
    return out


def _data(raw: np.ndarray) -> np.ndarray:
    """Data sections of a raw frame of `_digitise`: columns and rows between the scans."""
    half_y, half_x = raw.shape[0] // 2, raw.shape[1] // 2
    rows = np.r_[1 : half_y - 1, half_y + 1 : raw.shape[0] - 1]
    columns = np.r_[1 : half_x - 1, half_x + 1 : raw.shape[1] - 1]
    return raw[np.ix_(rows, columns)].astype(float)


# -- deviates ----------------------------------------------------------------------------------------------------------
def test_normal_deviates_are_normal(deviates: np.ndarray) -> None:
    assert deviates.mean() == pytest.approx(0.0, abs=4 / np.sqrt(N))
    assert deviates.var() == pytest.approx(1.0, abs=4 * np.sqrt(2 / N))
    assert kstest(deviates, "norm").pvalue > 0.01
    # the tail beyond the lowest layer of the ziggurat, one in 3900
    beyond = np.abs(deviates) > 3.6541528853610088
    assert beyond.sum() == pytest.approx(2 * N * norm.sf(3.6541528853610088), abs=4 * np.sqrt(2 * N * 1.3e-4))


@pytest.mark.parametrize("mean", [0.003, 0.24, 0.7, 3.1, 12.5, 31.0, 49.9])
def test_photons_are_poisson(mean: float) -> None:
    found = _counts(KEY, N, mean)
    assert found.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / N))
    assert found.var() == pytest.approx(mean, abs=4 * np.sqrt((2 * mean**2 + mean) / N))
    counts = np.arange(int(found.max()) + 2)
    expected = N * np.append(poisson.pmf(counts[:-1], mean), poisson.sf(counts[-2], mean))
    often = expected > 20
    observed = np.bincount(found.astype(int), minlength=len(counts))
    merged = [np.append(values[often], values[~often].sum()) for values in (observed, expected)]
    if merged[1][-1] < 5:
        merged = [values[:-1] for values in merged]
        merged[1] *= merged[0].sum() / merged[1].sum()
    assert chisquare(*merged).pvalue > 0.005


def test_each_half_of_the_bits_is_one_quantile() -> None:
    """A mean of the table needs the upper half alone, one below it the lower half alone."""
    quantiles = np.linspace(0.004, 0.996, 40)
    assert [noise.photons(31.25, _word(u, 0.0)) for u in quantiles] == list(poisson.ppf(quantiles, 31.25))
    assert [noise.photons(0.2, _word(0.0, u)) for u in quantiles] == list(poisson.ppf(quantiles, 0.2))
    assert noise.photons(0.0, _word(0.5, 0.999)) == 0


def test_neighbours_and_the_numbers_of_a_pixel_are_independent(deviates: np.ndarray) -> None:
    limit = 4 / np.sqrt(N)
    for lag in (1, 2, 64, 4240):
        assert abs(np.corrcoef(deviates[lag:], deviates[:-lag])[0, 1]) < limit
        assert abs(np.corrcoef(deviates[lag:] ** 2, deviates[:-lag] ** 2)[0, 1]) < limit
    counts = _counts(KEY, N, 20.0)
    assert abs(np.corrcoef(deviates, counts)[0, 1]) < limit
    assert abs(np.corrcoef(counts[1:], counts[:-1])[0, 1]) < limit


@pytest.mark.parametrize("other", [KEY + np.uint64(1), KEY ^ np.uint64(1 << 63), np.uint64(0)])
def test_exposures_are_independent(deviates: np.ndarray, other: np.uint64) -> None:
    assert abs(np.corrcoef(deviates, _normals(other, N))[0, 1]) < 4 / np.sqrt(N)


# -- frames ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mean", [0.0, 6.0, 45.0, 51.0, 5000.0])
def test_frames_have_photon_and_read_noise(mean: float) -> None:
    found = _data(_digitise(np.full((400, 500), mean))) - 1000.0
    variance = mean + 9.0 + 1 / 12
    assert found.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / found.size))
    assert found.var() == pytest.approx(variance, rel=4 * np.sqrt(2.3 / found.size))
    assert abs(np.corrcoef(found[1:].ravel(), found[:-1].ravel())[0, 1]) < 4 / np.sqrt(found.size)
    assert abs(np.corrcoef(found[:, 1:].ravel(), found[:, :-1].ravel())[0, 1]) < 4 / np.sqrt(found.size)


def test_scans_have_read_noise_alone() -> None:
    raw = _digitise(np.full((40, 60), 3000.0))
    outer = np.concatenate([raw[0], raw[-1], raw[21], raw[22], raw[:, 0], raw[:, -1], raw[:, 31], raw[:, 32]])
    assert np.abs(outer.astype(float) - 1000.0).max() < 15
    assert _data(raw).min() > 3500


def test_a_pixel_keeps_its_noise_whatever_the_light_elsewhere() -> None:
    image = np.full((40, 60), 10.0)
    brighter = image.copy()
    brighter[:, :30] = 400.0
    np.testing.assert_array_equal(_data(_digitise(image))[:, 30:], _data(_digitise(brighter))[:, 30:])


def test_light_lies_where_the_quarters_are_read() -> None:
    image = np.arange(4 * 6, dtype=float).reshape(4, 6) * 1000.0
    found = _data(_digitise(image, ron=0.0)) - 1000.0
    np.testing.assert_allclose(found, image, atol=5 * np.sqrt(24000.0))


def test_adu_are_clipped() -> None:
    assert (_data(_digitise(np.full((4, 6), 90000.0))) == 65535).all()
    assert (_data(_digitise(np.full((4, 6), 0.0), level=-100.0)) == 0).all()
