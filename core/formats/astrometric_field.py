"""Reference stars of astrometric fields (ASTROMETRY_REFERENCE): a file has a table for each field.

Source: MUSE manual, A.2.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, DataError
from core.fitsfile.keywords import get_key
from core.formats.onsky_tables import NamedTable, named_tables
from core.onsky.pointing import angular_distance

__all__ = ["AstrometricField", "nearest_field"]

_FARTHEST = 60.0  # [arcsec] from where the telescope looked


@dataclass(frozen=True, eq=False)
class AstrometricField:
    """Stars of known places.

    Attributes
    ----------
    name : str
        Of its table.
    distance : float
        From where the telescope looked [arcsec].
    sky : ndarray of float64, shape (n, 2)
        Right ascension and declination [deg], the brightest first.
    """

    name: str
    distance: float
    sky: npt.NDArray[np.float64]


def nearest_field(path: str | os.PathLike[str], ra: float, dec: float) -> AstrometricField:
    """The field of a file that is nearest to where the telescope looked [deg].

    Raises
    ------
    BadFitsError
        If a table has no place on the sky, or that of the field lacks a column.
    DataError
        If it is more than an arcminute away, or has no stars.
    """
    path = Path(path)
    found = [(_distance(table, path, ra, dec), table) for table in named_tables(path)]
    distance, table = min(found, key=lambda pair: pair[0])
    if distance > _FARTHEST:
        raise DataError(
            f"the nearest astrometric field, {table.name or 1}, is {distance:.1f} arcsec from where the telescope "
            f"looked, more than {_FARTHEST:g} arcsec",
            file=path,
        )
    try:
        magnitude, sky = table.numbers("mag"), np.stack([table.numbers(name) for name in ("RA", "DEC")], axis=1)
    except BadFitsError as error:
        raise BadFitsError(f"the file is no ASTROMETRY_REFERENCE: {error.message}", file=path) from error
    order = np.argsort(magnitude, kind="stable")
    sky = sky[order][np.all(np.isfinite(sky[order]), axis=1)]
    if not len(sky):
        raise DataError(f"the astrometric field {table.name or 1} has no stars", file=path)
    return AstrometricField(table.name, distance, sky)


def _distance(table: NamedTable, path: Path, ra: float, dec: float) -> float:
    own = [get_key(table.header, key, float, default=None) for key in ("RA", "DEC")]
    if own[0] is None or own[1] is None:
        raise BadFitsError(f"table {table.name or 1} has no RA and DEC", file=path)
    return 3600 * angular_distance(own[0], own[1], ra, dec)
