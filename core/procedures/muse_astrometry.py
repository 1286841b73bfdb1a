"""QC procedure of astrometric fields: the stars, where the solution puts them, scale and rotation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.cubes.projection import sky_to_plane
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.field_image import spatial_axes
from core.formats.onsky_tables import named_tables
from core.procedures.cubes import cube_pictures
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.style import INK, MASTER, RAW, REFERENCE, label, new_figure, save

__all__ = ["PROCEDURE"]

_WCS: Final = "ASTROMETRY_WCS"
_CUBE: Final = "DATACUBE_ASTROMETRY"
_QC: Final = "QC.ASTRO"
_ARROW: Final = 14.0  # [pix] that the arrow of a typical residual has
_LONGEST: Final = 4.0  # typical residuals: longer arrows are cut, and grey
_SEEN: Final = 8.0  # typical residuals: what lies farther out is told, not shown

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Stars:
    """Stars of a field [pix], and how far those that were identified lie from where the solution puts them [arcsec]."""

    x: F64
    y: F64
    dx: F64
    dy: F64
    header: Header

    @property
    def used(self) -> NDArray[np.bool_]:
        """Those that were identified."""
        return np.isfinite(self.dx)


def _read(path: Path) -> _Stars:
    table = next(named_tables(path))
    x, y, ra, dec = (table.numbers(name) for name in ("XPOS", "YPOS", "RA", "DEC"))
    used = np.isfinite(ra) & np.isfinite(dec)
    axes = spatial_axes(table.header)
    dx, dy = np.full(x.size, np.nan), np.full(x.size, np.nan)
    if used.any():
        middle = float(np.median(ra[used])), float(np.median(dec[used]))
        plane = np.array(sky_to_plane(ra[used], dec[used], middle))
        (a, b), (c, d) = axes.inverse
        pixels = a * plane[0] + b * plane[1], c * plane[0] + d * plane[1]
        # where the telescope pointed is no part of the solution: the middle of all residuals is 0
        for values, found, expected, scale in zip((dx, dy), (x, y), pixels, axes.scales, strict=True):
            offset = found[used] - expected
            values[used] = 3600 * scale * (offset - np.median(offset))
    return _Stars(x, y, dx, dy, table.header)


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    if (_WCS, None) not in block.products:
        return []
    plots = [_residuals(block, _read(block.products[_WCS, None]), folder)]
    for number, cube in enumerate(block.files(_CUBE), start=1):
        plots += cube_pictures(block, cube, _QC, folder, f"field{number}-", residuals=False)
    return plots


def _residuals(block: ProcedureInput, stars: _Stars, folder: Path) -> PlotFile:
    figure = new_figure(f"astrometric solution     {block.block}", 12.0, 5.4)
    vectors, scatter = figure.subplots(1, 2)
    used = stars.used
    vectors.plot(stars.x[~used], stars.y[~used], "x", color=RAW, markersize=5, label="not identified")
    vectors.plot(stars.x[used], stars.y[used], "o", color=MASTER, markersize=3, label="identified")
    length = np.hypot(stars.dx[used], stars.dy[used])
    typical = float(np.median(length)) if used.any() else 0.0
    if typical > 0:
        cut = np.minimum(1.0, _LONGEST * typical / np.maximum(length, typical))
        arrows = vectors.quiver(
            stars.x[used], stars.y[used], cut * stars.dx[used], cut * stars.dy[used], angles="xy", scale_units="xy",
            scale=typical / _ARROW, color=np.where(cut < 1, RAW, REFERENCE), width=0.003,
        )  # fmt: skip
        words = f"{1000 * typical:.1f} mas"
        vectors.quiverkey(arrows, 0.84, 1.03, typical, words, labelpos="E", fontproperties={"size": 7})
    vectors.set_aspect("equal", adjustable="datalim")
    vectors.legend(fontsize=7, frameon=False, loc="lower left", ncols=2)
    label(vectors, "stars, and where they lie from the solution", "x [pix]", "y [pix]")
    scatter.axhline(0, color=INK, linewidth=0.5)
    scatter.axvline(0, color=INK, linewidth=0.5)
    scatter.plot(1000 * stars.dx[used], 1000 * stars.dy[used], "o", color=MASTER, markersize=4)
    for axis in "XY":
        value = 1000 * _value(stars.header, f"MEDRES.{axis}")
        span = scatter.axvspan if axis == "X" else scatter.axhspan
        span(-value, value, color=RAW, alpha=0.45, linewidth=0, zorder=0)
    reach = 1000 * min(_SEEN * typical, 1.1 * float(length.max(initial=0.0))) or 1.0
    scatter.set_xlim(-reach, reach)
    scatter.set_ylim(-reach, reach)
    scatter.set_aspect("equal", adjustable="box")
    label(scatter, "found less expected; grey: the median residuals", "x [mas]", "y [mas]")
    outside = int((1000 * np.maximum(np.abs(stars.dx[used]), np.abs(stars.dy[used])) > reach).sum())
    text = _words(block, stars)
    if outside:
        stars_lie = "star lies" if outside == 1 else "stars lie"
        text += f" {outside} {stars_lie} farther out than shown; grey arrows are cut."
    return save(figure, folder, "astro0", "stars and residuals", text)


def _value(header: Header, name: str) -> float:
    return get_key(header, f"{_QC}.{name}", float, default=np.nan)


def _words(block: ProcedureInput, stars: _Stars) -> str:
    header = stars.header
    parts = [
        f"{int(stars.used.sum())} of {stars.x.size} stars identified",
        f"scale {_value(header, 'SCALE.X'):.5f} × {_value(header, 'SCALE.Y'):.5f} arcsec",
        f"rotation {_value(header, 'ANGLE.X'):+.4f}° and {_value(header, 'ANGLE.Y'):+.4f}°",
    ]
    text = ", ".join(parts) + "."
    path = block.references.get((_WCS, None))
    if path is None:
        return f"{text} There is no earlier solution to compare with."
    old = next(named_tables(path)).header
    change = 100 * (_value(header, "SCALE.X") / _value(old, "SCALE.X") - 1)
    turned = _value(header, "ANGLE.X") - _value(old, "ANGLE.X")
    return f"{text} Since the solution before: scale {change:+.3f} %, rotation {turned:+.4f}°."


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return []


PROCEDURE = Procedure(_WCS, _of_all, _of_ifu)
