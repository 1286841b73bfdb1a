"""QC of traces whose geometry is known by construction."""

import numpy as np
import pytest

from core.ccd.trace_model import Trace
from core.ccd.trace_qc import Spread, largest_slope, measure_trace, tilt_of

NY = 4112


def tilted_trace(slope: float = 1e-3) -> Trace:
    """48 slices of pitch 84 and width 76 + n/100, all tilted; slice 1 curved as well."""
    n = np.arange(48)
    center, width = np.zeros((48, 6)), np.zeros((48, 6))
    center[:, 0] = 60 + 84 * n
    center[:, 1] = slope
    center[0, 2] = 1e-6
    width[:, 0] = 76 + 0.01 * n
    return Trace.from_polynomials(range(1, 49), center, center - width / 2, center + width / 2)


def test_positions_and_tilts() -> None:
    quality = measure_trace(tilted_trace(), 2056, NY)
    assert quality.right_position == pytest.approx(60 + 84 * 47 + 2.056)
    assert quality.right_tilt == pytest.approx(np.degrees(np.arctan(1e-3)))
    rise = 1e-3 * (NY - 1) + 1e-6 * (NY**2 - 1)
    assert quality.left_tilt == pytest.approx(np.degrees(np.arctan(rise / (NY - 1))))


def test_gaps_and_widths() -> None:
    quality = measure_trace(tilted_trace(), 2056, NY)
    # Neighbours have pitch 84 and half widths of 38.005 + n/100 on average.
    gaps = np.array([84 - (76 + 0.005 + 0.01 * n) for n in range(47)])
    gaps[0] -= 1e-6 * 2056**2
    assert quality.gaps.mean == pytest.approx(gaps.mean())
    assert quality.gaps.stdev == pytest.approx(gaps.std(ddof=1))
    assert (quality.gaps.minimum, quality.gaps.maximum) == pytest.approx((gaps.min(), gaps.max()))
    assert quality.widths.median == pytest.approx(76.235)
    assert quality.corner_widths[39] == pytest.approx(76.38)
    assert list(quality.corner_widths) == [10, 46, 3, 39]


def test_largest_slope_keeps_its_sign() -> None:
    trace = tilted_trace(-2e-3)
    assert largest_slope(trace, 2, NY) == pytest.approx(-2e-3)
    # Slice 1: -2e-3 + 2e-6 y is largest at the top, 6.2e-3.
    assert largest_slope(trace, 1, NY) == pytest.approx(-2e-3 + 2e-6 * NY)


def test_failed_slice_leaves_nan_and_the_rest_is_measured() -> None:
    trace = tilted_trace()
    trace.coefficients[47] = np.nan
    trace.width[47] = np.nan
    quality = measure_trace(trace, 2056, NY)
    assert np.isnan([quality.right_position, quality.right_tilt, quality.max_slope[47]]).all()
    assert np.isnan(tilt_of(trace, 48, NY))
    assert quality.widths.maximum == pytest.approx(76.46)
    assert quality.gaps.minimum == pytest.approx(84 - 76.005 - 1e-6 * 2056**2)


def test_spread_of_nothing_is_nan() -> None:
    assert np.isnan(Spread.of([np.nan]).mean)
    assert Spread.of([3.0]).stdev == 0.0
