"""Combination of images: every rule as a small table of numbers, and the row kernels against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.combine import CombineOptions, combine_images, sorting_network
from core.errors import DataError, ParameterError

SQUARE_ROOTS = (5, 5, 6, 7, 8, 8)  # int(sqrt(10 k + 15))
FLAGS = (256, 512, 8192, 32)


def images(n, dq=0):
    """Images k = 1..n of four pixels: k, 2k, k^2, int(sqrt(10k + 15)); variance is half of the value."""
    data = np.array([[[k, 2 * k, k * k, SQUARE_ROOTS[k - 1]]] for k in range(1, n + 1)], np.float32)
    return data, np.full(data.shape, dq, np.int32), data / 2


@pytest.mark.parametrize(
    ("method", "n", "changed", "expected"),
    [
        ({"method": "sum"}, 5, None, (15, 30, 55, 31)),
        ({"method": "average"}, 5, None, (3, 6, 11, 6.2)),
        ({"method": "median"}, 5, None, (3, 6, 9, 6)),
        ({"method": "median"}, 6, None, (3.5, 7, 12.5, 6.5)),
        ({"method": "minmax", "nlow": 1, "nhigh": 2, "nkeep": 0}, 5, None, (2.5, 5, 6.5, 5.5)),
        ({"method": "minmax", "nlow": 1, "nhigh": 3, "nkeep": 0}, 6, None, (2.5, 5, 6.5, 5.5)),
        ({"method": "minmax", "nlow": 1, "nhigh": 0, "nkeep": 0}, 6, -100, (4, 8, 18, 6.2)),
        ({"method": "sigclip", "lsigma": 10, "hsigma": 10}, 5, None, (3, 6, 11, 6.2)),
        ({"method": "sigclip", "lsigma": 3, "hsigma": 1}, 6, None, (3, 6, 7.5, 5.75)),
        ({"method": "sigclip", "lsigma": 3, "hsigma": 1}, 6, -100, (3, 6, 7.5, 6.2)),
    ],
)
def test_unflagged_images(method, n, changed, expected):
    data, dq, stat = images(n)
    if changed is not None:
        data[5, 0, 3] = changed
    value, flags, _ = combine_images(data, dq, stat, CombineOptions(**method))
    assert value[0] == pytest.approx(expected, rel=1e-6)
    assert not flags.any()


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ({"method": "sum"}, (15, 30, 57.5, 31.25)),
        ({"method": "average"}, (3, 6, 11.5, 6.25)),
        ({"method": "median"}, (3, 6, 10, 6)),
        ({"method": "sigclip", "lsigma": 10, "hsigma": 10}, (3, 6, 11.5, 6.25)),
    ],
)
def test_flagged_image_is_left_out(method, expected):
    data, dq, stat = images(5)
    dq[2, 0] = FLAGS
    value, flags, _ = combine_images(data, dq, stat, CombineOptions(**method))
    assert value[0] == pytest.approx(expected, rel=1e-6)
    assert not flags.any()


def test_minmax_admits_flagged_values_again_if_too_few_are_left():
    data, dq, stat = images(5)
    dq[2, 0] = FLAGS
    value, flags, _ = combine_images(data, dq, stat, CombineOptions("minmax", nlow=2, nhigh=1, nkeep=2))
    assert value[0] == pytest.approx((3.5, 7, 12.5, 6.5), rel=1e-6)
    assert tuple(flags[0]) == FLAGS


@pytest.mark.parametrize("method", ["median", "average", "minmax", "sigclip"])
def test_least_flagged_image_counts_where_none_is_good(method):
    data, dq, stat = images(5, dq=16384)
    dq[2, 0] = FLAGS
    value, flags, variance = combine_images(data, dq, stat, CombineOptions(method))
    assert value[0] == pytest.approx(data[2, 0])
    assert variance[0] == pytest.approx(stat[2, 0])
    assert tuple(flags[0]) == FLAGS


def test_sum_of_flagged_images_scales_the_least_flagged():
    data, dq, stat = images(5, dq=8192)
    dq[0] = 32
    value, flags, variance = combine_images(data, dq, stat, CombineOptions("sum"))
    assert value[0] == pytest.approx((5, 10, 5, 25))
    assert variance[0] == pytest.approx(25 * stat[0, 0])
    assert np.all(flags == 32)


def test_first_image_wins_a_tie_of_flags():
    data, dq, stat = images(5, dq=256)
    value, _, _ = combine_images(data, dq, stat, CombineOptions("average"))
    assert value[0] == pytest.approx(data[0, 0])


def test_flags_are_compared_without_sign():
    data, dq, stat = images(3, dq=-(2**31))  # bit 31 set: the largest unsigned number
    dq[1] = 2**30
    assert np.array_equal(combine_images(data, dq, stat, CombineOptions("average"))[0], data[1])


@pytest.mark.parametrize("method", ["sum", "average", "median", "minmax", "sigclip"])
def test_identical_images(method):
    one = np.ones((3, 2, 2), np.float32)
    value, _, _ = combine_images(one, np.zeros((3, 2, 2), np.int32), one, CombineOptions(method))
    assert np.all(value == (3 if method == "sum" else 1))


def test_outlier_of_three_at_exactly_three_deviations_is_kept():
    data = np.array([0, 0, 9], np.float32).reshape(3, 1, 1)
    value, _, _ = combine_images(data, np.zeros(data.shape, np.int32), data, CombineOptions("sigclip"))
    assert value[0, 0] == 3


@pytest.mark.parametrize("n", [4, 6])
def test_limits_that_keep_nothing_keep_all(n):
    data = np.repeat([0.0, 2.0], n // 2).astype(np.float32).reshape(n, 1, 1)
    options = CombineOptions("sigclip", lsigma=0.5, hsigma=0.5)
    flags = np.zeros(data.shape, np.int32)
    assert combine_images(data, flags, data, options)[0][0, 0] == 1
    # the same with a flagged image besides, which is handled pixel by pixel
    data = np.concatenate((data, np.full((1, 1, 1), 77, np.float32)))
    flags = np.concatenate((flags, np.full((1, 1, 1), 256, np.int32)))
    assert combine_images(data, flags, data, options)[0][0, 0] == 1


def twin(data, dq, stat, options):
    """Plain numpy, pixel by pixel."""
    _, ny, nx = data.shape
    out = np.zeros((ny, nx)), np.zeros((ny, nx))
    for y in range(ny):
        for x in range(nx):
            good = dq[:, y, x] == 0
            order = np.argsort(data[good, y, x], kind="stable")
            v, s = data[good, y, x].astype(float)[order], stat[good, y, x].astype(float)[order]
            if options.method == "median":
                half = len(v) // 2
                pick = slice(half, half + 1) if len(v) % 2 else slice(half - 1, half + 1)
                out[0][y, x], out[1][y, x] = v[pick].mean(), s[pick].sum()
                continue
            if options.method == "minmax":
                keep = np.zeros(len(v), bool)
                keep[options.nlow : len(v) - options.nhigh] = True
            elif options.method == "sigclip":
                middle = np.median(v)
                deviation = np.abs(v - middle).mean()
                low, high = middle - options.lsigma * deviation, middle + options.hsigma * deviation
                keep = (v >= low) & (v <= high) if high > low else np.ones(len(v), bool)
            else:
                keep = np.ones(len(v), bool)
            m = keep.sum()
            out[0][y, x], out[1][y, x] = v[keep].mean(), s[keep].sum() / m**2
    return out


@pytest.mark.parametrize("n", [3, 4, 5, 8, 11])
@pytest.mark.parametrize("method", ["average", "median", "minmax", "sigclip"])
def test_kernels_equal_their_numpy_twin(n, method):
    rng = np.random.default_rng(n)
    data = rng.normal(10, 3, (n, 6, 40)).astype(np.float32)
    data[0, :, ::7] += 50  # outliers
    stat = rng.uniform(1, 2, data.shape).astype(np.float32)
    dq = np.where(rng.random(data.shape) < 0.03, 256, 0).astype(np.int32)
    dq[:3] = 0  # at least three good values everywhere
    options = CombineOptions(method, lsigma=1.5, hsigma=1.8)
    value, flags, variance = combine_images(data, dq, stat, options)
    expected, expected_variance = twin(data, dq, stat, options)
    # float32 results of float64 sums
    assert np.allclose(value, expected, rtol=2e-7, atol=1e-6)
    assert np.allclose(variance, expected_variance, rtol=2e-7)
    assert not flags.any()


@pytest.mark.parametrize("n", range(1, 21))
def test_sorting_network_sorts(n):
    rng = np.random.default_rng(n)
    for _ in range(20):
        values = rng.permutation(n)
        for i, j in sorting_network(n):
            if values[i] > values[j]:
                values[i], values[j] = values[j], values[i]
        assert list(values) == sorted(values)


def test_single_image_is_copied_with_its_flags():
    data, dq, stat = images(1, dq=256)
    value, flags, variance = combine_images(data, dq, stat, CombineOptions("sigclip"))
    assert np.array_equal(value, data[0])
    assert np.array_equal(flags, dq[0])
    assert np.array_equal(variance, stat[0])


def test_impossible_combinations_are_refused():
    data, dq, stat = images(2)
    with pytest.raises(ParameterError, match="at least 3 images"):
        combine_images(data, dq, stat, CombineOptions("sigclip"))
    with pytest.raises(ParameterError, match="at least 3 images, there are 2"):
        combine_images(data, dq, stat, CombineOptions("minmax"))
    with pytest.raises(DataError):
        combine_images(data[:0], dq[:0], stat[:0], CombineOptions("average"))
    with pytest.raises(DataError):
        combine_images(data, dq[:1], stat, CombineOptions("average"))
