"""Passbands of photometric systems as published, with zero points, and the FILTER_LIST made of them.

Recipes take the mean of a spectrum weighted with the throughput. Zero points are those of this mean: in each filter
Vega has the Vega magnitude 0, and a source of constant flux per frequency, 3631 Jy, the AB magnitude 0.
``ZP_X`` is such that the magnitude is -2.5 log10(mean flux [erg/s/cm2/Angstrom]) - ZP_X. For other spectra the mean is
that of counted energy; surveys count photons, which makes up to 0.01 mag in V, R, I and 0.03 mag in the widest filters
for the standard stars.

Sources: `data/README.md`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from core.cubes.collapse import WHITE, Filter
from core.formats.onsky_tables import FILTER_LIST
from core.staticcal.published import published_columns, published_rows
from core.staticcal.writing import Provenance, StaticTable, write_static

__all__ = ["magnitude", "mean_flux", "published_filters", "vega", "write_filters"]

F64 = npt.NDArray[np.float64]

_SOURCES: Final = {
    "Johnson": "Bessell 1990, PASP 102, 1181",
    "Cousins": "Bessell 1990, PASP 102, 1181",
    "SDSS": "Doi et al. 2010, AJ 139, 1628: airmass 1.2",
    "ACS": "STScI, ACS WFC, telescope and detector included",
    "WFPC2": "STScI, WFPC2, telescope and detector included",
    "WFC3": "STScI, WFC3 UVIS, the filter alone",
    "white": "1 in the nominal range",
    "Kron": "V of Bessell 1990, in place of the filter of the photodiode",
}
_PROVENANCE: Final = Provenance(
    1,
    "2026-11-29",
    "Passbands with zero points in the systems of Vega and AB; the source of each stands in its extension.",
    (
        "passbands: see the extensions",
        "Vega: CALSPEC alpha_lyr_stis_011 (Bohlin et al. 2014, PASP 126, 711)",
        "AB: Oke & Gunn 1983, ApJ 266, 713; zero points computed from both",
    ),
)
_STEP: Final = 0.5  # of the sums [Angstrom]
_JANSKY: Final = 1e-23  # [erg/s/cm2/Hz]
_AB: Final = 3631.0 * _JANSKY
_LIGHT: Final = 2.99792458e18  # [Angstrom/s]
_PHOTODIODE: Final = "Kron_V"


def mean_flux(through: Filter, wave: npt.ArrayLike, flux: npt.ArrayLike) -> float:
    """Mean flux of a spectrum [Angstrom, erg/s/cm2/Angstrom] in a filter, weighted with its throughput."""
    grid = np.arange(through.wave[0], through.wave[-1] + _STEP, _STEP)
    response = through.response(grid)
    values = np.interp(grid, np.asarray(wave, np.float64), np.asarray(flux, np.float64))
    return float((response * values).sum() / response.sum())


def magnitude(through: Filter, system: str, wave: npt.ArrayLike, flux: npt.ArrayLike) -> float:
    """Magnitude of a spectrum [Angstrom, erg/s/cm2/Angstrom] in a filter that has a zero point of the system."""
    return float(-2.5 * np.log10(mean_flux(through, wave, flux))) - through.zero_points[system]


@cache
def vega() -> tuple[F64, F64]:
    """Spectrum of Vega: wavelengths in air [Angstrom], flux [erg/s/cm2/Angstrom]."""
    wave, flux = np.array([(float(row["wave"]), float(row["flux"])) for row in published_rows("vega.csv")]).T
    return wave, flux


@cache
def published_filters() -> Mapping[str, Filter]:
    """All filters by name; `WHITE` and that of the photodiode have no zero points."""
    found = {WHITE.name: WHITE}
    for name, (wave, throughput) in published_columns("filter_curves.csv", "filter", "wave", "throughput").items():
        bare = Filter(name, wave, throughput)
        grid = np.arange(wave[0], wave[-1] + _STEP, _STEP)
        flux = {"VEGA": vega(), "AB": (grid, _AB * _LIGHT / grid**2)}
        zero = {system: float(-2.5 * np.log10(mean_flux(bare, *spectrum))) for system, spectrum in flux.items()}
        found[name] = Filter(name, wave, throughput, zero)
    visual = found["Johnson_V"]
    found[_PHOTODIODE] = Filter(_PHOTODIODE, visual.wave, visual.throughput)
    return found


def write_filters(path: str | os.PathLike[str]) -> Path:
    """Write FILTER_LIST (atomically), a table for each filter."""
    return write_static(path, FILTER_LIST.name, map(_table, published_filters().values()), _PROVENANCE)


def _table(through: Filter) -> StaticTable:
    zero_points = [
        (f"ZP_{system}", round(value, 6), f"[mag] zero point in the system of {system.replace('VEGA', 'Vega')}")
        for system, value in through.zero_points.items()
    ]
    source = _SOURCES[through.name.split("_")[0]]
    return StaticTable(
        FILTER_LIST,
        {"lambda": through.wave, "throughput": through.throughput},
        through.name,
        tuple(zero_points),
        source,
    )
