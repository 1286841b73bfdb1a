"""Pictures of traces: where the slices lie, how wide they are, how they lean, what they were fitted to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from core.ccd.trace_model import Trace
from core.formats.image import open_image
from core.formats.tables import TRACE_SAMPLES, TRACE_TABLE, MuseTable, read_table
from core.instruments.muse.facts import N_SLICES
from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.style import label, legend, new_figure, save
from core.tools.plots_trace import plot_trace_samples, plot_trace_widths

__all__ = ["sample_plots", "trace_plot"]


def trace_plot(block: ProcedureInput, folder: Path) -> PlotFile | None:
    """Traces of all IFUs of a block in four panels; None if there is no trace table."""
    units = block.units("TRACE_TABLE")
    if not units:
        return None
    tables = {unit: read_table(block.products["TRACE_TABLE", unit], TRACE_TABLE, unit) for unit in units}
    figure = new_figure(f"traces of the slices     {block.block}", 12.0, 5.9)
    figure.subplots_adjust(wspace=0.13)
    axes = figure.subplots(2, 2)
    colours = colormaps["viridis"](np.linspace(0.0, 0.9, len(units)))
    slices = np.arange(1, N_SLICES + 1)
    first = units[0]
    height = float(open_image(block.products["MASTER_FLAT", first], first).shape[0])
    rows = np.linspace(1, height, 40)
    centres = _evaluate(tables[first], 0, rows)
    for number in range(N_SLICES):
        axes[0, 0].plot(centres[number] - centres[number].mean() + 8 * number, rows, color="#1f4e9c", linewidth=0.6)
    label(axes[0, 0], f"IFU {first:02d}: shape of the centres, 8 pix apart", "X [pix, shifted]", "Y [pix]")
    middle = np.array([height / 2])
    for colour, unit in zip(colours, units, strict=True):
        table = tables[unit]
        left, right = (_evaluate(table, edge, middle)[:, 0] for edge in (1, 2))
        style = {"color": colour, "linewidth": 0.7, "markersize": 3, "label": f"{unit:02d}"}
        axes[0, 1].plot(slices, right - left, ".-", **style)
        axes[1, 0].plot(slices[1:], left[1:] - right[:-1], ".-", **style)
        lean = _evaluate(table, 0, np.array([1.0, height]))
        axes[1, 1].plot(slices, lean[:, 1] - lean[:, 0], ".-", **style)
    label(axes[0, 1], "width at the middle row", "slice on the detector", "pix")
    label(axes[1, 0], "gap to the slice on the left, middle row", "slice on the detector", "pix")
    label(axes[1, 1], "centre at the top minus at the bottom", "slice on the detector", "pix")
    legend(figure, axes[0, 1])
    caption = "One line per IFU (dark: low numbers); a gap is a slice that could not be traced."
    return save(figure, folder, "trace0", "traces of the slices", caption)


def sample_plots(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    """The sampling points of an IFU: widths of all slices, and two slices on the flat with their polynomials."""
    path = block.products.get(("TRACE_SAMPLES", unit))
    if path is None:
        return []
    samples = read_table(path, TRACE_SAMPLES, unit)
    name = f"IFU {unit:02d}"
    text = "Right minus left edge of each sampling point; the range is that of slices that can be right."
    figure = plot_trace_widths(samples, title=name)
    plots = [save(figure, folder, f"trace1-{unit:02d}", f"IFU {unit}: widths along the slices", text, unit)]
    table = Trace.from_columns(read_table(block.products["TRACE_TABLE", unit], TRACE_TABLE, unit))
    flat = open_image(block.products["MASTER_FLAT", unit], unit).read_part("DATA")
    figure = plot_trace_samples(samples, table, flat, title=name)
    text = "Sampling points and polynomials of two slices in the middle, on the master flat."
    plots.append(save(figure, folder, f"trace2-{unit:02d}", f"IFU {unit}: traces of two slices", text, unit))
    return plots


def _evaluate(table: MuseTable, edge: int, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions (48, n) of the centre (0), left (1) or right (2) edge at some rows; NaN for slices without a trace."""
    order = max(int(name[len(f"tc{edge}_") :]) for name in table if name.startswith(f"tc{edge}_"))
    result = np.zeros((N_SLICES, rows.size))
    for power in range(order, -1, -1):
        result = result * rows + np.asarray(table[f"tc{edge}_{power:02d}"], dtype=np.float64)[:, None]
    return result
