"""Pictures of detector images: nine panels for one detector, one small picture for each of all detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.sample import (
    F32,
    F64,
    Difference,
    ImageSample,
    RowReader,
    gauss_of,
    product_rows,
    raw_rows,
    sample,
)
from core.procedures.style import GAUSS, MASTER, RAW, REFERENCE, label, limits, line, log_scale, new_figure, save

__all__ = ["DetectorPlots", "overview_plot", "overview_plots", "panel_plot", "panel_plots"]

_CENTRAL = 200  # pixels of the central cuts


@dataclass(frozen=True)
class DetectorPlots:
    """What distinguishes the pictures of one raw type.

    Attributes
    ----------
    stem : str
        ``bias``: the pictures are ``bias0-nn`` and ``bias1``.
    tag : str
        Tag of the master.
    noun : str
        ``master bias``.
    unit : str
        Unit of the master.
    relative : bool
        Compare the pixel values of raw frame and master as ratios to their medians (lamps), not as differences.
    """

    stem: str
    tag: str
    noun: str
    unit: str
    relative: bool = False


def panel_plots(kind: DetectorPlots, block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    """Nine panels for one detector."""
    master = product_rows(block.products[kind.tag, unit], unit)
    raw = sample(raw_rows(block.raws[0], unit)) if block.raws else None
    reference = _difference(master, block.references.get((kind.tag, unit)), unit)
    return [panel_plot(block.block, kind, unit, sample(master), raw, reference, folder)]


def overview_plots(kind: DetectorPlots, block: ProcedureInput, folder: Path) -> list[PlotFile]:
    """The overview of all detectors; none if no detector has a file of its own."""
    units = block.units(kind.tag)
    samples = {unit: sample(product_rows(block.products[kind.tag, unit], unit), quick=True) for unit in units}
    return [overview_plot(block.block, kind, samples, folder)] if samples else []


def _difference(master: RowReader, path: Path | None, unit: int) -> ImageSample | None:
    if path is None:
        return None
    reference = product_rows(path, unit)
    return sample(Difference(master, reference)) if reference.shape == master.shape else None


def panel_plot(
    block: str,
    kind: DetectorPlots,
    unit: int,
    master: ImageSample,
    raw: ImageSample | None,
    difference: ImageSample | None,
    folder: Path,
) -> PlotFile:
    """Nine panels: cuts and histogram; cuts of the central area and profiles; master minus reference.

    Parameters
    ----------
    block : str
    kind : DetectorPlots
    unit : int
    master, raw, difference : ImageSample
        Master, first raw frame, master minus an earlier master; the last two may be missing.
    folder : pathlib.Path
    """
    figure = new_figure(f"{kind.noun}, IFU {unit:02d}     {block}")
    axes = figure.subplots(3, 3)
    ny, nx = master.shape
    _cut(
        axes[0, 0],
        f"cut along X, row {ny // 4} (right: raw, adu)",
        "X [pix]",
        kind,
        None if raw is None else raw.x_cut,
        master.x_cut,
    )
    _cut(
        axes[0, 1],
        f"cut along Y, column {nx // 4} (right: raw, adu)",
        "Y [pix]",
        kind,
        None if raw is None else raw.y_cut,
        master.y_cut,
    )
    if kind.relative:
        _ratios(axes[0, 2], raw, master)
    else:
        _histogram(axes[0, 2], f"pixel values ({kind.unit})", kind.unit, raw, master)
    for axis, title, values, length in (
        (axes[1, 0], "the same cut along X, centre", master.x_cut, nx),
        (axes[1, 1], "the same cut along Y, centre", master.y_cut, ny),
    ):
        start = max(length // 2 - _CENTRAL // 2, 0)
        inside = values[start : start + _CENTRAL]
        line(axis, inside, MASTER, first=start + 1)
        axis.set_ylim(*limits([inside]))
        label(axis, title, "X [pix]" if axis is axes[1, 0] else "Y [pix]", kind.unit)
    line(axes[1, 2], master.x_profile, MASTER, name="columns")
    line(axes[1, 2], master.y_profile, REFERENCE, name="rows")
    axes[1, 2].set_ylim(*limits([master.x_profile, master.y_profile]))
    label(axes[1, 2], "average of each column and row", "X, Y [pix]", kind.unit)
    axes[1, 2].legend(fontsize=7, frameon=False, loc="upper right", ncols=2)
    _difference_row(axes[2], kind, difference)
    caption = f"Cuts average nine rows or columns; raw frame (grey, right axis) and {kind.noun} (blue). " + (
        "Lower row: minus the one before." if difference else "There is no earlier one to compare with."
    )
    return save(figure, folder, f"{kind.stem}0-{unit:02d}", f"IFU {unit}: {kind.noun}", caption, unit)


def _cut(axes: Axes, title: str, x: str, kind: DetectorPlots, raw: F64 | None, master: F64) -> None:
    label(axes, title, x, kind.unit)
    if raw is not None:
        twin = axes.twinx()
        line(twin, raw, RAW)
        twin.set_ylim(*limits([raw], 0.6))
        twin.tick_params(labelsize=7, colors=RAW)
        for spine in twin.spines.values():
            spine.set_visible(False)
        axes.set_zorder(twin.get_zorder() + 1)
        axes.patch.set_visible(False)
    line(axes, master, MASTER)
    axes.set_ylim(*limits([master], 0.6))


def _histogram(axes: Axes, title: str, unit: str, raw: ImageSample | None, master: ImageSample) -> None:
    label(axes, title, f"value - median [{unit}; raw: adu]", "pixels per unit")
    centre, sigma = gauss_of(master.pixels)
    width = 6 * max(sigma, raw.sigma if raw else 0.0) or 1.0
    if raw is not None:
        # raw values are whole numbers: bins of one or more of them, between the whole numbers
        step = float(max(1, round(width / 40)))
        bins = np.arange(-np.ceil(width) - 0.5, width + step, step)
        _steps(axes, raw.pixels - raw.median, bins, RAW, "raw")
    bins = np.linspace(-width, width, 121)
    _steps(axes, master.pixels - master.median, bins, MASTER, "master")
    if sigma > 0:
        x = np.linspace(-width, width, 400)
        inside = np.count_nonzero(np.abs(master.pixels - centre) < 3 * sigma) / 0.9973
        height = inside / (np.sqrt(2 * np.pi) * sigma)
        shape = height * np.exp(-0.5 * ((x - (centre - master.median)) / sigma) ** 2)
        axes.plot(x, shape, color=GAUSS, linewidth=1.0, label=f"Gauss {centre:.3g} \u00b1 {sigma:.3g}")
        axes.set_ylim(height * 1e-5, height * 100)
    axes.set_xlim(-width, width)
    log_scale(axes)
    axes.legend(fontsize=7, frameon=False, loc="upper right")


def _ratios(axes: Axes, raw: ImageSample | None, master: ImageSample) -> None:
    label(axes, "pixel values", "value / median of the lit pixels", "share of the pixels")
    edges = np.linspace(-0.1, 2.5, 131)
    for entry, colour, name in ((raw, RAW, "raw"), (master, MASTER, "master")):
        if entry is None:
            continue
        values = entry.pixels
        lit = np.median(values[values > 0.2 * np.percentile(values, 90)])
        counts, _ = np.histogram(values / lit, edges)
        axes.stairs(counts / values.size, edges, color=colour, linewidth=1.0, label=name)
    axes.legend(fontsize=7, frameon=False, loc="upper right")


def _steps(axes: Axes, values: F32, edges: F64, colour: str, name: str) -> None:
    """Histogram in pixels per unit, so that bins of different width can be compared."""
    counts, _ = np.histogram(values, edges)
    axes.stairs(counts / np.diff(edges), edges, color=colour, linewidth=1.0, label=name)


def _difference_row(axes: Sequence[Axes], kind: DetectorPlots, difference: ImageSample | None) -> None:
    titles = ("master minus reference, along X", "master minus reference, along Y", "master minus reference")
    if difference is None:
        for axis, title in zip(axes, titles, strict=True):
            label(axis, title, "", "")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.text(0.5, 0.5, "no earlier master", ha="center", va="center", color=RAW, fontsize=9)
        return
    for axis, title, values, x in (
        (axes[0], titles[0], difference.x_cut, "X [pix]"),
        (axes[1], titles[1], difference.y_cut, "Y [pix]"),
    ):
        line(axis, values, REFERENCE)
        axis.set_ylim(*limits([values], 0.6))
        axis.axhline(0, color="#22262b", linewidth=0.5)
        label(axis, title, x, kind.unit)
    width = 6 * difference.sigma or 1.0
    _steps(axes[2], difference.pixels, np.linspace(-width, width, 121), REFERENCE, "")
    log_scale(axes[2])
    label(axes[2], f"{titles[2]}: {difference.median:.3g} \u00b1 {difference.sigma:.3g}", kind.unit, "pixels per unit")


def overview_plot(block: str, kind: DetectorPlots, samples: Mapping[int, ImageSample], folder: Path) -> PlotFile:
    """One small picture per detector with its median and scatter; common grey levels show which one differs."""
    count = len(samples)
    columns = min(count, 8)
    rows = -(-count // columns)
    width, height = max(1.5 * columns, 6.0), 1.75 * rows + 0.6
    figure = new_figure(f"{kind.noun}, all detectors     {block}", width, height)
    figure.subplots_adjust(0.1 / width, 0.05 / height, 1 - 0.1 / width, 1 - 0.55 / height, wspace=0.05, hspace=0.17)
    pool = np.concatenate([entry.thumbnail.ravel() for entry in samples.values()])
    low, high = np.percentile(pool, [1, 99])
    grid = figure.subplots(rows, columns, squeeze=False)
    for axis in grid.flat:
        axis.axis("off")
    for axis, (unit, entry) in zip(grid.flat, samples.items(), strict=False):
        axis.imshow(entry.thumbnail, origin="lower", cmap="gray", vmin=low, vmax=high, aspect="auto")
        axis.set_title(f"{unit:02d}   {entry.median:.4g} \u00b1 {entry.sigma:.2g}", fontsize=7, pad=2)
    caption = f"Median and robust scatter in {kind.unit}; black is {low:.4g}, white {high:.4g} in all."
    return save(figure, folder, f"{kind.stem}1", f"all detectors: {kind.noun}", caption)
