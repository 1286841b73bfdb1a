"""Counts become fluxes: response of the instrument, extinction of the air, and its absorption bands.

Source: MUSE manual, 6.5.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.errors import DataError
from core.onsky.interpolation import bracket, interpolated

__all__ = ["FLUX_SCALE", "TELLURIC_START", "Curve", "FluxCalibration"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

FLUX_SCALE: Final = 1e20  # fluxes of a pixel table are in 1e-20 erg/s/cm**2/Angstrom
TELLURIC_START: Final = 6273.0  # [Angstrom]: bluer light is not absorbed in bands
_BIN_ERROR: Final = 0.02  # [Angstrom], of the width of a pixel


@dataclass(frozen=True, eq=False)
class Curve:
    """Values at wavelengths, and their errors.

    Attributes
    ----------
    wave : ndarray of float64, shape (n,)
        Ascending [Angstrom].
    values, errors : ndarray of float64, shape (n,)
    """

    wave: F64
    values: F64
    errors: F64

    def __post_init__(self) -> None:
        if not self.wave.size or np.any(np.diff(self.wave) <= 0) or not np.all(np.isfinite(self.wave)):
            raise DataError("wavelengths of a curve do not ascend", rule="lambda")

    @classmethod
    def of(cls, wave: npt.ArrayLike, values: npt.ArrayLike, errors: npt.ArrayLike = 0.0) -> Curve:
        """A curve of arrays of any kind.

        Raises
        ------
        DataError
            If the wavelengths do not ascend.
        """
        waves = np.ascontiguousarray(wave, np.float64)
        full = (np.ascontiguousarray(np.broadcast_to(np.asarray(v, np.float64), waves.shape)) for v in (values, errors))
        return cls(waves, *full)

    def at(self, wave: npt.ArrayLike, outside: float = 0.0) -> F64:
        """Values at wavelengths, linearly between the nodes."""
        return np.asarray(np.interp(np.asarray(wave, np.float64), self.wave, self.values, left=outside, right=outside))

    def taken_from(self, wave: F32, data: F32, outside: float = 0.0) -> F32:
        """Data less the values at their wavelengths, as `at` gives them; shapes (n,)."""
        found = np.empty_like(data)
        _subtract(wave, data, self.wave, self.values, outside, found)
        return found

    def error_at(self, wave: npt.ArrayLike) -> F64:
        """Errors of the values at wavelengths: those of both nodes, by their parts; 0 outside."""
        waves = np.asarray(wave, np.float64)
        after = np.clip(np.searchsorted(self.wave, waves, "right"), 1, max(self.wave.size - 1, 1))
        before, after = after - 1, np.minimum(after, self.wave.size - 1)
        width = np.where(after > before, self.wave[after] - self.wave[before], 1.0)
        part = (waves - self.wave[before]) / width
        found = np.hypot((1 - part) * self.errors[before], part * self.errors[after])
        return np.where((waves >= self.wave[0]) & (waves <= self.wave[-1]), found, 0.0)


@dataclass(frozen=True, eq=False)
class FluxCalibration:
    """What turns counts of an exposure into fluxes.

    Attributes
    ----------
    response : Curve
        2.5 log10((count/s/Angstrom) / (erg/s/cm**2/Angstrom)) [mag].
    extinction : Curve, optional
        [mag/airmass].
    telluric : Curve, optional
        Transmission at airmass 1.
    airmass : float
    exptime : float
        [s].
    step : float
        Spectral width of a pixel [Angstrom].
    """

    response: Curve
    extinction: Curve | None
    telluric: Curve | None
    airmass: float
    exptime: float
    step: float = 1.25
    _absorption: Curve | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not (self.exptime > 0 and math.isfinite(self.exptime)):
            raise DataError(f"fluxes need an exposure time, this is {self.exptime} s", keyword="EXPTIME")
        absorption = None
        if self.telluric is not None:
            t = self.telluric
            absorption = Curve(t.wave, np.power(t.values, -self.airmass), t.errors)
        object.__setattr__(self, "_absorption", absorption)

    def apply(self, wave: F32, data: F32, stat: F32) -> tuple[F32, F32, npt.NDArray[np.bool_]]:
        """Fluxes of pixels.

        Parameters
        ----------
        wave, data, stat : ndarray of float32, shape (n,)
            Wavelengths [Angstrom], counts, and their variances. The order is best that of a pixel table.

        Returns
        -------
        data, stat : ndarray of float32, shape (n,)
            Fluxes [1e-20 erg/s/cm**2/Angstrom] and their variances.
        known : ndarray of bool, shape (n,)
            Whether the response is known at the wavelength; the flux is NaN where it is not.
        """
        nothing = np.zeros(0)
        extinction = (nothing, nothing) if self.extinction is None else (self.extinction.wave, self.extinction.values)
        absorption = (nothing,) * 3
        if self._absorption is not None:
            absorption = (self._absorption.wave, self._absorption.values, self._absorption.errors)
        new_data, new_stat = np.empty_like(data), np.empty_like(stat)
        known = np.empty(data.shape, np.bool_)
        response = self.response
        _calibrate(
            wave,
            data,
            stat,
            response.wave,
            response.values,
            response.errors,
            *extinction,
            *absorption,
            0.4 * self.airmass,
            1.0 / (self.exptime * self.step),
            (_BIN_ERROR / self.step) ** 2,
            new_data,
            new_stat,
            known,
        )
        return new_data, new_stat, known


@njit(cache=True, nogil=True)
def _subtract(wave, data, nodes, values, outside, found):  # type: ignore[no-untyped-def]
    place = 0
    for i in range(wave.size):
        at = np.float64(wave[i])
        place = bracket(nodes, at, max(place, 0))
        found[i] = data[i] - interpolated(nodes, values, place, at, outside, outside)


@njit(cache=True, nogil=True)
def _between(nodes, values, i, wave):  # type: ignore[no-untyped-def]
    if i == nodes.size - 1:
        return values[i]
    part = (wave - nodes[i]) / (nodes[i + 1] - nodes[i])
    return values[i] + part * (values[i + 1] - values[i])


@njit(cache=True, nogil=True)
def _variance_between(nodes, errors, i, wave):  # type: ignore[no-untyped-def]
    if i == nodes.size - 1:
        return errors[i] * errors[i]
    part = (wave - nodes[i]) / (nodes[i + 1] - nodes[i])
    return ((1 - part) * errors[i]) ** 2 + (part * errors[i + 1]) ** 2


@njit(cache=True, nogil=True)
def _calibrate(  # type: ignore[no-untyped-def]
    wave,
    data,
    stat,
    r_wave,
    response,
    r_error,
    e_wave,
    extinction,
    t_wave,
    absorption,
    t_error,
    slope,
    per_bin,
    bin_variance,
    new_data,
    new_stat,
    known,
):
    power = math.log(10) / 2.5
    r, e, t = 0, 0, 0
    for i in range(wave.size):
        at = np.float64(wave[i])
        r = bracket(r_wave, at, r)
        known[i] = r >= 0 and at <= r_wave[r_wave.size - 1]
        if not known[i]:
            new_data[i], new_stat[i] = np.nan, np.nan
            r = max(r, 0)
            continue
        value, variance = np.float64(data[i]), np.float64(stat[i])
        magnitude = -_between(r_wave, response, r, at)
        if e_wave.size:
            e = bracket(e_wave, at, e)
            if e >= 0 and at <= e_wave[e_wave.size - 1]:
                magnitude += 2.5 * slope * _between(e_wave, extinction, e, at)
            e = max(e, 0)
        factor = FLUX_SCALE * per_bin * math.exp(power * magnitude)
        flux = value * factor
        relative = power * power * _variance_between(r_wave, r_error, r, at)
        spread = factor * factor * variance + flux * flux * (relative + bin_variance)
        if t_wave.size and at >= TELLURIC_START:
            t = bracket(t_wave, at, t)
            if t >= 0 and at <= t_wave[t_wave.size - 1]:
                through = _between(t_wave, absorption, t, at)
                spread = through * through * spread + flux * flux * _variance_between(t_wave, t_error, t, at)
                flux *= through
            t = max(t, 0)
        new_data[i], new_stat[i] = flux, spread
