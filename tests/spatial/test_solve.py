"""From spots of a known geometry back to the geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import DataError
from core.spatial.geometry import Geometry
from core.spatial.solve import GeometryOptions, gap_positions, solve_geometry
from tests.spatial.sequence import MaskSequence, true_geometry

SCALE = 1.705
TOLERANCE = {"x": 0.03, "y": 0.03, "angle": 0.02, "width": 0.1}  # [pix of 0.2 arcsec, deg]


def solve(sequence: MaskSequence, **options) -> Geometry:
    return solve_geometry(sequence.peaks(), sequence.rims(), SCALE, GeometryOptions(**options)).geometry


def deviations(found: Geometry, truth: Geometry) -> dict[str, float]:
    """Largest ones; the zero point of x is a convention."""
    rows = np.isfinite(found.x)
    apart = {name: (getattr(found, name) - getattr(truth, name))[rows] for name in TOLERANCE}
    apart["x"] = apart["x"] - np.median(apart["x"])
    return {name: float(np.abs(values).max()) for name, values in apart.items()}


@pytest.fixture(scope="module")
def sequence():
    return MaskSequence(true_geometry())


@pytest.fixture(scope="module")
def solved(sequence):
    return solve_geometry(sequence.peaks(), sequence.rims(), SCALE, GeometryOptions())


def test_the_geometry_is_recovered(sequence, solved):
    apart = deviations(solved.geometry, sequence.geometry)
    assert {name: value for name, value in apart.items() if value > TOLERANCE[name]} == {}


def test_every_slice_is_there_in_order(solved):
    geometry = solved.geometry
    assert geometry.ifu.tolist() == [11] * 48 + [12] * 48 + [13] * 48
    assert geometry.slice_sky.tolist() == list(range(1, 49)) * 3
    assert geometry.n_unknown == 0


def test_the_origin_is_in_the_central_ifu(solved):
    geometry = solved.geometry
    row = {int(sky): k for k, sky in enumerate(geometry.slice_sky) if geometry.ifu[k] == 12}
    assert geometry.x[row[24]] + geometry.x[row[36]] == pytest.approx(0.0, abs=1e-9)
    assert geometry.y[row[24]] == pytest.approx(0.0, abs=1e-9)


def test_the_encoder_may_have_a_scale_of_its_own(solved):
    assert solved.mask.encoder == pytest.approx(1 / 1.066, rel=3e-4)
    sequence = MaskSequence(true_geometry(), encoder=0.97)
    assert deviations(solve(sequence), sequence.geometry)["y"] < TOLERANCE["y"]


def test_a_given_distance_is_not_measured(sequence):
    geometry = solve(sequence, distance=1.066 * 0.6135)
    assert deviations(geometry, sequence.geometry)["y"] < TOLERANCE["y"]


def test_gaps_can_be_had_from_the_central_pinholes(sequence, solved):
    again = solve(sequence, gaps_by_offsets=True)
    # two halves of a slice instead of its ends: the noise of the widths comes in
    assert np.abs(again.x - solved.geometry.x).max() < 0.1


def test_without_inversion_the_field_is_upside_down(sequence, solved):
    mask = solve(sequence, upright=False)
    assert np.array_equal(mask.y, -solved.geometry.y)
    assert np.array_equal(mask.angle, -solved.geometry.angle)


def test_extra_shifts_move_all_ifus_above(sequence, solved):
    shifted = solve(sequence, shifts=(0.0,) * 10 + (0.25, 0.5))
    apart = shifted.x - solved.geometry.x
    assert np.allclose(apart[:48], 0.25)  # IFU 12 is the origin
    assert np.allclose(apart[48:96], 0.0)
    assert np.allclose(apart[96:], -0.5)


def test_missing_slices_have_no_place():
    sequence = MaskSequence(true_geometry((11, 12)), dark=((11, 5), (11, 20)))
    geometry = solve(sequence)
    lost = ~np.isfinite(geometry.y)
    assert geometry.slice_sky[lost].tolist() == [5, 20]
    assert not geometry.width[lost].any()
    # the row of the missing central slice has no middle
    assert geometry.slice_sky[~np.isfinite(geometry.x)].tolist() == [5, 8, 20, 32, 44]
    assert geometry.n_unknown == 7
    assert deviations(geometry, sequence.geometry)["y"] < TOLERANCE["y"]


def test_a_missing_ifu_leaves_a_gap_and_is_told():
    truth = true_geometry()
    sequence = MaskSequence(truth.where(truth.ifu != 12))
    result = solve_geometry(sequence.peaks(), sequence.rims(), SCALE, GeometryOptions())
    assert result.unaligned == ((11, 13),)
    y = result.geometry.y
    apart = y[:48].mean() - y[48:].mean()
    assert apart == pytest.approx(truth.y[:48].mean() - truth.y[96:].mean(), abs=0.05)


def test_an_ifu_with_too_few_spots_is_left_out(sequence):
    peaks = sequence.peaks()
    few = peaks[2].peaks
    keep = slice(0, 20)
    fewer = replace(
        few, slice_no=few.slice_no[keep], wave=few.wave[keep], x=few.x[keep], y=few.y[keep],
        height=few.height[keep], flux=few.flux[keep],
    )  # fmt: skip
    peaks[2] = replace(
        peaks[2], peaks=fewer, left=peaks[2].left[keep], center=peaks[2].center[keep], right=peaks[2].right[keep]
    )
    result = solve_geometry(peaks, sequence.rims(), SCALE, GeometryOptions())
    assert result.geometry.ifus == [11, 12]
    assert "20 measurements" in result.left_out[13]
    with pytest.raises(DataError, match="too few"):
        solve_geometry(peaks[2:], sequence.rims(), SCALE, GeometryOptions())


def test_gaps_lie_where_the_ifus_do(sequence, solved):
    found = gap_positions(solved.geometry)
    shifts = {ifu: found[ifu] - found[12] for ifu in (11, 13)}
    truth = gap_positions(sequence.geometry)
    assert shifts == pytest.approx({ifu: truth[ifu] - truth[12] for ifu in (11, 13)}, abs=0.02)
    without = solved.geometry.where((solved.geometry.ifu != 13) | (solved.geometry.slice_sky != 20))
    assert list(gap_positions(without)) == [11, 12]
