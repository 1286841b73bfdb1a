import numpy as np
import pytest

from core.errors import WavelengthError
from core.spectral.calibration import (
    WavecalOptions,
    central_columns,
    central_widths,
    fit_points,
    guess_rows,
    identify_center,
    line_widths,
    measure_identified,
    measure_slice,
    odd_wavelengths,
    solve_slice,
)
from core.spectral.iterfit import iterate_fit
from core.spectral.linelist import LineList
from core.spectral.tracing import LinePoints, Weighting, concatenate_points

OPTIONS = WavecalOptions(ins_mode="WFM-NOAO-E")


def calibrate(arc, slice_no, options=OPTIONS, lamps=None, images=None):
    """All steps of one slice."""
    images = images or arc.images
    lamps = list(lamps or images)
    window = central_columns(arc.trace, slice_no, next(iter(images.values()))[0].shape)
    centers = [
        identify_center(*(np.ascontiguousarray(p[:, window]) for p in images[lamp]), arc.catalogue, (lamp,), options)
        for lamp in lamps
    ]
    guess = guess_rows(centers, arc.catalogue, options)
    points = concatenate_points(
        [
            measure_slice(
                images[lamp][0], images[lamp][1], images[lamp][2] != 0, arc.trace, slice_no, guess,
                arc.catalogue, (lamp,), options,
            )
            for lamp in lamps
        ]
    )  # fmt: skip
    return centers, guess, points, solve_slice(fit_points(points, arc.catalogue, guess, options), options)


def deviation(arc, slice_no, solution, low=4750, high=9200):
    """Solution minus truth over the slice, inside the range of the lines [Angstrom]."""
    x, y = np.meshgrid(
        np.arange(np.ceil(arc.trace.left(slice_no, 1)), arc.trace.right(slice_no, 1)), np.arange(1.0, 4113)
    )
    true = arc.wave(slice_no, x, y)
    value = np.polynomial.polynomial.polyval2d(x, y, solution.coefficients)
    return (value - true)[(true > low) & (true < high)]


@pytest.mark.parametrize("slice_no", [1, 2])
def test_lamp_by_lamp_calibration_recovers_the_dispersion(arc, slice_no):
    centers, _guess, _points, solution = calibrate(arc, slice_no)
    # every fifth line is as faint as the faintest detection and does not take part in the identification
    assert [len(part) for part in centers] == [5, 24, 12]
    difference = deviation(arc, slice_no, solution)
    # 52 lines with 76 columns of about 0.007 pix each: the mean error of the fit is far below 0.002 A
    assert np.sqrt(np.mean(difference**2)) < 0.002
    assert np.abs(difference).max() < 0.01
    assert solution.n_lines >= 50
    assert solution.rms < 0.03


def test_widths_of_reference_lines(arc):
    _, guess, points, _ = calibrate(arc, 1)
    widths = line_widths(points, arc.catalogue, guess)
    # sigma 0.93 pix at 1.20 .. 1.28 A/pix, and pixel noise
    assert widths.fwhm.mean() == pytest.approx(0.93 * 2.3548 * 1.24, rel=0.02)
    assert widths.resolution.mean() == pytest.approx(np.mean(arc.catalogue.wave) / 2.7, rel=0.15)


@pytest.mark.parametrize("weighting", list(Weighting))
def test_every_weighting_solves(arc, weighting):
    _, _, _, solution = calibrate(arc, 1, WavecalOptions(weighting=weighting))
    assert np.sqrt(np.mean(deviation(arc, 1, solution) ** 2)) < 0.003


def test_missing_lamp_costs_its_lines_only(arc):
    lamps = ["HgCd", "Ne"]
    _, _, points, solution = calibrate(arc, 1, lamps=lamps)
    assert set(arc.catalogue.lamp[points.line]) == {"HgCd", "Ne"}
    difference = deviation(arc, 1, solution, 4700, 7500)
    assert np.sqrt(np.mean(difference**2)) < 0.002


def test_cosmic_rays_and_hot_edge_columns_do_not_harm(arc):
    rng = np.random.default_rng(12)
    images = {}
    for lamp, (data, stat, dq) in arc.images.items():
        data = data.copy()
        hits = rng.integers(0, data.size, 4000)  # half a percent of the pixels, unflagged
        data.ravel()[hits] += rng.uniform(500, 2e4, hits.size).astype("f4")
        edge = int(np.ceil(arc.trace.left(1, 1))) - 1
        data[:, edge : edge + 2] += 3e4  # hot columns at the slice edge, unflagged
        images[lamp] = (data, stat, dq)
    _, _, _, solution = calibrate(arc, 1, images=images)
    difference = deviation(arc, 1, solution)
    assert np.sqrt(np.mean(difference**2)) < 0.004


