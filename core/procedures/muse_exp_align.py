"""QC procedure of the alignment of exposures: their offsets, how well they fit, and what they are together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from core.cubes.projection import sky_to_plane
from core.fitsfile.keywords import get_key
from core.formats.onsky_tables import named_tables
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.skyfield import SkyPicture, sky_figure
from core.procedures.style import INK, MASTER, RAW, REFERENCE, SERIES, label, new_figure, save

__all__ = ["PROCEDURE"]

_LIST: Final = "OFFSET_LIST"
_NEAR: Final = 0.8  # [arcsec] within which two sources are the same, as in the last search
_ALIGNED: Final = 0.2  # [arcsec] beyond which the observatory calls exposures misaligned
_QC: Final = "QC.EXPALIGN"

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Offsets:
    """Offsets of exposures [arcsec], with how many sources they have, and share with others."""

    ra: F64
    dec: F64
    sources: tuple[int, ...]
    matches: tuple[int, ...]


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    if (_LIST, None) not in block.products:
        return []
    table = next(named_tables(block.products[_LIST, None]))
    ra, dec = (3600 * table.numbers(name) for name in ("RA_OFFSET", "DEC_OFFSET"))
    counts = [
        tuple(get_key(table.header, f"{_QC}.{name}{k}", int, default=0) for k in range(1, ra.size + 1))
        for name in ("NDET", "NMATCH")
    ]
    offsets = _Offsets(ra, dec, counts[0], counts[1])
    lists = [_positions(path) for path in block.files("SOURCE_LIST")]
    plots = [_offsets(block, offsets, _residuals(lists), folder)]
    if ("PREVIEW_FOV", None) in block.products:
        plots.append(_preview(block, lists, folder))
    return plots


def _positions(path: Path) -> F64:
    """Right ascension and declination of the sources of an exposure, its offset taken out [deg]."""
    table = next(named_tables(path))
    return np.stack([table.numbers("RA_CORR"), table.numbers("DEC_CORR")], axis=1)


def _residuals(lists: Sequence[F64]) -> list[F64]:
    """Of each exposure: its sources less the mean place of the same source in all, in right ascension and declination
    [arcsec]."""
    if not any(len(places) for places in lists):
        return []
    first = np.concatenate([places for places in lists if len(places)])[0]
    flat = [3600 * np.stack([_turn(p[:, 0] - first[0]) * np.cos(np.radians(first[1])), p[:, 1]], axis=1) for p in lists]
    trees = [KDTree(places) if len(places) else None for places in flat]
    found = []
    for own in flat:
        near = np.full((len(lists), len(own), 2), np.nan)
        for k, tree in enumerate(trees):
            if tree is not None and len(own):
                distance, number = tree.query(own, distance_upper_bound=_NEAR)
                near[k, np.isfinite(distance)] = tree.data[number[np.isfinite(distance)]]
        shared = np.isfinite(near[:, :, 0]).sum(axis=0) > 1
        found.append(own[shared] - np.nanmean(near[:, shared], axis=0))
    return found


def _turn(degrees: F64) -> F64:
    return (degrees + 180) % 360 - 180


def _offsets(block: ProcedureInput, offsets: _Offsets, residuals: Sequence[F64], folder: Path) -> PlotFile:
    figure = new_figure(f"alignment of the exposures     {block.block}", 12.0, 4.6)
    places, fits = figure.subplots(1, 2)
    places.plot(offsets.ra, offsets.dec, "-", color=RAW, linewidth=0.7)
    for k, (ra, dec) in enumerate(zip(offsets.ra, offsets.dec, strict=True)):
        lost = offsets.matches[k] == 0
        places.plot(ra, dec, "x" if lost else "o", color=REFERENCE if lost else MASTER, markersize=6)
        places.annotate(str(k + 1), (ra, dec), (6, 4), textcoords="offset points", fontsize=8, color=INK)
    places.invert_xaxis()
    places.margins(0.15)
    places.set_aspect("equal", adjustable="datalim")
    label(places, "offsets, by the number of the exposure", "right ascension [arcsec]", "declination [arcsec]")
    for k, values in enumerate(residuals):
        name = f"exposure {k + 1}" if len(residuals) <= 8 else None
        colour = SERIES[k % len(SERIES)]
        fits.plot(1000 * values[:, 0], 1000 * values[:, 1], ".", color=colour, markersize=5, label=name)
    fits.axhline(0, color=INK, linewidth=0.5)
    fits.axvline(0, color=INK, linewidth=0.5)
    fits.set_aspect("equal", adjustable="datalim")
    fits.invert_xaxis()
    if residuals and len(residuals) <= 8:
        fits.legend(fontsize=7, frameon=False)
    label(fits, "sources less their mean places", "right ascension [mas]", "declination [mas]")
    return save(figure, folder, "align0", "offsets of the exposures", _words(offsets, residuals))


def _words(offsets: _Offsets, residuals: Sequence[F64]) -> str:
    counts = ", ".join(f"{n} of {m}" for n, m in zip(offsets.matches, offsets.sources, strict=True))
    parts = [f"Sources in common with others: {counts}"]
    together = np.concatenate(list(residuals)) if residuals else np.empty((0, 2))
    if len(together):
        scatter = 1000 * np.sqrt(np.mean(together**2, axis=0))
        parts.append(f"Sources scatter by {scatter[0]:.0f} and {scatter[1]:.0f} mas around their mean places")
        worst = max((float(np.hypot(*np.median(values, axis=0))) for values in residuals if len(values)), default=0.0)
        verdict = "less than" if worst < _ALIGNED else "more than"
        limit = f"{1000 * _ALIGNED:.0f} mas"
        parts.append(f"The worst exposure lies {1000 * worst:.0f} mas off, {verdict} the {limit} that are allowed")
    if lost := [str(k + 1) for k, n in enumerate(offsets.matches) if n == 0]:
        parts.append(f"Without a source in common: {', '.join(lost)}")
    return ". ".join(parts) + "."


def _preview(block: ProcedureInput, lists: Sequence[F64], folder: Path) -> PlotFile:
    picture = SkyPicture.read(block.products["PREVIEW_FOV", None], "sum of the aligned exposures")
    figure, (panel, *_) = sky_figure(f"exposures together     {block.block}", [picture])
    if picture.axes.celestial:
        for k, places in enumerate(lists):
            x, y = picture.place(*_pixels(picture, places))
            panel.plot(x, y, "o", mfc="none", mec=SERIES[k % len(SERIES)], mew=0.9, ms=7 + 2 * (k % 5))
    text = "Circles: sources of each exposure after its offset, each exposure a colour and a size."
    return save(figure, folder, "align1", "exposures together", f"{text} Colours are cut at 1 and 99.5 %.")


def _pixels(picture: SkyPicture, places: F64) -> tuple[F64, F64]:
    """Pixels, from 1, of places on the sky [deg]."""
    x, y = sky_to_plane(places[:, 0], places[:, 1], picture.axes.crval)
    (a, b), (c, d) = picture.axes.inverse
    return a * x + b * y + picture.axes.crpix[0], c * x + d * y + picture.axes.crpix[1]


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return []


PROCEDURE = Procedure(_LIST, _of_all, _of_ifu)
