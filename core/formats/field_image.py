"""Images of the field of view (IMAGE_FOV): one plane with world coordinates, of recipes or of other programs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.cubes.projection import plane_to_sky
from core.cubes.wcs import SpatialAxes
from core.errors import BadFitsError, DataError, MissingKeywordError
from core.fitsfile.dataunit import map_image, scaling
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, has_key, merged_header
from core.fitsfile.scan import HduScan, scan_fits

__all__ = ["FieldPicture", "read_field_image", "spatial_axes"]


@dataclass(frozen=True, eq=False)
class FieldPicture:
    """An image of the field.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
        NaN where there is nothing, or what is there is flagged.
    header : Header
        Primary header, and that of the image.
    axes : SpatialAxes
    """

    data: npt.NDArray[np.float32]
    header: Header
    axes: SpatialAxes

    def sky(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Right ascension and declination [deg] of pixels, the first being 1.

        Raises
        ------
        DataError
            If the axes of the image are not on the sky.
        """
        if not self.axes.celestial:
            raise DataError("the image has no celestial coordinates", rule="CTYPE1")
        dx = np.asarray(x, np.float64) - self.axes.crpix[0]
        dy = np.asarray(y, np.float64) - self.axes.crpix[1]
        (cd11, cd12), (cd21, cd22) = self.axes.cd
        ra, dec = plane_to_sky(cd11 * dx + cd12 * dy, cd21 * dx + cd22 * dy, self.axes.crval)
        return (ra + self.axes.crval[0]) % 360, dec


def read_field_image(path: str | os.PathLike[str]) -> FieldPicture:
    """Read the image of a file: its extension ``DATA``, or the first image of two axes; a ``DQ`` flags pixels.

    Raises
    ------
    BadFitsError
        If the file holds no image, or is cut, or the image has no world coordinates.
    """
    path = Path(path)
    try:
        scan = scan_fits(path)
    except OSError as error:
        raise BadFitsError(f"cannot be read as FITS: {error}", file=path) from error
    images = [
        hdu for hdu in scan.hdus if hdu.kind in ("image", "primary") and len(hdu.shape) == 2 and 0 not in hdu.shape
    ]
    if not images:
        raise BadFitsError("the file holds no image", file=path)
    if scan.truncated:
        raise BadFitsError("the file is cut", file=path)
    chosen = next((hdu for hdu in images if hdu.extname == "DATA"), images[0])
    data = _pixels(path, chosen).astype(np.float32)
    flags = next((hdu for hdu in images if hdu.extname == "DQ" and hdu.shape == chosen.shape), None)
    if flags is not None:
        data[_pixels(path, flags) != 0] = np.nan
    header = merged_header(scan.primary, chosen.header)
    try:
        return FieldPicture(data, header, spatial_axes(header))
    except MissingKeywordError as error:
        raise BadFitsError(f"the image has no world coordinates: {error.message}", file=path) from error


def spatial_axes(header: Header) -> SpatialAxes:
    """Axes 1 and 2 by a header; MissingKeywordError if CRPIX, CRVAL, or CD as well as CDELT are missing."""
    crval, crpix = (
        (get_key(header, f"{key}1", float), get_key(header, f"{key}2", float)) for key in ("CRVAL", "CRPIX")
    )
    given = "CDELT{0}" if has_key(header, "CDELT1") and not has_key(header, "CD1_1") else "CD{0}_{0}"
    cd = (
        (get_key(header, given.format(1), float), get_key(header, "CD1_2", float, default=0.0)),
        (get_key(header, "CD2_1", float, default=0.0), get_key(header, given.format(2), float)),
    )
    celestial = get_key(header, "CTYPE1", str, default="").startswith("RA---TAN")
    return SpatialAxes(celestial, crval, crpix, cd)


def _pixels(path: Path, hdu: HduScan) -> npt.NDArray[np.float64]:
    zero, scale = scaling(path, hdu.header)
    return np.asarray(map_image(path, hdu) * scale + zero, np.float64)