def test_saturated_lines_are_left_out_when_flagged(arc):
    images = {}
    for lamp, (data, stat, dq) in arc.images.items():
        limit = np.float32(8000)
        images[lamp] = (np.minimum(data, limit), stat, np.where(data > limit, 4096, dq).astype(np.int32))
    _, _, _points, solution = calibrate(arc, 1, images=images)
    assert np.sqrt(np.mean(deviation(arc, 1, solution) ** 2)) < 0.004


def test_mode_removes_the_notch_lines_from_the_fit(arc):
    _, guess, points, _ = calibrate(arc, 1)
    kept = fit_points(points, arc.catalogue, guess, WavecalOptions(ins_mode="WFM-AO-N"))
    assert not ((kept.wave > 5805) & (kept.wave < 5966)).any()
    _, _, measured, _ = calibrate(arc, 1, WavecalOptions(ins_mode="WFM-AO-N"))
    waves = arc.catalogue.wave[measured.line]
    assert not ((waves > 5805) & (waves < 5966)).any()
    assert ((arc.catalogue.wave[points.line] > 5805) & (arc.catalogue.wave[points.line] < 5966)).any()
    uniform = fit_points(points, arc.catalogue, guess, WavecalOptions(weighting=Weighting.UNIFORM))
    assert uniform.sigma is None


def test_summed_lamps_give_a_solution_too(arc):
    data = sum(image[0] for image in arc.images.values())
    stat = sum(image[1] for image in arc.images.values())
    dq = arc.images["Ne"][2]
    window = central_columns(arc.trace, 1, data.shape)
    center = identify_center(
        *(np.ascontiguousarray(p[:, window]) for p in (data, stat, dq)), arc.catalogue, None, OPTIONS
    )
    points = measure_identified(data, stat, dq != 0, arc.trace, 1, center, OPTIONS)
    solution = solve_slice(fit_points(points, arc.catalogue, None, OPTIONS), OPTIONS)
    assert len(center) > 25
    assert np.sqrt(np.mean(deviation(arc, 1, solution) ** 2)) < 0.01
    widths = central_widths(center, arc.catalogue)
    assert widths.fwhm.mean() == pytest.approx(0.93 * 2.3548 * 1.24, rel=0.03)
    assert 0 < widths.resolution.size < widths.fwhm.size


def test_widths_of_blue_lines_count():
    # Extended mode has light below 4750 Angstrom; which lines are measured is decided before.
    waves = np.array([4624.276, 4671.226, 7032.413])
    catalogue = LineList.from_columns(waves, np.full(3, 1e4), ["XeI", "XeI", "NeI"], [5, 3, 5])
    guess = iterate_fit(waves, (waves - 4500) / 1.25, 1, 3.0)
    points = LinePoints(np.array([0, 1, 2]), np.full(3, 40), (waves - 4500) / 1.25, np.full(3, 0.01), np.full(3, 0.9))
    widths = line_widths(points, catalogue, guess)
    assert widths.fwhm == pytest.approx(np.full(2, 0.9 * 2.35482 * 1.25), rel=1e-5)
    assert widths.resolution == pytest.approx(waves[[0, 2]] / widths.fwhm)


def test_dark_slice_has_a_reason(arc):
    rng = np.random.default_rng(1)
    shape = (4112, 4)
    center = identify_center(
        rng.normal(4, 2, shape).astype("f4"), np.full(shape, 4, "f4"), np.zeros(shape, "i4"), arc.catalogue, ("Ne",),
        OPTIONS,
    )  # fmt: skip
    with pytest.raises(WavelengthError, match="too few"):
        guess_rows([center], arc.catalogue, OPTIONS)


def test_slice_without_trace_has_a_reason(arc):
    with pytest.raises(WavelengthError, match="slice 3 has no trace"):
        central_columns(arc.trace, 3, (4112, 200))
    with pytest.raises(WavelengthError, match="column 140"):
        central_columns(arc.trace, 2, (4112, 100))


def test_a_misidentified_slice_differs_from_slices_like_it():
    rng = np.random.default_rng(5)
    waves = {number: (7167.0, 6845.0, 7008.0)[number % 3] + rng.uniform(-28, 28) for number in range(1, 49)}
    assert odd_wavelengths(waves) == {}
    waves[7] += 160
    waves[33] -= 90
    odd = odd_wavelengths(waves)
    assert list(odd) == [7, 33]
    assert odd[7] == pytest.approx(160, abs=40)
    assert odd[33] == pytest.approx(-90, abs=40)
    assert odd_wavelengths({2: 5000.0, 5: 7000.0}) == {}  # two cannot tell which is wrong
