"""Pictures of a geometry: all slices in the field of view, what smoothing did to them, and IFU by IFU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray

from core.formats.tables import GEOMETRY_TABLE, read_table
from core.procedures.field import X_LABEL, Y_LABEL, field_panels
from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.style import INK, MASTER, RAW, REFERENCE, SERIES, label, legend, limits, new_figure, save
from core.recipes.muse.geometry_products import geometry_options
from core.spatial.geometry import Geometry
from core.spatial.smoothing import QUANTITIES, stack_lines
from core.spatial.solve import gap_positions
from core.tools.plots_geo import corners

__all__ = ["field_plot", "ifus_plot", "read_geometry", "smoothing_plot"]

_UNITS: Final = {"x": "pix", "y": "pix", "angle": "deg", "width": "pix"}
_STACKS: Final = (4, 3, 2, 1)  # from left to right
_DARK: Final = 0.95  # opacity of IFUs in turn
_PALE: Final = 0.5


def read_geometry(path: Path) -> Geometry:
    """The geometry of a GEOMETRY_TABLE, upright also where the environment has it not."""
    geometry = Geometry.from_columns(read_table(path, GEOMETRY_TABLE))
    return geometry if geometry_options().upright else geometry.upright()


def field_plot(block: ProcedureInput, geometry: Geometry, folder: Path) -> PlotFile | None:
    """All slices where they lie in the field of view; None if none has a position."""
    known = _known(geometry)
    if not len(known):
        return None
    shapes = np.array(corners(known)).reshape(-1, 4, 2)
    low, high = shapes.min(axis=(0, 1)), shapes.max(axis=(0, 1))
    width, height = high - low + (10, 2)
    figure, (axes,) = field_panels(f"slices in the field of view     {block.block}", (width, height), 1)
    for stack in _STACKS:
        own = known.where(known.stack == stack)
        opacity = np.where(own.ifu % 2 == 0, _DARK, _PALE)
        name = f"stack {stack}{' (left)' if stack == 4 else ' (right)' if stack == 1 else ''}"
        axes.add_collection(
            PolyCollection(corners(own), facecolors=SERIES[stack - 1], alpha=opacity, linewidths=0.0, label=name)
        )
    for ifu in known.ifus:
        own = known.where(known.ifu == ifu)
        axes.annotate(
            f"{ifu}", (1.0, np.median(own.y)), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            fontsize=7, color=INK, ha="left", va="center",
        )  # fmt: skip
    axes.set_xlim(low[0] - 5, high[0] + 5)
    axes.set_ylim(low[1] - 1, high[1] + 1)
    label(axes, f"{len(known)} of {len(geometry)} slices; at the right the IFUs", X_LABEL, Y_LABEL)
    axes.grid(False)
    legend(figure, axes)
    caption = (
        "Each slice as the geometry table has it: centre, angle, width, and 1 pix high. A colour is a stack of slices, "
        "dark and pale are IFUs in turn."
    )
    if missing := _missing(geometry):
        caption += f" Slices without a position: {missing}."
    return save(figure, folder, "geometry0", "slices in the field of view", caption)


def _known(geometry: Geometry) -> Geometry:
    return geometry.where(np.isfinite(geometry.x) & np.isfinite(geometry.y) & (geometry.width > 0))


def _missing(geometry: Geometry) -> str:
    """Slices that have no position: ``12, 13 of IFU 3``."""
    unknown = ~(np.isfinite(geometry.x) & np.isfinite(geometry.y) & (geometry.width > 0))
    lost = geometry.where(unknown)
    return "; ".join(
        f"{', '.join(map(str, sorted(lost.slice_ccd[lost.ifu == ifu].tolist())))} of IFU {ifu}" for ifu in lost.ifus
    )


def smoothing_plot(block: ProcedureInput, measured: Geometry, final: Geometry, folder: Path) -> PlotFile:
    """Each slice off the straight line through its stack, and which of them were put on it."""
    figure = new_figure(f"measured minus straight line     {block.block}", 12.0, 6.2)
    figure.subplots_adjust(wspace=0.13)
    grid = figure.subplots(2, 2)
    for axes, name in zip(grid.flat, QUANTITIES, strict=True):
        values, after = getattr(measured, name), getattr(final, name)
        off = values - stack_lines(measured, name)
        moved = np.isfinite(values) & (values != after)
        _residuals(axes, measured, off, moved)
        kept = off[~moved & np.isfinite(off)]
        rms = float(np.sqrt(np.mean(kept**2))) if kept.size else np.nan
        known = int(np.count_nonzero(np.isfinite(values)))
        title = (
            f"{name}: {np.count_nonzero(moved)} of {known} put on the line; rms of the others {rms:.3f} {_UNITS[name]}"
        )
        label(axes, title, "IFU", _UNITS[name])
        _ifu_ticks(axes, measured.ifus)
    legend(figure, grid.flat[0])
    caption = (
        "The slices of an IFU side by side from the bottom to the top of their stacks. Those far from the line, or "
        "with a large error, are replaced by it; triangles lie beyond the frame."
    )
    return save(figure, folder, "geometry1", "what smoothing has changed", caption)


def _residuals(axes: Axes, geometry: Geometry, off: NDArray[np.float64], moved: NDArray[np.bool_]) -> None:
    """Points of all slices; what would flatten the others lies on the frame."""
    place = geometry.ifu + 0.8 * (geometry.row - 6.5) / 12.0
    low, high = limits([off], 0.5)
    inside = np.clip(off, low, high)
    beyond = inside != off
    for chosen, colour, name in ((~moved, MASTER, "kept"), (moved, REFERENCE, "put on the line")):
        near = chosen & ~beyond
        axes.plot(place[near], off[near], ".", color=colour, markersize=3, label=name)
        for end, marker in ((low, "v"), (high, "^")):
            far = chosen & beyond & (inside == end)
            axes.plot(place[far], inside[far], marker, color=colour, markersize=4)
    pad = 0.05 * (high - low)
    axes.set_ylim(low - pad, high + pad)
    axes.axhline(0, color=INK, linewidth=0.5)


def _ifu_ticks(axes: Axes, ifus: list[int]) -> None:
    axes.set_xlim(ifus[0] - 0.6, ifus[-1] + 0.6)
    axes.set_xticks(ifus)


def ifus_plot(block: ProcedureInput, geometry: Geometry, before: Geometry | None, folder: Path) -> PlotFile:
    """Angle, width, step and central gap of each IFU.

    Parameters
    ----------
    block : ProcedureInput
    geometry : Geometry
    before : Geometry, optional
        An earlier one, to compare with.
    folder : pathlib.Path
    """
    figure = new_figure(f"slices of each IFU     {block.block}", 12.0, 6.2)
    figure.subplots_adjust(wspace=0.13)
    grid = figure.subplots(2, 2)
    panels = (("angle", "angle of the slices", "deg"), ("width", "width of the slices", "pix"))
    for axes, (name, title, unit) in zip(grid[0], panels, strict=True):
        for stack in _STACKS:
            own = geometry.where(geometry.stack == stack)
            _by_ifu(axes, _medians(own, name), SERIES[stack - 1], f"stack {stack}")
        label(axes, f"{title}: medians of the stacks", "IFU", unit)
    _by_ifu(grid[1, 0], _steps(geometry), MASTER, "now")
    label(grid[1, 0], "from a slice to the one above it: median", "IFU", "pix")
    _by_ifu(grid[1, 1], gap_positions(geometry), MASTER, "now")
    label(grid[1, 1], "x of the central gap", "IFU", "pix")
    if before is not None:
        earlier = (_medians(before, "angle"), _medians(before, "width"), _steps(before), gap_positions(before))
        for axes, values in zip(grid.flat, earlier, strict=True):
            _by_ifu(axes, {ifu: values[ifu] for ifu in geometry.ifus if ifu in values}, RAW, "before, all stacks")
    for axes in grid.flat:
        _ifu_ticks(axes, geometry.ifus)
    legend(figure, grid[0, 0])
    caption = "Stack 4 is the left one in the field of view. " + (
        "Grey is the geometry before this one." if before is not None else "There is no earlier one to compare with."
    )
    return save(figure, folder, "geometry2", "angles, widths and gaps of the IFUs", caption)


def _by_ifu(axes: Axes, values: Mapping[int, float], colour: str, name: str) -> None:
    axes.plot(list(values), list(values.values()), ".-", color=colour, linewidth=0.7, markersize=4, label=name)


def _medians(geometry: Geometry, name: str) -> dict[int, float]:
    """Median of a quantity of the slices of each IFU."""
    known = _known(geometry)
    return {ifu: float(np.median(getattr(known, name)[known.ifu == ifu])) for ifu in known.ifus}


def _steps(geometry: Geometry) -> dict[int, float]:
    """Median distance of neighbouring slices in each IFU [pix]."""
    found = {}
    for ifu in geometry.ifus:
        own = _known(geometry.where(geometry.ifu == ifu))
        order = np.lexsort((own.row, own.stack))
        near = (np.diff(own.row[order]) == 1) & (np.diff(own.stack[order]) == 0)
        if near.any():
            found[ifu] = float(np.median(np.diff(own.y[order])[near]))
    return found
