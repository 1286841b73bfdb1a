"""From the counts of a standard star to the response of the instrument and the absorption bands of the air.

    curve = measure_sensitivity(wave, data, stat, reference, ...)
    curve = correct_bands(flag_bands(curve, bands), bands, airmass, log)
    curve = extend(curve, limits, width)
    response, telluric = smooth_response(curve, "ppoly", ...), telluric_curve(curve)

Sources: MUSE manual, 6.5.1; behaviour of the reference pipeline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.instruments.muse.facts import Dq
from core.onsky.fluxcal import Curve
from core.spectral.iterfit import iterate_fit
from core.spectral.smoothing import smooth_by_median, smooth_by_polynomials, stretches

__all__ = [
    "SMOOTHINGS",
    "Band",
    "Sensitivity",
    "Smoothing",
    "correct_bands",
    "extend",
    "flag_bands",
    "measure_sensitivity",
    "smooth_response",
    "telluric_curve",
]

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Smoothing = Literal["median", "ppoly"]

_MAG: Final = 2.5 / math.log(10)  # error of a magnitude by relative error
_BAND_SIGMA: Final = 3.0
_END_SIGMA: Final = 5.0
_NEW_ROWS: Final = 100  # at either end
_ERROR_GROWTH: Final = 50.0  # [Angstrom] that an extrapolated error needs to grow by 2 times its first value
_MOST_ERROR: Final = 0.1  # of a transmission
_LEAST_ERROR: Final = 1e-4


class Band(NamedTuple):
    """Wavelengths that the air absorbs, and others around them [Angstrom]."""

    low: float
    high: float
    background_low: float
    background_high: float


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """How many counts a flux gives, over wavelength.

    Attributes
    ----------
    wave : ndarray of float64, shape (n,)
        Ascending [Angstrom].
    values, errors : ndarray of float64, shape (n,)
        2.5 log10((count/s/Angstrom) / (erg/s/cm**2/Angstrom)) [mag].
    flags : ndarray of int32, shape (n,)
        0, `Dq.TELLURIC`, `Dq.TELLURIC_CORRECTED`, or `Dq.OUTSIDE_RANGE`: extrapolated.
    transmission : ndarray of float64, shape (n,)
        Of the air at airmass 1, NaN outside the bands.
    """

    wave: F64
    values: F64
    errors: F64
    flags: npt.NDArray[np.int64]
    transmission: F64

    def keep(self, which: Mask) -> Sensitivity:
        """Some of its rows."""
        return Sensitivity(
            self.wave[which], self.values[which], self.errors[which], self.flags[which], self.transmission[which]
        )

    @property
    def measured(self) -> Mask:
        """Rows that show the instrument alone."""
        return (self.flags == 0) | (self.flags == Dq.TELLURIC_CORRECTED)


def measure_sensitivity(
    wave: F64,
    data: F64,
    stat: F64,
    reference: Curve,
    extinction: Curve,
    *,
    airmass: float,
    exptime: float,
    step: float,
    first: float = 0.0,
) -> Sensitivity:
    """Compare the counts of a star with its flux.

    Parameters
    ----------
    wave : ndarray of float64, shape (n,)
        Ascending [Angstrom].
    data, stat : ndarray of float64, shape (n,)
        Counts, and their variances; where either is not positive there is no row.
    reference : Curve
        Flux of the star [erg/s/cm**2/Angstrom].
    extinction : Curve
        [mag/airmass].
    airmass : float
    exptime : float
        [s].
    step : float
        Width of a bin [Angstrom].
    first : float
        Bluer light is not used [Angstrom].

    Raises
    ------
    DataError
        If no row is left, the airmass is below 1, or the exposure time is no time.
    """
    if airmass < 1 or not exptime > 0:
        raise DataError(f"no response from an airmass of {airmass:g} and an exposure time of {exptime:g} s")
    flux = reference.at(wave)
    good = (data > 0) & (stat > 0) & np.isfinite(stat) & (flux > 0) & (wave >= first)
    if not good.any():
        raise DataError("the star has no flux at any wavelength of its reference spectrum")
    wave, data, stat, flux = (array[good].astype(np.float64) for array in (wave, data, stat, flux))
    values = 2.5 * np.log10(data / (exptime * step * flux)) + airmass * extinction.at(wave)
    errors = _MAG * np.sqrt((reference.error_at(wave) / flux) ** 2 + stat / data**2)
    return Sensitivity(wave, values, errors, np.zeros(wave.size, np.int64), np.full(wave.size, np.nan))


def flag_bands(curve: Sensitivity, bands: Sequence[Band]) -> Sensitivity:
    """Flag what the air absorbs, both ends included."""
    inside = np.zeros(curve.wave.size, np.bool_)
    for band in bands:
        inside |= (curve.wave >= band.low) & (curve.wave <= band.high)
    flags = np.where(inside, np.int64(Dq.TELLURIC), curve.flags)
    return Sensitivity(curve.wave, curve.values, curve.errors, flags, curve.transmission)


def correct_bands(
    curve: Sensitivity, bands: Sequence[Band], airmass: float, told: Callable[[str], None] = lambda _: None
) -> Sensitivity:
    """Put what a polynomial through the wavelengths around it says in the place of each band.

    The rows around a band that lie off the polynomial are left out. A band with too few of them stays as it is, which
    ``told`` hears of.
    """
    for band in bands:
        if not ((curve.wave >= band.low) & (curve.wave <= band.high)).any():
            continue
        around = (curve.wave >= band.background_low) & (curve.wave <= band.background_high) & curve.measured
        enclosed = (
            band.background_low <= band.low
            and band.background_high >= band.high
            and curve.wave[0] <= band.low
            and curve.wave[-1] >= band.high
        )
        order = 2 if enclosed else 1
        try:
            fit = iterate_fit(curve.wave[around], curve.values[around], order, _BAND_SIGMA)
        except DataError as error:
            told(f"the telluric band from {band.low:g} to {band.high:g} Angstrom is not corrected: {error}")
            continue
        inside = (curve.wave >= band.low) & (curve.wave <= band.high) & (curve.flags == Dq.TELLURIC)
        spare = max(int(np.count_nonzero(fit.kept)) - order - 1, 1)
        curve = _corrected(curve, inside, fit(curve.wave), fit.rms**2 / spare)
        off = np.zeros(curve.wave.size, np.bool_)
        off[np.flatnonzero(around)[~fit.kept]] = True
        curve = curve.keep(~off)
    at_one = curve.transmission ** (1.0 / airmass)
    return Sensitivity(curve.wave, curve.values, curve.errors, curve.flags, at_one)


def _corrected(curve: Sensitivity, inside: Mask, model: F64, variance: float) -> Sensitivity:
    absorbed = np.minimum(10 ** (-0.4 * (model - curve.values)), 1.0)
    return Sensitivity(
        curve.wave,
        np.where(inside, model, curve.values),
        np.where(inside, np.sqrt(curve.errors**2 + variance), curve.errors),
        np.where(inside, np.int64(Dq.TELLURIC_CORRECTED), curve.flags),
        np.where(inside, absorbed, curve.transmission),
    )


def extend(curve: Sensitivity, limits: tuple[float, float], width: float) -> Sensitivity:
    """Go on to both limits along straight lines through the rows within ``width`` of either end [Angstrom].

    Raises
    ------
    DataError
        If there are too few rows for a line.
    """
    measured = curve.keep(curve.measured)
    if measured.wave.size < 2:
        raise DataError("the response has too few wavelengths")
    first, last = float(curve.wave[0]), float(curve.wave[-1])
    before = np.linspace(limits[0], first, _NEW_ROWS, endpoint=False)
    after = np.linspace(limits[1], last, _NEW_ROWS, endpoint=False)[::-1]
    blue = measured.wave <= measured.wave[0] + width
    red = measured.wave >= measured.wave[-1] - width
    parts = [
        _line(measured.keep(blue), before, first, float(curve.errors[0])),
        curve,
        _line(measured.keep(red), after, last, float(curve.errors[-1])),
    ]
    parts = [part for part, wanted in zip(parts, (limits[0] < first, True, limits[1] > last), strict=True) if wanted]
    return Sensitivity(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("wave", "values", "errors", "flags", "transmission")
        )
    )


def _line(end: Sensitivity, wave: F64, edge: float, error: float) -> Sensitivity:
    values = iterate_fit(end.wave, end.values, 1, _END_SIGMA)(wave)
    errors = error * (1 + 2 * np.abs(wave - edge) / _ERROR_GROWTH)
    flags = np.full(wave.size, np.int64(Dq.OUTSIDE_RANGE))
    return Sensitivity(wave, values, errors, flags, np.full(wave.size, np.nan)).keep(values > 0)


def telluric_curve(curve: Sensitivity) -> Curve | None:
    """Transmission of the air at airmass 1: rows of the bands, and 1 next to those that absorb; None without bands.

    Errors are 0.1, or what is absorbed if that is less.
    """
    known = np.isfinite(curve.transmission)
    if not known.any():
        return None
    values = np.where(known, curve.transmission, 1.0)
    absorbing = known & (values != 1)
    beside = np.zeros_like(known)
    beside[1:] |= absorbing[:-1]
    beside[:-1] |= absorbing[1:]
    rows = known | beside
    errors = np.minimum(_MOST_ERROR, np.maximum(1 - values, _LEAST_ERROR))
    return Curve.of(curve.wave[rows], values[rows], errors[rows])


SMOOTHINGS: Final[dict[Smoothing, Callable[[F64, F64, F64], tuple[F64, F64]]]] = {
    "median": smooth_by_median,
    "ppoly": smooth_by_polynomials,
}


def smooth_response(curve: Curve, how: Smoothing, first: float = 0.0, gap: tuple[float, float] | None = None) -> Curve:
    """A smooth response.

    Parameters
    ----------
    curve : Curve
    how : {'median', 'ppoly'}
    first : float
        Bluer rows stay as they are [Angstrom].
    gap : pair of float, optional
        Rows between these wavelengths stay as they are, and those on either side do not know of each other [Angstrom].
    """
    values, errors = curve.values.copy(), curve.errors.copy()
    for stretch in stretches(curve.wave, first, gap):
        if stretch.any():
            own = curve.wave[stretch], curve.values[stretch], curve.errors[stretch]
            values[stretch], errors[stretch] = SMOOTHINGS[how](*own)
    return Curve(curve.wave, values, errors)
