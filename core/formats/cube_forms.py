"""The forms in which recipes write cubes (parameter ``format``), each declared once.

``Cube`` and ``xCube`` are FITS cubes (`core.formats.cube`), ``sdpCube`` is one with the units and keywords of ESO's
science data products (`core.formats.science_rules`), ``Euro3D`` and ``xEuro3D`` are tables of spectra
(`core.formats.euro3d`). An ``x`` has the images of the filters inside; those of the others are files of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.fitsfile.header import Header
from core.formats.pixtable_header import FLUX_UNIT

__all__ = ["ARCHIVE_UNIT", "CUBE_FORMS", "PLAIN_CUBE", "CubeForm"]

ARCHIVE_UNIT: Final = "10**(-20)erg.s**(-1).cm**(-2).angstrom**(-1)"
_ARCHIVE_VARIANCE: Final = "10**(-40)erg**2.s**(-2).cm**(-4).angstrom**(-2)"
_RANDOM_ERROR: Final = 0.026  # [Angstrom] of wavelengths, as the reference pipeline tells it
_UNKNOWN: Final = -1.0  # systematic error of positions


@dataclass(frozen=True)
class CubeForm:
    """A form of cubes.

    Attributes
    ----------
    name : str
        What users call it.
    inside : bool
        Whether images of filters are in the file of the cube.
    spectra : bool
        Whether it is a table of spectra.
    archive : bool
        Whether it is one of ESO's science data products.
    """

    name: str
    inside: bool = False
    spectra: bool = False
    archive: bool = False

    def units(self, unit: str) -> tuple[str, str]:
        """Units of the values and of their variances, from that of the pixels."""
        if self.archive and unit == FLUX_UNIT:
            return ARCHIVE_UNIT, _ARCHIVE_VARIANCE
        return unit, f"({unit})**2"

    def axes(self, wcs: Header) -> Header:
        """World coordinates as the form has them, from those of a plain cube."""
        own = wcs.copy()
        if self.archive:
            own["CUNIT3"] = "angstrom"
            own["CRDER3"] = (_RANDOM_ERROR, "[angstrom] Random error in spectral coordinate")
            for axis in (1, 2):
                own[f"CSYER{axis}"] = (_UNKNOWN, "[deg] Systematic error in coordinate, -1: not known")
        return own


PLAIN_CUBE: Final = CubeForm("Cube")
CUBE_FORMS: Final = {
    form.name: form
    for form in (
        PLAIN_CUBE,
        CubeForm("xCube", inside=True),
        CubeForm("Euro3D", spectra=True),
        CubeForm("xEuro3D", inside=True, spectra=True),
        CubeForm("sdpCube", archive=True),
    )
}
