"""The illumination exposure of the night: how bright the slices of an IFU are, for muse_scibasic and muse_twilight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable_origin import PREFIX
from core.recipes.flow import RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.basic import combine_frames, prepare
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
    image = combine_frames(stack, CombineOptions("average"), ctx, select=[0]).image
    return Illumination.of({m.slice_no: _median(m, image.data) for m in maps}), given


def _median(slice_map: SliceMap, data: NDArray[np.float32]) -> float:
    """Median of the pixels of a slice in the range, flagged ones too: that many are not."""
    wave = slice_map.wavelengths
    values = slice_map.take(data, (wave >= _RANGE[0]) & (wave <= _RANGE[1]))
    return float(np.median(values)) if values.size else float("nan")


def describe_illumination(header: Header, illumination: Illumination) -> None:
    """Write the factors into the header of a pixel table."""
    for number, factor in illumination.factors.items():
        set_key(header, f"{PREFIX}.ILLUM{number}", factor, "illumination correction factor of the slice")
    set_key(header, f"{PREFIX}.ILLUM.MEAN", illumination.mean, "mean of the factors")
    set_key(header, f"{PREFIX}.ILLUM.STDEV", illumination.stdev, "standard deviation of the factors")
