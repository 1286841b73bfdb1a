import numpy as np
import pytest

from core.errors import DataError, WavelengthError
from core.spectral.tracing import Weighting, trace_multiplet, trace_singlets

NY, NX, LEFT, RIGHT = 200, 90, 6.4, 82.7


def arc(lines, *, tilt=0.034, bend=2e-4, sigma=0.95, noise=True, seed=5):
    """One tilted and bent slice; ``lines`` are (row in the middle, flux per column)."""
    x = np.arange(1, NX + 1)
    y = np.arange(1, NY + 1)[:, None]
    dx = x - 0.5 * (LEFT + RIGHT)
    image = np.full((NY, NX), 6.0)
    for row, flux in lines:
        center = row + tilt * dx + bend * dx**2
        image += flux / np.sqrt(2 * np.pi) / sigma * np.exp(-0.5 * ((y - center) / sigma) ** 2)
    stat = image + 2.0
    if noise:
        image = np.random.default_rng(seed).normal(image, np.sqrt(stat))
    return image.astype("f4"), stat.astype("f4"), np.zeros((NY, NX), bool)


def truth(row, x, tilt=0.034, bend=2e-4):
    dx = x - 0.5 * (LEFT + RIGHT)
    return row + tilt * dx + bend * dx**2


def follow(image, start, free=None, **options):
    start = np.asarray(start, float)
    n = start.size
    free = np.ones(n, bool) if free is None else np.asarray(free)
    return trace_singlets(*image, start, np.full(n, LEFT), np.full(n, RIGHT), free, **options)


def test_a_bright_line_is_followed_to_both_edges():
    points = follow(arc([(60.3, 2e4)]), [60.1], k_sigma=100.0)
    # ceil(left) .. floor(right), every column once
    assert sorted(points.x) == list(range(7, 83))
    # photon noise: 0.95 / sqrt(2e4) = 0.0067 pix
    assert np.std(points.y - truth(60.3, points.x)) < 0.009
    assert np.nanmedian(points.sigma) == pytest.approx(0.95, rel=0.01)


def test_frozen_width_stores_no_width_and_moves_no_centre():
    points = follow(arc([(60.3, 2e4)]), [60.1], free=[False])
    assert np.isnan(points.sigma).all()
    assert np.std(points.y - truth(60.3, points.x)) < 0.009


def test_steep_lines_are_tracked_to_both_sides():
    # 0.06 pix per column: 2.3 pix at the edges, beyond the 2 pix that a fit may be off its start
    points = follow(arc([(60.3, 2e4)], tilt=0.06), [60.3], k_sigma=100.0)
    assert points.x.min() == 7
    assert points.x.max() == 82


@pytest.mark.parametrize(("weighting", "low", "high"), [
    (Weighting.UNIFORM, 0.005, 0.009),
    (Weighting.CERR, 0.005, 0.009),
    (Weighting.SCATTER, 0.005, 0.009),
    (Weighting.CERRSCATTER, 0.008, 0.013),
])  # fmt: skip
def test_errors_follow_the_weighting(weighting, low, high):
    points = follow(arc([(60.3, 2e4)]), [60.1], weighting=weighting)
    assert low < np.median(points.error) < high
    if weighting is Weighting.SCATTER:
        assert np.unique(points.error).size == 1


def test_unflagged_cosmic_ray_on_a_line_is_clipped():
    image = arc([(60.3, 5e3)])
    hit = round(truth(60.3, 30)) + 1
    image[0][hit, 29] += 3e4
    points = follow(image, [60.1])
    assert np.abs(points.y - truth(60.3, points.x)).max() < 0.1


def test_flagged_column_and_saturated_core_give_no_points():
    image = arc([(60.3, 2e4), (120.6, 2e4)])
    image[0][:, 7] = 6e4  # hot column at the slice edge, known
    image[2][:, 7] = True
    core = np.arange(118, 123)
    image[0][core[:, None], np.arange(NX)] = 6.5e4  # the second line is saturated everywhere
    image[2][core[:, None], np.arange(NX)] = True
    points = follow(image, [60.1, 120.5])
    assert set(points.line) == {0}
    assert 8 not in points.x
    assert points.x.size > 65


@pytest.mark.parametrize(("offset", "costs"), [(0, True), (2, True), (4, False)])
def test_a_flagged_pixel_costs_the_column_in_the_core_only(offset, costs):
    # no real line is a Gaussian: without its peak its centre would be off by some hundredths of a pixel
    image = arc([(60.3, 2e4)])
    row = round(truth(60.3, 45)) + offset
    image[0][row - 1, 44] = 9e4
    image[2][row - 1, 44] = True
    points = follow(image, [60.1], k_sigma=100.0)
    at = points.y[points.x == 45]
    assert at.size == (0 if costs else 1)
    assert (np.abs(at - truth(60.3, 45)) < 0.05).all()
    assert points.x.size > 65


def test_lines_too_near_to_the_border_are_skipped():
    points = follow(arc([(4.0, 2e4), (60.0, 2e4), (197.0, 2e4)]), [4.0, 60.0, 197.0])
    assert set(points.line) == {1}


def test_noise_gives_few_points():
    points = follow(arc([]), [60.0])
    assert len(points) < 60


def test_blended_pair_is_separated():
    image = arc([(80.0, 2e4), (82.6, 1.2e4), (95.0, 5e3)])
    points = trace_multiplet(*image, np.array([80.2, 82.5, 94.9]), np.array([1e4, 1e4, 1e4]), LEFT, RIGHT)
    for member, row in enumerate((80.0, 82.6, 95.0)):
        mine = points.select(points.line == member)
        assert len(mine) > 70
        residual = mine.y - truth(row, mine.x)
        assert abs(residual.mean()) < 0.005
        assert residual.std() < 0.03
    # a single Gaussian in the same window is pulled by the neighbour
    single = follow(image, [80.0])
    assert abs(np.mean(single.y - truth(80.0, single.x))) > 0.05


def test_multiplet_outside_the_detector_has_no_points():
    image = arc([(5.0, 2e4)])
    assert len(trace_multiplet(*image, np.array([5.0, 8.0]), np.ones(2), LEFT, RIGHT)) == 0


def test_lines_of_an_empty_list_give_no_points():
    assert len(follow(arc([]), [])) == 0


def test_what_is_too_wide_for_a_slice_fails_as_a_slice():
    image = arc([(60.0, 2e4)])
    edges = np.array([1.0]), np.array([140.0])
    with pytest.raises(WavelengthError, match=r"139\.0 pix wide is not a slice"):
        trace_singlets(*image, np.array([60.0]), *edges, np.array([True]))
    with pytest.raises(WavelengthError, match=r"139\.0 pix wide is not a slice"):
        trace_multiplet(*image, np.array([60.0]), np.array([1e4]), 1.0, 140.0)


def test_mask_of_another_shape_is_refused():
    data, stat, _ = arc([])
    with pytest.raises(DataError, match="differ"):
        follow((data, stat, np.zeros((3, 3), bool)), [60.0])
