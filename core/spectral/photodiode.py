"""Counts become light: photons and energy through a filter, and what two photodiodes say of the same light."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, pi
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

__all__ = ["FilteredLight", "Throughput", "compare", "energy_of", "sensitivities"]

_PLANCK: Final = 6.6260693e-34  # [J s]
_LIGHT: Final = 299792458.0  # [m/s]
_BOLTZMANN: Final = 1.3806505e-23  # [J/K]
_DIODE_AREA: Final = 1.0  # [cm^2]
_ERROR_OF_AREA: Final = 0.03
_ERROR_OF_BEAM: Final = 0.04
_ERROR_OF_FILTER: Final = (0.01, 0.02)  # from 5000 to 8000 Angstrom, and elsewhere

# Sensitivities [A/W], every 100 Angstrom from the first wavelength to 11000 Angstrom.
_FIRST: Final = (2500.0, 3800.0)
_DIODE_1: Final = (
    0.12042285, 0.10860598, 0.10029241, 0.1010473, 0.11258141, 0.12635038, 0.13448966, 0.13880026, 0.1423209,
    0.14222383, 0.14018333, 0.13863897, 0.14285144, 0.15266077, 0.16535348, 0.1770276, 0.18605701, 0.19385006,
    0.20142353, 0.20986195, 0.21819498, 0.22561278, 0.23293989, 0.23908501, 0.24622256, 0.25217267, 0.25847973,
    0.2651326, 0.27124827, 0.27774291, 0.28288282, 0.28884646, 0.29560289, 0.30107169, 0.30661891, 0.31317781,
    0.3185658, 0.3247822, 0.33013667, 0.33590527, 0.34120136, 0.34646811, 0.35219427, 0.35768868, 0.36601971,
    0.36940652, 0.3735187, 0.37902808, 0.38475409, 0.39095198, 0.39615039, 0.40184217, 0.40682911, 0.41245076,
    0.41851005, 0.42465427, 0.4292767, 0.43596086, 0.44151703, 0.4458525, 0.45129183, 0.45772061, 0.46303733,
    0.4683445, 0.4728841, 0.47827183, 0.48365046, 0.48835047, 0.49350086, 0.49763584, 0.50120751, 0.50337176,
    0.50266209, 0.49823605, 0.48887253, 0.47199137, 0.44744711, 0.41367036, 0.37072293, 0.31936173, 0.26252744,
    0.2092668, 0.16926374, 0.13819477, 0.11170627, 0.089087876,
)  # fmt: skip
_DIODE_2: Final = (
    0.017470643, 0.028092218, 0.042101743, 0.057172072, 0.072846443, 0.088312251, 0.10446471, 0.12060106, 0.13705176,
    0.15291203, 0.16783374, 0.18414104, 0.2002173, 0.21605915, 0.23228403, 0.24804161, 0.26350352, 0.27958034,
    0.2948433, 0.3098418, 0.32511413, 0.3396649, 0.35432272, 0.36892068, 0.38268224, 0.3965248, 0.41013499,
    0.42306177, 0.43585509, 0.44871039, 0.46041305, 0.47379706, 0.48452311, 0.49428201, 0.50518957, 0.51604378,
    0.52577538, 0.53560665, 0.54571763, 0.55427559, 0.56320912, 0.57262044, 0.58063817, 0.58978081, 0.59650748,
    0.60433599, 0.61148995, 0.61874995, 0.62610294, 0.63217003, 0.63791206, 0.6449613, 0.65062382, 0.65685802,
    0.66314835, 0.6684782, 0.67349904, 0.67880835, 0.68235343, 0.68390407, 0.68117654, 0.67307881, 0.65663219,
    0.62937674, 0.5886552, 0.53176402, 0.46039876, 0.37838965, 0.29937021, 0.23830659, 0.19124631, 0.1523348,
    0.1193815,
)  # fmt: skip


def sensitivities(wave: float) -> tuple[float, float]:
    """Sensitivities of the two photodiodes at a wavelength [Angstrom]: A/W, 0 where they are not known."""
    first, second = (
        float(np.interp(wave, start + 100.0 * np.arange(len(table)), table, left=0.0, right=0.0))
        for start, table in zip(_FIRST, (_DIODE_1, _DIODE_2), strict=True)
    )
    return first, second


def energy_of(photons: NDArray[np.float32], wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Energy of photons of some wavelengths [Angstrom]: J, float32, of their shape."""
    energy: NDArray[np.float32] = (_PLANCK * _LIGHT / (wave.astype(np.float64) * 1e-10) * photons).astype(np.float32)
    return energy


