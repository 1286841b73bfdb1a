"""The axes of a cube, as its header tells them."""

from __future__ import annotations

from typing import Final

from core.cubes.wcs import CubeGrid, WaveAxis
from core.errors import BadFitsError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.cube import CubePlanes
from core.formats.field_image import spatial_axes

__all__ = ["axes_of_cube", "wave_axis"]

_TYPES: Final = {  # CTYPE3: logarithmic, vacuum
    "AWAV": (False, False),
    "AWAV-LOG": (True, False),
    "WAVE": (False, True),
    "WAVE-LOG": (True, True),
}


def axes_of_cube(cube: CubePlanes) -> CubeGrid:
    """The grid of a cube.

    Raises
    ------
    BadFitsError
        If it lacks one of its axes.
    """
    try:
        spatial, spectral = spatial_axes(cube.header), wave_axis(cube.header)
    except (BadFitsError, MissingKeywordError) as error:
        raise BadFitsError(f"the cube has no world coordinates: {error.message}", file=cube.path) from error
    if spectral is None:
        raise BadFitsError("the cube has no axis of wavelengths", file=cube.path, keyword="CTYPE3")
    nz, ny, nx = cube.shape
    return CubeGrid(nx, ny, nz, spatial, spectral)


def wave_axis(header: Header) -> WaveAxis | None:
    """Axis 3 by a header; None if it does not tell one.

    Raises
    ------
    BadFitsError
        If the axis is not one of wavelengths [Angstrom].
    MissingKeywordError
        If CRVAL3 or CD3_3 are missing.
    """
    kind = get_key(header, "CTYPE3", str, default="")
    if not kind:
        return None
    if kind not in _TYPES:
        raise BadFitsError(f"CTYPE3 is {kind}, not one of {', '.join(_TYPES)}", keyword="CTYPE3")
    log, vacuum = _TYPES[kind]
    values = (
        get_key(header, "CRVAL3", float),
        get_key(header, "CRPIX3", float, default=1.0),
        get_key(header, "CD3_3", float),
    )
    return WaveAxis(*values, log=log, vacuum=vacuum)
