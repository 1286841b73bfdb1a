"""The illumination exposure of the night: how bright the slices of an IFU are, for muse_scibasic and muse_twilight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import error_context
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable_origin import PREFIX
from core.recipes.flow import RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.basic import prepare, reduced_rows
from core.recipes.muse.parameters import OverscanParameters
from core.spatial.illumination import Illumination
from core.spatial.positions import SliceMap

__all__ = ["describe_illumination", "measure_illumination"]

_RANGE: Final = (6500.0, 7500.0)  # [Angstrom] where the lamps are bright and the modes alike


def measure_illumination(
    ifu: int, frames: FrameSet, maps: Sequence[SliceMap], params: OverscanParameters, ctx: RecipeContext
) -> tuple[Illumination, Frame] | None:
    """Brightness of the slices in the ILLUM exposure; None without one.

    Raises
    ------
    MuseError
        If there is one that cannot be reduced, or without light.
    """
    given = frames.optional("ILLUM")
    if given is None:
        return None
    stack = prepare(ifu, frames, ("ILLUM",), params, ctx)
    lines = [end for each in maps for end in _lines_in_range(each)]
    first, last = (min(lines), max(lines)) if lines else (0, 0)
    data = reduced_rows(stack, 0, first, last)
    with error_context(file=given.path, ifu=ifu):
        return Illumination.of({each.slice_no: _median(_values_in_range(each, data, first)) for each in maps}), given


def _rows_in_range(slice_map: SliceMap) -> NDArray[np.int64]:
    wave = slice_map.wavelengths
    return np.flatnonzero((wave >= _RANGE[0]) & (wave <= _RANGE[1]))


def _lines_in_range(slice_map: SliceMap) -> tuple[int, ...]:
    """First line of the detector (0-based) with a pixel of the slice in the range, and the one after the last."""
    inside = _rows_in_range(slice_map)
    if not inside.size:
        return ()
    first, last = np.searchsorted(slice_map.starts, inside[[0, -1]], "right").tolist()
    return first - 1, last


def _values_in_range(slice_map: SliceMap, data: NDArray[np.float32], line: int) -> NDArray[np.float32]:
    """Values of the pixels of a slice in the range, of lines of the detector from ``line`` on."""
    inside = _rows_in_range(slice_map)
    if not inside.size:
        return np.empty(0, np.float32)
    first = int(inside[0])
    places = slice_map.places(first, int(inside[-1]) + 1)
    values: NDArray[np.float32] = data[places.y[inside - first] - 1 - line, places.x[inside - first] - 1]
    return values


def _median(values: NDArray[np.float32]) -> float:
    """Median of pixels, flagged ones too: that many are not."""
    return float(np.median(values)) if values.size else float("nan")


def describe_illumination(header: Header, illumination: Illumination) -> None:
    """Write the factors into the header of a pixel table."""
    for number, factor in illumination.factors.items():
        set_key(header, f"{PREFIX}.ILLUM{number}", factor, "illumination correction factor of the slice")
    set_key(header, f"{PREFIX}.ILLUM.MEAN", illumination.mean, "mean of the factors")
    set_key(header, f"{PREFIX}.ILLUM.STDEV", illumination.stdev, "standard deviation of the factors")
