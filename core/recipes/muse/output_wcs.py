"""The grid that a user wants a cube to have (OUTPUT_WCS; MUSE manual, A.4.1)."""

from __future__ import annotations

from pathlib import Path

from core.cubes.wcs import OutputWcs
from core.errors import BadFitsError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.formats.cube_axes import wave_axis
from core.formats.field_image import spatial_axes
from core.recipes.logs import Logger

__all__ = ["read_output_wcs"]


def read_output_wcs(path: Path, log: Logger) -> OutputWcs | None:
    """The grid of the first extension with celestial coordinates.

    Two axes on the sky, and perhaps a third one of wavelengths; a matrix ``CDi_j`` that does not mix the two.

    Returns
    -------
    OutputWcs or None
        None, with a warning that says why, if there is no grid that can be taken: the cube gets that of the data.
    """
    for hdu in scan_fits(path).hdus:
        header = hdu.header
        if str(header.get("CTYPE1", "")).startswith("RA---TAN") and str(header.get("CTYPE2", "")).startswith(
            "DEC--TAN"
        ):
            try:
                return _grid_of(header)
            except (BadFitsError, MissingKeywordError, ValueError) as error:
                log.warning("%s is not used, the cube gets the grid of the data: %s", path.name, error)
                return None
    log.warning("%s is not used, the cube gets the grid of the data: no axes RA---TAN, DEC--TAN", path.name)
    return None


def _grid_of(header: Header) -> OutputWcs:
    if pc := [card.keyword for card in header.cards if card.keyword.startswith("PC") and "_" in card.keyword]:
        raise ValueError(f"it has {pc[0]}, and CDi_j alone is taken")
    mixed = [key for key in ("CD1_3", "CD2_3", "CD3_1", "CD3_2") if get_key(header, key, float, default=0.0)]
    if mixed:
        raise ValueError(f"{mixed[0]} tilts the axis of wavelengths")
    axes = spatial_axes(header)
    naxis = [get_key(header, f"NAXIS{axis}", int, default=0) for axis in (1, 2, 3)]
    return OutputWcs((naxis[0], naxis[1], naxis[2]), axes.crval, axes.crpix, axes.cd, wave_axis(header))
