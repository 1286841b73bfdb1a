import numpy as np
import pytest

from core.errors import WavelengthError
from core.spectral.dispersion import Dispersion, fit_dispersion

X0 = 4000.0


def true_wave(x, y):
    """MUSE-like: 4525..9625 A over 4112 rows, tilted and bent iso-wavelength lines."""
    d = y - 2056.5
    dx = x - X0
    return 7122 + 1.2406 * d - 1.1e-5 * d**2 + 2e-10 * d**3 + 0.042 * dx + 2e-4 * dx**2 + 3e-6 * dx * d


def arc_points(noise=0.0, n_lines=60, seed=0):
    rng = np.random.default_rng(seed)
    x, start = np.meshgrid(np.arange(3963.0, 4038.0), np.sort(rng.uniform(80, 4030, n_lines)))
    wave = np.repeat(true_wave(X0, start[:, 0]), x.shape[1])
    x, y = x.ravel(), start.ravel().copy()
    for _ in range(30):  # where in this column is the wavelength of the line?
        y += (wave - true_wave(x, y)) / 1.24
    return x, y + rng.normal(0, noise, y.size), wave


def worst(solution):
    x, y = np.meshgrid(np.arange(3963.0, 4038.0), np.arange(80.0, 4031.0, 50))
    value = np.polynomial.polynomial.polyval2d(x, y, solution.coefficients)
    return np.abs(value - true_wave(x, y)).max()


@pytest.mark.parametrize("weighted", [True, False])
def test_noiseless_points_give_the_true_wavelengths(weighted):
    x, y, wave = arc_points()
    sigma = np.full(x.size, 0.02) if weighted else None
    solution = fit_dispersion(x, y, wave, sigma)
    assert solution.n_lines == 60
    # plain powers of x = 4000 lose ten digits of sixteen; 1e-5 A is a thousandth of what a line centre gives
    assert worst(solution) < 1e-5
    assert len(solution.iterations) == 1


def test_fit_agrees_with_a_direct_least_squares_solution():
    x, y, wave = arc_points(noise=0.02)
    sigma = np.random.default_rng(1).uniform(0.01, 0.1, x.size)
    solution = fit_dispersion(x, y, wave, sigma)
    u, v = (x - 4000) / 40, (y - 2056) / 2056
    basis = np.polynomial.legendre.legvander2d(u, v, [2, 6])
    coef, *_ = np.linalg.lstsq(basis / sigma[:, None], wave / sigma, rcond=None)
    value = np.polynomial.polynomial.polyval2d(x, y, solution.coefficients)
    # a damped search ends short of the minimum: far inside the errors, which are 0.001 Angstrom on the average
    assert np.sqrt(np.mean((value - basis @ coef) ** 2)) < 2e-3
    residual = wave - value
    chi2, least = (np.sum((r / sigma) ** 2) for r in (residual, wave - basis @ coef))
    assert least <= chi2 < 1.005 * least
    # without weights it is the minimum
    value = np.polynomial.polynomial.polyval2d(x, y, fit_dispersion(x, y, wave, None).coefficients)
    coef, *_ = np.linalg.lstsq(basis, wave, rcond=None)
    assert np.abs(value - basis @ coef).max() < 1e-6
    # the documented mean is weighted by 1 / sigma
    assert solution.mse == pytest.approx(np.sum(residual**2 / sigma) / np.sum(1 / sigma), rel=1e-6)


def test_good_fits_are_not_clipped():
    x, y, wave = arc_points(noise=0.01)
    solution = fit_dispersion(x, y, wave, None)
    assert solution.rms < 0.03
    assert len(solution.iterations) == 1
    assert solution.iterations[0].limit == pytest.approx(3 * solution.rms)
    assert solution.iterations[0].points.size == x.size


def test_a_misidentified_line_is_clipped():
    x, y, wave = arc_points(noise=0.01)
    wrong = wave == np.unique(wave)[30]
    wave[wrong] += 4.0
    solution = fit_dispersion(x, y, wave, None)
    assert len(solution.iterations) > 1
    assert solution.n_lines == 59
    assert not np.isin(np.flatnonzero(wrong), solution.iterations[-1].points).any()
    assert worst(solution) < 0.02


def test_too_few_lines_are_an_error():
    x, y, wave = arc_points(n_lines=6)
    with pytest.raises(WavelengthError, match="6 lines are too few"):
        fit_dispersion(x, y, wave, None)


def test_order_above_nine_is_an_error():
    x, y, wave = arc_points()
    with pytest.raises(WavelengthError, match="between 0 and 9"):
        fit_dispersion(x, y, wave, None, yorder=10)


@pytest.fixture(scope="module")
def solution():
    return fit_dispersion(*arc_points(), None)


