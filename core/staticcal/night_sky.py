"""Static calibrations of exposures of the sky from published data: EXTINCT_TABLE, SKY_LINES and RAMAN_LINES.

Lines are in groups whose ratios change little from night to night: the lines of one species, and those of one band of
OH, which start from the same vibrational level and lie side by side.

Sources: `data/README.md`; ranges of the bands: Osterbrock et al. 1996 (PASP 108, 277).
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from core.formats.onsky_tables import EXTINCT_TABLE, SKY_LINES
from core.formats.sky_lines import table_of_lines
from core.onsky.skylines import SkyLines
from core.staticcal.published import published_rows
from core.staticcal.writing import Provenance, StaticTable, write_static

__all__ = [
    "RAMAN_BANDS",
    "RAMAN_FLUX",
    "published_extinction",
    "published_sky_lines",
    "write_extinction",
    "write_raman_lines",
    "write_sky_lines",
]

# Raman bands of the laser guide stars: the Q branch, and what of the others is near it; wavelengths [Angstrom, air] and
# parts of the band's light.
RAMAN_BANDS: Final = (
    ("O2", ((6484.39, 0.70), (6477.9, 0.10), (6480.9, 0.12), (6488.2, 0.08))),
    ("N2", ((6826.85, 0.72), (6820.0, 0.08), (6823.4, 0.12), (6830.6, 0.08))),
)
RAMAN_FLUX: Final = (6e-16, 4e-16)  # of the bands [erg/s/cm2/arcsec2]

# Lines of atoms [Angstrom, air], by species.
_ATOMS: Final = {
    "[NI]": (5197.9, 5200.3),
    "[OI]5577": (5577.34,),
    "NaI": (5889.95, 5895.92),
    "[OI]6300": (6300.30, 6363.78),
}
# Ends of the band of O2 and of those of OH [Angstrom].
_BANDS: Final = (
    ("OH 8-1", 5200.0, 5260.0),
    ("OH 9-2", 5500.0, 5676.0),
    ("OH 7-1", 5560.0, 5700.0),
    ("OH 8-2", 5880.0, 6120.0),
    ("OH 5-0", 6160.0, 6230.0),
    ("OH 9-3", 6230.0, 6470.0),
    ("OH 6-1", 6470.0, 6680.0),
    ("OH 7-2", 6820.0, 7080.0),
    ("OH 8-3", 7230.0, 7500.0),
    ("OH 4-0", 7500.0, 7700.0),
    ("OH 9-4", 7700.0, 7830.0),
    ("OH 5-1", 7830.0, 8120.0),
    ("OH 6-2", 8260.0, 8580.0),
    ("O2 0-1", 8580.0, 8715.0),
    ("OH 7-3", 8715.0, 9290.0),
    ("OH 8-4", 9290.0, 9700.0),
)
_DATE: Final = "2026-11-29"
_LINES: Final = "sky_lines_paranal.csv"
_NEAR: Final = 1.0  # [Angstrom] from an atomic line
_FLUX: Final = 1000.0  # of the unit of the list, 1e-17 erg/s/cm**2/arcsec**2, in 1e-20


def published_sky_lines() -> SkyLines:
    """Emission lines of the night sky on Paranal, ascending, in groups."""
    rows = sorted((float(row["wave_air"]), float(row["int_flux_1e-17_cgs_arcsec2"])) for row in published_rows(_LINES))
    species = [_species(wave) for wave, _ in rows]
    order = {name: number for number, name in enumerate(dict.fromkeys(species))}
    wave: npt.NDArray[np.float64] = np.array([row[0] for row in rows])
    names = [f"{name} {at:.1f}" for name, at in zip(species, wave.tolist(), strict=True)]
    flux: npt.NDArray[np.float64] = np.array([row[1] for row in rows]) * _FLUX
    return SkyLines(np.array(names, np.str_), np.array([order[name] for name in species], np.int64), wave, flux)


@cache
def published_extinction() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Continuous extinction on Paranal: wavelengths in air [Angstrom], [mag/airmass]."""
    rows = [(float(row["wave"]), float(row["extinction"])) for row in published_rows("extinction_paranal.csv")]
    wave, extinction = np.array(rows).T
    return wave, extinction


def write_sky_lines(path: str | os.PathLike[str]) -> Path:
    """Write SKY_LINES (atomically)."""
    told = "Lines of the dark sky on Paranal, wavelengths in air; groups by species and band."
    sources = (
        "wavelengths and fluxes: measured on the dark-sky spectrum of Paranal",
        "that the package pypeit 2.0.1 distributes",
        "bands: Osterbrock et al. 1996, PASP 108, 277",
    )
    return _write_lines(path, "SKY_LINES", published_sky_lines(), Provenance(2, _DATE, told, sources))


def write_raman_lines(path: str | os.PathLike[str]) -> Path:
    """Write RAMAN_LINES (atomically); each group is a band."""
    rows = [
        (f"{name} {wave:.1f}", group, wave, part * flux * 1e20)
        for group, ((name, band), flux) in enumerate(zip(RAMAN_BANDS, RAMAN_FLUX, strict=True))
        for wave, part in band
    ]
    name, group, wave, flux = (np.array(column) for column in zip(*rows, strict=True))
    told = "Light of the guide-star lasers that O2 and N2 scatter: the Q branches and what is near them."
    sources = (
        "laser at 5891.59 A, Raman shifts 1556 (O2) and 2330 (N2) per cm",
        "strengths and parts of the bands: round numbers, for a first guess",
    )
    return _write_lines(path, "RAMAN_LINES", SkyLines(name, group, wave, flux), Provenance(2, _DATE, told, sources))


def write_extinction(path: str | os.PathLike[str]) -> Path:
    """Write EXTINCT_TABLE (atomically)."""
    wave, extinction = published_extinction()
    told = "Continuum extinction on Paranal: air, aerosols and ozone, no bands."
    provenance = Provenance(2, _DATE, told, ("Patat et al. 2011, A&A 527, A91", "beyond 8850 A continued"))
    table = StaticTable(EXTINCT_TABLE, {"lambda": wave, "extinction": extinction})
    return write_static(path, EXTINCT_TABLE.name, [table], provenance)


def _species(wave: float) -> str:
    for name, lines in _ATOMS.items():
        if any(abs(wave - line) < _NEAR for line in lines):
            return name
    return next((name for name, low, high in _BANDS if low <= wave < high), "other")


def _write_lines(path: str | os.PathLike[str], tag: str, lines: SkyLines, provenance: Provenance) -> Path:
    return write_static(path, tag, [StaticTable(SKY_LINES, table_of_lines(lines).columns, "LINES")], provenance)
