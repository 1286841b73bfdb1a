"""Wavelengths that the air absorbs, and what lies around them, as a TELLURIC_REGIONS.

Up to 8400 Angstrom these are the bands that muse_standard has of its own. The bands of water beyond are taken whole:
the recipe's own begin or end inside of them and have absorbed light for their continuum, so that the response takes
over what is left of them (0.07 mag at 9000, 0.4 mag at 9300 Angstrom at the resolution of MUSE).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np

from core.formats.onsky_tables import TELLURIC_REGIONS
from core.instruments.muse.facts import TELLURIC_BANDS
from core.staticcal.writing import Provenance, StaticTable, write_static

__all__ = ["REGIONS", "write_telluric_regions"]

_WATER: Final = (
    (8940.0, 9190.0, 8800.0, 9204.0),
    (9204.0, 9770.0, 8900.0, 9204.0),  # nothing is clear beyond: the continuum goes on as a straight line
)
REGIONS: Final = (*(band for band in TELLURIC_BANDS if band[1] < _WATER[0][0]), *_WATER)
"""First and last wavelength of each band, and of its surroundings [Angstrom, air]."""

_PROVENANCE: Final = Provenance(
    1,
    "2026-11-29",
    "Bands of O2 and H2O with the continuum on both sides, wavelengths in air.",
    (
        "up to 8400 A the bands that muse_standard takes without this file",
        "beyond, where the observatory's sky model (SkyCalc, Noll et al. 2012, A&A 543, A92) transmits less than 0.985",
    ),
)


def write_telluric_regions(path: str | os.PathLike[str]) -> Path:
    """Write TELLURIC_REGIONS (atomically)."""
    names = [column.name for column in TELLURIC_REGIONS.columns]
    columns = dict(zip(names, np.array(REGIONS).T, strict=True))
    return write_static(path, TELLURIC_REGIONS.name, [StaticTable(TELLURIC_REGIONS, columns)], _PROVENANCE)
