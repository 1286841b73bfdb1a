"""The lines of the arc lamps become LINE_CATALOG: which line is good for what, decided by computed rules.

Each line is seen as MUSE sees it: with the resolution of the spectrograph, next to all other lines of the same lamp.
From the areas follow two numbers per line,

* the *shift* of its fitted centre caused by its neighbours (first order: projection of each neighbour's profile on
  the derivative of the line's own Gaussian), and
* the *contamination*: light of the neighbours inside the fitting window relative to that of the line;

and from these, the quality: 0 unused, 1 only for pattern matching, 2 member of a multiplet, 3 good single line,
5 bright and isolated, reference for the line width.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from core.fitsfile.keywords import set_key
from core.instrument import ARC_RANGE
from core.staticcal.lamps import LAMP_EXPTIME, LampLines, lamp_lines

__all__ = ["CATALOG_VERSION", "LineCatalog", "build_line_catalog", "write_line_catalog"]

CATALOG_VERSION: Final = 3

_SIGMA: Final = 1.06  # Gaussian width of a line of 2.5 Angstrom FWHM
_WINDOW: Final = 8.2  # half the fitting window of pipelines, 6 pixels, and half a pixel [Angstrom]
_UNRESOLVED: Final = 2.0  # closer lines are one peak [Angstrom]
_MULTIPLET_GAP: Final = 8.0  # resolved lines that disturb each other's single fit [Angstrom]
_MULTIPLET_SPAN: Final = 40.0  # pipelines fit all multiplet members within this distance together [Angstrom]
_REMOVED_GAP: Final = 1.5  # pipelines drop both of two usable lines that are closer [Angstrom]

_MATCH_AREA: Final = 90.0  # faintest line that is detected reliably [count]
_FIT_AREA: Final = 300.0
_REFERENCE_AREA: Final = 3000.0
_MATCH_SHIFT: Final = 0.25  # [Angstrom]
_FIT_SHIFT: Final = 0.012
_FIT_CONTAMINATION: Final = 0.06
_REFERENCE_SHIFT: Final = 0.004
_REFERENCE_CONTAMINATION: Final = 0.02


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
    offset: NDArray[np.float64]  # centroid of the peak minus wavelength of its brightest line
    members: NDArray[np.int64]


def _peaks(lines: LampLines) -> _Peaks:
    """Give each line, brightest first, the fainter lines that cannot be resolved from it."""
    free = np.ones(len(lines.wave), bool)
    found = []
    for k in np.argsort(-lines.area, kind="stable"):
        if not free[k]:
            continue
        near = free & (np.abs(lines.wave - lines.wave[k]) < _UNRESOLVED)
        free[near] = False
        total = float(lines.area[near].sum())
        offset = float((lines.area[near] * (lines.wave[near] - lines.wave[k])).sum()) / total
        found.append((float(lines.wave[k]), total, lines.ion[k], offset, int(near.sum())))
    found.sort()
    return _Peaks(
        wave=np.array([peak[0] for peak in found]),
        area=np.array([peak[1] for peak in found]),
        ion=tuple(peak[2] for peak in found),
        offset=np.array([peak[3] for peak in found]),
        members=np.array([peak[4] for peak in found]),
    )


def _neighbours(peaks: _Peaks, lines: LampLines, k: int, besides: tuple[int, ...] = ()) -> tuple[float, float]:
    """Shift [Angstrom] and contamination of peak ``k`` by all lines of the lamp that are not its own.

    Lines that belong to the peaks ``besides`` do not count: they are fitted together with it.
    """
    distance = lines.wave - peaks.wave[k]
    others = np.ones(len(distance), bool)
    for member in (k, *besides):
        others &= np.abs(lines.wave - peaks.wave[member]) >= _UNRESOLVED
    distance, ratio = distance[others], lines.area[others] / peaks.area[k]
    # Two unit Gaussians of the same width: <g(x - d), g'(x)> / <g', g'> = d exp(-d^2 / (4 s^2)).
    shift = float(np.abs((ratio * distance * np.exp(-(distance**2) / (4.0 * _SIGMA**2))).sum()))
    inside = 0.5 * (1.0 - np.tanh((np.abs(distance) - _WINDOW) / _SIGMA))
    return shift + abs(float(peaks.offset[k])), float((ratio * inside).sum())


def _judge(peaks: _Peaks, lines: LampLines) -> tuple[NDArray[np.int32], list[str]]:
    """Quality of each peak as a single line, and why."""
    quality = np.zeros(len(peaks.wave), np.int32)
    why = [""] * len(quality)
    for k, area in enumerate(peaks.area):
        shift, dirt = _neighbours(peaks, lines, k)
        if area < _MATCH_AREA:
            why[k] = "too faint"
        elif shift > _MATCH_SHIFT:
            why[k] = f"blend, centre shifted by {shift:.2f} A"
        elif area >= _REFERENCE_AREA and shift < _REFERENCE_SHIFT and dirt < _REFERENCE_CONTAMINATION:
            quality[k], why[k] = 5, "bright, isolated"
        elif area >= _FIT_AREA and shift < _FIT_SHIFT and dirt < _FIT_CONTAMINATION:
            quality[k], why[k] = 3, "single"
        else:
            quality[k] = 1
            why[k] = "faint" if area < _FIT_AREA else f"disturbed: shift {shift:.3f} A, light {dirt:.3f}"
    return quality, why


def _mark_multiplets(
    peaks: _Peaks, lines: LampLines, quality: NDArray[np.int32], why: list[str]
) -> None:
    """Turn groups of bright, resolved neighbours into multiplets, if nothing else disturbs them (in place)."""
    bright = [k for k in range(len(quality)) if peaks.area[k] >= _FIT_AREA and abs(peaks.offset[k]) < _FIT_SHIFT]
    groups: list[list[int]] = []
    for k in bright:
        if groups and peaks.wave[k] - peaks.wave[groups[-1][-1]] < _MULTIPLET_GAP:
            groups[-1].append(k)
        else:
            groups.append([k])
    last_member = -np.inf
    for group in groups:
        area = peaks.area[group]
        if not 2 <= len(group) <= 3 or all(quality[k] >= 3 for k in group):
            continue
        if area.min() < 0.05 * area.max() or peaks.wave[group[0]] - last_member < _MULTIPLET_SPAN:
            continue
        clean = []
        for k in group:
            shift, dirt = _neighbours(peaks, lines, k, tuple(group))
            clean.append(shift < _FIT_SHIFT and dirt < _FIT_CONTAMINATION)
        if not all(clean):
            continue
        for k in group:
            quality[k], why[k] = 2, f"multiplet of {len(group)}"
        last_member = peaks.wave[group[-1]]


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
            if ARC_RANGE[0] <= peaks.wave[k] <= ARC_RANGE[1] and peaks.area[k] >= _MATCH_AREA:
                rows.append(
                    (float(peaks.wave[k]), float(peaks.area[k]), peaks.ion[k], int(quality[k]), why[k])
                )
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
    target = Path(path)
    catalog = build_line_catalog()
    primary = fits.PrimaryHDU()
    header = primary.header
    header["ORIGIN"] = ("cascade-muse", "built from published wavelengths")
    header["INSTRUME"] = ("MUSE", "Instrument used.")
    set_key(header, "PRO.CATG", "LINE_CATALOG", "Category of pipeline product frame")
    header["VERSION"] = (CATALOG_VERSION, "version of the catalogue format")
    header["COMMENT"] = "Wavelengths in air: NIST Atomic Spectra Database. Fluxes: areas in counts per"
    header["COMMENT"] = "detector column of a standard exposure of each lamp. Quality: computed from"
    header["COMMENT"] = "brightness and isolation at the resolution of MUSE."
    columns = [
        fits.Column(name="lambda", format="E", unit="Angstrom", array=catalog.wave),
        fits.Column(name="flux", format="E", array=catalog.flux),
        fits.Column(name="ion", format=f"{max(map(len, catalog.ion))}A", array=np.array(catalog.ion)),
        fits.Column(name="quality", format="J", array=catalog.quality),
        fits.Column(name="comment", format=f"{max(map(len, catalog.comment))}A", array=np.array(catalog.comment)),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        fits.HDUList([primary, table]).writeto(temporary, overwrite=True, checksum=True)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
