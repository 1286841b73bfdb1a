"""Wavelength calibrations become pictures: residuals on the detector and along a slice (MUSE manual, section 7.2.2).

The functions draw into figures of matplotlib that belong to no window; the command-line tools show or save them, and
other rooms may draw them into pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from core.errors import NotFoundError
from core.spectral.dispersion import Dispersion

__all__ = ["plot_wave_column", "plot_wave_residuals", "select_iteration"]

Residuals = Mapping[str, npt.NDArray[Any]]

_PALETTE: Final = LinearSegmentedColormap.from_list(
    "residuals",
    [
        (0.0, "darkviolet"),
        (0.1, "darkblue"),
        (0.4, "green"),
        (0.6, "yellow"),
        (0.8, "orange"),
        (0.9, "red"),
        (1.0, "darkred"),
    ],
)
_GREEN_TO_RED: Final = LinearSegmentedColormap.from_list("green_to_red", ["green", "gold", "red"])
_SYMBOLS: Final = "x+os^Dv*"
_MAP_MARGIN: Final = 2.0  # [pix or Angstrom] around the points of the map
_COLUMN_MARGIN: Final = 10.0  # [pix, Angstrom] around the points of a slice
_RESIDUAL_MARGIN: Final = 1.03


def select_iteration(residuals: Residuals, slice_no: int = 0, iteration: int = 0) -> npt.NDArray[np.bool_]:
    """Mask of the points of an iteration.

    Parameters
    ----------
    residuals : mapping of str to ndarray
        Columns of WAVECAL_RESIDUALS.
    slice_no : int
        0 takes all slices.
    iteration : int
        Number from 1; 0 takes the last iteration of each slice.

    Raises
    ------
    NotFoundError
        If there is no such slice or iteration.
    """
    slices, iterations = residuals["slice"], residuals["iteration"]
    mask = np.ones(len(slices), dtype=np.bool_) if slice_no == 0 else slices == slice_no
    if not mask.any():
        raise NotFoundError(f"there are no residuals of slice {slice_no}", slice=slice_no)
    if iteration == 0:
        last = np.zeros(256, dtype=iterations.dtype)
        np.maximum.at(last, slices, iterations)
        return np.asarray(mask & (iterations == last[slices]), dtype=np.bool_)
    mask = mask & (iterations == iteration)
    if not mask.any():
        raise NotFoundError(f"there is no iteration {iteration} of the fit", iteration=iteration)
    return np.asarray(mask, dtype=np.bool_)


def plot_wave_residuals(
    residuals: Residuals,
    slice_no: int = 0,
    iteration: int = 0,
    *,
    use_wavelength: bool = False,
    cuts: tuple[float, float] | None = None,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Map of the residuals on the detector.

    Parameters
    ----------
    residuals : mapping of str to ndarray
        Columns of WAVECAL_RESIDUALS of one IFU.
    slice_no, iteration : int
        See `select_iteration`.
    use_wavelength : bool
        Wavelength instead of the CCD row on the vertical axis.
    cuts : tuple of float, optional
        Residuals that the first and last colour stand for [Angstrom]; extremes by default.
    title : str
        Start of the title.
    figure : Figure, optional
        Empty figure to draw into; a new one by default.

    Raises
    ------
    NotFoundError
        If there is no such slice or iteration.
    """
    chosen = select_iteration(residuals, slice_no, iteration)
    x, residual = residuals["x"][chosen], residuals["residual"][chosen]
    y = residuals["lambda" if use_wavelength else "y"][chosen]
    low, high = cuts or (float(residual.min()), float(residual.max()))
    figure = _prepared(figure, 10, 8.5)
    axes = figure.add_subplot()
    axes.set_facecolor("white")
    size = 1.6 if slice_no == 0 else 14.0
    norm = Normalize(low, high)
    axes.scatter(x, y, c=residual, s=size, cmap=_PALETTE, norm=norm, marker="s", linewidths=0, rasterized=True)
    figure.colorbar(
        ScalarMappable(norm, _PALETTE),
        ax=axes,
        label="residual: catalogue minus fit [Angstrom]",
        extend="both" if cuts else "neither",
        pad=0.01,
        fraction=0.04,
    )
    axes.set_xlim(float(x.min()) - _MAP_MARGIN, float(x.max()) + _MAP_MARGIN)
    axes.set_ylim(float(y.min()) - _MAP_MARGIN, float(y.max()) + _MAP_MARGIN)
    axes.set_xlabel("CCD column x [pix]")
    axes.set_ylabel("wavelength [Angstrom]" if use_wavelength else "CCD row y [pix]")
    axes.set_title(_map_title(residuals, chosen, slice_no, title), loc="left", fontsize="medium")
    return figure


