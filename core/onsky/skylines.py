"""Emission lines of the sky: their list, the light of all of them at any wavelength, and their fit to a spectrum.

Lines belong to groups, whose lines keep their ratios: transitions of one upper state, or of one species.

Source: MUSE manual, 6.5.2; Streicher et al. 2011 (ASP Conf. 442, 257).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.optimize import leastsq

from core.errors import DataError
from core.onsky.skyspectrum import MeanSpectrum
from core.spectral.lsf_cube import LsfImage

__all__ = ["LineFit", "LineLight", "SkyLines", "average_lsf", "continuum_of", "fit_lines", "lines_of_transitions"]

F64 = npt.NDArray[np.float64]

_REACH: Final = 5.0  # [Angstrom] beyond the ends of a spectrum, lines still shine into it
_FAINT: Final = 1e-4  # of the strongest line: what is fainter does not count in the fit
_PIVOT: Final = 7000.0  # [Angstrom] wavelength that a stretch leaves where it is
_START: Final = 0.1  # square root of the factor of a group
_WINDOW: Final = 3.0  # [Angstrom] around the strongest line of a group
_TOLERANCE: Final = 30 * float(np.finfo(np.float64).eps)
_STEP_BOUND: Final = 100.0
_BOLTZMANN: Final = 1.3806504e-23  # [J/K]
_OH_TEMPERATURE: Final = 200.0  # [K]
_PHOTON: Final = 1.98623e-8  # h c [erg Angstrom]


@dataclass(frozen=True, eq=False)
class SkyLines:
    """Lines.

    Attributes
    ----------
    name : ndarray of str, shape (n,)
    group : ndarray of int, shape (n,)
    wave : ndarray of float64, shape (n,)
        In air [Angstrom].
    flux : ndarray of float64, shape (n,)
        [1e-20 erg/s/cm**2/arcsec**2], or what the unit of the spectrum makes of it.
    """

    name: npt.NDArray[np.str_]
    group: npt.NDArray[np.int64]
    wave: F64
    flux: F64

    def __len__(self) -> int:
        return self.wave.size

    def only(self, chosen: npt.NDArray[Any]) -> SkyLines:
        """Some of the lines, or all in another order."""
        return SkyLines(self.name[chosen], self.group[chosen], self.wave[chosen], self.flux[chosen])

    def within(self, low: float, high: float) -> SkyLines:
        """Lines that shine between two wavelengths, or close by [Angstrom]; groups are numbered anew from 0."""
        near = self.only((self.wave >= low - _REACH) & (self.wave <= high + _REACH))
        _, first, inverse = np.unique(near.group, return_index=True, return_inverse=True)
        rank = np.empty(first.size, np.int64)
        rank[np.argsort(first)] = np.arange(first.size)  # in the order of their first appearance
        return replace(near, group=rank[inverse])

    def __add__(self, other: SkyLines) -> SkyLines:
        """These lines and others, whose groups follow."""
        shift = int(self.group.max()) + 1 if len(self) else 0
        pairs = [(self.name, other.name), (self.group, other.group + shift)]
        pairs += [(self.wave, other.wave), (self.flux, other.flux)]
        return SkyLines(*(np.concatenate(pair) for pair in pairs))


def lines_of_transitions(
    name: npt.NDArray[Any], wave: F64, v_upper: npt.NDArray[Any], energy: F64, j_upper: F64, rate: F64
) -> SkyLines:
    """Lines of OH from its transitions at 200 K; each upper vibrational state is a group.

    Parameters
    ----------
    name : ndarray of str, shape (n,)
    wave : ndarray [Angstrom]
    v_upper : ndarray of int
        Vibrational quantum number of the upper state.
    energy : ndarray [J]
        Of the upper state.
    j_upper : ndarray
        Rotational quantum number of the upper state.
    rate : ndarray [1/s]
        Einstein A.
    """
    weights = (2 * j_upper + 1) * np.exp(-energy / (_BOLTZMANN * _OH_TEMPERATURE))
    sums = {state: weights[v_upper == state].sum() for state in np.unique(v_upper).tolist()}
    part = weights / np.array([sums[state] for state in v_upper.tolist()])
    flux = 2 * rate * part * _PHOTON / wave * 1e20 / 50
    group = v_upper.astype(np.int64) - (int(v_upper.min()) if v_upper.size else 0)
    return SkyLines(np.asarray(name, np.str_), group, np.asarray(wave, np.float64), np.asarray(flux, np.float64))


def average_lsf(profiles: Mapping[Any, LsfImage], counts: Mapping[Any, int]) -> LsfImage:
    """Mean line-spread function of slices, by the number of their pixels; on the grid of the first.

    Raises
    ------
    DataError
        If no slice has both.
    """
    known = [(profiles[key], counts[key]) for key in profiles if counts.get(key, 0) > 0]
    if not known:
        raise DataError("no line-spread function for any slice that has pixels", rule="LSF_PROFILE")
    first, total = known[0][0], sum(count for _, count in known)
    mean = np.zeros(first.data.shape)
    for lsf, count in known:
        if lsf.data.shape != mean.shape:
            raise DataError("line-spread functions of slices have images of different sizes", rule="LSF_PROFILE")
        mean += count / total * lsf.data
    return LsfImage(mean, first.first_x, first.step_x, first.first_wave, first.step_wave)


@dataclass(frozen=True, eq=False)
class LineLight:
    """The light of lines at any wavelength, for one line-spread function.

    Attributes
    ----------
    wave : ndarray of float64, shape (n,)
        Of the lines, ascending [Angstrom].
    flux : ndarray of float64, shape (n,)
    lsf : LsfImage
        A line has the profile of its wavelength, of unit area and centred; 0 beyond both ends.
    row : ndarray of float64, shape (n,)
        Where the wavelength of each line lies among the rows of the image.
    area : ndarray of float64, shape (n,)
        Of the profile there; 0 if it is empty.
    first : ndarray of float64, shape (n,)
        Distance from the line of the sample before the first column [Angstrom].
    """

    wave: F64
    flux: F64
    lsf: LsfImage
    row: F64
    area: F64
    first: F64

    @classmethod
    def of(cls, lines: SkyLines, lsf: LsfImage) -> LineLight:
        """Lines with their profiles."""
        order = np.argsort(lines.wave, kind="stable")
        wave = lines.wave[order]
        row, area, centre = lsf.centres(wave)
        return cls(wave, lines.flux[order], lsf, row, area, lsf.first_x - lsf.step_x - centre)

    def at(self, wave: npt.NDArray[Any]) -> F64:
        """Light at wavelengths [Angstrom], best in an order in which neighbours are near."""
        out = np.zeros(wave.shape)
        if self.wave.size:
            _shine(wave, self.wave, self.flux, self.lsf.data, self.row, self.area, self.first, self.lsf.step_x, out)
        return out


@dataclass(frozen=True, eq=False)
class LineFit:
    """Lines as they were fitted.

    Attributes
    ----------
    lines : SkyLines
        The brightest first.
    converged : bool
    message : str
    """

    lines: SkyLines
    converged: bool
    message: str


def fit_lines(spectrum: MeanSpectrum, lines: SkyLines, lsf: LsfImage) -> LineFit:
    """Fit the brightness of the groups, and where lines are, to a spectrum.

    What is compared are differences of neighbouring bins: a continuum does not matter.

    Parameters
    ----------
    spectrum : MeanSpectrum
    lines : SkyLines
        Those `SkyLines.within` its range.
    lsf : LsfImage
        Folded with the bins of the spectrum.

    Raises
    ------
    DataError
        If there are no lines, or fewer bins than groups.
    """
    if not len(lines):
        raise DataError("no line of the list lies in the spectrum of the sky", rule="SKY_LINES")
    n_groups = int(lines.group.max()) + 1
    if spectrum.wave.size < n_groups + 3:
        raise DataError(f"a spectrum of {spectrum.wave.size} bins is too short to fit {n_groups} groups of lines")
    bright = lines.only(lines.flux >= _FAINT * lines.flux.max())
    light = LineLight.of(bright, lsf)
    group = bright.group[np.argsort(bright.wave, kind="stable")]
    scale = 1 / np.sqrt(np.maximum(spectrum.stat[1:] + spectrum.stat[:-1], np.finfo(np.float64).tiny))

    def model(vector: F64) -> F64:
        strength, (stretch, shift) = vector[:-2], vector[-2:]
        moved = light.wave * (1 + stretch) + shift - _PIVOT * stretch
        return replace(light, wave=moved, flux=light.flux * strength[group] ** 2).at(spectrum.wave)

    def residuals(vector: F64) -> F64:
        return np.diff(model(vector) - spectrum.data) * scale

    start = np.append(_first_strengths(spectrum, light, group, n_groups), [0.0, 0.0])
    vector, _, _, message, status = leastsq(
        residuals, start, full_output=True, ftol=_TOLERANCE, xtol=_TOLERANCE, gtol=_TOLERANCE,
        maxfev=100 * (start.size + 1), factor=_STEP_BOUND,
    )  # fmt: skip
    converged = status in (1, 2, 3, 4, 6, 7, 8)  # those beyond 4: it cannot become better in this precision
    strength, (stretch, shift) = vector[:-2], vector[-2:]
    wave = lines.wave * (1 + stretch) + shift - _PIVOT * stretch if converged else lines.wave
    fitted = replace(lines, flux=lines.flux * strength[lines.group] ** 2, wave=wave)
    return LineFit(fitted.only(np.argsort(-fitted.flux, kind="stable")), converged, message)


def continuum_of(spectrum: MeanSpectrum, lines: SkyLines, lsf: LsfImage, sampling: float) -> tuple[F64, F64]:
    """What a spectrum has without its lines: wavelengths [Angstrom] and fluxes, at steps of ``sampling``."""
    rest = spectrum.data - LineLight.of(lines, lsf).at(spectrum.wave)
    low, high = float(spectrum.wave[0]), float(spectrum.wave[-1])
    wave: F64 = low + sampling * np.arange(int((high - low) / sampling), dtype=np.float64)
    return wave, np.interp(wave, spectrum.wave, rest)


def _first_strengths(spectrum: MeanSpectrum, light: LineLight, group: npt.NDArray[np.int64], n_groups: int) -> F64:
    """Square roots of the factors of groups, by the light around the strongest line of each."""
    strengths = np.full(n_groups, _START)
    shown = replace(light, flux=light.flux * _START**2).at(spectrum.wave)
    for number in range(n_groups):
        members = np.flatnonzero(group == number)
        if not members.size:
            continue
        line = light.wave[members[light.flux[members].argmax()]]
        inside = np.flatnonzero(np.abs(spectrum.wave - line) <= _WINDOW)
        if inside.size < 3:
            continue
        data = spectrum.data[inside]
        seen = np.maximum(data - (data[0] + data[-1]) / 2, 0).sum()
        expected = shown[inside].sum()
        if seen > 0 and expected > 0:
            strengths[number] *= np.sqrt(seen / expected)
    return strengths


@njit(cache=True, nogil=True)
def _sample(image, low, high, part, j):  # type: ignore[no-untyped-def]
    """A value between two rows of an image, of whose columns there is one more at both ends, empty."""
    if not 1 <= j <= image.shape[1]:
        return 0.0
    return image[low, j - 1] + part * (image[high, j - 1] - image[low, j - 1])


@njit(cache=True, nogil=True)
def _shine(wave, lines, flux, image, row, area, first, step, out):  # type: ignore[no-untyped-def]
    n_lines, n = lines.size, image.shape[1] + 2
    reach_low, reach_high = 0.0, 0.0
    for k in range(n_lines):
        if area[k] > 0:
            reach_low = min(reach_low, first[k])
            reach_high = max(reach_high, first[k] + (n - 1) * step)
    start = 0
    for i in range(wave.size):
        at = np.float64(wave[i])
        while start > 0 and lines[start - 1] >= at - reach_high:
            start -= 1
        while start < n_lines and lines[start] < at - reach_high:
            start += 1
        total = 0.0
        k = start
        while k < n_lines and lines[k] <= at - reach_low:
            place = (at - lines[k] - first[k]) / step
            if area[k] > 0 and 0 <= place < n - 1:
                j, low = int(place), min(int(row[k]), max(image.shape[0] - 2, 0))
                high, part = min(low + 1, image.shape[0] - 1), place - j
                left = _sample(image, low, high, row[k] - low, j)
                right = _sample(image, low, high, row[k] - low, j + 1)
                total += flux[k] * ((1 - part) * (left / area[k]) + part * (right / area[k]))
            k += 1
        out[i] = total
