"""Pictures of quantities that exist for each of the 48 slices: one line per IFU, limits where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from numpy.typing import NDArray

from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.instruments.muse.facts import N_SLICES
from core.procedures.field import colour_bar
from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.style import NOTHING, figure_of, label, legend, new_figure, save

__all__ = ["SlicePanel", "slice_matrix", "slice_plot"]


@dataclass(frozen=True)
class SlicePanel:
    """One panel: a keyword with ``{slice}``, and how it is shown."""

    keyword: str
    title: str
    unit: str


def slice_plot(
    block: ProcedureInput,
    tag: str,
    panels: Sequence[SlicePanel],
    folder: Path,
    name: str,
    title: str,
) -> PlotFile | None:
    """QC parameters of product headers against the slice number.

    Parameters
    ----------
    block : ProcedureInput
    tag : str
        Product whose headers carry the keywords.
    panels : sequence of SlicePanel
        At most six.
    folder : pathlib.Path
    name, title : str
        Of the picture.

    Returns
    -------
    PlotFile or None
        None if no header has any of the keywords.
    """
    units = block.units(tag)
    headers = {unit: scan_fits(block.products[tag, unit]).hdus[0].header for unit in units}
    slices = np.arange(1, N_SLICES + 1)
    series = {
        (panel, unit): np.array(
            [get_key(header, panel.keyword.format(slice=number), float, np.nan) for number in slices]
        )
        for panel in panels
        for unit, header in headers.items()
    }
    if not any(np.isfinite(values).any() for values in series.values()):
        return None
    rows = -(-len(panels) // 2)
    figure = new_figure(f"{title}     {block.block}", 12.0, 2.6 * rows + 0.7)
    figure.subplots_adjust(wspace=0.13)
    grid = figure.subplots(rows, 2, squeeze=False)
    colours = colormaps["viridis"](np.linspace(0.0, 0.9, max(len(units), 1)))
    for axis in grid.flat[len(panels) :]:
        axis.axis("off")
    for axis, panel in zip(grid.flat, panels, strict=False):
        for colour, unit in zip(colours, units, strict=True):
            axis.plot(slices, series[panel, unit], ".-", color=colour, linewidth=0.7, markersize=3, label=f"{unit:02d}")
        axis.set_xlim(0, N_SLICES + 1)
        axis.set_xticks(range(12, N_SLICES + 1, 12))
        label(axis, panel.title, "slice on the detector", panel.unit)
    legend(figure, grid.flat[0])
    text = "One line per IFU (dark: low numbers); a gap is a slice without a value."
    return save(figure, folder, name, title, text)


def slice_matrix(
    axes: Axes,
    values: NDArray[np.float64],
    units: list[int],
    limits: tuple[float, float],
    colours: str,
    unit: str,
    title: str,
) -> None:
    """IFUs by slices, as colours.

    Parameters
    ----------
    axes : Axes
        Panel of its own figure.
    values : ndarray (n, 48)
        NaN where there is nothing.
    units : list of int
        The n IFUs.
    limits : tuple of float
        Values of the first and the last colour.
    colours : str
        Name of a colour map.
    unit, title : str
    """
    axes.set_facecolor(NOTHING)
    shown = axes.imshow(
        values, origin="lower", aspect="auto", vmin=limits[0], vmax=limits[1], cmap=colours, interpolation="nearest",
        extent=(0.5, N_SLICES + 0.5, -0.5, len(units) - 0.5),
    )  # fmt: skip
    label(axes, title, "slice on the detector", "IFU")
    axes.grid(False)
    axes.set_yticks(range(len(units)), [str(number) for number in units])
    axes.set_xticks(range(4, N_SLICES + 1, 4))
    figure = figure_of(axes)
    figure.subplots_adjust(right=1 - 0.8 / figure.get_figwidth())
    colour_bar(axes, shown, unit)
