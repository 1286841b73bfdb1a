"""The line-spread function as a Gauss-Hermite profile, seen through slit and pixel.

A Gaussian with Hermite terms is convolved with the slit and the pixel (both boxes), which leaves a closed form:
with ``z = (lambda - L) / w``, ``s = slit / (2 w)``, ``b = bin / (2 w)``

    LSF = [G(z+s+b) - G(z+s-b) - G(z-s+b) + G(z-s-b)] / (sqrt(32 pi) b s w)
    G(z) = exp(-z^2/2) + R(z) exp(-z^2) / 60 + z sqrt(pi/2) erf(z / sqrt 2)

and a polynomial ``R`` of degree 4 in which the Hermite coefficients h3 .. h6 appear. Widths and coefficients are
polynomials of ``t = L - 7000`` Angstrom. Each slice is fitted in two steps: fluxes of the lines (a linear problem) with
the width, then all parameters of the profile with the fluxes kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from core.errors import DataError
from core.instruments.muse.facts import NOMINAL_RANGE, SAMPLING, SLIT_WIDTH_ANGSTROM
from core.spectral.linefit import cholesky_solve

__all__ = [
    "REACH",
    "REFERENCE_WAVE",
    "HermiteFit",
    "HermiteLsf",
    "LinePixelSet",
    "fit_hermite",
    "hermite_columns",
    "hermites_of_columns",
    "lines_among",
]

REFERENCE_WAVE: Final = 7000.0  # [Angstrom]
REACH: Final = 7.0  # [Angstrom] around a line in which its profile is evaluated
_WIDTH_START: Final = 0.5  # [Angstrom]
_MIN_LINES: Final = 3
_MIN_PIXELS: Final = 100  # of a line on the slice
_TOLERANCE: Final = 1e-10
_CALLS_PER_PARAMETER: Final = 40
_FWHM_STEP: Final = 0.04  # [Angstrom]
_FWHM_SAMPLES: Final = 150
_FWHM_WAVES: Final = 30


@dataclass(frozen=True)
class HermiteLsf:
    """Parameters of the profile of one slice.

    Attributes
    ----------
    slit_width, bin_width : float
        [Angstrom]
    width : tuple of float (3)
        Gaussian width: coefficients of powers of ``t`` [Angstrom].
    h3, h4, h5, h6 : tuple of float (2)
        Hermite coefficients: coefficients of powers of ``t``.
    """

    slit_width: float = SLIT_WIDTH_ANGSTROM
    bin_width: float = SAMPLING
    width: tuple[float, float, float] = (_WIDTH_START, 0.0, 0.0)
    h3: tuple[float, float] = (0.0, 0.0)
    h4: tuple[float, float] = (0.0, 0.0)
    h5: tuple[float, float] = (0.0, 0.0)
    h6: tuple[float, float] = (0.0, 0.0)

    def __call__(self, offset: ArrayLike, wave: float) -> NDArray[np.float64]:
        """Density [1/Angstrom] at distances ``offset`` [Angstrom] from a line at ``wave``."""
        x = np.ascontiguousarray(np.atleast_1d(offset), dtype=np.float64)
        out = np.empty_like(x)
        _profile(self._vector(), wave, x, out)
        return out.reshape(np.shape(offset))

    def width_at(self, wave: ArrayLike) -> NDArray[np.float64]:
        """Gaussian width at wavelengths [Angstrom]."""
        return np.asarray(np.polynomial.polynomial.polyval(np.asarray(wave) - REFERENCE_WAVE, self.width))

    def fwhm(self) -> NDArray[np.float64]:
        """Full width at half of the value on the line at 30 wavelengths from 4650 to 9300 Angstrom [Angstrom]."""
        x = _FWHM_STEP * (np.arange(_FWHM_SAMPLES) - (_FWHM_SAMPLES - 1) / 2)
        widths = []
        for wave in np.linspace(*NOMINAL_RANGE, _FWHM_WAVES):
            values = self(x, float(wave))
            half = 0.5 * float(self(0.0, float(wave)))
            below = np.flatnonzero(values < half)
            lower, upper = below[x[below] < 0], below[x[below] > 0]
            if lower.size == 0 or upper.size == 0:
                widths.append(math.nan)
                continue
            i, j = int(lower[-1]), int(upper[0])
            left = x[i] + _FWHM_STEP * (half - values[i]) / (values[i + 1] - values[i])
            right = x[j] - _FWHM_STEP * (half - values[j]) / (values[j - 1] - values[j])
            widths.append(float(right - left))
        return np.array(widths)

    def _vector(self) -> NDArray[np.float64]:
        return np.array(
            [self.slit_width, self.bin_width, *self.width, self.h3[0], *self.h4, self.h5[0], *self.h6], dtype=np.float64
        )

    @classmethod
    def _from_vector(cls, p: NDArray[np.float64]) -> HermiteLsf:
        v = [float(value) for value in p]
        return cls(abs(v[0]), abs(v[1]), (v[2], v[3], v[4]), (v[5], 0.0), (v[6], v[7]), (v[8], 0.0), (v[9], v[10]))


@dataclass(frozen=True, eq=False)
class LinePixelSet:
    """Pixels of a slice near any of some lines, ascending in wavelength.

    Attributes
    ----------
    wave, data, error : ndarray of float64 (n,)
        Wavelength [Angstrom], value [count] and its error.
    lines, flux : ndarray of float64 (m,)
        Wavelength of the lines and start values of their fluxes.
    """

    wave: NDArray[np.float64]
    data: NDArray[np.float64]
    error: NDArray[np.float64]
    lines: NDArray[np.float64]
    flux: NDArray[np.float64]


def lines_among(
    wave: NDArray[np.float64],
    data: NDArray[np.float32],
    stat: NDArray[np.float32],
    lines: NDArray[np.float64],
    flux: NDArray[np.float64],
) -> LinePixelSet:
    """Pixels of a slice with those lines that lie on it: with more than 100 pixels within `REACH`.

    Parameters
    ----------
    wave : ndarray of float64 (n,)
        Wavelengths of the pixels, ascending [Angstrom].
    data, stat : ndarray of float32 (n,)
        Values [count] and variances.
    lines, flux : ndarray of float64 (m,)
        Wavelengths [Angstrom] and start values of the fluxes.
    """
    use = np.searchsorted(wave, lines + REACH) - np.searchsorted(wave, lines - REACH) > _MIN_PIXELS
    error = np.sqrt(stat.astype(np.float64))
    return LinePixelSet(wave, data.astype(np.float64), error, lines[use], flux[use])


@dataclass(frozen=True, eq=False)
class HermiteFit:
    """Result of the fit of a slice.

    Attributes
    ----------
    lsf : HermiteLsf
    flux : ndarray of float64 (m,)
        Fluxes of the lines [count Angstrom].
    converged : bool
        False if the search ended at the limit of function calls; the best parameters found are kept.
    """

    lsf: HermiteLsf
    flux: NDArray[np.float64]
    converged: bool

    def model(self, wave: NDArray[np.float64], lines: NDArray[np.float64]) -> NDArray[np.float64]:
        """All lines at the wavelengths of pixels.

        Parameters
        ----------
        wave : ndarray of float64 (n,)
            Ascending [Angstrom].
        lines : ndarray of float64 (m,)
            Those of the fit [Angstrom].

        Returns
        -------
        ndarray of float64 (n,)
            [count]; 0 beyond `REACH`.
        """
        model = np.zeros(wave.size)
        for line, strength in zip(lines.tolist(), self.flux.tolist(), strict=True):
            mine = slice(*np.searchsorted(wave, [line - REACH, line + REACH]))
            model[mine] += strength * self.lsf(wave[mine] - line, line)
        return model


@njit(cache=True, nogil=True)
def _g(z, r0, r1, r2, r3, r4):  # type: ignore[no-untyped-def]
    e = math.exp(-0.5 * z * z)
    r = (((r4 * z + r3) * z + r2) * z + r1) * z + r0
    return e + r * e * e / 60.0 + z * math.sqrt(0.5 * math.pi) * math.erf(z * math.sqrt(0.5))


@njit(cache=True, nogil=True)
def _profile(p, line, offset, out):  # type: ignore[no-untyped-def]
    """Profile of a line at some distances; ``p``: slit, bin, width (3), h3, h4 (2), h5, h6 (2)."""
    t = line - REFERENCE_WAVE
    w = p[2] + p[3] * t + p[4] * t * t
    h3, h4, h5, h6 = p[5], p[6] + p[7] * t, p[8], p[9] + p[10] * t
    r0 = -2.5 * math.sqrt(6.0) * h4 + 1.5 * math.sqrt(5.0) * h6
    r1 = 10.0 * math.sqrt(3.0) * h3 - 3.0 * math.sqrt(15.0) * h5
    r2 = 5.0 * math.sqrt(6.0) * h4 - 6.0 * math.sqrt(5.0) * h6
    r3 = 2.0 * math.sqrt(15.0) * h5
    r4 = 2.0 * math.sqrt(5.0) * h6
    s = 0.5 * p[0] / w
    b = 0.5 * p[1] / w
    norm = 1.0 / (math.sqrt(32.0 * math.pi) * b * s * w)
    for i in range(offset.size):
        z = offset[i] / w
        out[i] = norm * (
            _g(z + s + b, r0, r1, r2, r3, r4)
            - _g(z + s - b, r0, r1, r2, r3, r4)
            - _g(z - s + b, r0, r1, r2, r3, r4)
            + _g(z - s - b, r0, r1, r2, r3, r4)
        )


@njit(cache=True, nogil=True)
def _profiles(p, lines, first, start, wave, out):  # type: ignore[no-untyped-def]
    """Profiles of all lines, one after the other, at their pixels ``first[k] ..``."""
    for k in range(lines.size):
        n = start[k + 1] - start[k]
        _profile(p, lines[k], wave[first[k] : first[k] + n] - lines[k], out[start[k] : start[k + 1]])


@njit(cache=True, nogil=True)
def _residuals(profiles, first, start, flux, data, error, out):  # type: ignore[no-untyped-def]
    for i in range(data.size):
        out[i] = -data[i]
    for k in range(flux.size):
        for i in range(start[k + 1] - start[k]):
            out[first[k] + i] += flux[k] * profiles[start[k] + i]
    for i in range(data.size):
        out[i] /= error[i]


@njit(cache=True, nogil=True)
def _best_fluxes(profiles, first, start, data, error, flux):  # type: ignore[no-untyped-def]
    """Linear least squares for the fluxes; False if they are not determined."""
    m = flux.size
    hess = np.zeros((m, m))
    grad = np.zeros(m)
    for k in range(m):
        n = start[k + 1] - start[k]
        for i in range(n):
            w = 1.0 / (error[first[k] + i] * error[first[k] + i])
            grad[k] += w * profiles[start[k] + i] * data[first[k] + i]
        for j in range(k + 1):
            low = max(first[k], first[j])
            high = min(first[k] + n, first[j] + start[j + 1] - start[j])
            for i in range(low, high):
                w = 1.0 / (error[i] * error[i])
                hess[k, j] += w * profiles[start[k] + i - first[k]] * profiles[start[j] + i - first[j]]
    return cholesky_solve(hess, m, 0.0, grad, np.zeros((m, m)), flux)


class _Problem:
    """Pixels by line, and the two residual functions."""

    def __init__(self, pixels: LinePixelSet) -> None:
        self.pixels = pixels
        self.first = np.searchsorted(pixels.wave, pixels.lines - REACH)
        ends = np.searchsorted(pixels.wave, pixels.lines + REACH, side="right")
        self.start = np.concatenate([[0], np.cumsum(ends - self.first)])
        self.profiles = np.empty(int(self.start[-1]))

    def evaluate(self, p: NDArray[np.float64]) -> None:
        _profiles(p, self.pixels.lines, self.first, self.start, self.pixels.wave, self.profiles)

    def residuals(self, flux: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.empty(self.pixels.wave.size)
        _residuals(self.profiles, self.first, self.start, flux, self.pixels.data, self.pixels.error, out)
        return out

    def fluxes(self) -> NDArray[np.float64]:
        flux = np.empty(self.pixels.lines.size)
        if not _best_fluxes(self.profiles, self.first, self.start, self.pixels.data, self.pixels.error, flux):
            raise DataError("the fluxes of the arc lines are not determined")
        return flux


def fit_hermite(pixels: LinePixelSet) -> HermiteFit:
    """Fit the profile of a slice.

    Parameters
    ----------
    pixels : LinePixelSet
        Lines must not share their position.

    Returns
    -------
    HermiteFit

    Raises
    ------
    DataError
        If there are fewer than three lines (the width is a parabola in wavelength) or than two pixels per parameter, if
        the fluxes are not determined, or if the width found is not positive at all wavelengths of the instrument.
    """
    if pixels.lines.size < _MIN_LINES or pixels.wave.size < 2 * (pixels.lines.size + 11):
        raise DataError(f"{pixels.wave.size} pixels near {pixels.lines.size} lines are too few for a profile")
    problem = _Problem(pixels)
    if np.any(np.diff(problem.start) < 5):
        raise DataError("a line has no pixels")
    base = HermiteLsf()._vector()
    # t reaches +-2350 Angstrom: parameters are searched in units of their effect at 1000 Angstrom
    unit = np.array([1.0, 1.0, 1.0, 1e-3, 1e-6, 1.0, 1.0, 1e-3, 1.0, 1.0, 1e-3])

    def with_width(values: NDArray[np.float64]) -> NDArray[np.float64]:
        p = base.copy()
        p[2:5] = values * unit[2:5]
        return p

    def first_step(values: NDArray[np.float64]) -> NDArray[np.float64]:
        problem.evaluate(with_width(values))
        return problem.residuals(problem.fluxes())

    first = least_squares(
        first_step,
        base[2:5] / unit[2:5],
        method="lm",
        ftol=_TOLERANCE,
        xtol=_TOLERANCE,
        gtol=_TOLERANCE,
        max_nfev=_CALLS_PER_PARAMETER * 4,
    )
    start = with_width(first.x)
    problem.evaluate(start)
    flux = problem.fluxes()

    def second_step(values: NDArray[np.float64]) -> NDArray[np.float64]:
        problem.evaluate(values * unit)
        return problem.residuals(flux)

    second = least_squares(
        second_step,
        start / unit,
        method="lm",
        ftol=_TOLERANCE,
        xtol=_TOLERANCE,
        gtol=_TOLERANCE,
        max_nfev=_CALLS_PER_PARAMETER * 12,
    )
    lsf = HermiteLsf._from_vector(second.x * unit)
    narrowest = float(lsf.width_at(np.linspace(*NOMINAL_RANGE, _FWHM_WAVES)).min())
    if not narrowest > 0:  # nor NaN
        raise DataError(f"the fit of {pixels.lines.size} lines gives a width of {narrowest:.3g} Angstrom")
    return HermiteFit(lsf, flux, second.status > 0)


def hermite_columns(ifu: int, slices: Mapping[int, HermiteLsf]) -> dict[str, NDArray[Any]]:
    """Columns of a parameter table: one row per slice."""
    lsf = list(slices.values())
    return {
        "ifu": np.full(len(lsf), ifu),
        "slice": np.array(list(slices)),
        "sensitivity": np.ones(len(lsf)),
        "offset": np.zeros(len(lsf)),
        "refraction": np.ones(len(lsf)),
        "slit_width": np.array([item.slit_width for item in lsf]),
        "bin_width": np.array([item.bin_width for item in lsf]),
        "lsf_width": np.array([item.width for item in lsf]),
        "hermit3": np.array([item.h3 for item in lsf]),
        "hermit4": np.array([item.h4 for item in lsf]),
        "hermit5": np.array([item.h5 for item in lsf]),
        "hermit6": np.array([item.h6 for item in lsf]),
    }


def hermites_of_columns(columns: Mapping[str, NDArray[Any]], ifu: int) -> dict[int, HermiteLsf]:
    """Profiles by slice number of the rows of an IFU in a parameter table; rows that are no profile are left out."""
    profiles = {}
    for row in np.flatnonzero(np.asarray(columns["ifu"]) == ifu):
        slit, pixel = (float(columns[name][row]) for name in ("slit_width", "bin_width"))
        w0, w1, w2 = (float(value) for value in columns["lsf_width"][row])
        pairs = []
        for name in ("hermit3", "hermit4", "hermit5", "hermit6"):
            constant, slope = (float(value) for value in columns[name][row])
            pairs.append((constant, slope))
        numbers = [slit, pixel, w0, w1, w2, *(value for pair in pairs for value in pair)]
        if all(math.isfinite(value) for value in numbers) and slit > 0 and pixel > 0 and w0 > 0:
            profiles[int(columns["slice"][row])] = HermiteLsf(slit, pixel, (w0, w1, w2), *pairs)
    return profiles
