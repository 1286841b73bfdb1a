"""Pictures of the field of view: maps side by side or one above the other, each with its own colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.procedures.style import NOTHING, figure_of, label, new_figure

__all__ = ["DIVERGING", "SEQUENTIAL", "X_LABEL", "Y_LABEL", "FieldMap", "colour_bar", "field_figure", "field_panels"]

X_LABEL: Final = "x [pix of 0.2 arcsec]"
Y_LABEL: Final = "y [pix of 0.2 arcsec]"
SEQUENTIAL: Final = "viridis"
DIVERGING: Final = "RdBu_r"
_FLAT: Final = 0.5  # fields not higher than so much of their width stand one above the other
_WIDTH: Final = 12.0  # [inch]
_BESIDE: Final = 1.45  # between maps, with colours and labels [inch]
_HEIGHTS: Final = (1.3, 9.0)  # of a map [inch]


@dataclass(frozen=True, eq=False)
class FieldMap:
    """An image of the field.

    Attributes
    ----------
    image : ndarray (ny, nx)
        NaN where there is nothing.
    extent : tuple of float
        Left, right, lower, upper end [pix of 0.2 arcsec].
    title, unit : str
    limits : tuple of float
        Values of the first and the last colour.
    colours : str
        Name of a colour map.
    """

    image: NDArray[np.floating[Any]]
    extent: tuple[float, float, float, float]
    title: str
    unit: str
    limits: tuple[float, float]
    colours: str = SEQUENTIAL


def field_panels(title: str, size: tuple[float, float], maps: int) -> tuple[Figure, list[Axes]]:
    """Panels for maps of one field, with room for their colours: side by side, or one above the other.

    Parameters
    ----------
    title : str
        Of the figure.
    size : tuple of float
        Width and height of the field. Maps are to scale unless it is but a few IFUs high.
    maps : int
    """
    shape = size[1] / size[0]
    columns = 1 if maps == 1 or shape < _FLAT else 2 if maps == 4 else maps
    rows = -(-maps // columns)
    width = (_WIDTH - 1.5 + _BESIDE) / columns - _BESIDE
    height = float(np.clip(width * shape, *_HEIGHTS))
    figure = new_figure(title, _WIDTH, rows * (height + 0.75) + 0.4)
    figure.subplots_adjust(hspace=0.75 / height, wspace=_BESIDE / width, right=1 - 0.9 / _WIDTH)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel().tolist()


def field_figure(title: str, maps: Sequence[FieldMap]) -> Figure:
    """Maps of one field."""
    left, right, low, high = maps[0].extent
    figure, panels = field_panels(title, (right - left, high - low), len(maps))
    for axes, shown in zip(panels, maps, strict=True):
        axes.set_facecolor(NOTHING)
        picture = axes.imshow(
            shown.image, origin="lower", extent=shown.extent, vmin=shown.limits[0], vmax=shown.limits[1],
            cmap=shown.colours, interpolation="nearest", aspect="auto",
        )  # fmt: skip
        label(axes, shown.title, X_LABEL, Y_LABEL)
        axes.grid(False)
        colour_bar(axes, picture, shown.unit)
    return figure


def colour_bar(axes: Axes, shown: ScalarMappable, unit: str) -> None:
    """The colours of a map, at its right."""
    figure, box = figure_of(axes), axes.get_position()
    width = figure.get_figwidth()
    bar = figure.colorbar(shown, cax=figure.add_axes((box.x1 + 0.08 / width, box.y0, 0.12 / width, box.height)))
    bar.set_label(unit, fontsize=8)
    bar.ax.tick_params(labelsize=7)
