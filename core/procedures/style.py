"""The look of all pictures: one size, one set of colours, files written once and small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from core.procedures.model import PlotFile

__all__ = [
    "GAUSS",
    "GRID",
    "INK",
    "MASTER",
    "NOTHING",
    "RAW",
    "REFERENCE",
    "SERIES",
    "figure_of",
    "label",
    "legend",
    "limits",
    "line",
    "log_scale",
    "new_figure",
    "save",
]

# Distinct in hue and lightness, also for readers who do not see red and green apart.
MASTER = "#1f4e9c"
RAW = "#9aa3ad"
REFERENCE = "#b3541e"
GAUSS = "#d18700"
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")  # Okabe and Ito
NOTHING = "#c9ced4"  # where a map has no value
INK = "#22262b"
GRID = "#e3e6ea"
_MAX_POINTS = 1200


def new_figure(title: str, width: float = 12.0, height: float = 8.0) -> Figure:
    """A figure [inch] with a title that belongs to no window system.

    Margins are fixed in inches: a layout engine would double the time of drawing.
    """
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.1 / width, 1 - 0.08 / height, title, fontsize=9, color=INK, ha="left", va="top")
    figure.subplots_adjust(
        left=0.6 / width, right=1 - 0.15 / width, bottom=0.45 / height, top=1 - 0.62 / height, wspace=0.34, hspace=0.42
    )
    return figure


def figure_of(axes: Axes) -> Figure:
    """The figure that a panel is in."""
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)  # no panel of ours is without one
    return figure


def log_scale(axes: Axes) -> None:
    """Logarithmic Y axis with few ticks."""
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())


def label(axes: Axes, title: str, x: str, y: str) -> None:
    """Title, axis labels and grid."""
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=8, color=INK)
    axes.set_ylabel(y, fontsize=8, color=INK)
    axes.tick_params(labelsize=7, colors=INK)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color("#b9bfc6")


def line(axes: Axes, values: NDArray[np.float64], colour: str, *, first: int = 1, name: str = "") -> None:
    """Values against pixel number; long series as the band between smallest and largest of each bin and its mean."""
    values = np.asarray(values, dtype=np.float64)
    step = -(-values.size // _MAX_POINTS)
    if step == 1:
        axes.plot(np.arange(first, first + values.size), values, color=colour, linewidth=0.8, label=name)
        return
    usable = values[: values.size // step * step].reshape(-1, step)
    x = first + np.arange(usable.shape[0]) * step + (step - 1) / 2
    axes.fill_between(x, usable.min(axis=1), usable.max(axis=1), color=colour, alpha=0.25, linewidth=0)
    axes.plot(x, usable.mean(axis=1), color=colour, linewidth=0.8, label=name)


def limits(values: Sequence[NDArray[np.float64]], margin: float = 0.15) -> tuple[float, float]:
    """Axis limits that show the bulk of the values: a few hot pixels must not flatten the rest."""
    pool = np.concatenate([part[np.isfinite(part)] for part in values])
    if pool.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(pool, [0.5, 99.5])
    if low == high:
        low, high = low - 0.5, high + 0.5
    pad = margin * (high - low)
    return float(low - pad), float(high + pad)


def legend(figure: Figure, axes: Axes) -> None:
    """The lines of one panel named once for the whole figure, at the upper right."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="upper right", fontsize=6, frameon=False, ncols=12, handlelength=1.2, columnspacing=0.8
    )


def save(figure: Figure, folder: Path, name: str, title: str, caption: str, unit: int | None = None) -> PlotFile:
    """Write ``<folder>/<name>.png``."""
    path = folder / f"{name}.png"
    figure.savefig(path, format="png", pil_kwargs={"compress_level": 4})
    return PlotFile(name, title, caption, str(path), unit)
