"""The light of the lasers is found from sums over pixels as from the pixels themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from core.errors import DataError
from core.onsky.raman import RamanFit, RamanMoments, fit_raman

SHAPE = np.array([-3e-6, 1e-6, 2e-6, 4e-4, -2e-4])
FLUX = {"O2": 3.0, "N2": 1.5}


def pixels(name: str, noise: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(len(name) + ord(name[0]))
    x, y = rng.uniform(-150, 150, (2, 4000))
    light = np.exp(-0.5 * (rng.uniform(-10, 10, x.size) / 1.1) ** 2)
    data = 7 + FLUX[name] * light * RamanFit(SHAPE, {}).at(x, y) + rng.normal(0, noise, x.size)
    return light, x.astype(np.float32), y.astype(np.float32), data


def summed(noise: float, *names: str) -> dict[str, RamanMoments]:
    found = {name: RamanMoments() for name in names}
    for name, moments in found.items():
        cells = pixels(name, noise)
        for part in np.array_split(np.arange(4000), 7):
            moments.add(*(column[part] for column in cells))
    return found


def test_what_is_true_is_found() -> None:
    fit = fit_raman(summed(0.0, "O2", "N2"))
    np.testing.assert_allclose(fit.shape, SHAPE, rtol=1e-4)
    assert fit.flux == pytest.approx(FLUX, rel=1e-5)


def test_one_band_alone_is_enough() -> None:
    fit = fit_raman(summed(0.0, "N2"))
    np.testing.assert_allclose(fit.shape, SHAPE, rtol=1e-4)
    assert fit.flux == pytest.approx({"N2": 1.5}, rel=1e-5)


def test_sums_give_the_least_squares_of_the_pixels() -> None:
    cells = {name: pixels(name, 0.2) for name in FLUX}

    def residuals(vector: np.ndarray) -> np.ndarray:
        rest = []
        for flux, (light, x, y, data) in zip(vector[5:], cells.values(), strict=True):
            left = flux * light * RamanFit(vector[:5] * np.array([1e-4] * 3 + [1e-2] * 2), {}).at(x, y) - data
            rest.append(left - left.mean())
        return np.concatenate(rest)

    direct = least_squares(residuals, [0.0] * 5 + [1.0, 1.0], method="lm").x
    fit = fit_raman(summed(0.2, *FLUX))
    np.testing.assert_allclose(fit.shape * np.array([1e4] * 3 + [1e2] * 2), direct[:5], atol=2e-5)
    assert list(fit.flux.values()) == pytest.approx(direct[5:].tolist(), rel=1e-5)


def test_a_field_of_one_column_tells_nothing_across_it() -> None:
    light, _, y, data = pixels("O2", 0.0)
    moments = RamanMoments()
    data = 7 + 3 * light * (1 + 2e-4 * y)
    moments.add(light, np.zeros(y.size), y, data)
    fit = fit_raman({"O2": moments})
    assert fit.shape[[0, 1, 3]] == pytest.approx([0, 0, 0], abs=1e-12)
    assert fit.shape[4] == pytest.approx(2e-4, rel=1e-4)


@pytest.mark.parametrize("light", [np.zeros(0), np.zeros(10)])
def test_pixels_without_light_are_refused(light: np.ndarray) -> None:
    moments = RamanMoments()
    moments.add(light, light, light, light)
    with pytest.raises(DataError, match="no pixel shows light of the lasers"):
        fit_raman({"O2": moments})
    with pytest.raises(DataError):
        fit_raman({})
