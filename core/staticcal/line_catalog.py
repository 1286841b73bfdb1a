"""The lines of the arc lamps become LINE_CATALOG: which line is good for what, decided by computed rules.

Each lamp is seen at the resolution of MUSE, where close lines are one peak. The quality of a peak follows from its
area and from the shift of its fitted centre by the other lines of the lamp (`core.staticcal.virtual_fit`):

    0  unused: a blend whose centre is no measure of the wavelength
    1  only for pattern matching: faint or disturbed
    2  member of a multiplet: resolved neighbours, good when they are fitted together
    3  good single line
    5  bright and isolated: reference for the line width
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.formats.tables import LINE_CATALOG
from core.instruments.muse.facts import ARC_RANGE
from core.staticcal.lamps import LAMP_EXPTIME, LampLines, lamp_lines
from core.staticcal.virtual_fit import multiplet_shift, single_shift
from core.staticcal.writing import Provenance, StaticTable, write_static

__all__ = ["CATALOG_VERSION", "LineCatalog", "build_line_catalog", "write_line_catalog"]

CATALOG_VERSION: Final = 3

_PROVENANCE: Final = Provenance(
    1,
    "2026-11-29",
    "Lines of the arc lamps, wavelengths in air. Fluxes: areas in counts per detector column of a standard exposure "
    "of each lamp. Quality: computed from the brightness and the isolation of the lines at the resolution of MUSE.",
    ("NIST Atomic Spectra Database, by way of the package rascal 0.3.11",),
)

_UNRESOLVED: Final = 2.0  # closer lines are one peak [Angstrom]
_MULTIPLET_GAP: Final = 10.5  # lines that see each other in their windows [Angstrom]
_MULTIPLET_SPAN: Final = 40.0  # pipelines fit all multiplet members within this distance together [Angstrom]
_WINDOW: Final = 9.5  # reach of the fitting window and of the wing of a line that enters it [Angstrom]
_MULTIPLET_RANGE: Final = 0.05  # faintest to brightest member

_LISTED_AREA: Final = 70.0  # about the faintest line that can be detected [count]
_MATCH_AREA: Final = 180.0  # detected in every slice, at any phase on the pixels
_FIT_AREA: Final = 500.0
_REFERENCE_AREA: Final = 3000.0
_MATCH_SHIFT: Final = 0.3  # [Angstrom]
_FIT_SHIFT: Final = 0.006
_REFERENCE_SHIFT: Final = 0.002
_FOREIGN_LIGHT: Final = 0.25  # in the window, relative to the line: more of it and the fit may go astray


@dataclass(frozen=True, eq=False)
class LineCatalog:
    """Columns of LINE_CATALOG, ascending in wavelength.

    Attributes
    ----------
    wave : ndarray of float32
        Wavelength in air [Angstrom]; column ``lambda``.
    flux : ndarray of float32
        Area of the line in a standard exposure [count].
    ion : tuple of str
    quality : ndarray of int32
        0, 1, 2, 3 or 5.
    comment : tuple of str
        Why the line has its quality.
    """

    wave: NDArray[np.float32]
    flux: NDArray[np.float32]
    ion: tuple[str, ...]
    quality: NDArray[np.int32]
    comment: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Peaks:
    """What a lamp shows at the resolution of MUSE: unresolved lines merged into peaks."""

    wave: NDArray[np.float64]
    area: NDArray[np.float64]
    ion: tuple[str, ...]


def _peaks(lines: LampLines) -> _Peaks:
    """Give each line, brightest first, the fainter lines that cannot be resolved from it."""
    free = np.ones(len(lines.wave), bool)
    found = []
    for k in np.argsort(-lines.area, kind="stable"):
        if not free[k]:
            continue
        near = free & (np.abs(lines.wave - lines.wave[k]) < _UNRESOLVED)
        free[near] = False
        found.append((float(lines.wave[k]), float(lines.area[near].sum()), lines.ion[k]))
    found.sort()
    return _Peaks(
        wave=np.array([peak[0] for peak in found]),
        area=np.array([peak[1] for peak in found]),
        ion=tuple(peak[2] for peak in found),
    )


def _foreign_light(peaks: _Peaks, k: int) -> float:
    """Light of other peaks inside the fitting window of a peak, relative to its own."""
    distance = np.abs(peaks.wave - peaks.wave[k])
    return float(peaks.area[(distance < _WINDOW) & (distance > 0.0)].sum() / peaks.area[k])


def _judge(peaks: _Peaks, lines: LampLines) -> tuple[NDArray[np.int32], list[str]]:
    """Quality of each peak as a single line, and why."""
    quality = np.zeros(len(peaks.wave), np.int32)
    why = ["too faint"] * len(quality)
    for k in np.flatnonzero(peaks.area >= _MATCH_AREA).tolist():
        wave, area = float(peaks.wave[k]), peaks.area[k]
        frozen = single_shift(lines, wave, free_width=False)
        if frozen > _MATCH_SHIFT:
            why[k] = f"blend, centre off by {frozen:.2f} A"
        elif area < _FIT_AREA:
            quality[k], why[k] = 1, "faint"
        elif _foreign_light(peaks, k) > _FOREIGN_LIGHT:
            quality[k], why[k] = 1, "bright neighbour in the window"
        elif area >= _REFERENCE_AREA and single_shift(lines, wave, free_width=True) < _REFERENCE_SHIFT:
            quality[k], why[k] = 5, "bright, isolated"
        elif frozen < _FIT_SHIFT:
            quality[k], why[k] = 3, "single"
        else:
            quality[k], why[k] = 1, f"disturbed, centre off by {frozen:.3f} A"
    return quality, why


def _mark_multiplets(peaks: _Peaks, lines: LampLines, quality: NDArray[np.int32], why: list[str]) -> None:
    """Turn groups of resolved neighbours into multiplets, if a common fit finds their centres (in place)."""
    groups: list[list[int]] = []
    for k in np.flatnonzero(peaks.area >= _FIT_AREA).tolist():
        if groups and peaks.wave[k] - peaks.wave[groups[-1][-1]] < _MULTIPLET_GAP:
            groups[-1].append(k)
        else:
            groups.append([k])
    last_member = -np.inf
    for group in groups:
        area = peaks.area[group]
        if not 2 <= len(group) <= 3 or np.all(quality[group] >= 3):
            continue
        if area.min() < _MULTIPLET_RANGE * area.max() or peaks.wave[group[0]] - last_member < _MULTIPLET_SPAN:
            continue
        if np.any(multiplet_shift(lines, peaks.wave[group]) > _FIT_SHIFT):
            continue
        for k in group:
            quality[k], why[k] = 2, f"multiplet of {len(group)}"
        last_member = peaks.wave[group[-1]]


@lru_cache(maxsize=1)
def build_line_catalog() -> LineCatalog:
    """Catalogue of the arc lines of the three lamps.

    Returns
    -------
    LineCatalog
        One row for each peak between 4600 and 9350 Angstrom that may be detected; lines that cannot be told apart
        are one row at the wavelength of the brightest.

    Notes
    -----
    Two usable lines of different lamps that are closer than 1.5 Angstrom keep their quality: lamps are exposed one
    by one.
    """
    rows: list[tuple[float, float, str, int, str]] = []
    for lamp in LAMP_EXPTIME:
        lines = lamp_lines(lamp)
        peaks = _peaks(lines)
        quality, why = _judge(peaks, lines)
        _mark_multiplets(peaks, lines, quality, why)
        for k in range(len(quality)):
            if ARC_RANGE[0] <= peaks.wave[k] <= ARC_RANGE[1] and peaks.area[k] >= _LISTED_AREA:
                rows.append((float(peaks.wave[k]), float(peaks.area[k]), peaks.ion[k], int(quality[k]), why[k]))
    rows.sort()
    return LineCatalog(
        wave=np.array([row[0] for row in rows], np.float32),
        flux=np.array([row[1] for row in rows], np.float32),
        ion=tuple(row[2] for row in rows),
        quality=np.array([row[3] for row in rows], np.int32),
        comment=tuple(row[4] for row in rows),
    )


def write_line_catalog(path: str | os.PathLike[str]) -> Path:
    """Write LINE_CATALOG (atomically).

    Returns
    -------
    pathlib.Path
    """
    catalog = build_line_catalog()
    columns = {
        "lambda": catalog.wave,
        "flux": catalog.flux,
        "ion": np.array(catalog.ion),
        "quality": catalog.quality,
        "comment": np.array(catalog.comment),
    }
    return write_static(
        path, LINE_CATALOG.name, [StaticTable(LINE_CATALOG, columns)], _PROVENANCE, {"VERSION": CATALOG_VERSION}
    )
