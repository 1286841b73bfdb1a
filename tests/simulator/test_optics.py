"""Slices and dispersion of the simulated IFUs lie inside what real MUSE data show."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.geometry import Detector
from core.errors import ParameterError
from core.instruments.muse.facts import N_SLICES, SLICE_WIDTH_LIMITS
from core.simulator.truth import InstrumentTruth, truth_for

SLICES = range(1, N_SLICES + 1)
ROWS = np.arange(1.0, 4113.0, 1.0)


@pytest.fixture(scope="module", params=[1, 5, 12, 24])
def truth(request: pytest.FixtureRequest) -> InstrumentTruth:
    return truth_for(request.param)


def test_slices_have_the_widths_and_gaps_of_the_real_ones(truth: InstrumentTruth) -> None:
    left = np.array([truth.trace_left(s, 2056.0) for s in SLICES])
    right = np.array([truth.trace_right(s, 2056.0) for s in SLICES])
    widths, gaps = right - left, left[1:] - right[:-1]
    assert 75.7 < np.median(widths) < 76.3  # 75.76 .. 76.18 measured
    assert widths.min() > 74.3
    assert widths.max() < 79.7
    assert 7.0 < gaps.mean() < 7.5
    assert gaps.min() > 4.6
    assert gaps.max() < 9.2


def test_widths_are_largest_at_the_edges_of_the_detector(truth: InstrumentTruth) -> None:
    widths = np.array([truth.trace_right(s, 2056.0) - truth.trace_left(s, 2056.0) for s in SLICES])
    assert widths[[2, 45]].min() > widths[[9, 38]].max() > np.median(widths[18:30])


def test_outermost_slices_lie_where_the_real_ones_do(truth: InstrumentTruth) -> None:
    assert 62.0 < truth.trace_center(1, 2056.0) < 92.0
    assert 3993.0 < truth.trace_center(48, 2056.0) < 4024.0


def test_slices_stay_on_the_detector_apart_and_straight(truth: InstrumentTruth) -> None:
    left = np.array([truth.trace_left(s, ROWS) for s in SLICES])
    right = np.array([truth.trace_right(s, ROWS) for s in SLICES])
    assert left.min() > 1.0
    assert right.max() < 4096.0
    assert (left[1:] - right[:-1]).min() > 4.0
    width = right - left
    assert SLICE_WIDTH_LIMITS[0] < width.min()
    assert width.max() < SLICE_WIDTH_LIMITS[1]
    assert np.abs(np.diff(left, axis=1)).max() < 0.011  # real MAXSLOPE
    assert np.abs(np.diff(right, axis=1)).max() < 0.011


def test_dispersion_is_that_of_muse_everywhere(truth: InstrumentTruth) -> None:
    for s in SLICES:
        for edge in (truth.trace_left(s, ROWS), truth.trace_center(s, ROWS), truth.trace_right(s, ROWS)):
            step = np.diff(truth.wavelength(s, edge, ROWS))
            # pattern matching refuses 1.25 A/pix -+ 5 %
            assert step.min() > 1.1875
            assert step.max() < 1.3125


def test_slices_are_staggered_in_three_groups(truth: InstrumentTruth) -> None:
    middle = np.array([float(truth.wavelength(s, truth.trace_center(s, 2056.5), 2056.5)) for s in SLICES])
    assert middle.min() > 6800.0
    assert middle.max() < 7205.0
    by_group = [middle[(np.arange(48) + 1) % 3 == k] for k in range(3)]
    assert max(group.std() for group in by_group) < 25.0
    assert np.ptp([group.mean() for group in by_group]) > 280.0


def test_lines_are_tilted_less_than_the_warning_limit(truth: InstrumentTruth) -> None:
    for y in (1.0, 4112.0):
        tilt = [
            float(truth.wavelength(s, truth.trace_left(s, y), y) - truth.wavelength(s, truth.trace_right(s, y), y))
            for s in SLICES
        ]
        assert np.abs(tilt).max() < 5.9
        assert tilt[0] < 0.0 < tilt[-1]


def test_nominal_range_is_on_the_detector(truth: InstrumentTruth) -> None:
    for s in SLICES:
        center = truth.trace_center(s, ROWS)
        wave = truth.wavelength(s, center, ROWS)
        assert wave[0] < 4750.0
        assert wave[-1] > 9300.0


def test_line_width_is_dominated_by_the_slit() -> None:
    sigma = [truth_for(7).optics.line_profile_sigma(s, [4800.0, 7000.0, 9300.0]) for s in SLICES]
    assert np.min(sigma) > 0.38
    assert np.max(sigma) < 0.65


def test_small_detector_is_the_central_cut_out() -> None:
    full, small = truth_for(3), truth_for(3, detector=Detector(nx=2048, ny=100))
    shift = 2056 - 100
    y = np.array([1.0, 77.0, 200.0])
    for s in (1, 24, 48):
        np.testing.assert_allclose(small.trace_left(s, y), full.trace_left(s, y + shift), atol=1e-9)
        np.testing.assert_allclose(small.wavelength(s, 500.0, y), full.wavelength(s, 500.0, y + shift), atol=1e-9)


def test_truth_depends_on_ifu_and_seed_only() -> None:
    np.testing.assert_array_equal(truth_for(2).optics.left, truth_for(2, "WFM-AO-E").optics.left)
    assert not np.array_equal(truth_for(2).optics.left, truth_for(2, seed=2).optics.left)
    assert not np.array_equal(truth_for(2).optics.left, truth_for(3).optics.left)


@pytest.mark.parametrize(
    ("arguments", "name"), [((0,), "ifu"), ((25,), "ifu"), ((1, "WFM"), "mode"), ((1, "WFM-AO-N", -1), "seed")]
)
def test_impossible_instruments_are_refused(arguments: tuple[int | str, ...], name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        truth_for(*arguments)  # type: ignore[arg-type]
    assert caught.value.context["parameter"] == name


def test_slice_numbers_are_checked() -> None:
    with pytest.raises(ParameterError, match="slice 49"):
        truth_for(1).trace_left(49, 1.0)
