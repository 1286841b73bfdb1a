"""The axes of a cube, as its header tells them."""

from __future__ import annotations

from typing import Final

from core.cubes.wcs import CubeGrid, WaveAxis
from core.errors import BadFitsError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, has_key
from core.formats.cube import CubePlanes
from core.formats.field_image import spatial_axes

__all__ = ["axes_of_cube", "wave_axis"]

_TYPES: Final = {  # CTYPE3: logarithmic, vacuum
    "AWAV": (False, False),
    "AWAV-LOG": (True, False),
    "WAVE": (False, True),
    "WAVE-LOG": (True, True),
}
_UNITS: Final = {"angstrom": 1.0, "nm": 10.0, "um": 1e4, "m": 1e10}  # of CUNIT3 [Angstrom]


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
        If the axis is not one of wavelengths.
    MissingKeywordError
        If CRVAL3 is missing, or CD3_3 as well as CDELT3.
    """
    kind = get_key(header, "CTYPE3", str, default="")
    if not kind:
        return None
    if kind not in _TYPES:
        raise BadFitsError(f"CTYPE3 is {kind}, not one of {', '.join(_TYPES)}", keyword="CTYPE3")
    unit = get_key(header, "CUNIT3", str, default="Angstrom")
    if unit.lower() not in _UNITS:
        raise BadFitsError(f"CUNIT3 is {unit}, not one of {', '.join(_UNITS)}", keyword="CUNIT3")
    log, vacuum = _TYPES[kind]
    scale = _UNITS[unit.lower()]
    value, pixel = get_key(header, "CRVAL3", float), get_key(header, "CRPIX3", float, default=1.0)
    step = get_key(header, "CD3_3" if has_key(header, "CD3_3") else "CDELT3", float)
    return WaveAxis(scale * value, pixel, scale * step, log=log, vacuum=vacuum)