@pytest.fixture
def dispersion(solution):
    coefficients = np.full((3, 3, 7), np.nan)
    coefficients[0] = coefficients[2] = solution.coefficients
    return Dispersion(np.array([1, 2, 3], "i4"), coefficients, np.array([1e-4, np.nan, 1e-4]))


def test_table_columns_come_back(dispersion):
    columns = dispersion.columns()
    assert list(columns)[:3] == ["SliceNo", "wlc00", "wlc01"]
    assert list(columns)[-2:] == ["wlc26", "MSE"]
    again = Dispersion.from_columns(columns)
    assert (again.xorder, again.yorder) == (2, 6)
    np.testing.assert_array_equal(again.coefficients, dispersion.coefficients)
    assert again.valid_slices == [1, 3]
    assert not again.has(2)


def test_null_rows_keep_their_place(dispersion):
    columns = dispersion.columns()
    columns["SliceNo"] = np.ma.array([1, 0, 3], mask=[0, 1, 0])
    columns["wlc00"] = np.ma.array(columns["wlc00"], mask=[0, 1, 0])
    again = Dispersion.from_columns(columns)
    assert again.slice_no.tolist() == [1, 2, 3]
    assert again.valid.tolist() == [True, False, True]


def test_wavelength_and_sampling(dispersion):
    y = np.array([100.0, 2056.5, 4000.0])
    assert dispersion.wavelength(1, X0, y) == pytest.approx(true_wave(X0, y), abs=1e-5)
    step = true_wave(X0, y + 0.5) - true_wave(X0, y - 0.5)
    assert dispersion.sampling(1, X0, y) == pytest.approx(step, abs=1e-5)
    with pytest.raises(WavelengthError, match="slice 2 has no"):
        dispersion.wavelength(2, X0, y)


def test_missing_columns_are_named(dispersion):
    columns = dispersion.columns()
    del columns["wlc13"]
    with pytest.raises(WavelengthError, match="wlc13"):
        Dispersion.from_columns(columns)
    with pytest.raises(WavelengthError, match="MSE"):
        Dispersion.from_columns({"SliceNo": np.ones(1), "wlc00": np.ones(1)})


def test_map_is_filled_between_the_edges(dispersion):
    out = np.zeros((50, 4096), "f4")
    dispersion.fill_map(1, np.full(50, 3963.2), np.full(50, 4037.9), out)
    assert np.flatnonzero(out[7])[[0, -1]].tolist() == [3963, 4036]  # FITS columns 3964 .. 4037
    x = np.arange(3964, 4038)
    # float32 has 5e-4 A at these wavelengths
    assert out[7, 3963:4037] == pytest.approx(dispersion.wavelength(1, x, 8.0), abs=5e-4)


def test_the_weighted_fit_ends_where_a_damped_search_in_plain_powers_ends():
    # orders so low that plain powers still work in double precision; few lines, so that the end is not the minimum
    rng = np.random.default_rng(5)
    x = np.repeat(rng.uniform(1.0, 3.0, 5), 4)
    y = np.tile(np.array([1.0, 1.1, 1.2, 4.0]), 5) + rng.normal(0.0, 0.01, 20)
    wave = 5000.0 + 1.25 * y + 0.01 * x + rng.normal(0.0, 1e-3, 20)
    sigma = rng.uniform(0.5, 2.0, 20) * 1e-3
    solution = fit_dispersion(x, y, wave, sigma, xorder=1, yorder=3, target_rms=1.0)
    matrix = np.stack([x**i * y**j for i in range(2) for j in range(4)], axis=1) / sigma[:, None]
    target = wave / sigma
    hess = matrix.T @ matrix
    coef = np.zeros(8)
    coef[0] = 5000.0
    damping, quiet, previous = 1e-3, 0, np.sum((target - matrix @ coef) ** 2)
    while quiet < 5 and damping > 2.0**-53:
        coef = coef + np.linalg.solve(hess + damping * np.diag(np.diag(hess)), matrix.T @ (target - matrix @ coef))
        chi2 = np.sum((target - matrix @ coef) ** 2)
        quiet = quiet + 1 if previous - chi2 <= 0.01 * previous else 0
        damping, previous = damping / 10, chi2
    value = np.polynomial.polynomial.polyval2d(x, y, solution.coefficients)
    expected = np.polynomial.polynomial.polyval2d(x, y, coef.reshape(2, 4))
    assert value == pytest.approx(expected, abs=1e-6)
    exact = np.linalg.lstsq(matrix, target, rcond=None)[0].reshape(2, 4)
    assert np.abs(np.polynomial.polynomial.polyval2d(x, y, exact) - value).max() < 0.02
