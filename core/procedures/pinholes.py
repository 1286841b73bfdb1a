"""Pictures of the spots of a mask sequence: where the geometry puts the pinholes, and how sharp they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray

from core.fitsfile.keywords import get_key
from core.formats.tables import SPOTS_TABLE, MuseTable, read_table
from core.instruments.muse.facts import N_SLICES
from core.procedures.field import DIVERGING, SEQUENTIAL, X_LABEL, Y_LABEL, colour_bar, field_panels
from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.slices import slice_matrix
from core.procedures.style import INK, MASTER, NOTHING, SERIES, label, legend, limits, new_figure, save
from core.recipes.muse.mask_exposures import peaks_of_table
from core.spatial.geometry import Geometry
from core.spatial.mask import MaskScale
from core.spatial.maskgrid import OffGrid, off_grid
from core.spatial.peaks import pinhole_distance
from core.spatial.slices import IfuPeaks

__all__ = ["IfuSpots", "grid_plot", "ifu_plot", "read_spots", "sharpness_plot"]

F64 = NDArray[np.float64]

_BRIGHT: Final = 2000.0  # flux of spots whose width is shown [count]
_TILE: Final = np.array([(-12.55, -0.53), (12.55, -0.53), (12.55, 0.53), (-12.55, 0.53)])  # of a pinhole in a map [pix]
_MIDDLE: Final = 24  # the slice whose peaks are drawn, or the one closest to it


@dataclass(frozen=True, eq=False)
class IfuSpots:
    """What the pictures need of one SPOTS_TABLE.

    Attributes
    ----------
    peaks : IfuPeaks
    scale : float
        Of the focal plane [arcsec/mm].
    slice_fwhm : ndarray, shape (48,)
        Median of the bright spots of each slice [pix]; NaN without any.
    exposure_fwhm : ndarray, shape (n,)
        Median of each exposure, by number [pix].
    line_flux : dict of float to float
        Median flux of the bright spots of each arc line [count].
    """

    peaks: IfuPeaks
    scale: float
    slice_fwhm: F64
    exposure_fwhm: F64
    line_flux: dict[float, float]

    @property
    def ifu(self) -> int:
        """Number of the IFU."""
        return self.peaks.ifu


def read_spots(path: Path, unit: int) -> IfuSpots:
    """Read the spots of one IFU; the table itself is not kept."""
    return _summed(read_table(path, SPOTS_TABLE, unit))


def _summed(table: MuseTable) -> IfuSpots:
    width = _fwhm(table.columns)
    peaks = peaks_of_table(table.columns)
    exposures = range(1, int(table["image"].max()) + 1)
    medians = [get_key(table.header, f"QC.GEO.EXP{number}.FWHM.MEDIAN", float, np.nan) for number in exposures]
    lines = np.unique(peaks.peaks.wave).tolist()
    return IfuSpots(
        peaks,
        float(table["ScaleFOV"][0]),
        np.array([_median(width[table["SliceCCD"] == number]) for number in range(1, N_SLICES + 1)]),
        np.array(medians),
        {line: float(np.median(peaks.peaks.flux[peaks.peaks.wave == line])) for line in lines},
    )


def _fwhm(columns: dict[str, NDArray[np.float64]]) -> F64:
    """Mean FWHM along both axes of bright spots [pix]; NaN of others."""
    x, y = columns["xfwhm"], columns["yfwhm"]
    return np.where((x > 0) & (y > 0) & (columns["flux"] > _BRIGHT), 0.5 * (x + y), np.nan)


def _median(values: F64) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else np.nan


def _scale_of(spots: Sequence[IfuSpots]) -> MaskScale:
    distances = np.concatenate([found.peaks.peaks.distances for found in spots])
    return MaskScale(spots[0].scale, pinhole_distance(distances))


def grid_plot(
    block: ProcedureInput, geometry: Geometry, measured: Geometry, spots: Sequence[IfuSpots], folder: Path
) -> PlotFile | None:
    """How far the pinholes are from the grid of the mask, over the field; None if no slice shows any.

    Parameters
    ----------
    block : ProcedureInput
    geometry, measured : Geometry
        The final one, and the one before smoothing.
    spots : sequence of IfuSpots
    folder : pathlib.Path
    """
    peaks, scale = [found.peaks for found in spots], _scale_of(spots)
    off, before = off_grid(geometry, peaks, scale), off_grid(measured, peaks, scale)
    if not off.x.size:
        return None
    tiles = np.stack((off.x, off.y), axis=1)[:, None] + _TILE
    low, high = tiles.min(axis=(0, 1)), tiles.max(axis=(0, 1))
    size = float(high[0] - low[0]), float(high[1] - low[1])
    figure, panels = field_panels(f"pinholes in the field of view     {block.block}", size, 2)
    for axes, name in zip(panels, ("dx", "dy"), strict=True):
        values = getattr(off, name)
        reach = max(float(np.percentile(np.abs(values), 98)), 1e-3)
        shown = PolyCollection(tiles, array=values, cmap=DIVERGING, clim=(-reach, reach), linewidths=0.0)
        axes.add_collection(shown)
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        axes.set_facecolor(NOTHING)
        now, then = _rms(values), _rms(getattr(before, name))
        label(axes, f"{name[1]} off the grid: rms {now:.3f} pix, before smoothing {then:.3f} pix", X_LABEL, Y_LABEL)
        axes.grid(False)
        colour_bar(axes, shown, "pix of 0.2 arcsec")
    caption = (
        "The three pinholes of each slice, drawn as long as their distance and put into the field by the geometry "
        "table: the mask has them on a regular grid, so what is off it is an error of the table, or was made by "
        "smoothing. Medians of all arc lines; colours are cut at 98 %."
    )
    return save(figure, folder, "geometry3", "pinholes against the grid of the mask", caption)


def _rms(values: F64) -> float:
    return float(np.sqrt(np.mean(values**2)))


def sharpness_plot(block: ProcedureInput, spots: Sequence[IfuSpots], folder: Path) -> PlotFile:
    """Width and flux of the spots of all IFUs."""
    units = [found.ifu for found in spots]
    top = 0.8 + 0.2 * len(units)
    figure = new_figure(f"spots of the mask     {block.block}", 12.0, top + 4.6)
    grid = figure.add_gridspec(2, 2, height_ratios=(top, 3.0), wspace=0.16, hspace=1.5 / (top + 3.0))
    matrix, left, right = (figure.add_subplot(place) for place in (grid[0, :], grid[1, 0], grid[1, 1]))
    values = np.stack([found.slice_fwhm for found in spots])
    slice_matrix(matrix, values, units, limits([values], 0.0), SEQUENTIAL, "pix", "FWHM: median of the bright spots")
    colours = colormaps["viridis"](np.linspace(0.0, 0.9, len(spots)))
    for found, colour in zip(spots, colours, strict=True):
        number = np.arange(1, found.exposure_fwhm.size + 1)
        left.plot(
            number, found.exposure_fwhm, ".-", color=colour, linewidth=0.7, markersize=3, label=f"{found.ifu:02d}"
        )
    label(left, "FWHM along the sequence: medians of the IFUs", "exposure", "pix")
    lines = sorted({line for found in spots for line in found.line_flux})
    for line, colour in zip(lines, colormaps["viridis"](np.linspace(0.0, 0.9, len(lines))), strict=True):
        flux = [found.line_flux.get(line, np.nan) for found in spots]
        right.plot(units, flux, ".-", color=colour, linewidth=0.7, markersize=3)
        right.annotate(f"{line:.0f}", (units[-1], flux[-1]), (4, -2), textcoords="offset points", fontsize=6, color=INK)
    right.set_yscale("log")
    right.set_xticks(units)
    label(right, "flux of a pinhole at each arc line [Angstrom]: median", "IFU", "count")
    right.tick_params(which="minor", labelsize=7)
    legend(figure, left)
    text = (
        f"Of spots brighter than {_BRIGHT:.0f} count. One line per IFU (left; dark: low numbers), per arc line (right)."
    )
    return save(figure, folder, "geometry4", "sharpness and flux of the spots", text)


def ifu_plot(block: ProcedureInput, geometry: Geometry, unit: int, folder: Path) -> PlotFile:
    """The spots of one IFU: on the detector, along the sequence, and against the grid of the mask."""
    table = read_table(block.products["SPOTS_TABLE", unit], SPOTS_TABLE, unit)
    spots = _summed(table)
    figure = new_figure(f"spots of the mask, IFU {unit:02d}     {block.block}", 12.0, 6.2)
    figure.subplots_adjust(wspace=0.28)
    grid = figure.subplots(2, 3)
    _on_detector(grid[0, 0], table.columns)
    _sequence(grid[0, 1], table.columns)
    number = np.arange(1, spots.exposure_fwhm.size + 1)
    grid[0, 2].plot(number, spots.exposure_fwhm, ".-", color=MASTER, linewidth=0.7, markersize=4)
    label(grid[0, 2], "FWHM along the sequence: median", "exposure", "pix")
    grid[1, 0].plot(np.arange(1, N_SLICES + 1), spots.slice_fwhm, ".-", color=MASTER, linewidth=0.7, markersize=4)
    label(grid[1, 0], "FWHM of each slice: median", "slice on the detector", "pix")
    off = off_grid(geometry, [spots.peaks], _scale_of([spots]))
    for axes, name in ((grid[1, 1], "dx"), (grid[1, 2], "dy")):
        _off_grid(axes, off, name)
    legend(figure, grid[1, 1])
    text = (
        f"Spots brighter than {_BRIGHT:.0f} count. Below at the right: the three pinholes of each slice against the "
        "grid of the mask, medians of all arc lines."
    )
    return save(figure, folder, f"geometry5-{unit:02d}", f"IFU {unit}: spots of the mask", text, unit)


def _on_detector(axes: Axes, columns: dict[str, NDArray[np.float64]]) -> None:
    width = _fwhm(columns)
    seen = np.flatnonzero(np.isfinite(width))
    keys = np.stack([columns["SliceCCD"][seen], columns["lambda"][seen], columns["SpotNo"][seen]])
    _, first, group = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    counts = np.bincount(group.ravel())
    mean = np.bincount(group.ravel(), width[seen]) / counts
    low, high = limits([mean], 0.0)
    shown = axes.scatter(
        columns["xc"][seen[first]], columns["yc"][seen[first]], c=mean, s=3, vmin=low, vmax=high, linewidths=0
    )
    label(axes, "FWHM on the detector [pix]", "X [pix]", "Y [pix]")
    axes.grid(False)
    bar = axes.figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.02)
    bar.ax.tick_params(labelsize=7)


def _sequence(axes: Axes, columns: dict[str, NDArray[np.float64]]) -> None:
    """Flux of the three spots of a slice at its brightest line, against the height of the mask."""
    numbers = np.unique(columns["SliceCCD"])
    number = int(numbers[np.argmin(np.abs(numbers - _MIDDLE))])
    own = columns["SliceCCD"] == number
    lines = np.unique(columns["lambda"][own])
    line = float(lines[np.argmax([columns["flux"][own & (columns["lambda"] == line)].max() for line in lines])])
    for spot, colour in zip((1, 2, 3), SERIES, strict=False):
        rows = own & (columns["lambda"] == line) & (columns["SpotNo"] == spot)
        order = np.argsort(columns["VPOS"][rows])
        axes.plot(
            columns["VPOS"][rows][order], columns["flux"][rows][order], ".-", color=colour, linewidth=0.7, markersize=3
        )
    label(axes, f"slice {number} at {line:.0f} Angstrom: flux of its spots", "height of the mask [mm]", "count")


def _off_grid(axes: Axes, off: OffGrid, name: str) -> None:
    values = getattr(off, name)
    for spot, colour in enumerate(SERIES[:3]):
        axes.plot(
            off.slice_no[spot::3], values[spot::3], ".", color=colour, markersize=4,
            label=("left spot", "middle", "right spot")[spot],
        )  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.5)
    if values.size:
        axes.set_ylim(*limits([values], 0.3))
        label(axes, f"{name[1]} off the grid, rms {_rms(values):.3f} pix", "slice on the detector", "pix")
