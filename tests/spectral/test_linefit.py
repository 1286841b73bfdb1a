import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import curve_fit

from core.errors import DataError
from core.spectral.linefit import CONVERGED, NO_DATA, NOT_CONVERGED, SINGULAR, fit_gaussian


def line(x, center, sigma, area, offset):
    return area / np.sqrt(2 * np.pi * sigma**2) * np.exp(-((x - center) ** 2) / (2 * sigma**2)) + offset


def test_noiseless_line_is_recovered_exactly():
    x = np.arange(700.0, 713.0)
    fit = fit_gaussian(x, line(x, 706.37, 0.93, 5432.1, 12.5))
    assert fit.status == CONVERGED
    # the search stops when chi^2 does not change any more: parameters to a part in 1e7
    assert fit.center == pytest.approx(706.37, abs=1e-7)
    assert (fit.sigma, fit.area, fit.offset) == pytest.approx((0.93, 5432.1, 12.5), rel=1e-6)
    assert fit.mse < 1e-9


def test_parameters_and_covariance_agree_with_scipy_on_noisy_lines():
    rng = np.random.default_rng(3)
    x = np.arange(13.0)
    for _ in range(20):
        truth = (6 + rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.2), 10 ** rng.uniform(3, 5), 20.0)
        variance = line(x, *truth) + 9.0
        y = rng.normal(line(x, *truth), np.sqrt(variance))
        fit = fit_gaussian(x, y, variance)
        best, cov = curve_fit(line, x, y, p0=truth, sigma=np.sqrt(variance), absolute_sigma=True)
        error = np.sqrt(np.diag(cov))
        assert fit.status == CONVERGED
        # both are minima of the same chi^2: they agree to a small part of the statistical error
        assert np.all(np.abs(np.array([fit.center, fit.sigma, fit.area, fit.offset]) - best) < 2e-3 * error)
        # scipy differentiates numerically
        assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(error, rel=1e-3)


def test_frozen_width_and_background_stay_as_given():
    x = np.arange(13.0)
    fit = fit_gaussian(x, line(x, 6.2, 1.0, 900.0, 4.0), sigma=0.88671, offset=3.0)
    assert fit.status == CONVERGED
    assert fit.sigma == 0.88671
    assert fit.offset == 3.0
    assert fit.covariance[1, 1] == 0.0
    assert fit.covariance[3, 3] == 0.0
    assert fit.center == pytest.approx(6.2, abs=0.01)  # a symmetric misfit does not move the centre


def test_flagged_samples_are_left_out():
    x = np.arange(13.0)
    y = line(x, 6.3, 0.9, 3000.0, 10.0)
    variance = np.ones(13)
    y[4] += 5e4  # a cosmic ray
    variance[4] = 0.0
    fit = fit_gaussian(x, y, variance)
    assert fit.center == pytest.approx(6.3, abs=1e-6)


def test_a_spectrum_without_line_gives_estimates_not_exceptions():
    fit = fit_gaussian(np.arange(13.0), np.full(13, 7.0))
    assert fit.status in (NOT_CONVERGED, SINGULAR, CONVERGED)
    assert np.isfinite([fit.center, fit.sigma, fit.area, fit.offset]).all()


def test_too_few_samples_have_a_status():
    variance = np.zeros(13)
    variance[:3] = 1
    fit = fit_gaussian(np.arange(13.0), np.arange(13.0), variance)
    assert fit.status == NO_DATA
    assert np.isnan(fit.center_error)


def test_arrays_of_unequal_length_are_refused():
    with pytest.raises(DataError, match="shapes"):
        fit_gaussian(np.arange(13.0), np.arange(12.0))


def test_centring_error_is_the_true_scatter():
    # 400 realisations: the scatter of the centres is known to 4 %, so 15 % is a 4-sigma limit
    rng = np.random.default_rng(8)
    x = np.arange(13.0)
    truth = line(x, 6.1, 0.95, 8000.0, 30.0)
    fits = [fit_gaussian(x, rng.normal(truth, np.sqrt(truth)), truth) for _ in range(400)]
    assert np.std([f.center for f in fits]) == pytest.approx(np.mean([f.center_error for f in fits]), rel=0.15)


# Kernels of two modules, each with `gauss_lm` compiled into it.
FITS = """
import hashlib
import numpy as np
from core.spectral.detection import detect_lines
from core.spectral.tracing import trace_singlets

rng = np.random.default_rng(8)
rows, columns = np.arange(400.0)[:, None], np.arange(90)
image = np.full((400, 90), 6.0)
start = np.arange(15.3, 390.0, 17.1)
for k, row in enumerate(start):
    image += 300 * (k + 1) * np.exp(-0.5 * ((rows - row - 0.02 * (columns - 45)) / 0.95) ** 2)
image = rng.normal(image, np.sqrt(image)).astype("f4")
stat = np.maximum(image, 4.0).astype("f4")
ends = np.full(start.size, 4.0), np.full(start.size, 85.0)
points = trace_singlets(image, stat, np.zeros(image.shape, bool), start + 1, *ends, np.ones(start.size, bool))
lines = detect_lines(image.mean(axis=1), stat.mean(axis=1) / 90)
print(len(points.y), len(lines.center))
for values in (points.y, points.error, points.sigma, lines.center, lines.center_error, lines.flux):
    print(hashlib.sha256(values.tobytes()).hexdigest())
"""


def test_fits_do_not_depend_on_who_compiled_them(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def fits():
        command = [sys.executable, "-c", FITS]
        root = Path(__file__).parents[2]
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout

    compiled = fits()
    kernels = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    loaded = fits()
    assert kernels == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}  # nothing was compiled again
    assert compiled == loaded
    n_points, n_lines = (int(word) for word in loaded.splitlines()[0].split())
    assert n_points > 1500
    assert n_lines > 15