@dataclass
class FilteredLight:
    """Sums of the light of an IFU, slice by slice.

    Attributes
    ----------
    temperature : float
        Of the lamp [K].
    photons : float
    energy : dict of int to float
        Of each slice [J].
    """

    temperature: float
    photons: float
    energy: dict[int, float]
    _weights: float = 0.0
    _weighted: float = 0.0

    def add(
        self,
        slice_no: int,
        wave: NDArray[np.float32],
        photons: NDArray[np.float32],
        energy: NDArray[np.float32],
    ) -> None:
        """Add the pixels of a slice, arrays of one shape: wavelengths [Angstrom], photons, energy [J]."""
        metre = wave.astype(np.float64) * 1e-10
        f = _PLANCK * _LIGHT / (_BOLTZMANN * self.temperature * metre)
        weights = photons / (15.0 / metre * (f / pi) ** 4 / np.expm1(f))
        self.photons += float(photons.sum(dtype=np.float64))
        self.energy[slice_no] = float(energy.sum(dtype=np.float64))
        self._weights += float(weights.sum())
        self._weighted += float((wave * weights).sum())

    @property
    def wave(self) -> float:
        """Mean wavelength, photons weighted with the inverse of the lamp's spectrum [Angstrom].

        Raises
        ------
        DataError
            If there is no light.
        """
        if not self._weights > 0:
            raise DataError("no light goes through the filter: none of its wavelengths is on the detector")
        return self._weighted / self._weights


@dataclass(frozen=True)
class Throughput:
    """Light on the detector in parts of that on the photodiodes [%].

    Attributes
    ----------
    power : float
        [W]
    first, second : float
        By the photodiodes 1 and 2.
    error : float
        Of the second.
    slices : dict of int to float
        Of single slices, by photodiode 2.
    """

    power: float
    first: float
    second: float
    error: float
    slices: dict[int, float]


def compare(
    light: FilteredLight, exptime: float, area: float, slice_area: float, currents: tuple[float, float], fbeam: float
) -> Throughput:
    """Throughput of an IFU.

    Parameters
    ----------
    light : FilteredLight
    exptime : float
        [s]
    area, slice_area : float
        Of the IFU and of a slice in the focal plane [cm^2].
    currents : tuple of float
        Of the photodiodes 1 and 2 [A].
    fbeam : float
        Widening of the beam between the focal plane and photodiode 2.

    Raises
    ------
    DataError
        If there is no light, or none that the photodiodes see.
    """
    wave = light.wave
    known = sensitivities(wave)
    if not (min(known) > 0 and min(currents) > 0):
        raise DataError(f"the photodiodes tell nothing at {wave:.1f} Angstrom: {currents[0]:g} and {currents[1]:g} A")
    first, second = currents[0] * _DIODE_AREA / known[0], currents[1] * _DIODE_AREA * fbeam / known[1]
    power = sum(light.energy.values()) / exptime
    through = 100 * power / area / second
    of_filter = _ERROR_OF_FILTER[0] if 5000 < wave < 8000 else _ERROR_OF_FILTER[1]
    return Throughput(
        power=power,
        first=100 * power / area / first,
        second=through,
        error=through * hypot(_ERROR_OF_AREA, _ERROR_OF_BEAM, of_filter),
        slices={number: 100 * energy / exptime / slice_area / second for number, energy in light.energy.items()},
    )
