"""Images of a field, one upon the other with their offsets taken out: nearest pixels, added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from core.cubes.projection import ra_difference, sky_to_plane
from core.cubes.wcs import SpatialAxes
from core.fitsfile.header import Header
from core.formats.field_image import FieldPicture
from core.formats.image import image_extension_header
from core.onsky.offsets import FieldOffsets
from core.recipes.logs import Logger

__all__ = ["FieldSum"]

_FAR: Final = 0.5  # [deg] from the first: another field


class FieldSum:
    """A grid that covers all images, with the pixels of the first; images that are far from it are left out.

    Parameters
    ----------
    pictures : sequence of FieldPicture
    offsets : FieldOffsets
    log : logger
        Told what is left out.
    """

    def __init__(self, pictures: Sequence[FieldPicture], offsets: FieldOffsets, log: Logger) -> None:
        first = pictures[0].axes
        self._places: list[tuple[FieldPicture, npt.NDArray[np.int64], npt.NDArray[np.int64]] | None] = []
        low, high = np.full(2, np.iinfo(np.int64).max), np.full(2, np.iinfo(np.int64).min)
        for number, picture in enumerate(pictures):
            ra, dec = picture.axes.crval
            far = max(abs(ra_difference(ra, first.crval[0])), abs(dec - first.crval[1]))
            if far > _FAR:
                log.warning("image %d is %.2f deg away from the first: it is not in the preview", number + 1, far)
                self._places.append(None)
                continue
            x, y = _pixels(picture, first, (float(offsets.ra[number]), float(offsets.dec[number])))
            low = np.minimum(low, [x.min(), y.min()])
            high = np.maximum(high, [x.max(), y.max()])
            self._places.append((picture, x, y))
        self._low, self._shape = low, (int(high[1] - low[1]) + 1, int(high[0] - low[0]) + 1)
        self._axes = SpatialAxes(
            True, first.crval, (first.crpix[0] - float(low[0]) + 1, first.crpix[1] - float(low[1]) + 1), first.cd
        )

    def image(self) -> npt.NDArray[np.float32]:
        """The sum, NaN where there is nothing."""
        total, seen = self._added([1.0] * len(self._places))
        return np.where(seen, total, np.nan).astype(np.float32)

    def weighted(self, weights: Sequence[float]) -> npt.NDArray[np.float32]:
        """The sum of the weights of the images that have a value, NaN where there is none."""
        total, seen = self._added(weights, ones=True)
        return np.where(seen, total, np.nan).astype(np.float32)

    def extension(self, unit: str) -> Header:
        """Cards of the extension that holds an image of this grid."""
        header = image_extension_header("DATA", unit, parts=("DATA",))
        header.remove("EXTNAME")
        for n, kind in ((1, "RA---TAN"), (2, "DEC--TAN")):
            header[f"CTYPE{n}"], header[f"CUNIT{n}"] = kind, "deg"
            header[f"CRPIX{n}"], header[f"CRVAL{n}"] = self._axes.crpix[n - 1], self._axes.crval[n - 1]
            for m in (1, 2):
                header[f"CD{n}_{m}"] = float(self._axes.cd[n - 1][m - 1])
        return header

    def _added(
        self, weights: Sequence[float], *, ones: bool = False
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        total, seen = np.zeros(self._shape), np.zeros(self._shape, np.bool_)
        for place, weight in zip(self._places, weights, strict=True):
            if place is None:
                continue
            picture, x, y = place
            good = np.isfinite(picture.data)
            at = (y[good] - self._low[1], x[good] - self._low[0])
            np.add.at(total, at, weight if ones else weight * picture.data[good])
            seen[at] = True
        return total, seen


def _pixels(
    picture: FieldPicture, first: SpatialAxes, offset: tuple[float, float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The nearest pixels of the grid of the first image for all pixels of another."""
    y, x = np.mgrid[1 : picture.data.shape[0] + 1, 1 : picture.data.shape[1] + 1]
    ra, dec = picture.sky(x, y)
    east, north = sky_to_plane(ra - offset[0], dec - offset[1], first.crval)
    (a, b), (c, d) = first.inverse
    columns = np.floor(a * east + b * north + first.crpix[0] + 0.5)
    rows = np.floor(c * east + d * north + first.crpix[1] + 0.5)
    return columns.astype(np.int64), rows.astype(np.int64)
