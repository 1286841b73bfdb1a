"""A geometry table becomes a picture: all slices where they lie in the field of view."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.spatial.geometry import Geometry

__all__ = ["POINTS_PER_INCH", "corners", "plot_geometry"]

POINTS_PER_INCH: Final = 72  # a unit of the output: a point of a PDF, a pixel of a PNG
_COLOURS: Final = ((0.2, 0.2, 0.4), (1.0, 0.0, 0.0), (1.0, 0.843, 0.0))  # of the IFUs 3, 1, 2, and so on
_OPACITY: Final = 0.5
_BACKGROUND: Final = (0.5, 0.5, 0.5)
_MARGIN_Y: Final = 2.0  # [pix of 0.2 arcsec]
_MARGIN: Final = 1.0


def plot_geometry(geometry: Geometry, scale: tuple[float, float] = (4.0, 4.0), figure: Figure | None = None) -> Figure:
    """Draw the slices of a geometry, to scale, without axes.

    Parameters
    ----------
    geometry : Geometry
        Slices without a position or width are left out.
    scale : tuple of float
        Units of the output per pixel of the table, in x and y.
    figure : Figure, optional
        Empty figure to draw into; a new one by default. It gets the size of the field.

    Returns
    -------
    Figure
        Lines mark x = 0 and y = 0; a slice at y = 0 has a blue rim.
    """
    known = geometry.where(np.isfinite(geometry.x) & np.isfinite(geometry.y) & (geometry.width > 0))
    reach = 0.5 * known.width.max(initial=0.0)
    low_x, high_x = known.x.min(initial=0.0) - reach - _MARGIN, known.x.max(initial=0.0) + reach + _MARGIN
    margin = _MARGIN_Y + _MARGIN
    low_y, high_y = known.y.min(initial=0.0) - margin, known.y.max(initial=0.0) + margin
    figure = figure or Figure()
    figure.set_size_inches(scale[0] * (high_x - low_x) / POINTS_PER_INCH, scale[1] * (high_y - low_y) / POINTS_PER_INCH)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(low_x, high_x)
    axes.set_ylim(low_y, high_y)
    figure.set_facecolor(_BACKGROUND)
    axes.axhline(0.0, color="black", linewidth=0.5)
    axes.axvline(0.0, color="black", linewidth=0.5)
    at_zero = known.y == 0.0
    for number, colour in enumerate(_COLOURS):
        for mask, rim in ((~at_zero, "none"), (at_zero, (0.0, 0.0, 1.0))):
            chosen = (known.ifu % 3 == number) & mask
            axes.add_collection(
                PolyCollection(corners(known.where(chosen)), facecolors=[(*colour, _OPACITY)], edgecolors=[rim])
            )
    return figure


def corners(geometry: Geometry) -> list[NDArray[np.float64]]:
    """Corners of slices 1 pix high, each of shape (4, 2)."""
    along = 0.5 * geometry.width[:, None] * np.array([-1.0, 1.0, 1.0, -1.0])
    across = 0.5 * np.array([-1.0, -1.0, 1.0, 1.0])
    angle = np.radians(geometry.angle)[:, None]
    x = geometry.x[:, None] + along * np.cos(angle) - across * np.sin(angle)
    y = geometry.y[:, None] + along * np.sin(angle) + across * np.cos(angle)
    return list(np.stack((x, y), axis=2))
