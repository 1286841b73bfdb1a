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
    pixels = {each.slice_no: _pixels_in_range(each) for each in maps}
    lines = [end for _, y in pixels.values() if y.size for end in (int(y[0]), int(y[-1]) + 1)]
    first, last = (min(lines), max(lines)) if lines else (0, 0)
    data = reduced_rows(stack, 0, first, last)
    with error_context(file=given.path, ifu=ifu):
        return Illumination.of({number: _median(data[y - first, x]) for number, (x, y) in pixels.items()}), given


def _pixels_in_range(slice_map: SliceMap) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Columns and rows (0-based, ascending) of the pixels of a slice in the range."""
    wave = slice_map.wavelengths
    inside = np.flatnonzero((wave >= _RANGE[0]) & (wave <= _RANGE[1]))
    if not inside.size:
        return np.empty(0, np.int32), np.empty(0, np.int32)
    first = int(inside[0])
    places = slice_map.places(first, int(inside[-1]) + 1)
    return places.x[inside - first] - 1, places.y[inside - first] - 1


def _median(values: NDArray[np.float32]) -> float:
    """Median of pixels, flagged ones too: that many are not."""
    return float(np.median(values)) if values.size else float("nan")


def describe_illumination(header: Header, illumination: Illumination) -> None:
    """Write the factors into the header of a pixel table."""
    for number, factor in illumination.factors.items():
        set_key(header, f"{PREFIX}.ILLUM{number}", factor, "illumination correction factor of the slice")
    set_key(header, f"{PREFIX}.ILLUM.MEAN", illumination.mean, "mean of the factors")
    set_key(header, f"{PREFIX}.ILLUM.STDEV", illumination.stdev, "standard deviation of the factors")
