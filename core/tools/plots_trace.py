"""Traces become pictures: sampling points, polynomials and slice widths (MUSE manual, section 7.2.1).

The functions return figures of matplotlib that belong to no window; the command-line tools show or save them, and
other rooms may draw them into pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
from matplotlib.figure import Figure

from core.ccd.trace_model import Trace
from core.instruments.muse.facts import N_SLICES, SLICE_WIDTH_LIMITS

__all__ = ["plot_trace_samples", "plot_trace_widths"]

_FLAT_RANGE = (1e-4, 1.5)  # grey scale of a normalised flat
_MARGIN = 5  # pixels added to the horizontal range for each slice
# column of TRACE_SAMPLES, name, colour of the points, colour of the polynomial
_LINES = (
    ("mid", "center", "blue", "darkblue"),
    ("left", "left", "red", "darkred"),
    ("right", "right", "green", "forestgreen"),
)
_SYMBOLS = "xo+s*^Dv"
_GREEN_TO_RED = LinearSegmentedColormap.from_list("green_to_red", ["green", "gold", "red"])

Samples = Mapping[str, npt.NDArray[Any]]


def plot_trace_samples(
    samples: Samples,
    table: Trace | None = None,
    flat: npt.NDArray[np.floating[Any]] | None = None,
    slices: tuple[int, int] = (24, 25),
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Sampling points of some slices on the detector, with the polynomials and the flat field behind them.

    Parameters
    ----------
    samples : mapping of str to ndarray
        Columns ``slice``, ``y``, ``mid``, ``left``, ``right`` of TRACE_SAMPLES.
    table : Trace, optional
        Polynomials of the same IFU.
    flat : ndarray, shape (ny, nx), optional
        Normalised master flat of the same IFU, shown in grey from 1e-4 to 1.5.
    slices : tuple of int
        First and last slice.
    title : str
        Start of the title.
    figure : Figure, optional
        Empty figure to draw into; a new one by default.
    """
    first, last = slices
    chosen = (samples["slice"] >= first) & (samples["slice"] <= last)
    figure = _prepared(figure, 10, 8)
    axes = figure.add_subplot()
    low, high, top = _ranges(samples, chosen, table, flat, slices)
    if flat is not None:
        columns = slice(max(int(low) - 1, 0), min(int(np.ceil(high)), flat.shape[1]))
        picture = axes.imshow(
            flat[:, columns],
            cmap="gray",
            vmin=_FLAT_RANGE[0],
            vmax=_FLAT_RANGE[1],
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(columns.start + 0.5, columns.stop + 0.5, 0.5, flat.shape[0] + 0.5),
        )
        figure.colorbar(picture, ax=axes, label="flux relative to the mean", pad=0.01, fraction=0.04)
    for column, name, colour, _ in _LINES:
        axes.plot(
            samples[column][chosen],
            samples["y"][chosen],
            linestyle="none",
            marker="x",
            markersize=4,
            markeredgewidth=0.9,
            color=colour,
            label=f"{name}: sampling points",
        )
    if table is not None:
        _draw_polynomials(axes, table, slices, top)
    shown = f"slice {first}" if first == last else f"slices {first} to {last}"
    axes.set_title(f"{title} {shown}".strip(), loc="left")
    axes.set_xlabel("CCD column x [pix]")
    axes.set_ylabel("CCD row y [pix]")
    axes.set_xlim(low, high)
    axes.set_ylim(0.5, top + 0.5)
    figure.legend(loc="outside lower center", ncols=3, fontsize="small", frameon=False)
    return figure


def _prepared(figure: Figure | None, width: float, height: float) -> Figure:
    figure = figure or Figure()
    figure.set_size_inches(width, height)
    figure.set_layout_engine("constrained")
    return figure


def _ranges(
    samples: Samples,
    chosen: npt.NDArray[np.bool_],
    table: Trace | None,
    flat: npt.NDArray[Any] | None,
    slices: tuple[int, int],
) -> tuple[float, float, float]:
    """Left and right limit and height of the picture [pix]."""
    top = float(samples["y"].max()) if len(samples["y"]) else 4112.0
    if flat is not None:
        top = float(flat.shape[0])
    edges = [samples["left"][chosen], samples["right"][chosen]]
    if not chosen.any() and table is not None:
        y = np.array([1.0, top / 2, top])
        for number in (number for number in range(slices[0], slices[1] + 1) if table.has(number)):
            edges += [table.left(number, y), table.right(number, y)]
    values = np.concatenate([np.asarray(part, dtype=np.float64) for part in edges])
    if values.size == 0:
        return 1.0, 4096.0, top
    margin = _MARGIN * (slices[1] - slices[0] + 1)
    return float(values.min()) - margin, float(values.max()) + margin, top


def _draw_polynomials(axes: Any, table: Trace, slices: tuple[int, int], top: float) -> None:
    y = np.linspace(1, top, 400)
    for line, (_, name, _, colour) in enumerate(_LINES):
        label = f"{name}: polynomials"
        for number in range(slices[0], slices[1] + 1):
            if table.has(number):
                evaluate = (table.center, table.left, table.right)[line]
                axes.plot(evaluate(number, y), y, color=colour, linewidth=1.1, label=label)
                label = "_again"


def plot_trace_widths(
    samples: Samples, slices: tuple[int, int] = (1, N_SLICES), title: str = "", figure: Figure | None = None
) -> Figure:
    """Widths of the slices (right minus left edge of each sampling point) against the row of the detector.

    Parameters
    ----------
    samples : mapping of str to ndarray
        Columns ``slice``, ``y``, ``left``, ``right`` of TRACE_SAMPLES.
    slices : tuple of int
        First and last slice; colours go from green (first, left on the detector) to red (last).
    title : str
        Start of the title.
    figure : Figure, optional
        Empty figure to draw into; a new one by default.
    """
    first, last = slices
    figure = _prepared(figure, 10, 7)
    axes = figure.add_subplot()
    number_of_slices = last - first + 1
    norm = BoundaryNorm(np.arange(first - 0.5, last + 1), 256) if number_of_slices > 1 else None
    for number in range(first, last + 1):
        chosen = samples["slice"] == number
        position = (number - first) / max(number_of_slices - 1, 1)
        axes.plot(
            samples["y"][chosen],
            samples["right"][chosen] - samples["left"][chosen],
            linestyle="none",
            marker=_SYMBOLS[(number - first) % len(_SYMBOLS)],
            markersize=3.2,
            markerfacecolor="none",
            markeredgewidth=0.7,
            color=_GREEN_TO_RED(position),
            label=f"slice {number}",
        )
    axes.set_ylim(*SLICE_WIDTH_LIMITS)
    axes.set_xlabel("CCD row y [pix]")
    axes.set_ylabel("slice width [pix]")
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    shown = f"slice {first}" if first == last else f"slices {first} to {last}"
    axes.set_title(f"{title} {shown}".strip(), loc="left")
    if norm is not None and number_of_slices > 12:
        bar = figure.colorbar(
            ScalarMappable(norm, _GREEN_TO_RED), ax=axes, label="slice on the CCD, left to right", pad=0.01
        )
        bar.set_ticks(sorted({first, last, *range((first // 6 + 1) * 6, last, 6)}))
    else:
        figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    return figure
