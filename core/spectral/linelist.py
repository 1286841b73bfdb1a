"""The arc line catalogue as the spectral room uses it: which line belongs to which lamp and what it is good for.

Quality flags: 0 not used; 1 only for the identification; 2 member of a blend; 3 and 4 good single line; 5 bright and
isolated, reference for the line width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import WavelengthError
from core.instruments.muse.facts import MODE_COVERAGE, mode_class
from core.spectral.matching import well_separated

__all__ = [
    "QUALITY_BLEND",
    "QUALITY_MATCH",
    "QUALITY_REFERENCE",
    "QUALITY_SINGLE",
    "LineList",
    "covered",
    "lamp_of_ion",
]

QUALITY_MATCH: Final = 1
QUALITY_BLEND: Final = 2
QUALITY_SINGLE: Final = 3
QUALITY_REFERENCE: Final = 5
MULTIPLET_RANGE: Final = 40.0  # [Angstrom] from the first member
FLUX_MARGIN: Final = 1.15  # a catalogue line must exceed the faintest detection by this factor
_ION_LAMPS: Final = (("Hg", "HgCd"), ("Cd", "HgCd"), ("Ne", "Ne"), ("Xe", "Xe"))


def lamp_of_ion(ion: str) -> str:
    """Name of the lamp that holds an ion (``HgCd``, ``Ne``, ``Xe``), empty if none does."""
    text = ion.strip()
    return next((lamp for prefix, lamp in _ION_LAMPS if text.startswith(prefix)), "")


def covered(wave: NDArray[np.float64], ins_mode: str | None) -> NDArray[np.bool_]:
    """Which wavelengths [Angstrom] an instrument mode has light at."""
    result = np.zeros(wave.shape, dtype=np.bool_)
    for low, high in MODE_COVERAGE[mode_class(ins_mode)]:
        result |= (wave >= low) & (wave <= high)
    return result


@dataclass(frozen=True, eq=False)
class LineList:
    """Arc lines, ascending in wavelength; arrays of equal length.

    Attributes
    ----------
    wave : ndarray of float64
        Wavelength in air [Angstrom].
    flux : ndarray of float64
        Expected flux [count pix].
    quality : ndarray of int
    lamp : ndarray of str
        Lamp name of each line; empty if no lamp of MUSE holds the ion.
    """

    wave: NDArray[np.float64]
    flux: NDArray[np.float64]
    quality: NDArray[np.int64]
    lamp: NDArray[np.str_]

    def __len__(self) -> int:
        return int(self.wave.size)

    @classmethod
    def from_columns(cls, wave: ArrayLike, flux: ArrayLike, ion: Sequence[str], quality: ArrayLike) -> LineList:
        """Line list from the columns of a LINE_CATALOG.

        Raises
        ------
        WavelengthError
            If the columns differ in length, the wavelengths do not ascend, or there is no bright isolated line
            (quality 5) at least 1.5 Angstrom from its neighbours.
        """
        # wavelengths are stored as float32 but are decimal numbers of at most 4 digits: the text is meant
        waves = np.asarray(wave)
        values = (
            np.array([float(str(value)) for value in waves]) if waves.dtype == np.float32 else waves.astype(np.float64)
        )
        fluxes = np.asarray(flux, dtype=np.float64)
        qualities = np.asarray(quality, dtype=np.int64)
        lamps = np.array([lamp_of_ion(str(name)) for name in ion], dtype="U8")
        if not values.size == fluxes.size == qualities.size == lamps.size:
            raise WavelengthError("the columns of the line catalogue differ in length")
        if values.size == 0:
            raise WavelengthError("the line catalogue holds no lines")
        if not np.all(np.diff(values) >= 0):
            raise WavelengthError("the lines of the catalogue do not ascend in wavelength")
        lines = cls(values, fluxes, qualities, lamps)
        if not lines.reference().any():
            raise WavelengthError("the line catalogue has no isolated line of quality 5")
        return lines

    def select(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> LineList:
        """The lines of an index or mask."""
        return LineList(self.wave[index], self.flux[index], self.quality[index], self.lamp[index])

    def reference(self) -> NDArray[np.bool_]:
        """Mask of the lines that serve as reference of the line width."""
        index = np.flatnonzero(self.quality >= QUALITY_REFERENCE)
        mask = np.zeros(len(self), dtype=np.bool_)
        mask[index[well_separated(self.wave[index])]] = True
        return mask

    def of_lamps(self, lamps: Collection[str]) -> NDArray[np.bool_]:
        """Mask of the lines of these lamps."""
        return np.isin(self.lamp, list(lamps))

    def for_matching(self, lamps: Collection[str] | None, faintest: float) -> NDArray[np.intp]:
        """Indices of the lines that the identification uses.

        Parameters
        ----------
        lamps : collection of str or None
            Only lines of these lamps; None takes all.
        faintest : float
            Flux of the faintest detected line [count pix]; fainter catalogue lines cannot have been seen.

        Returns
        -------
        ndarray of int
            Ascending; close pairs are left out.
        """
        usable = (self.quality >= QUALITY_MATCH) & (self.flux >= FLUX_MARGIN * faintest)
        if lamps is not None:
            usable &= self.of_lamps(lamps)
        index = np.flatnonzero(usable)
        return index[well_separated(self.wave[index])]

    def multiplets(self) -> list[NDArray[np.intp]]:
        """Groups of blended lines of one lamp: indices of the members of each group, ascending."""
        groups = []
        free = self.quality == QUALITY_BLEND
        for i in np.flatnonzero(free):
            if not free[i]:
                continue
            near = np.abs(self.wave - self.wave[i]) < MULTIPLET_RANGE
            members = np.flatnonzero(free & near & (self.lamp == self.lamp[i]))
            free[members] = False
            groups.append(members)
        return groups
