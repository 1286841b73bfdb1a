"""Slices of known edges are traced, on clean, noisy and damaged flat fields.

The detector is 600 rows high and has the full width, since 48 slices need it.
"""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import curve_fit
from scipy.special import erf

from core.ccd.trace_cuts import average_blocks, patch_flagged
from core.ccd.trace_find import central_cut, find_slices
from core.ccd.trace_fit import PointState, _fit_gauss, find_edges
from core.ccd.tracing import SliceStatus, trace_slices
from core.errors import TracingError

NY, NX = 600, 4096
Y = np.arange(1.0, NY + 1)
NSUM = 16


def true_edges(slice_no: int, y: npt.ArrayLike = Y) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Curved slices of slightly different widths, pitch 83.6 pix."""
    t = (np.asarray(y, dtype=np.float64) - NY / 2) / (NY / 2)
    center = 84 + 83.6 * (slice_no - 1) + 0.35 * t + (slice_no - 24.5) * 0.04 * t**2
    width = 76.0 + 2.5 * ((slice_no - 24.5) / 24) ** 2
    return center - width / 2, center + width / 2


def make_flat(
    blur: float = 0.7, dark: tuple[int, ...] = (), scale: dict[int, float] | None = None
) -> npt.NDArray[np.float32]:
    """Flat field of 5000 counts with Gaussian edges; some slices dark or dim."""
    image = np.zeros((NY, NX))
    for slice_no in range(1, 49):
        if slice_no in dark:
            continue
        left, right = true_edges(slice_no)
        x0 = int(left.min()) - 10
        x = np.arange(max(x0, 1), min(x0 + 110, NX) + 1)
        profile = 0.5 * (
            erf((x[None, :] - left[:, None]) / (np.sqrt(2) * blur))
            - erf((x[None, :] - right[:, None]) / (np.sqrt(2) * blur))
        )
        image[:, x - 1] += 5000 * (scale or {}).get(slice_no, 1.0) * profile
    return image.astype(np.float32)


@pytest.fixture(scope="module")
def clean() -> npt.NDArray[np.float32]:
    return make_flat()


def no_flags() -> npt.NDArray[np.int32]:
    return np.zeros((NY, NX), np.int32)


def trace(image: npt.NDArray[np.float32], dq: npt.NDArray[np.int32] | None = None, **options: object):  # type: ignore[no-untyped-def]
    settings = {"middle": NY // 2, "nsum": NSUM, **options}
    return trace_slices(image, no_flags() if dq is None else dq, **settings)  # type: ignore[arg-type]


def rms_error(result, slice_no: int) -> float:  # type: ignore[no-untyped-def]
    left, right = true_edges(slice_no)
    both = np.concatenate([result.trace.left(slice_no, Y) - left, result.trace.right(slice_no, Y) - right])
    return float(np.sqrt(np.mean(both**2)))


# -- the good case ----------------------------------------------------------------------------------------


def test_clean_slices_are_traced_exactly(clean: npt.NDArray[np.float32]) -> None:
    result = trace(clean)
    assert not result.failed
    assert not result.warnings
    # A Gaussian fitted to the difference of neighbouring pixels of a Gaussian edge is off by a few 1e-3 pix.
    assert max(rms_error(result, n) for n in range(1, 49)) < 0.005
    widths = result.trace.width
    np.testing.assert_allclose(widths[[0, 23]], [78.4, 76.0], atol=0.05)
    assert len(result.samples.y) == 48 * ((NY - 1) // NSUM)
    assert (np.diff(result.samples.slice_no) >= 0).all()
    assert (result.trace.mse < 1e-4).all()


def test_sample_rows_are_the_middles_of_blocks(clean: npt.NDArray[np.float32]) -> None:
    samples = trace(clean).samples
    assert samples.y[0] == 1 + (NSUM - 1) / 2
    first = samples.slice_no == 1
    assert np.diff(samples.y[first]) == pytest.approx(NSUM)
    np.testing.assert_allclose(samples.mid, (samples.left + samples.right) / 2, atol=3e-4)


def test_noise_costs_little(clean: npt.NDArray[np.float32]) -> None:
    rng = np.random.default_rng(3)
    noisy = (clean + rng.normal(0, 1, clean.shape) * np.sqrt(clean + 9)).astype(np.float32)
    result = trace(noisy)
    assert not result.failed
    assert np.sqrt(np.mean([rms_error(result, n) ** 2 for n in range(1, 49)])) < 0.02


@pytest.mark.parametrize("order", [3, 7])
def test_order_is_that_of_the_table(clean: npt.NDArray[np.float32], order: int) -> None:
    assert trace(clean, order=order).trace.order == order


def test_flux_unit_does_not_matter(clean: npt.NDArray[np.float32]) -> None:
    normalised = clean / np.float32(3785)
    difference = trace(clean).trace.coefficients[:, :, 0] - trace(normalised).trace.coefficients[:, :, 0]
    assert np.abs(difference).max() < 1e-4


# -- what real data do ------------------------------------------------------------------------------------


@pytest.mark.parametrize("slice_no", [1, 2, 20, 48])
def test_one_dark_slice_does_not_cost_the_others(slice_no: int) -> None:
    result = trace(make_flat(dark=(slice_no,)))
    assert [report.slice_no for report in result.failed] == [slice_no]
    assert "not seen in the middle" in result.failed[0].reason
    assert result.trace.valid_slices == [n for n in range(1, 49) if n != slice_no]
    assert max(rms_error(result, n) for n in result.trace.valid_slices) < 0.005


def test_dim_slice_is_found_at_a_lower_fraction() -> None:
    result = trace(make_flat(scale={10: 0.3}))
    assert not result.failed
    assert result.fraction < 0.5
    assert rms_error(result, 10) < 0.005


def test_vignetted_slice_is_reported_and_a_lower_edgefrac_helps() -> None:
    image = make_flat()
    left, _ = true_edges(10)
    x = np.arange(1, NX + 1)
    # The light of slice 10 falls to 10 per cent within its leftmost 14 pixels.
    fade = np.clip(0.1 + 0.9 * (x[None, :] - left[:, None]) / 14, 0.1, 1)
    inside = np.abs(x[None, :] - left[:, None]) < 20
    image = np.where(inside & (x[None, :] > left[:, None] - 3), image * fade, image).astype(np.float32)
    result = trace(image)
    assert [report.slice_no for report in result.failed] == [10]
    assert "a lower edgefrac may help" in result.failed[0].reason
    helped = trace(image, edgefrac=0.2)
    assert not helped.failed
    # The steepest place is the true edge, though the light falls towards it.
    assert rms_error(helped, 10) < 1.6


def test_flagged_hot_column_at_an_edge_is_bridged(clean: npt.NDArray[np.float32]) -> None:
    left, _ = true_edges(30)
    column = int(left.mean()) - 2
    image, dq = clean.copy(), no_flags()
    image[:, column] += 20000
    dq[:, column] = 256
    result = trace(image, dq)
    assert not result.failed
    # The neighbours stand in for the column, which blurs the edge a little.
    assert rms_error(result, 30) < 0.1


def test_unflagged_hot_column_at_an_edge_is_survived(clean: npt.NDArray[np.float32]) -> None:
    left, _ = true_edges(30)
    image = clean.copy()
    image[:, int(left.mean()) + 3] += 6000
    result = trace(image)
    assert not result.failed
    report = result.slices[29]
    assert report.status is SliceStatus.RESCUED
    assert "contaminated edge" in report.reason
    assert rms_error(result, 30) < 0.3
    assert max(rms_error(result, n) for n in range(1, 49) if n != 30) < 0.005


@pytest.mark.parametrize(("side", "offset"), [("left", -2), ("left", -1), ("right", -1), ("right", 0)])
def test_flagged_columns_across_an_edge_do_not_move_it(clean: npt.NDArray[np.float32], side: str, offset: int) -> None:
    edge = true_edges(30)[0 if side == "left" else 1]
    first = round(float(edge.mean())) + offset  # 0-based: columns on both sides of the edge
    dq = no_flags()
    dq[:380, first - 1 : first + 3] = 8192
    result = trace(clean, dq)
    assert not result.failed
    # The pixels themselves are good: their neighbours would move the edge by 1.5 pix.
    assert rms_error(result, 30) < 0.15
    assert result.slices[29].status is SliceStatus.RESCUED
    assert "contaminated edge" in result.slices[29].reason


@pytest.mark.parametrize("offset", [-2, -1, 0, 1])
def test_a_flagged_column_on_the_slope_of_an_edge_does_not_bend_it(clean: npt.NDArray[np.float32], offset: int) -> None:
    _, right = true_edges(30)
    dq = no_flags()
    dq[150:380, int(right.mean()) + offset] = 256
    result = trace(clean, dq)
    # its neighbours in its place move the edge by 0.15 pix
    assert rms_error(result, 30) < 0.002
    assert result.slices[29].status is SliceStatus.RESCUED


def test_few_points_do_not_run_away() -> None:
    image = make_flat() + np.random.default_rng(6).normal(0, 500, (NY, NX)).astype(np.float32)
    left, right = true_edges(10)
    x = np.arange(1, NX + 1)
    # The right third of the slice is dark in all but the lowest rows.
    dark = (x[None, :] > left[:, None] + 50) & (x[None, :] < right[:, None] + 10)
    dark[: 7 * NSUM] = False
    image[dark] = 0
    result = trace(image)
    assert [report.slice_no for report in result.failed] == [10]
    assert "run away" in result.failed[0].reason
    assert not result.trace.has(10)


def test_slice_of_odd_width_is_told(clean: npt.NDArray[np.float32]) -> None:
    image = clean.copy()
    left, _ = true_edges(20)
    x = np.arange(1, NX + 1)
    image[(x[None, :] > left[:, None] - 5) & (x[None, :] < left[:, None] + 3)] = 0  # a hair on the slit
    result = trace(image)
    assert result.trace.has(20)
    assert "differs from that of the other slices, 76.1 pix" in result.slices[19].reason
    assert [report.slice_no for report in result.warnings] == [20]


def test_dead_column_in_the_middle_of_a_slice_is_no_gap(clean: npt.NDArray[np.float32]) -> None:
    left, _ = true_edges(12)
    image = clean.copy()
    image[:, int(left.mean()) + 30] = 0
    result = trace(image)
    assert not result.failed
    assert rms_error(result, 12) < 0.005


def test_cosmic_ray_hits_do_not_bend_the_trace(clean: npt.NDArray[np.float32]) -> None:
    rng = np.random.default_rng(4)
    image = clean.copy()
    image[rng.integers(0, NY, 3000), rng.integers(0, NX, 3000)] += 3000
    result = trace(image)
    assert not result.failed
    assert np.sqrt(np.mean([rms_error(result, n) ** 2 for n in range(1, 49)])) < 0.03


def test_vignetted_edges_of_ifu_24_are_kept(clean: npt.NDArray[np.float32]) -> None:
    left, _ = true_edges(40)
    x = np.arange(1, NX + 1)
    image = np.where(np.abs(x[None, :] - left[:, None] - 3) < 2.5, clean * 0.75, clean).astype(np.float32)
    plain = trace(image)
    rescued = trace(image, ifu=24, year=2015)
    lost = plain.slices[39].lost
    kept = rescued.slices[39].points
    assert kept >= plain.slices[39].points
    assert kept == (NY - 1) // NSUM
    assert lost + plain.slices[39].points == kept or plain.slices[39].status is SliceStatus.RESCUED
    before = trace(image, ifu=24, year=2013)
    np.testing.assert_array_equal(before.trace.coefficients, plain.trace.coefficients)


def test_no_light_is_an_error() -> None:
    with pytest.raises(TracingError, match="no light"):
        trace(np.zeros((NY, NX), np.float32))


def runs(pitch: float, width: float) -> npt.NDArray[np.float64]:
    x = np.arange(NX)
    return np.where((x > 20) & ((x - 20) % pitch < width), 1.0, 0.0)


def test_runs_wider_than_slices_are_no_slices() -> None:
    with pytest.raises(TracingError, match="only 0 of 48 slices"):
        find_slices(runs(130, 100), 0.5)


def test_too_many_slices_are_refused() -> None:
    with pytest.raises(TracingError, match=r"reach number 5\d of 48"):
        find_slices(runs(78, 74), 0.5)


def test_fraction_is_lowered_until_slices_stand_apart() -> None:
    cut = runs(83.6, 76)
    cut[: 20 + 80] *= 0.2
    cut[20 + int(48 * 83.6) :] = 0
    positions = find_slices(cut, 0.5)
    assert positions.seen.all()
    assert 0.2 / 1.2 < positions.fraction <= 0.2
    np.testing.assert_allclose(np.diff(positions.centers), 83.6, atol=1)


@pytest.mark.parametrize("nsum", [0, NY])
def test_nsum_must_fit_the_detector(clean: npt.NDArray[np.float32], nsum: int) -> None:
    with pytest.raises(TracingError, match="nsum"):
        trace(clean, nsum=nsum)


def test_small_half_is_an_error(clean: npt.NDArray[np.float32]) -> None:
    with pytest.raises(TracingError, match="too small"):
        trace_slices(clean[:30], no_flags()[:30], middle=15, nsum=4)


# -- numpy twins of the compiled loops ---------------------------------------------------------------------


def test_blocks_are_means_of_patched_rows() -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(100, 10, (40, 70)).astype(np.float32)
    dq = (rng.random((40, 70)) < 0.1).astype(np.int32)
    patches = patch_flagged(image, dq)
    patched = image.copy()
    rows = np.repeat(np.arange(40), np.diff(patches.starts))
    patched[rows, patches.columns] = patches.values
    cuts = average_blocks(image, patches, 8)
    assert cuts.y.tolist() == [4.5, 12.5, 20.5, 28.5]
    slope = np.diff(patched, axis=1, prepend=np.float32(0))
    for k in range(4):
        np.testing.assert_allclose(cuts.flux[k], patched[8 * k : 8 * k + 8].mean(axis=0, dtype=float), rtol=1e-12)
        np.testing.assert_allclose(
            cuts.slope[k], slope[8 * k : 8 * k + 8].mean(axis=0, dtype=float), rtol=1e-9, atol=1e-9
        )


def naive_patches(image: npt.NDArray[np.float32], dq: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    values, good = image.astype(np.float64), dq == 0
    while not good.all():
        if not good.any():
            break
        new_values, new_good = values.copy(), good.copy()
        for y, x in np.argwhere(~good):
            window = np.s_[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            if good[window].any():
                new_values[y, x] = np.float32(values[window][good[window]].mean())
                new_good[y, x] = True
        values, good = new_values, new_good
    return values.astype(np.float32)


@pytest.mark.parametrize("fraction", [0.05, 0.6, 0.97, 1.0])
def test_flagged_pixels_are_replaced_in_passes(fraction: float) -> None:
    rng = np.random.default_rng(6)
    image = rng.normal(100, 10, (25, 30)).astype(np.float32)
    dq = (rng.random((25, 30)) < fraction).astype(np.int32) * 256
    patches = patch_flagged(image, dq)
    patched = image.copy()
    patched[np.repeat(np.arange(25), np.diff(patches.starts)), patches.columns] = patches.values
    np.testing.assert_allclose(patched, naive_patches(image, dq), rtol=1e-6)


def test_gaussian_fit_is_least_squares() -> None:
    rng = np.random.default_rng(7)
    x = np.arange(11.0)
    for _ in range(50):
        x0, sigma, area = rng.uniform(4, 6), rng.uniform(0.7, 1.6), rng.uniform(100, 5000)
        model = lambda x, x0, s, a: a / (np.sqrt(2 * np.pi) * s) * np.exp(-0.5 * ((x - x0) / s) ** 2)  # noqa: E731
        y = np.maximum(model(x, x0, sigma, area) + rng.normal(0, 0.005 * area, 11), 0)
        oracle, _ = curve_fit(model, x, y, p0=(x0, sigma, area), xtol=1e-14, ftol=1e-14, gtol=1e-14)
        good, center = _fit_gauss(y)
        assert good
        assert center == pytest.approx(oracle[0], abs=1e-6)


def test_no_gaussian_in_nothing() -> None:
    good, center = _fit_gauss(np.zeros(11))
    assert not good
    assert center == 5.0


def naive_crossing(values: npt.NDArray[np.float64], limit: float) -> tuple[float, float]:
    right = next(i for i in range(56, 111) if values[i] < limit)
    left = next(i for i in range(55, -1, -1) if values[i] < limit)
    return (
        left + (limit - values[left]) / (values[left + 1] - values[left]),
        right - 1 + (limit - values[right - 1]) / (values[right] - values[right - 1]),
    )


def test_threshold_edges_are_interpolated_crossings(clean: npt.NDArray[np.float32]) -> None:
    patches = patch_flagged(clean, no_flags())
    positions = find_slices(central_cut(clean, patches, NY // 2), 0.5)
    cuts = average_blocks(clean, patches, NSUM)
    points = find_edges(cuts, positions.centers, 0.5)
    assert (points.state == PointState.GOOD).all()
    assert points.significant.all()
    for row in (0, 17, 47):
        offset = positions.centers[row] - 55
        values = cuts.flux[4, offset - 1 : offset + 110]
        left, right = naive_crossing(values, 0.5 * float(np.median(values)))
        assert points.left_threshold[row, 4] == pytest.approx(left + offset, abs=1e-9)
        assert points.right_threshold[row, 4] == pytest.approx(right + offset, abs=1e-9)
