"""The refractive index of air, by four formulas, and wavelengths in air and in vacuum.

Sources: Filippenko 1982 (PASP 94, 715); Owens 1967 (Appl. Opt. 6, 51); Birch & Downs 1993 (Metrologia 30, 155), an
update of Edlen 1966; Ciddor 1996 (Appl. Opt. 35, 1566) in the form of the NIST "Engineering Metrology Toolbox";
Morton 1991 (ApJS 77, 119) for vacuum wavelengths of calibrated spectra.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = [
    "METHODS",
    "STANDARD_AIR",
    "Air",
    "RefractionMethod",
    "refractive_index",
    "saturation_pressure",
    "vacuum_to_air",
]

RefractionMethod = Literal["Filippenko", "Owens", "Edlen", "Ciddor"]
F64 = npt.NDArray[np.float64]

_ZERO: Final = 273.15  # [K]
_MERCURY: Final = 0.75006158  # [mmHg/hPa]


@dataclass(frozen=True)
class Air:
    """Air at the telescope.

    Attributes
    ----------
    temperature : float
        [deg C].
    humidity : float
        Relative, 0 to 1.
    pressure : float
        [hPa].
    """

    temperature: float = 11.5
    humidity: float = 0.145
    pressure: float = 743.0


STANDARD_AIR: Final = Air(15.0, 0.0, 1013.25)


def refractive_index(wave: npt.ArrayLike, air: Air, method: RefractionMethod = "Filippenko") -> F64:
    """Refractive index of air.

    Parameters
    ----------
    wave : array-like of float [Angstrom]
    air : Air
    method : {'Filippenko', 'Owens', 'Edlen', 'Ciddor'}

    Returns
    -------
    ndarray of float64
        Of the shape of ``wave``.
    """
    microns: F64 = np.asarray(wave, np.float64) * 1e-4
    return METHODS[method](1 / (microns * microns), air)


def vacuum_to_air(wave: npt.ArrayLike) -> F64:
    """Wavelengths in standard air of vacuum wavelengths [Angstrom] (Morton 1991)."""
    vacuum = np.asarray(wave, np.float64)
    return vacuum / (1 + 2.735182e-4 + 131.4182 / vacuum**2 + 2.76249e8 / vacuum**4)


def saturation_pressure(kelvin: float) -> float:
    """Saturation pressure of water vapour [hPa] (Owens 1967)."""
    return -10474.0 + 116.43 * kelvin - 0.43284 * kelvin**2 + 0.00053840 * kelvin**3


def _filippenko(s: F64, air: Air) -> F64:
    t = air.temperature
    pressure = air.pressure * _MERCURY
    vapour = air.humidity * saturation_pressure(t + _ZERO) * _MERCURY
    density = pressure / 720.883 * (1 + (1.049 - 0.0157 * t) * 1e-6 * pressure) / (1 + 0.003661 * t)
    found = np.empty(s.shape)
    _of_density(np.ravel(s), density, vapour, 1 + 0.003661 * t, found.reshape(-1))
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def _of_density(s, density, vapour, warmth, index):  # type: ignore[no-untyped-def]
    for i in range(s.size):
        refractivity = (64.328 + 29498.1 / (146 - s[i]) + 255.4 / (41 - s[i])) * density
        refractivity -= vapour * (0.0624 - 0.000680 * s[i]) / warmth
        index[i] = 1 + 1e-6 * refractivity


def _owens(s: F64, air: Air) -> F64:
    kelvin = air.temperature + _ZERO
    vapour = air.humidity * saturation_pressure(kelvin)
    dry = air.pressure - vapour
    dry_density = dry / kelvin * (1 + dry * (57.90e-8 - 9.3250e-4 / kelvin + 0.25844 / kelvin**2))
    wet_density = (vapour / kelvin) * (
        1
        + vapour
        * (1 + 3.7e-4 * vapour)
        * (-2.37321e-3 + 2.23366 / kelvin - 710.792 / kelvin**2 + 7.75141e4 / kelvin**3)
    )
    of_dry = 2371.34 + 683939.7 / (130 - s) + 4547.3 / (38.9 - s)
    of_wet = 6487.31 + 58.058 * s - 0.71150 * s**2 + 0.08851 * s**3
    return 1 + 1e-8 * (of_dry * dry_density + of_wet * wet_density)


def _edlen(s: F64, air: Air) -> F64:
    t, pascal = air.temperature, 100 * air.pressure
    standard = 1e-8 * (8342.54 + 2406147 / (130 - s) + 15998 / (38.9 - s))
    compressed = (1 + 1e-8 * (0.601 - 0.00972 * t) * pascal) / (1 + 0.003661 * t)
    # 1e-10, as published; the reference pipeline has 1e-9.
    wet = 1e-10 * (292.75 / (t + _ZERO)) * (3.7345 - 0.0401 * s) * _vapour_pressure(air)
    return 1 + pascal * standard * compressed / 96095.43 - wet


def _ciddor(s: F64, air: Air, carbon_dioxide: float = 450.0) -> F64:
    t, kelvin, pascal = air.temperature, air.temperature + _ZERO, 100 * air.pressure
    enhancement = 1.00062 + 3.14e-8 * pascal + 5.60e-7 * t**2
    x = enhancement * _vapour_pressure(air) / pascal
    standard = 1e-8 * (5792105 / (238.0185 - s) + 167917 / (57.362 - s))
    standard *= 1 + 5.34e-7 * (carbon_dioxide - 450)
    water = 1.022e-8 * (295.235 + 2.6422 * s - 0.03238 * s**2 + 0.004028 * s**3)
    gas, molar_water, molar_air = 8.314472, 0.018015, 0.0289635 + 1.2011e-8 * (carbon_dioxide - 400)
    ratio = pascal / kelvin
    compressibility = (
        1
        - ratio
        * (
            (1.58123e-6 - 2.9331e-8 * t + 1.1043e-10 * t**2)
            + (5.707e-6 - 2.051e-8 * t) * x
            + (1.9898e-4 - 2.376e-6 * t) * x**2
        )
        + ratio**2 * (1.83e-11 - 0.765e-8 * x**2)
    )
    density = pascal / (compressibility * gas * kelvin)
    standard_density = 101325 * molar_air / (0.9995922115 * gas * 288.15)
    dry, wet = (1 - x) * density * molar_air, x * density * molar_water
    return 1 + dry / standard_density * standard + wet / 0.00985938 * water


def _vapour_pressure(air: Air) -> float:
    """Partial pressure of water vapour [Pa]; over water above 0 deg C, over ice below (IAPWS, as NIST has it)."""
    kelvin = air.temperature + _ZERO
    if air.temperature > 0:
        omega = kelvin - 0.238555575678 / (kelvin - 650.175348448)
        a = omega**2 + 1167.05214528 * omega - 724213.167032
        b = -17.0738469401 * omega**2 + 12020.8247025 * omega - 3232555.03223
        c = 14.9151086135 * omega**2 - 4823.26573616 * omega + 405113.405421
        saturated = 1e6 * (2 * c / (-b + np.sqrt(b * b - 4 * a * c))) ** 4
    else:
        theta = kelvin / 273.16
        saturated = 611.657 * np.exp(-13.928169 * (1 - theta**-1.5) + 34.7078238 * (1 - theta**-1.25))
    return air.humidity * float(saturated)


METHODS: Final[dict[RefractionMethod, Callable[[F64, Air], F64]]] = {
    "Filippenko": _filippenko,
    "Owens": _owens,
    "Edlen": _edlen,
    "Ciddor": _ciddor,
}
