"""Peaks along the sequence, and the distance of the rows of pinholes."""

from __future__ import annotations

import numpy as np
import pytest

from core.spatial.mask import PINHOLE_DY
from core.spatial.peaks import cut_at_gaps, find_peaks, pinhole_distance
from core.spatial.spots import SpotPlaces, SpotSeries
from tests.spatial.sequence import MaskSequence, true_geometry

HEIGHTS = np.linspace(12.8, 14.0, 61)


def series(*fluxes: np.ndarray) -> SpotSeries:
    """Three spots of one slice and line with these fluxes along the sequence."""
    flux = np.stack(fluxes, axis=1)
    one = np.ones(3, np.int32)
    places = SpotPlaces(one, np.full(3, 5460.75), np.arange(1, 4, dtype=np.int32), np.arange(3.0), np.zeros(3))
    same = np.broadcast_to(np.array([20.0, 46.0, 72.0]), flux.shape)
    return SpotSeries(places, same, same, same, same, flux, np.zeros_like(flux))


def bump(at: float, flux: float = 10000.0) -> np.ndarray:
    return flux * np.exp(-0.5 * ((HEIGHTS - at) / 0.04) ** 4)


def test_the_peak_is_where_the_light_is():
    peaks = find_peaks(series(bump(13.31), bump(13.33), bump(13.35)), HEIGHTS)
    # a dozen samples, cut at the same flux on both sides
    assert peaks.height[0] == pytest.approx([13.31, 13.33, 13.35], abs=2e-3)
    assert peaks.x[0] == pytest.approx([20.0, 46.0, 72.0])
    assert peaks.flux[0, 0] == pytest.approx(bump(13.31).sum(), rel=1e-3)


def test_the_order_of_the_exposures_does_not_matter():
    forwards = series(bump(13.31), bump(13.33), bump(13.35))
    shuffled = np.random.default_rng(1).permutation(HEIGHTS.size)
    backwards = series(*(bump(at)[shuffled] for at in (13.31, 13.33, 13.35)))
    assert np.array_equal(find_peaks(forwards, HEIGHTS).height, find_peaks(backwards, HEIGHTS[shuffled]).height)


def test_the_other_spots_follow_the_first():
    both = bump(13.1) + bump(13.75)
    peaks = find_peaks(series(bump(13.1), both, both), HEIGHTS)
    assert peaks.height[0] == pytest.approx([13.1, 13.1, 13.1], abs=2e-3)


def test_a_peak_at_the_end_of_the_sequence_is_none():
    peaks = find_peaks(series(bump(12.8), bump(13.3), bump(13.3)), HEIGHTS)
    assert peaks.slice_no.size == 0


def test_distances_are_those_of_whole_neighbours():
    three = bump(12.8) + bump(13.2) + bump(13.85)
    peaks = find_peaks(series(three, bump(13.2), bump(13.2)), HEIGHTS)
    assert peaks.distances == pytest.approx([0.65], abs=2e-3)


def test_the_distance_is_that_of_the_encoder():
    sequence = MaskSequence(true_geometry((12,)), encoder=1.07)
    distance = pinhole_distance(np.concatenate([found.peaks.distances for found in sequence.peaks()]))
    assert distance == pytest.approx(1.07 * PINHOLE_DY, rel=3e-4)


def test_wrong_distances_are_left_out():
    rng = np.random.default_rng(2)
    good = rng.normal(0.646, 0.003, 2000)
    wrong = rng.uniform(0.5, 0.8, 60)
    assert pinhole_distance(np.concatenate((good, wrong))) == pytest.approx(0.646, abs=3e-4)


def test_a_short_sequence_has_the_nominal_distance():
    assert pinhole_distance(np.zeros(0)) == PINHOLE_DY
    assert pinhole_distance(np.full(5, 0.3)) == PINHOLE_DY


@pytest.mark.parametrize(
    ("values", "gap", "kept"),
    [
        ([0.05, 0.15, 0.15, 0.45], 1, [0.05, 0.15, 0.15]),
        ([0.15, 0.15, 0.35], 2, [0.15, 0.15, 0.35]),
        ([0.15, 0.15, 0.45], 2, [0.15, 0.15]),
        ([2.0], 1, []),
    ],
)
def test_a_histogram_ends_at_its_gap(values, gap, kept):
    assert cut_at_gaps(np.array(values), 0.0, 1.0, 0.1, gap).tolist() == kept
