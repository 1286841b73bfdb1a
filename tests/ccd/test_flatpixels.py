"""Dark, bright and non-positive pixels of a flat field, against a plain numpy twin."""

import numpy as np
import numpy.typing as npt
import pytest

from core.ccd.flatpixels import _median_and_adev, flag_flat_pixels, slice_fluxes
from core.ccd.trace_model import Trace
from core.errors import DataError

NY, NX = 120, 300


def small_trace(lefts: tuple[float, ...] = (10.3, 99.6, 190.2), width: float = 77.4, slope: float = 0.01) -> Trace:
    left = np.zeros((len(lefts), 2))
    left[:, 0], left[:, 1] = lefts, slope
    right = left.copy()
    right[:, 0] += width
    return Trace.from_polynomials(range(1, len(lefts) + 1), (left + right) / 2, left, right)


def make_flat(seed: int = 1) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 5, (NY, NX))
    trace = small_trace()
    x = np.arange(1, NX + 1)
    for slice_no in (1, 2, 3):
        y = np.arange(1, NY + 1)
        left, right = trace.left(slice_no, y)[:, None], trace.right(slice_no, y)[:, None]
        image += 1000 * np.clip(np.minimum((x - left) / 3 + 0.5, (right - x) / 3 + 0.5), 0, 1)
    image += rng.normal(0, 30, image.shape) * (image > 500)
    for factor in (0.05, 0.5, 1.6):  # injected defects
        image[rng.integers(0, NY, 60), rng.integers(0, NX, 60)] *= factor
    image[rng.integers(0, NY, 20), rng.integers(0, NX, 20)] = 0
    return image.astype(np.float32)


def twin(
    data: npt.NDArray[np.float32], trace: Trace, losigma: float, hisigma: float, mean: float
) -> npt.NDArray[np.int32]:
    dq = np.zeros(data.shape, np.int32)
    for slice_no in trace.valid_slices:
        for y in range(1, data.shape[0] + 1):
            first = int(np.ceil(trace.left(slice_no, y)))
            last = int(np.floor(trace.right(slice_no, y)))
            if first < 1 or last > data.shape[1]:
                break
            row = data[y - 1, first - 1 : last].astype(np.float64)
            median = np.median(row)
            adev = np.mean(np.abs(row - median))
            low, high = median - losigma * adev, median + hisigma * adev
            low = low if low > 0 else 1e-4
            bright_left = np.flatnonzero(row[:11] > low)
            bright_right = np.flatnonzero(row[::-1][:9] > low)
            begin = bright_left[0] if len(bright_left) else 0
            end = len(row) - (bright_right[0] if len(bright_right) else 0)
            flags = np.where(row < low, 512, np.where(row > high, 256, 0))
            flags = np.where((row < low) & (row < 0.2 * mean), 576, flags)
            flags[:begin] = flags[end:] = 0
            dq[y - 1, first - 1 : last] |= flags.astype(np.int32)
    dq[~(data > 0)] |= 16384
    return dq


@pytest.mark.parametrize(("losigma", "hisigma"), [(5.0, 5.0), (2.0, 8.0), (30.0, 1.0)])
def test_flags_equal_those_of_the_twin(losigma: float, hisigma: float) -> None:
    data, trace = make_flat(), small_trace()
    dq = np.zeros(data.shape, np.int32)
    found = flag_flat_pixels(data, dq, trace, losigma=losigma, hisigma=hisigma, mean=700.0)
    expected = twin(data, trace, losigma, hisigma, 700.0)
    np.testing.assert_array_equal(dq, expected)
    assert found.dark == np.count_nonzero(expected & 512)
    assert found.low_qe == np.count_nonzero(expected & 64)
    assert found.bright == np.count_nonzero(expected & 256)
    assert found.not_positive == np.count_nonzero(data <= 0)
    assert found.bright > 20


def test_flags_are_added_to_those_there() -> None:
    data, dq = make_flat(), np.full((NY, NX), 32, np.int32)
    flag_flat_pixels(data, dq, small_trace(), losigma=5, hisigma=5, mean=700.0)
    assert (dq & 32 == 32).all()


def test_pixels_between_slices_are_only_checked_for_sign() -> None:
    data, dq = make_flat(), np.zeros((NY, NX), np.int32)
    data[:, 92:94] = 1e6
    flag_flat_pixels(data, dq, small_trace(), losigma=5, hisigma=5, mean=700.0)
    assert not dq[:, 92:94].any()


def test_nan_is_not_positive() -> None:
    data, dq = make_flat(), np.zeros((NY, NX), np.int32)
    data[5, 93] = np.nan
    flag_flat_pixels(data, dq, small_trace(), losigma=5, hisigma=5, mean=700.0)
    assert dq[5, 93] == 16384


def test_slice_that_leaves_the_detector_is_told() -> None:
    trace = small_trace(lefts=(10.3, 222.3), slope=0.01)
    data, dq = np.full((NY, NX), 100, np.float32), np.zeros((NY, NX), np.int32)
    data[100, 230] = 1000
    found = flag_flat_pixels(data, dq, trace, losigma=5, hisigma=5, mean=100.0)
    # right = 299.7 + 0.01 y: beyond column 300.99 never; move it by one pixel to cross at row 30.
    assert found.incomplete == ()
    assert dq[100, 230] == 256
    dq[:] = 0
    found = flag_flat_pixels(data, dq, small_trace(lefts=(10.3, 223.3), slope=0.01), losigma=5, hisigma=5, mean=100.0)
    assert found.incomplete == (2,)
    assert dq[100, 230] == 0


def test_untraced_slice_is_left_out() -> None:
    trace = small_trace()
    trace.coefficients[1] = np.nan
    data, dq = make_flat(), np.zeros((NY, NX), np.int32)
    flag_flat_pixels(data, dq, trace, losigma=1, hisigma=1, mean=700.0)
    assert not (dq[:, 105:170] & 0x3C0).any()
    assert (dq[:, 15:80] & 256).any()


def test_shapes_must_agree() -> None:
    with pytest.raises(DataError, match="shape"):
        flag_flat_pixels(
            np.zeros((3, 4), np.float32), np.zeros((4, 3), np.int32), small_trace(), losigma=5, hisigma=5, mean=1.0
        )


@pytest.mark.parametrize("n", [1, 2, 5, 6, 77, 78])
def test_median_and_deviation_are_exact(n: int) -> None:
    rng = np.random.default_rng(n)
    for values in (rng.normal(size=n), rng.integers(0, 4, n), np.ones(n), np.arange(n), -np.arange(n)):
        sample = values.astype(np.float32)
        median, adev = _median_and_adev(np.concatenate([sample, np.full(3, -99, np.float32)]), n)
        assert median == np.median(sample)
        assert adev == pytest.approx(np.mean(np.abs(sample.astype(float) - np.median(sample))), rel=1e-12)


def test_slice_flux_is_that_of_the_inner_columns() -> None:
    data, trace = make_flat(), small_trace()
    trace.coefficients[2] = np.nan
    fluxes = slice_fluxes(data, trace, 60)
    left = int(np.floor(trace.left(2, 60) + 0.5)) + 1
    right = int(np.floor(trace.right(2, 60) + 0.5)) - 1
    window = data[:, left - 1 : right].astype(float)  # 60 -+ 100 rows is the whole image
    assert fluxes[1].mean == pytest.approx(window.mean())
    assert fluxes[1].stdev == pytest.approx(window.std(ddof=1))
    assert np.isnan(fluxes[2].mean)
    assert [flux.slice_no for flux in fluxes] == [1, 2, 3]
