"""Pictures of the field on the sky: images with their sources, in arcseconds from the middle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.cubes.wcs import SpatialAxes
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.field_image import read_field_image
from core.procedures.field import SEQUENTIAL, colour_bar, field_panels
from core.procedures.style import NOTHING, label

__all__ = ["FLUX", "SkyPicture", "Source", "draw_sources", "plain_unit", "sky_figure", "sources_of"]

FLUX: Final = "10⁻²⁰ erg/s/cm²/Å"
_NAMED: Final = 40  # sources of which each has its number beside it
_ARCSEC: Final = 3600.0

F32 = NDArray[np.float32]


def plain_unit(unit: str) -> str:
    """A unit of a product as people write it."""
    for old, new in (("10**(-20)*", "10⁻²⁰ "), ("**2", "²"), ("Angstrom", "Å"), ("count", "e⁻")):
        unit = unit.replace(old, new)
    return unit


@dataclass(frozen=True, eq=False)
class SkyPicture:
    """An image of the field.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
        NaN where there is nothing.
    axes : SpatialAxes
    title, unit : str
    """

    data: F32
    axes: SpatialAxes
    title: str
    unit: str

    @classmethod
    def read(cls, path: Path, title: str = "") -> SkyPicture:
        """An image of a product; its filter is the title, unless one is given."""
        picture = read_field_image(path)
        name = get_key(picture.header, "DRS.MUSE.FILTER.NAME", str, default="") or "field of view"
        return cls(picture.data, picture.axes, title or name, get_key(picture.header, "BUNIT", str, default=""))

    @property
    def scales(self) -> tuple[float, float]:
        """Size of a pixel along x and y: in arcseconds, or 1 of an image in pixels."""
        x, y = self.axes.scales
        return (x * _ARCSEC, y * _ARCSEC) if self.axes.celestial else (1.0, 1.0)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, in arcseconds or pixels."""
        (ny, nx), (x, y) = self.data.shape, self.scales
        return nx * x, ny * y

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, lower and upper end: offsets from the middle; right ascension grows to the left."""
        width, height = self.size
        sign = -1 if self.axes.celestial and self.axes.cd[0][0] < 0 else 1
        return -sign * width / 2, sign * width / 2, -height / 2, height / 2

    @property
    def labels(self) -> tuple[str, str]:
        """Of the axes."""
        if not self.axes.celestial:
            return "x from the middle [pix]", "y from the middle [pix]"
        if self.axes.rotated:
            return "x from the middle [arcsec]", "y from the middle [arcsec]"
        return "right ascension from the middle [arcsec]", "declination from the middle [arcsec]"

    def place(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Where a pixel, counted from 1, is in the picture."""
        (left, right, low, high), (ny, nx) = self.extent, self.data.shape
        return left + (right - left) * (x - 0.5) / nx, low + (high - low) * (y - 0.5) / ny


@dataclass(frozen=True)
class Source:
    """A source of a cube: place [pix, from 1] and widths [arcsec; -1: not measured]."""

    number: int
    x: float
    y: float
    x_fwhm: float
    y_fwhm: float

    @property
    def is_measured(self) -> bool:
        """Whether it has a width."""
        return self.x_fwhm > 0 and self.y_fwhm > 0


def sources_of(header: Header, prefix: str) -> list[Source]:
    """Sources that the QC parameters of a cube name."""
    number = get_key(header, f"{prefix}.NDET", int, default=0)

    def value(name: str) -> float:
        return get_key(header, f"{prefix}.{name}", float, default=np.nan)

    return [
        Source(k, value(f"POS{k}.X"), value(f"POS{k}.Y"), value(f"FWHM{k}.X"), value(f"FWHM{k}.Y"))
        for k in range(1, number + 1)
    ]


def sky_figure(title: str, pictures: Sequence[SkyPicture]) -> tuple[Figure, list[Axes]]:
    """Images of one field side by side, their colours cut at 1 and 99.5 %; and their panels."""
    figure, panels = field_panels(title, pictures[0].size, len(pictures))
    for panel, picture in zip(panels, pictures, strict=False):
        panel.set_facecolor(NOTHING)
        seen = picture.data[np.isfinite(picture.data)]
        low, high = np.percentile(seen, [1.0, 99.5]) if seen.size else (0.0, 1.0)
        shown = panel.imshow(
            picture.data, origin="lower", extent=picture.extent, vmin=low, vmax=max(high, low + 1e-30),
            cmap=SEQUENTIAL, interpolation="nearest", aspect="auto",
        )  # fmt: skip
        label(panel, picture.title, *picture.labels)
        panel.grid(False)
        colour_bar(panel, shown, plain_unit(picture.unit))
    for panel in panels[len(pictures) :]:
        panel.set_visible(False)
    return figure, panels


def draw_sources(panel: Axes, picture: SkyPicture, sources: Sequence[Source]) -> None:
    """Circles around sources, with their numbers unless there are many."""
    for source in sources:
        x, y = picture.place(source.x, source.y)
        panel.plot(x, y, "o", mfc="none", mec="white", mew=1.6, ms=13)
        panel.plot(x, y, "o", mfc="none", mec="#b3541e", mew=0.9, ms=13)
    for source in sources if len(sources) <= _NAMED else ():
        panel.annotate(
            str(source.number), picture.place(source.x, source.y), (8, 5), textcoords="offset points", fontsize=7,
            color="white", path_effects=list(_outline()),
        )  # fmt: skip


def _outline() -> Iterator[Any]:
    from matplotlib.patheffects import withStroke

    yield withStroke(linewidth=1.5, foreground="black")