def plot_wave_column(
    residuals: Residuals,
    dispersion: Dispersion,
    slice_no: int = 24,
    iteration: int = 0,
    *,
    column: int | None = None,
    show_residuals: bool = False,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Line centres of the columns of a slice, with their polynomials or as residuals.

    Parameters
    ----------
    residuals : mapping of str to ndarray
        Columns of WAVECAL_RESIDUALS of one IFU.
    dispersion : Dispersion
        Solution of the same IFU and run.
    slice_no : int
        1..48.
    iteration : int
        See `select_iteration`.
    column : int, optional
        One CCD column; all of the slice by default.
    show_residuals : bool
        Residual against wavelength; else wavelength against CCD row.
    title : str
        Start of the title.
    figure : Figure, optional
        Empty figure to draw into; a new one by default.

    Raises
    ------
    NotFoundError
        If there is no such slice, iteration or column.
    """
    chosen = select_iteration(residuals, slice_no, iteration)
    if column is not None:
        chosen = chosen & (residuals["x"] == column)
        if not chosen.any():
            raise NotFoundError(f"there are no residuals of column {column} in slice {slice_no}", column=column)
    x, y = residuals["x"][chosen], residuals["y"][chosen].astype(np.float64)
    wave, residual = residuals["lambda"][chosen], residuals["residual"][chosen]
    columns = np.unique(x)
    norm = Normalize(float(columns[0]), float(columns[-1]) if columns.size > 1 else float(columns[0]) + 1.0)
    figure = _prepared(figure, 11, 7)
    axes = figure.add_subplot()
    if show_residuals:
        axes.axhline(0.0, color="black", linewidth=0.8)
    rows = np.linspace(y.min() - _COLUMN_MARGIN, y.max() + _COLUMN_MARGIN, 300)
    for k, number in enumerate(columns):
        mine = x == number
        colour = _GREEN_TO_RED(norm(float(number)))
        style: dict[str, Any] = {
            "linestyle": "none", "marker": _SYMBOLS[k % len(_SYMBOLS)], "color": colour, "markersize": 4,
            "markerfacecolor": "none", "markeredgewidth": 0.8,
        }  # fmt: skip
        if show_residuals:
            axes.plot(wave[mine], residual[mine], **style)
        else:
            curve = dispersion.wavelength(slice_no, float(number), rows)
            axes.plot(rows, curve, color=colour, linewidth=0.6, alpha=0.6)
            axes.plot(y[mine], dispersion.wavelength(slice_no, float(number), y[mine]) + residual[mine], **style)
    if columns.size > 1:
        figure.colorbar(
            ScalarMappable(norm, _GREEN_TO_RED), ax=axes, label="CCD column x [pix]", pad=0.01, fraction=0.04
        )
    _frame_columns(axes, y, wave, residual, show_residuals)
    limit = float(residuals["rejlimit"][chosen][0])
    shown = f"slice {slice_no}, iteration {int(residuals['iteration'][chosen][0])}"
    shown += f", column {column}" if column is not None else f", columns {columns[0]} to {columns[-1]}"
    axes.set_title(f"{title} {shown}, limit {limit:.3f} Angstrom".strip(), loc="left", fontsize="medium")
    return figure


def _frame_columns(
    axes: Any, y: npt.NDArray[Any], wave: npt.NDArray[Any], residual: npt.NDArray[Any], show_residuals: bool
) -> None:
    waves = (float(wave.min()) - _COLUMN_MARGIN, float(wave.max()) + _COLUMN_MARGIN)
    if show_residuals:
        axes.set_xlim(*waves)
        edge = max(abs(float(residual.min())), abs(float(residual.max())), 1e-6)
        low, high = float(residual.min()), float(residual.max())
        axes.set_ylim(*((low * _RESIDUAL_MARGIN, high * _RESIDUAL_MARGIN) if low < 0 < high else (-edge, edge)))
        axes.set_xlabel("wavelength [Angstrom]")
        axes.set_ylabel("residual: catalogue minus fit [Angstrom]")
    else:
        axes.set_xlim(float(y.min()) - _COLUMN_MARGIN, float(y.max()) + _COLUMN_MARGIN)
        axes.set_ylim(*waves)
        axes.set_xlabel("CCD row y [pix]")
        axes.set_ylabel("wavelength [Angstrom]")


def _map_title(residuals: Residuals, chosen: npt.NDArray[np.bool_], slice_no: int, title: str) -> str:
    slices = np.unique(residuals["slice"][chosen])
    shown = f"slice {slice_no}" if slice_no else f"{slices.size} slices"
    steps, limits = residuals["iteration"][chosen], residuals["rejlimit"][chosen]
    shown += f", iteration {_range(steps, 'd')}, limit {_range(limits, '.3f')} Angstrom, {int(chosen.sum())} points"
    return f"{title} {shown}".strip()


def _range(values: npt.NDArray[Any], form: str) -> str:
    low, high = format(values.min(), form), format(values.max(), form)
    return low if low == high else f"{low} to {high}"


def _prepared(figure: Figure | None, width: float, height: float) -> Figure:
    figure = figure or Figure()
    figure.set_size_inches(width, height)
    figure.set_layout_engine("constrained")
    return figure
