"""Reference spectra of standard stars (STD_FLUX_TABLE): one table per star, in the form of MUSE or in that of CALSPEC.

Sources: MUSE manual, A.2; Bohlin et al. 2014 (PASP 126, 711) for CALSPEC, whose wavelengths are those in vacuum.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, DataError
from core.fitsfile.keywords import get_key
from core.formats.onsky_tables import NamedTable, named_tables
from core.onsky.air import vacuum_to_air
from core.onsky.fluxcal import Curve
from core.onsky.pointing import angular_distance

__all__ = ["StandardStar", "nearest_star", "read_standard_stars"]

_FLUX_UNITS: Final = ("erg/s/cm**2/Angstrom", "erg/s/cm^2/Angstrom")
_FARTHEST: Final = 60.0  # [arcsec] from where the telescope looked


@dataclass(frozen=True, eq=False)
class StandardStar:
    """A star of known flux.

    Attributes
    ----------
    name : str
        Of its table.
    path : pathlib.Path
    ra, dec : float
        [deg].
    flux : Curve
        Over wavelengths in air [erg/s/cm**2/Angstrom].
    """

    name: str
    path: Path
    ra: float
    dec: float
    flux: Curve

    def distance(self, ra: float, dec: float) -> float:
        """From a place on the sky [arcsec]."""
        return 3600 * angular_distance(self.ra, self.dec, ra, dec)


def nearest_star(paths: Iterable[Path], ra: float, dec: float) -> StandardStar:
    """The star of several files that is nearest to where the telescope looked.

    Raises
    ------
    BadFitsError
        If a file has no table of either form.
    DataError
        If it is more than an arcminute away.
    """
    stars = [star for path in paths for star in read_standard_stars(path)]
    star = min(stars, key=lambda star: star.distance(ra, dec))
    if (distance := star.distance(ra, dec)) > _FARTHEST:
        raise DataError(
            f"the nearest standard star, {star.name}, is {distance:.1f} arcsec from where the telescope looked, more "
            f"than {_FARTHEST:g} arcsec",
            rule="STD_FLUX_TABLE",
        )
    return star


def read_standard_stars(path: str | os.PathLike[str]) -> Iterator[StandardStar]:
    """The stars of a file.

    Raises
    ------
    BadFitsError
        If a table is of neither form, or has no place on the sky.
    """
    path = Path(path)
    for table in named_tables(path):
        ra, dec = (get_key(table.header, key, float, default=None) for key in ("RA", "DEC"))
        if ra is None or dec is None:
            raise BadFitsError(f"table {table.name or 1} has no RA and DEC", file=path)
        try:
            yield StandardStar(table.name, path, ra, dec, _curve(table))
        except (BadFitsError, DataError) as error:
            raise BadFitsError(f"table {table.name or 1} is no STD_FLUX_TABLE: {error.message}", file=path) from error


def _curve(table: NamedTable) -> Curve:
    units = {name: unit.replace(" ", "") for name, unit in table.units.items()}
    if units.get("lambda") == "Angstrom" and units.get("flux") in _FLUX_UNITS:
        error: npt.NDArray[Any] | float = 0.0
        if "fluxerr" in table.columns and units.get("fluxerr") == units["flux"]:
            error = table.numbers("fluxerr")
        return Curve.of(table.numbers("lambda"), table.numbers("flux"), error)
    if units.get("WAVELENGTH", "").upper() == "ANGSTROMS" and units.get("FLUX", "").upper() == "FLAM":
        errors = [table.numbers(name) for name in ("STATERROR", "SYSERROR") if name in table.columns]
        wave, flux = vacuum_to_air(table.numbers("WAVELENGTH")), table.numbers("FLUX")
        return Curve.of(wave, flux, np.sqrt(np.sum(np.square(errors), axis=0)) if errors else 0.0)
    raise BadFitsError("its columns are neither lambda and flux, nor WAVELENGTH and FLUX, in the units of a flux")
