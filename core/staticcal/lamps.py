"""Arc lamps become lists of lines with fluxes: the one place for the spectrum of each lamp.

The wavelengths are NIST's (``data/arc_lines_nist.csv``, see ``data/README.md``). NIST's relative intensities say
how strong a line is in the discharge where it was measured, not in the lamps of MUSE; the model turns them into
areas in counts per detector column of a standard arc exposure:

* a curve of growth with one set of numbers per element and range;
* a published measurement of the area (``data/arc_lines_measured.csv``) wins over the formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.staticcal.published import published_rows

__all__ = ["LAMP_EXPTIME", "LampLines", "lamp_lines", "lamp_of_ion"]

LAMP_EXPTIME: Final = {"Ne": 1.012, "Xe": 8.76, "HgCd": 0.539}
"""Standard exposure time of each arc lamp [s]."""

_ELEMENTS: Final = {"Ne": ("Ne",), "Xe": ("Xe",), "HgCd": ("Hg", "Cd")}


@dataclass(frozen=True)
class _Growth:
    """Area [count] of a line from its relative intensity, for one element up to a wavelength [Angstrom].

    Strong lines grow slower than NIST's intensity (they are self-absorbed), weak ones faster, with the knee
    between: area = peak_area * r**strong / (1 + (knee / r)**weak), r = intensity / reference.
    """

    element: str
    upto: float
    peak_area: float
    reference: float
    strong: float
    knee: float
    weak: float

    def area(self, intensity: float) -> float:
        r = intensity / self.reference
        return self.peak_area * r**self.strong / (1.0 + (self.knee / r) ** self.weak)


# NIST's intensities of neon come from several sources that do not join at 6900 Angstrom; the blue lines of the
# higher levels, strong in NIST's discharge, are weak in the lamps of MUSE.
_GROWTHS: Final = (
    _Growth("Ne", 5800.0, 75000.0, 220000.0, 1.7, 0.04, 2.0),
    _Growth("Ne", 6900.0, 75000.0, 26000.0, 1.7, 0.25, 2.0),
    _Growth("Ne", math.inf, 75000.0, 100000.0, 1.7, 0.04, 2.0),
    _Growth("Xe", math.inf, 140000.0, 10000.0, 0.9, 0.035, 3.0),
    # Measured lines apart, MUSE's HgCd lamp shows next to nothing above the noise.
    _Growth("Hg", math.inf, 60.0, 1000.0, 1.0, 0.0, 1.0),
    _Growth("Cd", math.inf, 60.0, 300.0, 1.0, 0.0, 1.0),
)

_FAINTEST_AREA: Final = 1.0
_SAME_LINE: Final = 0.05  # NIST and the table of measured areas name the same line [Angstrom]


@dataclass(frozen=True)
class LampLines:
    """Lines of one lamp, ascending in wavelength.

    Attributes
    ----------
    lamp : str
        ``Ne``, ``Xe`` or ``HgCd``.
    wave : ndarray of float64, shape (n,)
        Wavelengths in air [Angstrom].
    area : ndarray of float64, shape (n,)
        Counts per detector column in the standard exposure of the lamp, full transmission [count].
    ion : tuple of str
        For example ``NeI``.
    """

    lamp: str
    wave: NDArray[np.float64]
    area: NDArray[np.float64]
    ion: tuple[str, ...]


@cache
def lamp_lines(lamp: str) -> LampLines:
    """Lines of a lamp with their areas in a standard exposure.

    Parameters
    ----------
    lamp : str
        ``Ne``, ``Xe`` or ``HgCd``.

    Returns
    -------
    LampLines
        Lines between 4590 and 9415 Angstrom, down to areas of one count.

    Raises
    ------
    DataError
        If there is no such lamp, or if a measured area has no line in the list of wavelengths.
    """
    if lamp not in _ELEMENTS:
        raise DataError(f"unknown arc lamp {lamp!r}; known are {', '.join(_ELEMENTS)}", lamp=lamp)
    found: list[tuple[float, float, str]] = []
    for row in published_rows("arc_lines_nist.csv"):
        element = row["element"]
        if element not in _ELEMENTS[lamp] or not row["rel_intensity"] or float(row["rel_intensity"]) <= 0.0:
            continue
        line = float(row["wave_air"])
        growth = next(law for law in _GROWTHS if law.element == element and line < law.upto)
        found.append((line, growth.area(float(row["rel_intensity"])), element + row["ion"]))
    found.sort()
    wave = np.array([line[0] for line in found])
    area_of = np.array([line[1] for line in found])
    for row in published_rows("arc_lines_measured.csv"):
        if row["element"] not in _ELEMENTS[lamp]:
            continue
        target = float(row["wave_air"])
        nearest = int(np.argmin(np.abs(wave - target)))
        if abs(wave[nearest] - target) > _SAME_LINE:
            raise DataError(f"measured line {row['element']} {target} is not in the list of wavelengths")
        area_of[nearest] = float(row["area"])
    keep = area_of >= _FAINTEST_AREA
    return LampLines(
        lamp=lamp,
        wave=wave[keep],
        area=area_of[keep],
        ion=tuple(line[2] for line, kept in zip(found, keep, strict=True) if kept),
    )


def lamp_of_ion(ion: str) -> str:
    """Name of the lamp that shows an ion of the catalogue.

    Raises
    ------
    DataError
        If no lamp of MUSE has the element.
    """
    for lamp, elements in _ELEMENTS.items():
        if ion.startswith(elements):
            return lamp
    raise DataError(f"no arc lamp shows the ion {ion!r}", ion=ion)
