"""Spectrophotometric standard stars: places, magnitudes and fluxes as published, and the STD_FLUX_TABLE made of them.

The tables are thinned so that straight lines between their rows miss the published values by 0.1 % at most (0.3 % of
the noisy ones of CALSPEC). Tables that end before 1.03 micron are continued with the power law of their last 500
Angstrom: hot stars have nothing there but their Rayleigh-Jeans tail and weak lines of the Paschen series.

Sources: `data/README.md`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from core.formats.onsky_tables import STD_FLUX_TABLE
from core.staticcal.published import published_columns, published_rows
from core.staticcal.writing import Provenance, StaticTable, write_static

__all__ = ["Standard", "standard_stars", "write_standards"]

F64 = npt.NDArray[np.float64]

_SOURCES: Final = {
    "xshooter": "Moehler et al. 2014, A&A 568, A9: model fitted to X-shooter spectra",
    "calspec": "Bohlin et al., CALSPEC (FOS, STIS); vacuum turned into air",
    "model": "CALSPEC, a model in the optical; vacuum turned into air",
    "ctio": "Hamuy et al. 1992, 1994 (PASP 104, 533; 106, 566): bins of 50 A",
    "bessell": "Bessell 1999, PASP 111, 1426: AB magnitudes in bins of 50 A",
}
_NOTES: Final = {"CD-32 9927": "Its resolution is bad: the manual says that it should not be used."}
_PROVENANCE: Final = Provenance(
    1,
    "2026-11-29",
    "Spectrophotometric standard stars, wavelengths in air; the source of each stands in its extension.",
    tuple(_SOURCES.values()),
)
_END: Final = 10300.0  # of all tables [Angstrom]
_TAIL: Final = 500.0
_STEP: Final = 50.0


@dataclass(frozen=True, eq=False)
class Standard:
    """A star of published flux.

    Attributes
    ----------
    name : str
    ra, dec : float
        [deg, J2000]
    magnitude : float
        V, as published.
    source : str
        Of the flux.
    wave : ndarray of float64, shape (n,)
        In air [Angstrom].
    flux : ndarray of float64, shape (n,)
        [erg/s/cm2/Angstrom]; straight lines between.
    published_to : float
        Where the published table ends; beyond, it is continued [Angstrom].
    """

    name: str
    ra: float
    dec: float
    magnitude: float
    source: str
    wave: F64
    flux: F64
    published_to: float

    def at(self, wave: npt.ArrayLike) -> F64:
        """Flux at wavelengths [erg/s/cm2/Angstrom]."""
        return np.asarray(np.interp(np.asarray(wave, np.float64), self.wave, self.flux), np.float64)


@cache
def standard_stars() -> Mapping[str, Standard]:
    """All stars by name: the manual's eleven first."""
    fluxes = published_columns("standard_fluxes.csv", "star", "wave", "flux")
    found = {}
    for row in published_rows("standard_stars.csv"):
        name, (wave, flux) = row["name"], fluxes[row["name"]]
        found[name] = Standard(
            name,
            float(row["ra"]),
            float(row["dec"]),
            float(row["v"]),
            _SOURCES[row["source"]],
            *_continued(wave, flux),
            published_to=float(wave[-1]),
        )
    return found


def write_standards(path: str | os.PathLike[str]) -> Path:
    """Write STD_FLUX_TABLE (atomically), a table for each star.

    There is no column of errors: those of the published tables are common to all wavelengths (1 to 3 %), and recipes
    would spread them over the pixels as if they were noise.
    """
    return write_static(path, STD_FLUX_TABLE.name, [_table(star) for star in standard_stars().values()], _PROVENANCE)


def _table(star: Standard) -> StaticTable:
    told = _NOTES.get(star.name, "")
    if star.source == _SOURCES["ctio"]:
        told = f"{told} Telluric bands are left in.".strip()
    if star.published_to < _END:
        told = f"{told} Beyond {star.published_to:.0f} A continued with the power law of the last 500 A.".strip()
    return StaticTable(
        STD_FLUX_TABLE,
        {"lambda": star.wave, "flux": star.flux},
        star.name,
        (
            ("OBJECT", star.name, "name of the star"),
            ("RA", star.ra, "[deg] right ascension (J2000)"),
            ("DEC", star.dec, "[deg] declination (J2000)"),
            ("MAGV", star.magnitude, "[mag] V as published"),
        ),
        star.source,
        told,
    )


def _continued(wave: F64, flux: F64) -> tuple[F64, F64]:
    last = wave > wave[-1] - _TAIL
    slope, level = np.polyfit(np.log(wave[last]), np.log(flux[last]), 1)
    beyond = np.arange(wave[-1] + _STEP, _END + _STEP, _STEP)
    return np.append(wave, beyond), np.append(flux, np.exp(level + slope * np.log(beyond)))
