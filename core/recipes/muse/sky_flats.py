"""Flat fields of the field of view among the frames of a run: the TWILIGHT_CUBEs, as an IFU needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError, error_context
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.cube import open_cube
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import Logger
from core.spatial.fieldflat import FieldFlat

__all__ = ["SkyFlat", "load_sky_flats"]

_AXES: Final = (1, 2, 3)
_MEANING: Final = {"CTYPE1": "PIXEL", "CTYPE2": "PIXEL", "CUNIT3": "Angstrom"}  # if it is told


@dataclass(frozen=True, eq=False)
class SkyFlat:
    """A flat field of the sky.

    Attributes
    ----------
    frame : Frame
    field : FieldFlat
        NaN where it has no value above 0.
    flux : float or None
        Of the IFU in the twilight sky [count].
    """

    frame: Frame
    field: FieldFlat
    flux: float | None


def load_sky_flats(frames: FrameSet, ifu: int, log: Logger) -> list[SkyFlat]:
    """Flat fields of the sky, in order.

    Raises
    ------
    BadFitsError
        If a TWILIGHT_CUBE has no cube.
    MissingKeywordError
        If its grid is not told.
    DataError
        If its grid is another than one of pixels and Angstrom, or it has no value above 0.
    """
    return [_sky_flat(frame, ifu, log) for frame in frames.tagged("TWILIGHT_CUBE")]


def _sky_flat(frame: Frame, ifu: int, log: Logger) -> SkyFlat:
    cube = open_cube(frame.path, needed=("DATA",))
    with error_context(file=frame.path):
        first, step = _grid(cube.header)
        flux = get_key(cube.header, f"DRS.MUSE.FLAT.FLUX.SKY{ifu}", float, default=None)
        values: NDArray[np.float32] = cube.read_part("DATA", 0, cube.shape[0])
        known = np.isfinite(values) & (values > 0)
        if not known.any():
            raise DataError("the flat field of the sky has no value above 0")
        gaps = int(known.size - np.count_nonzero(known))
        if gaps:
            log.warning(
                "%s has no value in %d of %d voxels: pixels there are flagged", frame.path.name, gaps, known.size
            )
            values = np.where(known, values, np.float32(np.nan))
        field = FieldFlat(values, first, step)
    if flux is None:
        log.warning("%s has no flux of IFU %d: it cannot be scaled to the others by the sky", frame.path.name, ifu)
    return SkyFlat(frame, field, flux)


def _grid(header: Header) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Centre of the first voxel, and sizes of a voxel."""
    for keyword, wanted in _MEANING.items():
        if (told := get_key(header, keyword, str, default=wanted)) != wanted:
            raise DataError(f"a flat field of the sky has {keyword} {wanted}, not {told}", keyword=keyword)
    value, pixel, step = (
        [get_key(header, name.format(axis), float) for axis in _AXES] for name in ("CRVAL{0}", "CRPIX{0}", "CD{0}_{0}")
    )
    x, y, wave = (v + (1.0 - p) * s for v, p, s in zip(value, pixel, step, strict=True))
    return (x, y, wave), (step[0], step[1], step[2])
